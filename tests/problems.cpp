// Bad input: every defect at every place, named with its place; nothing is sent, nothing throws.
#include "outbound.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

namespace problems_test {

struct point {
  double x;
  std::string name;
  std::vector<double> more;
};
OUTBOUND_FIELDS(point, x, name, more)

struct written {
  outbound::text key;
  double x;
};
inline void to_outbound(outbound::object& o, const written& w) { o.set("fine", 1).set(w.key, w.x); }

struct chain {
  int levels;
};
inline void to_outbound(outbound::object& o, const chain& c) {
  if (c.levels > 1) o.set("c", chain{c.levels - 1});
}

struct leaf {
  int x;
};
OUTBOUND_FIELDS(leaf, x)

// So many levels, the deepest of another kind.
enum class ends_with { fields, members, elements };
struct ending {
  int levels;
  ends_with kind;
};
inline void to_outbound(outbound::object& o, const ending& e) {
  if (e.levels > 2) o.set("c", ending{e.levels - 1, e.kind});
  else if (e.kind == ends_with::fields) o.set("c", leaf{1});
  else if (e.kind == ends_with::members) o.set("c", {{"x", 1}});
  else o.set("c", {1});
}

struct score {
  double x;
};
inline double to_outbound(const score& s) { return s.x; }

}  // namespace problems_test

