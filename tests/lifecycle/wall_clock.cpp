// [F43] A wall clock that jumps by a day, back and forth, at every look: this program's own clock_gettime says so. The
// outbox waits by the steady clock, with its own `now` and `wait`; only the date of a Retry-After is compared with it.
#include "outbound.hpp"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "../contract/expect.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::int64_t fixed = 1700000000;  // Tue, 14 Nov 2023 22:13:20 GMT

enum class wall { jumps, stands };
std::atomic<wall> mode{wall::jumps};
std::atomic<int> looks{0};

}  // namespace

extern "C" int clock_gettime(clockid_t which, struct timespec* t) noexcept {
  const long failed = syscall(SYS_clock_gettime, which, t);
  if (failed != 0 || which != CLOCK_REALTIME) return static_cast<int>(failed);
  const int n = ++looks;
  if (mode == wall::stands) *t = {static_cast<time_t>(fixed), 0};
  else t->tv_sec += (n % 3 - 1) * 86400;
  return 0;
}

namespace {

double milliseconds_since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double, std::milli>{std::chrono::steady_clock::now() - begun}.count();
}

// A retry, and a flush that finds no answer, take the time that they are told to take.
void while_it_jumps(std::size_t workers) {
  std::atomic<int> calls{0};
  outbound::outbox_options options;
  options.workers = workers;
  options.retry.first_delay = options.retry.max_delay = 50ms;
  options.retry.max_age = 12h;  // less than a jump
  outbound::outbox o{outbound::client{"k",
                                      [&calls](const outbound::request&) -> outbound::result<outbound::response> {
                                        if (++calls < 5)
                                          return outbound::error{outbound::errc::not_sent, 0, "no route", {}};
                                        return outbound::response{200};
                                      }},
                     options};
  EXPECT(o.post(outbound::user{1}.track("e")));
  EXPECT(o.flush(30s));
  EXPECT(calls == 5 && o.stats().delivered == 1);

  outbound::outbox_options slow = options;
  slow.close_timeout = 0ms;
  slow.retry.first_delay = slow.retry.max_delay = 1h;
  outbound::outbox never{outbound::client{"k", outbound::no_transport}, slow};
  EXPECT(never.post(outbound::user{1}.track("e")));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT(never.flush(200ms).queued == 1);
  EXPECT(milliseconds_since(begun) >= 200 && milliseconds_since(begun) < 10000);
}

// What a server says with one of its headers, and after how long it is asked again.
double wait_after(const std::string& retry_after) {
  std::atomic<int> calls{0};
  outbound::outbox_options options;
  options.retry.first_delay = 0ms;
  outbound::outbox o{outbound::client{"k",
                                      [&](const outbound::request&) {
                                        if (++calls > 1) return outbound::response{200};
                                        return outbound::response{503, "", {{"Retry-After", retry_after}}};
                                      }},
                     options};
  const auto begun = std::chrono::steady_clock::now();
  EXPECT(o.post(outbound::user{1}.track("e")));
  EXPECT(o.flush(30s));
  EXPECT(calls == 2);
  return milliseconds_since(begun);
}

}  // namespace

int main() {
  const auto begun = std::chrono::system_clock::now();
  const auto later = std::chrono::system_clock::now();
  if (later - begun < 10h && begun - later < 10h) {
    std::fputs("SKIPPED: a wall clock that jumps: the library of this machine does not ask this program\n", stderr);
    return 77;
  }
  for (const std::size_t workers : {std::size_t{1}, std::size_t{0}}) while_it_jumps(workers);
  const double seconds = wait_after("1");
  EXPECT(seconds >= 1000 && seconds < 10000);

  mode = wall::stands;
  const int before = looks;
  const double date = wait_after("Tue, 14 Nov 2023 22:13:21 GMT");
  EXPECT(date >= 1000 && date < 10000);
  EXPECT(looks > before);
  EXPECT(wait_after("Tue, 14 Nov 2023 22:13:19 GMT") < 10000);
}
