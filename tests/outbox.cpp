// The outbox against those who use it badly: callbacks that throw, call back and destroy, threads that meet, clocks and
// limits at their edges. A test that finds a deadlock does not end, and is ended by the runner.
#include "outbound.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <ctime>
#endif

#include "support/catch.hpp"
#include "support/quick.hpp"
#include "support/threads.hpp"

using namespace std::chrono_literals;

using outbound::client;
using outbound::delivery_stats;
using outbound::errc;
using outbound::event;
using outbound::instant;
using outbound::loss;
using outbound::outbox;
using outbound::outbox_options;
using outbound::remaining;
using outbound::request;
using outbound::response;
using outbound::result;
using outbound::track;
using outbound::transport;
using outbound::user;
using test::door;
using test::own_time;

static_assert(!std::is_copy_constructible_v<outbox> && !std::is_copy_assignable_v<outbox>, "F59");
static_assert(!std::is_move_constructible_v<outbox> && !std::is_move_assignable_v<outbox>, "F59");
static_assert(std::is_nothrow_destructible_v<outbox>, "F40: it closes, and never throws");

namespace {

using kind = event::kind;

constexpr auto for_ever = (std::chrono::hours::max)();

track event_of(const std::string& id) { return user{id}.track("e"); }

outbound::error not_sent() { return {errc::not_sent, 0, "no route", {}}; }

bool adds_up(const delivery_stats& s) {
  return s.accepted == s.delivered + s.failed + s.dropped + s.queued + s.in_flight;
}

transport answering(int status) {
  return [status](const request&) { return response{status}; };
}

/// All events, as they come from any thread.
class event_log {
 public:
  void install(outbox_options& o) {
    o.on_event = [this](const event& e) { add(e); };
  }
  void add(const event& e) {
    const std::lock_guard<std::mutex> lock{guard_};
    events_.push_back(e);
  }
  std::vector<event> all() {
    const std::lock_guard<std::mutex> lock{guard_};
    return events_;
  }
  int count(kind k) {
    int n = 0;
    for (const event& e : all()) n += e.what == k;
    return n;
  }

 private:
  std::mutex guard_{};
  std::vector<event> events_{};
};

}  // namespace

// --- F40: what callbacks may do

#ifdef __cpp_exceptions
TEST_CASE("F40: a transport that throws is an answer like any other", "[F40]") {
  own_time time;
  event_log log;
  outbox_options options;
  time.install(options);
  log.install(options);
  std::atomic<int> calls{0};
  outbox o{client{"k",
                  [&calls](const request&) -> response {
                    switch (++calls) {
                      case 1: throw std::runtime_error{"boom"};
                      case 2: throw 42;
                      default: return {200};
                    }
                  }},
           options};
  REQUIRE(o.post(event_of("a")));
  CHECK(o.flush(for_ever));
  CHECK(o.close(for_ever));
  const std::vector<event> told = log.all();
  REQUIRE(told.size() == 3);
  CHECK(told[0].what == kind::retrying);
  CHECK(told[0].cause.code == errc::no_response);
  CHECK(told[0].cause.message == "the transport threw: boom");
  CHECK(told[1].what == kind::retrying);
  CHECK(told[1].cause.message == "the transport threw: something that is no std::exception");
  CHECK(told[2].what == kind::delivered);
  CHECK(told[2].attempts == 3);
}

TEST_CASE("F40: an on_event that throws hurts nobody", "[F40]") {
  for (const std::size_t workers : {std::size_t{1}, std::size_t{0}}) {
    std::atomic<int> told{0};
    outbox_options options;
    options.workers = workers;
    options.on_event = [&told](const event&) {
      if (++told % 2 != 0) throw std::runtime_error{"boom"};
      throw 42;
    };
    outbox o{client{"k", answering(200)}, options};
    for (int i = 0; i < 10; ++i) REQUIRE(o.post(event_of("a")));
    CHECK(o.flush(for_ever));
    CHECK(o.close(for_ever));
    CHECK(told == 10);
    CHECK(o.stats().delivered == 10);
  }
}
#endif

TEST_CASE("F40: a transport calls post, stats, flush and close of its outbox", "[F40]") {
  for (const std::size_t workers : {std::size_t{1}, std::size_t{0}}) {
    CAPTURE(workers);
    outbox* self = nullptr;
    int calls = 0;
    remaining flushed, closed;
    delivery_stats within;
    bool posted = false, refused = false;
    outbox_options options;
    options.workers = workers;
    outbox o{client{"k",
                    [&](const request&) {
                      if (++calls == 1) {
                        posted = static_cast<bool>(self->post(event_of("b")));
                        flushed = self->flush(for_ever);  // one worker: nobody else could do anything
                        within = self->stats();
                      } else {
                        closed = self->close(for_ever);
                        refused = self->post(event_of("c")).error().code == errc::closed;
                      }
                      return response{200};
                    }},
             options};
    self = &o;
    REQUIRE(o.post(event_of("a")));
    o.flush(for_ever);
    CHECK(o.close(for_ever));
    CHECK(posted);
    CHECK(refused);
    CHECK((flushed.queued == 1 && flushed.in_flight == 1));
    CHECK((closed.queued == 0 && closed.in_flight == 1));
    CHECK((within.accepted == 2 && within.queued == 1 && within.in_flight == 1 && adds_up(within)));
    CHECK(o.stats().delivered == 2);
  }
}

TEST_CASE("F40: on_event calls post, stats, flush and close of its outbox", "[F40]") {
  for (const std::size_t workers : {std::size_t{1}, std::size_t{0}}) {
    CAPTURE(workers);
    outbox* self = nullptr;
    int told = 0;
    door over;
    over.open();
    bool good = true;
    outbox_options options;
    options.workers = workers;
    options.on_event = [&](const event& e) {
      good = good && e.what == kind::delivered && adds_up(self->stats());
      if (++told == 1) {
        good = good && self->post(event_of("b"));
        const remaining r = self->flush(for_ever);
        good = good && r.queued == 1 && r.in_flight == 0;
      } else {
        good = good && self->close(for_ever) && !self->post(event_of("c"));
        over.pass();
      }
    };
    outbox o{client{"k", answering(200)}, options};
    self = &o;
    REQUIRE(o.post(event_of("a")));
    o.flush(for_ever);
    over.wait_for(1);  // a flush waits for answers, not for what is told of them
    CHECK(o.close(for_ever));
    CHECK(good);
    CHECK(told == 2);
  }
}

TEST_CASE("F40: the outbox is destroyed from within its transport", "[F40]") {
  door made, gone;
  std::atomic<int> dropped{0}, told{0};
  std::unique_ptr<outbox> o;
  auto part = std::make_shared<int>(0);
  const std::weak_ptr<int> alive = part;
  outbox_options options;
  options.close_timeout = 0ms;
  options.on_event = [&](const event& e) {
    ++told;
    dropped += e.what == kind::dropped && e.why == loss::closed;
  };
  o = std::make_unique<outbox>(client{"k",
                                      [&, part = std::move(part)](const request&) {
                                        made.pass();
                                        o.reset();
                                        *part += 1;  // what is called lives until its call is over
                                        gone.pass();
                                        return response{200};
                                      }},
                               options);
  for (int i = 0; i < 5; ++i) REQUIRE(o->post(event_of("a")));
  made.open();
  gone.wait_for(1);
  CHECK(dropped == 4);  // all but the one in the call
  gone.open();
  while (!alive.expired()) std::this_thread::yield();  // and not longer
  CHECK(told == 4);                                    // what the call led to is told to nobody
}