namespace {

using outbound::array;
using outbound::defect;
using outbound::errc;
using outbound::identify;
using outbound::json;
using outbound::message;
using outbound::object;
using outbound::platform;
using outbound::problem;
using outbound::track;
using outbound::user;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t mib = std::size_t{1} << 20;
const char* const null = nullptr;
const user u{"u"};

std::string body(const message& m) { return std::string{m.body()}; }

// Each problem as "defect /place", for messages of failed checks and for comparing sets.
std::string name(defect d) {
  switch (d) {
    case defect::missing: return "missing";
    case defect::null_pointer: return "null_pointer";
    case defect::invalid_utf8: return "invalid_utf8";
    case defect::invalid_json: return "invalid_json";
    case defect::not_finite: return "not_finite";
    case defect::out_of_range: return "out_of_range";
    case defect::too_deep: return "too_deep";
    case defect::too_large: return "too_large";
    case defect::too_long: return "too_long";
    case defect::placeholder: return "placeholder";
  }
  return "?";
}

using list = std::multiset<std::string>;

list of(const std::vector<problem>& problems) {
  list out;
  for (const problem& p : problems) out.insert(name(p.what) + ' ' + p.where);
  return out;
}

bool one_line(std::string_view s) {
  for (const char c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  return !s.empty();
}

bool is_json(std::string_view s) { return nlohmann::json::accept(s.begin(), s.end()); }

// What must hold of any message: its body is JSON, it is valid if it has no problem, and each problem says something.
void check_form(const message& m) {
  CHECK(is_json(m.body()));
  CHECK(m.valid() == m.problems().empty());
  for (const problem& p : m.problems()) {
    CAPTURE(p.where, p.why);
    CHECK(one_line(p.why));
    CHECK((p.where.empty() || p.where[0] == '/'));
    CHECK(outbound::repaired(p.where) == p.where);
  }
}

void check(const message& m, const list& want) {
  CAPTURE(body(m));
  CHECK(of(m.problems()) == want);
  check_form(m);
}

outbound::result<outbound::response> ok(const outbound::request&) { return outbound::response{200, {}, {}}; }

std::string error_text(const message& m) {
  outbound::client c{"key-of-a-test", ok};
  const auto sent = c.send(m);
  return sent ? std::string{} : sent.error().message;
}

track track_of_size(std::size_t bytes) {
  track m = u.track("e").property("p", "");
  return m.property("p", std::string(bytes - m.body().size(), 'x'));
}

// Every place where a text may stand that is a value.
struct text_place {
  const char* where;
  message (*make)(outbound::text);
};
const text_place text_places[] = {
    {"/user_id", [](outbound::text t) -> message { return user{t}.identify(); }},
    {"/user_id", [](outbound::text t) -> message { return user{t}.track("e"); }},
    {"/user_id", [](outbound::text t) -> message { return user{t}.subscribe(); }},
    {"/user_id", [](outbound::text t) -> message { return user{t}.disable_tokens(platform::apns); }},
    {"/first_name", [](outbound::text t) -> message { return u.identify().first_name(t); }},
    {"/last_name", [](outbound::text t) -> message { return u.identify().last_name(t); }},
    {"/email", [](outbound::text t) -> message { return u.identify().email(t); }},
    {"/phone_number", [](outbound::text t) -> message { return u.identify().phone_number(t); }},
    {"/timezone", [](outbound::text t) -> message { return u.identify().timezone(t); }},
    {"/apns/0", [](outbound::text t) -> message { return u.identify().apns(t); }},
    {"/apns/1",
     [](outbound::text t) -> message {
       return u.identify().apns({"a", t});
     }},
    {"/apns/2",
     [](outbound::text t) -> message {
       return u.identify().apns({"a", "b", t});
     }},
    {"/gcm/0",
     [](outbound::text t) -> message {
       return u.identify().gcm({t, "b"});
     }},
    {"/gcm/1",
     [](outbound::text t) -> message {
       return u.identify().gcm(std::vector<outbound::text>{"a", t});
     }},
    {"/group_id", [](outbound::text t) -> message { return u.identify().group(t); }},
    {"/group_id",
     [](outbound::text t) -> message {
       return u.identify().group(t, {{"k", 1}});
     }},
    {"/group_attributes/k",
     [](outbound::text t) -> message {
       return u.identify().group("g", {{"k", t}});
     }},
    {"/previous_id", [](outbound::text t) -> message { return u.identify().previous_id(user{t}); }},
    {"/attributes/k", [](outbound::text t) -> message { return u.identify().attribute("k", t); }},
    {"/attributes/k",
     [](outbound::text t) -> message {
       return u.identify().attributes({{"k", t}});
     }},
    {"/attributes/k",
     [](outbound::text t) -> message {
       return u.identify().attribute("j", 1).attributes({{"k", t}, {"l", 2}});
     }},
    {"/attributes/a/0/b",
     [](outbound::text t) -> message {
       return u.identify().attribute("a", array::of(object{{"b", t}}));
     }},
    {"/attributes/k/0",
     [](outbound::text t) -> message {
       return u.identify().attributes(std::map<std::string, std::vector<outbound::text>>{{"k", {t}}});
     }},
    {"/event", [](outbound::text t) -> message { return u.track(t); }},
    {"/properties/p", [](outbound::text t) -> message { return u.track("e").property("p", t); }},
    {"/properties/p",
     [](outbound::text t) -> message {
       return u.track("e").properties(object{{"p", t}});
     }},
    {"/properties/p/q/1",
     [](outbound::text t) -> message {
       return u.track("e").properties({{"p", {{"q", {1, t}}}}});
     }},
    {"/properties/p/0/q",
     [](outbound::text t) -> message {
       return u.track("e").property("p", {{{"q", t}}, {{"q", 2}}});
     }},
    {"/token", [](outbound::text t) -> message { return u.register_token(platform::gcm, t); }},
    {"/token", [](outbound::text t) -> message { return u.disable_token(platform::fcm, t); }},
    {"/campaign_ids/0", [](outbound::text t) -> message { return u.subscribe(t); }},
    {"/campaign_ids/2",
     [](outbound::text t) -> message {
       return u.unsubscribe({1, "b", t});
     }},
};

// Every place where a text may stand that is a key.
struct key_place {
  const char* where;  // before the key
  message (*make)(outbound::text);
};
const key_place key_places[] = {
    {"/attributes/", [](outbound::text t) -> message { return u.identify().attribute(t, 1); }},
    {"/attributes/", [](outbound::text t) -> message { return u.identify().attribute("a", 1).attribute(t, 1); }},
    {"/attributes/",
     [](outbound::text t) -> message {
       return u.identify().attributes({{"a", 1}, {t, 1}});
     }},
    {"/attributes/",
     [](outbound::text t) -> message {
       return u.identify().attribute("a", 1).attributes({{t, 1}, {"b", 1}});
     }},
    {"/attributes/",
     [](outbound::text t) -> message {
       return u.identify().attribute("a", 1).attributes(object{{t, 1}});
     }},
    {"/attributes/",
     [](outbound::text t) -> message {
       return u.identify().attributes(std::vector<std::pair<outbound::text, int>>{{t, 1}});
     }},
    {"/attributes/a/1/",
     [](outbound::text t) -> message {
       return u.identify().attribute("a", {1, object{{t, 1}}});
     }},
    {"/group_attributes/",
     [](outbound::text t) -> message {
       return u.identify().group("g", {{t, 1}});
     }},
    {"/properties/", [](outbound::text t) -> message { return u.track("e").property(t, 1); }},
    {"/properties/p/",
     [](outbound::text t) -> message {
       return u.track("e").properties({{"p", {{t, 1}}}});
     }},
    {"/properties/p/",
     [](outbound::text t) -> message {
       return u.track("e").property("p", problems_test::written{t, 1});
     }},
};

}  // namespace

TEST_CASE("problems: ill-formed UTF-8 in every text") {
  for (const text_place& p : text_places) {
    for (const char* bad : {"ab\xC3", "\xFF", "\xED\xA0\x80", "\xC0\xAF", "x\xF4\x90\x80\x80y"}) {
      CAPTURE(p.where, bad);
      const message m = p.make(bad);
      check(m, {std::string{"invalid_utf8 "} + p.where});
      REQUIRE(m.problems().size() == 1);
      CHECK(m.problems()[0].why.find("byte") != std::string::npos);
    }
    CHECK(p.make("é\xF0\x9F\x98\x80").valid());
  }
}

// What stands at a JSON Pointer of a body.
nlohmann::json at_place(const message& m, const std::string& where) {
  const auto parsed = nlohmann::json::parse(body(m), nullptr, false);
  const nlohmann::json::json_pointer place{where};
  return parsed.contains(place) ? parsed[place] : nlohmann::json{};
}

TEST_CASE("F5: a NUL in every text and in every key, as a string and as a view", "[F5]") {
  using namespace std::string_view_literals;
  for (const std::string_view s : {"a\0b"sv, "\0"sv, "\0ab"sv, "ab\0"sv, "a text on the heap\0 of any library\0\0"sv}) {
    const std::string owned{s};
    for (const text_place& p : text_places) {
      CAPTURE(p.where, s.size());
      for (const message& m : {p.make(s), p.make(owned)}) {
        CHECK(m.valid());
        CHECK(at_place(m, p.where) == owned);
      }
    }
    for (const key_place& p : key_places) {
      CAPTURE(p.where, s.size());
      for (const message& m : {p.make(s), p.make(owned)}) {
        CHECK(m.valid());
        const auto object = at_place(m, std::string{p.where, std::string_view{p.where}.size() - 1});
        CHECK(object.contains(owned));
      }
    }
    const std::optional<std::string> perhaps{owned};
    CHECK(at_place(u.identify().email(perhaps), "/email") == owned);
    CHECK(at_place(u.identify().email(owned), "/email") == owned);
    CHECK(at_place(u.identify().timezone(s), "/timezone") == owned);
    CHECK(at_place(u.identify().apns(std::vector<std::string>{owned, "t"}), "/apns/0") == owned);
    CHECK(at_place(u.subscribe({s, 1}), "/campaign_ids/0") == owned);
    CHECK(at_place(u.identify().previous_id(user{owned}), "/previous_id") == owned);
    CHECK(user{s}.track("e").user_key() == s);
  }
}

TEST_CASE("problems: a null pointer in every text") {
  for (const text_place& p : text_places) {
    CAPTURE(p.where);
    check(p.make(null), {std::string{"null_pointer "} + p.where});
  }
  check(u.identify().attribute("k", json{null}), {"null_pointer /attributes/k"});
  check(u.identify().apns(std::vector<const char*>{"a", null}), {"null_pointer /apns/1"});
  check(u.identify().email(std::optional<const char*>{null}), {"null_pointer /email"});
  check(u.identify().attributes(json{null}), {"null_pointer /attributes"});
}

TEST_CASE("problems: a bad key in every object") {
  for (const key_place& p : key_places) {
    CAPTURE(p.where);
    const std::string where = p.where;
    check(p.make("x\xFFy"), {"invalid_utf8 " + where + "x\xEF\xBF\xBDy"});
    check(p.make("\xE1\x80"
                 "A/~\xC0"),
          {"invalid_utf8 " + where +
           "\xEF\xBF\xBD"
           "A~1~0\xEF\xBF\xBD"});
    check(p.make(null), {"null_pointer " + where});
    CHECK(p.make("").valid());  // a key like any other
    CHECK(p.make("a/b~c\n").valid());
  }
}

TEST_CASE("problems: what is required is missing") {
  check(user{""}.identify(), {"missing /user_id"});
  check(user{std::string{}}.track(""), {"missing /user_id", "missing /event"});
  check(user{std::string_view{}}.track("e"), {"missing /user_id"});
  check(u.track(std::string_view{}), {"missing /event"});
  check(u.identify().previous_id(user{""}), {"missing /previous_id"});
  check(u.identify().group(""), {"missing /group_id"});
  check(u.register_token(platform::apns, ""), {"missing /token"});
  check(u.subscribe({}), {"missing /campaign_ids"});
  check(u.subscribe({"", ""}), {"missing /campaign_ids/0", "missing /campaign_ids/1"});
  CHECK(u.identify().first_name("").email("").attribute("k", "").valid());
  CHECK(u.track(" ").valid());
}

TEST_CASE("problems: NaN and infinities at every place") {
  using problems_test::point;
  using problems_test::score;
  constexpr float f = std::numeric_limits<float>::infinity();
  check(u.identify().attribute("k", not_a_number), {"not_finite /attributes/k"});
  check(u.identify().attribute("k", -infinity), {"not_finite /attributes/k"});
  check(u.identify().attribute("k", f), {"not_finite /attributes/k"});
  check(u.identify().attribute("k", {1, not_a_number, {{"in", infinity}}}),
        {"not_finite /attributes/k/1", "not_finite /attributes/k/2/in"});
  check(u.identify().attribute("k", std::vector<double>{1, not_a_number, 2, infinity}),
        {"not_finite /attributes/k/1", "not_finite /attributes/k/3"});
  check(u.identify().attributes(std::map<std::string, float>{{"a", 1.0F}, {"b", f}}), {"not_finite /attributes/b"});
  check(u.identify().attribute("k", std::optional<double>{not_a_number}), {"not_finite /attributes/k"});
  check(u.identify().attribute("k", score{not_a_number}), {"not_finite /attributes/k"});
  check(u.identify().attribute("k", std::vector<score>{{1}, {not_a_number}}), {"not_finite /attributes/k/1"});
  check(u.identify().attribute("k", point{not_a_number, "ok", {1, not_a_number}}),
        {"not_finite /attributes/k/x", "not_finite /attributes/k/more/1"});
  check(u.identify().attributes(point{not_a_number, "\xFF", {}}),
        {"not_finite /attributes/x", "invalid_utf8 /attributes/name"});
  check(u.identify().attribute("z", 1).attributes(point{not_a_number, "\xFF", {not_a_number}}),
        {"not_finite /attributes/x", "invalid_utf8 /attributes/name", "not_finite /attributes/more/0"});
  check(u.track("e").property("k", std::vector<point>{{1, "a", {}}, {not_a_number, "b", {}}}),
        {"not_finite /properties/k/1/x"});
  check(u.track("e").properties(problems_test::written{"w", not_a_number}), {"not_finite /properties/w"});
  check(u.identify().group("g", point{not_a_number, "ok", {}}), {"not_finite /group_attributes/x"});
  // The value is null, what stands around it is as it was.
  CHECK(body(u.identify().attribute("k", {1, not_a_number, "x"})) ==
        R"({"user_id":"u","attributes":{"k":[1,null,"x"]}})");
  CHECK(body(u.track("e").properties(point{not_a_number, "\xFF", {not_a_number, 2}})) ==
        R"({"user_id":"u","event":"e","properties":{"x":null,"name":null,"more":[null,2]}})");
  CHECK(body(u.identify().attribute("x\xFF", 1)) == R"({"user_id":"u","attributes":{"":1}})");
}

TEST_CASE("problems: objects and arrays keep theirs, and bring them along") {
  object inner{{"a", not_a_number}, {"b", {1, "\xFF"}}, {"c/d", null}};
  CHECK(of(inner.problems()) == list{"not_finite /a", "invalid_utf8 /b/1", "null_pointer /c~1d"});
  array rows = array::of(1, inner);
  CHECK(of(rows.problems()) == list{"not_finite /1/a", "invalid_utf8 /1/b/1", "null_pointer /1/c~1d"});
  rows.add(not_a_number);
  object outer;
  outer.set("rows", rows);
  const list want{"not_finite /rows/1/a", "invalid_utf8 /rows/1/b/1", "null_pointer /rows/1/c~1d",
                  "not_finite /rows/2"};
  CHECK(of(outer.problems()) == want);
  list at_attributes;
  list at_property;
  for (const std::string& p : want) {
    at_attributes.insert(std::string{p}.insert(p.find('/'), "/attributes"));
    at_property.insert(std::string{p}.insert(p.find('/'), "/properties/o"));
  }
  check(u.identify().attributes(outer), at_attributes);
  check(u.identify().attribute("z", 1).attributes(outer), at_attributes);
  check(u.track("e").property("o", outer), at_property);
  CHECK(inner.text() == R"({"a":null,"b":[1,null],"c/d":null})");
  // What the message took does not change with the object.
  identify m = u.identify().attributes(inner);
  inner.set("a", 1).set("b", 2).set("c/d", 3);
  CHECK(inner.problems().empty());
  CHECK(!m.valid());
}

TEST_CASE("problems: json text that is not one value") {
  for (const char* bad : {"", " ", "{", "{} {}", "1,", R"({"a":1},"api_key":"x")", "[1,]", "'x'", "nul", "01", "+1",
                          "NaN", "\"\xFF\"", "\"\\uD800\"", "{\"a\":1,}", "// c\n1", "\"a\nb\""}) {
    CAPTURE(bad);
    check(u.identify().attribute("k", json{bad}), {"invalid_json /attributes/k"});
    CHECK(body(u.identify().attribute("k", json{bad})) == R"({"user_id":"u","attributes":{"k":null}})");
    check(u.track("e").property("k", {1, json{bad}}), {"invalid_json /properties/k/1"});
    check(u.identify().attributes(object{{"o", {{"j", json{bad}}}}}), {"invalid_json /attributes/o/j"});
    check(u.identify().attributes(json{bad}), {"invalid_json /attributes"});
  }
  for (const char* no_object : {"1", "[{}]", "null", "\"{}\"", " [1]"}) {
    CAPTURE(no_object);
    check(u.identify().attributes(json{no_object}), {"invalid_json /attributes"});
    check(u.track("e").property("a", 1).properties(json{no_object}), {"invalid_json /properties"});
  }
  const message m = u.identify().attribute("k", json{"[1,2,x]"});
  REQUIRE(m.problems().size() == 1);
  CHECK(m.problems()[0].why.find("byte 5") != std::string::npos);
  // One byte of rubbish is found also at the end of a long text, and shown nowhere.
  const message longer = u.identify().attribute("k", json{"[" + std::string(5000, '1') + "\n secret"});
  CHECK(one_line(error_text(longer)));
  CHECK(error_text(longer).find("secret") == std::string::npos);
}

TEST_CASE("problems: places are JSON Pointers") {
  check(u.identify().attribute("a/b~c", not_a_number), {"not_finite /attributes/a~1b~0c"});
  check(u.identify().attribute("~1", not_a_number), {"not_finite /attributes/~01"});
  check(u.identify().attribute("", not_a_number), {"not_finite /attributes/"});
  check(u.identify().attribute("0", {not_a_number}), {"not_finite /attributes/0/0"});
  check(u.identify().attribute("é \"", not_a_number), {"not_finite /attributes/é \""});
  check(u.identify().attribute("/", {{"~", {{"", not_a_number}}}}), {"not_finite /attributes/~1/~0/"});
  check(u.identify().attribute("k", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, not_a_number}), {"not_finite /attributes/k/11"});
  // Each of them leads to the null that stands there.
  const message m =
      u.track("e").properties({{"a/b", {{"~", {1, not_a_number}}}}, {"", null}, {"~1", {{"/0", "\xFF"}}}});
  const nlohmann::json parsed = nlohmann::json::parse(m.body(), nullptr, false);
  REQUIRE(m.problems().size() == 3);
  for (const problem& p : m.problems()) {
    CAPTURE(p.where);
    const nlohmann::json::json_pointer place{p.where};
    REQUIRE(parsed.contains(place));
    CHECK(parsed[place].is_null());
  }
}

