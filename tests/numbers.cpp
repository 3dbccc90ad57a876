// Numbers: the shortest text that reads back as the same bits, in any locale.
#include "outbound.hpp"

#include <charconv>
#include <chrono>
#include <clocale>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <limits>
#include <locale>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/quick.hpp"

namespace numbers_test {

using outbound::defect;

int rounds(int all) { return test::quick() ? all / 20 : all; }

// Different numbers every day; OUTBOUND_SEED repeats a run.
std::uint64_t seed_of(const char* what) {
  const char* const given = std::getenv("OUTBOUND_SEED");
  std::uint64_t seed = std::random_device{}();
  if (given != nullptr) std::from_chars(given, given + std::strlen(given), seed);
  std::printf("OUTBOUND_SEED=%llu: %s\n", static_cast<unsigned long long>(seed), what);
  return seed;
}

// As bits, so that neither x87 registers nor -ffast-math come near.
template <class Float, class Bits>
Float from_bits(Bits bits) {
  static_assert(sizeof(Float) == sizeof(Bits));
  Float x{};
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
double double_of(std::uint64_t bits) { return from_bits<double>(bits); }
float float_of(std::uint32_t bits) { return from_bits<float>(bits); }
std::uint64_t bits_of(const double& x) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
constexpr std::uint64_t infinity = 0x7FF0000000000000;
bool is_finite(std::uint64_t bits) { return (bits & infinity) != infinity; }

template <class T>
std::string written(const T& v) {
  const outbound::array a = outbound::array::of(v);
  return std::string{a.text().substr(1, a.text().size() - 2)};
}

// libc++ got from_chars for double late; strtod only where it must be: it obeys the locale, and mingw's rounds wrongly.
#if defined(__GLIBCXX__) || defined(_MSC_VER) || defined(__cpp_lib_to_chars)
#define NUMBERS_TEST_READS 1
template <class Float>
Float read_back(std::string_view s) {
  Float x{};
#if defined(__i386__) || defined(__m68k__)  // libstdc++'s from_chars multiplies in registers of 80 bits, and rounds twice
  const std::string text{s};
  char* end = nullptr;
  if constexpr (sizeof x == sizeof(float)) x = std::strtof(text.c_str(), &end);
  else x = std::strtod(text.c_str(), &end);
  const bool whole = end == text.c_str() + text.size();
#else
  const auto [end, code] = std::from_chars(s.data(), s.data() + s.size(), x);
  const bool whole = code == std::errc{} && end == s.data() + s.size();
#endif
  if (!whole) test::give_up("not a number: " + std::string{s});
  return x;
}
#endif

// What a number says, without its layout: digits * 10^exponent.
struct decimal {
  bool negative{};
  std::string digits{};
  int exponent{};
};
bool operator==(const decimal& a, const decimal& b) {
  return a.negative == b.negative && a.digits == b.digits && a.exponent == b.exponent;
}

decimal taken_apart(std::string_view s) {
  decimal d;
  std::size_t i = 0;
  if (i < s.size() && s[i] == '-') {
    d.negative = true;
    ++i;
  }
  bool behind_point = false;
  for (; i < s.size() && s[i] != 'e'; ++i) {
    if (s[i] == '.') {
      behind_point = true;
      continue;
    }
    d.digits += s[i];
    d.exponent -= behind_point;
  }
  if (i < s.size()) {
    int power = 0;
    const char* const first = s.data() + i + 1 + (s[i + 1] == '+');
    std::from_chars(first, s.data() + s.size(), power);
    d.exponent += power;
  }
  d.digits.erase(0, d.digits.find_first_not_of('0'));
  while (!d.digits.empty() && d.digits.back() == '0') {
    d.digits.pop_back();
    ++d.exponent;
  }
  if (d.digits.empty()) d.exponent = 0;
  return d;
}

// ECMAScript's Number::toString, in words of the standard: k digits, point after n of them.
std::string ecmascript(const decimal& d) {
  if (d.digits.empty()) return d.negative ? "-0" : "0";
  const int k = static_cast<int>(d.digits.size());
  const int n = k + d.exponent;
  const std::string sign = d.negative ? "-" : "";
  const auto part = [&](int from, int size) {
    return d.digits.substr(static_cast<std::size_t>(from), static_cast<std::size_t>(size));
  };
  const auto zeros = [](int size) { return std::string(static_cast<std::size_t>(size), '0'); };
  if (k <= n && n <= 21) return sign + d.digits + zeros(n - k);
  if (0 < n && n <= 21) return sign + part(0, n) + '.' + part(n, k - n);
  if (-6 < n && n <= 0) return sign + "0." + zeros(-n) + d.digits;
  const std::string power = (n > 0 ? "e+" : "e-") + std::to_string(n > 0 ? n - 1 : 1 - n);
  return sign + part(0, 1) + (k == 1 ? "" : '.' + part(1, k - 1)) + power;
}

// The shortest digits as the standard library finds them.
#if defined(__GLIBCXX__) || defined(_MSC_VER) || defined(__cpp_lib_to_chars) || defined(_LIBCPP_VERSION)
template <class Float>
decimal library_shortest(const Float& x) {
  char out[64];
  const auto end = std::to_chars(out, out + sizeof out, x, std::chars_format::scientific).ptr;
  return taken_apart({out, static_cast<std::size_t>(end - out)});
}
#endif

// With -ffast-math the standard library takes a subnormal for 0 and is no oracle; the tables are.
template <class Float>
bool flushed_to_zero(const Float& x) {
#ifdef __FAST_MATH__
  std::conditional_t<sizeof(Float) == 8, std::uint64_t, std::uint32_t> bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits & (sizeof(Float) == 8 ? infinity : 0x7F800000)) == 0;
#else
  (void)x;
  return false;
#endif
}

// Numbers are compared a thousand at a time, which is a range as well.
template <class Float>
class comparison {
 public:
  void add(const Float& x) {
    if (flushed_to_zero(x)) return;
    batch_.push_back(x);
    if (batch_.size() == 1000) finish();
  }
  void finish() {
    const outbound::object o{{"v", batch_}};
    const std::string_view all = o.text();
    std::size_t from = 6;  // {"v":[
    for (const Float& x : batch_) {
      const std::size_t end = all.find_first_of(",]", from);
      const std::string_view text = all.substr(from, end - from);
      from = end + 1;
      ++compared;
      if (text != ecmascript(library_shortest(x)) && wrong++ < 10) FAIL_CHECK(text << " is not shortest");
    }
    wrong += !o.problems().empty();
    batch_.clear();
  }
  std::size_t wrong{};
  std::size_t compared{};