TEST_CASE("F40: destroyed from within its transport, an outbox asks neither its store nor its clock any more",
          "[F40]") {
  struct watched : outbound::store {
    std::atomic<bool> gone{false}, late{false};
    std::atomic<int> appends{0};
    void look() { late = late || gone; }
    result<void> append(const outbound::record&) override {
      ++appends;
      look();
      return {};
    }
    result<void> remove(const std::vector<std::uint64_t>&) override {
      look();
      return {};
    }
    result<std::vector<outbound::record>> load() override { return std::vector<outbound::record>{}; }
  } store;
  for (const int status : {200, 400, 503}) {
    CAPTURE(status);
    store.gone = false;
    door made;
    std::unique_ptr<outbox> o;
    auto part = std::make_shared<int>(0);
    const std::weak_ptr<int> alive = part;
    outbox_options options;
    options.close_timeout = 0ms;
    options.store = &store;
    options.now = [&store] {
      store.look();
      return instant{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
    };
    o = std::make_unique<outbox>(client{"k",
                                        [&, status, part = std::move(part)](const request&) {
                                          made.pass();
                                          o.reset();
                                          store.gone = true;  // as is what belongs to the outbox's owner
                                          return response{status};
                                        }},
                                 options);
    for (int i = 0; i < 3; ++i) REQUIRE(o->post(event_of("a")));
    made.open();
    while (!alive.expired()) std::this_thread::yield();
    CHECK_FALSE(store.late);
  }
  CHECK(store.appends == 9);
}

TEST_CASE("F40: the outbox is destroyed from within on_event", "[F40]") {
  door made, gone;
  std::atomic<int> told{0};
  std::unique_ptr<outbox> o;
  auto part = std::make_shared<int>(0);
  const std::weak_ptr<int> alive = part;
  outbox_options options;
  options.close_timeout = 0ms;
  options.on_event = [&, part = std::move(part)](const event& e) {
    ++told;
    if (e.what != kind::delivered) return;
    made.pass();
    o.reset();
    *part += 1;
    gone.pass();
  };
  o = std::make_unique<outbox>(client{"k", answering(200)}, options);
  options = {};
  for (int i = 0; i < 5; ++i) REQUIRE(o->post(event_of("a")));
  made.open();
  gone.wait_for(1);
  CHECK(told == 5);  // one delivered, four dropped
  gone.open();
  while (!alive.expired()) std::this_thread::yield();
}

TEST_CASE("F60: destroyed from within on_event, an outbox tells nothing more", "[F60]") {
  door in_call;
  std::atomic<int> told{0};
  std::unique_ptr<outbox> o;
  auto part = std::make_shared<int>(0);
  const std::weak_ptr<int> alive = part;
  outbox_options options;
  options.close_timeout = 0ms;
  options.batch_size = 3;
  options.on_event = [&, part = std::move(part)](const event& e) {
    if (e.message.user_key == "first") return;
    ++told;
    o.reset();
  };
  o = std::make_unique<outbox>(client{"k",
                                      [&](const request&) {
                                        in_call.pass();
                                        return response{200};
                                      }},
                               options);
  options = {};
  REQUIRE(o->post(event_of("first")));
  in_call.wait_for(1);
  for (const char* id : {"a", "b", "c"}) REQUIRE(o->post(event_of(id)));  // answered, and told of, together
  in_call.open();
  while (!alive.expired()) std::this_thread::yield();
  CHECK(told == 1);
}

TEST_CASE("bug: a hook that posted again what was dropped was called ever deeper, until the stack ended [F53]",
          "[F53]") {
  constexpr std::size_t messages = 30'000;
  std::size_t posted_again = 0;
  std::uint64_t number = 0;
  outbox* self = nullptr;
  outbox_options options;
  options.workers = 0;
  options.close_timeout = 0ms;
  options.max_messages = messages;
  options.when_full = outbound::overflow::drop_oldest;
  options.on_event = [&](const event& e) {
    CHECK(e.number == ++number);
    if (e.why != loss::overflow || e.message.path != "/v2/identify") return;
    ++posted_again;
    CHECK(self->post(user{e.message.user_key}.identify()));
  };
  outbox o{client{"k", answering(200)}, options};
  self = &o;
  for (std::size_t i = 0; i < messages; ++i) REQUIRE(o.post(user{i}.identify()));
  CHECK(o.post(event_of("one more")));  // is the oldest, and dropped, when each other one has been posted again
  CHECK(posted_again == messages);
  CHECK(o.stats().queued == messages);
  CHECK(o.stats().dropped == messages + 1);
}

// --- F44: durations

TEST_CASE("F44: flush and close with durations at their edges", "[F44]") {
#ifdef __FAST_MATH__  // there are no others then
  constexpr double nan = 0, inf = (std::numeric_limits<double>::max)();
#else
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double inf = std::numeric_limits<double>::infinity();
#endif
  using seconds = std::chrono::duration<double>;
  door entered;
  outbox o{client{"k",
                  [&entered](const request&) {
                    entered.pass();
                    return response{200};
                  }},
           {}};
  REQUIRE(o.post(event_of("a")));
  entered.wait_for(1);
  CHECK(o.flush(0s).in_flight == 1);
  CHECK(o.flush(-1s).in_flight == 1);
  CHECK(o.flush((std::chrono::hours::min)()).in_flight == 1);
  CHECK(o.flush((std::chrono::nanoseconds::min)()).in_flight == 1);
  CHECK(o.flush(seconds{nan}).in_flight == 1);
  CHECK(o.flush(seconds{-inf}).in_flight == 1);
  CHECK(o.flush(seconds{-0.0}).in_flight == 1);
  CHECK(o.flush(1ns).in_flight == 1);
  std::vector<std::thread> waiting;
  std::atomic<int> done{0};
  const auto flush = [&](auto timeout) {
    waiting.emplace_back([&o, &done, timeout] { done += static_cast<bool>(o.flush(timeout)); });
  };
  flush((std::chrono::hours::max)());
  flush((std::chrono::nanoseconds::max)());
  flush((std::chrono::duration<std::int64_t, std::ratio<86400 * 365>>::max)());
  flush(seconds{inf});
  flush((seconds::max)());
  entered.open();
  for (std::thread& t : waiting) t.join();
  CHECK(done == 5);
  CHECK(o.close(seconds{nan}));
  CHECK(o.close((std::chrono::hours::min)()));
  CHECK(o.close((std::chrono::hours::max)()));
}

TEST_CASE("F44: the destructor takes any close_timeout", "[F44]") {
  for (const std::chrono::milliseconds timeout :
       {(std::chrono::milliseconds::max)(), std::chrono::milliseconds{365 * 24h}, std::chrono::milliseconds{24h}}) {
    CAPTURE(timeout.count());
    std::atomic<int> calls{0};
    outbox_options options;
    options.close_timeout = timeout;
    {
      outbox o{client{"k",
                      [&calls](const request&) {
                        ++calls;
                        return response{200};
                      }},
               options};
      for (int i = 0; i < 20; ++i) REQUIRE(o.post(event_of("a")));
    }
    CHECK(calls == 20);
  }
  for (const std::chrono::milliseconds timeout : {(std::chrono::milliseconds::min)(), -1ms, 0ms}) {
    CAPTURE(timeout.count());
    door entered;
    outbox_options options;
    options.close_timeout = timeout;
    event_log log;
    log.install(options);
    auto o = std::make_unique<outbox>(client{"k",
                                             [&entered](const request&) {
                                               entered.pass();
                                               return response{200};
                                             }},
                                      options);
    for (int i = 0; i < 3; ++i) REQUIRE(o->post(event_of("a")));
    entered.wait_for(1);
    entered.open();
    o.reset();
    CHECK(log.count(kind::delivered) + log.count(kind::dropped) == 3);
  }
}

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("F44: waiting costs no processor time, however long it may be", "[F44]") {
  // Some standard libraries take a wait of ages for one that is over: the thread turns round and round then.
  const auto processor_time = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return std::chrono::nanoseconds{std::chrono::seconds{t.tv_sec}} + std::chrono::nanoseconds{t.tv_nsec};
  };
  constexpr auto longest = (std::chrono::milliseconds::max)();
  door entered;
  outbox_options options;
  options.workers = 3;  // one in a call, one that watches the time, one for which there is nothing
  options.retry.first_delay = options.retry.max_delay = options.retry.max_age = longest;
  options.close_timeout = longest;
  std::atomic<int> done{0};
  door failed;
  failed.open();
  options.on_event = [&failed](const event& e) {
    if (e.what == kind::retrying) failed.pass();
  };
  options.make_transport = [&] {
    return transport{[&](const request& r) -> result<response> {
      if (r.user_key == "waits") return not_sent();
      entered.pass();
      return response{200};
    }};
  };
  outbound::options longer;
  longer.timeout = longest;
  outbox o{client{"k", outbound::no_transport, longer}, options};
  REQUIRE(o.post(event_of("waits")));
  failed.wait_for(1);
  REQUIRE(o.post(event_of("is in a call")));
  entered.wait_for(1);
  std::vector<std::thread> waiting;
  waiting.emplace_back([&] { done += !o.flush((std::chrono::hours::max)()); });
  waiting.emplace_back([&] { done += !o.flush((std::chrono::nanoseconds::max)()); });
  waiting.emplace_back([&] { done += !o.flush(std::chrono::duration<double>{1e300}); });
  std::this_thread::sleep_for(100ms);  // until they wait
  const auto before = processor_time();
  std::this_thread::sleep_for(1s);
  const auto spent = processor_time() - before;
  CHECK(std::chrono::duration_cast<std::chrono::milliseconds>(spent).count() < (test::quick() ? 100 : 10));
  CHECK(done == 0);
  std::thread closing{[&o] { static_cast<void>(o.close(0s)); }};  // the flushes end, since nobody delivers any more
  for (std::thread& t : waiting) t.join();
  entered.open();
  closing.join();
  CHECK(done == 3);
}
#endif

