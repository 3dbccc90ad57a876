// Objects and arrays: what each kind of value becomes, repeated keys, nesting, copies, aliasing.
#include "outbound.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <initializer_list>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"

namespace json_test {

using outbound::array;
using outbound::defect;
using outbound::object;
using std::chrono::system_clock;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// --- an oracle: no object in a text has a key twice

struct unique_keys {
  using json = nlohmann::json;
  std::vector<std::set<std::string>> open{};
  bool unique{true};

  bool key(std::string& k) {
    unique = unique && open.back().insert(k).second;
    return true;
  }
  bool start_object(std::size_t) {
    open.emplace_back();
    return true;
  }
  bool end_object() {
    open.pop_back();
    return true;
  }
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(json::number_integer_t) { return true; }
  bool number_unsigned(json::number_unsigned_t) { return true; }
  bool number_float(json::number_float_t, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(json::binary_t&) { return true; }
  bool start_array(std::size_t) { return true; }
  bool end_array() { return true; }
  template <class E>
  bool parse_error(std::size_t, const std::string&, const E&) {
    return false;
  }
};

bool is_json_without_repeats(std::string_view text) {
  unique_keys reader;
  return nlohmann::json::sax_parse(std::string{text}, &reader) && reader.unique;
}

nlohmann::json parsed(std::string_view text) { return nlohmann::json::parse(std::string{text}, nullptr, false); }

template <class T>
std::string written(const T& v) {
  const array a = array::of(v);
  return std::string{a.text().substr(1, a.text().size() - 2)};
}

// The places of all problems, sorted.
std::string places(const std::vector<outbound::problem>& problems) {
  std::multiset<std::string> all;
  for (const outbound::problem& p : problems) all.insert(p.where);
  std::string out;
  for (const std::string& where : all) out += (out.empty() ? "" : " ") + (where.empty() ? std::string{"(all)"} : where);
  return out;
}
template <class T>
std::string problems_of(const T& v) {
  return places(v.problems());
}

// A value in every place where one may stand. (The comparing is no template: it is most of the compiler's work.)
struct seen {
  std::string surrounding;  // with # for the value
  std::string text;
  std::size_t problems;
};
void check_seen(const std::vector<seen>& all, const std::string& want) {
  for (const seen& s : all) {
    CAPTURE(s.surrounding);
    std::string expected;
    for (const char c : s.surrounding) expected += c == '#' ? want : std::string(1, c);
    CHECK(s.text == expected);
    CHECK(s.problems == 0);
  }
}

template <class T>
void check_everywhere(const T& v, const std::string& want) {
  std::vector<seen> all;
  const auto see = [&all](const char* surrounding, std::string_view text,
                          const std::vector<outbound::problem>& problems) {
    all.push_back({surrounding, std::string{text}, problems.size()});
  };
  const object member{{"k", v}}, element{{"k", {v, 1}}}, inner{{"k", {{"n", v}}}};
  see(R"({"k":#})", member.text(), member.problems());
  see(R"({"k":[#,1]})", element.text(), element.problems());
  see(R"({"k":{"n":#}})", inner.text(), inner.problems());
  object o;
  o.set("k", v);
  see(R"({"k":#})", o.text(), o.problems());
  o.set("l", {{"n", v}}).set("m", {1, v}).set("k", v);
  see(R"({"l":{"n":#},"m":[1,#],"k":#})", o.text(), o.problems());
  array a = array::of(v);
  a.add(v).add({{"n", v}});
  see(R"([#,#,{"n":#}])", a.text(), a.problems());
  const auto identify = outbound::user{"u"}.identify().attribute("k", v);
  see(R"({"user_id":"u","attributes":{"k":#}})", identify.body(), identify.problems());
  const auto track = outbound::user{"u"}.track("e").properties({{"k", v}});
  see(R"({"user_id":"u","event":"e","properties":{"k":#}})", track.body(), track.problems());
  const array of_ranges = array::of(std::map<std::string, T>{{"n", v}}, std::list<T>{v, v}, std::optional<T>{v});
  see(R"([{"n":#},[#,#],#])", of_ranges.text(), of_ranges.problems());
  check_seen(all, want);
}

// --- values of all kinds

enum plain_enum { red, green = 5 };
enum class scoped { a = -3, b = 7 };
enum class byte_wide : std::uint8_t { most = 255 };
enum class widest : std::uint64_t { most = 18446744073709551615U };
enum class lowest : std::int64_t { least = -9223372036854775807 - 1 };
enum class truth : bool { no, yes };
enum class letter : char { a = 97 };

struct view_like {  // converts to a string_view
  operator std::string_view() const { return "view-like"; }
};
struct string_child : std::string {
  using std::string::string;
};

template <class T>
struct maybe {  // looks like an optional
  bool there;
  T v;
  bool has_value() const { return there; }
  const T& operator*() const { return v; }
};

struct countdown {  // a range of values that do not exist until asked for
  struct iterator {
    int n;
    int operator*() const { return n; }
    iterator& operator++() {
      --n;
      return *this;
    }
    bool operator!=(const iterator& other) const { return n != other.n; }
  };
  int from;
  iterator begin() const { return {from}; }
  iterator end() const { return {0}; }
};

struct copy_now {  // a copy, made while it is written into what it is a copy of
  const object* of;
};
inline object to_outbound(const copy_now& v) { return *v.of; }

struct free_range {  // begin and end are found by their argument
  int items[3];
};
inline const int* begin(const free_range& r) { return r.items; }
inline const int* end(const free_range& r) { return r.items + 3; }

struct point {
  int x, y;
};
inline void to_outbound(object& o, const point& p) { o.set("x", p.x).set("y", p.y); }

struct city {
  std::string name{};
  std::optional<int> zip{};
  std::vector<point> corners{};
};
OUTBOUND_FIELDS(city, name, zip, corners)

struct only {
  int alone;
};
OUTBOUND_FIELDS(only, alone)

struct wordy {
  int a_name_that_is_longer_than_most_names_are;
  int x;
  int the_twenty_two_letters;
};
OUTBOUND_FIELDS(wordy, a_name_that_is_longer_than_most_names_are, x, the_twenty_two_letters)

struct uuid {
  int n;
};
inline std::string to_outbound(const uuid& u) { return "uuid-" + std::to_string(u.n); }
struct wrapped {
  point p;
};
inline const point& to_outbound(const wrapped& w) { return w.p; }
struct listed {
  int n;
};
inline array to_outbound(const listed& l) { return array::of(l.n, array::of(l.n)); }
struct raw {
  std::string s;
};
inline outbound::json to_outbound(const raw& r) { return outbound::json{r.s}; }
struct perhaps {
  std::optional<int> n;
};
inline std::optional<int> to_outbound(const perhaps& p) { return p.n; }
enum class level { low, high };
inline std::string_view to_outbound(level l) { return l == level::low ? "low" : "high"; }

struct friendly {
  int n;
  friend void to_outbound(object& o, const friendly& f) { o.set("n", f.n); }
};

struct fixed {  // only by reference
  int n{4};
  fixed() = default;
  fixed(const fixed&) = delete;
  fixed& operator=(const fixed&) = delete;
};
inline void to_outbound(object& o, const fixed& f) { o.set("n", f.n); }

TEST_CASE("null, bool, text and numbers in every place", "[json]") {
  check_everywhere(nullptr, "null");
  check_everywhere(true, "true");
  check_everywhere(false, "false");
  check_everywhere(-7, "-7");
  check_everywhere(18446744073709551615U, "18446744073709551615");
  check_everywhere(19.99, "19.99");
  check_everywhere(0.1F, "0.1");
  check_everywhere(std::string{"a\"b"}, R"("a\"b")");
  check_everywhere(std::string_view{"v"}, "\"v\"");
  const char* const pointer = "p";
  check_everywhere(pointer, "\"p\"");
  check_everywhere(view_like{}, "\"view-like\"");
  check_everywhere(string_child{"child"}, "\"child\"");
  CHECK(object{{"k", "literal"}}.text() == R"({"k":"literal"})");
}

TEST_CASE("enums are their number, time points whole seconds", "[json]") {
  check_everywhere(green, "5");
  check_everywhere(red, "0");
  check_everywhere(scoped::a, "-3");
  check_everywhere(scoped::b, "7");
  check_everywhere(byte_wide::most, "255");
  check_everywhere(widest::most, "18446744073709551615");
  check_everywhere(lowest::least, "-9223372036854775808");
  check_everywhere(truth::yes, "1");
  check_everywhere(letter::a, "97");

  const auto at = [](auto since) { return std::chrono::time_point<system_clock, decltype(since)>{since}; };
  using std::chrono::milliseconds;
  check_everywhere(system_clock::time_point{std::chrono::seconds{1700000000}}, "1700000000");
  check_everywhere(system_clock::time_point{}, "0");
  check_everywhere(at(milliseconds{1999}), "1");
  check_everywhere(at(milliseconds{-1}), "-1");  // rounded down, not towards zero
  check_everywhere(at(milliseconds{-1000}), "-1");
  check_everywhere(at(milliseconds{-1001}), "-2");
  check_everywhere(at(std::chrono::nanoseconds{-1}), "-1");
  check_everywhere(at(std::chrono::nanoseconds{999999999}), "0");
  check_everywhere(at(std::chrono::seconds{-62135596800}), "-62135596800");
  check_everywhere(at(std::chrono::hours{-1}), "-3600");
  check_everywhere(at(std::chrono::minutes{2}), "120");
  check_everywhere(at(std::chrono::duration<std::uint64_t, std::ratio<60>>{5}), "300");
  check_everywhere(at(std::chrono::duration<std::uint64_t>{UINT64_MAX}), "9223372036854775807");
  check_everywhere(at(std::chrono::duration<std::int64_t, std::ratio<3, 2>>{-3}), "-5");
  check_everywhere(at(std::chrono::duration<std::int64_t, std::ratio<3, 2>>{INT64_MAX}), "9223372036854775807");
  check_everywhere(at(std::chrono::duration<std::int64_t, std::ratio<2, 3>>{INT64_MIN}), "-9223372036854775808");
  check_everywhere(
      (system_clock::time_point::min)(),
      std::to_string(
          std::chrono::floor<std::chrono::seconds>((system_clock::time_point::min)().time_since_epoch()).count()));
  check_everywhere(
      (system_clock::time_point::max)(),
      std::to_string(
          std::chrono::floor<std::chrono::seconds>((system_clock::time_point::max)().time_since_epoch()).count()));
}

TEST_CASE("optionals are their value or null", "[json]") {
  check_everywhere(std::optional<int>{}, "null");
  check_everywhere(std::optional<int>{0}, "0");
  check_everywhere(std::optional<bool>{false}, "false");
  check_everywhere(std::optional<std::string>{""}, "\"\"");
  check_everywhere(std::optional<std::optional<int>>{std::optional<int>{}}, "null");
  check_everywhere(std::optional<std::optional<int>>{3}, "3");
  check_everywhere(std::optional<std::vector<int>>{{1, 2}}, "[1,2]");
  check_everywhere(std::optional<std::vector<int>>{}, "null");
  check_everywhere(maybe<int>{true, 5}, "5");
  check_everywhere(maybe<std::string>{false, "x"}, "null");
  check_everywhere(std::vector<std::optional<int>>{1, std::nullopt, 3}, "[1,null,3]");
  check_everywhere(std::optional<point>{point{1, 2}}, R"({"x":1,"y":2})");
  CHECK(object{{"k", std::optional<double>{nan}}}.problems().size() == 1);
}

TEST_CASE("ranges of values are arrays", "[json]") {
  check_everywhere(std::vector<int>{}, "[]");
  check_everywhere(std::vector<int>{1, 2, 3}, "[1,2,3]");
  check_everywhere(std::vector<bool>{true, false, true}, "[true,false,true]");
  check_everywhere(std::vector<bool>{}, "[]");
  check_everywhere(std::vector<std::vector<bool>>{{true}, {}, {false, true}}, "[[true],[],[false,true]]");
  check_everywhere(std::list<std::string>{"a", "b"}, R"(["a","b"])");
  check_everywhere(std::set<int>{3, 1, 2}, "[1,2,3]");
  check_everywhere(std::deque<double>{0.5, 1}, "[0.5,1]");
  check_everywhere(std::array<std::string_view, 2>{"x", "y"}, R"(["x","y"])");
  check_everywhere(std::array<int, 0>{}, "[]");
  check_everywhere(std::vector<std::vector<int>>{{1}, {}, {2, 3}}, "[[1],[],[2,3]]");
  check_everywhere(std::vector<std::string_view>{"v", std::string_view{}}, R"(["v",""])");
  check_everywhere(std::vector<scoped>{scoped::a}, "[-3]");
  check_everywhere(std::vector<object>{object{{"a", 1}}, object{}}, R"([{"a":1},{}])");
  check_everywhere(std::vector<array>{array::of(1), array{}}, "[[1],[]]");
  check_everywhere(std::vector<point>{{1, 2}, {3, 4}}, R"([{"x":1,"y":2},{"x":3,"y":4}])");
  check_everywhere(std::vector<const char*>{"a", "b"}, R"(["a","b"])");
  check_everywhere(std::map<int, int>::key_type{4}, "4");
  check_everywhere(countdown{3}, "[3,2,1]");
  check_everywhere(free_range{{7, 8, 9}}, "[7,8,9]");
  check_everywhere(std::initializer_list<int>{1, 2}, "[1,2]");
  const int numbers[] = {4, 5};
  const char* const words[] = {"a", "b"};
  const bool bits[2][2] = {{true, false}, {false, true}};
  CHECK(object{{"n", numbers}, {"w", words}, {"b", bits}, {"in", {numbers, 1}}}.text() ==
        R"({"n":[4,5],"w":["a","b"],"b":[[true,false],[false,true]],"in":[[4,5],1]})");
  std::vector<int> changing{1};
  CHECK(array::of(changing, std::vector<int>{2}).text() == "[[1],[2]]");
}

TEST_CASE("ranges of pairs with text in front are objects", "[json]") {
  using pairs = std::vector<std::pair<std::string, int>>;
  check_everywhere(std::map<std::string, int>{}, "{}");
  check_everywhere(std::map<std::string, int>{{"b", 2}, {"a", 1}}, R"({"a":1,"b":2})");
  check_everywhere(pairs{{"b", 1}, {"a", 2}}, R"({"b":1,"a":2})");
  check_everywhere(pairs{{"a", 1}, {"b", 2}, {"a", 3}}, R"({"b":2,"a":3})");
  check_everywhere(std::unordered_map<std::string, bool>{{"k", true}}, R"({"k":true})");
  check_everywhere(std::multimap<std::string, int>{{"a", 1}, {"a", 2}, {"b", 3}}, R"({"a":2,"b":3})");
  check_everywhere(std::map<std::string_view, std::vector<int>>{{"k", {1}}}, R"({"k":[1]})");
  check_everywhere(std::vector<std::pair<const char*, std::optional<int>>>{{"k", {}}, {"l", 1}}, R"({"k":null,"l":1})");
  check_everywhere(std::map<std::string, std::map<std::string, int>>{{"m", {{"n", 1}}}}, R"({"m":{"n":1}})");
  check_everywhere(std::map<std::string, point>{{"p", {1, 2}}}, R"({"p":{"x":1,"y":2}})");
  check_everywhere(std::vector<std::pair<std::string, std::vector<bool>>>{{"b", {true}}}, R"({"b":[true]})");
  std::unordered_map<std::string, int> many;
  for (int i = 0; i < 500; ++i) many["key " + std::to_string(i)] = i;
  const object o{{"many", many}};
  const auto back = parsed(o.text());
  REQUIRE(back["many"].size() == many.size());
  for (const auto& [key, n] : many) CHECK(back["many"][key] == n);
  const std::pair<std::string, int> in_c_array[] = {{"a", 1}, {"b", 2}};
  CHECK(object{{"k", in_c_array}}.text() == R"({"k":{"a":1,"b":2}})");
}

TEST_CASE("object, array and json as values", "[json]") {
  check_everywhere(object{}, "{}");
  check_everywhere(array{}, "[]");
  check_everywhere(object{{"a", 1}, {"b", {1, 2}}}, R"({"a":1,"b":[1,2]})");
  check_everywhere(array::of(1, "a", array::of()), R"([1,"a",[]])");
  check_everywhere(outbound::json{R"({ "a" : [1, 2] })"}, R"({ "a" : [1, 2] })");
  check_everywhere(outbound::json{" 1 "}, " 1 ");
}

TEST_CASE("braces: objects, arrays, and both in one another", "[json]") {
  CHECK(object{}.text() == "{}");
  CHECK(array{}.text() == "[]");
  CHECK(array::of().text() == "[]");
  CHECK(object{{"a", {1}}}.text() == R"({"a":[1]})");
  CHECK(object{{"a", {"b"}}}.text() == R"({"a":["b"]})");
  CHECK(object{{"a", {{"b", 1}}}}.text() == R"({"a":{"b":1}})");
  CHECK(object{{"a", {{"b", "c"}}}}.text() == R"({"a":{"b":"c"}})");
  CHECK(object{{"a", {{"b", "c"}, {"d", "e"}}}}.text() == R"({"a":{"b":"c","d":"e"}})");
  CHECK(object{{"a", {"b", "c"}}}.text() == R"({"a":["b","c"]})");
  CHECK(object{{"a", {"b", 1}}}.text() == R"({"a":["b",1]})");
  CHECK(object{{"a", {"b", 1, nullptr, true, 0.5}}}.text() == R"({"a":["b",1,null,true,0.5]})");
  CHECK(object{{"a", {{{"b", 1}}, {{"c", 2}, {"d", 3}}}}}.text() == R"({"a":[{"b":1},{"c":2,"d":3}]})");
  CHECK(object{{"a", {{"b", {{"c", {{"d", {1, 2}}}}}}}}}.text() == R"({"a":{"b":{"c":{"d":[1,2]}}}})");
  CHECK(object{{"a", {{"b", {1, 2}}, {"c", {"x", "y"}}}}}.text() == R"({"a":{"b":[1,2],"c":["x","y"]}})");
  CHECK(object{{"a", {array::of(1), array::of()}}}.text() == R"({"a":[[1],[]]})");
  object o;
  o.set("a", {1, 2}).set("b", {{"c", 1}}).set("d", {{{"e", 1}}, 5});
  CHECK(o.text() == R"({"a":[1,2],"b":{"c":1},"d":[{"e":1},5]})");
  array a;
  a.add({1, 2}).add({{"c", 1}}).add("x");
  CHECK(a.text() == R"([[1,2],{"c":1},"x"])");
  CHECK(array::of(1).add(2).text() == "[1,2]");
  CHECK(object{{"x", 1}}.set("y", 2).text() == R"({"x":1,"y":2})");
  CHECK(outbound::user{"u"}
            .track("e")
            .properties({{"items", {{{"sku", "A1"}, {"qty", 2}}, {{"sku", "B2"}, {"qty", 1}}}}})
            .body() ==
        R"({"user_id":"u","event":"e","properties":{"items":[{"sku":"A1","qty":2},{"sku":"B2","qty":1}]}})");
}

// --- types of the user's

#define FIELDS_OF_8(M, a) M(a##0) M(a##1) M(a##2) M(a##3) M(a##4) M(a##5) M(a##6) M(a##7)
#define DECLARE(name) int name{};
struct sixty_four {
  FIELDS_OF_8(DECLARE, a)
  FIELDS_OF_8(DECLARE, b)
  FIELDS_OF_8(DECLARE, c)
  FIELDS_OF_8(DECLARE, d)
  FIELDS_OF_8(DECLARE, e)
  FIELDS_OF_8(DECLARE, f)
  FIELDS_OF_8(DECLARE, g)
  FIELDS_OF_8(DECLARE, h)
};
OUTBOUND_FIELDS(sixty_four, a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3, c4, c5, c6,
                c7, d0, d1, d2, d3, d4, d5, d6, d7, e0, e1, e2, e3, e4, e5, e6, e7, f0, f1, f2, f3, f4, f5, f6, f7, g0,
                g1, g2, g3, g4, g5, g6, g7, h0, h1, h2, h3, h4, h5, h6, h7)
#undef FIELDS_OF_8
#undef DECLARE
struct two {
  std::string a{};
  double b{};
};
OUTBOUND_FIELDS(two, a, b)
struct holder {
  two t{};
  std::vector<two> list{};
  std::map<std::string, two> map{};
  std::optional<two> maybe_two{};
};
OUTBOUND_FIELDS(holder, t, list, map, maybe_two)

TEST_CASE("types of the user's, in both forms", "[json]") {
  check_everywhere(point{1, 2}, R"({"x":1,"y":2})");
  check_everywhere(city{"Paris", 75001, {{1, 2}}}, R"({"name":"Paris","zip":75001,"corners":[{"x":1,"y":2}]})");
  check_everywhere(city{}, R"({"name":"","zip":null,"corners":[]})");
  check_everywhere(only{3}, R"({"alone":3})");
  check_everywhere(uuid{7}, R"("uuid-7")");
  check_everywhere(wrapped{{3, 4}}, R"({"x":3,"y":4})");
  check_everywhere(listed{1}, "[1,[1]]");
  check_everywhere(raw{"[ ]"}, "[ ]");
  check_everywhere(perhaps{{}}, "null");
  check_everywhere(perhaps{2}, "2");
  check_everywhere(level::high, "\"high\"");
  check_everywhere(friendly{9}, R"({"n":9})");
  const fixed f;
  CHECK(object{{"f", f}, {"in", {f, 1}}}.text() == R"({"f":{"n":4},"in":[{"n":4},1]})");
  CHECK(outbound::user{"u"}.identify().attributes(city{"Oslo", {}, {}}).body() ==
        R"({"user_id":"u","attributes":{"name":"Oslo","zip":null,"corners":[]}})");
  CHECK(outbound::user{"u"}.identify().attribute("a", raw{"{"}).problems().at(0).where == "/attributes/a");
}

TEST_CASE("OUTBOUND_FIELDS with 1 and with 64 members", "[json]") {
  CHECK(written(only{1}) == R"({"alone":1})");
  sixty_four all;
  all.a0 = 1;
  all.h7 = 64;
  all.e3 = 36;
  const auto back = parsed(written(all));
  CHECK(back.size() == 64);
  CHECK(back["a0"] == 1);
  CHECK(back["e3"] == 36);
  CHECK(back["h7"] == 64);
  std::string want = "{";
  for (const char letter_of : std::string_view{"abcdefgh"})
    for (int i = 0; i < 8; ++i) {
      const std::string name = std::string(1, letter_of) + std::to_string(i);
      want += (want.size() == 1 ? "\"" : ",\"") + name + "\":" +
              (name == "a0"   ? "1"
               : name == "h7" ? "64"
               : name == "e3" ? "36"
                              : "0");
    }
  CHECK(written(all) == want + '}');
}

TEST_CASE("OUTBOUND_FIELDS with names of any length", "[json]") {
  const json_test::wordy w{1, 2, 3};
  CHECK(outbound::object{{"w", w}}.text() ==
        R"({"w":{"a_name_that_is_longer_than_most_names_are":1,"x":2,"the_twenty_two_letters":3}})");
  CHECK(outbound::object{{"w", {w}}}.problems().empty());
}

TEST_CASE("OUTBOUND_FIELDS: problems have their place, nested types theirs", "[json]") {
  const holder h{{"a\xFF", nan}, {{"ok", 1}, {"\x80", 2}}, {{"m/n", {"x", nan}}}, two{"\xC0", 1}};
  const object o{{"h", h}};
  CHECK(
      o.text() ==
      R"({"h":{"t":{"a":null,"b":null},"list":[{"a":"ok","b":1},{"a":null,"b":2}],"map":{"m/n":{"a":"x","b":null}},"maybe_two":{"a":null,"b":1}}})");
  CHECK(problems_of(o) == "/h/list/1/a /h/map/m~1n/b /h/maybe_two/a /h/t/a /h/t/b");
}

struct base {
  int id{1};
  int kind{2};
};
OUTBOUND_FIELDS(base, id, kind)
struct derived : base {
  int extra{3};
};
inline void to_outbound(object& o, const derived& d) {
  to_outbound(o, static_cast<const base&>(d));
  o.set("extra", d.extra).set("kind", "replaced");
}
struct wrapper_first {
  base b{};
};
inline void to_outbound(object& o, const wrapper_first& w) {
  o.set("kind", 0).set("before", true);
  to_outbound(o, w.b);  // finds members there already
}

TEST_CASE("OUTBOUND_FIELDS after and before other members: no key twice", "[json]") {
  CHECK(written(derived{}) == R"({"id":1,"extra":3,"kind":"replaced"})");
  CHECK(written(wrapper_first{}) == R"({"before":true,"id":1,"kind":2})");
  object o{{"id", nan}};
  to_outbound(o, base{});
  CHECK(o.text() == R"({"id":1,"kind":2})");
  CHECK(o.problems().empty());
  to_outbound(o, base{});
  CHECK(o.text() == R"({"id":1,"kind":2})");
  object empty;
  to_outbound(empty, base{});
  empty.set("id", 5);
  CHECK(empty.text() == R"({"kind":2,"id":5})");
}

struct chain {
  int levels;
};
inline void to_outbound(object& o, const chain& c) {
  if (c.levels > 1) o.set("n", chain{c.levels - 1});
}
struct list_chain {
  int levels;
};
inline array to_outbound(const list_chain& c) { return c.levels > 1 ? array::of(list_chain{c.levels - 1}) : array{}; }
struct node {
  std::vector<node> n{};
};
OUTBOUND_FIELDS(node, n)

std::string repeated(std::string_view s, int n) {
  std::string out;
  for (; n > 0; --n) out += s;
  return out;
}

// --- F63: limits at their edges

TEST_CASE("F63: 64 levels are written, 65 are too deep", "[F63]") {
  for (const int levels : {1, 2, 62, 63}) {  // and one more around them
    CAPTURE(levels);
    const object o{{"k", chain{levels}}};
    CHECK(o.text() == "{\"k\":" + repeated("{\"n\":", levels - 1) + "{}" + repeated("}", levels));
    CHECK(o.problems().empty());
  }
  for (const int levels : {64, 65, 200, 5000}) {
    CAPTURE(levels);
    const object o{{"k", chain{levels}}};
    CHECK(o.text() == "{\"k\":" + repeated("{\"n\":", 63) + "null" + repeated("}", 64));
    REQUIRE(o.problems().size() == 1);
    CHECK(o.problems()[0].what == defect::too_deep);
    CHECK(o.problems()[0].where == "/k" + repeated("/n", 63));
    CHECK(o.problems()[0].why.find("64") != std::string::npos);  // the limit
    CHECK(o.problems()[0].why.find("65") != std::string::npos);  // the actual value
  }
}

TEST_CASE("F63: depth counts whatever makes a level", "[F63]") {
  // object in object, array in array, array in object, by owned values
  for (const int levels : {63, 64, 65, 66}) {
    CAPTURE(levels);
    object o;
    array a;
    for (int i = 1; i < levels; ++i) {
      o = object{{"o", o}};
      a = array::of(a);
    }
    CHECK(o.problems().empty() == (levels <= 64));
    CHECK(a.problems().empty() == (levels <= 64));
    if (levels <= 64) {
      CHECK(o.text() == repeated("{\"o\":", levels - 1) + "{}" + repeated("}", levels - 1));
      CHECK(a.text() == repeated("[", levels) + repeated("]", levels));
    } else {
      CHECK(o.problems().at(0).what == defect::too_deep);
      CHECK(a.problems().at(0).what == defect::too_deep);
      CHECK(parsed(o.text()).is_object());
      CHECK(parsed(a.text()).is_array());
    }
    // In a message: the body is level 1, attributes level 2.
    const auto m = outbound::user{"u"}.identify().attribute("k", o);
    CHECK(m.valid() == (levels <= 62));
  }
  for (const int levels : {61, 62, 63}) {
    CAPTURE(levels);
    const auto by_type = outbound::user{"u"}.identify().attribute("k", chain{levels});
    CHECK(by_type.valid() == (levels <= 62));
    const auto whole = outbound::user{"u"}.identify().attributes(chain{levels + 1});
    CHECK(whole.valid() == (levels <= 62));
    array a;
    for (int i = 1; i < levels; ++i) a = array::of(a);
    CHECK(outbound::user{"u"}.track("e").property("k", a).valid() == (levels <= 62));
    CHECK(outbound::user{"u"}.track("e").properties({{"k", a}}).valid() == (levels <= 62));
    CHECK(outbound::user{"u"}.track("e").properties({{"k", {a}}}).valid() == (levels <= 61));
    CHECK(outbound::user{"u"}.track("e").properties({{"k", {{"in", a}}}}).valid() == (levels <= 61));
    const auto merged = outbound::user{"u"}.track("e").properties(object{{"k", a}});
    CHECK(merged.valid() == (levels <= 62));
    node n;
    for (int i = 1; i < levels; ++i) n = node{{n}};  // two levels each
    CHECK(object{{"k", n}}.problems().empty() == (1 + 2 * levels <= 64));
  }
  CHECK(array::of(list_chain{63}).problems().empty());
  CHECK_FALSE(array::of(list_chain{64}).problems().empty());
  std::vector<std::vector<std::vector<int>>> v{{{1}}};
  object o62;
  for (int i = 1; i < 61; ++i) o62 = object{{"o", o62}};
  CHECK(array::of(v, o62).problems().empty());
}

TEST_CASE("F63: what is too deep and replaced leaves no trace", "[F63]") {
  object deep;
  for (int i = 1; i < 64; ++i) deep = object{{"o", deep}};
  REQUIRE(deep.problems().empty());
  deep.set("o", 1);
  CHECK(deep.text() == R"({"o":1})");
  const object around{{"k", deep}};  // two levels
  CHECK(around.text() == R"({"k":{"o":1}})");
  CHECK(around.problems().empty());

  object too_deep{{"k", chain{70}}};
  REQUIRE(too_deep.problems().size() == 1);
  too_deep.set("k", 1);
  CHECK(too_deep.problems().empty());
  CHECK(object{{"in", too_deep}}.text() == R"({"in":{"k":1}})");
  CHECK(object{{"in", too_deep}}.problems().empty());

  auto m = outbound::user{"u"}.identify().attribute("k", chain{70});
  CHECK_FALSE(m.valid());
  m.attribute("k", 1);
  CHECK(m.valid());
  m.attribute("l", too_deep);
  CHECK(m.valid());
  CHECK(m.body() == R"({"user_id":"u","attributes":{"k":1,"l":{"k":1}}})");

  array a = array::of(deep);
  CHECK(array::of(a).text() == R"([[{"o":1}]])");
}

TEST_CASE("F63: json text may be 512 deep by itself, wherever it stands", "[F63]") {
  for (const int levels : {511, 512, 513}) {
    CAPTURE(levels);
    const std::string arrays = repeated("[", levels) + repeated("]", levels);
    const std::string objects = repeated("{\"a\":", levels - 1) + "{}" + repeated("}", levels - 1);
    const std::string mixed =
        repeated("[{\"a\":", levels / 2) + (levels % 2 == 1 ? "[]" : "1") + repeated("}]", levels / 2);
    for (const std::string& text : {arrays, objects, mixed}) {
      const object o{{"k", outbound::json{text}}};
      CHECK(o.text() == "{\"k\":" + (levels <= 512 ? text : "null") + '}');
      if (levels <= 512) {
        CHECK(o.problems().empty());
        CHECK(outbound::user{"u"}.track("e").property("k", outbound::json{text}).valid());
        continue;
      }
      REQUIRE(o.problems().size() == 1);
      CHECK(o.problems()[0].what == defect::too_deep);
      CHECK(o.problems()[0].where == "/k");
      CHECK(o.problems()[0].why.find("512") != std::string::npos);
    }
    if (levels > 512) continue;
    // A deep text counts by itself: 63 levels of ours may stand around it.
    object o{{"k", outbound::json{arrays}}};
    for (int i = 1; i < 63; ++i) o = object{{"o", o}};
    CHECK(o.problems().empty());
  }
}

TEST_CASE("F63: a body of 1 MiB goes, of one byte more does not", "[F63]") {
  const std::string head = R"({"user_id":"u","event":"e","properties":{"k":")", tail = "\"}}";
  for (const std::size_t size : {1048575U, 1048576U, 1048577U}) {
    CAPTURE(size);
    const std::string text(size - head.size() - tail.size(), 'x');
    auto m = outbound::user{"u"}.track("e").property("k", text);
    CHECK(m.body() == head + text + tail);
    CHECK(m.valid() == (size <= 1048576));
    if (size <= 1048576) continue;
    REQUIRE(m.problems().size() == 1);
    CHECK(m.problems()[0].what == defect::too_large);
    CHECK(m.problems()[0].where.empty());
    CHECK(m.problems()[0].why.find("1048577") != std::string::npos);
    m.property("k", 1);  // smaller again
    CHECK(m.valid());
  }
}

// --- repeated keys

// What an object must be: members in the order set, the last one wins.
struct model {
  struct item {
    std::string key;
    std::string text;
    bool bad;
  };
  std::vector<item> items{};
  void set(const std::string& key, const std::string& text, bool bad = false) {
    for (auto it = items.begin(); it != items.end(); ++it) {
      if (it->key != key) continue;
      items.erase(it);
      break;
    }
    items.push_back({key, text, bad});
  }
  std::string text() const {
    std::string out = "{";
    for (const item& i : items) out += (out.size() == 1 ? "" : ",") + written(i.key) + ':' + i.text;
    return out + '}';
  }
  std::string places(const std::string& in) const {
    std::multiset<std::string> all;
    for (const item& i : items)
      if (i.bad) all.insert(in + '/' + i.key);
    std::string out;
    for (const std::string& where : all) out += (out.empty() ? "" : " ") + where;
    return out;
  }
};

TEST_CASE("F13: a repeated key replaces and moves to the end", "[F13]") {
  object o;
  o.set("a", 1).set("b", 2).set("a", 3);
  CHECK(o.text() == R"({"b":2,"a":3})");
  o.set("a", 4);
  CHECK(o.text() == R"({"b":2,"a":4})");
  o.set("b", {{"a", 5}});
  CHECK(o.text() == R"({"a":4,"b":{"a":5}})");
  CHECK(object{{"a", 1}, {"a", 2}}.text() == R"({"a":2})");
  CHECK(object{{"a", 1}, {"b", 1}, {"c", 1}, {"b", 2}, {"a", 2}}.text() == R"({"c":1,"b":2,"a":2})");
  CHECK(object{{"k", {{"a", 1}, {"b", 2}, {"a", 3}}}}.text() == R"({"k":{"b":2,"a":3}})");
  CHECK(object{{"k", {{{"a", 1}, {"a", 2}}, {{"a", 3}}}}}.text() == R"({"k":[{"a":2},{"a":3}]})");
  CHECK(object{{"", 1}, {"", 2}}.text() == R"({"":2})");
  CHECK(object{{"a", "},{\"a\":1"}, {"a\"", 2}, {"a", 3}}.text() == R"({"a\"":2,"a":3})");
  CHECK(object{{"a\n", 1}, {"b", "\"a\\n\":1"}, {"a\n", 2}}.text() == R"({"b":"\"a\\n\":1","a\n":2})");
  CHECK(object{{std::string_view{"a\0b", 3}, 1}, {"a", 2}, {std::string_view{"a\0b", 3}, 3}}.text() ==
        "{\"a\":2,\"a\\u0000b\":3}");
  CHECK(object{{"a", outbound::json{" { \"a\" : [ \"}\" ] } "}}, {"b", 1}, {"a", 2}}.text() == R"({"b":1,"a":2})");
  CHECK(object{{"b", 1}, {"a", outbound::json{" [ 1 , 2 ] "}}, {"b", 2}}.text() == R"({"a": [ 1 , 2 ] ,"b":2})");
  CHECK(object{{"a", outbound::json{" -1.5e7 "}}, {"b", 1}, {"a", 2}}.text() == R"({"b":1,"a":2})");
}

