// Every message of the API: its path and its bytes, field by field.
#include "outbound.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

namespace messages_test {

struct address {
  std::string city;
  int zip;
};
OUTBOUND_FIELDS(address, city, zip)

// Its value is what the body is at that moment.
struct body_now {
  const outbound::message* of;
};
inline std::string to_outbound(const body_now& v) { return std::string{v.of->body()}; }

}  // namespace messages_test

namespace {

using messages_test::address;
using outbound::defect;
using outbound::errc;
using outbound::platform;
using outbound::user;

// CHECK takes its argument apart; a string is what it prints best.
std::string body(const outbound::message& m) { return std::string{m.body()}; }
std::string path(const outbound::message& m) { return std::string{m.path()}; }

bool has(const outbound::message& m, defect what, std::string_view where) {
  for (const outbound::problem& p : m.problems())
    if (p.what == what && p.where == where && !p.why.empty()) return true;
  return false;
}

// The body is JSON in which no object has a key twice.
bool unique_keys(std::string_view text) {
  std::vector<std::set<std::string>> open;
  bool unique = true;
  const auto look = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::object_start) open.emplace_back();
    if (event == nlohmann::json::parse_event_t::object_end) open.pop_back();
    if (event == nlohmann::json::parse_event_t::key) unique = open.back().insert(parsed.dump()).second && unique;
    return true;
  };
  return !nlohmann::json::parse(text.begin(), text.end(), look, false).is_discarded() && unique;
}

// A track whose body has exactly this many bytes.
outbound::track track_of_size(std::size_t bytes) {
  outbound::track m = user{"u"}.track("e").property("p", "");
  return m.property("p", std::string(bytes - m.body().size(), 'x'));
}

const user u{"u"};

}  // namespace

TEST_CASE("messages: a bare identify has a user and nothing else") {
  CHECK(body(u.identify()) == R"({"user_id":"u"})");
  CHECK(path(u.identify()) == "/v2/identify");
  CHECK(u.identify().valid());
  CHECK(u.identify().warnings().empty());
}

TEST_CASE("messages: each field of identify alone") {
  CHECK(body(u.identify().first_name("Ada")) == R"({"user_id":"u","first_name":"Ada"})");
  CHECK(body(u.identify().last_name("Lovelace")) == R"({"user_id":"u","last_name":"Lovelace"})");
  CHECK(body(u.identify().email("a@b.c")) == R"({"user_id":"u","email":"a@b.c"})");
  CHECK(body(u.identify().phone_number("+14155550123")) == R"({"user_id":"u","phone_number":"+14155550123"})");
  CHECK(body(u.identify().apns({"a1"})) == R"({"user_id":"u","apns":["a1"]})");
  CHECK(body(u.identify().gcm({"g1", "g2"})) == R"({"user_id":"u","gcm":["g1","g2"]})");
  CHECK(body(u.identify().attribute("k", 1)) == R"({"user_id":"u","attributes":{"k":1}})");
  CHECK(body(u.identify().attributes({{"k", 1}})) == R"({"user_id":"u","attributes":{"k":1}})");
  CHECK(body(u.identify().timezone("America/Los_Angeles")) == R"({"user_id":"u","timezone":"America/Los_Angeles"})");
  CHECK(body(u.identify().group("g")) == R"({"user_id":"u","group_id":"g"})");
  CHECK(body(u.identify().previous_id(user{"old"})) == R"({"user_id":"u","previous_id":"old"})");
  CHECK(body(u.identify().previous_id(user{7})) == R"({"user_id":"u","previous_id":7})");
  CHECK(body(u.identify().first_name("")) == R"({"user_id":"u","first_name":""})");
  CHECK(u.identify().first_name("").valid());
}

TEST_CASE("messages: all fields of identify, in the order in which they are set") {
  const outbound::identify forth = u.identify()
                                       .first_name("F")
                                       .last_name("L")
                                       .email("e")
                                       .phone_number("p")
                                       .apns({"a"})
                                       .gcm({"g"})
                                       .attributes({{"k", true}})
                                       .timezone("UTC")
                                       .group("club", {{"seats", 5}})
                                       .previous_id(user{"old"});
  CHECK(forth.valid());
  CHECK(path(forth) == "/v2/identify");
  CHECK(body(forth) ==
        R"({"user_id":"u","first_name":"F","last_name":"L","email":"e","phone_number":"p","apns":["a"],"gcm":["g"],)"
        R"("attributes":{"k":true},"timezone":"UTC","group_id":"club","group_attributes":{"seats":5},)"
        R"("previous_id":"old"})");

  const outbound::identify back = u.identify()
                                      .previous_id(user{-1})
                                      .group("club", {{"seats", 5}})
                                      .timezone("UTC")
                                      .attribute("k", true)
                                      .gcm({"g"})
                                      .apns({"a"})
                                      .phone_number("p")
                                      .email("e")
                                      .last_name("L")
                                      .first_name("F");
  CHECK(body(back) ==
        R"({"user_id":"u","previous_id":-1,"group_id":"club","group_attributes":{"seats":5},"timezone":"UTC",)"
        R"("attributes":{"k":true},"gcm":["g"],"apns":["a"],"phone_number":"p","email":"e","last_name":"L",)"
        R"("first_name":"F"})");
}

TEST_CASE("messages: track") {
  CHECK(path(u.track("signup")) == "/v2/track");
  CHECK(body(u.track("signup")) == R"({"user_id":"u","event":"signup"})");
  CHECK(body(user{42}.track("upload a picture")) == R"({"user_id":42,"event":"upload a picture"})");
  CHECK(body(u.track("e").property("a", 1)) == R"({"user_id":"u","event":"e","properties":{"a":1}})");
  CHECK(body(u.track("e").properties({{"a", 1}, {"b", {"x", 2}}, {"c", {{"d", nullptr}}}})) ==
        R"({"user_id":"u","event":"e","properties":{"a":1,"b":["x",2],"c":{"d":null}}})");
  CHECK(body(u.track("e").properties({})) == R"({"user_id":"u","event":"e","properties":{}})");
  CHECK(body(u.track("e").properties({}).property("a", 1)) == R"({"user_id":"u","event":"e","properties":{"a":1}})");
  CHECK(body(u.track("\"\\\n\x01é")) == "{\"user_id\":\"u\",\"event\":\"\\\"\\\\\\n\\u0001é\"}");
}