// --- F50: the end

TEST_CASE("F50: at the end every message is accounted for", "[F50]") {
  // Every answer that a transport can give, for ever; the clock makes the destructor's time pass at once.
  std::vector<std::function<result<response>(const request&)>> answers;
  for (const int status : {0, 200, 400, 401, 404, 408, 418, 429, 500, 502, 503})
    answers.push_back([status](const request&) { return response{status}; });
  for (const errc code : {errc::not_sent, errc::no_response})
    answers.push_back([code](const request&) { return outbound::error{code, 0, "x", {}}; });
#ifdef __cpp_exceptions
  answers.push_back([](const request&) -> response { throw 1; });
#endif
  for (std::size_t i = 0; i < answers.size(); ++i) {
    for (const std::size_t workers : {std::size_t{0}, std::size_t{1}}) {
      CAPTURE(i, workers);
      own_time time;
      event_log log;
      outbox_options options;
      time.install(options);
      log.install(options);
      options.workers = workers;
      options.close_timeout = 30min;
      delivery_stats before;
      {
        outbox o{client{"k", answers[i]}, options};
        for (int n = 0; n < 20; ++n) REQUIRE(o.post(event_of(std::to_string(n % 7))));
        before = o.stats();
        CHECK(adds_up(before));
      }
      CHECK(before.accepted == 20);
      CHECK(log.count(kind::delivered) + log.count(kind::failed) + log.count(kind::dropped) == 20);
      for (const event& e : log.all())
        if (e.what == kind::dropped) CHECK((e.why == loss::closed && !e.message.body.empty()));
    }
  }
}

TEST_CASE("F50: the destructor waits for its time and the call in the transport, no longer", "[F50]") {
  own_time time;
  event_log log;
  door call;
  const std::thread::id closer = std::this_thread::get_id();
  outbox_options options;
  time.install(options);
  log.install(options);
  options.close_timeout = 7min;
  options.wait = [&, wait = options.wait](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                                          std::chrono::milliseconds longest) {
    if (std::this_thread::get_id() == closer && longest > 1h) call.open();  // for the call alone: its time is over
    wait(changed, lock, longest);
  };
  std::chrono::milliseconds begun{};
  {
    outbox o{client{"k",
                    [&](const request&) {
                      call.pass();
                      time.advance(20s);  // what a call takes
                      return not_sent();
                    }},
             options};
    for (int n = 0; n < 50; ++n) REQUIRE(o.post(event_of(std::to_string(n))));
    call.wait_for(1);
    begun = time.now();
  }
  CHECK(time.now() - begun == 7min + 20s);
  CHECK(call.came() == 1);
  CHECK(log.count(kind::dropped) == 50);
}

TEST_CASE("F50: without workers, no function waits longer than its time for a backoff", "[F50]") {
  own_time time;
  outbox_options options;
  time.install(options);
  options.workers = 0;
  options.retry.first_delay = options.retry.max_delay = 50min;
  options.close_timeout = 2min;
  std::chrono::milliseconds begun{};
  {
    outbox o{client{"k", [](const request&) { return not_sent(); }}, options};
    REQUIRE(o.post(event_of("a")));
    for (int i = 0; i < 30; ++i) {
      begun = time.now();
      CHECK(o.flush(1min).queued == 1);
      CHECK(time.now() - begun == 1min);
    }
    CHECK(o.stats().attempts < 30);  // it waited for more than a minute
    begun = time.now();
  }
  CHECK(time.now() - begun == 2min);
}

// --- F52: threads that meet

TEST_CASE("F52: close twice, before any post, and post after close", "[F52]") {
  for (const std::size_t workers : {std::size_t{0}, std::size_t{1}}) {
    outbox_options options;
    options.workers = workers;
    outbox o{client{"k", answering(200)}, options};
    CHECK(o.flush(for_ever));
    CHECK(o.close(0s));
    CHECK(o.close(for_ever));
    const result<void> posted = o.post(event_of("a"));
    REQUIRE_FALSE(posted);
    CHECK(posted.error().code == errc::closed);
    CHECK(posted.error().status == 0);
    CHECK(o.flush(for_ever));
    CHECK(o.stats().accepted == 0);
  }
  outbox never_used{client{"k", answering(200)}};
}

TEST_CASE("F52: close, while messages are left, says so each time", "[F52]") {
  own_time time;
  outbox_options options;
  time.install(options);
  outbox o{client{"k", [](const request&) { return not_sent(); }}, options};
  REQUIRE(o.post(event_of("a")));
  for (int i = 0; i < 2; ++i) {
    const remaining left = o.close(10min);
    CHECK((left.queued == 1 && left.in_flight == 0));
  }
  CHECK(o.flush(for_ever).queued == 1);  // nobody delivers any more: it does not wait
}

