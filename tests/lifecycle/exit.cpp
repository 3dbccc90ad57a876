// [F54] A program that ends while an outbox lives: exit.cpp WAY. Whatever the way, it ends, and what is destroyed has
// delivered or given back what it had. What is checked last lives in an atexit handler that is older than the outbox.
#include "outbound.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "../contract/expect.hpp"
#include "../support/threads.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int posts = 100;

// Never destroyed: threads may use it to the last moment.
struct counts {
  std::atomic<int> delivered{0}, dropped{0}, calls{0};
  std::atomic<int> expected_delivered{-1}, expected_dropped{-1};
};
counts& seen = *new counts;
test::door& at_call = *new test::door;
test::door& never = *new test::door;

void check_at_exit() {
  if (seen.delivered == seen.expected_delivered && seen.dropped == seen.expected_dropped) return;
  std::fprintf(stderr, "%d delivered and %d dropped, not %d and %d\n", seen.delivered.load(), seen.dropped.load(),
               seen.expected_delivered.load(), seen.expected_dropped.load());
  std::_Exit(1);
}

void expect_at_exit(int delivered, int dropped) {
  seen.expected_delivered = delivered;
  seen.expected_dropped = dropped;
  std::atexit(check_at_exit);
}

void count(const outbound::event& e) {
  seen.delivered += e.what == outbound::event::kind::delivered;
  seen.dropped += e.what == outbound::event::kind::dropped && e.why == outbound::loss::closed;
}

outbound::outbox_options counting() {
  outbound::outbox_options o;
  o.on_event = count;
  return o;
}

void post_all(outbound::outbox& o) {
  for (int i = 0; i < posts; ++i) EXPECT(o.post(outbound::user{i % 7}.track("e")));
}

// --- ways to end

void static_object() {
  expect_at_exit(posts, 0);
  static outbound::outbox o{outbound::client{"k", [](const outbound::request&) { return outbound::response{200}; }},
                            counting()};
  post_all(o);
  std::exit(0);
}

void static_object_without_network() {
  expect_at_exit(0, posts);
  outbound::outbox_options options = counting();
  options.close_timeout = 20ms;
  static outbound::outbox o{outbound::client{"k", outbound::no_transport}, options};
  post_all(o);
}

void static_object_without_workers() {
  expect_at_exit(posts, 0);
  outbound::outbox_options options = counting();
  options.workers = 0;
  static outbound::outbox o{outbound::client{"k", [](const outbound::request&) { return outbound::response{200}; }},
                            options};
  post_all(o);
}

void leaked_object() {
  auto* const o = new outbound::outbox{outbound::client{"k",
                                                        [](const outbound::request&) {
                                                          at_call.pass();
                                                          return outbound::response{200};
                                                        }},
                                       counting()};
  post_all(*o);
  at_call.wait_for(1);
}

// Its stack is not unwound, and a worker is in a call that does not end.
void exit_from_main() {
  outbound::outbox o{outbound::client{"k",
                                      [](const outbound::request&) {
                                        at_call.pass();
                                        return outbound::response{200};
                                      }},
                     counting()};
  post_all(o);
  at_call.wait_for(1);
  std::exit(0);
}

void quick_exit_from_main() {
  static outbound::outbox o{outbound::client{"k",
                                             [](const outbound::request&) {
                                               at_call.pass();
                                               return outbound::response{200};
                                             }},
                            counting()};
  post_all(o);
  at_call.wait_for(1);
  std::quick_exit(0);
}

// The outbox is destroyed on its own worker's thread.
void exit_from_transport() {
  expect_at_exit(0, posts - 1);
  static outbound::outbox o{outbound::client{"k",
                                             [](const outbound::request&) -> outbound::response {
                                               at_call.pass();
                                               std::exit(0);
                                             }},
                            counting()};
  post_all(o);
  at_call.open();
  never.pass();
}

void exit_from_on_event() {
  expect_at_exit(1, posts - 1);
  outbound::outbox_options options;
  options.on_event = [](const outbound::event& e) {
    count(e);
    if (e.what != outbound::event::kind::delivered) return;
    at_call.pass();
    std::exit(0);
  };
  static outbound::outbox o{outbound::client{"k", [](const outbound::request&) { return outbound::response{200}; }},
                            options};
  post_all(o);
  at_call.open();
  never.pass();
}

void quick_exit_from_transport() {
  static outbound::outbox o{outbound::client{"k",
                                             [](const outbound::request&) -> outbound::response {
                                               at_call.pass();
                                               std::quick_exit(0);
                                             }},
                            counting()};
  post_all(o);
  at_call.open();
  never.pass();
}

// One made while the others are destroyed.
void made_at_exit() {
  std::atexit([] {
    outbound::outbox o{outbound::client{"k", [](const outbound::request&) { return outbound::response{200}; }},
                       counting()};
    post_all(o);
    if (!o.close(30s)) std::_Exit(1);
  });
  static_object();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc == 2 ? argv[1] : "";
  if (way == "static") static_object();
  else if (way == "static-offline") static_object_without_network();
  else if (way == "static-pumped") static_object_without_workers();
  else if (way == "leaked") leaked_object();
  else if (way == "exit") exit_from_main();
  else if (way == "quick-exit") quick_exit_from_main();
  else if (way == "transport-exits") exit_from_transport();
  else if (way == "on-event-exits") exit_from_on_event();
  else if (way == "transport-quick-exits") quick_exit_from_transport();
  else if (way == "made-at-exit") made_at_exit();
  else return 2;
  return 0;
}
