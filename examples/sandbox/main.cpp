#include "archive.hpp"
#include "campaign.hpp"
#include "http_server.hpp"
#include "service.hpp"

#include <charconv>
#include <cstdint>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

constexpr int exit_ok = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

constexpr const char* usage =
    R"(Usage: outbound-sandbox [--port N] [--key KEY] [--deduplicate] [--db FILE] [--campaigns FILE]

A stand-in for the Outbound API on 127.0.0.1 that checks every call and shows what it understood.

  --port N       listen on this port; 0 picks a free one (default: 0)
  --key KEY      the X-Outbound-Key that callers must send (default: sandbox-key)
  --deduplicate  process a call once only, however often it comes with the same X-Outbound-GUID
  --db FILE      keep what is shown in this SQLite file, and begin with what it has; without it, nothing is written
  --campaigns FILE
                 play the campaigns of this JSON file; what they would send is shown, and sent nowhere
  --help         show this text

It prints one line, "listening on http://127.0.0.1:PORT", and runs until Ctrl-C or SIGTERM.
Open that address in a browser to look in.
)";

struct options {
  std::uint16_t port = 0;
  std::string key = sandbox::usual_key;
  bool deduplicate = false;
  std::string db{};         // empty for none
  std::string campaigns{};  // empty for none
  bool help = false;
};

class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::uint16_t port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, port);
  if (failure != std::errc() || stop != end) {
    throw usage_error("--port takes a number from 0 to 65535, not '" + std::string(text) + "'");
  }
  return port;
}

std::string key_of(std::string_view text) {
  const auto is_visible = [](char one) { return one >= '!' && one <= '~'; };
  for (const char one : text) {
    if (!is_visible(one)) throw usage_error("--key takes visible ASCII characters only, without spaces");
  }
  if (text.empty()) throw usage_error("--key takes a key that is not empty");
  return std::string(text);
}

std::string file_of(std::string_view option, std::string_view text) {
  if (text.empty()) throw usage_error(std::string(option) + " takes the name of a file");
  return std::string(text);
}

options parsed(const std::vector<std::string_view>& arguments) {
  options out;
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    const auto name = *at;
    if (name == "--help") {
      out.help = true;
      continue;
    }
    if (name == "--deduplicate") {
      out.deduplicate = true;
      continue;
    }
    if (name != "--port" && name != "--key" && name != "--db" && name != "--campaigns")
      throw usage_error("unknown option '" + std::string(name) + "'");
    if (++at == arguments.end()) throw usage_error(std::string(name) + " needs a value");
    if (name == "--port") {
      out.port = port_of(*at);
    } else if (name == "--key") {
      out.key = key_of(*at);
    } else if (name == "--db") {
      out.db = file_of(name, *at);
    } else {
      out.campaigns = file_of(name, *at);
    }
  }
  return out;
}

int serve(const options& wanted) {
  auto campaigns =
      wanted.campaigns.empty() ? std::vector<sandbox::campaign>() : sandbox::campaigns_in(wanted.campaigns);
  auto kept = wanted.db.empty() ? sandbox::archive() : sandbox::archive(wanted.db);
  sandbox::service app(wanted.key, wanted.deduplicate, std::move(kept), std::move(campaigns));
  sandbox::http_server server(app, wanted.port);
  std::cout << "listening on http://127.0.0.1:" << server.port() << std::endl;
  server.run();
  return exit_ok;
}

}  // namespace

int main(int count, char** values) {
  options wanted;
  try {
    wanted = parsed({values + 1, values + count});
    if (wanted.help) {
      std::cout << usage;
      return exit_ok;
    }
    return serve(wanted);
  } catch (const usage_error& problem) {
    std::cerr << "outbound-sandbox: " << problem.what() << "; --help shows the options\n";
    return exit_usage;
  } catch (const sandbox::campaign_error& problem) {
    std::cerr << "outbound-sandbox: " << problem.what() << '\n';
    return exit_failed;
  } catch (const sandbox::archive_error& problem) {
    std::cerr << "outbound-sandbox: " << problem.what() << '\n';
    return exit_failed;
  } catch (const std::exception& problem) {
    std::cerr << "outbound-sandbox: cannot serve on 127.0.0.1:" << wanted.port << ": " << problem.what() << '\n';
    return exit_failed;
  }
}