TEST_CASE("messages: a time is whole Unix seconds, and 0 is a time") {
  using clock = std::chrono::system_clock;
  const auto at = [](auto since_epoch) {
    return body(
        u.track("e").at(clock::time_point{std::chrono::duration_cast<clock::time_point::duration>(since_epoch)}));
  };
  using namespace std::chrono_literals;
  CHECK(at(0s) == R"({"user_id":"u","event":"e","timestamp":0})");
  CHECK(at(1700000000s) == R"({"user_id":"u","event":"e","timestamp":1700000000})");
  CHECK(at(-1s) == R"({"user_id":"u","event":"e","timestamp":-1})");
  CHECK(at(-1ms) == R"({"user_id":"u","event":"e","timestamp":-1})");
  CHECK(at(-1001ms) == R"({"user_id":"u","event":"e","timestamp":-2})");
  CHECK(at(999ms) == R"({"user_id":"u","event":"e","timestamp":0})");
  CHECK(at(-62135596800ms) == R"({"user_id":"u","event":"e","timestamp":-62135597})");
  CHECK(body(u.track("e").at(clock::time_point{}).property("a", 1).at(clock::time_point{5s})) ==
        R"({"user_id":"u","event":"e","properties":{"a":1},"timestamp":5})");
}

TEST_CASE("messages: a group's attributes are replaced whole") {
  CHECK(body(u.identify().group("a", {{"x", 1}, {"y", 2}}).group("b", {{"z", 3}})) ==
        R"({"user_id":"u","group_id":"b","group_attributes":{"z":3}})");
  CHECK(body(u.identify().group("a", {{"x", 1}}).email("e").group("b", {{"z", 3}})) ==
        R"({"user_id":"u","email":"e","group_id":"b","group_attributes":{"z":3}})");
  CHECK(body(u.identify().group("a", {{"x", 1}}).attribute("x", 2)) ==
        R"({"user_id":"u","group_id":"a","group_attributes":{"x":1},"attributes":{"x":2}})");
  CHECK(body(u.identify().group("a", std::map<std::string, int>{{"m", 1}})) ==
        R"({"user_id":"u","group_id":"a","group_attributes":{"m":1}})");
  CHECK(body(u.identify().group("a", outbound::object{{"o", 1}})) ==
        R"({"user_id":"u","group_id":"a","group_attributes":{"o":1}})");
  CHECK(body(u.identify().group("a", address{"Paris", 75001})) ==
        R"({"user_id":"u","group_id":"a","group_attributes":{"city":"Paris","zip":75001}})");
  // The keys inside the group are nobody else's fields.
  CHECK(body(u.identify().group("a", {{"attributes", {{"email", 1}}}, {"user_id", 2}}).attribute("k", 1).email("e")) ==
        R"({"user_id":"u","group_id":"a","group_attributes":{"attributes":{"email":1},"user_id":2},)"
        R"("attributes":{"k":1},"email":"e"})");
}

TEST_CASE("messages: a group's attributes from json text") {
  CHECK(body(u.identify().group("a", outbound::json{R"({"j":[1]})"})) ==
        R"({"user_id":"u","group_id":"a","group_attributes":{"j":[1]}})");
  CHECK(has(u.identify().group("a", outbound::json{"[1]"}), defect::invalid_json, "/group_attributes"));
  CHECK(has(u.identify().group("a", outbound::json{"{"}), defect::invalid_json, "/group_attributes"));
}

TEST_CASE("messages: tokens are registered and disabled") {
  struct row {
    platform service;
    const char* name;
  };
  for (const row& r : {row{platform::apns, "apns"}, row{platform::gcm, "gcm"}, row{platform::fcm, "fcm"}}) {
    CAPTURE(r.name);
    const std::string base = std::string{"/v2/"} + r.name;
    const outbound::message add = u.register_token(r.service, "t-1");
    CHECK(path(add) == base + "/register");
    CHECK(body(add) == R"({"user_id":"u","token":"t-1"})");
    const outbound::message remove = user{42}.disable_token(r.service, "t-1");
    CHECK(path(remove) == base + "/disable");
    CHECK(body(remove) == R"({"user_id":42,"token":"t-1"})");
    const outbound::message all = u.disable_tokens(r.service);
    CHECK(path(all) == base + "/disable");
    CHECK(body(all) == R"({"user_id":"u","all":true})");
    CHECK((add.valid() && remove.valid() && all.valid()));
    CHECK(has(u.register_token(r.service, ""), defect::missing, "/token"));
    CHECK(has(u.disable_token(r.service, ""), defect::missing, "/token"));
  }
}

TEST_CASE("messages: subscriptions") {
  CHECK(path(u.subscribe()) == "/v2/subscribe/all");
  CHECK(body(u.subscribe()) == R"({"user_id":"u"})");
  CHECK(path(u.unsubscribe()) == "/v2/unsubscribe/all");
  CHECK(body(u.unsubscribe()) == R"({"user_id":"u"})");
  CHECK(path(u.subscribe({1})) == "/v2/subscribe/campaigns");
  CHECK(path(u.unsubscribe({1})) == "/v2/unsubscribe/campaigns");

  CHECK(body(u.subscribe({"c1", "c2"})) == R"({"user_id":"u","campaign_ids":["c1","c2"]})");
  CHECK(body(u.unsubscribe({"c1", 7, -8, std::uint64_t{9007199254740993}})) ==
        R"({"user_id":"u","campaign_ids":["c1",7,-8,9007199254740993]})");
  CHECK(body(u.subscribe(7)) == R"({"user_id":"u","campaign_ids":[7]})");
  CHECK(body(u.subscribe("c1")) == R"({"user_id":"u","campaign_ids":["c1"]})");
  CHECK(body(u.subscribe(std::vector<int>{1, 2})) == R"({"user_id":"u","campaign_ids":[1,2]})");
  CHECK(body(u.subscribe(std::vector<std::string>{"a", "b"})) == R"({"user_id":"u","campaign_ids":["a","b"]})");
  CHECK(body(u.unsubscribe(std::set<std::int64_t>{3, -4})) == R"({"user_id":"u","campaign_ids":[-4,3]})");
  CHECK(body(u.unsubscribe(std::optional<std::vector<int>>{{5}})) == R"({"user_id":"u","campaign_ids":[5]})");
  CHECK(u.subscribe({"c1"}).valid());

  for (const outbound::message& m : {u.subscribe({}), u.unsubscribe({}), u.subscribe(std::vector<int>{}),
                                     u.unsubscribe(std::vector<std::string>{})}) {
    CAPTURE(body(m));
    CHECK(has(m, defect::missing, "/campaign_ids"));
    CHECK(m.problems().size() == 1);
    CHECK(unique_keys(m.body()));
  }
  // An empty id is missing, whatever it came in.
  CHECK(has(u.subscribe({1, ""}), defect::missing, "/campaign_ids/1"));
  CHECK(has(u.subscribe(""), defect::missing, "/campaign_ids/0"));
  CHECK(has(u.subscribe(std::vector<std::string>{"a", ""}), defect::missing, "/campaign_ids/1"));
}

