// Every allocation fails once, and from some point on: nothing leaks, nothing crashes, nothing is half done. Replaces
// operator new, so this file is linked into a program of its own.
#include "outbound.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/engine.hpp"
#include "support/starved.hpp"

namespace starvation_test {

struct line {
  std::string sku;
  int qty;
};
OUTBOUND_FIELDS(line, sku, qty)

#ifdef __cpp_exceptions
// Becomes a copy of another object, or stays as it is if there is no memory for that.
struct held {
  const outbound::object* of;
};
inline void to_outbound(outbound::object& o, const held& h) {
  o.set("first", std::numeric_limits<double>::quiet_NaN());
  try {
    o = *h.of;
  } catch (const std::bad_alloc&) {
  }
  o.set("last", 2);
}
#endif

}  // namespace starvation_test

namespace {

using outbound::batch;
using outbound::client;
using outbound::errc;
using outbound::identify;
using outbound::json;
using outbound::message;
using outbound::object;
using outbound::request;
using outbound::response;
using outbound::result;
using outbound::track;
using outbound::user;
using starvation_test::line;
using std::chrono::milliseconds;
using test::memory;
using test::watch;

}  // namespace

// --- how much is allocated

TEST_CASE("starvation: a message is one allocation") {
  const std::string name = "u-000123";
  const std::vector<line> items{{"A1", 2}, {"B2", 1}};
  const std::string apns(64, 'a');
  const std::string gcm(152, 'g');

  watch();
  {
    const track small = user{name}.track("signup");
    const long small_count = memory.allocations;
    CHECK(small_count == 1);
    CHECK(small.body() == R"({"user_id":"u-000123","event":"signup"})");
  }
  const auto braces = [] {
    return user{123456789}.track("signup").properties(
        {{"timestamp", 1700000000},
         {"resolution", "1024x768"},
         {"price", 19.99},
         {"items", {{{"sku", "A1"}, {"qty", 2}}, {{"sku", "B2"}, {"qty", 1}}}},
         {"note", "Zürich – “quoted” \n line"}});
  };
  watch();
  {
    const track m = braces();
    const long count = memory.allocations;
    CHECK(count == 1);
    watch();
    track chain = user{123456789}.track("signup");
    chain.property("timestamp", 1700000000).property("resolution", "1024x768").property("price", 19.99);
    chain.property("items", items).property("note", "Zürich – “quoted” \n line");
    const long chain_count = memory.allocations;
    CHECK(chain_count == 1);
    CHECK(chain.body() == m.body());
    CHECK(m.valid());
  }
  watch();
  {
    const identify m = user{name}
                           .identify()
                           .first_name("Ada")
                           .last_name("Lovelace")
                           .email("ada@example.com")
                           .apns({apns})
                           .gcm({gcm})
                           .phone_number("+14155550123")
                           .attributes({{"plan", "pro"},
                                        {"age", 36},
                                        {"score", 98.6},
                                        {"tags", {"a", "b"}},
                                        {"address", {{"city", "San Francisco"}, {"zip", "94107"}}},
                                        {"trial", false},
                                        {"ref", nullptr}});
    const long count = memory.allocations;
    CHECK(count == 1);
    CHECK(m.valid());
    watch();
    identify chain = user{name}.identify();
    chain.first_name("Ada").last_name("Lovelace").email("ada@example.com").apns({apns}).gcm({gcm});
    chain.phone_number("+14155550123").attribute("plan", "pro").attribute("age", 36).attribute("score", 98.6);
    chain.attribute("tags", {"a", "b"}).attribute("address", {{"city", "San Francisco"}, {"zip", "94107"}});
    chain.attribute("trial", false).attribute("ref", nullptr);
    const long chain_count = memory.allocations;
    CHECK(chain_count == 1);
    CHECK(chain.body() == m.body());
  }
}

TEST_CASE("starvation: a copy is one allocation, a move none") {
  const std::string id(100, 'i');
  track m = user{id}.track("signup").property("a", 1).properties({{"b", "c"}});
  watch();
  {
    const track copy{m};
    const long copy_count = memory.allocations;
    CHECK(copy_count == 1);
    CHECK(copy.body() == m.body());
    watch();
    const track moved{std::move(m)};
    const long move_count = memory.allocations;
    CHECK(move_count == 0);
    CHECK(moved.body() == copy.body());
  }
}

