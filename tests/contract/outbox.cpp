// The outbox as a program meets it: several workers, batches, hooks for metrics, a clock of one's own, and an end.
#include "outbound.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "expect.hpp"

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<outbound::outbox> && !std::is_move_constructible_v<outbound::outbox>);

namespace {

int process() { return 1; }  // getpid, where there is one

void many_workers() {
  std::atomic<int> made{0}, calls{0}, delivered{0};
  outbound::outbox_options options;
  options.workers = 4;
  options.make_transport = [&made, &calls] {
    ++made;
    return outbound::transport{[&calls](const outbound::request&) {
      ++calls;
      return outbound::response{200};
    }};
  };
  options.batch_size = 10;
  options.max_messages = 10'000;
  options.max_bytes = 1 << 20;
  options.when_full = outbound::overflow::reject_new;
  options.seed = {0x1234, 0x5678};  // two numbers from std::random_device
  options.process_id = process;
  options.on_event = [&delivered](const outbound::event& e) { delivered += e.what == outbound::event::kind::delivered; };
  outbound::outbox outbox{outbound::client{"k", outbound::no_transport}, options};
  EXPECT(made == 4 && outbox.workers() == 4);
  for (int i = 0; i < 1000; ++i) EXPECT(outbox.post(outbound::user{i % 50}.track("e")));
  EXPECT(outbox.flush(30s));
  EXPECT(outbox.close(5s));
  EXPECT(outbox.close(5s));  // again: the same answer
  EXPECT(delivered == 1000 && calls <= 1000 && outbox.stats().delivered == 1000);
}

// Time is injected: waiting moves the clock, and an hour of outage passes at once.
void own_clock() {
  std::mutex guard;
  auto now = std::chrono::steady_clock::time_point{};
  int attempts = 0;
  std::vector<std::chrono::milliseconds> ages;
  outbound::outbox_options options;
  options.now = [&guard, &now] {
    const std::lock_guard<std::mutex> lock{guard};
    return outbound::instant{now, {}};
  };
  options.wait = [&guard, &now](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                                std::chrono::milliseconds longest) {
    if (longest > 1h) return changed.wait(lock);  // nothing to do
    const std::lock_guard<std::mutex> inner{guard};
    now += longest;
  };
  options.on_event = [&ages](const outbound::event& e) {
    if (e.what == outbound::event::kind::delivered) ages.push_back(e.age);
  };
  options.workers = 0;  // none: `flush` and `close` deliver on the caller's thread
  outbound::outbox outbox{outbound::client{"k",
                                           [&](const outbound::request&) -> outbound::result<outbound::response> {
                                             ++attempts;
                                             if (now < std::chrono::steady_clock::time_point{1h})
                                               return outbound::error{outbound::errc::not_sent, 0, "no route", {}};
                                             return outbound::response{200};
                                           }},
                          options};
  EXPECT(outbox.workers() == 0);
  EXPECT(outbox.post(outbound::user{"ada"}.track("e")));
  EXPECT(outbox.flush(2h));
  EXPECT(ages.size() == 1 && ages[0] >= 1h && ages[0] <= 1h + 60s);
  EXPECT(attempts > 10 && attempts < 1000);
}

}  // namespace

int main() {
  many_workers();
  own_clock();
}
