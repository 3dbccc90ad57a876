// [F77] Time points become whole Unix seconds, rounded down, over the years 1 to 9999 and beyond, on any clock period.
#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <string>

#include "expect.hpp"
#include "outbound.hpp"

namespace {

using std::chrono::duration;
using std::chrono::system_clock;
template <class Duration>
using point = std::chrono::time_point<system_clock, Duration>;
using seconds = duration<std::int64_t>;
using milliseconds = duration<std::int64_t, std::milli>;
using nanoseconds = duration<std::int64_t, std::nano>;
using days = duration<std::int32_t, std::ratio<86400>>;
using weeks = duration<std::int64_t, std::ratio<604800>>;

template <class Duration>
void expect(std::int64_t count, const char* want) {
  const point<Duration> when{Duration{static_cast<typename Duration::rep>(count)}};
  const std::string got{outbound::array::of(when).text()};
  if (got != '[' + std::string{want} + ']')
    std::fprintf(stderr, "%lld: got %s, want [%s]\n", static_cast<long long>(count), got.c_str(), want);
  EXPECT(got == '[' + std::string{want} + ']');
}

void expect_track(std::int64_t seconds_since, const char* want) {
  const auto when = std::chrono::time_point_cast<system_clock::duration>(point<seconds>{seconds{seconds_since}});
  const std::string got{outbound::user{1}.track("e").at(when).body()};
  EXPECT(got == R"({"user_id":1,"event":"e","timestamp":)" + std::string{want} + '}');
}

}  // namespace

int main() {
  expect<seconds>(-62135596800, "-62135596800");  // 0001-01-01
  expect<seconds>(253402300799, "253402300799");  // 9999-12-31T23:59:59
  expect<seconds>(0, "0");
  expect<seconds>((std::numeric_limits<std::int64_t>::max)(), "9223372036854775807");
  expect<seconds>((std::numeric_limits<std::int64_t>::min)(), "-9223372036854775808");
  expect<milliseconds>(-62135596800000, "-62135596800");
  expect<milliseconds>(253402300799999, "253402300799");
  for (const std::int64_t unit : {1, 2}) {
    expect<milliseconds>(1000 * unit - 1, unit == 1 ? "0" : "1");
    expect<milliseconds>(-1000 * unit - 1, unit == 1 ? "-2" : "-3");
    expect<milliseconds>(-1000 * unit + 1, unit == 1 ? "-1" : "-2");
    expect<milliseconds>(-1000 * unit, unit == 1 ? "-1" : "-2");
  }
  expect<nanoseconds>(-1, "-1");
  expect<nanoseconds>(999999999, "0");
  expect<nanoseconds>((std::numeric_limits<std::int64_t>::min)(), "-9223372037");
  expect<nanoseconds>((std::numeric_limits<std::int64_t>::max)(), "9223372036");
  expect<days>(-719162, "-62135596800");
  expect<days>(2932896, "253402214400");
  expect<days>((std::numeric_limits<std::int32_t>::max)(), "185542587100800");
  expect<weeks>((std::numeric_limits<std::int64_t>::max)(), "9223372036854775807");  // saturates
  expect<weeks>((std::numeric_limits<std::int64_t>::min)(), "-9223372036854775808");
  expect_track(0, "0");  // a time, not "now"
  expect_track(-1, "-1");
  expect_track(951782400, "951782400");    // 2000-02-29
  expect_track(1709164800, "1709164800");  // 2024-02-29
  expect_track(-2203891200, "-2203891200");
  outbound::object o;
  o.set("when", point<milliseconds>{milliseconds{-1}});
  EXPECT(o.text() == R"({"when":-1})");
}