TEST_CASE("problems: all of them are collected") {
  const user nobody{""};
  track m = nobody.track(null).property("x", not_a_number).property("\xFF", "\xFE").property("j", json{"{"});
  check(m,
        {"missing /user_id", "null_pointer /event", "not_finite /properties/x", "invalid_utf8 /properties/\xEF\xBF\xBD",
         "invalid_utf8 /properties/\xEF\xBF\xBD", "invalid_json /properties/j"});
  m.property("big", std::string(mib, 'x'));
  CHECK(m.problems().size() == 7);
  identify many = u.identify();
  list want;
  for (int i = 0; i < 200; ++i) {
    many.attribute("k" + std::to_string(i), not_a_number);
    want.insert("not_finite /attributes/k" + std::to_string(i));
  }
  check(many, want);
  outbound::client c{"key-of-a-test", ok};
  const auto refused = c.send(many);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::invalid_message);
  CHECK(refused.error().status == 0);
  CHECK(of(refused.error().problems) == want);
  CHECK(refused.error().message.size() < 4000);
  CHECK(one_line(refused.error().message));
}

TEST_CASE("problems: two bad keys") {
  const list both{"invalid_utf8 /attributes/a\xEF\xBF\xBD", "invalid_utf8 /attributes/b\xEF\xBF\xBD"};
  check(u.identify().attribute("a\xFF", 1).attribute("b\xFF", 2), both);
  check(u.identify().attributes({{"a\xFF", 1}, {"b\xFF", 2}}), both);
  check(u.identify().attribute("z", 1).attributes({{"a\xFF", 1}, {"b\xFF", 2}}), both);
  check(u.identify().attributes(object{{"a\xFF", 1}, {"b\xFF", 2}}), both);
  CHECK(of(object{{"a\xFF", 1}, {"b\xFF", 2}}.problems()) ==
        list{"invalid_utf8 /a\xEF\xBF\xBD", "invalid_utf8 /b\xEF\xBF\xBD"});
  check(u.identify().attribute(null, 1).attribute("b\xFF", 2),
        {"null_pointer /attributes/", "invalid_utf8 /attributes/b\xEF\xBF\xBD"});
  // No key is there twice.
  const message m = u.identify().attribute("a\xFF", 1).attribute("b\xFF", 2).attribute("", 3);
  CHECK(m.body().find("\"\":") == m.body().rfind("\"\":"));
}

