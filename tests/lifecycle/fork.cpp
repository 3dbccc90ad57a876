// [F55] fork with messages queued, workers in calls and the lock perhaps held: in the child everything returns at once
// and touches nothing, in the parent all is delivered.
#include "outbound.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../contract/expect.hpp"
#include "../support/threads.hpp"

using namespace std::chrono_literals;

namespace {

const pid_t first_process = getpid();

}  // namespace

// LeakSanitizer asks this at exit. In a child it is off: there it does not see what the parent's threads point at, and
// waits for ever for a lock of the allocator that one of them held at the fork.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return getpid() != first_process; }

namespace {

constexpr auto for_ever = (std::chrono::hours::max)();
constexpr unsigned hung_after = 20;  // seconds

// What a child does; a signal ends it if it hangs. Says whether it came to its end.
template <class Work>
bool in_child(const Work& work) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(hung_after);
    work();
    _exit(0);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

outbound::outbox_options forking(std::size_t workers) {
  outbound::outbox_options o;
  o.workers = workers;
  o.process_id = getpid;
  return o;
}

// Everything, and quickly: a child has no worker that could help.
void use(outbound::outbox& o) {
  const outbound::result<void> posted = o.post(outbound::user{1}.track("e"));
  EXPECT(!posted && posted.error().code == outbound::errc::closed);
  EXPECT(posted.error().message.find("forked") != std::string::npos);
  static_cast<void>(o.flush(for_ever));
  static_cast<void>(o.stats());
  static_cast<void>(o.workers());
  static_cast<void>(o.close(for_ever));
}

void while_queued(std::size_t workers) {
  test::door at_call;
  std::atomic<int> calls{0};
  const pid_t parent = getpid();
  auto o = std::make_unique<outbound::outbox>(outbound::client{"k",
                                                               [&](const outbound::request&) {
                                                                 EXPECT(getpid() == parent);
                                                                 at_call.pass();
                                                                 ++calls;
                                                                 return outbound::response{200};
                                                               }},
                                              forking(workers));
  for (int i = 0; i < 50; ++i) EXPECT(o->post(outbound::user{i}.track("e")));
  if (workers != 0) at_call.wait_for(1);
  EXPECT(in_child([&] {
    use(*o);
    o.reset();
  }));
  EXPECT(in_child([&] {  // from a child of the child, too
    EXPECT(in_child([&] { use(*o); }));
    o.reset();
  }));
  at_call.open();
  EXPECT(o->flush(for_ever));
  EXPECT(calls == 50);
  EXPECT(o->close(for_ever) && o->stats().delivered == 50);
}

// Forks while a worker holds the outbox's lock.
void while_locked() {
  test::door at_wait;
  std::atomic<int> calls{0};
  outbound::outbox_options options = forking(1);
  options.wait = [&at_wait](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                            std::chrono::milliseconds longest) {
    at_wait.pass();
    changed.wait_for(lock, longest);
  };
  auto o = std::make_unique<outbound::outbox>(outbound::client{"k",
                                                               [&calls](const outbound::request&) {
                                                                 ++calls;
                                                                 return outbound::response{200};
                                                               }},
                                              std::move(options));
  at_wait.wait_for(1);
  EXPECT(in_child([&] {
    use(*o);
    o.reset();
  }));
  at_wait.open();
  EXPECT(o->post(outbound::user{1}.track("e")));
  EXPECT(o->flush(for_ever) && calls == 1);
}

// Under AddressSanitizer a thread may be in its allocator at a fork, and in the child that stays locked, as it does not
// with the allocators of libc.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool allocator_bears_forks = false;
#elif defined(__has_feature)
constexpr bool allocator_bears_forks = !__has_feature(address_sanitizer);
#else
constexpr bool allocator_bears_forks = true;
#endif

// Forks at any moment.
void while_posting() {
  if (!allocator_bears_forks) {
    std::fputs("SKIPPED: forks at any moment: AddressSanitizer's allocator does not bear them\n", stderr);
    return;
  }
  std::atomic<int> accepted{0}, calls{0};
  std::atomic<bool> over{false};
  auto o = std::make_unique<outbound::outbox>(outbound::client{"k",
                                                               [&calls](const outbound::request&) {
                                                                 ++calls;
                                                                 return outbound::response{200};
                                                               }},
                                              forking(1));
  std::vector<std::thread> producers;
  for (int t = 0; t < 2; ++t)
    producers.emplace_back([&, t] {
      while (!over) accepted += static_cast<bool>(o->post(outbound::user{t}.track("e")));
    });
  for (int i = 0; i < 50; ++i)
    EXPECT(in_child([&] {
      use(*o);
      o.reset();
    }));
  over = true;
  for (std::thread& t : producers) t.join();
  EXPECT(o->close(for_ever));
  EXPECT(accepted > 0 && calls == accepted);
}

// A child that ends by exit destroys the parent's static objects.
void while_static() {
  static test::door& at_call =
      *new test::door;  // to destroy one that a thread waits at is undefined, in a child as well
  static std::atomic<int> calls{0};
  static outbound::outbox o{outbound::client{"k",
                                             [](const outbound::request&) {
                                               at_call.pass();
                                               ++calls;
                                               return outbound::response{200};
                                             }},
                            forking(1)};
  EXPECT(o.post(outbound::user{1}.track("e")));
  at_call.wait_for(1);
  EXPECT(in_child([] { std::exit(0); }));
  at_call.open();
  EXPECT(o.flush(for_ever) && calls == 1);
}

// A child may have an outbox of its own.
void in_the_child() {
  EXPECT(in_child([] {
    int calls = 0;
    {
      outbound::outbox own{outbound::client{"k",
                                            [&calls](const outbound::request&) {
                                              ++calls;
                                              return outbound::response{200};
                                            }},
                           forking(1)};
      EXPECT(own.post(outbound::user{1}.track("e")));
      EXPECT(own.flush(for_ever));
    }
    EXPECT(calls == 1);
  }));
}

}  // namespace

int main() {
  while_queued(0);
  while_queued(1);
  while_locked();
  while_posting();
  while_static();
  in_the_child();
}