TEST_CASE("F13: in messages, attributes and properties too", "[F13]") {
  auto m = outbound::user{"u"}.identify().attribute("a", 1).attribute("b", 2).attribute("a", 3);
  CHECK(m.body() == R"({"user_id":"u","attributes":{"b":2,"a":3}})");
  m.attributes({{"b", 4}, {"c", 5}, {"b", 6}});
  CHECK(m.body() == R"({"user_id":"u","attributes":{"a":3,"c":5,"b":6}})");
  m.attributes(std::map<std::string, int>{{"a", 7}, {"d", 8}});
  CHECK(m.body() == R"({"user_id":"u","attributes":{"c":5,"b":6,"a":7,"d":8}})");
  m.attributes(std::vector<std::pair<std::string, int>>{{"d", 1}, {"d", 2}, {"c", 3}});
  CHECK(m.body() == R"({"user_id":"u","attributes":{"b":6,"a":7,"d":2,"c":3}})");
  m.attributes(object{{"a", 9}});
  CHECK(m.body() == R"({"user_id":"u","attributes":{"b":6,"d":2,"c":3,"a":9}})");
  m.attributes(point{1, 2}).attribute("x", 0);
  CHECK(m.body() == R"({"user_id":"u","attributes":{"b":6,"d":2,"c":3,"a":9,"y":2,"x":0}})");
  m.attributes(base{}).attributes(base{5, 6});
  CHECK(m.body() == R"({"user_id":"u","attributes":{"b":6,"d":2,"c":3,"a":9,"y":2,"x":0,"id":5,"kind":6}})");
  // A property may be called like a field; it is in an object of its own.
  CHECK(outbound::user{"u"}.track("e").property("user_id", 1).property("event", 2).property("properties", 3).body() ==
        R"({"user_id":"u","event":"e","properties":{"user_id":1,"event":2,"properties":3}})");
}