TEST_CASE("starvation: 200 attributes are four allocations") {
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("attribute_" + std::to_string(i));
  watch();
  identify m = user{"u-000123"}.identify();
  for (const std::string& key : keys) m.attribute(key, "twenty-five bytes of text");
  const long count = memory.allocations;
  CHECK(count == 4);  // a buffer that grows twice, a table of keys
  CHECK(m.valid());
}

TEST_CASE("starvation: a message keeps one block, whatever it outgrew") {
  const long before = memory.live;
  identify m = user{"u-000123"}.identify();
  for (int i = 0; i < 10; ++i) m.attribute("k" + std::to_string(i), std::string(1000, 'x'));
  CHECK(memory.live == before + 1);
  {
    identify lists = user{"u-000123"}.identify();
    for (int i = 0; i < 10; ++i) lists.attribute("k" + std::to_string(i), {i, std::string(1000, 'x')});
    CHECK(memory.live == before + 2);
  }
  {
    identify again = user{"u-000123"}.identify();
    for (std::size_t n = 1000; n < 10'000; n += 1000) again.first_name(std::string(n, 'x'));
    CHECK(memory.live == before + 2);
  }
  {
    identify merged = user{"u-000123"}.identify();
    for (int i = 0; i < 10; ++i)
      merged.attributes(std::map<std::string, std::string>{{"k" + std::to_string(i), std::string(1000, 'x')}});
    CHECK(memory.live == before + 2);
  }
  object o;
  for (int i = 0; i < 10; ++i) o.set("k" + std::to_string(i), std::string(1000, 'x'));
  CHECK(memory.live == before + 2);
  outbound::array a;
  for (int i = 0; i < 10; ++i) a.add(std::string(1000, 'x'));
  CHECK(memory.live == before + 3);
}

TEST_CASE("starvation: a queue keeps nothing of the users that it has served") {
  outbound::delivery_queue q{{}};
  const long before = memory.bytes;
  for (int i = 0; i < 10'000; ++i) {
    REQUIRE(q.post(user{i}.track("e"), test::at({})));
    q.report(q.next(test::at({})), response{200}, test::at({}));
  }
  CHECK(memory.bytes < before + 4096);
}

#ifdef __cpp_exceptions

namespace {

bool is_json(std::string_view s) { return nlohmann::json::accept(s.begin(), s.end()); }

// Runs `work(subject)` on a fresh `make()` with the Nth allocation failing, for every N and both ways of failing, until
// it succeeds without a failure; `judge(subject, thrown)` says what is wrong with what is left, or null. Nothing may
// leak. What the test framework allocates stays outside.
template <class Make, class Work, class Judge>
void starve(const Make& make, const Work& work, const Judge& judge) {
  {  // what is made once and kept for ever is made here
    auto once = make();
    work(once);
    static_cast<void>(judge(once, false));
  }
  for (const bool for_ever : {false, true}) {
    long n = 1;
    for (bool failed = true; failed; ++n) {
      const long before = memory.live;
      bool thrown = false;
      const char* wrong = nullptr;
      {
        auto subject = make();
        watch(n, for_ever);
        try {
          work(subject);
        } catch (const std::bad_alloc&) {
          thrown = true;
        }
        failed = memory.failed;
        watch();
        wrong = judge(subject, thrown);
      }
      const long after = memory.live;
      if (wrong == nullptr) wrong = "";
      CAPTURE(for_ever, n, thrown);
      REQUIRE(std::string{wrong} == "");
      REQUIRE(after == before);
      REQUIRE((failed || !thrown));
      REQUIRE(n < 5000);
    }
  }
}

// A builder that met a failed allocation is as it was before or as it was to be, and can be used. `work` gives the same
// when it is done twice.
template <class Make, class Work, class Use>
void starve_builder(const Make& make, const Work& work, const Use& use) {
  auto model = make();
  const std::string before{model.body()};
  const std::size_t problems_before = model.problems().size();
  work(model);
  const std::string after{model.body()};
  const std::size_t problems_after = model.problems().size();
  use(model);
  const std::string used{model.body()};
  starve(make, work, [&](auto& m, bool thrown) -> const char* {
    if (!is_json(m.body())) return "the body is no JSON";
    if (!thrown && m.body() != after) return "it did not throw, and the body is not what it was to be";
    if (m.body() != before && m.body() != after) return "the body is neither what it was nor what it was to be";
    const std::size_t problems = m.problems().size();
    if (before != after && problems != (m.body() == after ? problems_after : problems_before))
      return m.body() == after ? "the body is as it was to be, its problems are not"
                               : "the body is as it was, its problems are not";
    work(m);
    if (m.body() != after) return "done again, the body is not what it was to be";
    if (m.problems().size() != problems_after) return "done again, the problems are not what they were to be";
    use(m);
    if (m.body() != used) return "used, the body is not what it was to be";
    return nullptr;
  });
}

const std::string big(3000, 'x');  // more than any first buffer
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

identify some_identify() { return user{"u"}.identify().email("e").attribute("k", 1).attribute("bad", not_a_number); }
track some_track() { return user{"u"}.track("e").property("k", 1); }
identify many_attributes() {
  identify m = user{"u"}.identify();
  for (int i = 0; i < 40; ++i) m.attribute("key_" + std::to_string(i), i);
  return m;
}

// Set as a whole: which keys there are is found out when another one is added.
identify many_at_once() {
  object all;
  for (int i = 0; i < 40; ++i) all.set("key_" + std::to_string(i), i);
  return user{"u"}.identify().attributes(all);
}

template <class Work>
void starve_identify(const Work& work) {
  const auto use = [](identify& m) { m.last_name("L").attribute("later", 1).attribute("k", 2); };
  starve_builder(some_identify, work, use);
  starve_builder(many_attributes, work, use);
  starve_builder([] { return user{"u"}.identify(); }, work, use);
}

template <class Work>
void starve_track(const Work& work) {
  const auto use = [](track& m) { m.property("later", 1).property("k", 2); };
  starve_builder(some_track, work, use);
  starve_builder([] { return user{"u"}.track("e"); }, work, use);
}

}  // namespace

TEST_CASE("F61: fields of identify", "[F61]") {
  starve_identify([](identify& m) { m.email(big); });
  starve_identify([](identify& m) { m.first_name("Ada"); });
  starve_identify([](identify& m) { m.first_name("\xFF"); });
  starve_identify([](identify& m) { m.email(static_cast<const char*>(nullptr)); });
  starve_identify([](identify& m) { m.apns({"a", big}); });
  starve_identify([](identify& m) { m.gcm({"a", "\xFF"}); });
  starve_identify([](identify& m) { m.timezone(big); });
  starve_identify([](identify& m) { m.group(big); });
  starve_identify([](identify& m) { m.previous_id(user{"old"}); });
}

TEST_CASE("F61: attributes one by one", "[F61]") {
  starve_identify([](identify& m) { m.attribute("k", big); });
  starve_identify([](identify& m) { m.attribute(big, 1); });
  starve_identify([](identify& m) { m.attribute("k", not_a_number); });
  starve_identify([](identify& m) { m.attribute("bad", 1); });
  starve_identify([](identify& m) { m.attribute("k", {1, big, {{"in", not_a_number}}}); });
  starve_identify([](identify& m) { m.attribute("k", std::vector<line>{{big, 1}, {"\xFF", 2}}); });
  starve_identify([](identify& m) { m.attribute("k", json{R"({"a":[1,2,"x"]})"}); });
  starve_identify([](identify& m) { m.attribute("k", json{"{"}); });
}

TEST_CASE("F61: the first attributes(...) of a message", "[F61]") {
  const auto make = [] { return user{"u"}.identify(); };
  const auto use = [](identify& m) { m.attribute("later", 1).attribute("a", 2).email("e"); };
  starve_builder(
      make,
      [](identify& m) {
        m.attributes({{"a", 1}, {"b", not_a_number}, {"c", big}, {"a", 2}});
      },
      use);
  starve_builder(
      make,
      [](identify& m) {
        m.attributes(std::map<std::string, int>{{"a", 1}, {"b", 2}});
      },
      use);
  starve_builder(
      make,
      [](identify& m) {
        m.attributes(line{big, 1});
      },
      use);
  starve_builder(
      make,
      [](identify& m) {
        m.attributes(object{{"a", not_a_number}, {"b", big}});
      },
      use);
}

TEST_CASE("F61: attributes(...) that merge", "[F61]") {
  starve_identify([](identify& m) { m.attributes({{"a", 1}, {"k", not_a_number}, {"c", big}, {"a", 2}}); });
  starve_identify([](identify& m) { m.attributes(std::map<std::string, std::string>{{"a", big}, {"k", "x"}}); });
  starve_identify([](identify& m) { m.attributes(line{big, 1}); });
  starve_identify([](identify& m) { m.attributes(object{{"a", not_a_number}, {"k", big}}); });
}

TEST_CASE("F61: attributes of json text", "[F61]") {
  const json many{R"({"a":1,"k":")" + big + R"(","bad":2})"};
  const json none{"[]"};
  starve_identify([&many](identify& m) { m.attributes(many); });
  starve_identify([&none](identify& m) { m.attributes(none); });
}

TEST_CASE("F61: a key that comes again after memory ran out while the keys were noted", "[F61]") {
  const auto use = [](identify& m) { m.attribute("key_39", "again").attribute("later", 1); };
  starve_builder(
      many_at_once, [](identify& m) { m.attribute("key_20", "again"); }, use);
  starve_builder(
      many_at_once,
      [](identify& m) {
        m.attributes({{"key_20", "again"}, {"key_21", "again"}});
      },
      use);
  starve_builder(
      many_at_once,
      [](identify& m) {
        m.attributes(std::map<std::string, std::string>{{"new_1", "a"}, {"new_2", big}});
      },
      use);
}

TEST_CASE("F61: a group and its attributes", "[F61]") {
  starve_identify([](identify& m) { m.group("g", {{"a", big}, {"b", not_a_number}}); });
  starve_identify([](identify& m) { m.group("g", {{"a", 1}}); });
}

TEST_CASE("F61: properties and time", "[F61]") {
  starve_track([](track& m) { m.property("p", big); });
  starve_track([](track& m) { m.property("p", not_a_number).property("p", 1); });
  starve_track([](track& m) { m.properties({{"p", {{"q", {1, big}}}}, {"k", "\xFF"}}); });
  starve_track([](track& m) { m.at(std::chrono::system_clock::time_point{}); });
}

TEST_CASE("F61: what is not the same when it is done twice", "[F61]") {
  const auto judge = [](identify& m, bool thrown) -> const char* {
    if (!is_json(m.body())) return "the body is no JSON";
    if (thrown && m.valid()) return "its problem is gone";
    if (m.attribute("later", 1).body().find("later") == std::string_view::npos) return "it cannot be used";
    return is_json(m.body()) ? nullptr : "used, the body is no JSON";
  };
  starve(
      some_identify, [](identify& m) { m.attribute("\xFF", not_a_number); }, judge);
  starve(
      some_identify,
      [](identify& m) {
        m.attributes({{"\xFF", not_a_number}, {"\xFE", big}});
      },
      judge);
  starve(
      some_identify, [](identify& m) { m.attribute("own", m.body()); }, judge);
  starve(
      some_identify, [](identify& m) { m.attribute(m.body(), m.body()).email(m.body()); }, judge);
}

TEST_CASE("F61: messages are made, copied and assigned", "[F61]") {
  const auto nothing = [] { return std::optional<message>{}; };
  const auto judge = [](std::optional<message>& m, bool thrown) -> const char* {
    if (m.has_value() == thrown) return "there is a message, or none, where there should not be";
    return !m || is_json(m->body()) ? nullptr : "the body is no JSON";
  };
  const std::string id(100, 'i');
  starve(
      nothing, [&id](std::optional<message>& m) { m.emplace(user{id}.identify()); }, judge);
  starve(
      nothing, [](std::optional<message>& m) { m.emplace(user{""}.track("\xFF")); }, judge);
  starve(
      nothing, [](std::optional<message>& m) { m.emplace(user{std::int64_t{1} << 60}.track("")); }, judge);
  starve(
      nothing,
      [](std::optional<message>& m) {
        m.emplace(user{1}.subscribe({"a", 2}));
      },
      judge);
  starve(
      nothing, [](std::optional<message>& m) { m.emplace(user{1}.unsubscribe({})); }, judge);
  starve(
      nothing, [](std::optional<message>& m) { m.emplace(user{1}.register_token(outbound::platform::fcm, big)); },
      judge);
  starve(
      nothing, [](std::optional<message>& m) { m.emplace(user{1}.disable_tokens(outbound::platform::apns)); }, judge);
  starve(
      nothing, [](std::optional<message>& m) { m.emplace(batch{}); }, judge);

  const identify original = some_identify();
  const identify other = many_attributes().attribute("bad", not_a_number);
  starve(
      nothing, [&other](std::optional<message>& m) { m.emplace(other); }, judge);
  starve([&original] { return identify{original}; }, [&other](identify& m) { m = other; },
         [&](identify& m, bool thrown) -> const char* {
           // Each base and member of it may have been assigned, but what is there can be used.
           if (!is_json(m.body())) return "the body is no JSON";
           if (m.body() != (thrown ? original : other).body()) return "the body is neither";
           m.attribute("later", 1).attribute("key_39", 2).attribute("k", 3);
           return is_json(m.body()) ? nullptr : "used, the body is no JSON";
         });
  const std::string before(100, 'i');
  const std::string after(200, 'j');
  starve([&before] { return user{before}; }, [&after](user& who) { who = user{after}; },
         [&](user& who, bool thrown) {
           return who.identify().user_key() == (thrown ? before : after) ? nullptr : "another user";
         });
}

TEST_CASE("F61: what messages say of themselves", "[F61]") {
  const auto make = [] {
    return user{"None"}
        .track(std::string(300, 'e'))
        .property("p", not_a_number)
        .property("big", std::string(std::size_t{1} << 20, 'x'));
  };
  const std::string body{make().body()};
  const auto judge = [&body](const track& m, bool) -> const char* {
    if (m.body() != body) return "the body is another";
    if (m.problems().size() != 2 || m.warnings().size() != 2) return "the problems are others";
    return m.user_key() == "None" ? nullptr : "the user key is another";
  };
  starve(
      make, [](const track& m) { static_cast<void>(m.problems()); }, judge);
  starve(
      make, [](const track& m) { static_cast<void>(m.warnings()); }, judge);
  starve(
      make, [](const track& m) { static_cast<void>(m.user_key()); }, judge);
}

TEST_CASE("F61: objects and arrays", "[F61]") {
  const auto make = [] { return object{{"a", 1}, {"bad", not_a_number}}; };
  const auto strong = [&make](const auto& work) {
    object model = make();
    const std::string before{model.text()};
    work(model);
    const std::string after{model.text()};
    const std::size_t problems = model.problems().size();
    starve(make, work, [&](object& o, bool thrown) -> const char* {
      if (o.text() != after && !(thrown && o.text() == before)) return "the text is neither";
      if (before != after && o.problems().size() != (o.text() == after ? problems : 1))
        return "the problems are others";
      work(o);
      if (o.text() != after) return "done again, the text is not what it was to be";
      return o.problems().size() == problems ? nullptr : "done again, the problems are not what they were to be";
    });
  };
  strong([](object& o) { o.set("b", big); });
  strong([](object& o) { o.set("a", not_a_number); });
  strong([](object& o) { o.set("bad", 1); });
  strong([](object& o) { o.set("b", {1, {{"x", not_a_number}}}); });
  strong([](object& o) { o.set("b", std::vector<line>{{big, 1}}); });
  strong([](object& o) { o = object{{"n", big}, {"m", not_a_number}}; });

  const std::string longer = "[1,null,\"" + big + "\"]";
  starve([] { return outbound::array::of(1, not_a_number); }, [](outbound::array& a) { a.add(big); },
         [&longer](outbound::array& a, bool thrown) -> const char* {
           if (a.text() != (thrown ? std::string_view{"[1,null]"} : std::string_view{longer}))
             return "the text is neither";
           a.add(2);
           return is_json(a.text()) && a.problems().size() == 1 ? nullptr : "it cannot be used";
         });
}

TEST_CASE("F61: an object that could not become another while it was written", "[F61]") {
  const object other{{"a", std::string(3000, 'x')}, {"b", std::numeric_limits<double>::infinity()}};
  const auto make = [] { return user{1}.track("e"); };
  const auto work = [&other](track& m) { m.property("p", starvation_test::held{&other}); };
  const std::string before{make().body()};
  track whole = make();
  work(whole);
  CHECK(whole.problems().size() == 1);
  const std::string kept = R"({"user_id":1,"event":"e","properties":{"p":{"first":null,"last":2}}})";
  bool was_kept = false;
  starve(make, work, [&](const track& m, bool thrown) -> const char* {
    if (thrown) return m.body() == before && m.valid() ? nullptr : "it threw, and something stayed";
    const std::vector<outbound::problem> problems = m.problems();
    was_kept = was_kept || m.body() == kept;
    if (problems.size() != 1) return "not one problem";
    if (m.body() == kept)
      return problems[0].where == "/properties/p/first" ? nullptr : "the old object, another problem";
    return m.body() == whole.body() && problems[0].where == "/properties/p/b" ? nullptr : "neither the old nor the new";
  });
  CHECK(was_kept);
}

TEST_CASE("F61: batches", "[F61]") {
  const track first = user{"a"}.track("e");
  const track second = user{"b"}.track("e").property("p", big);
  const track invalid = user{""}.track("");
  const auto make = [&first] {
    batch b;
    static_cast<void>(b.add(first));
    return b;
  };
  const std::string before{make().body()};
  starve(
      make, [&second](batch& b) { static_cast<void>(b.add(second)); },
      [&](batch& b, bool thrown) -> const char* {
        if (b.size() != (thrown ? 1U : 2U)) return "the size is not what it was, or was to be";
        if (thrown != (b.body() == before)) return "the body is not what it was, or was to be";
        if (!b.valid() || !b.add(first) || !is_json(b.body())) return "it cannot be used";
        return nullptr;
      });
  starve([] { return batch{}; }, [&first](batch& b) { static_cast<void>(b.add(first)); },
         [&](batch& b, bool thrown) -> const char* {
           if (b.size() != (thrown ? 0U : 1U) || b.valid() == thrown) return "it is not what it was, or was to be";
           if (!b.add(first) || !b.valid() || !is_json(b.body())) return "it cannot be used";
           return nullptr;
         });
  starve(
      make, [&invalid](batch& b) { static_cast<void>(b.add(invalid)); },
      [&](batch& b, bool) { return b.size() == 1 && b.body() == before ? nullptr : "it is not what it was"; });
}

// --- sending

namespace {

struct sender {
  client c;
  result<response> answer{outbound::error{}};
};

const char long_key[] = "a-key-long-enough-to-be-on-the-heap";

// What a transport throws for want of memory is what a transport throws: `no_response`.
template <class Transport>
void starve_send(const message& m, const Transport& how, errc otherwise, bool how_throws = false,
                 const char* key = long_key) {
  starve(
      [&] {
        return sender{client{key, how}, outbound::error{}};
      },
      [&m](sender& s) { s.answer = s.c.send(m); },
      [&](sender& s, bool thrown) -> const char* {
        if (thrown) return "send threw";
        const errc code = s.answer.error().code;
        if (s.answer.has_value() != (code == errc{})) return "the answer is neither good nor bad";
        if (code != otherwise && code != errc::out_of_memory && !(how_throws && code == errc::no_response))
          return "the error is neither out_of_memory nor what it would have been";
        if (code == errc::out_of_memory && s.answer.error().message.empty()) return "the error says nothing";
        s.answer = s.c.send(m);
        return s.answer.error().code == otherwise ? nullptr : "the client cannot be used";
      });
}

}  // namespace

TEST_CASE("F61: send without memory is out_of_memory, and the client stays usable", "[F61]") {
  const identify m = some_identify().attribute("bad", 1);
  starve_send(
      m,
      [](const request&) {
        return response{200, {}, {}};
      },
      errc{});
  starve_send(
      m,
      [](const request& r) {
        return response{200, r.body, r.headers};
      },
      errc{}, true);
  starve_send(
      some_identify(),
      [](const request&) {
        return response{200, {}, {}};
      },
      errc::invalid_message);
  starve_send(
      m,
      [](const request&) {
        return response{400, R"({"error":{"Message":"some length","Code":7}})", {}};
      },
      errc::invalid_field, true);
  starve_send(
      m,
      [](const request& r) {
        return response{401, std::string(100, '\xFF') + r.headers[1].value, {}};
      },
      errc::unauthorized, true);
  starve_send(
      m,
      [](const request&) {
        return response{503, {}, {}};
      },
      errc::unavailable);
  starve_send(m, outbound::no_transport, errc::not_sent, true);
  starve_send(
      m,
      [](const request&) {
        return response{200, {}, {}};
      },
      errc::invalid_options, false, "no key ");
}

TEST_CASE("F61: send where every allocation fails is out_of_memory", "[F61]") {
  client c{long_key, [](const request&) { return response{200, {}, {}}; }};
  const identify m = user{"u"}.identify().email(big);
  CHECK(c.send(m));
  watch(1, true);
  const result<response> sent = c.send(m);
  const result<request> prepared = c.prepare(m);
  watch();
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::out_of_memory);
  CHECK(!sent.error().message.empty());
  REQUIRE(!prepared);
  CHECK(prepared.error().code == errc::out_of_memory);
  CHECK(c.send(m));
}

