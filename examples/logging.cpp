// What an outbox does, in the log of a program that uses spdlog (and fmt). Sends nothing.
//
// `on_event` runs on the outbox's threads: spdlog's loggers may be called there. `error::message` can be logged as it
// is: it never holds the key. The body of a message may hold what users told you, so it is logged at debug only.
#include "outbound.hpp"
#include "transports/recording.hpp"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

namespace {

/// One line for each event: losses are errors, a hold is a warning, what goes well is for debugging.
void log_event(spdlog::logger& log, const outbound::event& e) {
  using kind = outbound::event::kind;
  switch (e.what) {
    case kind::delivered: return log.debug("outbound: delivered {} {}", e.message.path, e.message.guid);
    case kind::retrying: return log.info("outbound: attempt {} failed: {}", e.attempts, e.cause.message);
    case kind::failed:
    case kind::dropped:
      log.error("outbound: lost {} {} after {} attempts and {} s: {}", e.message.path, e.message.guid, e.attempts,
                std::chrono::duration_cast<std::chrono::seconds>(e.age).count(), e.cause.message);
      return log.debug("outbound: it was {}", e.message.body);
    case kind::held: return log.warn("outbound: waiting, probing: {}", e.cause.message);
    case kind::resumed: return log.info("outbound: delivering again");
    case kind::store_failed:
    case kind::worker_failed: return log.error("outbound: {}", e.cause.message);
  }
}

}  // namespace

int main() {
  std::ostringstream lines;
  spdlog::logger log{"app", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines)};
  log.set_pattern("%l %v");
  log.set_level(spdlog::level::info);

  transports::recording http;  // refuses the second message, and lets the third wait
  http.answer(outbound::response{200}).answer(outbound::response{400}).answer(outbound::response{503});
  outbound::outbox_options options;
  options.retry.first_delay = std::chrono::milliseconds{1};
  options.on_event = [&log](const outbound::event& e) { log_event(log, e); };
  {
    outbound::outbox outbox{outbound::client{"any-key", http}, options};
    for (const char* event : {"signup", "purchase", "logout"}) {
      if (const auto posted = outbox.post(outbound::user{"ada@example.com"}.track(event)); !posted)
        log.error("outbound: {}", posted.error().message);
    }
    // What can never be sent is refused at once, with every problem and its place.
    if (const auto posted = outbox.post(outbound::user{""}.track("\xFF")); !posted) {
      for (const outbound::problem& p : posted.error().problems) log.error("outbound: {}: {}", p.where, p.why);
    }
    outbox.flush(std::chrono::seconds{10});
  }

  const std::string all = lines.str();
  std::cout << all;
  int failures = 0;
  for (const char* const expected : {"error outbound: lost /v2/track", "info outbound: attempt 1 failed:",
                                     "error outbound: /user_id: ", "error outbound: /event: "}) {
    if (all.find(expected) != std::string::npos) continue;
    std::cerr << "FAILED: the log lacks: " << expected << '\n';
    ++failures;
  }
  return failures;
}