TEST_CASE("F13: members of a json object that collide with ours", "[F13]") {
  auto m = outbound::user{"u"}.track("e").property("a", 1).property("b", 2);
  m.properties(outbound::json{R"( { "b" : [ 3 ] , "c" : "x" } )"});
  CHECK(parsed(m.body())["properties"].dump() == R"({"a":1,"b":[3],"c":"x"})");
  CHECK(is_json_without_repeats(m.body()));
  m.property("c", 4).property("a", 5);
  CHECK(parsed(m.body())["properties"].dump() == R"({"a":5,"b":[3],"c":4})");
  CHECK(is_json_without_repeats(m.body()));
  // One key in two spellings is one key.
  auto spelled = outbound::user{"u"}
                     .track("e")
                     .property("a", 1)
                     .property("\xC3\xA9", 1)
                     .property("/", 1)
                     .property("\xF0\x9F\x98\x80", 1);
  spelled.properties(outbound::json{R"({"\u0061":2,"\u00e9":2,"\/":2,"\uD83D\uDE00":2})"});
  CHECK(is_json_without_repeats(spelled.body()));
  CHECK(parsed(spelled.body())["properties"].size() == 4);
  const auto all_are = [&spelled](int n) {
    const auto body = parsed(spelled.body());
    for (const auto& v : body["properties"]) CHECK(v == n);
  };
  all_are(2);
  spelled.property("a", 3).property("\xC3\xA9", 3).property("/", 3).property("\xF0\x9F\x98\x80", 3);
  CHECK(is_json_without_repeats(spelled.body()));
  CHECK(parsed(spelled.body())["properties"].size() == 4);
  all_are(3);
}