TEST_CASE("F61: a transport without memory", "[F61]") {
  const identify m = user{"u"}.identify();
  client c{"a-key", [](const request&) -> response { throw std::bad_alloc{}; }};
  CHECK(c.send(m).error().code == errc::no_response);
  starve_send(
      m, [](const request&) -> response { throw std::runtime_error{"a text of some length, on the heap"}; },
      errc::no_response, true);
}

TEST_CASE("bug: a request that was made counted as never made when memory ran out after it [F61]", "[F61]") {
  const auto made = [](bool throws) {
    client c{"a-key", [throws](const request&) -> result<response> {
               outbound::error lost{errc::no_response, 0, std::string(100, 'x') + "a-key", {}};
               watch(1, true);
               if (throws) throw std::bad_alloc{};
               return lost;
             }};
    const track m = user{1}.track("e");
    result<response> answer = c.send(m);
    watch();
    return answer;
  };
  CHECK(made(false).error().code == errc::no_response);
  CHECK(made(false).error().message.empty());  // it may hold the key
  CHECK(made(true).error().code == errc::no_response);
  CHECK(made(true).error().status == 0);
}

TEST_CASE("F36: a body with the key is gone if there is no memory to take it out", "[F36][F61]") {
  std::string said;
  client c{"a-key", [](const request&) -> result<response> {
             response answer{401, std::string(100, 'x') + "a-key", {}};
             watch(1);
             return answer;
           }};
  const result<response> answer = c.send(user{1}.track("e"));
  const bool starved = memory.failed;
  watch();
  REQUIRE(!answer);
  CHECK(starved);
  CHECK(answer.error().message == "the server refused the key (HTTP 401)");
}