 private:
  std::vector<Float> batch_{};
};

// Puts the C and the C++ locale back.
class locale_guard {
 public:
  locale_guard() : c_{std::setlocale(LC_ALL, nullptr)} {}
  locale_guard(const locale_guard&) = delete;
  locale_guard& operator=(const locale_guard&) = delete;
  ~locale_guard() {
    std::locale::global(cpp_);
    std::setlocale(LC_ALL, c_.c_str());
  }

 private:
  std::string c_;
  std::locale cpp_{};
};

#if defined(__cpp_rtti) || defined(_CPPRTTI)
struct odd_punctuation : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\1\2"; }
  std::string do_truename() const override { return "wahr"; }
  std::string do_falsename() const override { return "falsch"; }
};
#endif

// Every path that writes a number.
std::string every_path() {
  outbound::object o{{"d", 1234567.25}, {"f", 1234.5F}, {"i", -1234567}, {"u", 12345678901234567890U},
                     {"s", 1e-7},       {"l", 1e21}};
  o.set("in", {1234.5, {{"x", 1234567}}}).set("range", std::vector<double>{1234.5, 0.1}).set("b", true);
  o.set("t", std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}});
  o.set("long", outbound::json{"1234.5"});
  outbound::array a = outbound::array::of(1234567, 0.5, 1234567.891);
  const auto m = outbound::user{1234567}
                     .track("e")
                     .property("price", 1234567.25)
                     .at(std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}});
  // Sentences with numbers in them, too.
  const auto bad = outbound::user{std::uint64_t{1} << 60}.track("e").property("s", std::string(1234, 'x') + '\xFF');
  std::string all = std::string{o.text()} + std::string{a.text()} + std::string{m.body()};
  for (const outbound::problem& p : bad.problems()) all += p.where + p.why;
  return all;
}

TEST_CASE("F15: no locale changes a number", "[F15]") {
  const std::string plain = every_path();
  CHECK(
      plain.find(
          R"({"d":1234567.25,"f":1234.5,"i":-1234567,"u":12345678901234567890,"s":1e-7,"l":1e+21,"in":[1234.5,{"x":1234567}],"range":[1234.5,0.1],"b":true,"t":1700000000,"long":1234.5})") ==
      0);
  CHECK(
      plain.find(
          R"([1234567,0.5,1234567.891]{"user_id":1234567,"event":"e","properties":{"price":1234567.25},"timestamp":1700000000})") !=
      std::string::npos);
  CHECK(plain.find("byte 1234 ") != std::string::npos);
  const auto rows = test::read_tsv("doubles.tsv");
  const locale_guard restore;
  for (const char* const name : {"de_DE.UTF-8", "fr_FR.UTF-8", "hi_IN.UTF-8", "German"}) {
    if (std::setlocale(LC_ALL, name) == nullptr) {
      if (std::string_view{name} != "German") WARN("SKIPPED: no locale " << name << " here");
      continue;
    }
    CAPTURE(name);
    char probe[32];
    std::snprintf(probe, sizeof probe, "%.1f", 1.5);
    if (std::string_view{name}.substr(0, 2) != "hi") CHECK(std::string_view{probe} == "1,5");  // it is in force
    CHECK(every_path() == plain);
    for (const test::row& row : rows) {
      const double x = double_of(std::stoull(row[0], nullptr, 16));
      if (written(x) != (row[4] == "0" && row[1] == "1" ? "-0" : row[4])) FAIL_CHECK(row[0] << " in " << name);
    }
  }
  std::setlocale(LC_ALL, "C");
#if defined(__cpp_rtti) || defined(_CPPRTTI)  // a facet of one's own needs it
  std::locale::global(std::locale{std::locale::classic(), new odd_punctuation});
  std::ostringstream probe;
  probe << 1.5 << std::boolalpha << true;
  CHECK(probe.str() == "1,5wahr");
  CHECK(every_path() == plain);
#endif
}

