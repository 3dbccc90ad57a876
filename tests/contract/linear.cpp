// [F31] What it costs to check, to copy and to read back JSON text of 1, 2, 4 and 8 MB: linear.py has the instructions
// of each call of `measured` counted.
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "expect.hpp"
#include "outbound.hpp"

namespace {

constexpr std::size_t mb = 1000 * 1000;

std::string filled(std::string_view head, std::string_view body, std::string_view tail, std::size_t size) {
  std::string s{head};
  while (s.size() < size) s += body;
  return s += tail;
}

struct kind {
  const char* name;
  std::string_view head, body, tail;
  bool good;
};
const kind kinds[] = {
    {"escapes", "\"", R"(\\)", "\"", true},
    {"arrays", "[", "[],", "[]]", true},
    {"blanks", "", " ", "1", true},
    {"pairs of surrogates", "\"", R"(\uD83D\uDE00)", "\"", true},
    {"members", "{\"k\":0", ",\"k\":[1,{}]", "}", true},
    {"escapes without an end", "\"", R"(\\)", "", false},
    {"bad UTF-8 at the end", "\"", "\xE2\x82\xAC", "\xFF\"", false},
};

}  // namespace

// As a value of a body; what stands behind it is replaced, so that it is read back.
extern "C" [[gnu::noinline]] std::size_t measured(const outbound::json* text) {
  outbound::object o{{"raw", *text}, {"x", 1}};
  o.set("x", 2).set("y", 3);
  return o.text().size() + o.problems().size();
}

int main() {
  for (const kind& k : kinds)
    for (const std::size_t n : {1, 2, 4, 8}) {
      const std::string text = filled(k.head, k.body, k.tail, n * mb);
      const std::string_view rest = R"({"raw":,"x":2,"y":3})";
      const outbound::json json{text};
      EXPECT(measured(&json) == rest.size() + (k.good ? text.size() : 5));  // null, and its problem
      std::printf("%s\t%zu\n", k.name, text.size());
    }
}
