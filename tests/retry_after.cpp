// Retry-After (RFC 9110, 10.2.3): seconds and all three forms of an HTTP-date, read the same in every place of the
// world, and what a queue makes of them.
#include "outbound.hpp"

#include <chrono>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/engine.hpp"

using namespace std::chrono_literals;
using outbound::detail::read_http_date;
using outbound::detail::retry_after_seconds;
using test::at;

namespace {

constexpr std::int64_t unix_now = 1700000000;
constexpr std::int64_t most = (std::numeric_limits<std::int64_t>::max)();

// How long a queue waits after an answer with that header, in milliseconds; without backoff of its own.
std::int64_t pause_after(int status, const std::string& value) {
  outbound::queue_options o;
  o.retry.first_delay = 0ms;
  outbound::delivery_queue queue{o};
  REQUIRE(queue.post(outbound::user{"ada"}.track("e"), at(0s)));
  REQUIRE(queue.post(outbound::user{"bob"}.track("never tried"), at(0s)));
  outbound::delivery d = queue.next(at(0s));
  queue.report(std::move(d), outbound::response{status, "", {{"Retry-After", value}}}, at(0s));
  const std::chrono::steady_clock::time_point due = queue.due();
  // What `due` says is so: not a millisecond before, then at once, for a first attempt too.
  if (due > at(0s).steady) CHECK(!queue.next({due - 1ms, at(0s).system}));
  const outbound::delivery again = queue.next({due, at(0s).system}), first = queue.next({due, at(0s).system});
  CHECK(again.attempt == 2);
  CHECK(again.user_key == "ada");
  CHECK(first.attempt == 1);
  CHECK(first.user_key == "bob");
  return std::chrono::duration_cast<std::chrono::milliseconds>(due - at(0s).steady).count();
}

void check_corpora() {
  for (const test::row& row : test::read_tsv("retry_after.tsv")) {
    INFO(row[0]);
    const std::int64_t expected = row[1] == "ignore" ? -1 : row[1] == "saturate" ? most : std::stoll(row[1]);
    CHECK(retry_after_seconds(row[0], unix_now) == expected);
  }
  for (const test::row& row : test::read_tsv("http_date.tsv")) {
    INFO(row[0]);
    std::int64_t seconds = 0;
    const bool good = read_http_date(row[0], unix_now, seconds);
    CHECK(good == (row[1] != "invalid"));
    if (good) CHECK(seconds == std::stoll(row[1]));
  }
}

}  // namespace

TEST_CASE("F41: Retry-After, every row of the corpus", "[F41]") { check_corpora(); }

TEST_CASE("F41: blanks and tabs around a Retry-After are not part of it", "[F41]") {
  for (const char* s : {"17", " 17", "\t17", "17 ", "17\t", " \t 17 \t "}) {
    CAPTURE(s);
    CHECK(retry_after_seconds(s, 0) == 17);
  }
  for (const char* s : {"", " ", "\t", " \t", "1 7", "1\t7", "\n17"}) {
    CAPTURE(s);
    CHECK(retry_after_seconds(s, 0) == -1);
  }
}

TEST_CASE("F41: Retry-After, every row of the corpus through a queue: at most an hour", "[F41]") {
  for (const test::row& row : test::read_tsv("retry_after.tsv")) {
    INFO(row[0]);
    std::int64_t expected = row[1] == "ignore" ? 0 : row[1] == "saturate" ? 3600 : std::stoll(row[1]);
    if (expected > 3600) expected = 3600;
    for (const int status : {429, 503}) CHECK(pause_after(status, row[0]) == expected * 1000);
  }
}

TEST_CASE("F42: an HTTP-date, every row of the corpus through a queue", "[F42]") {
  for (const test::row& row : test::read_tsv("http_date.tsv")) {
    INFO(row[0]);
    std::int64_t expected = 0;
    if (row[1] != "invalid" && row[0].find_first_not_of("0123456789") != std::string::npos)
      expected = std::stoll(row[1]) - unix_now;
    // Blanks around a field value are not part of it (RFC 9110, 5.5).
    if (expected < 0) expected = 0;
    if (expected > 3600) expected = 3600;
    CHECK(pause_after(503, row[0]) == expected * 1000);
  }
}