TEST_CASE("messages: no campaigns in an empty optional") {
  const outbound::message m = u.subscribe(std::optional<std::vector<int>>{});
  CHECK(has(m, defect::missing, "/campaign_ids"));
  CHECK(unique_keys(m.body()));
  CHECK(has(u.unsubscribe(std::optional<std::string>{}), defect::missing, "/campaign_ids"));
}

TEST_CASE("messages: fields and attributes in turns") {
  CHECK(body(u.identify().attribute("a", 1).email("e").attribute("b", 2).first_name("F").attribute("c", 3)) ==
        R"({"user_id":"u","attributes":{"a":1,"b":2,"c":3},"email":"e","first_name":"F"})");
  CHECK(body(u.identify().email("e").attribute("a", 1).email("longer than before").attribute("b", 2).email("f")) ==
        R"({"user_id":"u","attributes":{"a":1,"b":2},"email":"f"})");
  CHECK(body(u.identify().first_name("F").attribute("a", "x").first_name("").attribute("a", "y").last_name("L")) ==
        R"({"user_id":"u","attributes":{"a":"y"},"first_name":"","last_name":"L"})");
}

TEST_CASE("messages: what is replaced moves to the end, attributes stay where they were first set") {
  CHECK(body(u.identify().email("a").attribute("k", 1).first_name("F").email("b").attribute("l", 2).attribute(
            "k", 3)) == R"({"user_id":"u","attributes":{"l":2,"k":3},"first_name":"F","email":"b"})");
  CHECK(body(u.identify().apns({"a"}).gcm({"g"}).apns({"b", "c"})) ==
        R"({"user_id":"u","gcm":["g"],"apns":["b","c"]})");
  CHECK(body(u.identify().timezone("A").last_name("L").timezone("B")) ==
        R"({"user_id":"u","last_name":"L","timezone":"B"})");
  CHECK(body(u.identify().previous_id(user{"a"}).email("e").previous_id(user{"b"})) ==
        R"({"user_id":"u","email":"e","previous_id":"b"})");
  CHECK(body(u.identify().email("a").email("b").email("c")) == R"({"user_id":"u","email":"c"})");
  CHECK(body(u.track("e").property("a", 1).property("a", 2).property("a", 3)) ==
        R"({"user_id":"u","event":"e","properties":{"a":3}})");
  // Keys that look like fields, brackets or ends of strings are keys.
  CHECK(body(u.identify().attribute("email", 1).attribute("\",\"email\":\"", "}").email("e").attribute("email", 2)) ==
        R"({"user_id":"u","attributes":{"\",\"email\":\"":"}","email":2},"email":"e"})");
}

TEST_CASE("messages: attributes merge key by key, whatever they come in") {
  const std::string want = R"({"user_id":"u","attributes":{"zip":1,"keep":0,"city":"Paris"}})";
  const outbound::identify first = u.identify().attributes({{"city", "Oslo"}, {"zip", 1}, {"keep", 0}});
  CHECK(body(outbound::identify{first}.attributes({{"city", "Paris"}})) == want);
  CHECK(body(outbound::identify{first}.attribute("city", "Paris")) == want);
  CHECK(body(outbound::identify{first}.attributes(outbound::object{{"city", "Paris"}})) == want);
  CHECK(body(outbound::identify{first}.attributes(std::map<std::string, std::string>{{"city", "Paris"}})) == want);
  CHECK(body(outbound::identify{first}.attributes(
            std::vector<std::pair<std::string, const char*>>{{"city", "Nice"}, {"city", "Paris"}})) == want);
  CHECK(body(outbound::identify{first}.attributes(outbound::json{R"( { "city" : "Paris" } )"})) == want);
  CHECK(body(outbound::identify{first}.attributes(outbound::json{R"({"c\u0069ty":"Paris"})"})) == want);
  CHECK(body(outbound::identify{first}.attributes(address{"Paris", 75001})) ==
        R"({"user_id":"u","attributes":{"keep":0,"city":"Paris","zip":75001}})");
  CHECK(body(outbound::identify{first}.attributes({})) == body(first));
  CHECK(body(outbound::identify{first}.attributes(outbound::object{})) == body(first));
  CHECK(body(outbound::identify{first}.attributes(outbound::json{"{}"})) == body(first));
}

