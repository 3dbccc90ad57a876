// A test for each bug that was found: it failed before the bug was fixed, and its name says the bug.
#include "outbound.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using outbound::identify;
using outbound::user;

TEST_CASE("issues: a value with blanks behind it was not removed with its comma") {
  outbound::object o{{"a", outbound::json{" { } "}}, {"b", 1}};
  o.set("a", 2);
  CHECK(o.text() == R"({"b":1,"a":2})");
}

TEST_CASE("issues: a message that was assigned its own setter's result forgot its keys") {
  identify m = user{"u"}.identify();
  for (int i = 0; i < 20; ++i) m.attribute("k" + std::to_string(i), i);
  m = std::move(m).attribute("k0", 1);
  m.attribute("k19", 2);
  const std::string body{m.body()};
  CHECK(body.find("\"k19\"") == body.rfind("\"k19\""));
  CHECK(body.find(R"("k0":1,"k19":2}})") != std::string::npos);
}

TEST_CASE("issues: an empty optional of campaigns crashed") {
  const auto m = user{"u"}.subscribe(std::optional<std::vector<int>>{});
  CHECK(m.body() == R"({"user_id":"u","campaign_ids":[]})");
  REQUIRE(m.problems().size() == 1);
  CHECK(m.problems()[0].what == outbound::defect::missing);
}

TEST_CASE("issues: an object given to itself was read while it was being written") {
  outbound::object o{{"a", 1}};
  o.set("again", o);
  CHECK(o.text() == R"({"a":1,"again":{"a":1}})");
}

TEST_CASE("issues: half of all prices took the long way") {
  // Half a unit in the last place times 1000 is 500, not 250: both of these are short decimals.
  CHECK(outbound::object{{"p", 19.99}, {"q", 0.1}, {"r", 834.26}}.text() == R"({"p":19.99,"q":0.1,"r":834.26})");
}

TEST_CASE("issues: a key that was replaced left its depth behind") {
  outbound::object deep;
  for (int level = 1; level < 60; ++level) deep = outbound::object{{"d", deep}};
  outbound::object o{{"k", deep}};
  o.set("k", 1);
  outbound::object around = o;
  for (int level = 2; level < 60; ++level) around = outbound::object{{"d", around}};
  CHECK(around.problems().empty());
}

TEST_CASE("issues: a bad key's problem went away when a good key of the same repaired form was set twice") {
  auto m = user{"u"}.identify().attribute("\xFF", 1).attribute("\xEF\xBF\xBD", 2).attribute("\xEF\xBF\xBD", 3);
  CHECK(!m.valid());
}