TEST_CASE("F42: a two-digit year is never more than 50 years ahead, whenever now is", "[F42]") {
  // RFC 9110, 5.6.7. The same text, read at the last moment before and the first after it is 50 years ahead.
  std::int64_t date = 0;
  REQUIRE(read_http_date("Tue, 01 Mar 2044 12:00:00 GMT", 0, date));
  std::int64_t fifty_years_before = 0;
  REQUIRE(read_http_date("Tue, 01 Mar 1994 12:00:00 GMT", 0, fifty_years_before));
  std::int64_t out = 0;
  REQUIRE(read_http_date("Tuesday, 01-Mar-44 12:00:00 GMT", fifty_years_before, out));
  CHECK(out == date);
  REQUIRE(read_http_date("Tuesday, 01-Mar-44 12:00:00 GMT", fifty_years_before - 1, out));
  std::int64_t century_before = 0;
  REQUIRE(read_http_date("Wed, 01 Mar 1944 12:00:00 GMT", 0, century_before));
  CHECK(out == century_before);
}

TEST_CASE("F42: all of 400 years, day by day, in all three forms", "[F42]") {
  static const char* const weekdays[] = {"Thursday", "Friday",  "Saturday", "Sunday",
                                         "Monday",   "Tuesday", "Wednesday"};  // 1970 began on a Thursday
  static const char* const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const auto two = [](int n, char pad) { return (n < 10 ? std::string(1, pad) : std::string{}) + std::to_string(n); };
  std::int64_t day = 0;
  std::size_t wrong = 0;
  for (int year = 1970; year < 2370; ++year) {
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    for (int month = 0; month < 12; ++month) {
      const int last = days[month] + (month == 1 && leap ? 1 : 0);
      for (int d = 1; d <= last; ++d, ++day) {
        const std::string weekday = weekdays[day % 7];
        const std::string y = std::to_string(year);
        const std::int64_t expected = day * 86400 + 5 * 3600 + 6 * 60 + 7;
        for (const std::string& text :
             {weekday.substr(0, 3) + ", " + two(d, '0') + " " + months[month] + " " + y + " 05:06:07 GMT",
              weekday.substr(0, 3) + " " + months[month] + " " + two(d, ' ') + " 05:06:07 " + y,
              weekday + ", " + two(d, '0') + "-" + months[month] + "-" + y.substr(2) + " 05:06:07 GMT"}) {
          std::int64_t out = 0;
          wrong += !read_http_date(text, expected, out) || out != expected;
        }
      }
      std::int64_t out = 0;
      const std::string after = two(last + 1, '0');
      wrong +=
          read_http_date("Mon, " + after + " " + months[month] + " " + std::to_string(year) + " 00:00:00 GMT", 0, out);
    }
  }
  CHECK(day == 146097);
  CHECK(wrong == 0);
}

