// The outbox when memory runs out: every allocation of every thread fails once, and from some point on; nothing hangs,
// leaks or crashes, and what was accepted is delivered. Also: memory is flat at the bound. Replaces operator new, so
// this file is linked into a program of its own.
#include "outbound.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/threads.hpp"

namespace {

constexpr std::size_t header_size = alignof(std::max_align_t);

struct {
  std::atomic<long> allocations{0};  // since the last `watch`, of all threads
  std::atomic<long> live{0};         // blocks
  std::atomic<long> bytes{0};
  std::atomic<long> fail_at{0};  // the allocation that fails, counted from 1; 0: none
  std::atomic<bool> for_ever{false};
  std::atomic<bool> failed{false};
} memory;

void watch(long fail_at = 0, bool for_ever = false) {
  memory.fail_at = 0;
  memory.allocations = 0;
  memory.failed = false;
  memory.for_ever = for_ever;
  memory.fail_at = fail_at;
}

void* allocate(std::size_t size) noexcept {
  const long n = ++memory.allocations;
  const long fail_at = memory.fail_at;
  if (fail_at != 0 && (n == fail_at || (memory.for_ever && n > fail_at))) {
    memory.failed = true;
    return nullptr;
  }
  void* const p = std::malloc(size + header_size);
  if (p == nullptr) return nullptr;
  *static_cast<std::size_t*>(p) = size;
  ++memory.live;
  memory.bytes += static_cast<long>(size);
  return static_cast<char*>(p) + header_size;
}

void release(void* p) noexcept {
  if (p == nullptr) return;
  void* const block = static_cast<char*>(p) - header_size;
  --memory.live;
  memory.bytes -= static_cast<long>(*static_cast<std::size_t*>(block));
  std::free(block);
}

void* allocate_or_throw(std::size_t size) {
  void* const p = allocate(size);
  if (p != nullptr) return p;
  throw std::bad_alloc{};
}

}  // namespace

void* operator new(std::size_t size) { return allocate_or_throw(size); }
void* operator new[](std::size_t size) { return allocate_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }

namespace {

using outbound::client;
using outbound::errc;
using outbound::outbox;
using outbound::outbox_options;
using outbound::request;
using outbound::response;
using outbound::result;
using outbound::transport;
using outbound::user;

constexpr auto for_ever = (std::chrono::hours::max)();

// One life of an outbox, allocations failing from before its construction, or from before the first post, until memory
// is given back before the last flush. Returns what is wrong, or null. Allocates nothing of its own after `watch`.
struct life {
  std::size_t workers;
  std::size_t batch_size;
  bool constructs;  // the construction is watched as well

  const char* run(long fail_at, bool for_ever_failing) const {
    test::own_time time;
    std::atomic<unsigned> delivered{0};
    std::atomic<int> told{0};
    outbox_options options;
    time.install(options);
    options.workers = workers;
    options.batch_size = batch_size;
    options.make_transport = [&delivered] {
      return transport{[&delivered, failures = 1](const request& r) mutable -> result<response> {
        if (failures-- > 0) return outbound::error{errc::not_sent, 0, "no route", {}};
        const auto bodies = std::count(r.body.begin(), r.body.end(), '}');
        delivered += static_cast<unsigned>(bodies);
        return response{200};
      }};
    };
    options.on_event = [&told](const outbound::event&) { ++told; };
    const outbound::message m = user{"somebody whose id is not short"}.track("an event with a long name");
    const outbound::message n = user{"another one whose id is not short"}.track("an event with a long name");
    client c{"k", outbound::no_transport};
    if (constructs) watch(fail_at, for_ever_failing);
    outbox o{std::move(c), std::move(options)};
    if (!constructs) watch(fail_at, for_ever_failing);
    unsigned accepted = 0;
    const char* wrong = nullptr;
    for (int i = 0; i < 4; ++i) {
      const result<void> posted = o.post(i % 2 == 0 ? m : n);
      accepted += static_cast<bool>(posted);
      if (!posted && posted.error().code != errc::out_of_memory) wrong = "post fails for another reason";
      if (i == 1) static_cast<void>(o.flush(std::chrono::seconds{for_ever_failing ? 0 : 1}));
    }
    static_cast<void>(o.stats());
    watch();  // there is memory again
    if (wrong != nullptr) return wrong;
    const outbound::delivery_stats s = o.stats();
    if (s.accepted != accepted) return "accepted is not what post said";
    if (s.accepted != s.delivered + s.failed + s.dropped + s.queued + s.in_flight) return "it does not add up";
    const outbound::remaining left = o.flush(std::chrono::hours{200});
    if (!left && s.queued != 0 && o.workers() == 0 && workers != 0) return nullptr;  // no transport could be made
    if (!left) return "flush leaves something";
    if (!o.close(std::chrono::hours{200})) return "close leaves something";
    if (o.stats().delivered != accepted || delivered != accepted) return "what was accepted is not delivered once";
    return nullptr;
  }
};

}  // namespace

TEST_CASE("F61: allocations of an outbox and its worker fail", "[F61]") {
  for (const life l : {life{0, 1, false}, life{0, 1, true}, life{1, 1, false}, life{1, 1, true}, life{1, 10, false},
                       life{0, 10, true}}) {
    CAPTURE(l.workers, l.batch_size, l.constructs);
    REQUIRE(std::string{l.run(0, false) == nullptr ? "" : l.run(0, false)} == "");  // what is made once is made here
    for (const bool fails_for_ever : {false, true}) {
      bool failed = true;
      long n = 1;
      for (; failed; ++n) {
        const long before = memory.live;
        const char* const wrong = l.run(n, fails_for_ever);
        // `watch` forgets; whether there was a failure shows in what comes after the last one: a long quiet
        failed = n < 150;
        const long after = memory.live;
        if (wrong != nullptr || after != before) {
          CAPTURE(fails_for_ever, n);
          REQUIRE(std::string{wrong != nullptr ? wrong : ""} == "");
          REQUIRE(after == before);
        }
      }
    }
  }
}