TEST_CASE("F13: 1 to 1000 keys, each set again, in every way to set them", "[F13]") {
  for (const int count : {1, 2, 15, 16, 17, 18, 31, 32, 33, 64, 200, 256, 257, 1000}) {
    CAPTURE(count);
    for (const int width : {1, 7, 8, 9, 20}) {  // short keys and long ones
      const auto key = [width](int i) {
        const std::string n = std::to_string(i);
        return (width > static_cast<int>(n.size()) ? std::string(static_cast<std::size_t>(width) - n.size(), 'k')
                                                   : "") +
               n;
      };
      model want;
      object by_set;
      auto message = outbound::user{"u"}.track("e");
      std::vector<std::pair<std::string, double>> pairs;
      const auto set = [&](int i, double v, const char* text) {
        by_set.set(key(i), v);
        message.property(key(i), v);
        pairs.emplace_back(key(i), v);
        want.set(key(i), text, std::string_view{text} == "null");
      };
      for (int i = 0; i < count; ++i) set(i, i % 3 == 0 ? nan : 1.5, i % 3 == 0 ? "null" : "1.5");
      const auto check = [&] {
        CHECK(by_set.text() == want.text());
        CHECK(problems_of(by_set) == want.places(""));
        CHECK(message.body() == R"({"user_id":"u","event":"e","properties":)" + want.text() + '}');
        CHECK(problems_of(message) == want.places("/properties"));
        const object in_range{{"k", pairs}};
        CHECK(in_range.text() == "{\"k\":" + want.text() + '}');
        CHECK(problems_of(in_range) == want.places("/k"));
        const auto merged = outbound::user{"u"}.track("e").properties(pairs);
        CHECK(merged.body() == R"({"user_id":"u","event":"e","properties":)" + want.text() + '}');
        CHECK(problems_of(merged) == want.places("/properties"));
      };
      check();
      for (const int i : {0, count / 2, count - 1, count - 1}) set(i, 2, "2");
      check();
      for (const int i : {count - 1, 0}) set(i, nan, "null");
      check();
      if (count > 300 && width != 8) continue;
      for (int i = count - 1; i >= 0; --i) set(i, 3, "3");
      check();
      CHECK(by_set.problems().empty());
      CHECK(message.valid());
      CHECK(is_json_without_repeats(message.body()));
    }
  }
}

