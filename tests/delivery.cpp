// The delivery engine: what leaves when, what becomes of it, and that nothing is lost on the way.
#include "outbound.hpp"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/engine.hpp"

using namespace std::chrono_literals;
using outbound::delivery;
using outbound::delivery_queue;
using outbound::errc;
using outbound::event;
using outbound::loss;
using outbound::queue_options;
using outbound::response;
using outbound::result;
using outbound::user;
using std::chrono::milliseconds;
using test::adds_up;
using test::at;
using test::failure;
using test::memory_store;
using test::status;

namespace {

constexpr std::chrono::steady_clock::time_point never = (std::chrono::steady_clock::time_point::max)();

// A queue with a clock beside it, and a list of what it told. The books are checked after each step (F50).
struct rig {
  explicit rig(queue_options o = {}) : queue{hooked(std::move(o))} {}

  queue_options hooked(queue_options o) {
    if (!o.on_event) o.on_event = [this](const event& e) { events.push_back(e); };
    return o;
  }
  result<void> try_post(const outbound::message& m) {
    result<void> r = queue.post(m, at(now));
    balance();
    return r;
  }
  void post(const outbound::message& m) {
    const result<void> r = try_post(m);
    INFO(r.error().message);
    REQUIRE(r);
  }
  delivery next() {
    delivery d = queue.next(at(now));
    balance();
    return d;
  }
  // Now, or when the queue says.
  delivery take() {
    if (queue.due() != never && queue.due() > at(now).steady)
      now = std::chrono::duration_cast<milliseconds>(queue.due().time_since_epoch());
    delivery d = next();
    REQUIRE(d);
    return d;
  }
  void answer(delivery&& d, const result<response>& r) {
    queue.report(std::move(d), r, at(now));
    balance();
  }
  void answer(delivery&& d, int s) { answer(std::move(d), status(s)); }
  void balance() const {
    const outbound::delivery_stats s = queue.stats();
    REQUIRE(adds_up(s));
  }
  std::size_t count(event::kind what) const {
    std::size_t n = 0;
    for (const event& e : events) n += e.what == what;
    return n;
  }
  milliseconds wait() const { return std::chrono::duration_cast<milliseconds>(queue.due() - at(now).steady); }

  std::vector<event> events{};
  milliseconds now{0};
  delivery_queue queue;
};

queue_options batching(std::size_t n, outbound::store* where = nullptr) {
  queue_options o;
  o.batch_size = n;
  o.store = where;
  return o;
}

std::string body_of(const std::string& u, const std::string& e) {
  return R"({"user_id":")" + u + R"(","event":")" + e + R"("})";
}

// Until nothing is left, with a good server; gives the bodies in the order in which they left.
std::vector<std::string> drain(rig& r, int limit = 10'000) {
  std::vector<std::string> sent;
  while (r.queue.stats().queued != 0) {
    REQUIRE(limit-- > 0);
    REQUIRE(r.queue.due() != never);
    delivery d = r.take();
    sent.push_back(d.body);
    r.answer(std::move(d), 200);
  }
  return sent;
}

const int refusals[] = {400, 413, 422};
const int outages[] = {408, 425, 429, 501, 502, 503, 504, 599};
const int setup_errors[] = {300, 301, 302, 307, 308, 399, 401, 403};
const int path_errors[] = {404, 405, 410};

}  // namespace

// --- backoff

