// A delivery_queue in an event loop: one thread, no locks, up to eight requests in flight, through libcurl_multi.
// Usage: event_loop BASE_URL KEY. Try it with the sandbox: outbound-sandbox --port 8321 --key k
//
// The queue says what to send and when to come back; the loop does the I/O and tells the time.
#include "outbound.hpp"
#include "transports/libcurl_multi.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

namespace {

outbound::instant now() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

/// Hands out what is due while there is room.
void send_what_is_due(outbound::delivery_queue& queue, const outbound::client& client,
                      transports::libcurl_multi& http) {
  while (http.in_flight() < 8) {
    outbound::delivery due = queue.next(now());
    if (!due) return;
    auto request = client.prepare(due);
    if (!request) {
      queue.report(std::move(due), request.error(), now());
      continue;
    }
    // The delivery is the ticket: it travels with the request, and comes back with the answer.
    http.submit(std::move(*request),
                [&queue, ticket = std::move(due)](transports::libcurl_multi::answer answer) mutable {
                  queue.report(std::move(ticket), answer, now());
                });
  }
}

/// How long the loop may sleep: until the queue has something to do, or a second. An answer ends it sooner.
std::chrono::milliseconds pause(const outbound::delivery_queue& queue) {
  using std::chrono::milliseconds;
  const auto due = queue.due();
  const auto start = std::chrono::steady_clock::now();
  if (due <= start) return milliseconds{0};
  if (due - start > std::chrono::seconds{1}) return milliseconds{1000};
  return std::chrono::ceil<milliseconds>(due - start);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: event_loop BASE_URL KEY\n"), 2;
  outbound::options options;
  options.base_url = argv[1];
  outbound::client client{argv[2], outbound::no_transport, options};  // it makes requests, and sends none
  outbound::queue_options of_queue;
  of_queue.on_event = [](const outbound::event& e) {
    if (e.what != outbound::event::kind::delivered) std::printf("%s\n", e.cause.message.c_str());
  };
  outbound::delivery_queue queue{of_queue};
  transports::libcurl_multi http;

  for (int n = 0; n < 100; ++n) {
    outbound::user user{"user " + std::to_string(n % 10)};
    auto posted = n < 10 ? queue.post(user.identify().attribute("plan", "pro"), now())
                         : queue.post(user.track("step").property("n", n / 10), now());
    if (!posted) std::printf("%s\n", posted.error().message.c_str());
  }
  queue.close();

  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  for (auto left = queue.stats(); left.queued + left.in_flight != 0; left = queue.stats()) {
    if (std::chrono::steady_clock::now() > end && left.in_flight == 0) break;
    send_what_is_due(queue, client, http);
    http.run(http.in_flight() < 8 ? pause(queue) : std::chrono::milliseconds{1000});
  }
  const outbound::delivery_stats stats = queue.stats();
  std::printf("%llu of %llu delivered in %llu requests\n", static_cast<unsigned long long>(stats.delivered),
              static_cast<unsigned long long>(stats.accepted), static_cast<unsigned long long>(stats.attempts));
  return stats.delivered == 100 ? 0 : 1;
}