TEST_CASE("messages: attributes begin with each form") {
  CHECK(body(u.identify().attributes({})) == R"({"user_id":"u","attributes":{}})");
  CHECK(body(u.identify().attributes(outbound::object{})) == R"({"user_id":"u","attributes":{}})");
  CHECK(body(u.identify().attributes(outbound::json{"{}"})) == R"({"user_id":"u","attributes":{}})");
  CHECK(body(u.identify().attributes(std::map<std::string, int>{})) == R"({"user_id":"u","attributes":{}})");
  const std::string want = R"({"user_id":"u","attributes":{"city":"Paris","zip":1,"more":2},"email":"e"})";
  CHECK(body(u.identify().attributes({{"city", "Paris"}, {"zip", 1}}).email("e").attribute("more", 2)) == want);
  CHECK(
      body(u.identify().attributes(outbound::object{{"city", "Paris"}, {"zip", 1}}).email("e").attribute("more", 2)) ==
      want);
  CHECK(body(u.identify().attributes(address{"Paris", 1}).email("e").attribute("more", 2)) == want);
  CHECK(body(u.identify().attributes(outbound::json{R"({"city":"Paris","zip":1})"}).email("e").attribute("more", 2)) ==
        want);
  // A type's keys are remembered as keys.
  CHECK(body(u.identify().attributes(address{"Paris", 1}).attribute("city", "Oslo")) ==
        R"({"user_id":"u","attributes":{"zip":1,"city":"Oslo"}})");
  CHECK(body(u.identify().attributes(address{"Paris", 1}).attributes(address{"Oslo", 2})) ==
        R"({"user_id":"u","attributes":{"city":"Oslo","zip":2}})");
  CHECK(body(u.track("e").properties(address{"Paris", 1}).property("zip", 2)) ==
        R"({"user_id":"u","event":"e","properties":{"city":"Paris","zip":2}})");
  // Equal keys in one list: the last one wins.
  CHECK(body(u.identify().attributes({{"a", 1}, {"b", 2}, {"a", 3}})) ==
        R"({"user_id":"u","attributes":{"b":2,"a":3}})");
}

TEST_CASE("messages: an object that is too deep is no object to merge into") {
  outbound::object deep;
  for (int level = 1; level < 64; ++level) deep = outbound::object{{"d", deep}};
  outbound::identify m = u.identify().attributes(deep);
  CHECK(has(m, defect::too_deep, "/attributes"));
  CHECK(unique_keys(m.body()));
  m.attribute("a", 1).attribute("b", 2).attribute("a", 3);
  CHECK(unique_keys(m.body()));
  outbound::identify later = u.identify().attribute("a", 1).attributes(deep);
  CHECK(has(later, defect::too_deep, "/attributes"));
  CHECK(unique_keys(later.body()));
}

TEST_CASE("messages: an empty optional changes nothing") {
  const std::optional<std::string> none;
  const std::optional<std::string> some{"x"};
  const std::optional<std::vector<std::string>> no_tokens;
  outbound::identify m = u.identify().email("e").apns({"a"}).gcm({"g"}).timezone("UTC").first_name("F").last_name("L");
  const std::string before = body(m);
  m.email(none).apns(no_tokens).gcm(std::optional<std::vector<const char*>>{}).timezone(none).phone_number(none);
  m.first_name(std::optional<const char*>{}).last_name(std::optional<std::string_view>{}).apns(none);
  CHECK(body(m) == before);
  CHECK(body(u.identify().email(none).apns(no_tokens)) == R"({"user_id":"u"})");
  CHECK(body(u.identify().email(some).apns(some)) == R"({"user_id":"u","email":"x","apns":["x"]})");
  CHECK(body(u.identify().apns(std::optional<std::vector<std::string>>{{"a", "b"}})) ==
        R"({"user_id":"u","apns":["a","b"]})");
  // In a value it is null.
  CHECK(body(u.identify().attribute("k", none)) == R"({"user_id":"u","attributes":{"k":null}})");
}

TEST_CASE("messages: lists of tokens come in many forms") {
  const std::string want = R"({"user_id":"u","apns":["a","b"]})";
  CHECK(body(u.identify().apns({"a", std::string{"b"}})) == want);
  CHECK(body(u.identify().apns(std::vector<std::string>{"a", "b"})) == want);
  CHECK(body(u.identify().apns(std::array<const char*, 2>{{"a", "b"}})) == want);
  CHECK(body(u.identify().apns(std::deque<std::string_view>{"a", "b"})) == want);
  CHECK(body(u.identify().apns(std::set<std::string>{"b", "a"})) == want);
  CHECK(body(u.identify().apns("a")) == R"({"user_id":"u","apns":["a"]})");
  CHECK(body(u.identify().apns(std::string{"a"})) == R"({"user_id":"u","apns":["a"]})");
  CHECK(body(u.identify().gcm({})) == R"({"user_id":"u","gcm":[]})");
  CHECK(body(u.identify().gcm(std::vector<std::string>{})) == R"({"user_id":"u","gcm":[]})");
}

TEST_CASE("messages: the user key") {
  CHECK(u.identify().user_key() == "u");
  CHECK(u.track("e").user_key() == "u");
  CHECK(user{42}.track("e").user_key() == "42");
  CHECK(user{"42"}.track("e").user_key() == user{42}.track("e").user_key());
  CHECK(user{-42}.identify().user_key() == "-42");
  CHECK(user{std::int64_t{9007199254740991}}.identify().user_key() == "9007199254740991");
  CHECK(u.subscribe().user_key() == "u");
  CHECK(u.register_token(platform::fcm, "t").user_key() == "u");
  // The text itself, not its escaped form.
  const std::string odd = "a\"b\\c\n\x01/é\xF0\x9F\x98\x80";
  CHECK(user{odd}.identify().user_key() == odd);
  CHECK(user{std::string{"a\0b", 3}}.identify().user_key() == std::string("a\0b", 3));
  // An alias stands behind both users.
  CHECK(u.identify().previous_id(user{"old"}).user_key() == "u\xFFold");
  CHECK(u.identify().previous_id(user{7}).email("e").user_key() ==
        "u\xFF"
        "7");
  CHECK(user{7}.identify().previous_id(user{"7"}).user_key() == "7");
  // Only the message's own fields count.
  CHECK(u.identify().attributes({{"user_id", "x"}, {"previous_id", "y"}}).user_key() == "u");
  CHECK(u.track("e").property("user_id", "x").user_key() == "u");

  outbound::batch b;
  REQUIRE(b.add(user{"a"}.track("e")));
  CHECK(b.user_key() == "a");
  REQUIRE(b.add(user{42}.track("e")));
  REQUIRE(b.add(user{"a"}.track("f")));
  REQUIRE(b.add(user{"42"}.track("f")));
  REQUIRE(b.add(user{"4"}.track("f")));
  CHECK(b.user_key() ==
        "a\xFF"
        "42\xFF"
        "4");
  outbound::batch aliases;
  REQUIRE(aliases.add(user{"a"}.identify().previous_id(user{"b"})));
  REQUIRE(aliases.add(user{"c"}.identify().previous_id(user{"a"})));
  CHECK(aliases.user_key() ==
        "a\xFF"
        "b\xFF"
        "c");
}