TEST_CASE("F16: NaN and the infinities are problems, never tokens", "[F16]") {
  for (const std::uint64_t bits : {0x7FF8000000000000U, 0xFFF8000000000000U, 0x7FF0000000000001U, 0x7FFFFFFFFFFFFFFFU,
                                   0xFFFFFFFFFFFFFFFFU, 0x7FF0000000000000U, 0xFFF0000000000000U}) {
    CAPTURE(bits);
    const double x = double_of(bits);
    const auto check = [](std::string_view text, std::string_view want, const std::vector<outbound::problem>& problems,
                          std::string_view where) {
      CHECK(text == want);
      REQUIRE(problems.size() == 1);
      CHECK(problems[0].what == defect::not_finite);
      CHECK(problems[0].where == where);
      CHECK_FALSE(problems[0].why.empty());
    };
    const outbound::object member{{"bar", x}, {"after", 1}};
    check(member.text(), R"({"bar":null,"after":1})", member.problems(), "/bar");
    const outbound::object element{{"bar", {1, x, 2}}};
    check(element.text(), R"({"bar":[1,null,2]})", element.problems(), "/bar/1");
    const outbound::object range{{"bar", std::vector<double>{1, x}}};
    check(range.text(), R"({"bar":[1,null]})", range.problems(), "/bar/1");
    outbound::object set;
    set.set("bar", std::optional<double>{x});
    check(set.text(), R"({"bar":null})", set.problems(), "/bar");
    outbound::array add;
    add.add(1).add(x);
    check(add.text(), "[1,null]", add.problems(), "/1");
    const auto message = outbound::user{"u"}.track("e").property("bar", x);
    check(message.body(), R"({"user_id":"u","event":"e","properties":{"bar":null}})", message.problems(),
          "/properties/bar");
    CHECK_FALSE(message.valid());
  }
  for (const std::uint32_t bits : {0x7FC00000U, 0xFFC00000U, 0x7F800001U, 0x7F800000U, 0xFF800000U}) {
    const outbound::array a = outbound::array::of(float_of(bits));
    CHECK(a.text() == "[null]");
    REQUIRE(a.problems().size() == 1);
    CHECK(a.problems()[0].what == defect::not_finite);
  }
  // What is next to them is a number.
  CHECK(written(double_of(0x7FEFFFFFFFFFFFFF)) == "1.7976931348623157e+308");
  CHECK(written(double_of(0xFFEFFFFFFFFFFFFF)) == "-1.7976931348623157e+308");
  CHECK(written(float_of(0x7F7FFFFF)) == "3.4028235e+38");
}

TEST_CASE("F17: doubles are the shortest digits, laid out as ECMAScript does", "[F17]") {
  const auto rows = test::read_tsv("doubles.tsv");
  REQUIRE(rows.size() == 9581);
  for (const test::row& row : rows) {
    REQUIRE(row.size() >= 5);
    const std::uint64_t bits = std::stoull(row[0], nullptr, 16);
    const double x = double_of(bits);
    const std::string text = written(x);
    CAPTURE(row[0], text);
    const std::string want = row[1] == "1" && row[4] == "0" ? "-0" : row[4];
    CHECK(text == want);
    const decimal digits = taken_apart(text);
    decimal table = taken_apart(row[2] + 'e' + row[3]);
    table.negative = row[1] == "1";
    CHECK(digits == table);
    CHECK(ecmascript(digits) == text);
#ifdef NUMBERS_TEST_READS
    CHECK(bits_of(read_back<double>(text)) == bits);
#endif
    CHECK(outbound::object{{"k", x}}.text() == "{\"k\":" + want + '}');
  }
}

