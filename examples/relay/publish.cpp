// Publishes the events of NDJSON lines, {"user": "ada@example.com", "event": "signup", "properties": {}}, to the stream
// that outbound-relay delivers from: what an application does, as a program. Lines are read from standard input.
// Exits with 0 only if every line was an event that is in the stream now; 1: not all; 2: a bad argument.
#include "publisher.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

namespace {

outbound::user user_of(const nlohmann::json& id) {
  return id.is_string() ? outbound::user{id.get<std::string>()} : outbound::user{id.get<std::int64_t>()};
}

outbound::track event_of(const nlohmann::json& line) {
  auto event = user_of(line.at("user")).track(line.at("event").get<std::string>());
  if (line.contains("properties")) event.properties(outbound::json{line.at("properties").dump()});
  if (line.contains("at"))
    event.at(std::chrono::system_clock::time_point{std::chrono::seconds{line.at("at").get<std::int64_t>()}});
  return event;
}

/// Threads, each with one message at a time; 0: no such number.
std::size_t workers_of(std::string_view text) {
  std::size_t workers = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, workers);
  return failure == std::errc{} && stop == end && workers <= 64 ? workers : 0;
}

/// False: nobody can read it, or the outbox refuses it; that is said.
bool post(outbound::outbox& outbox, const std::string& line) {
  try {
    const outbound::track event = event_of(nlohmann::json::parse(line));
    auto posted = outbox.post(event);
    for (; !posted && posted.error().code == outbound::errc::queue_full; posted = outbox.post(event))
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    if (!posted) std::fprintf(stderr, "refused: %s: %s\n", posted.error().message.c_str(), line.c_str());
    return static_cast<bool>(posted);
  } catch (const nlohmann::json::exception& why) {
    std::fprintf(stderr, "no event: %s: %s\n", why.what(), line.c_str());
    return false;
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::size_t workers = count > 3 ? workers_of(arguments[3]) : 8;
  if (count < 2 || count > 4 || *arguments[1] == '-' || workers == 0) {
    std::fprintf(stderr, "usage: outbound-publish NATS_URLS [STREAM] [WORKERS: 1 to 64] < EVENTS\n");
    return 2;
  }
  const relay::publisher to_nats{relay::servers(arguments[1]), count > 2 ? arguments[2] : relay::default_stream};
  outbound::outbox_options options;
  options.workers = workers;
  options.make_transport = [=] { return outbound::transport{to_nats}; };
  options.retry.first_delay = std::chrono::milliseconds{100};
  options.retry.max_delay = std::chrono::seconds{2};
  std::random_device random;
  options.seed = {random(), random()};
  options.on_event = [](const outbound::event& e) {
    if (e.why != outbound::loss::none) std::fprintf(stderr, "lost: %s\n", e.cause.message.c_str());
    else if (e.what == outbound::event::kind::held) std::fprintf(stderr, "waits: %s\n", e.cause.message.c_str());
  };
  outbound::outbox outbox{outbound::client{"relay", outbound::no_transport}, options};

  bool all_accepted = true;
  for (std::string line; std::getline(std::cin, line);) all_accepted = post(outbox, line) && all_accepted;
  outbox.close(std::chrono::seconds{60});
  const outbound::delivery_stats stats = outbox.stats();
  std::printf("%ju of %ju published\n", std::uintmax_t{stats.delivered}, std::uintmax_t{stats.accepted});
  return all_accepted && stats.delivered == stats.accepted ? 0 : 1;
}