TEST_CASE("problems: a good key does not excuse a bad one that looks like it") {
  // The bad key is shown as U+FFFD, which is also a key of its own.
  identify m = u.identify().attribute("\xFF", 1).attribute("\xEF\xBF\xBD", not_a_number).attribute("\xEF\xBF\xBD", 2);
  check(m, {"invalid_utf8 /attributes/\xEF\xBF\xBD"});
  identify n = u.identify().attributes({{"a\xFF", 1}, {"a\xEF\xBF\xBD", not_a_number}, {"a\xEF\xBF\xBD", 2}});
  check(n, {"invalid_utf8 /attributes/a\xEF\xBF\xBD"});
  object o{{"\xFF", 1}, {"\xEF\xBF\xBD", not_a_number}};
  o.set("\xEF\xBF\xBD", 2);
  CHECK(of(o.problems()) == list{"invalid_utf8 /\xEF\xBF\xBD"});
}

TEST_CASE("problems: a value that is replaced loses its problems, and no others") {
  identify m = u.identify()
                   .first_name(null)
                   .email("\xFF")
                   .apns({"a", null})
                   .attribute("a", not_a_number)
                   .attribute("ab", not_a_number)
                   .attribute("a/b", not_a_number)
                   .attribute("o", {{"x", not_a_number}, {"y", {not_a_number}}})
                   .group("", {{"g", not_a_number}})
                   .previous_id(user{""});
  list left{"null_pointer /first_name",       "invalid_utf8 /email",          "null_pointer /apns/1",
            "not_finite /attributes/a",       "not_finite /attributes/ab",    "not_finite /attributes/a~1b",
            "not_finite /attributes/o/x",     "not_finite /attributes/o/y/0", "missing /group_id",
            "not_finite /group_attributes/g", "missing /previous_id"};
  check(m, left);
  const auto mended = [&](std::initializer_list<const char*> gone) {
    for (const char* p : gone) left.erase(p);
    check(m, left);
  };
  m.attribute("a", 1), mended({"not_finite /attributes/a"});
  m.attribute("o", {{"x", 1}}), mended({"not_finite /attributes/o/x", "not_finite /attributes/o/y/0"});
  m.attribute("ab", std::optional<double>{}), mended({"not_finite /attributes/ab"});
  m.first_name("Ada"), mended({"null_pointer /first_name"});
  m.apns({"a", "b"}), mended({"null_pointer /apns/1"});
  m.group("g", {{"h", 1}}), mended({"missing /group_id", "not_finite /group_attributes/g"});
  m.previous_id(user{"old"}), mended({"missing /previous_id"});
  m.email(std::optional<std::string>{}), mended({});
  m.email(null);
  left.erase("invalid_utf8 /email"), left.insert("null_pointer /email"), mended({});
  m.email("e"), mended({"null_pointer /email"});
  m.attribute("a/b", 0), mended({"not_finite /attributes/a~1b"});
  CHECK(m.valid());
}