TEST_CASE("F17: doubles of random bits, against the standard library", "[F17]") {
  std::mt19937_64 random{seed_of("random doubles")};
  comparison<double> all;
  for (int i = 0, n = rounds(2'000'000); i < n; ++i) {
    std::uint64_t bits = random();
    if (i % 4 == 0) bits = (bits & 0x800FFFFFFFFFFFFF) | (std::uint64_t{1023 + bits % 64} << 52);  // 1 to 2^64
    if (is_finite(bits)) all.add(double_of(bits));
  }
  all.finish();
  CHECK(all.wrong == 0);
  CHECK(all.compared > 90'000);
}

TEST_CASE("F17: powers of two and of ten and their neighbours, and subnormals", "[F17]") {
  comparison<double> all;
  for (std::uint64_t exponent = 0; exponent < 2047; ++exponent) {
    const std::uint64_t power = exponent << 52;
    for (std::uint64_t off = 0; off <= 3; ++off) {
      all.add(double_of(power + off));
      if (power > off) all.add(double_of(power - off));
    }
  }
  for (int bit = 0; bit < 52; ++bit) {
    const std::uint64_t subnormal = std::uint64_t{1} << bit;
    for (std::uint64_t off = 0; off <= 2; ++off) {
      all.add(double_of(subnormal + off));
      all.add(double_of(subnormal - (off < subnormal ? off : 0)));
    }
  }
#ifdef NUMBERS_TEST_READS
  for (int power = -323; power <= 308; ++power) {
    const std::uint64_t bits = bits_of(read_back<double>("1e" + std::to_string(power)));
    for (std::uint64_t off = 0; off <= 2; ++off) {
      all.add(double_of(bits + off));
      if (bits > off) all.add(double_of(bits - off));
    }
  }
#endif
  std::mt19937_64 random{seed_of("random subnormals")};
  for (int i = 0, n = rounds(200'000); i < n; ++i) all.add(double_of(random() >> 12));
  all.finish();
  CHECK(all.wrong == 0);
  CHECK(all.compared > 16'000);
}

#ifdef NUMBERS_TEST_READS
TEST_CASE("F17: a decimal of up to 15 digits comes back as it was", "[F17]") {
  std::mt19937_64 random{seed_of("random short decimals")};
  std::size_t wrong = 0;
  for (int i = 0, n = rounds(1'000'000); i < n; ++i) {
    std::string digits;
    for (auto size = 1 + random() % 15; size > 0; --size) digits += static_cast<char>('0' + random() % 10);
    const int exponent = i % 2 == 0 ? -static_cast<int>(random() % 8) : static_cast<int>(random() % 580) - 290;
    decimal want = taken_apart(digits + 'e' + std::to_string(exponent));
    want.negative = random() % 2 != 0 && !want.digits.empty();
    const double x = read_back<double>(std::string{want.negative ? "-" : ""} + digits + 'e' + std::to_string(exponent));
    const std::string text = written(x);
    if (text != ecmascript(want) && wrong++ < 10) FAIL_CHECK(text << " is not " << ecmascript(want));
    if (!(library_shortest(x) == taken_apart(text)) && wrong++ < 10) FAIL_CHECK(text << " is not shortest");
  }
  CHECK(wrong == 0);
}

TEST_CASE("F17: money, all of it up to 10,000.00 by the cent", "[F17]") {
  std::size_t wrong = 0;
  for (int cents = 0; cents <= rounds(1'000'000); ++cents) {
    char text[16];
    std::snprintf(text, sizeof text, "%d.%02d", cents / 100, cents % 100);
    wrong += written(read_back<double>(text)) != ecmascript(taken_apart(text));
  }
  CHECK(wrong == 0);
}
#endif

TEST_CASE("F18: the six that mingw's strtod reads wrongly", "[F18]") {
  // All-ones mantissas; the oracle is std::from_chars and this table, never strtod.
  CHECK(written(7.67844768714563e-239) == "7.67844768714563e-239");
  std::size_t all_ones = 0;
  for (const test::row& row : test::read_tsv("doubles.tsv")) {
    const std::uint64_t bits = std::stoull(row[0], nullptr, 16);
    if ((bits & 0xFFFFFFFFFFFFF) != 0xFFFFFFFFFFFFF) continue;
    ++all_ones;
    CHECK(taken_apart(written(double_of(bits))).digits == taken_apart(row[2]).digits);
  }
  CHECK(all_ones > 100);
}

TEST_CASE("F19: the writer is the header's own: no to_chars, no strtod, no printf", "[F18][F19]") {
  const char* const data = std::getenv("OUTBOUND_TEST_DATA");
  REQUIRE(data != nullptr);
  const auto header = std::filesystem::path{data} / ".." / ".." / "outbound.hpp";
  if (!std::filesystem::exists(header)) {
    WARN("SKIPPED: outbound.hpp is not beside the tests");
    return;
  }
  const std::string text = test::read_file(header);
  for (const char* const word : {"<charconv>", "to_chars", "from_chars", "strtod", "printf", "<locale>", "<clocale>",
                                 "<cmath>", "isnan", "isfinite", "isinf"}) {
    CAPTURE(word);
    CHECK(text.find(word) == std::string::npos);
  }
}

TEST_CASE("F20: a float is the shortest float", "[F20]") {
  CHECK(written(0.1F) == "0.1");
  CHECK(written(16777216.0F) == "16777216");
  CHECK(written(3.4028235e38F) == "3.4028235e+38");
  CHECK(written(float_of(1)) == "1e-45");
  CHECK(written(float_of(0x00800000)) == "1.1754944e-38");
  CHECK(written(-0.0F) == "-0");
  CHECK(written(0.0F) == "0");
  CHECK(written(1e21F) == "1e+21");
  CHECK(written(1e20F) == "100000000000000000000");
  CHECK(written(1e-6F) == "0.000001");
  CHECK(written(1e-7F) == "1e-7");
  CHECK(written(std::vector<float>{0.1F, 0.2F}) == "[0.1,0.2]");
  CHECK(written(std::optional<float>{0.3F}) == "0.3");
}

TEST_CASE("F20: floats, against the standard library", "[F20]") {
  comparison<float> all;
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (std::uint32_t off = 0; off <= 3; ++off) {
      all.add(float_of((exponent << 23) + off));
      if (exponent << 23 > off) all.add(float_of((exponent << 23) - off));
    }
  }
  for (std::uint32_t subnormal = 0; subnormal < 0x00800000; subnormal += 1013) all.add(float_of(subnormal));
  for (std::uint32_t subnormal = 0; subnormal < 3000; ++subnormal) all.add(float_of(subnormal));
  for (std::uint32_t n = 1; n < 0x01000000; n += 997) all.add(static_cast<float>(n));
  for (std::uint32_t n = 1; n < 200'000; ++n) all.add(static_cast<float>(n) / 100);
  std::mt19937_64 random{seed_of("random floats")};
  for (int i = 0, n = rounds(1'000'000); i < n; ++i) {
    const auto bits = static_cast<std::uint32_t>(random() >> 32);
    if ((bits & 0x7F800000) != 0x7F800000) all.add(float_of(bits));
  }
  all.finish();
  CHECK(all.wrong == 0);
  CHECK(all.compared > 230'000);
#ifdef NUMBERS_TEST_READS
  std::size_t wrong = 0;
  for (int i = 0, n = rounds(200'000); i < n; ++i) {
    auto bits = static_cast<std::uint32_t>(random() >> 32);
    if ((bits & 0x7F800000) == 0x7F800000) continue;
    const float back = read_back<float>(written(float_of(bits)));
    std::uint32_t read = 0;
    std::memcpy(&read, &back, sizeof read);
    wrong += read != bits;
  }
  CHECK(wrong == 0);
#endif
}

TEST_CASE("F21: subnormals and signed zeros that reach us as bits keep their value, -ffast-math or not", "[F21]") {
  // The build with -ffast-math runs this whole file; no test here asks the floating-point unit anything.
  CHECK(written(double_of(1)) == "5e-324");
  CHECK(written(double_of(0x8000000000000001)) == "-5e-324");
  CHECK(written(double_of(0x000FFFFFFFFFFFFF)) == "2.225073858507201e-308");
  CHECK(written(double_of(0x0010000000000000)) == "2.2250738585072014e-308");
  CHECK(written(double_of(0x8000000000000000)) == "-0");
  CHECK(written(float_of(0x80000000)) == "-0");
  CHECK(written(float_of(0x80000001)) == "-1e-45");
  volatile double zero = 0;
  const double nan = zero / zero;
  const outbound::array a = outbound::array::of(double_of(bits_of(nan) | infinity | 1));
  CHECK(a.text() == "[null]");
  CHECK(a.problems().size() == 1);
}

TEST_CASE("F22: no double rounding, on x87 neither", "[F22]") {
  // Halfway cases, where 64 bits of mantissa would round twice; the writer uses integers only.
  CHECK(written(double_of(0x4340000000000001)) == "9007199254740994");
  CHECK(written(9007199254740991.0) == "9007199254740991");
  CHECK(written(5e-324) == "5e-324");
  CHECK(written(2.2250738585072011e-308) == "2.225073858507201e-308");
  CHECK(written(1.7976931348623157e308) == "1.7976931348623157e+308");
  CHECK(written(9.5367431640625e-07) == "9.5367431640625e-7");
  CHECK(written(double_of(0x44B52D02C7E14AF6)) == "1e+23");
  CHECK(written(double_of(0x44B52D02C7E14AF7)) == "1.0000000000000001e+23");
  CHECK(written(8.41e21) == "8.41e+21");
  CHECK(written(2.0 / 3) == "0.6666666666666666");
  CHECK(written(0.1 + 0.2) == "0.30000000000000004");
}

TEST_CASE("F23: the edges of ECMAScript's layout", "[F23]") {
  CHECK(written(-0.0) == "-0");
  CHECK(written(0.0) == "0");
  CHECK(written(1e21) == "1e+21");
  CHECK(written(1e20) == "100000000000000000000");
  CHECK(written(999999999999999868928.0) == "999999999999999900000");
  CHECK(written(123456789012345680000.0) == "123456789012345680000");
  CHECK(written(1.5e21) == "1.5e+21");
  CHECK(written(1e-6) == "0.000001");
  CHECK(written(1e-7) == "1e-7");
  CHECK(written(1.5e-6) == "0.0000015");
  CHECK(written(1.5e-7) == "1.5e-7");
  CHECK(written(-1.2345678901234567e-6) == "-0.0000012345678901234567");
  CHECK(written(100000.0) == "100000");
  CHECK(written(9007199254740993.0) == "9007199254740992");
  CHECK(written(1e100) == "1e+100");
  CHECK(written(-1.5) == "-1.5");
}

template <class T>
void check_integer(const std::string& text, std::size_t& checked) {
  T n{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), n);
  REQUIRE(code == std::errc{});
  REQUIRE(end == text.data() + text.size());
  CHECK(written(n) == text);
  CHECK(outbound::object{{"k", n}}.text() == "{\"k\":" + text + '}');
  CHECK(written(std::vector<T>{n, n}) == '[' + text + ',' + text + ']');
  ++checked;
}

TEST_CASE("F23: integers are exact over all of int64 and uint64", "[F23]") {
  std::size_t checked = 0;
  const auto rows = test::read_tsv("integers.tsv");
  for (const test::row& row : rows) {
    REQUIRE(row.size() == 2);
    CAPTURE(row[0], row[1]);
    if (row[0] == "int8") check_integer<std::int8_t>(row[1], checked);
    if (row[0] == "uint8") check_integer<std::uint8_t>(row[1], checked);
    if (row[0] == "int16") check_integer<std::int16_t>(row[1], checked);
    if (row[0] == "uint16") check_integer<std::uint16_t>(row[1], checked);
    if (row[0] == "int32") check_integer<std::int32_t>(row[1], checked);
    if (row[0] == "uint32") check_integer<std::uint32_t>(row[1], checked);
    if (row[0] == "int64") check_integer<std::int64_t>(row[1], checked);
    if (row[0] == "uint64") check_integer<std::uint64_t>(row[1], checked);
  }
  CHECK(checked == rows.size());
  CHECK(checked == 228);
  CHECK(written((std::numeric_limits<std::int64_t>::min)()) == "-9223372036854775808");
  CHECK(written((std::numeric_limits<std::int64_t>::max)()) == "9223372036854775807");
  CHECK(written((std::numeric_limits<std::uint64_t>::max)()) == "18446744073709551615");
  CHECK(written(std::int64_t{9007199254740993}) == "9007199254740993");
  std::mt19937_64 random{seed_of("random integers")};
  std::size_t wrong = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t n = random() >> (random() % 64);
    wrong += written(n) != std::to_string(n);
    wrong += written(static_cast<std::int64_t>(n)) != std::to_string(static_cast<std::int64_t>(n));
    wrong += written(-static_cast<std::int64_t>(n >> 1)) != std::to_string(-static_cast<std::int64_t>(n >> 1));
  }
  CHECK(wrong == 0);
  std::uint64_t power = 1;
  for (int digits = 1; digits <= 20; ++digits, power *= 10) {
    for (const std::uint64_t n : {power - 1, power, power + 1}) CHECK(written(n) == std::to_string(n));
  }
}

TEST_CASE("F23: a user id stays where doubles are exact", "[F23]") {
  constexpr std::int64_t most = 9007199254740991;
  const auto check = [](const outbound::track& m, bool good, const std::string& id) {
    CHECK(m.valid() == good);
    CHECK(m.body() == "{\"user_id\":" + (good ? id : "null") + ",\"event\":\"e\"}");
    if (good) return;
    REQUIRE(m.problems().size() == 1);
    CHECK(m.problems()[0].what == defect::out_of_range);
    CHECK(m.problems()[0].where == "/user_id");
    CHECK((m.problems()[0].why + ' ').find("as text ") != std::string::npos);  // what to do instead
  };
  check(outbound::user{most}.track("e"), true, "9007199254740991");
  check(outbound::user{-most}.track("e"), true, "-9007199254740991");
  check(outbound::user{most + 1}.track("e"), false, "");
  check(outbound::user{-most - 1}.track("e"), false, "");
  check(outbound::user{(std::numeric_limits<std::int64_t>::min)()}.track("e"), false, "");
  check(outbound::user{(std::numeric_limits<std::int64_t>::max)()}.track("e"), false, "");
  check(outbound::user{(std::numeric_limits<std::uint64_t>::max)()}.track("e"), false, "");
  check(outbound::user{std::uint64_t{1} << 63}.track("e"), false, "");
  check(outbound::user{0}.track("e"), true, "0");
  check(outbound::user{-1}.track("e"), true, "-1");
  // Only ids: elsewhere an integer is exact.
  CHECK(outbound::user{1}.track("e").property("n", most + 2).valid());
}

// Every way to hand a value over.
template <class T>
void check_everywhere(const T& v, const std::string& want) {
  CAPTURE(want);
  CHECK(outbound::object{{"k", v}}.text() == "{\"k\":" + want + '}');
  CHECK(outbound::object{{"k", {v}}}.text() == "{\"k\":[" + want + "]}");
  CHECK(outbound::object{{"k", {{"n", v}}}}.text() == "{\"k\":{\"n\":" + want + "}}");
  outbound::object o;
  o.set("k", v);
  CHECK(o.text() == "{\"k\":" + want + '}');
  outbound::array a;
  a.add(v).add(T{v});  // an lvalue and an rvalue
  CHECK(a.text() == '[' + want + ',' + want + ']');
  CHECK(outbound::user{"u"}.identify().attribute("k", v).body() ==
        R"({"user_id":"u","attributes":{"k":)" + want + "}}");
  CHECK(written(std::optional<T>{v}) == want);
}

TEST_CASE("F24: every arithmetic type is what it should be", "[F24]") {
  check_everywhere(true, "true");
  check_everywhere(false, "false");
  check_everywhere(static_cast<signed char>(-5), "-5");
  check_everywhere(static_cast<unsigned char>(200), "200");
  check_everywhere(static_cast<short>(-6), "-6");
  check_everywhere(static_cast<unsigned short>(60000), "60000");
  check_everywhere(-7, "-7");
  check_everywhere(7U, "7");
  check_everywhere(-8L, "-8");
  check_everywhere(8UL, "8");
  check_everywhere(-9LL, "-9");
  check_everywhere(9ULL, "9");
  check_everywhere(std::int8_t{-128}, "-128");
  check_everywhere(std::uint8_t{255}, "255");
  check_everywhere(std::int16_t{-32768}, "-32768");
  check_everywhere(std::int32_t{-2147483647 - 1}, "-2147483648");
  check_everywhere(std::uint32_t{4294967295}, "4294967295");
  check_everywhere(std::int64_t{-1}, "-1");
  check_everywhere(std::uint64_t{1} << 63, "9223372036854775808");
  check_everywhere(std::size_t{10}, "10");
  check_everywhere(std::ptrdiff_t{-10}, "-10");
  check_everywhere(std::intmax_t{-11}, "-11");
  check_everywhere(std::uintmax_t{11}, "11");
  check_everywhere(std::int_fast8_t{12}, "12");
  check_everywhere(std::uint_least16_t{13}, "13");
  check_everywhere(std::time_t{1700000000}, "1700000000");
  check_everywhere(std::uintptr_t{14}, "14");
  check_everywhere(0.5F, "0.5");
  check_everywhere(0.1, "0.1");
}

TEST_CASE("F24: text never becomes true, and a character never a number", "[F24]") {
  CHECK(outbound::object{{"k", "x"}, {"in", {"x", true}}}.text() == R"({"k":"x","in":["x",true]})");
  CHECK(outbound::array::of("x").add("x").text() == R"(["x","x"])");
  CHECK(outbound::object{}.set("k", "x").text() == R"({"k":"x"})");
  CHECK(outbound::user{"u"}.identify().attribute("k", "x").body() == R"({"user_id":"u","attributes":{"k":"x"}})");
  char buffer[8] = "buf";
  char* const pointer = buffer;
  const char* const constant = buffer;
  check_everywhere(pointer, "\"buf\"");
  check_everywhere(constant, "\"buf\"");
  CHECK(outbound::object{{"k", buffer}}.text() == R"({"k":"buf"})");
  check_everywhere(std::string{"s"}, "\"s\"");
  check_everywhere(std::string_view{"v"}, "\"v\"");
  check_everywhere(nullptr, "null");
  // What compiles not is proved by contract/must_not_compile.sh; here is what a type can tell.
  static_assert(!outbound::detail::is_integer<bool> && !outbound::detail::is_integer<char> &&
                !outbound::detail::is_integer<wchar_t> && !outbound::detail::is_integer<char16_t> &&
                !outbound::detail::is_integer<char32_t> && !outbound::detail::is_integer<double>);
  static_assert(!std::is_constructible_v<outbound::user, bool> && !std::is_constructible_v<outbound::user, char> &&
                !std::is_constructible_v<outbound::user, double> && !std::is_constructible_v<outbound::user, int*>);
#ifdef __SIZEOF_INT128__
  __extension__ using int128 = __int128;
  static_assert(!outbound::detail::is_integer<int128> && !std::is_constructible_v<outbound::user, int128>);
#endif
  const volatile bool flag = true;
  const bool plain = flag;
  CHECK(written(plain) == "true");
  struct bits {
    unsigned field : 3;
  };
  const bits b{5};
  CHECK(outbound::object{{"k", unsigned{b.field}}}.text() == R"({"k":5})");
}

TEST_CASE("F72: numbers are the same bytes on any byte order and word size", "[F72]") {
  // One digest of all that is written for the tables, known from the tables alone.
  const auto digest = [](std::uint64_t h, std::string_view s) {
    for (const char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    return h;
  };
  std::uint64_t got = 0xCBF29CE484222325, want = got;
  for (const test::row& row : test::read_tsv("doubles.tsv")) {
    got = digest(got, outbound::object{{row[4], double_of(std::stoull(row[0], nullptr, 16))}}.text());
    want = digest(want, "{\"" + row[4] + "\":" + (row[1] == "1" && row[4] == "0" ? "-0" : row[4]) + '}');
  }
  CHECK(got == want);
}

TEST_CASE("F73: numbers are read from any alignment", "[F73]") {
  // Packed data is copied out by the caller; what the header reads through its own pointers it copies, too.
  unsigned char packed[1 + sizeof(double) + sizeof(std::int64_t)]{};
  const double price = 19.99;
  const std::int64_t count = -1234567890123;
  std::memcpy(packed + 1, &price, sizeof price);
  std::memcpy(packed + 1 + sizeof price, &count, sizeof count);
  double d{};
  std::int64_t i{};
  std::memcpy(&d, packed + 1, sizeof d);
  std::memcpy(&i, packed + 1 + sizeof d, sizeof i);
  std::string want = "[";
  outbound::array a;
  for (int shift = 0; shift < 40; ++shift) {  // the text before them moves where they are written to
    const std::string pad(static_cast<std::size_t>(shift), 'p');
    a.add(pad).add(d).add(i);
    want += (shift == 0 ? "\"" : ",\"") + pad + "\",19.99,-1234567890123";
  }
  CHECK(a.text() == want + ']');
}

}  // namespace numbers_test

TEST_CASE("F23: a time point in days or hours beyond all seconds is the last second there is", "[F23]") {
  using days = std::chrono::duration<std::int64_t, std::ratio<86400>>;
  const auto text = [](auto since_epoch) {
    const std::chrono::time_point<std::chrono::system_clock, decltype(since_epoch)> t{since_epoch};
    return std::string{outbound::object{{"t", t}}.text()};
  };
  const std::int64_t most = INT64_MAX / 86400;
  CHECK(text(days{19675}) == R"({"t":1699920000})");
  CHECK(text(days{most}) == "{\"t\":" + std::to_string(most * 86400) + "}");
  CHECK(text(days{-most}) == "{\"t\":" + std::to_string(-most * 86400) + "}");
  for (const std::int64_t beyond : {most + 1, std::int64_t{INT64_MAX}}) {
    CHECK(text(days{beyond}) == R"({"t":9223372036854775807})");
    CHECK(text(days{-beyond}) == R"({"t":-9223372036854775808})");
  }
  CHECK(text(days{INT64_MIN}) == R"({"t":-9223372036854775808})");
}

namespace {

// As large as need be; the lowest 32 bits first.
using big = std::vector<std::uint32_t>;

big times(const big& a, const big& b) {
  big out(a.size() + b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::uint64_t carry = 0;
    for (std::size_t j = 0; j < b.size() || carry != 0; ++j) {
      carry += out[i + j] + (j < b.size() ? std::uint64_t{a[i]} * b[j] : 0);
      out[i + j] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
  }
  while (!out.empty() && out.back() == 0) out.pop_back();
  return out;
}

big power_of_ten(int n) {
  big out{1};
  for (; n > 0; --n) out = times(out, {10});
  return out;
}

std::size_t bits(const big& n) {
  std::size_t out = n.size() * 32;
  for (std::uint32_t top = n.back(); top >> 31 == 0; top <<= 1) --out;
  return out;
}

bool is_zero_below(const big& n, std::size_t bit) {
  for (std::size_t i = 0; i < bit; ++i)
    if ((n[i / 32] >> i % 32 & 1) != 0) return false;
  return true;
}

std::uint64_t bits_at(const big& n, std::size_t from) {
  std::uint64_t out = 0;
  for (std::size_t i = from + 64; i-- > from;) out = out << 1 | (n[i / 32] >> i % 32 & 1);
  return out;
}

big number(std::uint64_t high, std::uint64_t low) {
  big out;
  for (const std::uint64_t x : {low, high})
    for (const unsigned shift : {0U, 32U}) out.push_back(static_cast<std::uint32_t>(x >> shift));
  return out;
}

}  // namespace

TEST_CASE("F17: the powers of ten that doubles are made with, every bit of them", "[F17]") {
  for (int i = 0; i < 27; ++i) {
    CAPTURE(i);
    const big exact = times(power_of_ten(i), number(0, std::uint64_t{1} << 63));  // has 64 bits and more
    REQUIRE(is_zero_below(exact, bits(exact) - 64));
    CHECK(outbound::detail::small_powers_of_10[i] == bits_at(exact, bits(exact) - 64));
  }
  for (int i = 0; i < 24; ++i) {
    CAPTURE(i);
    const int k = 27 * i - 297;
    const std::uint64_t high = outbound::detail::powers_of_10[i].high;
    const std::uint64_t low = outbound::detail::powers_of_10[i].low;
    REQUIRE(high >> 63 == 1);
    if (k >= 0) {
      const big exact = times(power_of_ten(k), times(number(1, 0), number(1, 0)));
      const std::size_t below = bits(exact) - 128;
      const std::uint64_t up = !is_zero_below(exact, below);
      CHECK(low == bits_at(exact, below) + up);
      CHECK(high == bits_at(exact, below + 64) + (up > low));
    } else {  // 2^n / 10^-k, rounded up
      const big divisor = power_of_ten(-k);
      const std::size_t n = bits(divisor) + 127;
      CHECK(bits(times(divisor, number(high, low))) > n);
      CHECK(bits(times(divisor, number(high - (low == 0), low - 1))) <= n);
    }
  }
}