TEST_CASE("F13: random sets, replacements and copies, against a model", "[F13]") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 300; ++round) {
    model want;
    object o;
    auto m = outbound::user{"u"}.identify();
    const std::size_t keys = 1 + random() % 40;
    for (auto steps = 1 + random() % 120; steps > 0; --steps) {
      static const std::string tails[] = {"", "\n", "\"", "\\", "\xC3\xBC", "long enough for two blocks", "}", ","};
      std::string key = std::to_string(random() % keys);
      key += tails[std::stoul(key) % std::size(tails)];
      const auto n = random();
      switch (n % 8) {
        case 0: o.set(key, nan), m.attribute(key, nan), want.set(key, "null", true); break;
        case 1:
          o.set(key, {{key, nan}, {key, 1}}), m.attribute(key, {{key, nan}, {key, 1}}),
              want.set(key, '{' + written(key) + ":1}");
          break;
        case 2:
          o.set(key, std::vector<int>(n / 8 % 50)), m.attribute(key, std::vector<int>(n / 8 % 50)),
              want.set(key, written(std::vector<int>(n / 8 % 50)));
          break;
        case 3: o.set(key, key), m.attribute(key, key), want.set(key, written(key)); break;
        case 4: o.set(key, point{1, 2}), m.attribute(key, point{1, 2}), want.set(key, R"({"x":1,"y":2})"); break;
        case 5:
          o.set(key, outbound::json{" [ {} ] "}), m.attribute(key, outbound::json{" [ {} ] "}),
              want.set(key, " [ {} ] ");
          break;
        case 6:
          o.set(key, std::string(n / 8 % 900, 'x')), m.attribute(key, std::string(n / 8 % 900, 'x')),
              want.set(key, written(std::string(n / 8 % 900, 'x')));
          break;
        default: {
          const object copy = o;
          o = copy;
          auto other = m;
          m = std::move(other);
        }
      }
    }
    const std::string expected = want.text();
    const auto differ = std::mismatch(o.text().begin(), o.text().end(), expected.begin(), expected.end());
    CAPTURE(round, differ.first - o.text().begin());
    REQUIRE(o.text() == expected);
    REQUIRE(problems_of(o) == want.places(""));
    const std::string body =
        want.items.empty() ? R"({"user_id":"u"})" : R"({"user_id":"u","attributes":)" + expected + '}';
    REQUIRE(m.body() == body);
    REQUIRE(problems_of(m) == want.places("/attributes"));
    REQUIRE(is_json_without_repeats(m.body()));
  }
}

TEST_CASE("F13: two keys whose hashes agree are two keys", "[F13]") {
  outbound::detail::key_set keys;  // hashes depend on the set
  std::unordered_map<std::uint32_t, std::string> seen;
  std::vector<std::pair<std::string, std::string>> agree;
  for (int i = 0; i < 3'000'000 && agree.size() < 3; ++i) {
    const std::string key = "k" + std::to_string(i);
    const auto [at, is_new] = seen.emplace(outbound::detail::hash(key, keys.seed), key);
    if (!is_new) agree.emplace_back(at->second, key);
  }
  REQUIRE_FALSE(agree.empty());
  for (const auto& [a, b] : agree) {
    for (const int others : {0, 20}) {
      CAPTURE(a, b, others);
      const auto set = [&keys](outbound::detail::writer& w, const std::string& key, int n) {
        const outbound::detail::erased v = outbound::detail::erase(n);
        outbound::detail::insert_leaf(w, 0, w.size() - 1, key, keys, v, 0);
      };
      outbound::detail::writer w;
      w.append("{}");
      keys.clear();
      keys.complete = true;
      std::string rest;
      for (int i = 0; i < others; ++i) {
        set(w, "other" + std::to_string(i), i);
        rest += "\"other" + std::to_string(i) + "\":" + std::to_string(i) + ',';
      }
      set(w, a, 1);
      set(w, b, 2);
      CHECK(w.view() == "{" + rest + "\"" + a + "\":1,\"" + b + "\":2}");
      set(w, a, 3);
      CHECK(w.view() == "{" + rest + "\"" + b + "\":2,\"" + a + "\":3}");
      set(w, b, 4);
      CHECK(w.view() == "{" + rest + "\"" + a + "\":3,\"" + b + "\":4}");
    }
    outbound::detail::writer w;
    keys.clear();
    outbound::detail::open_object out{w, &keys};
    const int n = 1;
    for (const std::string& key : {a, b, a}) out.add(key, outbound::detail::erase(n));
    out.close();
    CHECK(w.view() == "{\"" + b + "\":1,\"" + a + "\":1}");
  }
}

TEST_CASE("replacing a value removes its problems, and only its own", "[json]") {
  object o{{"a", nan}, {"ab", nan}, {"b", {{"a", nan}, {"c", {nan, 1, nan}}}}};
  CHECK(problems_of(o) == "/a /ab /b/a /b/c/0 /b/c/2");
  o.set("a", 1);
  CHECK(problems_of(o) == "/ab /b/a /b/c/0 /b/c/2");
  o.set("b", nan);
  CHECK(problems_of(o) == "/ab /b");
  o.set("b", 1);
  CHECK(problems_of(o) == "/ab");
  o.set("ab", nan);
  CHECK(problems_of(o) == "/ab");
  o.set("ab", 1);
  CHECK(o.problems().empty());

  CHECK(object{{"a", nan}, {"a", 1}}.problems().empty());
  CHECK(problems_of(object{{"a", 1}, {"a", nan}}) == "/a");
  CHECK(object{{"k", {{"a", nan}, {"b", 1}, {"a", 2}}}}.problems().empty());
  CHECK(problems_of(object{{"k", {{"a", nan}, {"b", nan}, {"a", 2}}}}) == "/k/b");
  CHECK(problems_of(object{{"k", {{"a/b~", nan}, {"a", nan}, {"a", 2}}}}) == "/k/a~1b~0");
  CHECK(problems_of(object{{"a", {{"b", nan}}}, {"a/b", nan}, {"a", 1}}) == "/a~1b");
  CHECK(problems_of(object{{"", nan}, {"a", nan}, {"", 1}}) == "/a");
  CHECK(problems_of(object{{"", {{"", nan}}}, {"a", nan}, {"", 1}}) == "/a");
  // In an array of objects, the same key of another element stays.
  CHECK(problems_of(object{{"k", {{{"a", nan}}, {{"a", nan}, {"a", 1}}}}}) == "/k/0/a");
  using pairs = std::vector<std::pair<std::string, double>>;
  CHECK(problems_of(object{{"k", pairs{{"a", nan}, {"b", nan}, {"a", 1}}}}) == "/k/b");
  CHECK(problems_of(object{{"k", std::vector<pairs>{{{"a", nan}}, {{"a", nan}, {"a", 1}}}}}) == "/k/0/a");
  CHECK(problems_of(object{{"k", std::multimap<std::string, double>{{"a", nan}, {"a", 1}}}}).empty());
  // By a part that has problems of its own.
  object part{{"x", nan}};
  object whole{{"p", part}, {"q", part}};
  CHECK(problems_of(whole) == "/p/x /q/x");
  whole.set("p", object{{"y", nan}});
  CHECK(problems_of(whole) == "/p/y /q/x");
  CHECK(problems_of(array::of(part, 1, part)) == "/0/x /2/x");
}