TEST_CASE("F61: prepare, interpret and the rest", "[F61]") {
  const identify m = user{"u"}.identify().email(big);
  const auto fine = [](const auto&, bool) -> const char* { return nullptr; };
  struct preparing {
    client c;
    result<request> out;
  };
  starve(
      [] {
        return preparing{client{long_key, outbound::no_transport}, outbound::error{}};
      },
      [&m](preparing& p) { p.out = p.c.prepare(m); },
      [&m](preparing& p, bool thrown) -> const char* {
        if (thrown) return "prepare threw";
        if (!p.out && p.out.error().code != errc::out_of_memory) return "the error is another";
        return p.c.prepare(m) ? nullptr : "the client cannot be used";
      });
  const client c{long_key, outbound::no_transport};
  const request r = *c.prepare(m);
  const std::string line_of_r = outbound::curl_command(r);
  starve([] { return std::string{}; }, [&r](std::string& out) { out = outbound::curl_command(r); },
         [&](const std::string& out, bool thrown) {
           return out == (thrown ? std::string{} : line_of_r) ? nullptr : "half a line";
         });
  for (const int status : {200, 400, 503})
    starve(
        [status] {
          return response{status,
                          R"({"error":{"Message":"a message of some length \u00e9","Code":7}})",
                          {{"a-name-of-some-length", "a-value-of-some-length"}}};
        },
        [](const response& from) { static_cast<void>(outbound::interpret(from)); }, fine);
  starve(
      [] { return std::string(100, '\xFF'); }, [](std::string& s) { s = outbound::repaired(s); },
      [](const std::string& s, bool thrown) { return s.size() == (thrown ? 100U : 300U) ? nullptr : "half a text"; });
  starve([] { return std::u16string(100, u'x'); },
         [](const std::u16string& s) { static_cast<void>(outbound::from_utf16(s)); }, fine);
  starve(
      [] { return 0; },
      [](int&) {
        const client made{long_key, [text = std::string(100, 'x')](const request&) { return response{200, text, {}}; }};
        static_cast<void>(made);
      },
      fine);
}