TEST_CASE("problems: replaced through attributes(...), in every form") {
  const identify bad = u.identify().attributes({{"a", not_a_number}, {"b", not_a_number}, {"ab", not_a_number}});
  const list left{"not_finite /attributes/b", "not_finite /attributes/ab"};
  check(identify{bad}.attribute("a", 1), left);
  check(identify{bad}.attributes({{"a", 1}}), left);
  check(identify{bad}.attributes(object{{"a", 1}}), left);
  check(identify{bad}.attributes(std::map<std::string, int>{{"a", 1}}), left);
  check(identify{bad}.attributes(json{R"({"a":1})"}), left);
  check(identify{bad}.attributes(json{R"({"\u0061":1})"}), left);
  list again = left;
  again.insert("invalid_utf8 /attributes/a");
  check(identify{bad}.attributes({{"a", "\xFF"}}), again);
  check(identify{bad}.attributes(object{{"a", "\xFF"}}), again);
  // The last of equal keys counts.
  check(u.identify().attributes({{"a", not_a_number}, {"a", 1}}), {});
  check(u.identify().attributes({{"a", 1}, {"a", not_a_number}}), {"not_finite /attributes/a"});
  check(u.identify().attribute("a", {{"x", not_a_number}, {"x", 1}}), {});
  check(u.identify().attribute("z", 1).attributes({{"a", not_a_number}, {"a", 1}}), {});

  object o{{"a", not_a_number}, {"ab", not_a_number}, {"n", {{"x", not_a_number}}}};
  o.set("a", 1);
  CHECK(of(o.problems()) == list{"not_finite /ab", "not_finite /n/x"});
  o.set("n", nullptr);
  CHECK(of(o.problems()) == list{"not_finite /ab"});
}

