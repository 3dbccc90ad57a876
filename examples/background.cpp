// Posts an event for each line it reads, in the background, and loses none when it is killed. Try it:
//
//     outbound-sandbox --port 8080 &
//     printf 'signup\npurchase\n' | outbound-background http://127.0.0.1:8080 sandbox-key outbound.db
//     curl http://127.0.0.1:8080/sandbox/events
//
// Stop the sandbox, or kill this with -9: what was accepted waits in outbound.db until both run again. It ends with 0
// only if every line was accepted, and all that was accepted, now and before, is delivered.
#include "outbound.hpp"
#include "stores/sqlite.hpp"
#include "transports/libcurl.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <random>
#include <string>
#include <utility>

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: outbound-background BASE_URL KEY STORE_FILE < EVENTS\n");
    return 2;
  }
  outbound::options api;
  api.base_url = arguments[1];
  outbound::client client{arguments[2], transports::libcurl_transport{}, api};

  stores::sqlite_store store{arguments[3]};  // before the outbox: it has to outlive it
  outbound::outbox_options options;
  options.store = &store;
  std::random_device random;
  std::uniform_int_distribution<std::uint64_t> any{1};
  options.seed = {any(random), any(random)};
  options.process_id = getpid;
  options.on_event = [](const outbound::event& e) {  // on the worker's thread; metrics would count here
    if (!e.cause.message.empty()) std::fprintf(stderr, "%s\n", e.cause.message.c_str());
  };
  outbound::outbox outbox{std::move(client), std::move(options)};

  bool all_accepted = true;
  const outbound::user ada{"ada@example.com"};
  for (std::string line; std::getline(std::cin, line);) {
    const auto posted = outbox.post(ada.track(line));
    all_accepted = all_accepted && posted;
    std::printf("%s: %s\n", posted ? "accepted" : "refused", posted ? line.c_str() : posted.error().message.c_str());
    std::fflush(stdout);  // whoever reads "accepted" may rely on it
  }

  const outbound::remaining left = outbox.close(std::chrono::seconds{10});
  const outbound::delivery_stats stats = outbox.stats();
  std::printf("%ju accepted, %ju delivered, %ju failed; %ju stay in %s\n", std::uintmax_t{stats.accepted},
              std::uintmax_t{stats.delivered}, std::uintmax_t{stats.failed},
              std::uintmax_t{left.queued + left.in_flight}, arguments[3]);
  return all_accepted && stats.delivered == stats.accepted ? 0 : 1;
}
