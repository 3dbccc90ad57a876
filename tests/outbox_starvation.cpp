// The outbox when memory runs out: every allocation of every thread fails once, and from some point on; nothing hangs,
// leaks or crashes, and what was accepted is delivered. Also: memory is flat at the bound. Replaces operator new, so
// this file is linked into a program of its own.
#include "outbound.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/starved.hpp"
#include "support/threads.hpp"

namespace {

using outbound::client;
using outbound::errc;
using outbound::event;
using outbound::outbox;
using outbound::outbox_options;
using outbound::request;
using outbound::response;
using outbound::result;
using outbound::transport;
using outbound::user;
using test::memory;
using test::watch;

// What one life of an outbox came to.
struct outcome {
  const char* wrong{};  // or null
  bool starved{};       // an allocation failed
};

// Allocations fail from before the construction, or from before the first post, until memory is given back before the
// last flush.
struct life {
  std::size_t workers;
  std::size_t batch_size;
  bool constructs;  // the construction is watched as well

  outcome run(long fail_at, bool for_ever_failing) const {
    test::own_time time;
    std::atomic<unsigned> delivered{0};
    std::atomic<int> not_made{0};
    outbox_options options;
    time.install(options);
    options.workers = workers;
    options.batch_size = batch_size;
    options.make_transport = [&delivered] {
      return transport{[&delivered, failures = 1](const request& r) mutable -> result<response> {
        if (failures-- > 0)
          return outbound::error{errc::not_sent, 0, "no route, told at more length than a string has room for", {}};
        delivered += static_cast<unsigned>(std::count(r.body.begin(), r.body.end(), '}'));  // one in each message
        return response{200};
      }};
    };
    options.on_event = [&not_made](const event& e) { not_made += e.what == event::kind::worker_failed; };
    const outbound::message m = user{"somebody whose id is not short"}.track("an event with a long name");
    const outbound::message n = user{"another one whose id is not short"}.track("an event with a long name");
    client c{"k", outbound::no_transport};
    if (constructs) watch(fail_at, for_ever_failing);
    outbox o{std::move(c), std::move(options)};
    if (!constructs) watch(fail_at, for_ever_failing);
    std::uint64_t accepted = 0;
    bool oom_only = true;
    for (int i = 0; i < 4; ++i) {
      const result<void> posted = o.post(i % 2 == 0 ? m : n);
      accepted += static_cast<bool>(posted);
      oom_only = oom_only && (posted || posted.error().code == errc::out_of_memory);
      if (i == 1) static_cast<void>(o.flush(std::chrono::seconds{for_ever_failing ? 0 : 1}));
    }
    const outbound::delivery_stats s = o.stats();
    const bool starved = memory.failed;
    watch();  // there is memory again
    const auto judge = [&]() -> const char* {
      if (!oom_only) return "post fails for another reason";
      if (s.accepted != accepted) return "accepted is not what post said";
      if (s.accepted != s.delivered + s.failed + s.dropped + s.queued + s.in_flight) return "it does not add up";
      const outbound::remaining left = o.flush(std::chrono::hours{200});
      if (!left && constructs && o.workers() == 0) return nullptr;  // no transport was made: the destructor drops it
      if (!left) return "flush leaves something";
      if (!o.close(std::chrono::hours{200})) return "close leaves something";
      if (o.stats().delivered != accepted || delivered != accepted) return "accepted is not what was delivered";
      return nullptr;
    };
    return {judge(), starved};
  }
};

long resident_pages() {
  std::ifstream in{"/proc/self/statm"};
  long size = 0, resident = -1;
  in >> size >> resident;
  return in ? resident : -1;
}

}  // namespace

TEST_CASE("F61: allocations of an outbox and its worker fail", "[F61]") {
  constexpr long quiet = 20;  // so many lives without a failure: which thread allocates first is up to chance
  constexpr long most = 2000;
  for (const life l : {life{0, 1, false}, life{0, 1, true}, life{1, 1, false}, life{1, 1, true}, life{1, 10, false},
                       life{0, 10, true}}) {
    CAPTURE(l.workers, l.batch_size, l.constructs);
    static_cast<void>(l.run(0, false));  // what is made once and kept is made here
    for (const bool fails_for_ever : {false, true}) {
      long last = 0;
      for (long n = 1; n < last + quiet || n < quiet; ++n) {
        const long before = memory.live;
        const outcome seen = l.run(n, fails_for_ever);
        const long after = memory.live;
        if (seen.starved) last = n;
        CAPTURE(fails_for_ever, n);
        REQUIRE(std::string{seen.wrong != nullptr ? seen.wrong : ""} == "");
        REQUIRE(after == before);
        REQUIRE(n < most);
      }
      CHECK(last > 10);
    }
  }
}

TEST_CASE("F51: a million events behind a blocked transport do not take more memory than fit", "[F51]") {
  constexpr int count = 1'000'000;
  for (const bool drops : {false, true}) {
    CAPTURE(drops);
    test::door blocked;
    std::atomic<std::uint64_t> told{0};
    outbox_options options;  // the bounds are the defaults
    options.when_full = drops ? outbound::overflow::drop_oldest : outbound::overflow::reject_new;
    options.close_timeout = std::chrono::milliseconds{0};
    options.on_event = [&told](const event& e) { told += e.why == outbound::loss::overflow; };
    outbox o{client{"k",
                    [&blocked](const request&) {
                      blocked.pass();
                      return response{200};
                    }},
             options};
    const long empty = memory.bytes;
    long at_bound = 0, most = 0, pages_at_bound = 0;
    std::uint64_t accepted = 0;
    for (int i = 0; i < count; ++i) {
      accepted += static_cast<bool>(o.post(user{i % 100'000}.track("signup").property("plan", "pro").property("n", i)));
      const long now = memory.bytes - empty;
      if (i == static_cast<int>(options.max_messages)) at_bound = now, pages_at_bound = resident_pages();
      if (now > most) most = now;
    }
    const long at_end = memory.bytes - empty;
    const outbound::delivery_stats s = o.stats();
    std::printf("F51 %s: %ld bytes at the bound, %ld at most, %ld at the end, %ld a message; %ld and %ld pages\n",
                drops ? "drop_oldest" : "reject_new", at_bound, most, at_end,
                at_bound / static_cast<long>(options.max_messages), pages_at_bound, resident_pages());
    CHECK(at_bound > 0);
    CHECK(most <= at_bound + at_bound / 10);
    CHECK(at_end >= at_bound - at_bound / 10);
    CHECK(s.queued + s.in_flight == options.max_messages);
    CHECK(s.accepted == accepted);
    CHECK(accepted == (drops ? count : options.max_messages));
    CHECK(s.dropped == accepted - options.max_messages);
    CHECK(s.lost(outbound::loss::overflow) == s.dropped);
    CHECK(told == s.dropped);
    blocked.open();
  }
}