namespace {

// Two lives of a queue with batches and a store; in the second one allocations fail, until there is memory again.
// What is accepted is delivered, and the store is empty in the end.
struct queue_life {
  long fail_at;
  bool for_ever;
  bool starved{};
  milliseconds now{};
  test::memory_store kept{};
  std::ptrdiff_t delivered{};
  bool was_refused{};

  outbound::queue_options options() {
    outbound::queue_options o;
    o.store = &kept;
    o.batch_size = 10;
    o.retry.budget = 1000;
    o.on_event = [](const outbound::event&) {};
    return o;
  }
  // A server that is out of order at first, then takes no batch, then everything.
  void deliver(outbound::delivery_queue& q) {
    if (q.due() != (std::chrono::steady_clock::time_point::max)())
      now = (std::max)(now, std::chrono::duration_cast<milliseconds>(q.due().time_since_epoch()));
    outbound::delivery d = q.next(test::at(now));
    if (!d) return;
    const bool is_batch = d.body.front() == '[';
    const int status = d.attempt == 1 ? 500 : is_batch && !was_refused ? 400 : 200;
    was_refused = was_refused || status == 400;
    if (status == 200) delivered += std::count(d.body.begin(), d.body.end(), '}');
    q.report(std::move(d), response{status}, test::at(now));
  }
  const char* run() {
    std::ptrdiff_t accepted = 2;
    {
      outbound::delivery_queue first{options()};
      for (const char* u : {"somebody whose id is not short", "b"})
        if (!first.post(user{u}.track("e"), test::at(now))) return "the first life refuses";
      const outbound::delivery on_its_way = first.next(test::at(now));
      if (on_its_way.body.front() != '[' || kept.records.size() != 3) return "the first life made no batch";
    }
    outbound::queue_options o = options();
    const track c = user{"c, somebody whose id is not short either"}.track("e");
    const track d = user{"d"}.track("an event whose name is not short");
    watch(fail_at, for_ever);
    outbound::delivery_queue q{std::move(o)};
    bool for_another_reason = false;
    for (const track* m : {&c, &d, &c}) {
      const result<void> posted = q.post(*m, test::at(now));
      accepted += static_cast<bool>(posted);
      const errc code = posted ? errc::out_of_memory : posted.error().code;
      for_another_reason = for_another_reason || (code != errc::out_of_memory && code != errc::store_failed);
    }
    for (int i = 0; i < 8; ++i) deliver(q);
    starved = memory.failed;
    watch();
    if (for_another_reason) return "post fails for another reason";
    if (!test::adds_up(q.stats())) return "it does not add up";
    if (q.stats().accepted == 0) {  // it could not read the store: the next one can
      if (accepted != 2) return "accepted without a store";
      outbound::delivery_queue next{options()};
      return finish(next, accepted);
    }
    return finish(q, accepted);
  }
  const char* finish(outbound::delivery_queue& q, std::ptrdiff_t accepted) {
    for (int i = 0; i < 100 && (q.stats().queued != 0 || !kept.records.empty()); ++i) deliver(q);
    if (q.stats().queued != 0 || q.stats().in_flight != 0) return "something stays in the queue";
    if (delivered != accepted) return "what was delivered is not what was accepted";
    return kept.records.empty() ? nullptr : "something stays in the store";
  }
};

}  // namespace

