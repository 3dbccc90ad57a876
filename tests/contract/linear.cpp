// [F31] What it costs to check, to copy and to read back JSON text of 1, 2, 4 and 8 MB, and to write 500 to 4,000
// members whose keys are not UTF-8: linear.py has the instructions of each call of `measured` counted.
#include <cstddef>
#include <cstdio>
#include <map>
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

using keys = std::map<std::string, int>;

// As a value of a body; what stands behind it is replaced, so that it is read back.
std::size_t write_json(const void* text) {
  outbound::object o{{"raw", *static_cast<const outbound::json*>(text)}, {"x", 1}};
  o.set("x", 2).set("y", 3);
  return o.text().size() + o.problems().size();
}

// Bug: each key in Latin-1 looked at the problems of all before it.
std::size_t write_as_value(const void* members) {
  return outbound::user{1}.identify().attribute("x", *static_cast<const keys*>(members)).problems().size();
}
std::size_t write_behind_another(const void* members) {
  const keys& all = *static_cast<const keys*>(members);
  return outbound::user{1}.identify().attribute("x", 1).attributes(all).problems().size();
}
std::size_t write_one_by_one(const void* members) {
  outbound::object o;
  for (const auto& m : *static_cast<const keys*>(members)) o.set(m.first, m.second);
  return o.problems().size();
}

struct way {
  const char* name;
  std::size_t (*write)(const void* members);
};
const way ways[] = {
    {"bad keys in a value", &write_as_value},
    {"bad keys behind a good one", &write_behind_another},
    {"bad keys one by one", &write_one_by_one},
};

}  // namespace

extern "C" [[gnu::noinline]] std::size_t measured(std::size_t (*write)(const void*), const void* what) {
  return write(what);
}

int main() {
  for (const kind& k : kinds)
    for (const std::size_t n : {1, 2, 4, 8}) {
      const std::string text = filled(k.head, k.body, k.tail, n * mb);
      const std::string_view rest = R"({"raw":,"x":2,"y":3})";
      const outbound::json json{text};
      EXPECT(measured(&write_json, &json) == rest.size() + (k.good ? text.size() : 5));  // null, and its problem
      std::printf("%s\t%zu\n", k.name, text.size());
    }
  for (const way& w : ways)
    for (const std::size_t n : {500, 1000, 2000, 4000}) {
      keys members;
      while (members.size() < n) members.emplace("caf\xE9 " + std::to_string(10000 + members.size()), 1);
      EXPECT(measured(w.write, &members) == n);
      std::printf("%s\t%zu\n", w.name, n);
    }
}
