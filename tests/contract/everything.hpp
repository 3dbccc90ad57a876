// Uses everything that outbound.hpp offers, once, and returns what came of it as text: the same text in every build.
// The programs of this folder include it behind a header that was built in some special way.
#ifndef OUTBOUND_TESTS_EVERYTHING_HPP
#define OUTBOUND_TESTS_EVERYTHING_HPP

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "outbound.hpp"

namespace everything {

enum class tier { free = 0, pro = 2 };
enum colour : unsigned char { red = 1 };

struct address {
  std::string city{};
  int zip{};
};
OUTBOUND_FIELDS(address, city, zip)

struct order {
  std::string sku{};
  std::vector<address> from{};
};
inline void to_outbound(outbound::object& o, const order& v) { o.set("sku", v.sku).set("from", v.from); }

struct money {
  int cents{};
};
inline std::string to_outbound(const money& m) { return std::to_string(m.cents) + " cents"; }

struct report {
  std::string text{};
  void line(std::string_view s) { text.append(s).append("\n"); }
  void problems(const std::vector<outbound::problem>& all) {
    for (const outbound::problem& p : all)
      line(std::to_string(static_cast<int>(p.what)) + " at '" + p.where + "': " + p.why);
  }
  void message(const outbound::message& m) {
    line(m.path());
    line(m.body());
    line(m.user_key());
    problems(m.problems());
    problems(m.warnings());
  }
  template <class T>
  void outcome(const outbound::result<T>& r) {
    line(r ? std::string{"ok"} : r.error().message);
  }
};

inline void scalars(report& out) {
  const outbound::object o{{"null", nullptr},
                           {"bools", {true, false}},
                           {"small", {-7, 7U, static_cast<short>(-3), static_cast<unsigned char>(200)}},
                           {"long", {-8L, 8UL, -9LL, 9ULL}},
                           {"least", (std::numeric_limits<std::int64_t>::min)()},
                           {"most", (std::numeric_limits<std::uint64_t>::max)()},
                           {"doubles", {19.99, 0.5, 1e21, 1e20, 1e-7, -0.0, 5e-324, 1.7976931348623157e308}},
                           {"floats", {0.1F, 16777216.0F}},
                           {"text", "\"\\\b\f\n\r\t\x01\x7F"},
                           {"view", std::string_view{"a\0b", 3}},
                           {"string", std::string{"Z\xC3\xBCrich \xE2\x80\x93 \xF0\x9F\x9A\x80"}},
                           {"enums", {tier::pro, red}}};
  out.line(o.text());
}

inline void containers(report& out) {
  const std::map<std::string, std::vector<int>> map{{"a", {1, 2}}, {"b", {}}};
  const std::vector<std::pair<std::string, int>> pairs{{"a", 1}, {"b", 2}, {"a", 3}};
  const std::optional<int> none{};
  outbound::object o{{"map", map}, {"pairs", pairs}, {"none", none}, {"some", std::optional<int>{3}}};
  o.set("bits", std::vector<bool>{true, false}).set("list", std::list<double>{0.5, 1.0});
  o.set("array", std::array<std::string, 2>{{"x", "y"}}).set("nested", {{"k", {1, nullptr, "v"}}});
  o.set("when", std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}});
  o.set("own", order{"A1", {{"Oslo", 150}, {"Paris", 75001}}}).set("money", money{1999});
  o.set("json", outbound::json{R"({ "a" : [1, 2] })"}).set("again", o).set("map", 1);
  out.line(o.text());
  out.line(outbound::array::of(outbound::array::of(1, 2), outbound::array::of(), o, address{"Rome", 1}).text());
  outbound::array rows;
  for (int i = 0; i < 3; ++i) rows.add(outbound::object{{"n", i}});
  out.line(rows.text());
  outbound::object many;
  for (int i = 0; i < 40; ++i) many.set("k" + std::to_string(i % 30), i);
  out.line(many.text());
}

inline void identifies(report& out) {
  const outbound::user ada{"ada@example.com"};
  out.message(ada.identify()
                  .first_name("Ada")
                  .last_name(std::optional<std::string>{"Lovelace"})
                  .email("old@example.com")
                  .email(std::optional<std::string>{})
                  .email("ada@example.com")
                  .phone_number("+14155550123")
                  .apns({"a1", "b2"})
                  .gcm(std::vector<std::string>{"c3"})
                  .attribute("plan", "free")
                  .attributes({{"plan", "pro"}, {"seats", 5}})
                  .attributes(address{"Oslo", 150})
                  .attributes(outbound::json{R"({"raw":true})"})
                  .timezone("Europe/Oslo")
                  .group("g1", {{"name", "Analysts"}})
                  .previous_id(outbound::user{7}));
  outbound::identify kept = ada.identify().group("g2", outbound::object{{"n", 1}});
  kept.apns("one").attributes(std::map<std::string, int>{{"a", 1}});
  const outbound::identify copy = kept;
  kept = ada.identify();
  out.message(copy);
  out.message(kept);
}

