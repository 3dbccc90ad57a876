// Publishes the events of NDJSON lines, {"user": "ada@example.com", "event": "signup", "properties": {}}, to the stream
// that outbound-relay delivers from: what an application does, as a program. Lines are read from standard input.
#include "publisher.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
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

}  // namespace

int main(int count, char** arguments) {
  if (count < 2 || count > 4) {
    std::fprintf(stderr, "usage: outbound-publish NATS_URLS [STREAM] [WORKERS] < EVENTS\n");
    return 2;
  }
  const relay::publisher to_nats{relay::servers(arguments[1]), count > 2 ? arguments[2] : relay::default_stream};
  outbound::outbox_options options;
  options.workers = count > 3 ? std::stoul(arguments[3]) : 8;
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

  for (std::string line; std::getline(std::cin, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    if (!parsed.is_object()) {
      std::fprintf(stderr, "no JSON object: %s\n", line.c_str());
      continue;
    }
    auto posted = outbox.post(event_of(parsed));
    while (!posted && posted.error().code == outbound::errc::queue_full) {
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
      posted = outbox.post(event_of(parsed));
    }
    if (!posted) std::fprintf(stderr, "refused: %s\n", posted.error().message.c_str());
  }
  const outbound::remaining left = outbox.close(std::chrono::seconds{60});
  const outbound::delivery_stats stats = outbox.stats();
  std::printf("%ju of %ju published\n", std::uintmax_t{stats.delivered}, std::uintmax_t{stats.accepted});
  return left && stats.delivered == stats.accepted ? 0 : 1;
}