TEST_CASE("messages: numeric user ids") {
  CHECK(body(user{0}.identify()) == R"({"user_id":0})");
  CHECK(user{0}.identify().valid());
  CHECK(user{0}.identify().warnings().empty());
  CHECK(body(user{-7}.identify()) == R"({"user_id":-7})");
  CHECK(body(user{static_cast<unsigned char>(200)}.identify()) == R"({"user_id":200})");
  CHECK(body(user{static_cast<short>(-5)}.identify()) == R"({"user_id":-5})");
  const std::int64_t most = 9007199254740991;
  CHECK(body(user{most}.identify()) == R"({"user_id":9007199254740991})");
  CHECK(body(user{-most}.identify()) == R"({"user_id":-9007199254740991})");
  CHECK(user{most}.identify().valid());
  CHECK(user{-most}.identify().valid());
  for (const user& beyond :
       {user{most + 1}, user{-most - 1}, user{(std::numeric_limits<std::int64_t>::min)()},
        user{(std::numeric_limits<std::int64_t>::max)()}, user{(std::numeric_limits<std::uint64_t>::max)()}}) {
    const outbound::identify m = beyond.identify();
    CHECK(has(m, defect::out_of_range, "/user_id"));
    CHECK(m.problems().size() == 1);
    CHECK(body(m) == R"({"user_id":null})");
    CHECK(has(u.identify().previous_id(beyond), defect::out_of_range, "/previous_id"));
  }
}

TEST_CASE("messages: ids of every length") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{39}, std::size_t{40}, std::size_t{41}, std::size_t{255},
                                 std::size_t{256}, std::size_t{1000}, std::size_t{100'000}}) {
    CAPTURE(size);
    std::string text(size, 'x');
    text.back() = 'y';
    const user original{text};
    user copy{original};
    const std::string want = R"({"user_id":")" + text + R"("})";
    CHECK(body(original.identify()) == want);
    CHECK(body(copy.identify()) == want);
    CHECK(copy.identify().user_key() == text);
    user moved{std::move(copy)};
    CHECK(body(moved.identify()) == want);
    copy = moved;
    CHECK(body(copy.identify()) == want);
    moved = user{"other"};
    CHECK(body(moved.identify()) == R"({"user_id":"other"})");
  }
}

TEST_CASE("messages: copies, moves, assignments, slices") {
  const outbound::track original = u.track("e").property("a", 1).property("b", std::string(5000, 'x'));
  outbound::track copy{original};
  copy.property("a", 2);
  CHECK(body(original) == R"({"user_id":"u","event":"e","properties":{"a":1,"b":")" + std::string(5000, 'x') + "\"}}");
  CHECK(body(copy) == R"({"user_id":"u","event":"e","properties":{"b":")" + std::string(5000, 'x') + R"(","a":2}})");

  outbound::track moved{std::move(copy)};
  CHECK(moved.property("c", 3).valid());
  CHECK(body(moved).find(R"("a":2,"c":3}})") != std::string::npos);
  copy = u.track("f");  // moved-from, and assigned again
  CHECK(body(copy.property("k", 1)) == R"({"user_id":"u","event":"f","properties":{"k":1}})");
  moved = std::move(copy);
  CHECK(body(moved.property("k", 2)) == R"({"user_id":"u","event":"f","properties":{"k":2}})");
  copy = original;
  CHECK(body(copy) == body(original));
  const outbound::track& same = copy;
  copy = same;
  CHECK(body(copy) == body(original));

  const outbound::message slice = original;
  CHECK(body(slice) == body(original));
  CHECK(path(slice) == "/v2/track");
  CHECK(slice.user_key() == "u");
  outbound::message any = u.identify().first_name(static_cast<const char*>(nullptr));
  CHECK(!any.valid());
  any = slice;
  CHECK(any.valid());
  CHECK(path(any) == "/v2/track");
  any = u.unsubscribe({1});
  CHECK(path(any) == "/v2/unsubscribe/campaigns");
  outbound::message taken = std::move(any);
  CHECK(body(taken) == R"({"user_id":"u","campaign_ids":[1]})");
}

TEST_CASE("messages: a message that is assigned from its own setter") {
  outbound::identify m = u.identify();
  std::string want;
  for (int i = 0; i < 60; ++i) {
    const std::string key = "k" + std::to_string(i % 40);
    m = std::move(m).attribute(key, i);
    m = m.attribute(key, i);
  }
  for (int i = 20; i < 60; ++i) want += (i == 20 ? "\"k" : ",\"k") + std::to_string(i % 40) + "\":" + std::to_string(i);
  CHECK(body(m) == R"({"user_id":"u","attributes":{)" + want + "}}");
}

TEST_CASE("messages: setters return the message they were called on") {
  using outbound::identify;
  using outbound::track;
  static_assert(std::is_same_v<decltype(std::declval<identify&>().email("")), identify&>);
  static_assert(std::is_same_v<decltype(std::declval<identify>().email("")), identify&&>);
  static_assert(std::is_same_v<decltype(std::declval<identify&>().attribute("", 1)), identify&>);
  static_assert(std::is_same_v<decltype(std::declval<identify>().attribute("", 1)), identify&&>);
  static_assert(std::is_same_v<decltype(std::declval<identify&>().apns({"a"})), identify&>);
  static_assert(std::is_same_v<decltype(std::declval<identify>().apns({"a"})), identify&&>);
  static_assert(std::is_same_v<decltype(std::declval<identify&>().group("")), identify&>);
  static_assert(std::is_same_v<decltype(std::declval<identify>().group("")), identify&&>);
  static_assert(std::is_same_v<decltype(std::declval<track&>().property("", 1)), track&>);
  static_assert(std::is_same_v<decltype(std::declval<track>().property("", 1)), track&&>);
  static_assert(std::is_same_v<decltype(std::declval<track>().at({})), track&&>);
  static_assert(std::is_same_v<decltype(std::declval<const user&>().identify()), identify>);

  outbound::identify m = u.identify();
  CHECK(&m.email("e") == &m);
  CHECK(&m.first_name("F").last_name("L").attribute("k", 1).attributes({{"l", 2}}).timezone("UTC").group("g") == &m);
  outbound::track t = u.track("e");
  CHECK(&t.property("a", 1).properties({{"b", 2}}).at({}) == &t);
  const outbound::identify kept = outbound::identify{m}.email("f").attribute("k", 3);
  CHECK(body(kept) == R"({"user_id":"u","first_name":"F","last_name":"L","attributes":{"l":2,"k":3},"timezone":"UTC",)"
                      R"("group_id":"g","email":"f"})");
}