TEST_CASE("F52: post is refused from when close begins, however long that waits", "[F52]") {
  for (const std::size_t workers : {std::size_t{0}, std::size_t{1}}) {
    CAPTURE(workers);
    const std::thread::id closer = std::this_thread::get_id();
    outbox* self = nullptr;
    door entered;
    std::vector<errc> refused;
    const auto post_late = [&] { refused.push_back(self->post(event_of("late")).error().code); };
    outbox_options options;
    options.workers = workers;
    options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                       std::chrono::milliseconds longest) {
      if (std::this_thread::get_id() == closer) {
        lock.unlock();
        post_late();
        entered.open();
        lock.lock();
        longest = 1ms;  // it may have missed a notification
      }
      changed.wait_for(lock, longest);
    };
    outbox o{client{"k",
                    [&](const request&) {
                      if (std::this_thread::get_id() == closer) post_late();
                      else entered.pass();
                      return response{200};
                    }},
             options};
    self = &o;
    REQUIRE(o.post(event_of("a")));
    if (workers != 0) entered.wait_for(1);
    CHECK(o.close(10s));
    REQUIRE_FALSE(refused.empty());
    for (const errc code : refused) CHECK(code == errc::closed);
    CHECK(o.stats().accepted == 1);
    CHECK(o.stats().delivered == 1);
  }
}

TEST_CASE("F52: threads in post, flush, stats and close at once", "[F52]") {
  for (const std::size_t workers : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    CAPTURE(workers);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> calls{0}, accepted{0}, wrong{0};
      outbox_options options;
      options.workers = workers;
      options.make_transport = [&calls] {
        return transport{[&calls](const request&) {
          ++calls;
          return response{200};
        }};
      };
      outbox o{client{"k", outbound::no_transport}, options};
      std::vector<std::thread> threads;
      for (int t = 0; t < 2; ++t)
        threads.emplace_back([&, t] {
          for (int i = 0; i < 50; ++i) accepted += static_cast<bool>(o.post(event_of(std::to_string(t))));
        });
      for (int t = 0; t < 2; ++t) threads.emplace_back([&] { o.flush(for_ever); });
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) wrong += !adds_up(o.stats());
      });
      threads.emplace_back([&] { o.flush(for_ever); });
      if (round % 2 != 0) threads.emplace_back([&] { o.close(for_ever); });
      for (std::thread& t : threads) t.join();
      CHECK(o.close(for_ever));
      CHECK(wrong == 0);
      CHECK(calls == accepted);
      CHECK(o.stats().delivered == static_cast<std::uint64_t>(accepted));
    }
  }
}

TEST_CASE("F52: two threads flush at once without a worker", "[F52]") {
  door entered;
  std::atomic<int> at_once{0}, most{0};
  outbox_options options;
  options.workers = 0;
  outbox o{client{"k",
                  [&](const request&) {
                    if (++at_once > most) most = at_once.load();
                    entered.pass();
                    --at_once;
                    return response{200};
                  }},
           options};
  for (int i = 0; i < 10; ++i) REQUIRE(o.post(event_of(std::to_string(i))));
  CHECK(o.stats().queued == 10);  // nothing happens by itself
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) threads.emplace_back([&] { done += static_cast<bool>(o.flush(for_ever)); });
  entered.wait_for(1);
  entered.open();
  for (std::thread& t : threads) t.join();
  CHECK(done == 2);
  CHECK(most == 1);  // there is one transport
  CHECK(o.stats().delivered == 10);
}

TEST_CASE("F52: close stops the flush of another thread that waits for a backoff", "[F52]") {
  for (const std::size_t workers : {std::size_t{0}, std::size_t{1}}) {
    CAPTURE(workers);
    door failing, resting;
    outbox_options options;
    options.workers = workers;
    options.retry.first_delay = options.retry.max_delay = 100h;
    options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                       std::chrono::milliseconds) { changed.wait(lock); };
    options.on_event = [&](const event&) { failing.pass(); };
    failing.open();
    outbox o{client{"k", [](const request&) { return not_sent(); }}, options};
    REQUIRE(o.post(event_of("a")));
    remaining left;
    std::thread flusher{[&] { left = o.flush(for_ever); }};
    failing.wait_for(1);
    CHECK_FALSE(o.close(0s));
    flusher.join();
    CHECK(left.queued == 1);
  }
}

// --- F53: locks of the user's

TEST_CASE("F53: transport and on_event take a mutex that a producer holds while it posts", "[F53]") {
  for (const std::size_t workers : {std::size_t{1}, std::size_t{4}}) {
    std::mutex users;
    int calls = 0, told = 0;
    outbox_options options;
    options.workers = workers;
    options.max_messages = 64;
    options.make_transport = [&] {
      return transport{[&](const request&) {
        const std::lock_guard<std::mutex> lock{users};
        ++calls;
        return response{200};
      }};
    };
    options.on_event = [&](const event&) {
      const std::lock_guard<std::mutex> lock{users};
      ++told;
    };
    outbox o{client{"k", outbound::no_transport}, options};
    std::atomic<int> accepted{0};
    std::vector<std::thread> producers;
    for (int t = 0; t < 4; ++t)
      producers.emplace_back([&, t] {
        for (int i = 0; i < 500; ++i) {
          const std::lock_guard<std::mutex> lock{users};
          accepted += static_cast<bool>(o.post(event_of(std::to_string(t))));
          static_cast<void>(o.stats());
        }
      });
    for (std::thread& t : producers) t.join();
    CHECK(o.close(for_ever));
    CHECK(calls == accepted);
    CHECK(told == accepted);
  }
}

TEST_CASE("F53: no lock is held while a callback runs: other threads go on", "[F53]") {
  door in_transport, in_event;
  outbox_options options;
  options.on_event = [&](const event&) { in_event.pass(); };
  outbox o{client{"k",
                  [&](const request&) {
                    in_transport.pass();
                    return response{200};
                  }},
           options};
  REQUIRE(o.post(event_of("a")));
  in_transport.wait_for(1);
  CHECK(o.stats().in_flight == 1);
  CHECK(o.post(event_of("b")));
  CHECK(o.flush(0s).in_flight == 1);
  in_transport.open();
  in_event.wait_for(1);
  CHECK(o.stats().delivered == 1);
  CHECK(o.post(event_of("c")));
  in_event.open();
  CHECK(o.close(for_ever));
  CHECK(o.stats().delivered == 3);
}

// --- F60: nothing runs after close

TEST_CASE("F60: after close no callback runs", "[F60]") {
  for (int round = 0; round < 200; ++round) {
    auto canary = std::make_unique<std::atomic<int>>(0);
    std::atomic<int>* const alive = canary.get();
    std::atomic<bool> freed{false}, late{false};
    outbox_options options;
    options.workers = 2;
    options.max_messages = 20;
    options.when_full = outbound::overflow::drop_oldest;
    options.make_transport = [&, alive] {
      return transport{[&, alive](const request&) {
        if (freed) late = true;
        else ++*alive;
        std::this_thread::yield();
        return response{200};
      }};
    };
    options.on_event = [&, alive](const event&) {
      if (freed) late = true;
      else ++*alive;
    };
    outbox o{client{"k", outbound::no_transport}, options};
    std::thread producer{[&o] {  // its own drops are told on its own thread: it has to end first, or be refused
      while (o.post(event_of("a"))) {
      }
    }};
    for (int i = 0; i < 10; ++i) static_cast<void>(o.post(event_of(std::to_string(i))));
    o.close(0s);
    freed = true;
    canary.reset();
    producer.join();
    CHECK_FALSE(late);
  }
}

// --- F75, F76: many outboxes