TEST_CASE("F61: without any memory, what is answered leaves the queue, and its store later", "[F61]") {
  queue_life life{0, false};
  outbound::queue_options o = life.options();
  o.batch_size = 2;
  o.on_event = {};
  outbound::delivery_queue q{std::move(o)};
  for (int i = 0; i < 15; ++i) REQUIRE(q.post(user{i}.track("e"), test::at({})));
  std::vector<outbound::delivery> taken(8);
  for (outbound::delivery& d : taken) d = q.next(test::at({}));
  REQUIRE(life.kept.records.size() == 22);  // seven are records of batches
  life.kept.removing = test::memory_store::mood::refuses;
  watch(1, true);
  for (outbound::delivery& d : taken) q.report(std::move(d), response{200}, test::at({}));
  watch();
  CHECK(q.stats().delivered == 15);
  life.kept.removing = test::memory_store::mood::good;
  CHECK(!q.next(test::at(std::chrono::seconds{1})));
  CHECK(life.kept.records.empty());
}

TEST_CASE("F61: allocations of a delivery queue, its store and its restart fail", "[F61]") {
  for (const bool for_ever : {false, true}) {
    bool starved = true;
    long n = 0;
    while (starved) {
      const long before = memory.live;
      const char* wrong = nullptr;
      {
        queue_life life{++n, for_ever};
        wrong = life.run();
        starved = life.starved;
      }
      const long after = memory.live;
      CAPTURE(for_ever, n);
      REQUIRE(std::string{wrong != nullptr ? wrong : ""} == "");
      REQUIRE(after == before);
    }
    CHECK(n > 50);
  }
}

#endif