TEST_CASE("replacing in messages removes problems", "[json]") {
  auto m = outbound::user{"u"}.identify().attribute("a", nan).attribute("b", {{"c", nan}}).first_name("\xFF");
  CHECK(problems_of(m) == "/attributes/a /attributes/b/c /first_name");
  m.attribute("a", 1);
  CHECK(problems_of(m) == "/attributes/b/c /first_name");
  m.attributes({{"b", nan}, {"b", 2}});
  CHECK(problems_of(m) == "/first_name");
  m.first_name("F");
  CHECK(m.problems().empty());
  m.attributes(object{{"x", nan}}).attributes(std::map<std::string, double>{{"y", nan}});
  CHECK(problems_of(m) == "/attributes/x /attributes/y");
  m.attributes(object{{"y", 1}, {"x", 2}});
  CHECK(m.problems().empty());
  CHECK(m.body() == R"({"user_id":"u","attributes":{"a":1,"b":2,"y":1,"x":2},"first_name":"F"})");
}

// --- keys

TEST_CASE("keys: empty, escaped, invalid, null", "[json]") {
  const char* const absent = nullptr;
  CHECK(object{{"", 1}, {" ", 2}, {"\"", 3}, {"\\", 4}, {"\x01", 5}, {"\xC3\xBC", 6}}.text() ==
        "{\"\":1,\" \":2,\"\\\"\":3,\"\\\\\":4,\"\\u0001\":5,\"\xC3\xBC\":6}");
  const object o{{absent, 1}, {"k", {{absent, 2}}}};
  CHECK(o.text() == R"({"":1,"k":{"":2}})");
  REQUIRE(o.problems().size() == 2);
  CHECK(o.problems()[0].what == defect::null_pointer);
  CHECK(problems_of(o) == "/ /k/");
  object set;
  set.set(absent, 1);
  CHECK(set.text() == R"({"":1})");
  CHECK(set.problems().size() == 1);
  CHECK(outbound::user{"u"}.identify().attribute(absent, 1).problems().at(0).where == "/attributes/");
  const object bad{{"\xFF/", {{"~\xFE", nan}}}};
  CHECK(bad.text() == R"({"":{"":null}})");
  CHECK(problems_of(bad) == "/\xEF\xBF\xBD~1 /\xEF\xBF\xBD~1/~0\xEF\xBF\xBD /\xEF\xBF\xBD~1/~0\xEF\xBF\xBD");
  const std::string owned = "owned";
  const std::string_view view = "view";
  CHECK(object{{owned, 1}, {view, 2}, {view_like{}, 3}, {string_child{"c"}, 4}}.text() ==
        R"({"owned":1,"view":2,"view-like":3,"c":4})");
  CHECK(is_json_without_repeats(object{{"\xFF", 1}, {"\xFE", 2}, {absent, 3}, {"", 4}}.text()));
}

// --- F65: a builder and its own text

// The sizes at which a text may be about to outgrow its block: 1, 4, 16, 64 KiB, less what blocks keep for themselves.
std::vector<std::size_t> interesting_sizes() {
  std::vector<std::size_t> out{0, 1, 7, 8, 100};
  for (const std::size_t block : {1024U, 4096U, 16384U, 65536U})
    for (std::size_t less = 0; less <= 60; ++less) out.push_back(block - less);
  for (const std::size_t block : {512U, 2048U, 8192U, 32768U})
    for (std::size_t less = 0; less <= 40; ++less) out.push_back(block - less);
  return out;
}

TEST_CASE("F65: an object may be given itself", "[F65]") {
  for (const std::size_t size : interesting_sizes()) {
    CAPTURE(size);
    const std::string fill(size, 'f');
    object o{{"fill", fill}};
    const std::string one{o.text()};
    REQUIRE(one == "{\"fill\":\"" + fill + "\"}");
    o.set("again", o);
    const std::string two = one.substr(0, one.size() - 1) + ",\"again\":" + one + '}';
    REQUIRE(o.text() == two);
    o.set("again", o);  // replaces
    REQUIRE(o.text() == one.substr(0, one.size() - 1) + ",\"again\":" + two + '}');
    object t{{"fill", fill}};
    t.set("text", t.text());
    REQUIRE(t.text() == one.substr(0, one.size() - 1) + ",\"text\":" + written(one) + '}');
    object k{{"fill", fill}};
    k.set(k.text(), 1);
    REQUIRE(k.text() == one.substr(0, one.size() - 1) + ',' + written(one) + ":1}");
    object both{{"fill", fill}};
    both.set(both.text().substr(2, 4), both.text().substr(2, 4));  // its own key: replaces what it is a view of
    REQUIRE(both.text() == R"({"fill":"fill"})");
    object deep{{"fill", fill}};
    deep.set("n", {1, {{"o", deep}, {"t", deep.text()}}});
    REQUIRE(deep.text() ==
            one.substr(0, one.size() - 1) + ",\"n\":[1,{\"o\":" + one + ",\"t\":" + written(one) + "}]}");
    object list{{"fill", fill}};
    list.set("v", std::vector<std::string_view>{list.text(), list.text().substr(0, 3)});
    REQUIRE(list.text() == one.substr(0, one.size() - 1) + ",\"v\":[" + written(one) + ",\"{\\\"f\"]}");
  }
}

TEST_CASE("F65: an array may be given itself", "[F65]") {
  for (const std::size_t size : interesting_sizes()) {
    CAPTURE(size);
    const std::string fill(size, 'f');
    array a = array::of(fill);
    const std::string one{a.text()};
    a.add(a);
    const std::string two = one.substr(0, one.size() - 1) + ',' + one + ']';
    REQUIRE(a.text() == two);
    a.add(a.text());
    REQUIRE(a.text() == two.substr(0, two.size() - 1) + ',' + written(two) + ']');
    array deep = array::of(fill);
    deep.add({{"a", deep}, {"b", {deep, deep.text()}}});
    REQUIRE(deep.text() ==
            one.substr(0, one.size() - 1) + ",{\"a\":" + one + ",\"b\":[" + one + ',' + written(one) + "]}]");
  }
  array empty;
  empty.add(empty);
  CHECK(empty.text() == "[[]]");
  object none;
  none.set("none", none).set("text", none.text());
  CHECK(none.text() == R"({"none":{},"text":"{\"none\":{}}"})");
}

TEST_CASE("F65: a message may be given its own body", "[F65]") {
  for (const std::size_t size : interesting_sizes()) {
    CAPTURE(size);
    const std::string fill(size, 'f');
    auto m = outbound::user{"u"}.identify().attribute("fill", fill);
    const std::string one{m.body()};
    m.attribute("b", m.body());
    const std::string two = R"({"user_id":"u","attributes":{"fill":")" + fill + "\",\"b\":" + written(one) + "}}";
    REQUIRE(m.body() == two);
    m.attribute("b", m.body().substr(0, 5));
    REQUIRE(m.body() == R"({"user_id":"u","attributes":{"fill":")" + fill + "\",\"b\":\"{\\\"use\"}}");
    auto field = outbound::user{"u"}.identify().attribute("fill", fill);
    field.first_name(field.body());
    REQUIRE(field.body() == one.substr(0, one.size() - 1) + ",\"first_name\":" + written(one) + '}');
    auto key = outbound::user{"u"}.identify().attribute("fill", fill);
    key.attribute(key.body(), {key.body(), 1});
    REQUIRE(key.body() == one.substr(0, one.size() - 2) + ',' + written(one) + ":[" + written(one) + ",1]}}");
    auto list = outbound::user{"u"}.identify().attribute("fill", fill);
    list.apns({list.body(), "t"});
    REQUIRE(list.body() == one.substr(0, one.size() - 1) + ",\"apns\":[" + written(one) + ",\"t\"]}");
    auto braces = outbound::user{"u"}.identify().attribute("fill", fill);
    braces.attributes({{"x", 1}, {"b", braces.body()}, {"fill", braces.body()}});
    REQUIRE(braces.body() ==
            R"({"user_id":"u","attributes":{"x":1,"b":)" + written(one) + ",\"fill\":" + written(one) + "}}");
  }
}

TEST_CASE("F65: problems of a builder that is given itself", "[F65]") {
  object o{{"bad", nan}};
  o.set("again", o);
  CHECK(o.text() == R"({"bad":null,"again":{"bad":null}})");
  CHECK(problems_of(o) == "/again/bad /bad");
  o.set("bad", o);
  CHECK(o.text() == R"({"again":{"bad":null},"bad":{"bad":null,"again":{"bad":null}}})");
  CHECK(problems_of(o) == "/again/bad /bad/again/bad /bad/bad");
  o.set("bad", 1).set("again", 1);
  CHECK(o.problems().empty());
  array a = array::of(nan);
  a.add(a).add(a);
  CHECK(a.text() == "[null,[null],[null,[null]]]");
  CHECK(problems_of(a) == "/0 /1/0 /2/0 /2/1/0");
  // It grows deeper each time, up to the limit, and stays JSON.
  object deep;
  for (int i = 0; i < 100; ++i) deep.set("d", deep);
  CHECK(parsed(deep.text()).is_object());
  CHECK_FALSE(deep.problems().empty());
}

