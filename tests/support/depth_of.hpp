// How deep the brackets of a JSON text nest, which need not be well-formed; those in strings are left out.
#ifndef OUTBOUND_TESTS_DEPTH_OF_HPP
#define OUTBOUND_TESTS_DEPTH_OF_HPP

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace test {

inline std::size_t depth_of(std::string_view s) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (in_string && s[i] == '\\') ++i;
    else if (s[i] == '"') in_string = !in_string;
    else if (!in_string && (s[i] == '[' || s[i] == '{')) deepest = (std::max)(deepest, ++depth);
    else if (!in_string && (s[i] == ']' || s[i] == '}') && depth > 0) --depth;
  }
  return deepest;
}

}  // namespace test
#endif
