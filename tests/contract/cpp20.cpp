// C++20 and later: char8_t text, views and spans as values. Nothing that C++17 has goes away.
#include "everything.hpp"
#include "expect.hpp"

#if __cplusplus < 202002L
#error "build this file as C++20 or later"
#endif

#include <span>
#if defined(__cpp_lib_ranges) && (!defined(__clang__) || __clang_major__ >= 16)  // older clang: not with libstdc++
#include <ranges>
#define HAS_RANGES
#endif

namespace {

void char8_text() {
  const std::u8string owned = u8"\u00FC";
  const std::u8string_view view = owned;
  const char8_t* const absent = nullptr;
  const outbound::object o{{u8"literal", u8"\u00E9"}, {"owned", owned}, {view, view}};
  EXPECT(o.text() == "{\"literal\":\"\xC3\xA9\",\"owned\":\"\xC3\xBC\",\"\xC3\xBC\":\"\xC3\xBC\"}");
  const outbound::user u{u8"i\u00E9"};
  EXPECT(
      u.identify().first_name(owned).email(u8"e").attribute(u8"k", std::vector<std::u8string>{owned}).body() ==
      "{\"user_id\":\"i\xC3\xA9\",\"first_name\":\"\xC3\xBC\",\"email\":\"e\",\"attributes\":{\"k\":[\"\xC3\xBC\"]}}");
  EXPECT(u.track(view).valid());
  EXPECT(u.subscribe({u8"c", 1}).body() == "{\"user_id\":\"i\xC3\xA9\",\"campaign_ids\":[\"c\",1]}");
  EXPECT(outbound::repaired(owned) == "\xC3\xBC");
  EXPECT(u.identify().email(absent).problems().at(0).what == outbound::defect::null_pointer);
  const std::map<std::u8string, int> map{{u8"k", 1}};
  EXPECT(u.track("e").properties(map).body() == "{\"user_id\":\"i\xC3\xA9\",\"event\":\"e\",\"properties\":{\"k\":1}}");
}

void spans() {
  const std::array<int, 3> numbers{1, 2, 3};
  const std::span<const int> all{numbers};
  const outbound::object o{{"all", all}, {"first", all.first(2)}, {"none", std::span<const int>{}}};
  EXPECT(o.text() == R"({"all":[1,2,3],"first":[1,2],"none":[]})");
}

#if defined(HAS_RANGES)
void views() {
  std::vector<int> numbers{1, 2, 3, 4};
  const auto even = [](int n) { return n % 2 == 0; };
  const auto square = [](int n) { return n * n; };
  auto filtered = numbers | std::views::filter(even);  // has only a non-const begin()
  const auto squares = numbers | std::views::transform(square);
  outbound::object o{{"lvalue", filtered}, {"rvalue", numbers | std::views::filter(even)}, {"const", squares}};
  o.set("iota", std::views::iota(1, 4)).set("taken", numbers | std::views::drop(1) | std::views::take(2));
  const std::map<std::string, int> map{{"a", 1}};
  o.set("reverse", std::views::reverse(numbers)).set("keys", map | std::views::keys);
  EXPECT(o.text() == R"({"lvalue":[2,4],"rvalue":[2,4],"const":[1,4,9,16],"iota":[1,2,3],"taken":[2,3],)"
                     R"("reverse":[4,3,2,1],"keys":["a"]})");
  std::vector<std::pair<std::string, int>> pairs{{"a", 1}, {"b", 2}};
  auto odd = pairs | std::views::filter([](const auto& p) { return p.second % 2 == 1; });
  EXPECT(outbound::array::of(odd).text() == R"([{"a":1}])");
  std::vector<std::string> tokens{"t1", "", "t2"};
  auto present = tokens | std::views::filter([](const std::string& s) { return !s.empty(); });
  const std::vector<std::string> copy{present.begin(), present.end()};
  EXPECT(outbound::user{1}.identify().apns(copy).body() == R"({"user_id":1,"apns":["t1","t2"]})");
}
#endif

}  // namespace

int main() {
  char8_text();
  spans();
#if defined(HAS_RANGES)
  views();
#endif
  EXPECT(everything::run().size() > 5000);
}
