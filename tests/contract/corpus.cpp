// Prints a corpus of bodies, errors and numbers. Every build on every machine prints the same bytes: corpus.py compares
// them, with and without optimisation, with signed and unsigned char, on 32 bit and on big-endian machines.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "everything.hpp"

namespace {

void print(std::string_view s) {
  std::fwrite(s.data(), 1, s.size(), stdout);
  std::fputc('\n', stdout);
}

// xorshift64*: integers only, so that it is the same everywhere.
struct generator {
  std::uint64_t state{88172645463325252U};
  std::uint64_t operator()() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717U;
  }
};

// A price, say. By strtod: under -ffast-math this program's own division would be another.
double decimal(std::uint64_t n) {
  return std::strtod((std::to_string(n % 10000) + '.' + std::to_string(n % 97)).c_str(), nullptr);
}

template <class Float, class Bits>
std::string number(Bits bits) {
  Float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  outbound::array a = outbound::array::of(x);
  return std::string{a.text()} + (a.problems().empty() ? "" : " " + a.problems()[0].why);
}

void numbers() {
  generator random;
  for (int i = 0; i < 4000; ++i) {
    const std::uint64_t n = random();
    print(number<double>(n));
    print(number<float>(static_cast<std::uint32_t>(n >> 32)));
    const outbound::array a =
        outbound::array::of(static_cast<std::int64_t>(n), n, static_cast<std::int16_t>(n & 0x7FFF), decimal(n),
                            static_cast<float>(n % 1000) / 8);
    print(a.text());
  }
  for (std::uint64_t power = 0; power < 64; ++power) {
    const std::uint64_t n = std::uint64_t{1} << power;
    print(outbound::array::of(n, n - 1, static_cast<double>(n), static_cast<float>(n)).text());
    print(number<double>(n));            // subnormal numbers
    print(number<double>(power << 57));  // powers of two
    print(number<double>(~n));           // NaN and others
    print(number<float>(static_cast<std::uint32_t>(n >> 32)));
  }
}

// Every byte alone, every lead byte with every next one: well-formed or refused, and repaired.
void bytes() {
  for (int lead = 0; lead < 256; ++lead) {
    const char alone[] = {static_cast<char>(lead), 'x'};
    print(outbound::repaired(std::string_view{alone, 2}));
    std::string row;
    for (int next = 0; next < 256; next += 5) {
      const char both[] = {static_cast<char>(lead), static_cast<char>(next), static_cast<char>(0x80)};
      const std::string_view s{both, 3};
      const outbound::object o{{s, s}};
      row += std::string{o.text()} + std::to_string(o.problems().size()) + outbound::repaired(s);
    }
    print(row);
  }
}

void text_of_all_lengths() {
  const std::string_view pattern = "abcdefghijklmnop\"\\\n\xC3\xBC\xE2\x82\xAC\xF0\x9F\x9A\x80 0123456789";
  std::string s;
  for (std::size_t i = 0; i < 200; ++i) {
    s += pattern[i % pattern.size()];
    const outbound::track m = outbound::user{s}.track(s).property(s, s).property("n", i);
    print(m.body());
    for (const outbound::problem& p : m.problems()) print(p.where + ' ' + p.why);
    print(m.user_key());
  }
  std::u16string wide;
  for (std::uint64_t i = 0; i < 65536; i += 257) wide += static_cast<char16_t>(i);
  print(outbound::from_utf16(wide));
}

void keys() {
  generator random;
  outbound::object o;
  for (int i = 0; i < 300; ++i) o.set("key " + std::to_string(random() % 200), i);
  print(o.text());
}

}  // namespace

int main() {
  numbers();
  bytes();
  text_of_all_lengths();
  keys();
  print(everything::run());
}
