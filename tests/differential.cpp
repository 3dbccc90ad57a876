// Every fast path of the writer against a plain reference, for as long as one likes: differential [HOW MANY DOUBLES].
// The suite runs a few; a hundred million take some minutes. OUTBOUND_SEED repeats a run.
#include "outbound.hpp"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

std::size_t failures = 0;

void compare(std::string_view ours, std::string_view reference, const char* what) {
  if (ours == reference) return;
  if (++failures <= 20)
    std::printf("%s: %.*s is not %.*s\n", what, static_cast<int>(ours.size()), ours.data(),
                static_cast<int>(reference.size()), reference.data());
}

// Compares [a,b,...] element by element; none of them has a comma inside.
template <class T, class Reference>
void compare_all(const std::vector<T>& values, const Reference& reference, const char* what) {
  const outbound::object o{{"v", values}};
  std::string_view all = o.text();
  all = all.substr(6, all.size() - 8);  // {"v":[ ]}
  for (const T& v : values) {
    const std::size_t end = (std::min)(all.find(','), all.size());
    compare(all.substr(0, end), reference(v), what);
    all.remove_prefix((std::min)(end + 1, all.size()));
  }
}

// --- the references

// Digits of std::to_chars, laid out as ECMAScript's Number::toString has it: k digits, the point after n of them.
template <class Float>
std::string_view plain_float(Float x) {
  static char out[400];
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::scientific).ptr;
  char digits[32];
  int k = 0;
  const char* p = text + (text[0] == '-');
  for (; *p != 'e'; ++p)
    if (*p != '.') digits[k++] = *p;
  int n = 0;
  std::from_chars(p + 1 + (p[1] == '+'), end, n);
  ++n;
  char* to = out;
  if (text[0] == '-') *to++ = '-';
  const auto copy = [&](int from, int to_index) {
    for (int i = from; i < to_index; ++i) *to++ = digits[i];
  };
  const auto zeros = [&](int count) {
    for (; count > 0; --count) *to++ = '0';
  };
  if (k == 1 && digits[0] == '0') {
    *to++ = '0';
  } else if (k <= n && n <= 21) {
    copy(0, k);
    zeros(n - k);
  } else if (0 < n && n <= 21) {
    copy(0, n);
    *to++ = '.';
    copy(n, k);
  } else if (-6 < n && n <= 0) {
    *to++ = '0';
    *to++ = '.';
    zeros(-n);
    copy(0, k);
  } else {
    copy(0, 1);
    if (k > 1) *to++ = '.';
    copy(1, k);
    *to++ = 'e';
    *to++ = n > 0 ? '+' : '-';
    to = std::to_chars(to, out + sizeof out, n > 0 ? n - 1 : 1 - n).ptr;
  }
  return {out, static_cast<std::size_t>(to - out)};
}

template <class Integer>
std::string_view plain_integer(Integer n) {
  static char out[24];
  return {out, static_cast<std::size_t>(std::to_chars(out, out + sizeof out, n).ptr - out)};
}