TEST_CASE("F45: the ceiling of backoff, attempts 0 to 1000", "[F45]") {
  for (const long long base : {0LL, 1LL, 500LL, 59'999LL, 60'000LL, 60'001LL, LLONG_MAX})
    for (const long long cap : {0LL, 1LL, 60'000LL, 86'400'000LL, LLONG_MAX})
      for (unsigned n = 0; n <= 1000; ++n) {
        outbound::retry_policy p;
        p.first_delay = milliseconds{base};
        p.max_delay = milliseconds{cap};
        const long double year = 365.0L * 86'400'000;
        const long double most = (std::min)(static_cast<long double>(cap), year);
        const long double expected =
            (std::min)(most, (std::min)(static_cast<long double>(base), year) * std::exp2(static_cast<long double>(n)));
        if (static_cast<long double>(outbound::detail::backoff_ceiling(p, n)) != expected) {
          CAPTURE(base, cap, n);
          CHECK(static_cast<long double>(outbound::detail::backoff_ceiling(p, n)) == expected);
        }
      }
}

TEST_CASE("F45: the delays of a message, attempts 0 to 1000", "[F45]") {
  queue_options o;
  o.retry.max_attempts = UINT_MAX;
  o.retry.budget = UINT_MAX;
  o.seed = {7, 8};
  rig r{o};
  r.post(user{1}.track("e"));
  for (unsigned n = 0; n <= 1000; ++n) {
    r.answer(r.take(), 500);  // unlike others, this one never makes the queue hold
    const double ceiling = (std::min)(60'000.0, 500.0 * std::exp2(n));
    REQUIRE(r.wait() >= 0ms);
    REQUIRE(static_cast<double>(r.wait().count()) <= ceiling);
  }
}

TEST_CASE("F45: delays are uniform and do not follow from each other", "[F45]") {
  queue_options o;
  o.retry.max_attempts = UINT_MAX;
  o.retry.budget = UINT_MAX;
  o.retry.first_delay = o.retry.max_delay = 999ms;
  o.on_event = [](const event&) {};
  for (const std::uint64_t seed : {0U, 1U, 2U}) {
    o.seed = {seed, 0};
    delivery_queue queue{o};
    REQUIRE(queue.post(user{1}.track("e"), at(0ms)));
    const int draws = 100'000;
    std::vector<double> bins(1000);
    std::vector<double> pairs(100);
    milliseconds now{0};
    std::int64_t before = 0;
    for (int i = 0; i < draws; ++i) {
      queue.report(queue.next(at(now)), status(500), at(now));
      const auto due = std::chrono::duration_cast<milliseconds>(queue.due().time_since_epoch());
      const std::int64_t d = (due - now).count();
      REQUIRE((d >= 0 && d <= 999));
      ++bins[static_cast<std::size_t>(d)];
      ++pairs[static_cast<std::size_t>(before / 100 * 10 + d / 100)];
      before = d;
      now = due;
    }
    const auto chi_square = [](const std::vector<double>& counts) {
      const double expected = draws / static_cast<double>(counts.size());
      double sum = 0;
      for (const double n : counts) sum += (n - expected) * (n - expected) / expected;
      return sum;
    };
    // Mean n - 1, standard deviation sqrt(2 (n - 1)); five of these to either side. The seeds are fixed.
    CHECK(std::fabs(chi_square(bins) - 999) < 5 * std::sqrt(2 * 999.0));
    CHECK(std::fabs(chi_square(pairs) - 99) < 5 * std::sqrt(2 * 99.0));
  }
}

TEST_CASE("F45: the seed makes the schedule and the GUIDs", "[F45]") {
  const auto schedule = [](outbound::guid_seed seed) {
    queue_options o;
    o.seed = seed;
    rig r{o};
    r.post(user{1}.track("e"));
    std::vector<std::string> all;
    for (int i = 0; i < 9; ++i) {
      delivery d = r.take();
      all.push_back(d.guid);
      r.answer(std::move(d), 500);
      all.push_back(std::to_string(r.wait().count()));
    }
    return all;
  };
  const auto a = schedule({1, 2});
  CHECK(a == schedule({1, 2}));
  for (const outbound::guid_seed other :
       {outbound::guid_seed{1, 3}, outbound::guid_seed{0, 2}, outbound::guid_seed{2, 1}}) {
    const auto b = schedule(other);
    CHECK(a[0] != b[0]);
    CHECK(std::vector<std::string>(a.begin() + 1, a.end()) != std::vector<std::string>(b.begin() + 1, b.end()));
  }
}

TEST_CASE("F72: a GUID is the same on every machine", "[F72]") {
  queue_options o;
  o.seed = {1, 2};
  rig r{o};
  r.post(user{"ada"}.track("signup"));
  CHECK(r.take().guid == "63dc48d5-5977-86f7-875f-37d5b9b87860");
  r.post(user{"ada"}.track("exit"));  // behind the first
  r.post(user{"eve"}.track("exit"));
  CHECK(r.take().guid == "2a4e7eaa-bf5a-83ae-9832-9ed801de15c8");  // 32 bytes: no rest of eight
}

// SplitMix64, worked out in Python from the description of its authors.
TEST_CASE("F72: the delays of a seed are the same on every machine", "[F72]") {
  queue_options o;
  o.seed = {1, 2};
  o.retry.max_attempts = UINT_MAX;
  rig r{o};
  r.post(user{1}.track("e"));
  for (const int delay : {46, 373, 277, 191, 513, 6306, 11'108, 14'682, 47'139, 57'256}) {
    r.answer(r.take(), 500);
    CHECK(r.wait() == milliseconds{delay});
  }
}

TEST_CASE("a GUID is a UUID of version 8, and no two are the same") {
  std::set<std::string> all;
  for (std::uint64_t low = 0; low < 10; ++low) {
    queue_options o;
    o.seed = {0, low};
    rig r{o};
    for (int i = 0; i < 1000; ++i) r.post(user{i}.track("the same"));
    for (int i = 0; i < 1000; ++i) all.insert(r.take().guid);
  }
  CHECK(all.size() == 10'000);
  for (const std::string& g : all) {
    bool good = g.size() == 36 && g[14] == '8' && std::string_view{"89ab"}.find(g[19]) != std::string_view::npos;
    for (std::size_t i = 0; good && i < g.size(); ++i)
      good = (i == 8 || i == 13 || i == 18 || i == 23)
                 ? g[i] == '-'
                 : std::string_view{"0123456789abcdef"}.find(g[i]) != std::string_view::npos;
    if (!good) FAIL(g);
  }
}

TEST_CASE("F44: durations at their ends", "[F44]") {
  for (const milliseconds end : {(milliseconds::max)(), (milliseconds::min)(), milliseconds{-1}, milliseconds{0}})
    for (int which = 0; which < 8; ++which) {
      CAPTURE(end.count(), which);
      queue_options o;
      if (which == 0 || which == 3 || which > 4) o.retry.first_delay = end;
      if (which == 1 || which == 3 || which > 5) o.retry.max_delay = end;
      if (which == 2 || which > 6) o.retry.max_age = end;
      o.retry.max_attempts = which == 4 ? UINT_MAX : 0;
      o.retry.budget = which == 4 ? UINT_MAX : 0;
      rig r{o};
      r.post(user{1}.track("e"));
      for (const int s : {503, 401, 429, 404, 0, 503, 503, 503, 503, 503}) {
        if (r.queue.due() == never) break;
        r.now = (std::max)(r.now, std::chrono::duration_cast<milliseconds>(r.queue.due().time_since_epoch()));
        delivery d = r.next();
        if (d) r.answer(std::move(d), s);
      }
      CHECK(r.queue.stats().accepted == 1);
      CHECK((r.queue.stats().queued == 1 || r.queue.stats().lost(loss::expired) == 1));
      // A year is the longest, so that nothing is due beyond two of them and the hour of a Retry-After.
      if (r.queue.due() != never) CHECK(r.wait() <= 2 * 365 * 24h);
    }
}

TEST_CASE("F44: the end of time itself", "[F44]") {
  // A program that simulates time may well go to `due()`, whatever that is.
  rig r;
  const outbound::instant end{never, (std::chrono::system_clock::time_point::max)()};
  REQUIRE(r.queue.post(user{1}.track("e"), end));
  delivery d = r.queue.next(end);
  REQUIRE(d);
  r.queue.report(std::move(d), status(503), end);
  CHECK(r.queue.due() > std::chrono::steady_clock::time_point{});
  CHECK(adds_up(r.queue.stats()));
}

TEST_CASE("F43: a clock that goes back stops the queue's, no more", "[F43]") {
  queue_options o;
  o.retry.first_delay = 10s;
  rig r{o};
  r.now = 24h;
  r.post(user{1}.track("first"));
  r.post(user{1}.track("second"));
  r.answer(r.take(), 500);
  const auto due = r.queue.due();
  r.now = 0h;  // a day back
  CHECK(r.queue.due() == due);
  if (due > at(24h).steady) CHECK(!r.next());
  r.post(user{2}.track("other"));
  delivery other = r.next();  // who waits for nothing is sent all the same
  REQUIRE(other);
  CHECK(other.user_key == "2");
  r.answer(std::move(other), 200);
  r.now = 24h + 10s;
  CHECK(drain(r) == std::vector<std::string>{R"({"user_id":1,"event":"first"})", R"({"user_id":1,"event":"second"})"});
  CHECK(r.queue.stats().delivered == 3);
}

TEST_CASE("F43: a clock that jumps a day ahead ages what waits, and loses nothing younger than that", "[F43]") {
  queue_options o;
  o.retry.max_age = 25h;
  rig r{o};
  r.post(user{1}.track("e"));
  r.answer(r.take(), 503);
  r.now += 24h;
  CHECK(r.next());
  CHECK(r.queue.stats().failed == 0);
}

// --- what an answer leads to

namespace {

enum class fate { delivered, refused, unexpected, exhausted, ambiguous, for_ever };

fate fate_of(int s, bool ambiguous_is_lost) {
  if (s >= 200 && s <= 299) return fate::delivered;
  if (s == 400 || s == 413 || s == 422) return fate::refused;
  if (s == 500) return fate::exhausted;
  if (ambiguous_is_lost && (s == 0 || s == 502 || s == 504)) return fate::ambiguous;
  if (s == 0 || s == 401 || s == 403 || s == 404 || s == 405 || s == 410 || s == 408 || s == 425 || s == 429)
    return fate::for_ever;
  if ((s >= 300 && s <= 399) || (s >= 501 && s <= 599)) return fate::for_ever;
  return fate::unexpected;
}

void check_fate(const outbound::message& m, const result<response>& answer, const queue_options& o, fate expected) {
  rig r{o};
  r.post(m);
  unsigned attempts = 0;
  while (attempts < 40 && r.queue.stats().queued != 0) {
    r.answer(r.take(), answer);
    ++attempts;
  }
  const outbound::delivery_stats s = r.queue.stats();
  CHECK(s.attempts == attempts);
  if (expected == fate::for_ever) {
    CHECK(attempts == 40);
    CHECK(s.queued == 1);
    return;
  }
  CHECK(attempts == (expected == fate::exhausted ? 10 : 1));
  CHECK(s.delivered == (expected == fate::delivered ? 1 : 0));
  CHECK(s.lost(loss::refused) == (expected == fate::refused ? 1 : 0));
  CHECK(s.lost(loss::unexpected) == (expected == fate::unexpected ? 1 : 0));
  CHECK(s.lost(loss::exhausted) == (expected == fate::exhausted ? 1 : 0));
  CHECK(s.lost(loss::ambiguous) == (expected == fate::ambiguous ? 1 : 0));
  REQUIRE(!r.events.empty());
  CHECK(r.events.back().what == (expected == fate::delivered ? event::kind::delivered : event::kind::failed));
  CHECK(r.events.back().message.body == m.body());
  CHECK(r.events.back().attempts == attempts);
}

}  // namespace

TEST_CASE("F46: how often each status is tried", "[F46]") {
  std::vector<int> all{0, -1, 600, 99, INT_MIN, INT_MAX};
  for (int s = 100; s < 600; ++s) all.push_back(s);
  for (const bool retry_ambiguous : {true, false})
    for (const int s : all) {
      CAPTURE(s, retry_ambiguous);
      queue_options o;
      o.retry.retry_ambiguous = retry_ambiguous;
      check_fate(user{1}.track("e"), status(s), o, fate_of(s, !retry_ambiguous));
      check_fate(user{1}.identify().email("e"), status(s), o, fate_of(s, false));
    }
}

TEST_CASE("F46: how often each error of a transport is tried", "[F46]") {
  for (const bool retry_ambiguous : {true, false}) {
    queue_options o;
    o.retry.retry_ambiguous = retry_ambiguous;
    const outbound::message event = user{1}.track("e");
    check_fate(event, failure(errc::not_sent), o, fate::for_ever);
    check_fate(event, failure(errc::out_of_memory), o, fate::for_ever);
    for (const errc code : {errc::no_response, errc{}})
      check_fate(event, failure(code), o, retry_ambiguous ? fate::for_ever : fate::ambiguous);
    for (const errc code : {errc::no_response, errc::not_sent, errc{}})
      check_fate(user{1}.identify(), failure(code), o, fate::for_ever);
    outbound::batch all;
    REQUIRE(all.add(user{1}.track("e")));
    check_fate(all, failure(errc::no_response), o, retry_ambiguous ? fate::for_ever : fate::ambiguous);
    check_fate(all, status(502), o, retry_ambiguous ? fate::for_ever : fate::ambiguous);
    check_fate(all, status(503), o, fate::for_ever);
    check_fate(user{1}.register_token(outbound::platform::fcm, "t"), failure(errc::no_response), o, fate::for_ever);
  }
}

TEST_CASE("F47: every attempt has the same bytes and GUID", "[F47]") {
  rig r;
  {
    std::string event(300, 'e');
    r.post(user{std::string(100, 'u')}.track(event).property("n", 1));
    event.assign(300, 'x');
  }
  delivery first = r.take();
  const std::string path = first.path, body = first.body, guid = first.guid, key = first.user_key;
  CHECK(path == "/v2/track");
  CHECK(body == R"({"user_id":")" + std::string(100, 'u') + R"(","event":")" + std::string(300, 'e') +
                    R"(","properties":{"n":1}})");
  CHECK(key == std::string(100, 'u'));
  r.answer(std::move(first), 503);
  unsigned attempt = 1;
  for (const int s : {500, 429, 0, 401, 404, 502, 301, 500, 503, 503, 503, 503, 503, 503, 410}) {
    delivery d = r.take();
    CHECK(d.path == path);
    CHECK(d.body == body);
    CHECK(d.guid == guid);
    CHECK(d.user_key == key);
    CHECK(d.attempt == ++attempt);
    r.answer(std::move(d), s);
  }
}

TEST_CASE("an error that says the options are wrong lost the message", "[F50]") {
  // client::prepare gives it back if the key or the URL cannot be used: the set-up is wrong, not the message. With a
  // store, a program started once with an empty key would have lost all that it had kept.
  memory_store kept;
  queue_options o;
  o.store = &kept;
  rig r{o};
  r.post(user{1}.track("e"));
  const outbound::client without_key{"", outbound::no_transport};
  for (int i = 0; i < 20; ++i) {
    delivery d = r.take();
    const result<outbound::request> prepared = without_key.prepare(d);
    REQUIRE(prepared.error().code == errc::invalid_options);
    r.answer(std::move(d), prepared.error());
  }
  CHECK(r.queue.stats().failed == 0);
  CHECK(r.queue.stats().queued == 1);
  CHECK(kept.records.size() == 1);
  CHECK(r.count(event::kind::held) == 1);
  r.now += 48h;
  CHECK(drain(r).size() == 1);
}

// --- storms and outages

TEST_CASE("F48: a dead server is not stormed", "[F48]") {
  for (const errc code : {errc::not_sent, errc::no_response}) {
    rig r;
    for (int i = 0; i < 1000; ++i) r.post(user{i}.track("e"));
    while (r.now < 1h) {  // sixteen connections
      std::vector<delivery> calls;
      while (calls.size() < 16) {
        delivery d = r.next();
        if (!d) break;
        calls.push_back(std::move(d));
      }
      for (delivery& d : calls) r.answer(std::move(d), failure(code));
      REQUIRE(r.queue.due() != never);
      r.now = (std::max)(r.now + 1ms, r.now + r.wait());
    }
    const outbound::delivery_stats s = r.queue.stats();
    CHECK(s.queued == 1000);
    CHECK(s.attempts >= 60);  // it goes on asking: a probe each half minute on average
    CHECK(s.attempts <= 300);
    CHECK(r.count(event::kind::held) == 1);
    CHECK(drain(r).size() == 1000);
    CHECK(r.count(event::kind::resumed) == 1);
  }
}

TEST_CASE("F48: the budget bounds the retries of a server that answers now and then", "[F48]") {
  // Every fourth answer is good, so that the queue is never held: 1,000 messages fail three times out of four.
  rig r;
  for (int i = 0; i < 1000; ++i) r.post(user{i}.track("e"));
  std::uint64_t good = 0, retries = 0;
  for (int n = 0; r.now < 10s; ++n) {
    delivery d = r.next();
    if (!d) {
      r.now += 1ms;
      continue;
    }
    retries += d.attempt > 1;
    good += n % 4 == 3;
    r.answer(std::move(d), n % 4 == 3 ? 200 : 503);
  }
  CHECK(retries <= 100 + 10 * 10 + good);
  CHECK(r.queue.stats().failed == 0);
}

TEST_CASE("bug: answers of 500 gave back what their retries took from the budget [F48]", "[F48]") {
  rig r;
  for (int i = 0; i < 1000; ++i) r.post(user{i}.track("e"));
  while (r.now < 5s) {
    delivery d = r.next();
    if (d) r.answer(std::move(d), 500);
    else r.now += 1ms;
  }
  CHECK(r.queue.stats().attempts <= 1000 + 100 + 5 * 10);
}

TEST_CASE("F48: a new queue has its whole budget", "[F48]") {
  queue_options o;
  o.retry.first_delay = 0ms;
  o.retry.budget = 20;
  rig r{o};
  for (int i = 0; i < 22; ++i) r.post(user{i}.track("e"));
  std::vector<delivery> calls;
  for (int i = 0; i < 22; ++i) calls.push_back(r.take());
  for (int i = 0; i < 20; ++i) r.answer(std::move(calls[static_cast<std::size_t>(i)]), 500);
  CHECK(r.wait() == 0ms);
  for (int i = 0; i < 20; ++i) r.answer(r.next(), 200);  // each gives one retry back: 20 again
  for (int i = 0; i < 2; ++i) r.answer(std::move(calls[static_cast<std::size_t>(20 + i)]), 500);
  CHECK(r.wait() == 0ms);
}

TEST_CASE("an outage that turns out to be the set-up is held twice, and was resumed once") {
  rig r;
  for (int i = 0; i < 12; ++i) r.post(user{i}.track("e"));
  for (int i = 0; r.count(event::kind::held) == 0; ++i) {
    REQUIRE(i < 12);
    r.answer(r.take(), 503);
  }
  r.now += r.wait();
  r.answer(r.take(), 401);
  CHECK(r.count(event::kind::held) == 2);
  CHECK(r.count(event::kind::resumed) == 1);
  CHECK(drain(r).size() == 12);
  CHECK(r.count(event::kind::held) == 2);
  CHECK(r.count(event::kind::resumed) == 2);
}

TEST_CASE("F48: a retry beyond the budget waits for a tenth of a second each", "[F48]") {
  queue_options o;
  o.retry.first_delay = 0ms;
  o.retry.budget = 1;
  rig r{o};
  for (int i = 0; i < 4; ++i) r.post(user{i}.track("e"));
  std::vector<delivery> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(r.take());
  for (delivery& d : calls) r.answer(std::move(d), 500);
  for (int i = 0; i < 4; ++i) {
    CHECK(r.wait() == (i == 0 ? 0ms : 100ms));
    r.now += r.wait();
    REQUIRE(r.next().attempt == 2);
  }
}

TEST_CASE("F48: a poisoned message does not block the others", "[F48]") {
  for (const int poison : {500, 503, 504, 0, 401, 403, 301}) {
    CAPTURE(poison);
    rig r;
    r.post(user{"poisoned"}.track("e"));
    r.post(user{"poisoned"}.track("behind it"));
    std::deque<milliseconds> waiting;
    milliseconds longest{0};
    std::size_t delivered = 0;
    for (int minute = 0; minute < 60; ++minute) {
      for (int i = 0; i < 5; ++i) r.post(user{minute * 10 + i}.track("e"));
      const milliseconds posted = r.now, until = r.now + 60s;
      while (r.queue.due() != never && r.queue.due() <= at(until).steady) {
        delivery d = r.take();
        if (d.user_key == "poisoned" && d.body.find("behind") == std::string::npos) {
          r.answer(std::move(d), poison);
        } else {
          if (d.user_key != "poisoned") {
            ++delivered;
            longest = (std::max)(longest, r.now - posted);
          }
          r.answer(std::move(d), 200);
        }
      }
      r.now = until;
    }
    CHECK(delivered == 300);
    CHECK(longest < 60s);
    if (poison == 500) CHECK(r.queue.stats().lost(loss::exhausted) == 1);
    else CHECK(r.queue.stats().queued == 2);
  }
}

TEST_CASE("after five transient failures in a row the whole queue waits, and one message probes") {
  for (const int s : outages) {
    CAPTURE(s);
    rig r;
    for (int i = 0; i < 20; ++i) r.post(user{i}.track("e"));
    for (int i = 0; i < 4; ++i) r.answer(r.next(), s);
    CHECK(r.count(event::kind::held) == 0);
    r.answer(r.next(), s);
    CHECK(r.count(event::kind::held) == 1);
    CHECK(r.events.back().what == event::kind::retrying);
    CHECK(r.wait() <= 500ms);
    // One at a time from now on, and each failure doubles what it may take until the next.
    for (int n = 1; n < 12; ++n) {
      delivery probe = r.take();
      CHECK(!r.next());
      CHECK(r.wait() > 1h);  // nothing but the age of the others is left to wait for
      r.now += 1s;
      CHECK(!r.next());
      r.answer(std::move(probe), s);
      CHECK(r.wait() <= milliseconds{static_cast<std::int64_t>((std::min)(60'000.0, 500 * std::exp2(n)))});
    }
    CHECK(r.count(event::kind::held) == 1);
    r.answer(r.take(), 200);
    CHECK(r.count(event::kind::resumed) == 1);
    CHECK(r.next());
  }
}

TEST_CASE("four failures and a good answer, again and again, hold nothing") {
  rig r;
  for (int i = 0; i < 200; ++i) r.post(user{i}.track("e"));
  for (int i = 0; i < 100; ++i) r.answer(r.next(), i % 5 == 4 ? 200 : 503);
  CHECK(r.count(event::kind::held) == 0);
}

TEST_CASE("the calls that were on their way when an outage began counted as probes that failed") {
  // Sixteen at once fail together: that is one outage, not twelve probes, and the next try is due within a second.
  for (const int s : {503, 401}) {
    milliseconds longest{0};
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      queue_options o;
      o.seed = {seed, 1};
      rig r{o};
      for (int i = 0; i < 20; ++i) r.post(user{i}.track("e"));
      std::vector<delivery> calls;
      for (int i = 0; i < 16; ++i) calls.push_back(r.next());
      for (delivery& d : calls) r.answer(std::move(d), s);
      CHECK(r.count(event::kind::held) == 1);
      longest = (std::max)(longest, r.wait());
    }
    CHECK(longest <= 1s);
  }
}

TEST_CASE("the queue is held, and a probe that met an outage was tried again at once") {
  rig r;
  for (int i = 0; i < 20; ++i) r.post(user{i}.track("e"));
  for (int i = 0; i < 9; ++i) r.answer(r.take(), 401);
  milliseconds waited{0};
  for (int i = 0; i < 4; ++i) {
    r.answer(r.take(), 503);
    waited += r.wait();
  }
  CHECK(waited > 1s);  // four draws of 0 to 60 s
}

TEST_CASE("an outage of an hour under load loses nothing, and the first good answer starts no storm") {
  for (const int s : {503, 0, 401}) {
    CAPTURE(s);
    rig r;
    int posted = 0;
    std::vector<std::string> order;
    while (r.now < 1h) {
      r.post(user{posted % 97}.track("e" + std::to_string(posted)));
      ++posted;
      for (int i = 0; i < 8; ++i) {
        delivery d = r.next();
        if (!d) break;
        r.answer(std::move(d), s);
      }
      r.now += 1s;
    }
    CHECK(r.queue.stats().queued == static_cast<std::uint64_t>(posted));
    CHECK(r.queue.stats().failed + r.queue.stats().dropped == 0);
    // From here on the server is well and slow. The number of calls in flight grows by one for each good answer.
    r.now += 1h;
    std::deque<delivery> calls;
    std::map<std::string, int> last;
    std::size_t good = 0, most = 0;
    while (r.queue.stats().queued + r.queue.stats().in_flight != 0) {
      for (delivery d = r.next(); d; d = r.next()) calls.push_back(std::move(d));
      REQUIRE(!calls.empty());
      REQUIRE(calls.size() <= good + 1);
      most = (std::max)(most, calls.size());
      const std::string& body = calls.front().body;
      const int n = std::stoi(body.substr(body.find(":\"e") + 3));
      int& before = last.emplace(calls.front().user_key, -1).first->second;
      REQUIRE(n > before);
      before = n;
      r.answer(std::move(calls.front()), 200);
      calls.pop_front();
      ++good;
    }
    CHECK(r.queue.stats().delivered == static_cast<std::uint64_t>(posted));
    CHECK(most >= 30);  // and it does open
    CHECK(r.count(event::kind::held) == 1);
    CHECK(r.count(event::kind::resumed) == 1);
  }
}

// --- holds

TEST_CASE("a wrong set-up holds the whole queue, counts towards no limit, and loses nothing") {
  for (const int s : setup_errors) {
    CAPTURE(s);
    queue_options o;
    o.retry.max_age = 10s;
    rig r{o};
    r.post(user{1}.track("a"));
    r.post(user{2}.identify());
    r.post(user{3}.subscribe());
    r.answer(r.next(), s);
    REQUIRE(r.count(event::kind::held) == 1);
    CHECK(r.events[0].cause.status == s);
    CHECK(r.events[0].cause.code == (s == 401 || s == 403 ? errc::unauthorized : errc::misdirected));
    CHECK(r.events[0].message.body == R"({"user_id":1,"event":"a"})");
    for (int n = 1; n < 30; ++n) {
      CHECK(r.wait() <= milliseconds{static_cast<std::int64_t>((std::min)(60'000.0, 500 * std::exp2(n - 1)))});
      delivery probe = r.take();
      CHECK(!r.next());
      r.answer(std::move(probe), s);
    }
    CHECK(r.now > 1min);
    r.now += 72h;
    CHECK(r.queue.stats().queued == 3);
    CHECK(r.count(event::kind::held) == 1);
    // It is put right. What waited has aged by nothing.
    r.answer(r.next(), 200);
    CHECK(r.count(event::kind::resumed) == 1);
    CHECK(r.queue.stats().delivered == 1);
    r.now += 9s;
    CHECK(drain(r).size() == 2);
    CHECK(r.queue.stats().delivered == 3);
  }
}

TEST_CASE("a transport that says misdirected, without a status, means the path") {
  rig r;
  r.post(user{"a"}.track("1"));
  r.post(user{"b"}.identify());
  r.answer(r.take(), failure(errc::misdirected));
  CHECK(r.take().path == "/v2/identify");  // the other path is not held
  r.post(user{"c"}.identify());
  r.answer(r.take(), 302);
  CHECK_FALSE(r.next());  // by a redirection it is
}

TEST_CASE("a wrong path holds its messages only") {
  for (const int s : path_errors) {
    CAPTURE(s);
    queue_options o;
    o.retry.max_age = 10s;
    rig r{o};
    r.post(user{1}.track("a"));
    r.post(user{2}.track("b"));
    r.post(user{1}.track("c"));
    r.answer(r.next(), s);
    CHECK(r.count(event::kind::held) == 1);
    for (int n = 0; n < 30; ++n) {
      r.post(user{3}.identify());
      delivery probe, other;
      while (!probe) {
        delivery d = r.take();
        if (d.path == "/v2/track") probe = std::move(d);
        else r.answer(std::move(d), 200);
      }
      CHECK(!r.next());  // no second one of that path
      r.post(user{4}.subscribe());
      other = r.next();
      REQUIRE(other);
      CHECK(other.path == "/v2/subscribe/all");
      r.answer(std::move(other), 200);
      r.answer(std::move(probe), s);
    }
    r.now += 72h;
    CHECK(!r.queue.stats().failed);
    CHECK(r.queue.stats().queued == 3);
    CHECK(r.count(event::kind::held) == 1);
    CHECK(r.count(event::kind::resumed) == 0);
    r.answer(r.next(), 200);
    CHECK(r.count(event::kind::resumed) == 1);
    r.now += 9s;
    CHECK(drain(r).size() == 2);
    CHECK(r.queue.stats().failed == 0);
  }
}

TEST_CASE("bug: a message that waited for one of a path that is held expired [F42]", "[F42]") {
  queue_options o;
  o.retry.max_age = 10s;
  rig r{o};
  r.post(user{1}.register_token(outbound::platform::gcm, "t"));
  r.post(user{1}.track("behind it"));
  r.answer(r.next(), 404);
  r.now += 72h;
  r.answer(r.take(), 404);
  CHECK(r.queue.stats().failed == 0);
  CHECK(drain(r).size() == 2);
  // When nothing is held any more, also since what was held was dropped, time goes on.
  queue_options small = o;
  small.max_messages = 2;
  small.when_full = outbound::overflow::drop_oldest;
  rig dropping{small};
  dropping.post(user{1}.register_token(outbound::platform::gcm, "t"));
  dropping.answer(dropping.next(), 404);
  dropping.post(user{2}.track("e"));
  dropping.now += 72h;
  dropping.post(user{2}.track("e"));  // the token goes
  CHECK(dropping.queue.stats().dropped == 1);
  dropping.now += 11s;
  CHECK(!dropping.next());
  CHECK(dropping.queue.stats().lost(loss::expired) == 2);
}

TEST_CASE("bug: a post that stopped the clock made due forget what had expired [F42]", "[F42]") {
  queue_options o;
  o.retry.max_age = 10s;
  o.retry.first_delay = o.retry.max_delay = 10h;
  o.max_messages = 2;
  o.when_full = outbound::overflow::drop_oldest;
  o.seed = {1, 2};
  rig r{o};
  r.post(user{"a"}.track("x"));
  r.answer(r.next(), 404);
  for (const char* u : {"b", "c"}) {  // the second drops what is held
    r.post(user{u}.identify());
    r.answer(r.next(), failure(errc::not_sent));
  }
  REQUIRE(r.wait() == 10s);
  r.now += 10s;
  r.post(user{"d"}.track("y"));  // of the path that is held: time stands, and c is old enough
  CHECK(r.wait() == 0ms);
  CHECK(!r.next());
  CHECK(r.queue.stats().lost(loss::expired) == 1);
}

TEST_CASE("a probe of a path that is held puts off the next one, whatever else is on its way") {
  for (const int s : {404, 503}) {
    CAPTURE(s);
    queue_options o;
    o.retry.first_delay = o.retry.max_delay = 1h;
    o.seed = {1, 1};
    rig r{o};
    r.post(user{1}.identify());
    const delivery other = r.next();
    for (int i = 2; i < 5; ++i) r.post(user{i}.track("e"));
    r.answer(r.next(), 404);
    delivery probe = r.take();
    REQUIRE(probe.path == "/v2/track");
    r.answer(std::move(probe), s);
    CHECK(!r.next());
    CHECK(r.wait() > 1min);  // by this seed
  }
}

TEST_CASE("a batch that finds no path ends a hold of the whole queue: the server answered") {
  rig r{batching(100)};
  for (int i = 0; i < 5; ++i) r.post(user{i}.track("e"));
  for (int i = 0; i < 5; ++i) r.answer(r.take(), 503);
  REQUIRE(r.count(event::kind::held) == 1);
  r.answer(r.take(), 404);
  CHECK(r.count(event::kind::resumed) == 1);
  std::vector<delivery> calls;  // two at once: the queue opens
  calls.push_back(r.next());
  calls.push_back(r.next());
  CHECK(calls[0].path == "/v2/track");
  CHECK(static_cast<bool>(calls[1]));
}

TEST_CASE("a message posted while the queue was held, the first of its path, aged all the same") {
  queue_options o;
  o.retry.max_age = 10s;
  o.retry.first_delay = o.retry.max_delay = 1h;
  o.seed = {1, 1};
  rig r{o};
  r.post(user{1}.track("a"));
  r.answer(r.next(), 401);
  REQUIRE(r.wait() > 1min);  // by this seed
  r.post(user{2}.identify());
  r.now += 30s;
  CHECK(!r.next());
  CHECK(r.queue.stats().failed == 0);
  CHECK(drain(r).size() == 2);
}

TEST_CASE("a path that is held ends a hold of the whole queue: the server answered") {
  rig r;
  for (int i = 0; i < 5; ++i) r.post(user{i}.track("e"));
  for (int i = 0; i < 5; ++i) r.post(user{i + 10}.identify());
  for (int i = 0; i < 5; ++i) r.answer(r.next(), 503);
  CHECK(r.count(event::kind::held) == 1);
  delivery d;
  for (d = r.take(); d.path != "/v2/track"; d = r.take()) r.answer(std::move(d), 503);
  r.answer(std::move(d), 404);
  CHECK(r.count(event::kind::resumed) == 1);
  CHECK(r.count(event::kind::held) == 2);
  CHECK(r.take().path == "/v2/identify");
}

TEST_CASE("a hold and a Retry-After at once: the later one counts") {
  rig r;
  for (int i = 0; i < 6; ++i) r.post(user{i}.track("e"));
  std::vector<delivery> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(r.take());
  for (delivery& d : calls) r.answer(std::move(d), response{503, "", {{"Retry-After", "300"}}});
  CHECK(r.count(event::kind::held) == 1);
  CHECK(r.wait() == 300s);
  r.post(user{9}.identify());
  r.now += 299'999ms;
  CHECK(!r.next());
  r.now += 1ms;
  CHECK(r.next());
  CHECK(!r.next());
}

// --- bounds

TEST_CASE("F51: the bounds by count and by bytes, at the limit and beside it", "[F51]") {
  const outbound::message m = user{1}.track("e");
  const std::size_t size = m.body().size();
  for (const std::size_t limit : {0U, 1U, 2U, 7U}) {
    queue_options o;
    o.max_messages = limit;
    rig r{o};
    for (std::size_t i = 0; i < limit; ++i) r.post(m);
    const result<void> refused_post = r.try_post(m);
    CHECK(refused_post.error().code == errc::queue_full);
    CHECK(refused_post.error().status == 0);
    CHECK(r.queue.stats().accepted == limit);
    if (limit == 0) continue;
    r.answer(r.take(), 200);
    r.post(m);  // one has left, one comes in
    CHECK(r.try_post(m).error().code == errc::queue_full);
    delivery d = r.take();  // what is in flight takes room, too
    CHECK(r.try_post(m).error().code == errc::queue_full);
  }
  for (const std::size_t limit : {3 * size - 1, 3 * size, 3 * size + 1}) {
    queue_options o;
    o.max_bytes = limit;
    rig r{o};
    r.post(m);
    r.post(m);
    CHECK(static_cast<bool>(r.try_post(m)) == (limit >= 3 * size));
    CHECK(r.queue.stats().bytes == (limit >= 3 * size ? 3 : 2) * size);
    CHECK(r.try_post(m).error().code == errc::queue_full);
    const std::string size_now = std::to_string(r.queue.stats().bytes);
    const delivery in_flight = r.take();  // is counted as what it holds
    CHECK(r.try_post(m).error().message == "the queue is full: it holds " + std::string(limit >= 3 * size ? "3" : "2") +
                                               " of 100000 messages, with " + size_now + " of " +
                                               std::to_string(limit) + " bytes; this one has " + std::to_string(size));
  }
}

TEST_CASE("F51: drop_oldest makes room for a body of all the bytes that may be, and not for one more", "[F51]") {
  const outbound::message small = user{1}.track("e");
  const outbound::message large = user{1}.track("longer");
  for (const std::size_t missing : {0U, 1U}) {
    queue_options o;
    o.max_bytes = large.body().size() - missing;
    o.when_full = outbound::overflow::drop_oldest;
    rig r{o};
    r.post(small);
    CHECK(static_cast<bool>(r.try_post(large)) == (missing == 0));
    CHECK(r.queue.stats().lost(loss::overflow) == 1 - missing);
    CHECK(r.queue.stats().bytes == (missing == 0 ? large : small).body().size());
  }
}

TEST_CASE("F51: drop_oldest gives back the oldest that is not in flight", "[F51]") {
  queue_options o;
  o.max_messages = 4;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  for (const char* e : {"0", "1", "2", "3"}) r.post(user{e}.track(e));
  delivery d = r.take();
  REQUIRE(d.user_key == "0");
  r.post(user{"4"}.identify());
  REQUIRE(r.events.size() == 1);
  CHECK(r.events[0].what == event::kind::dropped);
  CHECK(r.events[0].why == loss::overflow);
  CHECK(r.events[0].message.body == body_of("1", "1"));
  CHECK(r.events[0].message.path == "/v2/track");
  CHECK(r.events[0].message.user_key == "1");
  CHECK(r.events[0].message.guid.size() == 36);
  r.post(user{"5"}.identify());
  CHECK(r.events[1].message.body == body_of("2", "2"));
  CHECK(r.queue.stats().lost(loss::overflow) == 2);
  std::vector<delivery> rest;
  for (int i = 0; i < 3; ++i) rest.push_back(r.take());
  CHECK(r.try_post(user{"6"}.identify()).error().code == errc::queue_full);  // all are in flight
  CHECK(r.queue.stats().dropped == 2);
  r.answer(std::move(d), 503);  // it is back in the queue, and the oldest
  r.post(user{"7"}.identify());
  CHECK(r.events.back().message.body == body_of("0", "0"));
}

TEST_CASE("F51: drop_oldest by bytes makes as much room as is needed", "[F51]") {
  queue_options o;
  o.max_bytes = 1000;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  for (int i = 0; i < 30; ++i) r.post(user{i}.track("e"));
  const std::uint64_t before = r.queue.stats().queued;
  const outbound::message big = user{99}.track(std::string(500, 'x'));
  r.post(big);
  CHECK(r.queue.stats().bytes <= 1000);
  CHECK(r.queue.stats().queued < before);
  CHECK(r.queue.stats().queued > 5);
  const outbound::delivery_stats s = r.queue.stats();
  CHECK(r.try_post(user{99}.track(std::string(1000, 'x'))).error().code == errc::queue_full);
  CHECK(r.queue.stats().dropped == s.dropped);  // what never fits drops nothing
}

TEST_CASE("F51: drop_oldest dropped all and went beyond the bound, where what is in flight left too little room",
          "[F51]") {
  queue_options o;
  o.max_bytes = 1000;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  r.post(user{1}.track(std::string(800, 'x')));
  delivery d = r.take();
  r.post(user{2}.track("e"));
  CHECK(r.try_post(user{3}.track(std::string(300, 'x'))).error().code == errc::queue_full);
  CHECK(r.queue.stats().dropped == 0);
  CHECK(r.queue.stats().bytes <= 1000);
  CHECK(r.queue.stats().queued == 1);
}

TEST_CASE("F51: drop_oldest went beyond the bound, where batches wait to be sent again", "[F51]") {
  queue_options o = batching(10);
  o.max_messages = 4;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  for (int i = 0; i < 4; ++i) r.post(user{i}.track("e"));
  r.answer(r.take(), 503);  // the batch stays as it is
  CHECK(r.try_post(user{9}.track("e")).error().code == errc::queue_full);
  CHECK(r.queue.stats().queued == 4);
  r.answer(r.take(), 200);
  r.post(user{9}.track("e"));
}

TEST_CASE("F51: drop_oldest freed the line of the user who posts", "[F51]") {
  // The message that goes is the only one of the user whose next one comes.
  queue_options o;
  o.max_messages = 1;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  for (const char* e : {"1", "2", "3"}) r.post(user{"a"}.track(e));
  CHECK(r.queue.stats().lost(loss::overflow) == 2);
  CHECK(drain(r) == std::vector<std::string>{body_of("a", "3")});
}

TEST_CASE("F51: 1e5 events behind a blocked transport stay within the bound", "[F51]") {
  queue_options o;
  o.max_messages = 100;
  o.when_full = outbound::overflow::drop_oldest;
  std::uint64_t told = 0;
  o.on_event = [&told](const event& e) { told += e.what == event::kind::dropped; };
  delivery_queue queue{o};
  REQUIRE(queue.post(user{0}.track("first"), at(0ms)));
  const delivery blocked = queue.next(at(0ms));
  for (int i = 0; i < 100'000; ++i) REQUIRE(queue.post(user{i}.track("e"), at(0ms)));
  CHECK(queue.stats().queued == 99);
  CHECK(queue.stats().in_flight == 1);
  CHECK(told == 100'000 - 99);
}

// --- order

TEST_CASE("what is due first leaves first, whatever was dropped in between") {
  constexpr int n = 200;
  queue_options o;
  o.retry.first_delay = 0ms;  // due again at the moment of the answer
  o.retry.budget = UINT_MAX;
  o.max_messages = n;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  std::vector<delivery> calls;
  for (int i = 0; i < n; ++i) r.post(user{i}.track("e"));
  for (int i = 0; i < n; ++i) {
    calls.push_back(r.next());
    REQUIRE(calls.back().user_key == std::to_string(i));  // all are due: as they were posted
  }
  std::vector<int> waiting;  // the first is due first
  for (int i = 0; i < n; ++i) {
    waiting.push_back(i * 77 % n);
    r.now += 1ms;
    r.answer(std::move(calls[static_cast<std::size_t>(waiting.back())]), 500);
  }
  for (int posted = n; !waiting.empty();) {
    for (int i = 0; i < 3 && !waiting.empty(); ++i) {
      delivery d = r.next();
      REQUIRE(d.user_key == std::to_string(waiting.front()));
      waiting.erase(waiting.begin());
      r.answer(std::move(d), 200);
    }
    r.now += 1ms;
    while (posted < 2 * n && r.queue.stats().queued < n) {
      r.post(user{posted}.track("e"));
      waiting.push_back(posted++);
    }
    for (int i = 0; i < 3 && posted < 2 * n; ++i) {
      const auto oldest = std::min_element(waiting.begin(), waiting.end());
      const std::string dropped = std::to_string(*oldest);
      waiting.erase(oldest);
      r.post(user{posted}.track("e"));
      waiting.push_back(posted++);
      REQUIRE(r.events.back().message.user_key == dropped);
    }
  }
  CHECK(r.queue.stats().queued == 0);
}

TEST_CASE("no message leaves later than it is due, whatever was dropped in between") {
  constexpr int n = 200;
  queue_options o;
  o.retry.first_delay = o.retry.max_delay = milliseconds{1'000'000'000};  // so no two are due at the same moment
  o.retry.max_age = std::chrono::hours{24 * 365};
  o.retry.max_attempts = UINT_MAX;
  o.retry.budget = UINT_MAX;
  o.max_messages = n;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  for (int i = 0; i < 10 * n; ++i) {
    r.post(user{i}.track("e"));  // drops the oldest, wherever that is
    delivery d = r.next();
    REQUIRE(d.user_key == std::to_string(i));
    r.answer(std::move(d), 500);
    REQUIRE(r.queue.due() > at(r.now).steady);
    if (i < n) continue;
    r.answer(r.take(), 500);
    REQUIRE(r.queue.due() > at(r.now).steady);  // nobody was due before
  }
}

TEST_CASE("F58: a user's messages leave in their order, whatever fails", "[F58]") {
  rig r;
  r.post(user{"a"}.identify().email("e"));
  r.post(user{"a"}.track("1"));
  r.post(user{"a"}.subscribe());
  r.post(user{"b"}.track("1"));
  delivery a = r.take(), b = r.take();
  CHECK(a.path == "/v2/identify");
  CHECK(b.user_key == "b");
  CHECK(!r.next());
  r.answer(std::move(b), 200);
  for (const int s : {503, 500, 429, 401, 404}) {
    r.answer(std::move(a), s);
    a = r.take();
    CHECK(a.path == "/v2/identify");
  }
  r.answer(std::move(a), 400);  // lost: the next one's turn
  a = r.take();
  CHECK(a.path == "/v2/track");
  CHECK(!r.next());
  r.answer(std::move(a), 200);
  CHECK(r.take().path == "/v2/subscribe/all");
}

TEST_CASE("F58: 42 and \"42\" are one user", "[F58]") {
  rig r;
  r.post(user{42}.track("1"));
  r.post(user{"42"}.track("2"));
  delivery d = r.take();
  CHECK(!r.next());
  r.answer(std::move(d), 200);
  CHECK(r.take().body == R"({"user_id":"42","event":"2"})");
}

TEST_CASE("F58: an alias waits for both its users, and both wait for it", "[F58]") {
  rig r;
  r.post(user{"old"}.track("1"));
  r.post(user{"new"}.track("1"));
  r.post(user{"new"}.identify().previous_id(user{"old"}));
  r.post(user{"old"}.track("2"));
  r.post(user{"new"}.track("2"));
  delivery a = r.take(), b = r.take();
  CHECK(!r.next());
  r.answer(std::move(b), 200);
  CHECK(!r.next());
  r.answer(std::move(a), 200);
  delivery alias = r.take();
  CHECK(alias.path == "/v2/identify");
  CHECK(!r.next());
  r.answer(std::move(alias), 503);
  alias = r.take();
  CHECK(alias.path == "/v2/identify");
  CHECK(!r.next());
  r.answer(std::move(alias), 200);
  a = r.take();
  b = r.take();
  CHECK(a.user_key == "old");
  CHECK(b.user_key == "new");
}

TEST_CASE("F58: an alias of a user to itself waits for nobody", "[F58]") {
  rig r;
  r.post(user{"a"}.identify().previous_id(user{"a"}));
  r.post(user{7}.identify().previous_id(user{"7"}));
  CHECK(drain(r).size() == 2);
}

TEST_CASE("F58: post(batch) waits for every user in it, and each of them for it", "[F58]") {
  for (const int users : {1, 2, 100}) {
    rig r;
    outbound::batch all;
    for (int i = 0; i < users; ++i) REQUIRE(all.add(user{i}.track("in the batch")));
    for (int i = 0; i < users; ++i) r.post(user{i}.track("before"));
    r.post(all);
    for (int i = 0; i < users; ++i) r.post(user{i}.track("after"));
    std::vector<delivery> before;
    for (int i = 0; i < users; ++i) before.push_back(r.take());
    for (delivery& d : before) {
      CHECK(!r.next());
      r.answer(std::move(d), 200);
    }
    delivery d = r.take();
    CHECK(d.path == "/v2/track/batch");
    CHECK(d.body == all.body());
    CHECK(!r.next());
    r.answer(std::move(d), 503);
    d = r.take();
    CHECK(d.body == all.body());
    CHECK(!r.next());
    r.answer(std::move(d), 400);  // a caller's batch is one message: it fails as a whole
    CHECK(r.queue.stats().failed == 1);
    CHECK(drain(r).size() == static_cast<std::size_t>(users));
  }
}

TEST_CASE("F58: a lost message lets those behind it go", "[F58]") {
  queue_options o;
  o.retry.max_age = 10s;
  o.max_messages = 3;
  o.when_full = outbound::overflow::drop_oldest;
  rig r{o};
  r.post(user{"a"}.track("1"));
  r.now = 9s;
  r.post(user{"a"}.track("2"));
  r.now = 10s;  // the first one's time is over
  delivery d = r.take();
  CHECK(d.body == body_of("a", "2"));
  CHECK(r.queue.stats().lost(loss::expired) == 1);
  r.post(user{"a"}.track("3"));
  r.post(user{"a"}.track("4"));
  r.post(user{"a"}.track("5"));  // drops the third
  CHECK(!r.next());
  r.answer(std::move(d), 200);
  CHECK(drain(r) == std::vector<std::string>{body_of("a", "4"), body_of("a", "5")});
}

// --- batches

TEST_CASE("a batch takes what is due: of several users, and the next of one") {
  rig r{batching(100)};
  r.post(user{"a"}.track("1"));
  r.post(user{"b"}.track("1"));
  r.post(user{"a"}.track("2"));
  r.post(user{"c"}.identify());
  delivery tracks = r.take();
  CHECK(tracks.path == "/v2/track/batch");
  CHECK(tracks.body == "[" + body_of("a", "1") + "," + body_of("a", "2") + "," + body_of("b", "1") + "]");
  CHECK(r.queue.stats().in_flight == 3);
  delivery single = r.take();
  CHECK(single.path == "/v2/identify");  // one is no batch
  CHECK(single.body == R"({"user_id":"c"})");
  r.answer(std::move(tracks), 200);
  CHECK(r.queue.stats().delivered == 3);
  CHECK(r.queue.stats().attempts == 2);
}

TEST_CASE("what is neither identify nor track leaves by itself") {
  rig r{batching(10)};
  for (int i = 1; i <= 2; ++i) r.post(user{i}.subscribe());
  for (int i = 1; i <= 2; ++i) {
    const delivery d = r.take();
    CHECK(d.path == "/v2/subscribe/all");
    CHECK(d.body == "{\"user_id\":" + std::to_string(i) + "}");
  }
}

TEST_CASE("a batch never puts a user's messages out of order") {
  rig r{batching(100)};
  r.post(user{"a"}.track("1"));
  r.post(user{"a"}.identify());
  r.post(user{"a"}.track("2"));
  r.post(user{"b"}.track("1"));
  delivery d = r.take();
  CHECK(d.body == "[" + body_of("a", "1") + "," + body_of("b", "1") + "]");
  CHECK(!r.next());
  r.answer(std::move(d), 200);
  d = r.take();
  CHECK(d.path == "/v2/identify");
  CHECK(!r.next());
  r.answer(std::move(d), 200);
  CHECK(r.take().body == body_of("a", "2"));
}

TEST_CASE("a batch is never larger than it may be") {
  for (const std::size_t n : {std::size_t{2}, std::size_t{99}, std::size_t{100}, std::size_t{101}, SIZE_MAX}) {
    rig r{batching(n)};
    for (int i = 0; i < 250; ++i) r.post(user{i}.track("e"));
    std::size_t sent = 0;
    while (r.queue.stats().queued != 0) {
      const std::uint64_t before = r.queue.stats().in_flight;
      delivery d = r.take();
      const std::uint64_t members = r.queue.stats().in_flight - before;
      CHECK(members >= 1);
      CHECK(members <= (std::min)(n, std::size_t{100}));
      sent += members;
    }
    CHECK(sent == 250);
  }
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
    rig r{batching(n)};
    r.post(user{1}.track("1"));
    r.post(user{2}.track("2"));
    CHECK(r.take().path == "/v2/track");
  }
}

TEST_CASE("a batch is never larger than 4 MiB") {
  const std::size_t limit = std::size_t{4} << 20;
  // Two bodies that make one batch of exactly the limit, and of one byte more with another.
  for (const std::size_t over : {0U, 1U}) {
    rig r{batching(100)};
    const std::size_t each = std::size_t{1} << 20;
    std::size_t total = 1;
    for (int i = 0; i < 4; ++i) {
      const std::size_t frame = user{i}.track("").body().size() - 4;  // null for the event
      std::size_t size = each;
      if (i == 3) size = limit - total - 1 + over;
      const outbound::message m = user{i}.track(std::string(size - frame - 2, 'x'));
      REQUIRE(m.valid());
      total += m.body().size() + 1;
      r.post(m);
    }
    CHECK(total == limit + over);
    delivery d = r.take();
    CHECK(d.body.size() <= limit);
    CHECK((d.body.size() == limit) == (over == 0));
    CHECK(r.queue.stats().queued == (over == 0 ? 0 : 1));
  }
}

TEST_CASE("every member of a batch counts its attempts, not only the first") {
  rig r{batching(100)};
  for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
  r.answer(r.take(), 503);
  r.answer(r.take(), 200);
  REQUIRE(r.count(event::kind::delivered) == 3);
  for (const event& e : r.events)
    if (e.what == event::kind::delivered) CHECK(e.attempts == 2);
}

TEST_CASE("a batch that is refused is sent one by one: only the guilty fails") {
  for (const int s : refusals) {
    rig r{batching(100)};
    for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    r.post(user{"b"}.track("2"));
    delivery d = r.take();
    const std::string batch_guid = d.guid;
    CHECK(r.queue.stats().in_flight == 4);
    r.answer(std::move(d), s);
    CHECK(r.queue.stats().failed == 0);
    CHECK(r.queue.stats().queued == 4);
    std::vector<std::string> sent;
    while (r.queue.stats().queued != 0) {
      d = r.take();
      CHECK(d.path == "/v2/track");
      sent.push_back(d.body);
      const bool guilty = d.body == body_of("b", "1");
      r.answer(std::move(d), guilty ? s : 200);
    }
    CHECK(sent.size() == 4);
    CHECK(r.queue.stats().lost(loss::refused) == 1);
    CHECK(r.queue.stats().delivered == 3);
    // What comes later is batched again.
    r.post(user{"x"}.track("1"));
    r.post(user{"y"}.track("1"));
    CHECK(r.take().path == "/v2/track/batch");
  }
}

TEST_CASE("a batch stays as it is until it is answered") {
  for (const int s : {503, 500, 0, 401, 429}) {
    rig r{batching(100)};
    for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    delivery d = r.take();
    const std::string body = d.body, guid = d.guid;
    for (unsigned n = 2; n < 9; ++n) {
      r.answer(std::move(d), s);
      r.post(user{"a"}.track("late"));
      r.post(user{"late"}.track(std::to_string(n)));
      do {
        if (d) r.answer(std::move(d), 200);
        d = r.take();
      } while (d.guid != guid);
      CHECK(d.body == body);
      CHECK(d.path == "/v2/track/batch");
      CHECK(d.attempt == n);
    }
    r.answer(std::move(d), 200);
    CHECK(r.queue.stats().delivered >= 3);
  }
}

TEST_CASE("a batch that is always a 500 is sent one by one in the end") {
  rig r{batching(100)};
  for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
  for (int i = 0; i < 10; ++i) {
    delivery d = r.take();
    REQUIRE(d.path == "/v2/track/batch");
    r.answer(std::move(d), 500);
  }
  CHECK(r.queue.stats().failed == 0);
  int attempts_of_b = 0;
  while (r.queue.stats().queued != 0) {
    delivery d = r.take();
    REQUIRE(d.path == "/v2/track");
    const bool guilty = d.user_key == "b";
    attempts_of_b += guilty;
    r.answer(std::move(d), guilty ? 500 : 200);
  }
  CHECK(attempts_of_b == 10);
  CHECK(r.queue.stats().lost(loss::exhausted) == 1);
  CHECK(r.queue.stats().delivered == 2);
}

TEST_CASE("a message of a batch that was refused has all its attempts, the first one too") {
  for (const int last : {500, 400}) {
    queue_options o = batching(100);
    o.retry.max_attempts = 4;
    rig r{o};
    for (const char* u : {"a", "b"}) r.post(user{u}.track("1"));
    for (const int s : {500, 500, 500, last}) r.answer(r.take(), s);
    int attempts_of_a = 0;
    while (r.queue.stats().queued != 0) {
      delivery d = r.take();
      REQUIRE(d.path == "/v2/track");
      attempts_of_a += d.user_key == "a";
      const int s = d.user_key == "a" ? 500 : 200;
      r.answer(std::move(d), s);
    }
    CHECK(attempts_of_a == 4);
  }
}

TEST_CASE("a batch whose answer is lost fails as a whole where ambiguity is a loss") {
  queue_options o = batching(100);
  o.retry.retry_ambiguous = false;
  rig r{o};
  for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
  for (const char* u : {"a", "b", "c"}) r.post(user{u}.identify());
  r.answer(r.take(), failure(errc::no_response));
  CHECK(r.queue.stats().lost(loss::ambiguous) == 3);
  CHECK(r.count(event::kind::failed) == 3);
  r.answer(r.take(), failure(errc::no_response));
  CHECK(r.queue.stats().lost(loss::ambiguous) == 3);
  CHECK(r.queue.stats().queued == 3);
}

TEST_CASE("bug: one 404 to a batch ended batching for ever, and nobody was told") {
  rig r{batching(100)};
  const auto post_two = [&r] {
    for (const char* u : {"a", "b"}) r.post(user{u}.track("1"));
  };
  post_two();
  delivery d = r.take();
  CHECK(d.path == "/v2/track/batch");
  r.answer(std::move(d), 404);
  REQUIRE(r.count(event::kind::retrying) == 1);
  CHECK(r.events.back().cause.code == errc::misdirected);
  CHECK(drain(r).size() == 2);
  r.now += 1h - 1ms;
  post_two();
  CHECK(drain(r).size() == 2);
  r.now += 1h;
  post_two();
  CHECK(r.take().path == "/v2/track/batch");
}

TEST_CASE("bug: a batch was made while the store still had what was answered, and came back taken apart") {
  test::memory_store kept;
  const auto options = [&kept] { return batching(100, &kept); };
  std::string first;
  {
    rig r{options()};
    r.post(user{"a"}.track("0"));
    kept.removing = test::memory_store::mood::refuses;
    r.answer(r.take(), 200);
    for (const char* e : {"1", "2"}) r.post(user{"a"}.track(e));
    delivery d = r.next();
    CHECK(d.path == "/v2/track");  // no batch yet
    first = d.body + d.guid;
  }  // its answer is lost
  kept.removing = test::memory_store::mood::good;
  rig r{options()};
  r.answer(r.next(), 200);  // what was answered, once more
  const delivery d = r.next();
  CHECK(d.body + d.guid == first);
}

TEST_CASE("what was delivered is no loss") {
  rig r;
  r.post(user{1}.track("e"));
  r.answer(r.next(), 200);
  CHECK(r.queue.stats().lost(loss::none) == 0);
}

TEST_CASE("a server without batch paths gets single messages") {
  for (const int s : path_errors) {
    rig r{batching(100)};
    for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    r.answer(r.take(), s);
    CHECK(r.count(event::kind::failed) == 0);
    for (const char* u : {"d", "e"}) r.post(user{u}.track("1"));
    CHECK(drain(r).size() == 5);
    CHECK(r.queue.stats().attempts == 6);
    for (const char* u : {"d", "e"}) r.post(user{u}.identify());
    CHECK(r.take().path == "/v2/identify/batch");  // that one is another path
  }
}

TEST_CASE("what was tried alone joins no batch: its GUID has other bytes") {
  rig r{batching(100)};
  r.post(user{"a"}.track("1"));
  delivery d = r.take();
  const std::string guid = d.guid;
  r.answer(std::move(d), failure(errc::no_response));
  for (const char* u : {"b", "c"}) r.post(user{u}.track("1"));
  for (int i = 0; i < 2; ++i) {
    d = r.take();
    if (d.guid == guid) CHECK(d.body == body_of("a", "1"));
    else CHECK(d.body == "[" + body_of("b", "1") + "," + body_of("c", "1") + "]");
    r.answer(std::move(d), 200);
  }
  CHECK(r.queue.stats().delivered == 3);
}

// --- with a store

TEST_CASE("what a store keeps comes back: same bytes, GUID, user key and order") {
  memory_store kept;
  queue_options o;
  o.store = &kept;
  struct seen {
    std::string path, body, guid, key;
    bool operator==(const seen& x) const { return path == x.path && body == x.body && guid == x.guid && key == x.key; }
  };
  std::vector<seen> first, second;
  outbound::batch all;
  REQUIRE(all.add(user{"x"}.track("1")));
  REQUIRE(all.add(user{"y"}.track("1")));
  const auto run = [&](rig& r, std::vector<seen>& out) {
    while (r.queue.stats().queued != 0) {
      delivery d = r.take();
      out.push_back({d.path, d.body, d.guid, d.user_key});
      r.answer(std::move(d), 200);
    }
  };
  {
    rig r{o};
    r.post(user{"a"}.identify().email("e"));
    r.post(user{"x"}.track("0"));
    r.post(user{"new"}.identify().previous_id(user{"old"}));
    r.post(all);
    r.post(user{"a"}.track("1"));
    r.post(user{"y"}.track("2"));
    const std::map<std::uint64_t, outbound::record> copy = kept.records;
    CHECK(copy.size() == 6);
    run(r, first);
    CHECK(kept.records.empty());
    kept.records = copy;
  }
  {
    rig r{o};
    CHECK(r.queue.stats().accepted == 6);
    CHECK(r.queue.stats().queued == 6);
    run(r, second);
  }
  CHECK(first == second);
  CHECK(first.size() == 6);
}

TEST_CASE("a batch is in the store before it leaves, and comes back as it was") {
  memory_store kept;
  std::string body, guid;
  {
    rig r{batching(100, &kept)};
    for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    CHECK(kept.records.size() == 3);
    delivery d = r.take();
    CHECK(kept.records.size() == 4);
    body = d.body;
    guid = d.guid;
  }
  for (int i = 0; i < 3; ++i) {
    rig r{batching(i == 1 ? 1 : 100, &kept)};  // batches may be off by now
    r.post(user{"late" + std::to_string(i)}.track("1"));
    delivery d = r.take();
    CHECK(d.body == body);
    CHECK(d.guid == guid);
    CHECK(d.path == "/v2/track/batch");
    if (i == 2) {
      r.answer(std::move(d), 200);
      CHECK(r.queue.stats().delivered == 3);
      CHECK(drain(r).size() >= 1);
      CHECK(kept.records.empty());
    }
  }
}

TEST_CASE("the record of a batch that went apart is removed, and no other") {
  memory_store kept;
  rig r{batching(100, &kept)};
  r.post(user{"first"}.track("0"));
  delivery waits = r.take();  // its record stays
  for (const char* u : {"a", "b"}) r.post(user{u}.track("1"));
  r.answer(r.take(), 400);
  for (int i = 0; i < 2; ++i) r.answer(r.take(), 200);
  REQUIRE(kept.records.size() == 1);
  CHECK(kept.records.begin()->second.body == body_of("first", "0"));
  r.answer(std::move(waits), 200);
  CHECK(kept.records.empty());
}

TEST_CASE("a batch comes back whatever the digits of its ids") {
  memory_store kept;
  std::string body;
  {
    rig r{batching(100, &kept)};
    for (int i = 0; i < 91; ++i) r.post(user{i}.track("1"));
    body = r.take().body;
  }
  rig r{batching(100, &kept)};
  CHECK(r.take().body == body);
}

TEST_CASE("a store whose records have no order, or no id left for the next, is not used") {
  const auto posts = [](const std::vector<std::uint64_t>& ids) {
    struct given : outbound::store {
      std::vector<std::uint64_t> ids{};
      result<void> append(const outbound::record&) override { return {}; }
      result<void> remove(const std::vector<std::uint64_t>&) override { return {}; }
      result<std::vector<outbound::record>> load() override {
        std::vector<outbound::record> all;
        for (const std::uint64_t id : ids)
          all.push_back({id, "/v2/identify", R"({"user_id":1})", "00000000-0000-8000-8000-000000000001", "1"});
        return all;
      }
    } store;
    store.ids = ids;
    queue_options o;
    o.store = &store;
    delivery_queue q{o};
    return q.post(user{1}.identify(), at(0ms));
  };
  CHECK(posts({1, 2, UINT64_MAX - 1}));
  for (const std::vector<std::uint64_t>& ids :
       {std::vector<std::uint64_t>{2, 1}, std::vector<std::uint64_t>{1, 1}, std::vector<std::uint64_t>{UINT64_MAX}}) {
    const result<void> posted = posts(ids);
    REQUIRE(!posted);
    CHECK(posted.error().code == errc::store_failed);
    CHECK(posted.error().message.find("rising id") != std::string::npos);
    CHECK(posted.error().status == 0);
  }
}

TEST_CASE("a batch whose members are not by rising id fell apart at a restart, and its GUID got other bytes", "[F47]") {
  memory_store kept;
  std::string body, guid;
  {
    rig r{batching(100, &kept)};
    r.post(user{"a"}.track("1"));
    r.post(user{"b"}.track("1"));
    r.post(user{"a"}.track("2"));
    delivery d = r.take();
    body = d.body;
    guid = d.guid;
    REQUIRE(body == "[" + body_of("a", "1") + "," + body_of("a", "2") + "," + body_of("b", "1") + "]");
  }
  rig r{batching(100, &kept)};
  delivery d = r.take();
  CHECK(d.guid == guid);
  CHECK(d.body == body);
}

TEST_CASE("what may have been tried before a restart joined a batch, and its GUID got other bytes", "[F47]") {
  // A server that knows GUIDs again would have answered 200 to the batch, having processed its first message only.
  memory_store kept;
  std::string guid;
  {
    rig r{batching(100, &kept)};
    r.post(user{"a"}.track("1"));
    guid = r.take().guid;  // alone; then the program is killed
  }
  rig r{batching(100, &kept)};
  r.post(user{"b"}.track("1"));
  r.post(user{"c"}.track("1"));
  delivery d = r.take();
  CHECK(d.guid == guid);
  CHECK(d.path == "/v2/track");
  CHECK(d.body == body_of("a", "1"));
  CHECK(r.take().body == "[" + body_of("b", "1") + "," + body_of("c", "1") + "]");
}

TEST_CASE("a batch of which a member is gone was answered: the others go by themselves") {
  memory_store kept;
  {
    rig r{batching(100, &kept)};
    for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    const delivery d = r.take();
  }
  for (const std::uint64_t gone : {1U, 2U, 3U}) {
    memory_store rest;
    rest.records = kept.records;
    rest.records.erase(gone);
    rig r{batching(100, &rest)};
    CHECK(r.queue.stats().accepted == 2);
    CHECK(rest.records.size() == 2);  // the batch is forgotten
    for (const std::string& body : drain(r)) CHECK(body[0] == '{');
    CHECK(rest.records.empty());
  }
}

TEST_CASE("a record of a batch that makes no sense does no harm") {
  for (const char* body : {"[1", "[1,", "[1]", "[1,1]", "[2,1,2]", "[9,1]", "[1,9]", "[1,2,99999999999999999999999]",
                           "[0,1]", "[1x2]", "[1,,2]", "[1,-2]"}) {
    INFO(body);
    memory_store kept;
    {
      rig r{batching(1, &kept)};
      for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    }
    outbound::record r4{4, "/v2/track/batch", body, kept.records[1].guid, "a"};
    kept.records[4] = r4;
    rig r{batching(100, &kept)};
    CHECK(r.queue.stats().accepted == 3);
    std::size_t sent = 0;
    while (r.queue.stats().queued != 0) {
      delivery d = r.take();
      CHECK(d);
      r.answer(std::move(d), 200);
      REQUIRE(++sent < 10);
    }
    CHECK(r.queue.stats().delivered == 3);
    CHECK(kept.records.empty());
  }
}

TEST_CASE("a record of a batch that leaves out one of a user's messages does not bring it out of order") {
  memory_store kept;
  {
    rig r{batching(1, &kept)};
    r.post(user{"a"}.track("1"));
    r.post(user{"b"}.track("2"));
    r.post(user{"b"}.track("3"));
  }
  kept.records[4] = outbound::record{4, "/v2/track/batch", "[1,3]", kept.records[1].guid, "a"};
  rig r{batching(100, &kept)};
  CHECK(drain(r) == std::vector<std::string>{body_of("a", "1"), body_of("b", "2"), body_of("b", "3")});
  CHECK(kept.records.empty());
}

TEST_CASE("a record is one of a batch only if its body begins as a list of numbers does") {
  for (const char* body : {"[", "[:", "[/", "[]", "[\"1\"]", "1]", ""}) {
    INFO(body);
    memory_store kept;
    {
      rig r{batching(1, &kept)};
      r.post(user{"a"}.track("1"));
    }
    kept.records[2] = outbound::record{2, "/v2/track", body, kept.records[1].guid, "b"};
    rig r{batching(1, &kept)};
    CHECK(r.queue.stats().accepted == 2);
    CHECK(drain(r) == std::vector<std::string>{body_of("a", "1"), body});
  }
}

TEST_CASE("a batch that cannot be kept is sent as single messages") {
  for (const memory_store::mood mood : {memory_store::mood::refuses, memory_store::mood::throws}) {
    memory_store kept;
    rig r{batching(100, &kept)};
    for (const char* u : {"a", "b", "c"}) r.post(user{u}.track("1"));
    kept.appending = mood;
    delivery d = r.take();
    CHECK(d.body == body_of("a", "1"));
    CHECK(r.count(event::kind::store_failed) == 1);
    r.answer(std::move(d), 200);
    CHECK(drain(r) == std::vector<std::string>{body_of("b", "1"), body_of("c", "1")});
    CHECK(r.count(event::kind::store_failed) == 1);  // it is not asked for each of them again
    CHECK(kept.records.empty());
  }
}

TEST_CASE("a store that fails: post says so, and nothing accepted is lost") {
  for (const memory_store::mood mood : {memory_store::mood::refuses, memory_store::mood::throws}) {
    memory_store kept;
    queue_options o;
    o.store = &kept;
    rig r{o};
    r.post(user{"a"}.track("1"));
    kept.appending = mood;
    const result<void> posted = r.try_post(user{"a"}.track("2"));
    CHECK(posted.error().code == errc::store_failed);
    CHECK(posted.error().status == 0);
    CHECK(posted.error().message == "the store failed: " + std::string{memory_store::complaint(mood)});
    CHECK(r.queue.stats().accepted == 1);
    kept.appending = memory_store::mood::good;
    r.post(user{"a"}.track("3"));
    kept.removing = mood;
    CHECK(drain(r) == std::vector<std::string>{body_of("a", "1"), body_of("a", "3")});
    REQUIRE(r.count(event::kind::store_failed) == 1);
    for (const event& e : r.events)
      if (e.what == event::kind::store_failed) CHECK(e.cause.code == errc::store_failed);
    CHECK(r.queue.stats().delivered == 2);
    CHECK(kept.records.size() == 2);
    kept.removing = memory_store::mood::good;
    CHECK(!r.next());
    CHECK(kept.records.size() == 2);
    r.now += std::chrono::seconds{1};
    CHECK(!r.next());  // asked again
    CHECK(kept.records.empty());
  }
}

TEST_CASE("an idle queue did not ask its store again to remove what was delivered") {
  memory_store kept;
  queue_options o;
  o.store = &kept;
  rig r{o};
  r.post(user{"a"}.track("1"));
  kept.removing = memory_store::mood::refuses;
  CHECK(drain(r) == std::vector<std::string>{body_of("a", "1")});
  CHECK(r.queue.due() == at(r.now + milliseconds{1000}).steady);  // nothing is queued, and yet
  r.now += milliseconds{1000};
  kept.removing = memory_store::mood::good;
  CHECK(!r.next());
  CHECK(kept.records.empty());
  CHECK(r.queue.due() == never);
}

TEST_CASE("a store that cannot remove is asked once a second, and told of once a second") {
  memory_store kept;
  queue_options o;
  o.store = &kept;
  rig r{o};
  for (int i = 0; i < 100; ++i) r.post(user{i}.track("e"));
  kept.removing = memory_store::mood::refuses;
  kept.removes = 0;
  CHECK(drain(r).size() == 100);
  REQUIRE(r.now == milliseconds{0});
  CHECK(kept.removes == 1);
  CHECK(r.count(event::kind::store_failed) == 1);
  r.now += milliseconds{999};
  CHECK(!r.next());
  CHECK(kept.removes == 1);
  r.now += milliseconds{1};
  CHECK(!r.next());
  CHECK(kept.removes == 2);
  CHECK(r.count(event::kind::store_failed) == 2);
  kept.removing = memory_store::mood::good;
  r.queue.abandon();  // the last occasion
  CHECK(kept.records.empty());
}

TEST_CASE("a store without memory is out of memory; any other error of a store is store_failed") {
  struct : outbound::store {
    result<void> append(const outbound::record&) override { return outbound::error{code, 0, message, {}}; }
    result<void> remove(const std::vector<std::uint64_t>&) override { return {}; }
    result<std::vector<outbound::record>> load() override { return std::vector<outbound::record>{}; }
    errc code{errc::out_of_memory};
    std::string message{"as the test says"};
  } kept;
  rig r{batching(1, &kept)};
  const outbound::error first = r.try_post(user{"a"}.track("1")).error();
  CHECK(first.code == errc::out_of_memory);
  CHECK(first.message == "as the test says");
  kept.code = errc::no_response;
  const outbound::error second = r.try_post(user{"a"}.track("1")).error();
  CHECK(second.code == errc::store_failed);
  const std::size_t end = second.message.find(": as the test says");
  REQUIRE(end != std::string::npos);
  // 400 bytes of what it says are enough.
  const std::string begin = second.message.substr(0, end) + ": ";
  kept.message.assign(400, 'x');
  CHECK(r.try_post(user{"a"}.track("1")).error().message == begin + kept.message);
  kept.message += 'y';
  CHECK(r.try_post(user{"a"}.track("1")).error().message == begin + std::string(400, 'x') + "...");
  CHECK(first.status == 0);
  CHECK(second.status == 0);
}

TEST_CASE("a store that cannot be read: every post says so") {
  for (const memory_store::mood mood : {memory_store::mood::refuses, memory_store::mood::throws}) {
    memory_store kept;
    kept.loading = mood;
    queue_options o;
    o.store = &kept;
    rig r{o};
    CHECK(!r.next());
    for (int i = 0; i < 2; ++i) {
      const result<void> posted = r.try_post(user{1}.track("e"));
      CHECK(posted.error().code == errc::store_failed);
      CHECK(posted.error().status == 0);
      CHECK(posted.error().message.find("the disk is") != std::string::npos);
    }
    CHECK(kept.appends == 0);
    CHECK(r.count(event::kind::store_failed) == 1);
  }
}

TEST_CASE("a record of somebody else that names a user twice waits for nobody") {
  memory_store kept;
  kept.records[1] = {1, "/v2/track", "{}", "01234567-89ab-8def-8123-456789abcdef",
                     "a\xFF"
                     "a\xFF"
                     "b\xFF"
                     "a"};
  queue_options o;
  o.store = &kept;
  rig r{o};
  CHECK(drain(r) == std::vector<std::string>{"{}"});
  CHECK(kept.records.empty());
}

TEST_CASE("a store with one record that makes no sense: nothing of it is sent") {
  memory_store kept;
  kept.records[1] = {1, "/v2/track", "{}", "01234567-89ab-8def-8123-456789abcdef", "a"};
  kept.records[2] = {2, "/v2/track", "{}", "01234567-89ab-8def-8123-456789abcdee", "b"};
  kept.records[3] = {3, "/v2/track/batch", "[1,2]", "01234567-89ab-8def-8123-456789abcdef", "a"};
  kept.records[4] = {4, "/v2/track", "{}", "no GUID", "a"};
  queue_options o;
  o.store = &kept;
  rig r{o};
  CHECK(!r.next());
  CHECK(r.queue.stats().accepted == 0);
  CHECK(r.queue.stats().queued == 0);
  CHECK(kept.records.size() == 4);
}

TEST_CASE("a store whose records make no sense: every post says so") {
  const outbound::record good{1, "/v2/track", "{}", "01234567-89ab-8def-8123-456789abcdef", "a"};
  const auto check = [&good](const outbound::record& r) {
    memory_store kept;
    kept.records[1] = good;
    kept.records[2] = r;
    queue_options o;
    o.store = &kept;
    rig q{o};
    const result<void> posted = q.try_post(user{1}.track("e"));
    CHECK(posted.error().code == errc::store_failed);
    CHECK(posted.error().status == 0);
    CHECK(kept.records.size() == 2);
  };
  check({1, "/v2/track", "{}", good.guid, "a"});  // an id twice
  check({0, "/v2/track", "{}", good.guid, "a"});
  for (const char* guid : {"", "x", "01234567-89ab-8def-8123-456789abcdeg", "01234567089ab08def081230456789abcdef",
                           "01234567-89ab-8def-8123-456789abcde", "01234567-89ab-8def-8123-456789abcdef0"})
    check({2, "/v2/track", "{}", guid, "a"});
}

TEST_CASE("what is dropped or fails leaves the store as well") {
  memory_store kept;
  queue_options o;
  o.store = &kept;
  o.max_messages = 2;
  o.when_full = outbound::overflow::drop_oldest;
  o.retry.max_age = 10s;
  rig r{o};
  for (const char* e : {"1", "2", "3"}) r.post(user{e}.track(e));
  CHECK(kept.records.size() == 2);
  r.answer(r.take(), 400);
  CHECK(kept.records.size() == 1);
  r.now += 10s;
  CHECK(!r.next());
  CHECK(kept.records.empty());
  CHECK(r.queue.stats().lost(loss::expired) == 1);
}

TEST_CASE("abandon drops what is not in flight, unless a store keeps it") {
  for (const bool stored : {false, true}) {
    memory_store kept;
    rig r{batching(2, stored ? &kept : nullptr)};
    for (int i = 0; i < 5; ++i) r.post(user{i}.track("e"));
    r.answer(r.take(), 503);  // a batch that waits
    delivery d = r.take();
    const std::uint64_t in_flight = r.queue.stats().in_flight;
    r.queue.close();
    r.queue.abandon();
    r.balance();
    CHECK(r.queue.stats().in_flight == in_flight);
    CHECK(r.queue.stats().queued == (stored ? 5 - in_flight : 0));
    CHECK(r.queue.stats().lost(loss::closed) == (stored ? 0 : 5 - in_flight));
    CHECK(r.count(event::kind::dropped) == (stored ? 0 : 5 - in_flight));
    r.answer(std::move(d), 200);
    CHECK(r.queue.stats().delivered == in_flight);
    CHECK(r.try_post(user{1}.track("e")).error().code == errc::closed);
  }
}

TEST_CASE("bug: a store that could not remove what was answered before abandon was not told of") {
  memory_store kept;
  rig r{batching(1, &kept)};
  r.post(user{1}.track("e"));
  kept.removing = memory_store::mood::refuses;
  r.answer(r.take(), 200);
  CHECK(r.count(event::kind::store_failed) == 1);
  r.queue.abandon();
  CHECK(kept.removes == 2);
  CHECK(r.count(event::kind::store_failed) == 2);
}

// --- the caller and its hook

static_assert(!std::is_copy_constructible_v<delivery> && !std::is_copy_assignable_v<delivery>);
static_assert(std::is_nothrow_move_constructible_v<delivery> && std::is_nothrow_move_assignable_v<delivery>);
static_assert(!std::is_copy_constructible_v<delivery_queue> && !std::is_move_constructible_v<delivery_queue>);

TEST_CASE("a delivery that is reported twice, or none at all") {
  rig r;
  r.post(user{1}.track("e"));
  r.post(user{1}.track("f"));
  delivery d = r.take();
  r.answer(std::move(d), 200);
  r.answer(std::move(d), 200);
  r.answer(std::move(d), 503);
  r.answer(delivery{}, 400);
  CHECK(r.queue.stats().delivered == 1);
  CHECK(r.queue.stats().queued == 1);
}

TEST_CASE("a delivery that was moved from kept its ticket, and could be reported a second time") {
  rig r;
  r.post(user{1}.track("e"));
  r.post(user{2}.track("f"));
  delivery a = r.take();
  delivery b = std::move(a);
  CHECK(!a);
  CHECK(b);
  r.answer(std::move(a), 400);
  CHECK(r.queue.stats().in_flight == 1);
  delivery c;
  c = std::move(b);
  CHECK(!b);
  r.answer(std::move(c), 200);
  r.answer(std::move(b), 200);
  CHECK(r.queue.stats().delivered == 1);
  CHECK(r.queue.stats().queued == 1);
  CHECK(r.queue.stats().failed == 0);
}

TEST_CASE("a delivery that is thrown away stays in flight, and harms nobody else") {
  rig r;
  r.post(user{1}.track("e"));
  r.post(user{1}.track("f"));
  r.post(user{2}.track("g"));
  { const delivery lost = r.take(); }
  r.answer(r.take(), 200);
  CHECK(r.queue.stats().in_flight == 1);
  CHECK(r.queue.stats().queued == 1);
  CHECK(!r.next());
}

TEST_CASE("F53: the hook may call the queue", "[F53]") {
  delivery_queue* self = nullptr;
  std::vector<event> events;
  std::vector<delivery> taken;
  queue_options o;
  o.max_messages = 3;
  o.when_full = outbound::overflow::drop_oldest;
  o.on_event = [&](const event& e) {
    REQUIRE(adds_up(self->stats()));
    events.push_back(e);
    if (events.size() > 20) return;
    // An event about each event; what is due is taken; what was taken is reported.
    REQUIRE(self->post(user{"hook"}.track(std::to_string(events.size())), at(0ms)));
    delivery d = self->next(at(0ms));
    if (d) taken.push_back(std::move(d));
    if (taken.size() > 1) {
      delivery first = std::move(taken.front());
      taken.erase(taken.begin());
      self->report(std::move(first), status(events.size() % 2 != 0 ? 200 : 400), at(0ms));
    }
    self->close();
    REQUIRE(self->post(user{1}.track("e"), at(0ms)).error().code == errc::closed);
  };
  delivery_queue queue{o};
  self = &queue;
  CHECK(queue.post(user{1}.track("e"), at(0ms)));
  queue.report(queue.next(at(0ms)), status(200), at(0ms));
  CHECK(adds_up(queue.stats()));
  CHECK(events.size() >= 1);
}

TEST_CASE("bug: a hook that answered what its event let go was called ever deeper, until the stack ended [F53]",
          "[F53]") {
  constexpr int messages = 50'000;
  delivery_queue* self = nullptr;
  int delivered = 0;
  queue_options o;
  o.on_event = [&](const event&) {
    ++delivered;
    delivery d = self->next(at(0ms));
    if (d) self->report(std::move(d), status(200), at(0ms));
  };
  delivery_queue queue{o};
  self = &queue;
  for (int i = 0; i < messages; ++i) REQUIRE(queue.post(user{i}.track("e"), at(0ms)));
  queue.report(queue.next(at(0ms)), status(200), at(0ms));
  CHECK(delivered == messages);
  CHECK(queue.stats().delivered == messages);
}

TEST_CASE("bug: what came of a call from the hook was told before what had happened first") {
  delivery_queue* self = nullptr;
  std::vector<std::string> told;
  std::vector<delivery> taken;
  queue_options o;
  o.on_event = [&](const event& e) {
    constexpr const char* names[] = {"delivered", "retrying", "failed", "dropped", "held", "resumed"};
    told.push_back(names[static_cast<std::size_t>(e.what)]);
    CHECK(e.number == told.size());
    if (e.what != event::kind::resumed || taken.empty()) return;
    delivery d = std::move(taken.back());
    taken.pop_back();
    self->report(std::move(d), status(200), at(0ms));
  };
  delivery_queue queue{o};
  self = &queue;
  for (int i = 0; i < 7; ++i) REQUIRE(queue.post(user{i}.track("e"), at(0ms)));
  for (int i = 0; i < 7; ++i) taken.push_back(queue.next(at(0ms)));
  for (const int s : {503, 503, 503, 503, 503, 401}) {
    delivery d = std::move(taken.front());
    taken.erase(taken.begin());
    queue.report(std::move(d), status(s), at(0ms));
  }
  const std::vector<std::string> expected = {"retrying", "retrying", "retrying", "retrying", "held",
                                             "retrying", "resumed",  "held",     "resumed",  "delivered"};
  CHECK(told == expected);
}

#ifdef __cpp_exceptions
TEST_CASE("what the hook throws is contained, and the events behind it are told") {
  int calls = 0;
  queue_options o;
  o.on_event = [&calls](const event&) {
    ++calls;
    if (calls % 2 != 0) throw std::runtime_error{"no"};
    throw 7;
  };
  o.batch_size = 10;
  rig r{o};
  for (int i = 0; i < 10; ++i) r.post(user{i}.track("e"));
  r.answer(r.take(), 503);
  r.answer(r.take(), 200);
  CHECK(calls == 11);
  CHECK(r.queue.stats().delivered == 10);
}
#endif

TEST_CASE("due and next agree: what is due is there, and nothing is there before") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    queue_options o;
    o.seed = {seed, seed};
    o.retry.max_age = 5min;
    rig r{o};
    for (int i = 0; i < 5; ++i) r.post(user{i}.track("e"));
    const int answers[] = {503, 404, 401, 500, 429, 200, 0, 301};
    for (std::size_t n = 0; r.queue.due() != never && n < 500; ++n) {
      const milliseconds wait = r.wait();
      if (wait > 0ms) {
        r.now += wait - 1ms;
        const std::uint64_t failed = r.queue.stats().failed;
        REQUIRE(!r.next());
        REQUIRE(r.queue.stats().failed == failed);
        r.now += 1ms;
      }
      const std::uint64_t failed = r.queue.stats().failed;
      delivery d = r.next();
      REQUIRE((d || r.queue.stats().failed > failed));
      if (d) r.answer(std::move(d), answers[(n * 7 + seed) % 8]);
    }
    CHECK(r.queue.stats().queued == 0);
  }
}

TEST_CASE("what cannot be accepted changes nothing") {
  rig r;
  CHECK(r.try_post(user{1}.track("")).error().code == errc::invalid_message);
  CHECK(r.try_post(outbound::batch{}).error().code == errc::invalid_message);
  CHECK(r.try_post(user{1}.track("\xFF")).error().problems.size() == 1);
  r.queue.close();
  r.queue.close();
  const result<void> late = r.try_post(user{1}.track("e"));
  CHECK(late.error().code == errc::closed);
  CHECK(late.error().status == 0);
  CHECK(r.queue.stats().accepted == 0);
  CHECK(r.events.empty());
  CHECK(r.queue.due() == never);
}

TEST_CASE("many users in few buckets: the lines are found and forgotten") {
  rig r;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5000; ++i) r.post(user{i}.track("e"));
    for (int i = 0; i < 5000; ++i) r.post(user{i}.track("f"));
    std::vector<delivery> calls;
    for (delivery d = r.next(); d; d = r.next()) calls.push_back(std::move(d));
    CHECK(calls.size() == 5000);
    for (delivery& d : calls) r.answer(std::move(d), 200);
    CHECK(drain(r).size() == 5000);
  }
}

TEST_CASE("bug: a batch expired when the oldest of its members did, if that was its last") {
  outbound::queue_options options;
  options.batch_size = 2;
  options.retry.max_age = 15s;
  outbound::delivery_queue queue{options};
  REQUIRE(queue.post(user{"a"}.track("0"), at(0s)));
  delivery first = queue.next(at(0s));
  REQUIRE(queue.post(user{"a"}.track("1"), at(0s)));   // the older one waits for its user,
  REQUIRE(queue.post(user{"b"}.track("2"), at(10s)));  // so the younger one is ready before it
  queue.report(std::move(first), outbound::response{200}, at(11s));
  delivery both = queue.next(at(11s));
  REQUIRE(both.body == R"([{"user_id":"b","event":"2"},{"user_id":"a","event":"1"}])");
  queue.report(std::move(both), outbound::response{503}, at(16s));
  CHECK(queue.stats().failed == 0);
  CHECK(queue.stats().queued == 2);
}

TEST_CASE("a batch expires with the last of its members, not with the first") {
  queue_options o = batching(2);
  o.retry.max_age = 15s;
  rig r{o};
  r.post(user{"a"}.track("1"));
  r.now = 10s;
  r.post(user{"b"}.track("2"));
  delivery both = r.take();
  REQUIRE(both.body == R"([{"user_id":"a","event":"1"},{"user_id":"b","event":"2"}])");
  r.now = 16s;
  r.answer(std::move(both), 503);
  CHECK(r.queue.stats().failed == 0);
  CHECK(r.queue.stats().queued == 2);
}

TEST_CASE("bug: what expired between two tries was told without its last answer") {
  queue_options o;
  o.retry.max_age = 30s;
  rig r{o};
  r.post(user{1}.track("e"));
  r.post(user{2}.track("e"));
  r.answer(r.take(), outbound::response{503, R"({"error":{"Message":"maintenance"}})", {}});
  r.now = 30s;
  CHECK(!r.next());
  REQUIRE(r.count(event::kind::failed) == 2);
  const event& tried = r.events[1];
  CHECK(tried.why == loss::expired);
  CHECK(tried.cause.code == errc::unavailable);
  CHECK(tried.cause.status == 503);
  CHECK(tried.cause.message == make_error_code(errc::unavailable).message());
  const event& untried = r.events[2];
  CHECK(untried.why == loss::expired);
  CHECK(untried.cause.code == errc{});
  CHECK(untried.cause.message.empty());
}

TEST_CASE("bug: that a batch was refused and taken apart was told to nobody") {
  for (const int refusal : {400, 413, 422, 500}) {
    CAPTURE(refusal);
    queue_options o = batching(10);
    o.retry.max_attempts = 1;
    o.retry.max_age = 30s;
    rig r{o};
    for (int i = 1; i <= 3; ++i) r.post(user{i}.track("e"));
    r.answer(r.take(), refusal);
    REQUIRE(r.events.size() == 1);
    CHECK(r.events[0].what == event::kind::retrying);
    CHECK(r.events[0].cause.status == refusal);
    CHECK(r.events[0].attempts == 1);
    CHECK(r.events[0].message.body == R"({"user_id":1,"event":"e"})");
    r.answer(r.take(), 200);
    r.now = 30s;
    CHECK(!r.next());  // the others expire: their last answer was the batch's
    REQUIRE(r.events.size() == 4);
    CHECK(r.events[2].cause.status == refusal);
    CHECK(r.events[3].cause.status == refusal);
  }
}

TEST_CASE("an answer at the age of max_age is the last, one before it is not") {
  for (const std::size_t together : {1U, 2U}) {
    for (const milliseconds age : {29'999ms, 30'000ms}) {
      CAPTURE(together, age.count());
      queue_options o = batching(together);
      o.retry.max_age = 30s;
      rig r{o};
      for (std::size_t i = 0; i < together; ++i) r.post(user{i}.track("e"));
      delivery d = r.take();
      r.now = age;
      r.answer(std::move(d), 503);
      const bool last = age == 30'000ms;
      CHECK(r.events.size() == (last ? together : 1));
      CHECK(r.count(event::kind::failed) == (last ? together : 0));
      CHECK(r.count(event::kind::retrying) == (last ? 0 : 1));
      CHECK(r.queue.stats().lost(loss::expired) == (last ? together : 0));
    }
  }
}