inline void other_messages(report& out) {
  const outbound::user bob{42};
  const std::chrono::system_clock::time_point epoch{};
  out.message(bob.track("signup").property("a", 1).properties({{"b", 2}}).properties(address{"Rome", 1}).at(epoch));
  out.message(bob.track("tree").property("t", {{"deep", {{{"a", 1}}, {{"b", {2, 3}}}}}}));
  for (const outbound::platform p : {outbound::platform::apns, outbound::platform::gcm, outbound::platform::fcm}) {
    out.message(bob.register_token(p, "token"));
    out.message(bob.disable_token(p, "token"));
    out.message(bob.disable_tokens(p));
  }
  out.message(bob.subscribe());
  out.message(bob.subscribe({"c1", 2}));
  out.message(bob.unsubscribe());
  out.message(bob.unsubscribe(std::vector<int>{1, 2}));
  out.message(bob.subscribe(std::vector<int>{}));
  outbound::batch batch;
  out.message(batch);
  out.outcome(batch.add(bob.track("one")));
  out.outcome(batch.add(outbound::user{"a long id, which does not fit into a user by itself"}.track("two")));
  out.outcome(batch.add(bob.identify()));
  out.outcome(batch.add(bob.track("")));
  out.message(batch);
}

inline void problems(report& out) {
  const char* absent = nullptr;
  double nan = 0;  // from bits: under -ffast-math clang takes what a function returns to be finite
  float infinity = 0;
  const std::uint64_t nan_bits = 0x7FF8000000000000;
  const std::uint32_t infinity_bits = 0x7F800000;
  std::memcpy(&nan, &nan_bits, sizeof nan);
  std::memcpy(&infinity, &infinity_bits, sizeof infinity);
  out.message(outbound::user{""}
                  .track("")
                  .property("nan", nan)
                  .property("infinity", infinity)
                  .property("s", "ab\xC3")
                  .property("n", outbound::object{{"in", {1, "\xED\xA0\x80"}}})
                  .property("raw", outbound::json{"{\"a\":1},\"b\":2"})
                  .property("a/b~c", outbound::array::of(nan))
                  .property("bad key \xFF", absent)
                  .property("own", order{"\xFF", {}}));
  out.message(outbound::user{9007199254740993}.identify().first_name(absent));
  out.message(outbound::user{"undefined"}.track(std::string(201, 'e')));
  outbound::object deep{{"bottom", 1}};
  for (int i = 0; i < 70; ++i) deep = outbound::object{{"d", deep}};
  out.problems(deep.problems());
  const std::string nested(513, '[');
  out.message(outbound::user{1}.track("e").property("deep", outbound::json{nested + std::string(513, ']')}));
  out.line(outbound::repaired("Ren\xE9 \xF0\x9F\x9A"));
  out.line(outbound::from_utf16(u"\u00FCber \xD83D\xDE80"));
  const char16_t lone[] = {u'a', static_cast<char16_t>(0xD800), u'b'};
  out.line(outbound::from_utf16(std::u16string_view{lone, 3}));
}

// Answers with the next status of a list; below 0 it fails, or throws where it can.
struct scripted {
  std::vector<int> statuses{};
  std::size_t next{};
  outbound::result<outbound::response> operator()(const outbound::request&) {
    const int status = statuses[next++];
    if (status == -1) return outbound::error{outbound::errc::not_sent, 0, "no route", {}};
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    if (status == -2) throw std::runtime_error{"boom"};
#else
    if (status == -2) return outbound::error{outbound::errc::no_response, 0, "the transport threw: boom", {}};
#endif
    return outbound::response{status, R"({"error":{"Message":"nope","Code":7}})", {{"Retry-After", "1"}}};
  }
};

inline outbound::result<outbound::response> accepted(const outbound::request&) { return outbound::response{202}; }

inline void calls(report& out) {
  const std::vector<int> statuses{200, 204, -1,  -2,  0,   302, 400, 401, 403, 404, 405, 408, 410, 413,
                                  422, 425, 429, 500, 502, 503, 504, 599, 600, 99,  100, 418, -3,  12345};
  outbound::client client{"private-key", scripted{statuses, 0}};
  const outbound::track m = outbound::user{"ada"}.track("e");
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const outbound::result<outbound::response> answer = client.send(m);
    out.outcome(answer);
    out.line(answer ? std::to_string(answer->status) : std::error_code{answer.error().code}.message());
  }
  outbound::client moved = std::move(client);
  const outbound::result<outbound::request> prepared = moved.prepare(m);
  out.line(outbound::curl_command(*prepared));
  for (const outbound::header& h : prepared->headers) out.line(h.name + ": " + h.value);
  const std::string* const found = outbound::find_header(prepared->headers, "content-TYPE");
  out.line(found != nullptr ? *found : "no Content-Type");
  outbound::options strict;
  strict.strict = true;
  strict.base_url = "http://localhost:8080/base/";
  strict.timeout = std::chrono::milliseconds{5};
  outbound::client careful{"k", outbound::no_transport, strict};
  out.outcome(careful.send(m));
  out.outcome(careful.prepare(outbound::user{"null"}.track("e")));
  for (const char* key : {"", "sec ret", "secret\n", static_cast<const char*>(nullptr)})
    out.outcome(outbound::client{key, outbound::no_transport}.prepare(m));
  strict.base_url = "ftp://x";
  out.outcome(outbound::client{"k", outbound::no_transport, strict}.prepare(m));
  out.outcome(outbound::client{"k", accepted}.send(m));
  out.line(outbound::make_error_code(outbound::errc::throttled).category().name());
}

// Static: each file that includes this has its own copy, compiled as that file is.
static std::string run() {
  report out;
  scalars(out);
  containers(out);
  identifies(out);
  other_messages(out);
  problems(out);
  calls(out);
  return out.text;
}

}  // namespace everything
#endif