// A string in quotes, byte by byte; of well-formed text.
std::string plain_quoted(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) {
    const auto byte = static_cast<unsigned char>(c);
    static constexpr std::string_view short_ones = "\b\t\n\f\r\"\\";
    const std::size_t at = short_ones.find(c);
    if (at != std::string_view::npos) {
      out += '\\';
      out += "btnfr\"\\"[at];
    } else if (byte < 0x20) {
      char text[8];
      std::snprintf(text, sizeof text, "\\u%04x", byte);
      out += text;
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Unicode 15, table 3-7, row by row.
bool plain_well_formed(std::string_view s) {
  struct row {
    unsigned first[2], second[2];
    int more;
  };
  static constexpr row rows[] = {
      {{0x00, 0x7F}, {0, 0}, 0},       {{0xC2, 0xDF}, {0x80, 0xBF}, 1}, {{0xE0, 0xE0}, {0xA0, 0xBF}, 2},
      {{0xE1, 0xEC}, {0x80, 0xBF}, 2}, {{0xED, 0xED}, {0x80, 0x9F}, 2}, {{0xEE, 0xEF}, {0x80, 0xBF}, 2},
      {{0xF0, 0xF0}, {0x90, 0xBF}, 3}, {{0xF1, 0xF3}, {0x80, 0xBF}, 3}, {{0xF4, 0xF4}, {0x80, 0x8F}, 3}};
  const auto byte = [&s](std::size_t i) -> unsigned { return static_cast<unsigned char>(s[i]); };
  for (std::size_t i = 0; i < s.size();) {
    const row* const found = std::find_if(std::begin(rows), std::end(rows),
                                          [&](const row& r) { return byte(i) >= r.first[0] && byte(i) <= r.first[1]; });
    if (found == std::end(rows)) return false;
    for (int more = 1; more <= found->more; ++more) {
      const std::size_t at = i + static_cast<std::size_t>(more);
      const unsigned low = more == 1 ? found->second[0] : 0x80, high = more == 1 ? found->second[1] : 0xBF;
      if (at >= s.size() || byte(at) < low || byte(at) > high) return false;
    }
    i += static_cast<std::size_t>(found->more) + 1;
  }
  return true;
}

// --- what is compared

template <class Float, class Bits>
Float from_bits(Bits bits) {
  static_assert(sizeof(Float) == sizeof bits);
  Float x{};
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// A quarter each: any bits, 1 to 2^64, up to 15 decimal digits, cents and thousandths.
double any_double(std::mt19937_64& random, std::uint64_t i) {
  static constexpr double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
  for (;;) {
    std::uint64_t bits = random();
    if (i % 4 == 2) return static_cast<double>(bits % 1'000'000'000'000'000) / powers[bits >> 60 & 7];
    if (i % 4 == 3)
      return static_cast<double>(bits % (std::uint64_t{1} << (8 + (bits >> 58) % 40))) / powers[2 + i / 4 % 2];
    if (i % 4 == 1) bits = (bits & 0x800FFFFFFFFFFFFF) | (std::uint64_t{1023 + bits % 64} << 52);
    if ((bits >> 52 & 0x7FF) != 0x7FF) return from_bits<double>(bits);
  }
}

void doubles(std::mt19937_64& random, std::uint64_t how_many) {
  std::vector<double> batch;
  for (std::uint64_t i = 0; i < how_many; ++i) {
    batch.push_back(any_double(random, i));
    if (batch.size() < 1000 && i + 1 < how_many) continue;
    compare_all(batch, &plain_float<double>, "double");
    batch.clear();
  }
}

void floats(std::mt19937_64& random, std::uint64_t how_many) {
  std::vector<float> batch;
  for (std::uint64_t i = 0; i < how_many; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    if ((bits >> 23 & 0xFF) != 0xFF) batch.push_back(from_bits<float>(bits));
    if (batch.size() < 1000 && i + 1 < how_many) continue;
    compare_all(batch, &plain_float<float>, "float");
    batch.clear();
  }
}

void integers(std::mt19937_64& random, std::uint64_t how_many) {
  std::vector<std::int64_t> some;
  std::vector<std::uint64_t> more;
  for (std::uint64_t power = 1;; power *= 10) {  // where a digit is added
    for (const std::uint64_t n : {power - 1, power, power + 1}) {
      more.push_back(n);
      some.push_back(static_cast<std::int64_t>(n));
      some.push_back(static_cast<std::int64_t>(0 - n));
    }
    if (power == 10'000'000'000'000'000'000U) break;
  }
  for (std::uint64_t i = 0; i < how_many; ++i) {
    const std::uint64_t n = random() >> random() % 64;
    more.push_back(n);
    some.push_back(static_cast<std::int64_t>(i % 2 == 0 ? n : 0 - n));
  }
  compare_all(some, &plain_integer<std::int64_t>, "int64");
  compare_all(more, &plain_integer<std::uint64_t>, "uint64");
}

void text(const std::string& s) {
  const outbound::object o{{"k", s}};
  const bool good = plain_well_formed(s);
  compare(o.text(), "{\"k\":" + (good ? plain_quoted(s) : "null") + '}', "text");
  compare(o.problems().empty() ? "good" : "bad", good ? "good" : "bad", "text");
  const outbound::object key{{s, 1}};
  compare(key.text(), '{' + (good ? plain_quoted(s) : "\"\"") + ":1}", "key");
}

// Each byte at each place of each length, so that every block and every rest of one meets it; then mixtures.
void texts(std::mt19937_64& random, std::uint64_t how_many) {
  for (std::size_t size = 1; size <= 40; ++size)
    for (std::size_t at = 0; at < size; ++at)
      for (int byte = 0; byte < 256; ++byte) {
        std::string s(size, 'x');
        s[at] = static_cast<char>(byte);
        text(s);
      }
  static const std::string pieces[] = {"a",
                                       "plain",
                                       "sixteen bytes ..",
                                       "\"",
                                       "\\",
                                       "\n",
                                       std::string(1, '\0'),
                                       "\x7F",
                                       "\xC3\xBC",
                                       "\xE2\x80\x93",
                                       "\xED\x9F\xBF",
                                       "\xF0\x9F\x98\x80",
                                       "\xF4\x8F\xBF\xBF",
                                       "\xC3",
                                       "\xE2\x80",
                                       "\xED\xA0\x80",
                                       "\xF4\x90\x80\x80",
                                       "\xC0\x80"};
  for (std::uint64_t i = 0; i < how_many; ++i) {
    std::string s;
    const std::size_t kinds = i % 2 == 0 ? 13 : std::size(pieces);  // the last are ill-formed
    for (auto n = random() % 12; n > 0; --n) s += pieces[random() % kinds];
    text(s);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t how_many = 200'000;
  std::uint64_t seed = std::random_device{}();
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), how_many);
  if (const char* const given = std::getenv("OUTBOUND_SEED")) std::from_chars(given, given + std::strlen(given), seed);
  std::printf("OUTBOUND_SEED=%" PRIu64 ": %" PRIu64 " doubles\n", seed, how_many);
  std::mt19937_64 random{seed};
  doubles(random, how_many);
  const std::uint64_t fewer = (std::min)(how_many, std::uint64_t{1'000'000});
  floats(random, fewer);
  integers(random, fewer);
  texts(random, fewer / 10);
  std::printf("%zu differences\n", failures);
  return failures == 0 ? 0 : 1;
}