TEST_CASE("F75: a hundred outboxes with keys and hosts of their own", "[F75]") {
  constexpr int count = 100;
  std::vector<std::unique_ptr<outbox>> all;
  std::vector<std::atomic<int>> right(count), wrong(count);
  for (int i = 0; i < count; ++i) {
    const std::string key = "key-" + std::to_string(i);
    outbound::options o;
    o.base_url = "https://host-" + std::to_string(i) + ".example";
    all.push_back(std::make_unique<outbox>(client{key,
                                                  [&, i, key, url = o.base_url](const request& r) {
                                                    const std::string* const sent =
                                                        outbound::find_header(r.headers, "X-Outbound-Key");
                                                    const bool good = sent != nullptr && *sent == key &&
                                                                      r.url == url + "/v2/track" &&
                                                                      r.user_key == std::to_string(i);
                                                    ++(good ? right : wrong)[static_cast<std::size_t>(i)];
                                                    return response{200};
                                                  },
                                                  o}));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&all] {
      for (int n = 0; n < 5; ++n)
        for (std::size_t i = 0; i < all.size(); ++i) static_cast<void>(all[i]->post(event_of(std::to_string(i))));
    });
  for (std::thread& t : threads) t.join();
  for (auto& o : all) CHECK(o->close(for_ever));
  for (std::size_t i = 0; i < all.size(); ++i) CHECK((right[i] == 20 && wrong[i] == 0));
}

TEST_CASE("F76: outboxes of the same tick, with the same seed or none, give different GUIDs", "[F76]") {
  for (const bool seeded : {false, true}) {
    std::set<std::string> guids;
    std::size_t sent = 0;
    std::vector<std::unique_ptr<outbox>> all;
    for (int i = 0; i < 50; ++i) {
      outbox_options options;
      options.workers = 0;
      options.now = [] { return instant{}; };  // time stands still
      if (seeded) options.seed = {1, 2};
      auto o = std::make_unique<outbox>(client{"k",
                                               [&](const request& r) {
                                                 guids.insert(r.guid);
                                                 ++sent;
                                                 return response{200};
                                               }},
                                        options);
      REQUIRE(o->post(event_of("a")));
      REQUIRE(o->post(event_of("a")));
      CHECK(o->flush(1s));
      if (i % 2 == 0) all.push_back(std::move(o));  // the others give their addresses to the next
    }
    CHECK(sent == 100);
    CHECK(guids.size() == 100);
  }
}

// --- workers, factories, clients

TEST_CASE("outbox: close in the callbacks of two workers at once") {
  for (const bool in_event : {false, true}) {
    CAPTURE(in_event);
    door both;
    outbox* self = nullptr;
    std::atomic<int> closed{0};
    const auto end = [&] {
      both.pass();
      static_cast<void>(self->close(for_ever));
      ++closed;
    };
    outbox_options options;
    options.workers = 2;
    options.make_transport = [&] {
      return transport{[&](const request&) {
        if (!in_event) end();
        return response{200};
      }};
    };
    options.on_event = [&](const event&) {
      if (in_event) end();
    };
    outbox o{client{"k", outbound::no_transport}, options};
    self = &o;
    REQUIRE(o.post(event_of("a")));
    REQUIRE(o.post(event_of("b")));
    both.wait_for(2);
    both.open();
    CHECK(o.close(for_ever));
    CHECK(closed == 2);
    CHECK(o.stats().delivered == 2);
  }
}

TEST_CASE("outbox: several workers have a transport each, or are refused") {
  for (const std::size_t workers : {std::size_t{2}, std::size_t{3}}) {
    outbox_options options;
    options.workers = workers;
    outbox refusing{client{"k", answering(200)}, options};
    CHECK(refusing.workers() == 0);
    const result<void> posted = refusing.post(event_of("a"));
    REQUIRE_FALSE(posted);
    CHECK(posted.error().code == errc::invalid_options);
    CHECK(posted.error().status == 0);
    CHECK(posted.error().message == "several workers need options.make_transport: each has a transport of its own");
    CHECK(refusing.close(for_ever));
  }
}

namespace {
int process_now = 1;
}

TEST_CASE("F55: in another process everything returns at once, and the parent goes on", "[F55]") {
  event_log log;
  outbox_options options;
  log.install(options);
  options.workers = 0;
  options.process_id = [] { return process_now; };
  {
    outbox o{client{"k", answering(200)}, options};
    REQUIRE(o.post(event_of("a")));
    process_now = 2;
    const result<void> posted = o.post(event_of("b"));
    REQUIRE_FALSE(posted);
    CHECK(posted.error().code == errc::closed);
    CHECK(posted.error().status == 0);
    CHECK(posted.error().message == "the process was forked: this outbox is its parent's");
    CHECK(o.stats().accepted == 0);
    CHECK(o.workers() == 0);
    CHECK(o.flush(for_ever));
    CHECK(o.close(for_ever));
    CHECK(log.all().empty());
    process_now = 1;
    CHECK(o.stats().queued == 1);
    CHECK(o.flush(for_ever));
    CHECK(log.count(kind::delivered) == 1);
    REQUIRE(o.post(event_of("c")));  // nobody closed it
    REQUIRE(o.flush(for_ever));
  }
  options.workers = 1;
  outbox o{client{"k", answering(200)}, options};
  CHECK(o.workers() == 1);
  process_now = 2;
  CHECK(o.workers() == 0);
  process_now = 1;
}

#ifdef __cpp_exceptions  // without, the standard library ends the program here
TEST_CASE("outbox: more workers than any machine has") {
  outbox_options options;
  options.workers = static_cast<std::size_t>(-1);
  options.make_transport = [] { return answering(200); };
  outbox o{client{"k", outbound::no_transport}, options};
  const result<void> posted = o.post(event_of("a"));
  REQUIRE_FALSE(posted);
  CHECK(posted.error().code == errc::out_of_memory);
  CHECK(o.close(for_ever));
}

TEST_CASE("F36: the key is not in what a factory throws", "[F36]") {
  event_log log;
  outbox_options options;
  log.install(options);
  options.make_transport = []() -> transport { throw std::runtime_error{"cannot set X-Outbound-Key: topsecret"}; };
  outbox o{client{"topsecret", outbound::no_transport}, options};
  REQUIRE(log.all().size() == 1);
  CHECK(log.all()[0].cause.message == "a worker could not be started: cannot set X-Outbound-Key:  [key] ");
}

#endif

TEST_CASE("F36: the key is in nothing that is told or kept", "[F36]") {
  static const std::string key = "pk_live_4711_topsecret";
  struct memory : outbound::store {
    std::vector<outbound::record> kept{};
    result<void> append(const outbound::record& r) override {
      kept.push_back(r);
      return {};
    }
    result<void> remove(const std::vector<std::uint64_t>&) override { return {}; }
    result<std::vector<outbound::record>> load() override { return std::vector<outbound::record>{}; }
  } store;
  own_time time;
  event_log log;
  outbox_options options;
  time.install(options);
  log.install(options);
  options.store = &store;
  options.workers = 0;
  int calls = 0, with_key = 0;
  outbox o{
      client{key,
             [&](const request& r) -> result<response> {
               const std::string* const sent = outbound::find_header(r.headers, "X-Outbound-Key");
               with_key += sent != nullptr && *sent == key;
               const std::string said = "the key " + key + " is unknown";
               switch (++calls) {
                 case 1: return outbound::error{errc::not_sent, 0, said, {}};
                 case 2:
                   return outbound::error{errc::no_response, 0, "", {{outbound::defect::missing, "/" + key, said}}};
                 case 3: return response{401, R"({"error":{"Message":")" + said + R"("}})", {{"X", key}}};
                 case 4: return response{404, said, {}};
                 case 5: return response{503, std::string(190, '.') + key, {}};
                 case 6: return response{500, said, {}};
#ifdef __cpp_exceptions
                 case 7: throw std::runtime_error{said};
#endif
                 default: return response{400, said, {}};
               }
             }},
      options};
  REQUIRE(o.post(event_of("a")));
  CHECK(o.flush(1h));
  CHECK(calls >= 7);
  CHECK(with_key == calls);
  std::string all;
  int causes = 0;
  for (const event& e : log.all()) {
    causes += e.what == kind::retrying || e.what == kind::held || e.what == kind::failed;
    all += e.cause.message + '\n' + e.message.path + e.message.body + e.message.guid + e.message.user_key + '\n';
    for (const outbound::problem& p : e.cause.problems) all += p.where + p.why + '\n';
  }
  for (const outbound::record& r : store.kept) all += r.path + r.body + r.guid + r.user_key + '\n';
  CHECK(causes == calls);
  CHECK(log.count(kind::failed) == 1);
  CHECK(store.kept.size() == 1);
  CHECK(all.find("the key  [key]  is unknown") != std::string::npos);
  CHECK(all.find(key.substr(0, 8)) == std::string::npos);  // nor a part of it, where a text is cut
}