TEST_CASE("messages: what was passed in need not live on") {
  std::optional<user> subject{std::string(100, 'i')};
  std::string event(100, 'e');
  std::string key(100, 'k');
  std::vector<std::string> list(3, std::string(100, 'v'));
  std::string raw = R"({"r":1})";
  outbound::track m = subject->track(event).property(key, list).properties(outbound::json{raw});
  const std::string want = R"({"user_id":")" + std::string(100, 'i') + R"(","event":")" + std::string(100, 'e') +
                           R"(","properties":{")" + std::string(100, 'k') + R"(":[")" + std::string(100, 'v') +
                           R"(",")" + std::string(100, 'v') + R"(",")" + std::string(100, 'v') + R"("],"r":1}})";
  subject.reset();
  event.assign(100, '!');
  key.assign(100, '!');
  for (std::string& item : list) item.assign(100, '!');
  raw.assign(7, '!');
  CHECK(body(m) == want);
  const outbound::message slice = std::move(m);
  CHECK(body(slice) == want);
}

TEST_CASE("messages: a message may be given its own text") {
  outbound::identify m = u.identify().attribute("k", "v").first_name("Ada");
  const std::string first = body(m);
  const auto quoted = [](const std::string& s) { return nlohmann::json(s).dump(); };
  m.attribute("self", m.body());
  CHECK(body(m) == R"({"user_id":"u","attributes":{"k":"v","self":)" + quoted(first) + R"(},"first_name":"Ada"})");
  const std::string second = body(m);
  m.attribute(m.body(), m.body()).first_name(m.body().substr(0, 3));
  CHECK(body(m) == R"({"user_id":"u","attributes":{"k":"v","self":)" + quoted(first) + "," + quoted(second) + ":" +
                       quoted(second) + R"(},"first_name":"{\"u"})");
  // Its own value, replaced by itself, at every size of the buffer.
  outbound::track t = u.track("e").property("p", "");
  for (std::size_t i = 0; i < 3000; ++i) {
    const std::string before = body(t);
    t.property("p", t.body());
    REQUIRE(body(t) == R"({"user_id":"u","event":"e","properties":{"p":)" + quoted(before) + "}}");
    t.property("p", t.body().substr(1, 7)).property("p", std::string(i, 'x'));
  }
  CHECK(t.valid());
}

TEST_CASE("messages: 200 attributes one by one") {
  outbound::identify m = u.identify();
  std::string want;
  for (int i = 0; i < 200; ++i) {
    m.attribute("attribute_" + std::to_string(i), i).email("e" + std::to_string(i));
    want += (i == 0 ? "\"attribute_" : ",\"attribute_") + std::to_string(i) + "\":" + std::to_string(i);
  }
  CHECK(body(m) == R"({"user_id":"u","attributes":{)" + want + R"(},"email":"e199"})");
  for (int i = 0; i < 200; ++i) m.attribute("attribute_" + std::to_string(i), i);
  CHECK(body(m) == R"({"user_id":"u","attributes":{)" + want + R"(},"email":"e199"})");
  CHECK(m.valid());
}

// --- batches

TEST_CASE("messages: a batch of one, of 100, and not of 101") {
  outbound::batch b;
  CHECK(b.size() == 0);
  CHECK(!b.valid());
  CHECK(has(b, defect::missing, ""));
  CHECK(body(b) == "[]");

  REQUIRE(b.add(u.track("e").property("a", 1)));
  CHECK(b.valid());
  CHECK(b.problems().empty());
  CHECK(path(b) == "/v2/track/batch");
  CHECK(body(b) == R"([{"user_id":"u","event":"e","properties":{"a":1}}])");
  CHECK(b.size() == 1);

  std::string want = "[" + body(u.track("e").property("a", 1));
  for (int i = 1; i < 100; ++i) {
    const outbound::track m = user{i}.track("e");
    REQUIRE(b.add(m));
    want += "," + body(m);
  }
  want += "]";
  CHECK(b.size() == 100);
  CHECK(outbound::batch::capacity == 100);
  CHECK(body(b) == want);
  CHECK(b.valid());
  const outbound::result<void> refused = b.add(u.track("e"));
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::invalid_message);
  CHECK(refused.error().message.find("100") != std::string::npos);
  REQUIRE(refused.error().problems.size() == 1);
  CHECK(refused.error().problems[0].what == defect::too_large);
  CHECK(b.size() == 100);
  CHECK(body(b) == want);
  CHECK(b.valid());
}

TEST_CASE("messages: a batch of identify messages") {
  outbound::batch b;
  REQUIRE(b.add(u.identify()));
  REQUIRE(b.add(user{7}.identify().email("e")));
  CHECK(path(b) == "/v2/identify/batch");
  CHECK(body(b) == R"([{"user_id":"u"},{"user_id":7,"email":"e"}])");
  CHECK(b.size() == 2);
}

