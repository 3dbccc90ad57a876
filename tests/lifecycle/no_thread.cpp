// [F56] Threads that cannot be made: this program's own pthread_create says so. It is told, and the caller delivers.
#include "outbound.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "../contract/expect.hpp"

using namespace std::chrono_literals;

namespace {

std::set<int> failing;  // which of the attempts fail, counted from 1
bool all_fail = true;
int attempts = 0;

constexpr auto for_ever = (std::chrono::hours::max)();

}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) {
  if (all_fail || failing.count(++attempts) != 0) return EAGAIN;
  using function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const function real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, start, argument);
}

namespace {

struct outcome {
  int worker_failed{};
  int delivered{};
  std::string message{};
};

// Posts through an outbox whose threads fail as set above.
outcome deliver(std::size_t workers, std::size_t expected) {
  std::atomic<int> failed{0}, delivered{0};
  outcome seen;
  outbound::outbox_options options;
  options.workers = workers;
  options.make_transport = [] {
    return outbound::transport{[](const outbound::request&) { return outbound::response{200}; }};
  };
  const auto held = std::make_shared<int>(0);
  options.on_event = [&, held](const outbound::event& e) {
    delivered += e.what == outbound::event::kind::delivered;
    if (e.what != outbound::event::kind::worker_failed) return;
    ++failed;
    seen.message = e.cause.message;
  };
  attempts = 0;
  const long holders = held.use_count();
  {
    outbound::outbox o{outbound::client{"k", outbound::no_transport}, options};
    EXPECT(o.workers() == expected);
    for (int i = 0; i < 50; ++i) EXPECT(o.post(outbound::user{i}.track("e")));
    if (expected == 0) EXPECT(o.stats().queued == 50);
    EXPECT(o.flush(for_ever));
    EXPECT(o.stats().delivered == 50);
    for (int i = 0; i < 50; ++i) EXPECT(o.post(outbound::user{i}.track("e")));
  }                                     // the destructor delivers the others
  EXPECT(held.use_count() == holders);  // and nothing stays behind
  seen.worker_failed = failed;
  seen.delivered = delivered;
  return seen;
}

}  // namespace

int main() {
  for (const std::size_t workers : {std::size_t{1}, std::size_t{4}}) {
    const outcome o = deliver(workers, 0);
    EXPECT(o.worker_failed == static_cast<int>(workers) && o.delivered == 100);
    EXPECT(o.message.find("a worker could not be started: ") == 0);
  }
  all_fail = false;
  for (const std::set<int>& some : {std::set<int>{1}, std::set<int>{2}, std::set<int>{3}, std::set<int>{1, 3}}) {
    failing = some;
    const outcome o = deliver(3, 3 - some.size());
    EXPECT(o.worker_failed == static_cast<int>(some.size()) && o.delivered == 100);
  }
}