// --- copies and moves

TEST_CASE("objects and arrays are values", "[json]") {
  object a{{"x", 1}, {"bad", nan}};
  object b = a;
  b.set("x", 2);
  CHECK(a.text() == R"({"x":1,"bad":null})");
  CHECK(b.text() == R"({"bad":null,"x":2})");
  b.set("bad", 1);
  CHECK(b.problems().empty());
  CHECK(a.problems().size() == 1);
  a = b;
  CHECK(a.text() == b.text());
  CHECK(a.problems().empty());
  a.set("x", 3);
  CHECK(a.text() == R"({"bad":1,"x":3})");
  CHECK(b.text() == R"({"x":2,"bad":1})");
  const object& self = b;
  b = self;
  CHECK(b.text() == R"({"x":2,"bad":1})");
  object c = std::move(a);
  CHECK(c.text() == R"({"bad":1,"x":3})");
  a = object{{"new", 1}};
  a.set("new", 2).set("other", 3);
  CHECK(a.text() == R"({"new":2,"other":3})");
  c = std::move(b);
  c.set("x", 9);
  CHECK(c.text() == R"({"bad":1,"x":9})");
  c = object{};
  CHECK(c.text() == "{}");
  c.set("x", 1);
  CHECK(c.text() == R"({"x":1})");
  std::swap(a, c);
  CHECK(a.text() == R"({"x":1})");
  CHECK(c.text() == R"({"new":2,"other":3})");

  array p = array::of(1, nan);
  array q{p};
  q.add(2);
  CHECK(p.text() == "[1,null]");
  CHECK(q.text() == "[1,null,2]");
  p = q;
  p.add(nan);
  CHECK(problems_of(p) == "/1 /3");
  CHECK(problems_of(q) == "/1");
  array r = std::move(p);
  r.add(nan);
  CHECK(problems_of(r) == "/1 /3 /4");
  p = array::of(1);
  p.add(nan);
  CHECK(p.text() == "[1,null]");
  CHECK(problems_of(p) == "/1");
  p = array{};
  p.add(nan);
  CHECK(problems_of(p) == "/0");
  static_assert(std::is_nothrow_move_constructible_v<array> && std::is_nothrow_default_constructible_v<array>);
  static_assert(std::is_nothrow_default_constructible_v<object> && std::is_nothrow_move_constructible_v<object>);
  static_assert(std::is_copy_constructible_v<object> && std::is_copy_assignable_v<object>);
}

TEST_CASE("copies of many keys know them all", "[json]") {
  for (const int count : {1, 16, 17, 40, 300}) {
    object o;
    for (int i = 0; i < count; ++i) o.set("key " + std::to_string(i), i);
    object copy = o;
    object assigned{{"other", 1}};
    assigned = o;
    object moved = object{o};
    for (object* x : {&copy, &assigned, &moved}) {
      x->set("key 0", "again").set("new", 1).set("key " + std::to_string(count - 1), "again");
      CHECK(is_json_without_repeats(x->text()));
      CHECK(parsed(x->text()).size() == static_cast<std::size_t>(count) + 1);
      CHECK(parsed(x->text())["key 0"] == "again");
    }
    CHECK(parsed(o.text())["key 0"] == 0);
  }
}

// --- inside a to_outbound, where an object is written in place

struct by {  // is written by a function
  std::function<void(object&)> f;
};
inline void to_outbound(object& o, const by& b) { b.f(o); }

// Members called n in one another, and the leaf in the innermost.
void nest(object& o, int levels, const by& leaf) {
  if (levels == 0) o.set("leaf", leaf);
  else o.set("n", by{[&](object& in) { nest(in, levels - 1, leaf); }});
}

// Runs f in place, in several surroundings: it has to come out as `want` every time.
void check_in_place(const std::function<void(object&)>& f, const std::string& want, const std::string& bad = "") {
  CAPTURE(want);
  const by v{f};
  const auto below = [&bad](const std::string& where) {
    std::string out = bad;
    for (std::size_t at = 0; (at = out.find('/', at)) != std::string::npos; ++at) {
      if (at != 0 && out[at - 1] != ' ') continue;
      out.insert(at, where);
      at += where.size();
    }
    return out;
  };
  object alone;
  f(alone);
  CHECK(alone.text() == want);
  CHECK(problems_of(alone) == bad);
  const object first{{"k", v}};
  CHECK(first.text() == "{\"k\":" + want + '}');
  CHECK(problems_of(first) == below("/k"));
  const object later{{"a", "text"}, {"k", v}, {"z", 1}};
  CHECK(later.text() == "{\"a\":\"text\",\"k\":" + want + ",\"z\":1}");
  CHECK(problems_of(later) == below("/k"));
  object set{{"k", 1}, {"l", 2}};
  set.set("k", v);
  CHECK(set.text() == "{\"l\":2,\"k\":" + want + '}');
  CHECK(problems_of(set) == below("/k"));
  const object deep{{"a", {1, {{"b", v}}}}};
  CHECK(deep.text() == "{\"a\":[1,{\"b\":" + want + "}]}");
  CHECK(problems_of(deep) == below("/a/1/b"));
  array a = array::of(1);
  a.add(v);
  CHECK(a.text() == "[1," + want + ']');
  CHECK(problems_of(a) == below("/1"));
  auto m = outbound::user{"u"}.identify().attribute("k", v);
  CHECK(m.body() == R"({"user_id":"u","attributes":{"k":)" + want + "}}");
  CHECK(problems_of(m) == below("/attributes/k"));
  m.attribute("k", v);
  CHECK(m.body() == R"({"user_id":"u","attributes":{"k":)" + want + "}}");
  CHECK(problems_of(m) == below("/attributes/k"));
  auto with_others = outbound::user{"u"}.identify().attribute("other", nan).attribute("k", v);
  CHECK(with_others.body() == R"({"user_id":"u","attributes":{"other":null,"k":)" + want + "}}");
  CHECK(with_others.problems().size() == 1 + alone.problems().size());
}

TEST_CASE("in place: members, replacements and nested types", "[json]") {
  check_in_place([](object&) {}, "{}");
  check_in_place([](object& o) { o.set("a", 1).set("b", 2).set("a", 3); }, R"({"b":2,"a":3})");
  check_in_place(
      [](object& o) {
        o.set("a", point{1, 2}).set("b", {point{3, 4}, 5});
      },
      R"({"a":{"x":1,"y":2},"b":[{"x":3,"y":4},5]})");
  check_in_place([](object& o) { o.set("a", nan).set("b", nan).set("a", 1); }, R"({"b":null,"a":1})", "/b");
  check_in_place(
      [](object& o) {
        for (int i = 0; i < 40; ++i) o.set("k" + std::to_string(i % 20), i);
      },
      R"({"k0":20,"k1":21,"k2":22,"k3":23,"k4":24,"k5":25,"k6":26,"k7":27,"k8":28,"k9":29,"k10":30,"k11":31,"k12":32,"k13":33,"k14":34,"k15":35,"k16":36,"k17":37,"k18":38,"k19":39})");
  const std::string big(3000, 'x');
  check_in_place([&](object& o) { o.set("big", big).set("n", 1).set("big", 2); }, R"({"n":1,"big":2})");
  check_in_place([&](object& o) { o.set("n", 1).set("big", big); }, R"({"n":1,"big":")" + big + "\"}");
}

TEST_CASE("in place: assignment, copies, moves", "[json]") {
  check_in_place([](object& o) { o = object{{"a", 1}}; }, R"({"a":1})");
  check_in_place(
      [](object& o) {
        o.set("gone", nan);
        o = object{{"a", 1}};
      },
      R"({"a":1})");
  check_in_place(
      [](object& o) {
        o.set("gone", 1);
        o = object{{"a", nan}};
        o.set("b", 2);
      },
      R"({"a":null,"b":2})", "/a");
  check_in_place(
      [](object& o) {
        o.set("gone", 1);
        o = object{};
      },
      "{}");
  check_in_place(
      [](object& o) {
        o = object{};
        o.set("b", 2);
      },
      R"({"b":2})");
  check_in_place(
      [](object& o) {
        const object other{{"a", 1}, {"b", 1}};
        o = other;
        o.set("a", 2);
      },
      R"({"b":1,"a":2})");
  check_in_place(
      [](object& o) {
        o.set("a", 1);
        const object& self = o;
        o = self;
        o.set("b", 2);
      },
      R"({"a":1,"b":2})");
  check_in_place(
      [](object& o) {
        o.set("a", 1);
        object copy = o;
        copy.set("b", 2);
        o.set("copy", copy);
      },
      R"({"a":1,"copy":{"a":1,"b":2}})");
  check_in_place(
      [](object& o) {
        o.set("a", 1);
        object copy;
        copy = o;
        o = copy;
        o.set("a", 2);
      },
      R"({"a":2})");
  check_in_place(
      [](object& o) {
        o.set("a", nan);
        object copy = o;
        copy.set("a", 1);
        o.set("copy", copy).set("a", 2);
      },
      R"({"copy":{"a":1},"a":2})");
  check_in_place(
      [](object& o) {
        o.set("a", nan);
        const object copy = o;
        o.set("copy", copy);
      },
      R"({"a":null,"copy":{"a":null}})", "/a /copy/a");
  check_in_place(
      [](object& o) {
        o.set("a", 1);
        object taken = std::move(o);
        o = object{{"taken", taken}};
      },
      R"({"taken":{"a":1}})");
  check_in_place(
      [](object& o) {
        o.set("a", 1);
        object taken = std::move(o);
        o = std::move(taken);
        o.set("b", 2);
      },
      R"({"a":1,"b":2})");
  check_in_place(
      [](object& o) {
        o.set("a", 1);
        object other{{"b", 2}};
        std::swap(o, other);
        o.set("c", other);
      },
      R"({"b":2,"c":{"a":1}})");
  const std::string big(5000, 'x');
  check_in_place(
      [&](object& o) {
        o.set("a", 1);
        o = object{{"big", big}};
        o.set("c", 1);
      },
      R"({"big":")" + big + R"(","c":1})");
}