TEST_CASE("problems: json that is refused as attributes adds nothing, and what follows is whole") {
  identify m = u.identify().attributes(json{"{"}).attributes(json{"["});
  CHECK(!m.valid());
  CHECK(of(m.problems()).count("invalid_json /attributes") == m.problems().size());
  check_form(m);
  m.attribute("a", 1).attributes({{"b", 2}}).attribute("a", 3);
  check_form(m);
  CHECK(body(m) == R"({"user_id":"u","attributes":{"b":2,"a":3}})");
}

TEST_CASE("problems: of copies and of what is assigned") {
  const identify bad = u.identify().attribute("a", not_a_number);
  identify good = bad;
  good.attribute("a", 1);
  CHECK(good.valid());
  check(bad, {"not_finite /attributes/a"});
  good = bad;
  check(good, {"not_finite /attributes/a"});
  message m = u.track("e");
  m = good;
  check(m, {"not_finite /attributes/a"});
  m = u.track("e");
  check(m, {});
}

TEST_CASE("F63: a body of 1 MiB, and not one byte more", "[F63]") {
  for (const std::size_t size : {mib - 1, mib}) {
    const track m = track_of_size(size);
    CHECK(m.body().size() == size);
    CHECK(m.valid());
    CHECK(m.problems().empty());
    CHECK(error_text(m).empty());
  }
  track m = track_of_size(mib + 1);
  CHECK(m.body().size() == mib + 1);
  REQUIRE(m.problems().size() == 1);
  CHECK(of(m.problems()) == list{"too_large "});
  CHECK(!m.valid());
  CHECK(m.problems()[0].why.find("1048576") != std::string::npos);
  CHECK(m.problems()[0].why.find("1048577") != std::string::npos);
  CHECK(error_text(m).find("1048577") != std::string::npos);
  m.property("p", "short again");
  CHECK(m.valid());
  CHECK(m.problems().empty());
  CHECK(error_text(m).empty());
  // The other kinds have the same limit.
  CHECK(of(user{std::string(mib, 'x')}.identify().problems()) == list{"too_large "});
  CHECK(of(u.register_token(platform::apns, std::string(mib, 'x')).problems()) == list{"too_large "});
}