#ifdef __cpp_exceptions
TEST_CASE("outbox: a client that was moved from") {
  client gone{"a-key", answering(200)};
  const client taken{std::move(gone)};
  outbox o{std::move(gone)};
  const auto posted = o.post(event_of("a"));
  REQUIRE(!posted);
  CHECK(posted.error().code == errc::invalid_options);
}

TEST_CASE("outbox: a transport is made for each worker, or for who delivers") {
  for (const std::size_t workers : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
    CAPTURE(workers);
    std::size_t made = 0;
    outbox_options options;
    options.workers = workers;
    options.make_transport = [&made] {
      ++made;
      return answering(200);
    };
    outbox o{client{"k", outbound::no_transport}, options};
    CHECK(made == (workers == 0 ? 1 : workers));
    REQUIRE(o.post(event_of("a")));
    CHECK(o.flush(for_ever));
  }
}

TEST_CASE("outbox: a factory that throws is told, and the others deliver") {
  for (const int good : {0, 1, 2}) {
    CAPTURE(good);
    int made = 0;
    event_log log;
    outbox_options options;
    options.workers = 3;
    log.install(options);
    options.make_transport = [&made, good]() -> transport {
      if (made++ < good) return answering(200);
      if (made % 2 != 0) throw std::runtime_error{"no handle"};
      throw 42;
    };
    outbox o{client{"k", outbound::no_transport}, options};
    CHECK(o.workers() == static_cast<std::size_t>(good));
    CHECK(made == 3);
    CHECK(log.count(kind::worker_failed) == 3 - good);
    for (const event& e : log.all()) {
      if (e.what != kind::worker_failed) continue;
      CHECK(e.cause.code == errc::out_of_memory);
      CHECK(e.cause.status == 0);
      CHECK(e.cause.message.find("a worker could not be started: ") == 0);
    }
    REQUIRE(o.post(event_of("a")));
    const remaining left = o.flush(good == 0 ? std::chrono::hours{0} : for_ever);
    CHECK(left.queued == (good == 0 ? 1U : 0U));
    CHECK(o.close(for_ever).queued == left.queued);  // without a transport it does not wait either
    made = 0;
    options.on_event = {};
    outbox silent{client{"k", outbound::no_transport}, options};
    CHECK(silent.workers() == static_cast<std::size_t>(good));
  }
}
#endif

TEST_CASE("outbox: what a client refuses is refused at post") {
  std::atomic<int> calls{0};
  const auto count = [&calls](const request&) {
    ++calls;
    return response{200};
  };
  {
    outbox o{client{"bad key\n", count}};
    const result<void> posted = o.post(event_of("a"));
    REQUIRE_FALSE(posted);
    CHECK(posted.error().code == errc::invalid_options);
    CHECK(posted.error().message.find("bad key") == std::string::npos);
  }
  {
    outbound::options strict;
    strict.strict = true;
    outbox o{client{"k", count, strict}};
    const result<void> posted = o.post(event_of("undefined"));
    REQUIRE_FALSE(posted);
    CHECK(posted.error().code == errc::invalid_message);
    REQUIRE(posted.error().problems.size() == 1);
    CHECK(posted.error().problems[0].what == outbound::defect::placeholder);
    CHECK(o.stats().accepted == 0);
  }
  {
    outbox o{client{"k", count}};
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const result<void> posted = o.post(user{"a"}.track("e").property("p", nan));
    REQUIRE_FALSE(posted);
    CHECK(posted.error().code == errc::invalid_message);
    CHECK(o.close(for_ever));
  }
  CHECK(calls == 0);
}

TEST_CASE("outbox: a full queue refuses at once, and says how full it is") {
  door entered;
  outbox_options options;
  options.max_messages = 3;
  outbox o{client{"k",
                  [&entered](const request&) {
                    entered.pass();
                    return response{200};
                  }},
           options};
  for (int i = 0; i < 3; ++i) REQUIRE(o.post(event_of("a")));
  const result<void> posted = o.post(event_of("a"));
  REQUIRE_FALSE(posted);
  CHECK(posted.error().code == errc::queue_full);
  CHECK(posted.error().message.find("3 of 3 messages") != std::string::npos);
  entered.open();
  CHECK(o.flush(for_ever));
  CHECK(o.post(event_of("a")));
}

#ifdef __cpp_exceptions
TEST_CASE("outbox: a now or a wait that throws is as if there were none") {
  for (const bool int_thrown : {false, true}) {
    CAPTURE(int_thrown);
    const auto boom = [int_thrown] {
      if (int_thrown) throw 42;
      throw std::runtime_error{"boom"};
    };
    for (const std::size_t workers : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
      CAPTURE(workers);
      outbox_options options;
      options.workers = workers;
      options.make_transport = [] { return answering(200); };
      options.now = [boom]() -> instant {
        boom();
        return {};
      };
      for (const bool unlocks : {false, true}) {
        CAPTURE(unlocks);
        options.wait = [boom, unlocks](std::condition_variable&, std::unique_lock<std::mutex>& lock,
                                       std::chrono::milliseconds) {
          if (unlocks) lock.unlock();  // it may have come so far
          boom();
        };
        outbox o{client{"k", outbound::no_transport}, options};
        for (int i = 0; i < 10; ++i) REQUIRE(o.post(event_of(std::to_string(i))));
        CHECK(o.flush(for_ever));
        CHECK(o.close(for_ever));
        CHECK(o.stats().delivered == 10);
      }
    }
  }
}

TEST_CASE("outbox: a wait that throws after it has missed what was posted meanwhile") {
  door waits;
  std::atomic<int> thrown{0};
  outbox_options options;
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    if (thrown++ != 0) {
      changed.wait_for(lock, longest);
      return;
    }
    lock.unlock();
    waits.pass();
    throw std::runtime_error{"boom"};
  };
  outbox o{client{"k", answering(200)}, options};
  waits.wait_for(1);
  REQUIRE(o.post(event_of("a")));  // nobody waits to be notified of it
  waits.open();
  CHECK(o.flush(20s));
}
#endif

TEST_CASE("outbox: a flush from a callback waits for the call of another worker") {
  door calls, flushed;
  outbox* self = nullptr;
  remaining left;
  std::atomic<int> told{0};
  std::atomic<bool> flushes{false};
  outbox_options options;
  options.workers = 2;
  options.make_transport = [&] {
    return transport{[&](const request& r) {
      if (r.body.find("slow") != std::string::npos) {
        static_cast<void>(self->flush(0s));  // does not make it one who waits
        calls.pass();
      }
      return response{200};
    }};
  };
  options.on_event = [&](const event&) {
    if (++told != 1) return;
    flushes = true;
    left = self->flush(for_ever);
    flushed.pass();
  };
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    if (flushes) calls.open();  // it waits
    changed.wait_for(lock, longest);
  };
  outbox o{client{"k", outbound::no_transport}, options};
  self = &o;
  REQUIRE(o.post(event_of("slow")));
  calls.wait_for(1);
  REQUIRE(o.post(event_of("quick")));
  flushed.wait_for(1);
  calls.open();
  flushed.open();
  CHECK(o.flush(for_ever));
  CHECK((left.queued == 0 && left.in_flight == 0));
  CHECK(o.stats().delivered == 2);
}