TEST_CASE("in place: what is copied out is on its own", "[json]") {
  object kept;
  std::string text;
  std::string bad;
  const by copy_out{[&](object& o) {
    o.set("x", 1).set("bad", nan);
    kept = o;
    text = o.text();
    bad = problems_of(o);
  }};
  // Neighbours with problems, with names that begin alike.
  auto m = outbound::user{"\xFF"}.track("e").property("ab", nan).property("a", copy_out).property("abc", 1);
  CHECK(text == R"({"x":1,"bad":null})");
  CHECK(bad == "/bad");
  CHECK(kept.text() == text);
  CHECK(problems_of(kept) == "/bad");
  kept.set("bad", 2).set("y", 3);
  CHECK(kept.text() == R"({"x":1,"bad":2,"y":3})");
  CHECK(kept.problems().empty());
  CHECK(object{{"in", kept}}.problems().empty());
  CHECK(problems_of(m) == "/properties/a/bad /properties/ab /user_id");

  // It replaces a value with a problem: that one is not its own.
  auto replaced = outbound::user{"u"}.track("e").property("a", nan);
  replaced.property("a", by{[&](object& o) {
                      o.set("x", 1);
                      kept = o;
                      bad = problems_of(o);
                    }});
  CHECK(bad.empty());
  CHECK(kept.problems().empty());
  CHECK(replaced.valid());

  // At the depth limit: a copy begins at level 1 again.
  object deep;
  const by at_bottom{[&](object& o) {
    o.set("leaf", 1);
    deep = o;
  }};
  object surrounding{{"k", at_bottom}};
  nest(surrounding, 50, at_bottom);
  REQUIRE(surrounding.problems().empty());
  CHECK(deep.text() == R"({"leaf":1})");
  for (int i = 1; i < 64; ++i) deep = object{{"o", deep}};
  CHECK(deep.problems().empty());
}

TEST_CASE("F65: in place, an object may be given itself", "[F65]") {
  check_in_place([](object& o) { o.set("again", o); }, R"({"again":{}})");
  check_in_place([](object& o) { o.set("a", 1).set("again", o); }, R"({"a":1,"again":{"a":1}})");
  check_in_place([](object& o) { o.set("a", 1).set("t", o.text()); }, R"({"a":1,"t":"{\"a\":1}"})");
  check_in_place([](object& o) { o.set("a", 1).set(o.text(), 2); }, R"({"a":1,"{\"a\":1}":2})");
  check_in_place([](object& o) { o.set("a", 1).set("a", o); }, R"({"a":{"a":1}})");
  check_in_place(
      [](object& o) {
        o.set("a", 1).set("n", {o, {{"t", o.text()}}});
      },
      R"({"a":1,"n":[{"a":1},{"t":"{\"a\":1}"}]})");
  check_in_place([](object& o) { o.set("a", nan).set("again", o); }, R"({"a":null,"again":{"a":null}})", "/a /again/a");
  for (const std::size_t size : {900U, 1000U, 1010U, 1020U, 4000U, 4080U, 16370U}) {
    for (std::size_t more = 0; more < 16; ++more) {
      const std::string fill(size + more, 'f');
      const std::string one = R"({"f":")" + fill + "\"}";
      const object o{
          {"k", by{[&](object& in) { in.set("f", fill).set("o", in).set("t", in.text().substr(0, 5)).set("o", in); }}}};
      const std::string two = one.substr(0, one.size() - 1) + ",\"o\":" + one + ",\"t\":\"{\\\"f\\\":\"}";
      REQUIRE(o.text() == "{\"k\":" + one.substr(0, one.size() - 1) + ",\"t\":\"{\\\"f\\\":\",\"o\":" + two + "}}");
    }
  }
}

TEST_CASE("F65: in place at depth, or beside what is deep or bad, an object may be given itself", "[F63][F65]") {
  const by twice{[](object& o) { o.set("a", 1).set("again", o); }};
  object deep{{"leaf", twice}};
  for (int i = 0; i < 40; ++i) deep = object{{"o", deep}};
  REQUIRE(deep.problems().empty());
  for (const int levels : {10, 29, 30, 31, 40, 61}) {  // `again` is at levels + 3
    CAPTURE(levels);
    object o;
    nest(o, levels, twice);
    CHECK(o.text() == repeated("{\"n\":", levels) + R"({"leaf":{"a":1,"again":{"a":1}}})" + repeated("}", levels));
    CHECK(o.problems().empty());
  }
  auto m = outbound::user{"u"}.track("e").property("deep", chain{62}).property("t", twice);
  CHECK(m.valid());
  CHECK(m.body().find(R"("t":{"a":1,"again":{"a":1}})") != std::string_view::npos);
  auto bad = outbound::user{"u"}.track("e").property("bad", nan).property("t", twice);
  CHECK(problems_of(bad) == "/properties/bad");
}

struct maker {  // gives itself away as a value that refers to the surrounding object
  const object* o;
};
inline const object& to_outbound(const maker& m) { return *m.o; }

TEST_CASE("F65: aliases that come through types of the user's", "[F65]") {
  object o{{"a", 1}};
  o.set("m", maker{&o});
  CHECK(o.text() == R"({"a":1,"m":{"a":1}})");
  o.set("m", std::vector<maker>{{&o}, {&o}});
  const std::string inner = R"({"a":1,"m":{"a":1}})";
  CHECK(o.text() == R"({"a":1,"m":[)" + inner + ',' + inner + "]}");
  std::map<std::string, std::string_view> views{{"x", o.text().substr(0, 6)}};
  o.set("m", views);
  CHECK(o.text() == R"({"a":1,"m":{"x":"{\"a\":1"}})");
}

#ifdef __cpp_exceptions
TEST_CASE("a to_outbound that throws leaves everything as it was", "[json]") {
  const by thrower{[](object& o) {
    o.set("half", nan).set("big", std::string(2000, 'x'));
    throw std::runtime_error{"no"};
  }};
  object o{{"a", 1}, {"k", nan}};
  const std::string before{o.text()};
  CHECK_THROWS_AS(o.set("k", thrower), std::runtime_error);
  CHECK(o.text() == before);
  CHECK(problems_of(o) == "/k");
  CHECK_THROWS_AS(o.set("n", {1, {{"x", thrower}}}), std::runtime_error);
  CHECK(o.text() == before);
  CHECK(problems_of(o) == "/k");
  o.set("n", 1).set("k", 2);
  CHECK(o.text() == R"({"a":1,"n":1,"k":2})");
  CHECK(o.problems().empty());
  array a = array::of(1);
  CHECK_THROWS_AS(a.add(thrower), std::runtime_error);
  CHECK(a.text() == "[1]");
  a.add(nan);
  CHECK(problems_of(a) == "/1");
  auto m = outbound::user{"u"}.identify().attribute("a", 1);
  const std::string body{m.body()};
  CHECK_THROWS_AS(m.attribute("k", thrower), std::runtime_error);
  CHECK_THROWS_AS(m.attributes({{"x", 1}, {"k", thrower}}), std::runtime_error);
  CHECK(parsed(m.body()).is_object());
  CHECK(m.problems().empty());
  m.attribute("k", 1);
  CHECK(parsed(m.body())["attributes"]["k"] == 1);
  CHECK(is_json_without_repeats(m.body()));
}
#endif

}  // namespace json_test

TEST_CASE("F65: a copy of an object that is being written to is what the object was", "[F65]") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  outbound::object o{{"a", 1}, {"bad", nan}};
  o.set("b", {0, json_test::copy_now{&o}});
  CHECK(o.text() == R"({"a":1,"bad":null,"b":[0,{"a":1,"bad":null}]})");
  REQUIRE(o.problems().size() == 2);
  CHECK(o.problems()[0].where == "/bad");
  CHECK(o.problems()[1].where == "/b/1/bad");
}

TEST_CASE("F13: forty members in one pair of braces, and one of them again", "[F13]") {
  const outbound::object o{
      {"in", {{"k0", 0},   {"k1", 1},   {"k2", 2},   {"k3", 3},   {"k4", 4},   {"k5", 5},      {"k6", 6},
              {"k7", 7},   {"k8", 8},   {"k9", 9},   {"k10", 10}, {"k11", 11}, {"k12", 12},    {"k13", 13},
              {"k14", 14}, {"k15", 15}, {"k16", 16}, {"k17", 17}, {"k18", 18}, {"k19", 19},    {"k20", 20},
              {"k21", 21}, {"k22", 22}, {"k23", 23}, {"k24", 24}, {"k25", 25}, {"k26", 26},    {"k27", 27},
              {"k28", 28}, {"k29", 29}, {"k30", 30}, {"k31", 31}, {"k32", 32}, {"k33", 33},    {"k34", 34},
              {"k35", 35}, {"k36", 36}, {"k37", 37}, {"k38", 38}, {"k39", 39}, {"k7", "again"}}}};
  std::string want;
  for (int i = 0; i < 40; ++i)
    if (i != 7) want += (want.empty() ? "{\"k" : ",\"k") + std::to_string(i) + "\":" + std::to_string(i);
  CHECK(o.text() == "{\"in\":" + want + R"(,"k7":"again"}})");
}