TEST_CASE("messages: a refused add leaves a batch as it was") {
  outbound::batch b;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();

  // Refused as the first message: the kind of the batch is still open.
  const outbound::result<void> invalid = b.add(user{""}.track("").property("p", nan));
  REQUIRE(!invalid);
  CHECK(invalid.error().code == errc::invalid_message);
  CHECK(invalid.error().problems.size() == 3);
  CHECK(body(b) == "[]");
  CHECK(has(b, defect::missing, ""));
  REQUIRE(b.add(u.identify()));

  const outbound::result<void> other_kind = b.add(u.track("e"));
  REQUIRE(!other_kind);
  CHECK(other_kind.error().code == errc::invalid_message);
  CHECK(!other_kind.error().message.empty());
  CHECK(!other_kind.error().problems.empty());
  const outbound::result<void> too_large = b.add(u.identify().email(std::string(std::size_t{2} << 20, 'x')));
  REQUIRE(!too_large);
  CHECK(too_large.error().problems.at(0).what == defect::too_large);
  CHECK(body(b) == R"([{"user_id":"u"}])");
  CHECK(path(b) == "/v2/identify/batch");
  CHECK(b.size() == 1);
  CHECK(b.valid());
  REQUIRE(b.add(user{2}.identify()));
  CHECK(body(b) == R"([{"user_id":"u"},{"user_id":2}])");
}

TEST_CASE("F63: a batch of 4 MiB, and not one byte more", "[F63]") {
  constexpr std::size_t mib = std::size_t{1} << 20;
  outbound::batch b;
  for (int i = 0; i < 3; ++i) REQUIRE(b.add(track_of_size(mib)));
  const std::size_t rest = 4 * mib - b.body().size() - 1;  // a comma
  const outbound::result<void> refused = b.add(track_of_size(rest + 1));
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::invalid_message);
  CHECK(refused.error().message.find("4194304") != std::string::npos);
  CHECK(refused.error().message.find("4194305") != std::string::npos);
  CHECK(b.size() == 3);
  outbound::batch less{b};
  REQUIRE(less.add(track_of_size(rest - 1)));
  CHECK(less.valid());
  REQUIRE(b.add(track_of_size(rest)));
  CHECK(b.body().size() == 4 * mib);
  CHECK(b.valid());
  CHECK(!b.add(u.track("e")));
  CHECK(b.valid());
  CHECK(!less.add(u.track("e")));
}

TEST_CASE("messages: batches are values") {
  outbound::batch b;
  REQUIRE(b.add(u.track("a")));
  outbound::batch copy{b};
  REQUIRE(copy.add(u.track("b")));
  CHECK(body(b) == R"([{"user_id":"u","event":"a"}])");
  CHECK(body(copy) == R"([{"user_id":"u","event":"a"},{"user_id":"u","event":"b"}])");
  outbound::batch moved{std::move(copy)};
  CHECK(moved.size() == 2);
  REQUIRE(moved.add(u.track("c")));
  copy = outbound::batch{};
  CHECK(copy.size() == 0);
  REQUIRE(copy.add(u.identify()));
  CHECK(body(copy) == R"([{"user_id":"u"}])");
  const outbound::message slice = moved;
  CHECK(path(slice) == "/v2/track/batch");
  CHECK(slice.valid());
  // What was added does not hang on the message it came from.
  {
    outbound::track gone = u.track("d");
    REQUIRE(moved.add(gone));
    gone.property("later", 1);
  }
  CHECK(body(moved).find("later") == std::string::npos);
  CHECK(moved.size() == 4);
}

// --- random sequences of setters against a plain model

namespace {

// An object as its keys and the JSON text of their values, in order.
struct model {
  std::vector<std::pair<std::string, std::string>> members{};

  std::string* find(const std::string& key) {
    for (auto& m : members)
      if (m.first == key) return &m.second;
    return nullptr;
  }
  void set(const std::string& key, const std::string& v) {
    for (std::size_t i = 0; i < members.size(); ++i)
      if (members[i].first == key) members.erase(members.begin() + static_cast<std::ptrdiff_t>(i--));
    members.emplace_back(key, v);
  }
  std::string text() const {
    std::string out = "{";
    for (const auto& m : members) {
      if (out.size() > 1) out += ',';
      out += nlohmann::json(m.first).dump() + ':' + m.second;
    }
    return out + '}';
  }
};

class dice {
 public:
  explicit dice(std::uint32_t seed) : random_{seed} {}
  std::size_t below(std::size_t n) { return random_() % n; }

  std::string word() {
    static const char* const pieces[] = {
        "a", "b", "key", "\"", "\\", "\n", "\x01", "é", "{", "}", ",", ":", "/~", "email", " ", "[", "\xF0\x9F\x98\x80",
        "]"};
    std::string out;
    for (std::size_t n = below(4); n > 0; --n) out += pieces[below(std::size(pieces))];
    if (below(40) == 0) out += std::string(below(3000), 'x');
    return out;
  }
  std::string key() { return below(3) == 0 ? word() : "k" + std::to_string(below(30)); }