TEST_CASE("outbox: a flush from a callback does not wait for another one that waits for it") {
  door calls, waits;
  outbox* self = nullptr;
  remaining left;
  std::atomic<bool> drops{false};
  outbox_options options;
  options.workers = 2;
  options.max_messages = 2;
  options.when_full = outbound::overflow::drop_oldest;
  options.make_transport = [&] {
    return transport{[&](const request& r) {
      if (r.body.find("first") == std::string::npos) return response{200};
      calls.pass();
      left = self->flush(for_ever);
      return response{200};
    }};
  };
  options.on_event = [&](const event& e) {
    if (e.what != kind::dropped) return;
    drops = true;
    static_cast<void>(self->flush(for_ever));  // on the thread of post: it waits for the call
  };
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    if (drops) calls.open();
    changed.wait_for(lock, longest);
  };
  outbox o{client{"k", outbound::no_transport}, options};
  self = &o;
  REQUIRE(o.post(user{"a"}.track("first")));
  calls.wait_for(1);
  REQUIRE(o.post(user{"a"}.track("dropped")));
  REQUIRE(o.post(user{"a"}.track("second")));
  CHECK(o.flush(for_ever));
  CHECK((left.queued == 1 && left.in_flight == 1));
  CHECK(o.stats().delivered == 2);
}

// --- bugs that were found here

TEST_CASE("bug: a flush from a callback waited for its own thread where the caller delivers [F40]", "[F40]") {
  outbox* self = nullptr;
  remaining left;
  outbox_options options;
  options.workers = 0;
  int calls = 0;
  outbox o{client{"k",
                  [&](const request&) {
                    if (++calls == 1) left = self->flush(for_ever);
                    return response{200};
                  }},
           options};
  self = &o;
  REQUIRE(o.post(event_of("a")));
  REQUIRE(o.post(event_of("b")));
  CHECK(o.flush(for_ever));
  CHECK((left.queued == 1 && left.in_flight == 1));
  CHECK(calls == 2);
}

TEST_CASE("bug: a flush from a callback waited for messages that wait for that callback [F40]", "[F40]") {
  for (const bool closes : {false, true}) {
    CAPTURE(closes);
    outbox* self = nullptr;
    remaining left;
    std::atomic<int> calls{0};
    outbox_options options;
    options.workers = 2;
    options.make_transport = [&] {
      return transport{[&](const request&) {
        if (++calls == 1) {
          static_cast<void>(self->post(event_of("a")));  // behind this very call: users are served in order
          left = closes ? self->close(for_ever) : self->flush(for_ever);
        }
        return response{200};
      }};
    };
    outbox o{client{"k", outbound::no_transport}, options};
    self = &o;
    REQUIRE(o.post(event_of("a")));
    CHECK(static_cast<bool>(o.flush(for_ever)) == !closes);
    CHECK(o.close(for_ever).queued == (closes ? 1U : 0U));
    CHECK((left.queued == 1 && left.in_flight == 1));
  }
}

TEST_CASE("bug: a flush from a probing callback waited for what that probe holds back [F40]", "[F40]") {
  own_time time;
  outbox* self = nullptr;
  remaining left;
  std::atomic<int> calls{0};
  outbox_options options;
  time.install(options);
  options.workers = 2;
  options.make_transport = [&] {
    return transport{[&](const request&) {
      const int n = ++calls;
      if (n == 1) {
        static_cast<void>(self->post(event_of("b")));
        return response{401};  // the queue is held; the next request is a probe
      }
      if (n == 2) left = self->flush(for_ever);
      return response{200};
    }};
  };
  outbox o{client{"k", outbound::no_transport}, options};
  self = &o;
  REQUIRE(o.post(event_of("a")));
  CHECK(o.flush(for_ever));
  CHECK((left.queued == 1 && left.in_flight == 1));
  CHECK(o.stats().delivered == 2);
}

TEST_CASE("bug: close returned while a callback that had called flush still ran [F60]", "[F60]") {
  for (const bool closes : {false, true}) {
    CAPTURE(closes);
    static thread_local bool inner = false;
    door flushing;
    outbox* self = nullptr;
    std::atomic<bool> over{false};
    outbox_options options;
    options.workers = 2;
    options.retry.first_delay = options.retry.max_delay = 10h;
    options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                       std::chrono::milliseconds) {
      if (std::exchange(inner, false)) flushing.pass();  // it waits when the lock can be got
      changed.wait(lock);
    };
    options.make_transport = [&] {
      return transport{[&](const request& r) -> result<response> {
        if (r.user_key == "never") return not_sent();
        inner = true;
        static_cast<void>(closes ? self->close(for_ever) : self->flush(for_ever));
        for (int i = 0; i < 10'000; ++i) std::this_thread::yield();
        over = true;
        return response{200};
      }};
    };
    flushing.open();
    outbox o{client{"k", outbound::no_transport}, options};
    self = &o;
    REQUIRE(o.post(event_of("never")));
    while (o.stats().attempts == 0 || o.stats().in_flight != 0) std::this_thread::yield();
    REQUIRE(o.post(event_of("a")));
    flushing.wait_for(1);
    static_cast<void>(o.close(0s));
    CHECK(over);
  }
}

TEST_CASE("bug: an outbox destroyed by a callback of flush or post was used afterwards [F40]", "[F40]") {
  std::unique_ptr<outbox> o;
  const auto captured = std::make_shared<int>(0);  // says when the core is gone
  outbox_options options;
  options.workers = 0;
  options.close_timeout = 0ms;
  o = std::make_unique<outbox>(client{"k",
                                      [&o, captured](const request&) {
                                        o.reset();
                                        ++*captured;
                                        return response{200};
                                      }},
                               options);
  REQUIRE(o->post(event_of("a")));
  o->flush(for_ever);
  CHECK(*captured == 1);
  CHECK(captured.use_count() == 1);

  options.workers = 1;
  options.max_messages = 2;
  options.when_full = outbound::overflow::drop_oldest;
  options.on_event = [&o, captured](const event& e) {
    if (e.why != loss::overflow) return;
    o.reset();
    ++*captured;
  };
  o = std::make_unique<outbox>(client{"k", outbound::no_transport}, options);
  options = {};
  for (int i = 0; o != nullptr && i < 1000; ++i) static_cast<void>(o->post(event_of("a")));
  CHECK(o == nullptr);
  CHECK(*captured == 2);
  CHECK(captured.use_count() == 1);
}

TEST_CASE("bug: an outbox destroyed by a callback while another one closed it never ended [F40]", "[F40]") {
  static thread_local bool closes;
  std::atomic<bool> waits{false};
  std::unique_ptr<outbox> o;
  outbox* self = nullptr;
  door made, gone;
  auto part = std::make_shared<int>(0);
  const std::weak_ptr<int> alive = part;
  outbox_options options;
  options.workers = 2;
  options.close_timeout = 0ms;
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    if (closes) waits = true;
    changed.wait_for(lock, longest);
  };
  options.make_transport = [&, part = std::move(part)] {
    return transport{[&, part](const request& r) {
      if (r.user_key == "a") {
        made.pass();
        while (!waits) std::this_thread::yield();
        o.reset();
        gone.pass();
      } else {
        closes = true;
        static_cast<void>(self->close(0ms));
        closes = false;
      }
      return response{200};
    }};
  };
  o = std::make_unique<outbox>(client{"k", outbound::no_transport}, std::move(options));
  self = o.get();
  REQUIRE(o->post(event_of("a")));
  made.wait_for(1);
  REQUIRE(o->post(event_of("b")));
  made.open();
  gone.wait_for(1);
  gone.open();
  while (!alive.expired()) std::this_thread::yield();
}

