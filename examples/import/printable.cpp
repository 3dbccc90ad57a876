#include "printable.hpp"

#include "outbound.hpp"

#include <cstddef>

namespace importer {
namespace {

// U+0000 to U+001F, U+007F, and U+0080 to U+009F, which xterm obeys too. In UTF-8 the latter are C2 80 to C2 9F.
bool is_control(unsigned char c) { return c < 0x20 || c == 0x7F; }
bool is_high_control(unsigned char first, unsigned char second) { return first == 0xC2 && second < 0xA0; }

}  // namespace

std::string printable(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  const std::string good = outbound::repaired(text);
  std::string out;
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto c = static_cast<unsigned char>(good[i]);
    const bool is_high = i + 1 < good.size() && is_high_control(c, static_cast<unsigned char>(good[i + 1]));
    if (is_high) c = static_cast<unsigned char>(good[++i]);
    if (is_high || is_control(c)) out.append("\\u00").append({digits[c >> 4], digits[c & 15]});
    else out += good[i];
  }
  return out;
}

}  // namespace importer