TEST_CASE("F63: 64 levels, and not one more", "[F63]") {
  using problems_test::chain;
  // The body is level 1, properties are level 2.
  check(u.track("e").property("p", chain{62}), {});
  const std::string deepest = "/properties/p" + [] {
    std::string path;
    for (int i = 0; i < 62; ++i) path += "/c";
    return path;
  }();
  check(u.track("e").property("p", chain{63}), {"too_deep " + deepest});
  const message m = u.track("e").property("p", chain{63});
  REQUIRE(m.problems().size() == 1);
  CHECK(m.problems()[0].why.find("64") != std::string::npos);
  CHECK(m.problems()[0].why.find("65") != std::string::npos);
  check(u.track("e").properties(chain{63}), {});
  CHECK(of(u.track("e").properties(chain{64}).problems()).size() == 1);
  CHECK(of(u.track("e").property("p", chain{10'000}).problems()).size() == 1);

  object o;
  array a;
  for (int i = 1; i < 62; ++i) {
    o = object{{"o", o}};
    a = array::of(a);
  }
  check(u.identify().attribute("k", o), {});
  check(u.identify().attribute("k", a), {});
  check(u.identify().attribute("k", object{{"o", o}}), {"too_deep /attributes/k"});
  check(u.identify().attribute("k", array::of(a)), {"too_deep /attributes/k"});
  check(u.identify().attribute("k", {o}), {"too_deep /attributes/k/0"});
  check(u.identify().attribute("k", {{"x", a}}), {"too_deep /attributes/k/x"});
  check(u.identify().attribute("z", 1).attributes({{"k", o}, {"l", object{{"o", o}}}}), {"too_deep /attributes/l"});
  CHECK(body(u.identify().attribute("k", array::of(a))) == R"({"user_id":"u","attributes":{"k":null}})");
  check(u.identify().attribute("k", array::of(a)).attribute("k", a), {});

  const auto text = [](std::size_t levels) { return json{std::string(levels, '[') + std::string(levels, ']')}; };
  check(u.identify().attribute("k", text(512)), {});
  check(u.identify().attribute("k", text(513)), {"too_deep /attributes/k"});
  CHECK(u.identify().attribute("k", text(513)).problems()[0].why.find("512") != std::string::npos);
  check(u.identify().attribute("k", text(100'000)), {"too_deep /attributes/k"});
}

TEST_CASE("F63: 64 levels, whatever the deepest is made of", "[F63]") {
  using problems_test::ending;
  using problems_test::ends_with;
  std::string path = "/properties/p", before = R"({"user_id":"u","event":"e","properties":{"p":)", behind = "}}";
  for (int i = 0; i < 61; ++i) {
    path += "/c";
    before += R"({"c":)";
    behind += '}';
  }
  const struct {
    ends_with kind;
    std::string text;
  } kinds[] = {{ends_with::fields, R"({"x":1})"}, {ends_with::members, R"({"x":1})"}, {ends_with::elements, "[1]"}};
  for (const auto& [kind, text] : kinds) {
    const message fine = u.track("e").property("p", ending{62, kind});
    check(fine, {});
    CHECK(body(fine) == before + text + behind);
    const message deep = u.track("e").property("p", ending{63, kind});
    check(deep, {"too_deep " + path + "/c"});
    CHECK(body(deep) == before + R"({"c":null})" + behind);
  }
}

TEST_CASE("F63: an event name of 200 code points, and not one more", "[F63]") {
  for (const char* letter : {"e", "é", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\"", "\n", "\x01", "\\"}) {
    CAPTURE(letter);
    const auto name_of = [letter](int n) {
      std::string out;
      for (int i = 0; i < n; ++i) out += letter;
      return out;
    };
    for (const int n : {1, 199, 200}) CHECK(u.track(name_of(n)).warnings().empty());
    for (const int n : {201, 1000}) {
      const track m = u.track(name_of(n));
      CHECK(m.valid());
      REQUIRE(m.warnings().size() == 1);
      CHECK(m.warnings()[0].what == defect::too_long);
      CHECK(m.warnings()[0].where == "/event");
      CHECK(m.warnings()[0].why.find(std::to_string(n)) != std::string::npos);
      CHECK(m.warnings()[0].why.find("200") != std::string::npos);
      CHECK(one_line(m.warnings()[0].why));
    }
  }
}

TEST_CASE("problems: ids that were never set are warned of") {
  for (const char* word : {"null", "undefined", "NaN", "None", "(null)", "[object Object]", "0"}) {
    CAPTURE(word);
    CHECK(of(user{word}.identify().warnings()) == list{"placeholder /user_id"});
    CHECK(of(user{word}.track("e").warnings()) == list{"placeholder /user_id"});
    CHECK(of(user{word}.subscribe().warnings()) == list{"placeholder /user_id"});
    CHECK(of(u.identify().previous_id(user{word}).warnings()) == list{"placeholder /previous_id"});
    CHECK(user{word}.identify().valid());
    CHECK(one_line(user{word}.identify().warnings().at(0).why));
    CHECK(user{word}.identify().warnings().at(0).why.find(word) != std::string::npos);
    // As an event or a value it is nobody's id.
    CHECK(u.track(word).property("user_id", word).warnings().empty());
    CHECK(u.identify().first_name(word).attribute("previous_id", word).warnings().empty());
  }
  for (const char* word : {"Null", "NULL", "null ", " null", "nan", "none", "nil", "00", "-0", "(nil)", "undefined0",
                           "[object object]", "false", "None\n"}) {
    CAPTURE(word);
    CHECK(user{word}.identify().warnings().empty());
  }
  CHECK(user{0}.identify().warnings().empty());
  CHECK(of(user{"0"}.track(std::string(201, 'e')).warnings()) == list{"placeholder /user_id", "too_long /event"});

  outbound::batch b;
  REQUIRE(b.add(u.track("e")));
  CHECK(b.warnings().empty());
  REQUIRE(b.add(user{"None"}.track(std::string(300, 'e'))));
  CHECK(of(b.warnings()) == list{"placeholder /1/user_id", "too_long /1/event"});
  CHECK(b.valid());
}

TEST_CASE("problems: a strict client refuses warnings too") {
  outbound::options o;
  o.strict = true;
  int calls = 0;
  outbound::client strict{"key-of-a-test",
                          [&calls](const outbound::request&) {
                            ++calls;
                            return outbound::response{200, {}, {}};
                          },
                          o};
  const track odd = user{"undefined"}.track(std::string(201, 'e'));
  const auto sent = strict.send(odd);
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::invalid_message);
  CHECK(of(sent.error().problems) == of(odd.warnings()));
  CHECK(sent.error().message.find("/user_id") != std::string::npos);
  CHECK(sent.error().message.find("/event") != std::string::npos);
  CHECK(sent.error().message.find("201") != std::string::npos);
  const auto prepared = strict.prepare(odd);
  REQUIRE(!prepared);
  CHECK(prepared.error().code == errc::invalid_message);
  CHECK(calls == 0);
  CHECK(strict.send(u.track("e")));
  CHECK(calls == 1);
  CHECK(error_text(odd).empty());  // the default
}

TEST_CASE("problems: the error's text names place, limit and actual value, in one line") {
  struct row {
    message m;
    std::vector<const char*> parts;
  };
  const row rows[] = {
      {user{""}.identify(), {"/user_id"}},
      {user{std::int64_t{9007199254740993}}.identify(), {"/user_id", "2^53", "9007199254740993", "text"}},
      {user{std::int64_t{-9007199254740992}}.identify(), {"/user_id", "2^53", "-9007199254740992", "text"}},
      {u.identify().first_name("ab\xC3"), {"/first_name", "byte 2", "3", "C3"}},
      {u.identify().email(null), {"/email", "null"}},
      {u.identify().attribute("line\nbreak\x7F", not_a_number), {"/attributes/", "NaN"}},
      {u.identify().attribute("k\xFF\n", 1), {"/attributes/k\xEF\xBF\xBD", "byte 1", "FF"}},
      {track_of_size(mib + 7), {"1048583", "1048576"}},
      {u.track("e").property("p", problems_test::chain{63}), {"/properties/p/c", "65", "64"}},
      {u.track("e").property("p", json{"[1,\n2"}), {"/properties/p", "byte 5"}},
      {u.subscribe({}), {"/campaign_ids"}},
      {outbound::batch{}, {"100"}},
  };
  for (const row& r : rows) {
    const std::string text = error_text(r.m);
    CAPTURE(text);
    CHECK(one_line(text));
    for (const char* part : r.parts) {
      CAPTURE(part);
      CHECK(text.find(part) != std::string::npos);
    }
  }
}

TEST_CASE("problems: a key as long as a book does not flood the log") {
  const std::string key(100'000, 'k');
  CHECK(error_text(u.identify().attribute(key, not_a_number)).size() < 2000);
  const message m = u.identify().attribute(key, not_a_number);
  REQUIRE(m.problems().size() == 1);
  CHECK(m.problems()[0].where == "/attributes/" + key);
}

TEST_CASE("problems: a message with a problem is never sent") {
  int calls = 0;
  outbound::client c{"key-of-a-test", [&calls](const outbound::request&) {
                       ++calls;
                       return outbound::response{200, {}, {}};
                     }};
  for (const text_place& p : text_places) {
    CAPTURE(p.where);
    const auto sent = c.send(p.make("\xFF"));
    REQUIRE(!sent);
    CHECK(sent.error().code == errc::invalid_message);
    CHECK(sent.error().message.find(p.where) != std::string::npos);
    CHECK(of(sent.error().problems) == list{std::string{"invalid_utf8 "} + p.where});
    CHECK(!c.prepare(p.make(null)));
  }
  CHECK(calls == 0);
  CHECK(c.send(u.identify().first_name(outbound::repaired("Ren\xE9"))));
  CHECK(calls == 1);
}

TEST_CASE("problems: the other functions stand null pointers too") {
  CHECK(outbound::repaired(null).empty());
  const std::vector<outbound::header> headers{{"a", "1"}};
  CHECK(outbound::find_header(headers, null) == nullptr);
  outbound::client c{null, ok};
  const auto sent = c.send(u.identify());
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::invalid_options);
  CHECK(json{null}.null());
  CHECK(json{null}.text().empty());
  CHECK(of(object{{null, null}}.problems()) == list{"null_pointer /", "null_pointer /"});
}

TEST_CASE("attributes that are refused as a whole are reported once for each reason") {
  outbound::identify m = outbound::user{1}.identify();
  for (int i = 0; i < 2; ++i) m.attributes(outbound::json{"[1]"}).attributes(outbound::json{"["});
  const std::vector<outbound::problem> found = m.problems();
  REQUIRE(found.size() == 2);
  CHECK(found[0].where == "/attributes");
  CHECK(found[0].why == "is JSON, but not an object");
  CHECK(found[1].where == "/attributes");
  CHECK(found[1].why == "is not one JSON value: at byte 1 of 1, it ends too early");
}