TEST_CASE("F42: one byte more, less or other is no HTTP-date, but for another digit or day", "[F42]") {
  for (const std::string good :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
    std::int64_t out = 0;
    std::size_t wrong = 0;
    REQUIRE(read_http_date(good, unix_now, out));
    for (std::size_t i = 0; i < good.size(); ++i) {
      INFO(good << " at " << i);
      CHECK(!read_http_date(good.substr(0, i), unix_now, out));
      CHECK(!read_http_date(good.substr(i + 1), unix_now, out));
      const bool may_be_digit = (good[i] >= '0' && good[i] <= '9') || good.compare(i, 2, " 6") == 0;
      for (int c = 0; c < 256; ++c) {
        if (static_cast<char>(c) == good[i] || (may_be_digit && c >= '0' && c <= '9')) continue;
        std::string other = good;
        other[i] = static_cast<char>(c);
        wrong += read_http_date(other, unix_now, out);
        other.insert(i, 1, good[i]);
        wrong += read_http_date(other, unix_now, out);
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("F42: a part of a weekday's long name, or none, made an HTTP-date all the same", "[F42]") {
  for (const std::string cut : {"", "S", "Su", "Sund", "Sunda", "Sundays", "Monda"}) {
    INFO(cut);
    CHECK(retry_after_seconds(cut + ", 06-Nov-94 08:49:37 GMT", unix_now) == -1);
    CHECK(retry_after_seconds(cut + ", 06 Nov 1994 08:49:37 GMT", unix_now) == -1);
  }
  CHECK(retry_after_seconds("Sunday, 06-Nov-94 08:49:37 GMT", unix_now) == 0);
}

TEST_CASE("F42: nothing depends on the place: TZ and locale", "[F42]") {
  // The build runs this file again with TZ=Asia/Kolkata and TZ=America/St_Johns; they are in force then.
  const char* const zone = std::getenv("TZ");
  const std::string name = zone != nullptr ? zone : "";
  const std::time_t epoch = 0;
  const std::tm local = *std::localtime(&epoch);
  if (name == "Asia/Kolkata") REQUIRE((local.tm_hour == 5 && local.tm_min == 30));
  if (name == "America/St_Johns") REQUIRE((local.tm_hour == 20 && local.tm_min == 30));
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* locale : {"C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8", "hi_IN.UTF-8", "ar_SA.UTF-8", "ja_JP.UTF-8"})
    if (std::setlocale(LC_ALL, locale) != nullptr) check_corpora();
  std::setlocale(LC_ALL, before.c_str());
  CHECK(pause_after(429, "Tuesday, 14-Nov-23 22:14:20 GMT") == 60'000);
}

TEST_CASE("F43: only a date is compared with the wall clock, and only then", "[F43]") {
  outbound::queue_options o;
  o.retry.first_delay = 0ms;
  outbound::delivery_queue queue{o};
  const outbound::instant yesterday{at(0s).steady, at(-24h).system};
  const outbound::instant tomorrow{at(0s).steady, at(24h).system};
  REQUIRE(queue.post(outbound::user{1}.track("e"), yesterday));
  outbound::delivery d = queue.next(tomorrow);
  REQUIRE(d);
  // By a clock that is a day slow the date is a day ahead: capped.
  queue.report(std::move(d), outbound::response{429, "", {{"Retry-After", "Tue, 14 Nov 2023 22:13:20 GMT"}}},
               yesterday);
  CHECK(queue.due() == at(1h).steady);
  // The wall clock is put right; the wait stays as it is.
  CHECK(!queue.next({at(1h).steady - 1ms, at(24h).system}));
  d = queue.next({at(1h).steady, at(-24h).system});
  REQUIRE(d);
  // By a clock that is a day fast the date is over.
  queue.report(std::move(d), outbound::response{429, "", {{"Retry-After", "Tue, 14 Nov 2023 22:13:20 GMT"}}},
               {at(1h).steady, at(24h).system});
  CHECK(queue.due() == at(1h).steady);
}

TEST_CASE("F41: a later Retry-After never shortens an earlier one, and only 429 and 5xx have a say") {
  outbound::queue_options o;
  o.retry.first_delay = 0ms;
  outbound::delivery_queue queue{o};
  for (int i = 0; i < 4; ++i) REQUIRE(queue.post(outbound::user{i}.track("e"), at(0s)));
  outbound::delivery a = queue.next(at(0s)), b = queue.next(at(0s)), c = queue.next(at(0s));
  queue.report(std::move(a), outbound::response{429, "", {{"x", "y"}, {"rEtRy-AfTeR", "60"}}}, at(0s));
  queue.report(std::move(b), outbound::response{503, "", {{"Retry-After", "5"}}}, at(1s));
  CHECK(queue.due() == at(60s).steady);
  queue.report(std::move(c), outbound::response{200, "", {{"Retry-After", "3600"}}}, at(2s));
  CHECK(queue.due() == at(60s).steady);
  CHECK(!queue.next(at(59'999ms)));
  CHECK(queue.next(at(60s)));
}

TEST_CASE("F49: a Retry-After that is longer than a message may live does not keep it alive", "[F49]") {
  outbound::queue_options o;
  o.retry.max_age = 10min;
  std::vector<outbound::event> events;
  o.on_event = [&](const outbound::event& e) { events.push_back(e); };
  outbound::delivery_queue queue{o};
  REQUIRE(queue.post(outbound::user{1}.track("e"), at(0s)));
  queue.report(queue.next(at(0s)), outbound::response{503, "", {{"Retry-After", "3600"}}}, at(0s));
  CHECK(queue.due() == at(10min).steady);
  CHECK(!queue.next(at(10min - 1ms)));
  CHECK(queue.stats().queued == 1);
  CHECK(!queue.next(at(10min)));
  REQUIRE(!events.empty());
  CHECK(events.back().what == outbound::event::kind::failed);
  CHECK(events.back().why == outbound::loss::expired);
  CHECK(events.back().age == 10min);
  CHECK(events.back().message.body == R"({"user_id":1,"event":"e"})");
  CHECK(queue.stats().lost(outbound::loss::expired) == 1);
  CHECK(queue.due() == (std::chrono::steady_clock::time_point::max)());
}