 private:
  std::mt19937 random_;
};

std::string quoted(const std::string& s) { return nlohmann::json(s).dump(); }

outbound::object random_object(dice& d, model& want, int depth);

// Calls `use` with a random value and the JSON text it is to become.
template <class Use>
void with_random_value(dice& d, int depth, const Use& use) {
  switch (d.below(depth > 0 ? 11 : 7)) {
    case 0: return use(nullptr, std::string{"null"});
    case 1: return use(d.below(2) == 0, std::string{"?"});
    case 2: {
      const int n = static_cast<int>(d.below(2000)) - 1000;
      return use(n, std::to_string(n));
    }
    case 3: return use(static_cast<double>(d.below(1000)) / 4 + 0.125, std::string{"?"});
    case 4: return use(std::optional<int>{}, std::string{"null"});
    case 5: return use((std::numeric_limits<std::uint64_t>::max)(), std::string{"18446744073709551615"});
    case 6: {
      const std::string s = d.word();
      return use(s, quoted(s));
    }
    case 7: {
      model inner;
      const outbound::object o = random_object(d, inner, depth - 1);
      return use(o, inner.text());
    }
    case 8: {
      const std::string s = d.word();
      const outbound::array a = outbound::array::of(1, s, outbound::array{}, false);
      return use(a, "[1," + quoted(s) + ",[],false]");
    }
    case 9: {
      model inner;
      static_cast<void>(random_object(d, inner, depth - 1));
      return use(outbound::json{inner.text()}, inner.text());
    }
    default: {
      const std::vector<std::string> words(d.below(4), d.word());
      return use(words, nlohmann::json(words).dump());
    }
  }
}

// bool and double take part with their own text.
std::string value_text(const std::string& given, bool v) { return given == "?" ? (v ? "true" : "false") : given; }
std::string value_text(const std::string& given, double v) { return given == "?" ? nlohmann::json(v).dump() : given; }
template <class T>
std::string value_text(const std::string& given, const T&) {
  return given;
}

outbound::object random_object(dice& d, model& want, int depth) {
  outbound::object o;
  for (std::size_t n = d.below(6); n > 0; --n) {
    const std::string key = d.key();
    with_random_value(d, depth, [&](const auto& v, const std::string& text) {
      o.set(key, v);
      want.set(key, value_text(text, v));
    });
  }
  return o;
}

// One random way to set attributes (or properties).
template <class One, class All>
void random_members(dice& d, model& want, const One& one, const All& all) {
  const std::string key = d.key();
  switch (d.below(8)) {
    default:
      with_random_value(d, 2, [&](const auto& v, const std::string& text) {
        one(key, v);
        want.set(key, value_text(text, v));
      });
      return;
    case 4: {
      model more;
      const outbound::object o = random_object(d, more, 2);
      all(o);
      for (const auto& m : more.members) want.set(m.first, m.second);
      return;
    }
    case 5: {
      std::vector<std::pair<std::string, int>> pairs;
      for (std::size_t n = d.below(30); n > 0; --n) {
        pairs.emplace_back(d.key(), static_cast<int>(n));
        want.set(pairs.back().first, std::to_string(n));
      }
      all(pairs);
      return;
    }
    case 6: {
      model more;
      static_cast<void>(random_object(d, more, 2));
      all(outbound::json{more.text()});
      for (const auto& m : more.members) want.set(m.first, m.second);
      return;
    }
    case 7:
      all(address{key, 5});
      want.set("city", quoted(key));
      want.set("zip", "5");
      return;
  }
}

// What a message must be when `fields` were set around the members of `name`, which stay where they were first.
std::string compose(const model& fields, const std::string& name, const model& members) {
  model out = fields;
  if (std::string* const at = out.find(name)) *at = members.text();
  return out.text();
}

}  // namespace

TEST_CASE("messages: random setters give what a plain model gives") {
  std::uint32_t seed = std::random_device{}();
  for (int round = 0; round < 300; ++round, ++seed) {
    dice d{seed};
    outbound::identify m = user{"u"}.identify();
    model fields;
    model attributes;
    fields.set("user_id", "\"u\"");
    for (std::size_t step = d.below(60); step > 0; --step) {
      const std::string word = d.word();
      switch (d.below(12)) {
        case 0: m.first_name(word), fields.set("first_name", quoted(word)); break;
        case 1: m.email(word), fields.set("email", quoted(word)); break;
        case 2: m.email(std::optional<std::string>{}); break;
        case 3: m.phone_number(std::optional<std::string>{word}), fields.set("phone_number", quoted(word)); break;
        case 4:
          m.apns({word, "x"});
          fields.set("apns", "[" + quoted(word) + ",\"x\"]");
          break;
        case 5: m.timezone(word), fields.set("timezone", quoted(word)); break;
        case 6:
          m.group("g" + word, {{"w", word}, {"n", 1}, {"w", 2}});
          fields.set("group_id", quoted("g" + word));
          fields.set("group_attributes", R"({"n":1,"w":2})");
          break;
        case 7: {
          outbound::identify copy{m};
          copy.last_name("only in the copy").attribute("also", 1);
          const outbound::identify taken = std::move(m);
          m = taken;
          break;
        }
        default:
          if (fields.find("attributes") == nullptr) fields.set("attributes", "{}");
          random_members(
              d, attributes, [&m](const std::string& k, const auto& v) { m.attribute(k, v); },
              [&m](const auto& v) { m.attributes(v); });
      }
      const std::string want = compose(fields, "attributes", attributes);
      if (body(m) == want) continue;
      CAPTURE(seed, step);
      REQUIRE(body(m) == want);
    }
    CAPTURE(seed);
    REQUIRE(m.valid());
    REQUIRE(unique_keys(m.body()));
    const auto parsed = nlohmann::ordered_json::parse(m.body(), nullptr, false);
    REQUIRE(parsed == nlohmann::ordered_json::parse(compose(fields, "attributes", attributes), nullptr, false));
  }
}

TEST_CASE("messages: random properties give what a plain model gives") {
  std::uint32_t seed = std::random_device{}();
  for (int round = 0; round < 300; ++round, ++seed) {
    dice d{seed};
    outbound::track m = user{7}.track("e");
    model fields;
    model properties;
    fields.set("user_id", "7");
    fields.set("event", "\"e\"");
    for (std::size_t step = d.below(40); step > 0; --step) {
      if (d.below(5) == 0) {
        const auto seconds = static_cast<std::int64_t>(d.below(4000)) - 2000;
        m.at(std::chrono::system_clock::time_point{std::chrono::seconds{seconds}});
        fields.set("timestamp", std::to_string(seconds));
      } else {
        if (fields.find("properties") == nullptr) fields.set("properties", "{}");
        random_members(
            d, properties, [&m](const std::string& k, const auto& v) { m = outbound::track{m}.property(k, v); },
            [&m](const auto& v) { m.properties(v); });
      }
    }
    CAPTURE(seed);
    REQUIRE(body(m) == compose(fields, "properties", properties));
    REQUIRE(m.valid());
    REQUIRE(unique_keys(m.body()));
  }
}

TEST_CASE("F65: a body is complete also while something is written into it", "[F65]") {
  using messages_test::body_now;
  auto m = user{"u"}.identify().email("e").attribute("a", 1);
  m.attribute("b", {0, body_now{&m}});
  CHECK(body(m) == R"({"user_id":"u","email":"e","attributes":{"a":1,"b":[0,)"
                   R"("{\"user_id\":\"u\",\"email\":\"e\",\"attributes\":{\"a\":1}}"]}})");
}
