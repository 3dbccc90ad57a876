// Retry-After against a reference that is made of a regular expression and the calendar of C++20.
#include "outbound.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <regex>
#include <string>

#include "fuzz.hpp"

namespace {

constexpr std::int64_t most = INT64_MAX;
constexpr std::int64_t neither = -1;

int month_of(const std::string& name) {
  static const std::string all = "JanFebMarAprMayJunJulAugSepOctNovDec";
  return static_cast<int>(all.find(name) / 3) + 1;
}

// Seconds since 1970 of a moment that may have a leap second; a day that the month has not counts on.
std::int64_t moment(int year, int month, int day, int hour, int minute, int second) {
  namespace c = std::chrono;
  const c::sys_days first = c::year{year} / c::month{static_cast<unsigned>(month)} / 1;
  return c::sys_seconds{first + c::days{day - 1} + c::hours{hour} + c::minutes{minute} + c::seconds{second}}
      .time_since_epoch()
      .count();
}

bool is_date(int year, int month, int day, int hour, int minute, int second) {
  namespace c = std::chrono;
  const c::year_month_day date{c::year{year}, c::month{static_cast<unsigned>(month)},
                               c::day{static_cast<unsigned>(day)}};
  return date.ok() && hour < 24 && minute < 60 && second <= 60;
}

// RFC 9110, 5.6.7.
bool reference_date(const std::string& s, std::int64_t now, std::int64_t& out) {
  static const std::string time = "([0-9]{2}):([0-9]{2}):([0-9]{2})";
  static const std::string month = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
  static const std::string day = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
  static const std::regex fixed{day + ", ([0-9]{2}) " + month + " ([0-9]{4}) " + time + " GMT"};
  static const std::regex asctime{day + " " + month + " ([0-9]{2}| [0-9]) " + time + " ([0-9]{4})"};
  static const std::regex rfc850{"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday), ([0-9]{2})-" + month +
                                 "-([0-9]{2}) " + time + " GMT"};
  std::smatch m;
  const auto n = [&m](std::size_t i) { return std::stoi(m[i]); };
  if (std::regex_match(s, m, fixed)) {
    if (!is_date(n(3), month_of(m[2]), n(1), n(4), n(5), n(6))) return false;
    out = moment(n(3), month_of(m[2]), n(1), n(4), n(5), n(6));
    return true;
  }
  if (std::regex_match(s, m, asctime)) {
    if (!is_date(n(6), month_of(m[1]), n(2), n(3), n(4), n(5))) return false;
    out = moment(n(6), month_of(m[1]), n(2), n(3), n(4), n(5));
    return true;
  }
  if (!std::regex_match(s, m, rfc850)) return false;
  // The newest year with these digits that is not more than 50 years away.
  int year = 9900 + n(3);
  while (year > 150 && moment(year - 50, month_of(m[2]), n(1), n(4), n(5), n(6)) > now) year -= 100;
  if (!is_date(year, month_of(m[2]), n(1), n(4), n(5), n(6))) return false;
  out = moment(year, month_of(m[2]), n(1), n(4), n(5), n(6));
  return true;
}

// RFC 9110, 10.2.3: delay-seconds, which saturate, or a date, which may be over.
std::int64_t reference(std::string s, std::int64_t now) {
  const std::size_t first = s.find_first_not_of(" \t");
  if (first == std::string::npos) return neither;
  s = s.substr(first, s.find_last_not_of(" \t") - first + 1);
  std::int64_t date = 0;
  if (reference_date(s, now, date)) return (std::max)(date - now, std::int64_t{0});
  if (s.find_first_not_of("0123456789") != std::string::npos) return neither;
  const std::string digits = s.substr((std::min)(s.find_first_not_of('0'), s.size()));
  const std::string limit = std::to_string(most);
  const bool large = digits.size() > limit.size() || (digits.size() == limit.size() && digits > limit);
  return digits.empty() ? 0 : large ? most : std::stoll(digits);
}

std::string two(std::uint64_t n) { return {static_cast<char>('0' + n / 10 % 10), static_cast<char>('0' + n % 10)}; }

// A date that is nearly always grammatical: the fuzzer finds these seldom by itself.
std::string composed(fuzz::input& in) {
  static const char* const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  static const char* const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
  const std::string weekday = days[in.below(7)], month = months[in.below(12)];
  const std::uint64_t day = in.below(35), year = in.below(10'000);
  const std::string time = two(in.below(26)) + ":" + two(in.below(62)) + ":" + two(in.below(63));
  const std::string full = two(year / 100) + two(year);
  switch (in.below(3)) {
    case 0: return weekday.substr(0, 3) + ", " + two(day) + " " + month + " " + full + " " + time + " GMT";
    case 1: return weekday + ", " + two(day) + "-" + month + "-" + two(year) + " " + time + " GMT";
    default:
      return weekday.substr(0, 3) + " " + month + " " + (day < 10 ? " " + std::to_string(day) : two(day)) + " " + time +
             " " + full;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  // From the year 0 to 9999, most often near today.
  const std::int64_t now = in.coin() ? 1'700'000'000 + static_cast<std::int64_t>(in.below(200'000'000))
                                     : static_cast<std::int64_t>(in.bytes(8) % 315'537'897'600) - 62'135'596'800;
  const std::string s = in.coin() ? composed(in) + in.rest() : in.rest();
  const std::int64_t expected = reference(s, now);
  const std::int64_t got = outbound::detail::retry_after_seconds(s, now);
  // Where exactly it saturates does not matter: an hour is the limit.
  const auto cut = [](std::int64_t seconds) { return (std::min)(seconds, most / 10); };
  fuzz::demand(cut(got) == cut(expected), "another delay",
               s + " at " + std::to_string(now) + " is " + std::to_string(got) + ", not " + std::to_string(expected));

  // What a queue makes of it: never more than an hour, and nothing of what is neither.
  using namespace std::chrono_literals;
  outbound::queue_options o;
  o.retry.first_delay = 0ms;
  outbound::delivery_queue queue{o};
  const outbound::instant then{std::chrono::steady_clock::time_point{5ms},
                               std::chrono::system_clock::time_point{std::chrono::seconds{now % 9'000'000'000}}};
  if (!queue.post(outbound::user{1}.track("e"), then)) std::abort();
  queue.report(queue.next(then), outbound::response{503, {}, {{"retry-after", s}}}, then);
  const auto wait = queue.due() - then.steady;
  const std::int64_t asked = reference(s, now % 9'000'000'000);
  const auto longest = std::chrono::seconds{(std::min)((std::max)(asked, std::int64_t{0}), std::int64_t{3600})};
  fuzz::demand(wait == longest, "another wait", s + ": " + std::to_string(wait.count()) + " ns");
  return 0;
}