TEST_CASE("bug: flush slept on when the last message had expired [F52]", "[F52]") {
  door resting;
  std::atomic<std::int64_t> ms{0};
  outbox_options options;
  options.retry.max_age = 1s;
  options.retry.first_delay = options.retry.max_delay = 10s;
  options.now = [&ms] { return instant{std::chrono::steady_clock::time_point{std::chrono::milliseconds{ms}}, {}}; };
  static thread_local bool flushes = false;
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    if (longest > 1h) {
      if (flushes) resting.pass();  // its wait releases the lock
      return changed.wait(lock);
    }
    lock.unlock();
    resting.wait_for(1);
    lock.lock();  // got when the flusher waits
    ms += longest.count();
  };
  resting.open();
  outbox o{client{"k", [](const request&) { return not_sent(); }}, options};
  REQUIRE(o.post(event_of("a")));
  door over;
  over.open();
  std::thread flusher{[&] {
    flushes = true;
    CHECK(o.flush(for_ever));
    over.pass();
  }};
  const bool ended = over.comes(1);
  static_cast<void>(o.close(0s));  // sets the flusher free in any case
  flusher.join();
  CHECK(ended);
  CHECK(o.stats().lost(loss::expired) == 1);
}

TEST_CASE("bug: a worker slept past a retry while the one that watched the time was in a call [F52]", "[F52]") {
  std::mutex guard;
  std::condition_variable changed_here;
  int asleep = 0, watching = 0;  // workers
  bool sleeper_may_listen = false, sleeper_listens = false, may_wake = false, over = false;
  std::chrono::milliseconds wait_of_watcher{};
  std::atomic<std::int64_t> ms{0};
  std::atomic<int> calls{0};
  door in_call;
  outbox_options options;
  options.workers = 2;
  options.retry.first_delay = options.retry.max_delay = 50min;
  options.now = [&ms] { return instant{std::chrono::steady_clock::time_point{std::chrono::milliseconds{ms}}, {}}; };
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    std::unique_lock<std::mutex> mine{guard};
    if (over) {
      ms += longest < 1h ? longest.count() : 0;
    } else if (longest <= 1h) {  // watches the time, deaf to notifications
      lock.unlock();
      ++watching;
      wait_of_watcher = longest;
      changed_here.notify_all();
      changed_here.wait(mine, [&] { return may_wake || over; });
      may_wake = false;
      --watching;
      mine.unlock();
      return lock.lock();
    } else if (++asleep == 2) {  // the second worker hears nothing until the test lets it
      lock.unlock();
      changed_here.notify_all();
      changed_here.wait(mine, [&] { return sleeper_may_listen; });
      mine.unlock();
      lock.lock();
      mine.lock();
      sleeper_listens = true;
      changed_here.notify_all();
    }
    const auto most = over ? 1ms : std::chrono::milliseconds{1h};
    mine.unlock();
    changed.wait_for(lock, most);
  };
  options.make_transport = [&] {
    return transport{[&](const request&) -> result<response> {
      if (++calls <= 2) return not_sent();
      in_call.pass();
      return response{200};
    }};
  };
  outbox o{client{"k", outbound::no_transport}, options};
  const auto until = [&](const std::function<bool()>& there) {
    std::unique_lock<std::mutex> mine{guard};
    return changed_here.wait_for(mine, 20s, there);
  };
  const auto wake_watcher = [&](std::chrono::milliseconds later) {
    const std::lock_guard<std::mutex> mine{guard};
    ms += later.count();
    may_wake = true;
    changed_here.notify_all();
  };
  CHECK(until([&] { return asleep == 2; }));
  CHECK(o.post(event_of("a")));  // the first worker fails to send it, and watches the time
  CHECK(until([&] { return watching == 1 && calls == 1; }));
  CHECK(o.post(event_of("b")));
  wake_watcher(0ms);  // it fails to send this, too
  CHECK(until([&] { return watching == 1 && calls == 2; }));
  {
    const std::lock_guard<std::mutex> mine{guard};
    sleeper_may_listen = true;
    changed_here.notify_all();
  }
  CHECK(until([&] { return sleeper_listens; }));
  CHECK(o.stats().queued == 2);  // got the lock: the sleeper waits
  wake_watcher(wait_of_watcher);
  in_call.wait_for(1);                          // one of the two is due, the other is not yet
  CHECK(until([&] { return watching == 1; }));  // by whom?
  {
    const std::lock_guard<std::mutex> mine{guard};
    over = true;
    changed_here.notify_all();
  }
  in_call.open();
  CHECK(o.close(for_ever));
}

TEST_CASE("bug: no worker took what was due while an on_event ran [F53]", "[F53]") {
  door resting, first, second, told;
  outbox_options options;
  options.workers = 2;
  options.on_event = [&](const event&) { told.pass(); };
  options.wait = [&](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                     std::chrono::milliseconds longest) {
    resting.pass();
    changed.wait_for(lock, longest);
  };
  options.make_transport = [&] {
    return transport{[&](const request& r) {
      (r.body.find("second") != r.body.npos ? second : first).pass();
      return response{200};
    }};
  };
  resting.open();
  second.open();
  outbox o{client{"k", outbound::no_transport}, options};
  resting.wait_for(2);
  REQUIRE(o.post(user{1}.track("first")));
  first.wait_for(1);
  REQUIRE(o.post(user{1}.track("second")));  // waits for the first
  resting.wait_for(3);                       // and so does the other worker
  first.open();
  const bool taken = second.comes(1);
  told.open();
  CHECK(taken);
  CHECK(o.flush(for_ever));
}

namespace {

// Cannot forget anything.
class full_store : public outbound::store {
 public:
  result<void> append(const outbound::record&) override { return {}; }
  result<void> remove(const std::vector<std::uint64_t>&) override {
    return outbound::error{errc::store_failed, 0, "the disk is full", {}};
  }
  result<std::vector<outbound::record>> load() override { return std::vector<outbound::record>{}; }
};

}  // namespace

TEST_CASE("bug: a post that was refused after close asked the store and told of it [F60]", "[F60]") {
  own_time time;
  full_store store;
  event_log log;
  outbox_options options;
  time.install(options);
  log.install(options);
  options.store = &store;
  outbox o{client{"k", answering(200)}, options};
  REQUIRE(o.post(event_of("a")));
  CHECK(o.close(for_ever));
  const std::size_t told = log.all().size();
  time.advance(1h);
  CHECK(o.post(event_of("a")).error().code == errc::closed);
  CHECK(log.all().size() == told);
}

TEST_CASE("F60: what is left by close is told by the destructor, on its own thread", "[F60]") {
  std::vector<std::thread::id> threads;
  {
    outbox_options options;
    options.workers = 0;
    options.on_event = [&threads](const event& e) {
      CHECK(e.why == loss::closed);
      threads.push_back(std::this_thread::get_id());
    };
    outbox o{client{"k", answering(200)}, options};
    REQUIRE(o.post(event_of("a")));
    CHECK(o.close(0s).queued == 1);
    CHECK(threads.empty());
  }
  CHECK(threads == std::vector<std::thread::id>{std::this_thread::get_id()});
}
