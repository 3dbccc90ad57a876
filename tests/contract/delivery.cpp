// For those who own the event loop: the engine decides what goes when, and does nothing else. Built without threads.
#define OUTBOUND_NO_THREADS
#include "outbound.hpp"

#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "expect.hpp"

using namespace std::chrono_literals;

namespace {

// The program's own clock: it stands still unless told otherwise.
outbound::instant at(std::chrono::milliseconds t) {
  return {std::chrono::steady_clock::time_point{t},
          std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}} + t};
}

}  // namespace

int main() {
  outbound::options options;
  options.base_url = "http://127.0.0.1:8321";
  const outbound::client client{"k", outbound::no_transport, options};
  const outbound::user ada{"ada"}, bob{"bob"};

  std::vector<outbound::event> events;
  outbound::queue_options limits;
  limits.seed = {1, 2};
  limits.on_event = [&events](const outbound::event& e) { events.push_back(e); };
  outbound::delivery_queue queue{limits};

  // Nothing is due in an empty queue, now or later.
  EXPECT(!queue.next(at(0s)));
  EXPECT(queue.due() == (std::chrono::steady_clock::time_point::max)());

  EXPECT(queue.post(ada.identify().email("ada@example.com"), at(0s)));
  EXPECT(queue.post(ada.track("signup"), at(0s)));
  EXPECT(queue.post(bob.track("signup"), at(0s)));
  EXPECT(queue.post(ada.track(""), at(0s)).error().code == outbound::errc::invalid_message);

  // Ada's second message waits for her first one; Bob waits for nobody.
  outbound::delivery first = queue.next(at(0s));
  outbound::delivery second = queue.next(at(0s));
  EXPECT(first && first.path == "/v2/identify" && first.attempt == 1 && first.user_key == "ada");
  EXPECT(second && second.body == R"({"user_id":"bob","event":"signup"})");
  EXPECT(!queue.next(at(0s)));

  // What the client makes of it: the request of that message, with the identifier of the logical call.
  const auto request = client.prepare(first);
  EXPECT(request && request->url == "http://127.0.0.1:8321/v2/identify" && request->guid.size() == 36);
  EXPECT(*outbound::find_header(request->headers, "X-Outbound-GUID") == first.guid);

  // The answers, as they come from the wire: Retry-After holds all back.
  const std::string guid = first.guid;
  queue.report(std::move(first), outbound::response{429, "", {{"Retry-After", "Tue, 14 Nov 2023 22:14:20 GMT"}}}, at(1s));
  queue.report(std::move(second), outbound::response{200}, at(1s));
  EXPECT(!queue.next(at(59s)));
  EXPECT(queue.due() == at(60s).steady);
  first = queue.next(at(60s));
  EXPECT(first && first.guid == guid && first.attempt == 2);
  queue.report(std::move(first), outbound::response{200}, at(61s));

  // Now it is the turn of Ada's event. An error of the transport goes in as it is.
  outbound::delivery third = queue.next(at(61s));
  EXPECT(third && third.path == "/v2/track");
  queue.report(std::move(third), outbound::error{outbound::errc::not_sent, 0, "no route", {}}, at(62s));
  third = queue.next(at(62s + limits.retry.first_delay));  // full jitter: at most that long
  EXPECT(third && third.attempt == 2);
  queue.report(std::move(third), outbound::response{400}, at(63s));

  const outbound::delivery_stats stats = queue.stats();
  EXPECT(stats.accepted == 3 && stats.delivered == 2 && stats.failed == 1 && stats.queued == 0 && stats.in_flight == 0);
  EXPECT(stats.lost(outbound::loss::refused) == 1);
  EXPECT(events.size() == 5);
  EXPECT(events.back().what == outbound::event::kind::failed && events.back().why == outbound::loss::refused);
  EXPECT(events.back().message.body == R"({"user_id":"ada","event":"signup"})");
  EXPECT(events.back().cause.code == outbound::errc::invalid_field && events.back().attempts == 2);

  queue.close();
  EXPECT(queue.post(bob.track("late"), at(70s)).error().code == outbound::errc::closed);
}
