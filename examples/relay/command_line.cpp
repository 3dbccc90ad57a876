#include "command_line.hpp"

#include <CLI/CLI.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>

namespace relay {
namespace {

constexpr int exit_usage = 2;

constexpr const char* about =
    "Sends what relay::publisher put into a NATS JetStream stream on to Outbound. Run as many as you like: they share "
    "the work, "
    "and take over from each other.";

constexpr const char* exit_codes =
    "Exit codes: 0 stopped by SIGINT or SIGTERM, or done; 1 it cannot begin, or cannot go on; 2 a bad option.";

// CLI::Range takes a NaN for a number of any range.
CLI::Validator seconds(double least, double most) {
  char range[64];
  std::snprintf(range, sizeof range, "from %.10g to %.10g", least, most);
  const auto check = [least, most, why = "takes seconds " + std::string{range}](const std::string& text) {
    double n = 0;
    return CLI::detail::lexical_cast(text, n) && n >= least && n <= most ? std::string{} : why;
  };
  return {check, range};
}

// Of this relay, in what a consumer's name may hold: "host-1234-ab12".
std::string name_of_this() {
  char host[256]{};
  gethostname(host, sizeof host - 1);
  std::string out;
  for (const char* c = host; *c != '\0' && out.size() < 32; ++c) {
    const bool good = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
    out += good ? *c : '_';
  }
  char end[32];
  std::random_device random;
  std::snprintf(end, sizeof end, "-%ld-%04x", static_cast<long>(getpid()), random() & 0xFFFF);
  return out + end;
}

std::string check_name(const std::string& name) {
  for (const char c : name)
    if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_')
      return "letters, digits and _ only";
  return name.empty() ? "is empty" : "";
}

}  // namespace

bool read_command_line(int count, char** arguments, command_line& out, int& exit_code) {
  CLI::App app{about, "outbound-relay"};
  app.footer(exit_codes);
  app.set_version_flag("--version", OUTBOUND_VERSION_STRING);
  double timeout = 30;
  double take_over = 5;
  double first_delay = 0.5;
  double max_delay = 60;
  double max_age = 86'400;
  double duplicates = 600;
  bool create = false, status = false, list = false, replay = false;
  app.add_flag("--create", create, "make the streams, and end");
  app.add_flag("--status", status, "show lag, rate, relays and dead letters, and end");
  app.add_flag("--list-dead", list, "show the dead letters, one a line as JSON, and end");
  app.add_flag("--replay-dead", replay, "put the dead letters back into the stream, and end");

  app.add_option("--nats", out.nats.servers, "servers, between commas: nats://user:password@host:4222, tls://...")
      ->envname("OUTBOUND_NATS")
      ->capture_default_str()
      ->group("NATS");
  app.add_option("--credentials", out.nats.credentials, "a .creds file")->check(CLI::ExistingFile)->group("NATS");
  app.add_option("--nats-ca", out.nats.ca_file, "the authorities to trust, in PEM")
      ->check(CLI::ExistingFile)
      ->group("NATS");
  auto* const certificate = app.add_option("--nats-cert", out.nats.certificate, "a certificate of this client")
                                ->check(CLI::ExistingFile)
                                ->group("NATS");
  auto* const key = app.add_option("--nats-key", out.nats.key, "and its key")->check(CLI::ExistingFile)->group("NATS");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--stream", out.stream, "its name; dead letters are in NAME_DEAD")
      ->check(check_name)
      ->capture_default_str()
      ->group("NATS");
  app.add_option("--take-over", take_over, "seconds after which another relay gets what a dead one had")
      ->check(seconds(1, 3600))
      ->capture_default_str()
      ->group("NATS");
  app.add_option("--pending", out.taking.max_pending, "messages of a partition that are taken and not answered")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->group("NATS");

  app.add_option("--partitions", out.created.partitions, "how many")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str()
      ->group("With --create");
  app.add_option("--replicas", out.created.replicas, "servers that keep each message")
      ->check(CLI::Range(1, 5))
      ->capture_default_str()
      ->group("With --create");
  app.add_option("--duplicates", duplicates, "seconds in which a repeat is known for one")
      ->check(seconds(1, 86'400))
      ->capture_default_str()
      ->group("With --create");
  app.add_option("--max-bytes", out.created.max_bytes, "of the stream; then it refuses more. -1: no limit")
      ->capture_default_str()
      ->group("With --create");

  app.add_option("--url", out.api.url, "of the API")->capture_default_str()->group("API");
  app.add_option("--key", out.api.key, "the private API key; better in the environment, where `ps` does not show it")
      ->envname("OUTBOUND_KEY")
      ->group("API");
  app.add_option("--ca", out.api.ca_file, "the authorities to trust, in PEM; else those of the system")
      ->check(CLI::ExistingFile)
      ->group("API");
  app.add_option("--timeout", timeout, "seconds for one request")
      ->check(seconds(0.1, 3600))
      ->capture_default_str()
      ->group("API");
  app.add_option("--connections", out.api.connections, "requests at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group("API");
  app.add_option("--first-delay", first_delay, "seconds: the first backoff")
      ->check(seconds(0, 3600))
      ->capture_default_str()
      ->group("API");
  app.add_option("--max-delay", max_delay, "seconds: the longest backoff")
      ->check(seconds(0, 3600))
      ->capture_default_str()
      ->group("API");
  app.add_option("--max-age", max_age, "seconds for which one relay tries a message")
      ->check(seconds(0, 31'536'000))
      ->capture_default_str()
      ->group("API");
  app.add_option("--max-attempts", out.api.retry.max_attempts, "that end in a 500")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str()
      ->group("API");
  try {
    app.parse(count, arguments);
    if (create + status + list + replay > 1)
      throw CLI::ValidationError("--create, --status, --list-dead, --replay-dead", "one of them at a time");
    out.what = create   ? task::create
               : status ? task::status
               : list   ? task::list_dead
               : replay ? task::replay_dead
                        : task::deliver;
    if (out.what == task::deliver && out.api.key.empty())
      throw CLI::ValidationError("--key", "set OUTBOUND_KEY to the private API key");
  } catch (const CLI::ExtrasError&) {
    std::fprintf(stderr, "outbound-relay: there is an argument too many; --help shows the options\n");
    exit_code = exit_usage;  // it is not repeated here: it may be the key
    return false;
  } catch (const CLI::ParseError& why) {
    exit_code = app.exit(why) == 0 ? 0 : exit_usage;
    return false;
  }
  const auto ms = [](double s) { return std::chrono::milliseconds{static_cast<std::int64_t>(s * 1000)}; };
  out.created.duplicates = std::chrono::duration_cast<std::chrono::seconds>(ms(duplicates));
  out.api.timeout = ms(timeout);
  out.api.retry.first_delay = ms(first_delay);
  out.api.retry.max_delay = ms(max_delay);
  out.api.retry.max_age = ms(max_age);
  out.taking.stream = out.stream;
  out.taking.take_over = ms(take_over);
  out.taking.relay = name_of_this();
  out.nats.name = "outbound-relay " + out.taking.relay;
  return true;
}

}  // namespace relay
