// The client: its key, its options, what it hands to a transport, and what it makes of what comes back.
#include "outbound.hpp"

#include <algorithm>
#include <cerrno>
#include <cfenv>
#include <chrono>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#ifndef OUTBOUND_NO_THREADS
#include <thread>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <signal.h>
#include <sys/stat.h>
#endif

#include "support/catch.hpp"
#include "support/data.hpp"

namespace {

using outbound::client;
using outbound::errc;
using outbound::options;
using outbound::request;
using outbound::response;
using outbound::result;
using outbound::user;

const user u{"u"};
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
const char secret[] = "sk-7Rw2Qx9LmZ4Tn8Vb";  // no part of it is in any sentence

result<response> ok(const request&) { return response{200, {}, {}}; }

bool contains(std::string_view s, std::string_view part) { return s.find(part) != std::string_view::npos; }

// Any piece of the secret that would help to guess it.
bool leaks(std::string_view s) {
  const std::string_view key = secret;
  for (std::size_t i = 0; i + 6 <= key.size(); ++i)
    if (contains(s, key.substr(i, 6))) return true;
  return false;
}

bool leaks(const outbound::error& e) {
  bool found = leaks(e.message);
  for (const outbound::problem& p : e.problems) found = found || leaks(p.where) || leaks(p.why);
  return found;
}

options with_url(const std::string& url) {
  options o;
  o.base_url = url;
  return o;
}

bool is_token(std::string_view s) {  // RFC 9110, 5.6.2
  return !s.empty() && s.find_first_not_of(
                           "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos;
}

bool is_field_value(std::string_view s) {  // RFC 9110, 5.5, without obs-text
  for (const char c : s)
    if (c < 0x20 || c > 0x7E) return false;
  return s.empty() || (s.front() != ' ' && s.back() != ' ');
}

}  // namespace

// --- the key

TEST_CASE("F34: a key that is not plain visible ASCII is refused, never trimmed, never shown", "[F34]") {
  int rows = 0;
  for (const test::row& row : test::read_tsv("header_values.tsv")) {
    const std::string key = test::from_hex(row.at(0));
    const bool accept = row.size() > 2 ? row.at(2) == "accept" : row.at(1) == "accept";
    CAPTURE(row.at(0).substr(0, 80), accept);
    ++rows;
    int calls = 0;
    std::string seen;
    client c{key, [&](const request& r) {
               ++calls;
               seen = *outbound::find_header(r.headers, "X-Outbound-Key");
               return response{200, {}, {}};
             }};
    const auto sent = c.send(u.identify());
    const auto prepared = c.prepare(u.identify());
    CHECK(sent.has_value() == accept);
    CHECK(prepared.has_value() == accept);
    CHECK(calls == (accept ? 1 : 0));
    if (accept) {
      CHECK(seen == key);
      continue;
    }
    for (const outbound::error* e : {&sent.error(), &prepared.error()}) {
      CHECK(e->code == errc::invalid_options);
      CHECK(e->status == 0);
      CHECK(!e->message.empty());
      CHECK(is_field_value(e->message));                      // so it reads as one line
      CHECK((key.size() < 6 || !contains(e->message, key)));  // " key" is in every sentence
    }
  }
  CHECK(rows >= 50);
  // Every byte, at every place of a short key.
  for (int c = 0; c < 256; ++c) {
    CAPTURE(c);
    for (std::size_t at = 0; at < 3; ++at) {
      std::string key = "abc";
      key[at] = static_cast<char>(c);
      client one{key, ok};
      CHECK(one.prepare(u.identify()).has_value() == (c >= 0x21 && c <= 0x7E));
    }
  }
}

TEST_CASE("F35: a key that ends with a line break is refused in words", "[F35]") {
  for (const char* end : {"\n", "\r\n", "\r", "\n\n", "\r\n\r\n"}) {
    client c{std::string{secret} + end, ok};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(sent.error().code == errc::invalid_options);
    CHECK(contains(sent.error().message, "line break"));
    CHECK(!leaks(sent.error()));
  }
  client inside{"a\nb", ok};
  CHECK(!contains(inside.send(u.identify()).error().message, "ends"));
}

TEST_CASE("F36: the key is in no error", "[F36]") {
  const std::string key = secret;
  std::vector<result<response>> answers;
  for (const int status : {0, 302, 400, 401, 403, 404, 422, 429, 500, 503, 777}) {
    for (const std::string& body : {key, "unknown key " + key + "!", key + key + key,
                                    R"({"error":{"Message":"unknown key )" + key + R"(","Code":1}})",
                                    R"({"error":{"Message":"no","Code":")" + key + R"("}})",
                                    R"({"error":")" + key + R"("})", "<html>" + key + "</html>\n"})
      answers.emplace_back(response{status, body, {{"Location", "https://example.com/?key=" + key}}});
  }
  // Also where the text is cut.
  for (std::size_t before = 150; before < 260; ++before) {
    answers.emplace_back(response{401, std::string(before, '.') + key + " is unknown", {}});
    answers.emplace_back(
        response{401, R"({"error":{"Message":")" + std::string(before, '.') + key + R"(","Code":1}})", {}});
  }
  answers.emplace_back(outbound::error{errc::not_sent, 0, "cannot connect with X-Outbound-Key: " + key, {}});
  answers.emplace_back(outbound::error{errc::no_response, 0, key, {}});
  answers.emplace_back(outbound::error{errc::closed, 5, key + "," + key, {}});
  answers.emplace_back(outbound::error{{}, 0, key, {}});
  std::vector<std::string> leaked;
  for (const result<response>& answer : answers) {
    client c{key, [&answer](const request&) { return answer; }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(!sent.error().message.empty());
    if (leaks(sent.error()) && leaked.size() < 3) leaked.push_back(sent.error().message);
  }
  CHECK(leaked == std::vector<std::string>{});
  client invalid{key, ok};
  CHECK(!leaks(invalid.send(u.identify().email("\xFF")).error()));
  client bad_url{key, ok, with_url("ftp://" + key)};
  CHECK(!leaks(bad_url.send(u.identify()).error()));
  client ready{key, outbound::no_transport};
  CHECK(!leaks(ready.send(u.identify()).error()));
  CHECK(!leaks(outbound::curl_command(*ready.prepare(u.identify()))));
}

TEST_CASE("F36: a key with quotes and backslashes is not shown in its JSON form either", "[F36]") {
  const std::string key = "ab\"Zq8Lw3Xk5\\Rt7Yp2Mn";
  const std::string escaped = "ab\\\"Zq8Lw3Xk5\\\\Rt7Yp2Mn";
  client c{key, [&](const request&) { return response{401, R"({"error":"unknown key )" + escaped + "\"}", {}}; }};
  const std::string text = c.send(u.identify()).error().message;
  CAPTURE(text);
  CHECK(!contains(text, key));
  CHECK(!contains(text, escaped));
}

TEST_CASE("F36: a key that is like what it is replaced with", "[F36]") {
  for (const std::string key : {"<key>", "key>", "<key", "keys", "<<<<", "<key><key>", ">aaa<"}) {
    CAPTURE(key);
    client c{key, [&key](const request&) { return response{401, "unknown: " + key + ";", {}}; }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(sent.error().code == errc::unauthorized);
    CHECK(sent.error().message.size() < 2000);
  }
}

TEST_CASE("F36: a key that a server repeats with JSON's escapes, in any of the spellings", "[F36]") {
  struct row {
    std::string key;
    std::string answer;
  };
  for (const row& r : {row{"pk_live&secret9", R"({"error":{"Message":"bad key pk_live\u0026secret9","Code":3}})"},
                       row{"pk_live_secret", R"({"error":{"Message":"bad key \u0070k_live_secret","Code":3}})"},
                       row{"pk_live_secret", R"({"error":{"Message":"\u0070\u006B\u005F\u006c\u0069ve_secret"}})"},
                       row{"ab/cd\"ef", R"({"error":{"Message":"bad key ab\/cd\"ef"}})"},
                       row{R"(ab\\cd\ef)", R"({"error":{"Message":"bad key ab\\\\cd\\ef"}})"}}) {
    CAPTURE(r.key);
    client c{r.key, [&r](const request&) { return response{401, r.answer, {}}; }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(!contains(sent.error().message, r.key));
    CHECK(contains(sent.error().message, " [key] "));
  }
}

TEST_CASE("F36: what begins like an escaped key and ends too early is shown as it is", "[F36]") {
  for (const char* said : {"bad pk_live_secre\\", "bad pk_live_\\u0073ecre\\u0", "bad pk_live_secre\\u007", "\\"}) {
    CAPTURE(said);
    client c{"pk_live_secret", [said](const request&) { return response{401, said, {}}; }};
    CHECK(contains(c.send(u.identify()).error().message, said));
  }
}

TEST_CASE("F36: a key that ends what is said, with escapes", "[F36]") {
  for (const char* said : {"bad pk_live_secre\\u0074", "bad ab\\/\\/", "\\u0070k_live_secret"}) {
    CAPTURE(said);
    client c{contains(said, "ab") ? "ab//" : "pk_live_secret", [said](const request&) {
               return response{401, said, {}};
             }};
    const std::string text = c.send(u.identify()).error().message;
    CAPTURE(text);
    CHECK(text.substr(text.size() - 7) == " [key] ");
  }
}

TEST_CASE("F36: a key of four characters is hidden, a shorter one is in every other word", "[F36]") {
  const auto shown = [](const char* key) {
    client c{key, [](const request&) { return response{401, "no abcde", {}}; }};
    const std::string text = c.send(u.identify()).error().message;
    return text.substr(text.find("no "));
  };
  CHECK(shown("abc") == "no abcde");
  CHECK(shown("abcd") == "no  [key] e");
  CHECK(shown("abcde") == "no  [key] ");
}

TEST_CASE("F36: the problems that a transport names do not hold the key", "[F36]") {
  client c{"pk_live_secret", [](const request&) {
             return outbound::error{
                 errc::not_sent, 0, "", {{outbound::defect::missing, "/pk_live_secret", "no pk_live_secret"}}};
           }};
  const auto sent = c.send(u.identify());
  REQUIRE(sent.error().problems.size() == 1);
  CHECK(sent.error().problems[0].where == "/ [key] ");
  CHECK(sent.error().problems[0].why == "no  [key] ");
}

TEST_CASE("F36: what stands for the key and what is beside it do not spell the key anew", "[F36]") {
  struct row {
    std::string key;
    std::string answer;
  };
  for (const row& r : {row{"key]abcd", "key]abcdabcd"}, row{"]abcdefg", "]abcdefgabcdefg"},
                       row{"abcdefg[", "abcdefgabcdefg["}, row{"abcd[key", "abcdabcd[key"}}) {
    CAPTURE(r.key);
    client c{r.key, [&r](const request&) { return response{401, r.answer, {}}; }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(!contains(sent.error().message, r.key));
  }
}

// --- options

TEST_CASE("F38: base URLs", "[F38]") {
  struct row {
    std::string url;
    std::string joined;  // with /v2/track; empty: refused
  };
  const row rows[] = {
      {"https://api.outbound.io", "https://api.outbound.io/v2/track"},
      {"https://api.outbound.io/", "https://api.outbound.io/v2/track"},
      {"https://api.outbound.io//", "https://api.outbound.io/v2/track"},
      {"http://localhost", "http://localhost/v2/track"},
      {"http://localhost:8080", "http://localhost:8080/v2/track"},
      {"http://127.0.0.1:8321/", "http://127.0.0.1:8321/v2/track"},
      {"http://[::1]", "http://[::1]/v2/track"},
      {"http://[2001:db8::1]:9000/x/", "http://[2001:db8::1]:9000/x/v2/track"},
      {"https://h/prefix", "https://h/prefix/v2/track"},
      {"https://h/prefix/", "https://h/prefix/v2/track"},
      {"https://h/a/b///", "https://h/a/b/v2/track"},
      {"https://h/a%20b", "https://h/a%20b/v2/track"},
      {"https://h/-._~!$&'()*+,;=:@", "https://h/-._~!$&'()*+,;=:@/v2/track"},
      {"HTTPS://API.Outbound.IO", "HTTPS://API.Outbound.IO/v2/track"},
      {"http://h:1", "http://h:1/v2/track"},
      {"http://h:65535/p", "http://h:65535/p/v2/track"},
      {"https://my-host.example", "https://my-host.example/v2/track"},
      {"https://xn--bcher-kva.example", "https://xn--bcher-kva.example/v2/track"},
      {"http://docker_name:80", "http://docker_name:80/v2/track"},
      {"http://Zz.example", "http://Zz.example/v2/track"},
      {"http://0aA9", "http://0aA9/v2/track"},
      {"http://api.outbound.io.", "http://api.outbound.io./v2/track"},
      {"http://[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]/v2/track"},
      {"https://h/%2F%aF", "https://h/%2F%aF/v2/track"},

      {"", ""},
      {"/", ""},
      {"api.outbound.io", ""},
      {"//api.outbound.io", ""},
      {"ftp://api.outbound.io", ""},
      {"file:///etc/passwd", ""},
      {"javascript:alert(1)", ""},
      {"httpsx://h", ""},
      {"https:/h", ""},
      {"https:h", ""},
      {"https", ""},
      {"https://", ""},
      {"https:///path", ""},
      {"http://:80", ""},
      {"https://a{b", ""},
      {"https://a~b", ""},
      {"https://[::1_]", ""},
      {"https://user@h", ""},
      {"https://user:hunter2@h", ""},
      {"https://:hunter2@h/p", ""},
      {"https://h?x=1", ""},
      {"https://h/p?x=1", ""},
      {"https://h/p?", ""},
      {"https://h#frag", ""},
      {"https://h/#", ""},
      {" https://h", ""},
      {"https://h ", ""},
      {"https://h/a b", ""},
      {"https://ho st", ""},
      {"https://h\n", ""},
      {"https://h\r\n", ""},
      {"https://h/\r\nX-Evil: 1", ""},
      {"https://h\r\n\r\nGET / HTTP/1.1", ""},
      {"https://h\t", ""},
      {"https://h/\x7F", ""},
      {std::string{"https://h/\0x", 12}, ""},
      {std::string{"https://h\0", 10}, ""},
      {"https://h\xC3\xB6st", ""},
      {"https://h/\xC3\xB6", ""},
      {"https://h/\xFF", ""},
      {"http://h:0", ""},
      {"http://h:65536", ""},
      {"http://h:99999999999999999999999", ""},
      {"http://h:8a", ""},
      {"http://h:-1", ""},
      {"http://h:+1", ""},
      {"http://h:80:80", ""},
      {"http://::1", ""},
      {"http://[::1", ""},
      {"http://::1]", ""},
      {"http://[]", ""},
      {"http://[::1]x", ""},
      {"http://[::1]:x", ""},
      {"https://h\\@evil", ""},
      {"https://h%00", ""},
      {"https://h/<x>", ""},
      {"https://h/\"", ""},
      {"https://h/`x`", ""},
      {"https://h/{x}", ""},
      {"https://h/a|b", ""},
      {"https://h/a^b", ""},
      {"https://h/[1-3]", ""},  // which curl would take for three
      {"https://h/100%", ""},
      {"https://h/%", ""},
      {"https://h/%zz", ""},
      {"https://h/%4", ""},
      {"https://h/%4g", ""},
      {"http://[:]", ""},
      {"http://[.]", ""},
      {"http://[abc]", ""},
      {"http://[::g]", ""},
      {"http://.", ""},
      {"http://-", ""},
      {"http://_", ""},
      {"http://a..b", ""},
      {"http://.a", ""},
  };
  for (const row& r : rows) {
    CAPTURE(r.url);
    int calls = 0;
    client c{"a-key-of-a-test",
             [&calls](const request&) {
               ++calls;
               return response{200, {}, {}};
             },
             with_url(r.url)};
    const auto prepared = c.prepare(u.track("e"));
    const auto sent = c.send(u.track("e"));
    CHECK(prepared.has_value() == !r.joined.empty());
    CHECK(sent.has_value() == prepared.has_value());
    CHECK(calls == (r.joined.empty() ? 0 : 1));
    if (prepared) {
      CHECK(prepared->url == r.joined);
      continue;
    }
    CHECK(prepared.error().code == errc::invalid_options);
    CHECK(sent.error().code == errc::invalid_options);
    CHECK(is_field_value(prepared.error().message));
    CHECK(contains(prepared.error().message, "URL"));
    CHECK(!contains(prepared.error().message, "hunter2"));
  }
}

TEST_CASE("client: paths are joined to the base URL") {
  client c{"a-key-of-a-test", outbound::no_transport, with_url("https://h/p/")};
  CHECK(c.prepare(u.identify())->url == "https://h/p/v2/identify");
  CHECK(c.prepare(u.subscribe({1}))->url == "https://h/p/v2/subscribe/campaigns");
  CHECK(c.prepare(u.disable_tokens(outbound::platform::gcm))->url == "https://h/p/v2/gcm/disable");
  outbound::batch b;
  REQUIRE(b.add(u.identify()));
  CHECK(c.prepare(b)->url == "https://h/p/v2/identify/batch");
}

TEST_CASE("client: timeouts") {
  using std::chrono::milliseconds;
  CHECK(options{}.timeout == milliseconds{30'000});
  CHECK(options{}.base_url == "https://api.outbound.io");
  CHECK(!options{}.strict);
  for (const milliseconds t : {milliseconds{1}, milliseconds{250}, milliseconds{30'000}, (milliseconds::max)()}) {
    options o;
    o.timeout = t;
    client c{"a-key-of-a-test", outbound::no_transport, o};
    const auto prepared = c.prepare(u.identify());
    REQUIRE(prepared);
    CHECK(prepared->timeout == t);
  }
  for (const milliseconds t : {milliseconds{0}, milliseconds{-1}, (milliseconds::min)()}) {
    options o;
    o.timeout = t;
    client c{"a-key-of-a-test", ok, o};
    CHECK(c.prepare(u.identify()).error().code == errc::invalid_options);
    CHECK(c.send(u.identify()).error().code == errc::invalid_options);
    CHECK(contains(c.send(u.identify()).error().message, "timeout"));
  }
}

// --- the request

TEST_CASE("F37: the request is complete, its headers are tokens and field values", "[F37]") {
  request seen;
  int calls = 0;
  client c{secret, [&](const request& r) {
             seen = r;
             ++calls;
             return response{200, "{}", {{"A", "b"}}};
           }};
  const std::string text("a\0b", 3);
  const outbound::track m = user{42}.track("e").property("nul", text);
  const auto sent = c.send(m);
  REQUIRE(sent);
  CHECK(calls == 1);
  CHECK(sent->status == 200);
  CHECK(sent->body == "{}");
  CHECK(sent->headers.size() == 1);

  CHECK(seen.method == "POST");
  CHECK(is_token(seen.method));
  CHECK(seen.url == "https://api.outbound.io/v2/track");
  CHECK(seen.body == m.body());
  CHECK(seen.body == R"({"user_id":42,"event":"e","properties":{"nul":"a\u0000b"}})");
  CHECK(seen.user_key == "42");
  CHECK(seen.user_key == m.user_key());
  CHECK(seen.guid.empty());
  CHECK(seen.timeout == std::chrono::seconds{30});
  std::set<std::string> names;
  for (const outbound::header& h : seen.headers) {
    CAPTURE(h.name);
    CHECK(is_token(h.name));
    CHECK(is_field_value(h.value));
    CHECK(!h.value.empty());
    std::string lower = h.name;
    for (char& letter : lower)
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
    CHECK(names.insert(lower).second);
  }
  CHECK(names == std::set<std::string>{"content-type", "x-outbound-key", "x-outbound-client"});
  CHECK(*outbound::find_header(seen.headers, "Content-Type") == "application/json");
  CHECK(*outbound::find_header(seen.headers, "X-Outbound-Key") == secret);
  CHECK(*outbound::find_header(seen.headers, "X-Outbound-Client") == "Cpp/" OUTBOUND_VERSION_STRING);

  const auto prepared = c.prepare(m);
  REQUIRE(prepared);
  CHECK(prepared->url == seen.url);
  CHECK(prepared->body == seen.body);
  CHECK(prepared->headers.size() == seen.headers.size());
  CHECK(calls == 1);
  CHECK(c.prepare(u.identify().previous_id(user{"old"}))->user_key == "u\xFFold");

  outbound::delivery_queue queue;  // whose requests have one header more
  REQUIRE(queue.post(m, {}));
  const outbound::delivery d = queue.next({});
  const auto delivered = c.prepare(d);
  REQUIRE(delivered);
  REQUIRE(delivered->headers.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(delivered->headers[i].name == seen.headers[i].name);
    CHECK(delivered->headers[i].value == seen.headers[i].value);
  }
  CHECK(delivered->headers[3].name == "X-Outbound-GUID");
  CHECK(delivered->headers[3].value == d.guid);
  CHECK(is_field_value(d.guid));
  CHECK(d.guid.size() == 36);
  CHECK(delivered->guid == d.guid);
  CHECK(delivered->url == seen.url);
  CHECK(delivered->body == seen.body);
  CHECK(delivered->user_key == "42");
}

TEST_CASE("client: one call is one request, whatever comes back") {
  for (const int status : {0, 200, 302, 400, 401, 408, 429, 500, 502, 503, 504}) {
    int calls = 0;
    client c{secret, [&](const request&) {
               ++calls;
               return response{status, {}, {{"Retry-After", "0"}}};
             }};
    const auto sent = c.send(u.identify());
    CHECK(sent.has_value() == (status == 200));
    CHECK(calls == 1);
  }
}

TEST_CASE("client: a request owns its bytes") {
  request kept;
  {
    std::string key = secret;
    client c{key, outbound::no_transport, with_url("https://" + std::string(60, 'h'))};
    key.assign(key.size(), '!');
    outbound::track m = user{std::string(100, 'i')}.track("e");
    kept = *c.prepare(m);
    m.property("later", 1);
  }
  CHECK(kept.url == "https://" + std::string(60, 'h') + "/v2/track");
  CHECK(kept.body == R"({"user_id":")" + std::string(100, 'i') + R"(","event":"e"})");
  CHECK(*outbound::find_header(kept.headers, "X-Outbound-Key") == secret);
}

// --- transports

namespace {

struct functor {
  int* calls;
  response operator()(const request&) {
    ++*calls;
    return {204, {}, {}};
  }
};

outbound::error refuse(const request&) { return {errc::not_sent, 0, "no route", {}}; }

}  // namespace

TEST_CASE("client: transports of every kind") {
  int calls = 0;
  {
    client c{secret, [&calls](const request&) { return response{200 + calls++, {}, {}}; }};
    CHECK(c.send(u.identify())->status == 200);
    CHECK(c.send(u.identify())->status == 201);
  }
  {
    client c{secret, [n = 200](const request&) mutable { return response{n++, {}, {}}; }};
    CHECK(c.send(u.identify())->status == 200);
    CHECK(c.send(u.identify())->status == 201);
  }
  {
    client c{secret, [p = std::make_unique<int>(202)](const request&) { return response{*p, {}, {}}; }};
    CHECK(c.send(u.identify())->status == 202);
  }
  {
    client c{secret, &ok};
    CHECK(c.send(u.identify())->status == 200);
  }
  {
    client c{secret, ok};
    CHECK(c.send(u.identify())->status == 200);
  }
  {
    client c{secret, &refuse};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(sent.error().code == errc::not_sent);
    CHECK(contains(sent.error().message, "no route"));
  }
  {
    calls = 0;
    client c{secret, functor{&calls}};
    CHECK(c.send(u.identify())->status == 204);
    CHECK(calls == 1);
  }
  {
    calls = 0;
    functor f{&calls};
    client c{secret, std::ref(f)};
    CHECK(c.send(u.identify())->status == 204);
    CHECK(calls == 1);
    client copied{secret, f};
    CHECK(copied.send(u.identify())->status == 204);
  }
  {
    std::function<result<response>(const request&)> f = ok;
    client c{secret, f};
    f = nullptr;
    CHECK(c.send(u.identify())->status == 200);
  }
  {
    client c{secret, [](request r) { return response{static_cast<int>(r.method.size()) * 50, {}, {}}; }};
    CHECK(c.send(u.identify())->status == 200);
  }
  {
    client c{secret, [](const auto& r) -> result<response> {
               return response{r.method == "POST" ? 200 : 500, {}, {}};
             }};
    CHECK(c.send(u.identify())->status == 200);
  }
  {
    outbound::transport t{ok};
    outbound::transport other{&refuse};
    other = std::move(t);
    client c{secret, std::move(other)};
    CHECK(c.send(u.identify())->status == 200);
    outbound::transport direct{ok};
    CHECK(direct(request{})->status == 200);
  }
}

TEST_CASE("client: a null function pointer is no transport") {
  using pointer = result<response> (*)(const request&);
  client c{secret, static_cast<pointer>(nullptr)};
  const auto sent = c.send(u.identify());
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::not_sent);
  CHECK(c.prepare(u.identify()));
}

TEST_CASE("client: an empty std::function is no transport, and no callback") {
  client c{secret, std::function<result<response>(const request&)>{}};
  const auto sent = c.send(u.identify());
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::not_sent);
  outbound::queue_options o;
  o.on_event = std::function<void(const outbound::event&)>{};
  CHECK_FALSE(static_cast<bool>(o.on_event));
  const std::function<result<response>(const request&)> full = ok;
  CHECK(client{secret, full}.send(u.identify()));
  CHECK(client{secret, outbound::callback<result<response>(const request&)>{full}}.send(u.identify()));
  CHECK_FALSE(client{secret, outbound::callback<result<response>(const request&)>{}}.send(u.identify()));
}

TEST_CASE("client: no transport") {
  client c{secret, outbound::no_transport};
  const auto sent = c.send(u.identify());
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::not_sent);
  CHECK(sent.error().status == 0);
  CHECK(contains(sent.error().message, "prepare"));
  CHECK(c.prepare(u.identify()));
}

namespace {

// What is assignable from nullptr, and not empty.
struct from_pointer {
  from_pointer(const char*) {}
  response operator()(const request&) const { return {200, {}, {}}; }
};
struct not_connected {
  not_connected(int* = nullptr) {}
  explicit operator bool() const { return false; }
  response operator()(const request&) const { return {200, {}, {}}; }
};

}  // namespace

TEST_CASE("client: a transport that owns connections which cannot be copied") {
  client pooled{secret, [pool = std::vector<std::unique_ptr<int>>(3)](const request&) {
                  return response{200 + static_cast<int>(pool.size()), {}, {}};
                }};
  CHECK(pooled.send(u.identify())->status == 203);
}

TEST_CASE("client: a transport that is assignable from nullptr is one") {
  CHECK(client{secret, from_pointer{"proxy"}}.send(u.identify()));
  CHECK(client{secret, not_connected{}}.send(u.identify()));
}

TEST_CASE("client: a hook may return something") {
  int told = 0;
  outbound::queue_options o;
  o.on_event = [&told](const outbound::event&) -> int& { return ++told; };
  o.on_event(outbound::event{});
  CHECK(told == 1);
}

TEST_CASE("client: an error without a text gets one") {
  client c{secret, [](const request&) { return outbound::error{errc::not_sent, 0, {}, {}}; }};
  CHECK(c.send(u.identify()).error().message == "nothing was sent");
  client nameless{secret, [](const request&) { return outbound::error{}; }};
  CHECK(nameless.send(u.identify()).error().message == "there was no response; the request may have been processed");
  CHECK(std::error_code{errc{}}.message() == "no error");
}

TEST_CASE("F34: a delivery that no queue has made cannot lead the key elsewhere", "[F34]") {
  const client c{secret, ok};
  struct given : outbound::store {
    outbound::record only{};
    result<void> append(const outbound::record&) override { return {}; }
    result<void> remove(const std::vector<std::uint64_t>&) override { return {}; }
    result<std::vector<outbound::record>> load() override { return std::vector<outbound::record>{only}; }
  } store;
  const outbound::instant start{};
  for (const char* path :
       {"@evil.example/v2/track", "", "v2/track", "/v2/track\r\nX-Evil: 1", "/v2/tr ack", "/v2/\xC3\xA4"}) {
    CAPTURE(path);
    store.only = {1, path, "{}", "00000000-0000-8000-8000-000000000001", "1"};
    outbound::queue_options o;
    o.store = &store;
    outbound::delivery_queue q{o};
    CHECK_FALSE(q.next(start));
    const auto posted = q.post(u.identify(), start);
    REQUIRE(!posted);
    CHECK(posted.error().code == errc::store_failed);
    CHECK(contains(posted.error().message, "record 1"));
    CHECK(contains(posted.error().message, "path"));

    outbound::delivery filled;
    filled.path = path;
    CHECK(c.prepare(filled).error().code == errc::invalid_message);
  }
  outbound::delivery filled;
  filled.path = "/v2/track";
  CHECK(c.prepare(filled));
  filled.guid = "x\r\nX-Evil: 1";
  CHECK(c.prepare(filled).error().code == errc::invalid_message);
}

TEST_CASE("client: one that was moved from cannot be used") {
  client a{secret, ok};
  const client b{std::move(a)};
  const auto prepared = a.prepare(u.identify());
  REQUIRE(!prepared);
  CHECK(prepared.error().code == errc::invalid_options);
  CHECK(contains(prepared.error().message, "moved from"));
  CHECK(!a.send(u.identify()));
  CHECK(!a.validate(u.identify()));
  a = client{secret, ok};
  CHECK(a.send(u.identify()));
}

TEST_CASE("client: what a server says of its error may be nothing") {
  const auto message = [](const std::string& body) { return outbound::interpret({422, body, {}}).error().message; };
  const std::string head = outbound::interpret({422, "", {}}).error().message;
  CHECK(head == "the server refused the message (HTTP 422)");
  CHECK(message(R"({"error":{"Message":"no"}})") == head + ": no");
  CHECK(message(R"({"error":{"Message":"no","Code":7}})") == head + ": no (code 7)");
  CHECK(message(R"({"error":{"Message":"no","Code":null}})") == head + ": no");
  CHECK(message(R"({"error":{"Message":""}})") == head + R"(: {"error":{"Message":""}})");
  CHECK(message(R"({"error":{"Message":"","Code":1}})") == head + R"(: {"error":{"Message":"","Code":1}})");
}

#ifdef __cpp_exceptions
TEST_CASE("client: an id whose conversion throws ended the program") {
  struct throws {
    operator std::string_view() const { throw std::runtime_error{"no id"}; }
  };
  CHECK_THROWS_AS(user{throws{}}, std::runtime_error);
}
#endif

TEST_CASE("client: transports are destroyed once, with the client") {
  const auto alive = std::make_shared<int>();
  {
    client a{secret, [alive](const request&) { return response{200, {}, {}}; }};
    CHECK(alive.use_count() == 2);
    client b{std::move(a)};
    CHECK(alive.use_count() == 2);
    client c{secret, ok};
    c = std::move(b);
    CHECK(c.send(u.identify()));
    CHECK(alive.use_count() == 2);
    c = client{secret, ok};
    CHECK(alive.use_count() == 1);
    CHECK(c.send(u.identify()));
  }
  CHECK(alive.use_count() == 1);
  {
    client refused{"", [alive](const request&) { return response{200, {}, {}}; }};
    CHECK(!refused.send(u.identify()));
  }
  CHECK(alive.use_count() == 1);
}

TEST_CASE("client: what a transport says is kept") {
  for (const errc code : {errc::not_sent, errc::no_response, errc::closed, errc::throttled, errc::out_of_memory}) {
    client c{secret, [code](const request&) { return outbound::error{code, 418, "said so", {}}; }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(sent.error().code == code);
    CHECK(sent.error().status == 418);
    CHECK(contains(sent.error().message, "said so"));
  }
  // An error without a name: it may have been processed.
  client c{secret, [](const request&) { return outbound::error{}; }};
  CHECK(c.send(u.identify()).error().code == errc::no_response);
}

TEST_CASE("F39: what a transport returns may be nonsense", "[F39]") {
  for (const int status : {0, -1, 99, 600, (std::numeric_limits<int>::min)(), (std::numeric_limits<int>::max)()}) {
    client c{secret, [status](const request&) {
               return response{
                   status, std::string(std::size_t{1} << 20, '\xFF'), {{"", ""}, {"a", "1"}, {"A", "2"}, {"\n", "\r"}}};
             }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(sent.error().code == (status == 0 ? errc::no_response : errc::unexpected_status));
    CHECK(sent.error().status == status);
    CHECK(sent.error().message.size() < 2000);
  }
}

#ifdef __cpp_exceptions
namespace {

struct silent : std::exception {
  const char* what() const noexcept override { return nullptr; }
};

}  // namespace

TEST_CASE("F40: a transport that throws is an error like any other", "[F40]") {
  int turn = 0;
  client c{secret, [&turn](const request&) -> result<response> {
             switch (turn++) {
               case 0: throw std::runtime_error{"boom"};
               case 1: throw 42;
               case 2: throw std::bad_alloc{};
               case 3: throw std::runtime_error{"two\nlines \xFF " + std::string(100'000, 'x')};
               case 4: throw std::runtime_error{std::string{"the key is "} + secret};
               case 5: throw "text";
               case 6: throw std::make_unique<int>(5);
               case 7: throw std::system_error{std::make_error_code(std::errc::connection_refused)};
               default: return response{200, {}, {}};
             }
           }};
  for (int i = 0; i < 8; ++i) {
    CAPTURE(i);
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    CHECK(sent.error().status == 0);
    CHECK((sent.error().code == errc::no_response || (i == 2 && sent.error().code == errc::out_of_memory)));
    CHECK(!sent.error().message.empty());
    CHECK(sent.error().message.size() < 2000);
    CHECK(!contains(sent.error().message, "\n"));
    CHECK(outbound::repaired(sent.error().message) == sent.error().message);
    CHECK(!leaks(sent.error()));
    if (i == 0) CHECK(contains(sent.error().message, "boom"));
  }
  CHECK(c.send(u.identify()));  // it stays usable
  CHECK(turn == 9);
}

TEST_CASE("F36: the key is in no error that was thrown, also where it is cut", "[F36]") {
  std::string leaked;
  for (std::size_t before = 150; before < 260; ++before) {
    client c{secret, [before](const request&) -> response {
               throw std::runtime_error{std::string(before, '.') + secret + " is unknown"};
             }};
    const auto sent = c.send(u.identify());
    REQUIRE(!sent);
    if (leaks(sent.error())) leaked = sent.error().message;
  }
  CHECK(leaked.empty());
}

TEST_CASE("F40: an exception that says nothing", "[F40]") {
  client c{secret, [](const request&) -> response { throw silent{}; }};
  const auto sent = c.send(u.identify());
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::no_response);
  CHECK(!sent.error().message.empty());
}

TEST_CASE("F40: an empty std::function is an error, not a crash", "[F40]") {
  client c{secret, std::function<result<response>(const request&)>{}};
  const auto sent = c.send(u.identify());
  REQUIRE(!sent);
  CHECK(sent.error().code == errc::not_sent);
}
#endif

TEST_CASE("F40: a transport may use another client, and its own", "[F40]") {
  int inner_calls = 0;
  client inner{
      "key-inner", [&inner_calls](const request& r) {
        ++inner_calls;
        return response{*outbound::find_header(r.headers, "X-Outbound-Key") == "key-inner" ? 200 : 500, {}, {}};
      }};
  client* self = nullptr;
  int depth = 0;
  client outer{
      "key-outer", [&](const request& r) -> result<response> {
        if (!inner.send(u.track("nested"))) return refuse(r);
        if (++depth < 3 && !self->send(u.track("again"))) return refuse(r);
        return response{*outbound::find_header(r.headers, "X-Outbound-Key") == "key-outer" ? 200 : 500, {}, {}};
      }};
  self = &outer;
  CHECK(outer.send(u.identify()));
  CHECK(depth == 3);
  CHECK(inner_calls == 3);
}

TEST_CASE("client: after a failure it is usable") {
  int turn = 0;
  client c{secret, [&turn](const request&) -> result<response> {
             if (turn++ % 2 == 0) return outbound::error{errc::not_sent, 0, "no route", {}};
             return response{200, {}, {}};
           }};
  for (int i = 0; i < 5; ++i) {
    CHECK(!c.send(u.track("e")));
    CHECK(c.send(u.track("e")));
    CHECK(!c.send(user{""}.track("e")));
  }
  CHECK(turn == 10);
}

// --- values, threads

TEST_CASE("F59: what may be copied and moved", "[F59]") {
  static_assert(!std::is_copy_constructible_v<client>);
  static_assert(!std::is_copy_assignable_v<client>);
  static_assert(std::is_nothrow_move_constructible_v<client>);
  static_assert(std::is_nothrow_move_assignable_v<client>);
  static_assert(!std::is_default_constructible_v<client>);
  static_assert(!std::is_copy_constructible_v<outbound::transport>);
  static_assert(!std::is_copy_assignable_v<outbound::transport>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::transport>);
  static_assert(std::is_nothrow_move_assignable_v<outbound::transport>);
  static_assert(!std::is_copy_constructible_v<outbound::value>);
  static_assert(!std::is_copy_constructible_v<outbound::element>);
  static_assert(!std::is_copy_constructible_v<outbound::member>);
  static_assert(!std::is_copy_assignable_v<outbound::member>);
  static_assert(std::is_copy_constructible_v<outbound::message>);
  static_assert(std::is_copy_assignable_v<outbound::track>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::message>);
  static_assert(std::is_nothrow_move_assignable_v<outbound::message>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::identify>);
  static_assert(std::is_nothrow_move_assignable_v<outbound::track>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::batch>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::object>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::array>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::json>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::user>);
  static_assert(std::is_nothrow_move_constructible_v<request>);
  static_assert(std::is_nothrow_move_constructible_v<response>);
  static_assert(std::is_nothrow_move_constructible_v<outbound::error>);
  static_assert(std::is_nothrow_move_constructible_v<result<response>>);
  static_assert(noexcept(std::declval<client&>().send(std::declval<const outbound::message&>())));
  static_assert(noexcept(std::declval<const client&>().prepare(std::declval<const outbound::message&>())));
  // A swapped user and event does not compile, nor does text where a user is meant.
  static_assert(!std::is_convertible_v<const char*, user>);
  static_assert(!std::is_convertible_v<int, user>);
  static_assert(!std::is_constructible_v<user, bool>);
  static_assert(!std::is_constructible_v<user, char>);
  static_assert(!std::is_constructible_v<user, double>);
  static_assert(!std::is_constructible_v<user, std::nullptr_t>);
  static_assert(!std::is_constructible_v<client, std::nullptr_t, outbound::no_transport_t>);

  client a{"key-of-a", ok, with_url("https://a.example")};
  client b{std::move(a)};
  CHECK(b.prepare(u.identify())->url == "https://a.example/v2/identify");
  CHECK(b.send(u.identify()));
  client c{"key-of-c", outbound::no_transport, with_url("https://c.example")};
  c = std::move(b);
  CHECK(c.prepare(u.identify())->url == "https://a.example/v2/identify");
  CHECK(*outbound::find_header(c.prepare(u.identify())->headers, "X-Outbound-Key") == "key-of-a");
  CHECK(c.send(u.identify()));
  a = client{"key-of-d", ok};
  CHECK(a.send(u.identify()));
  std::vector<client> many;
  for (int i = 0; i < 20; ++i)
    many.emplace_back("key-" + std::to_string(i), [i](const request&) { return response{200 + i, {}, {}}; });
  for (int i = 0; i < 20; ++i) CHECK(many[static_cast<std::size_t>(i)].send(u.identify())->status == 200 + i);
}

#ifndef OUTBOUND_NO_THREADS
TEST_CASE("client: requests are prepared from many threads at once") {
  const client c{secret, ok};
  const outbound::track shared = u.track("e").property("p", {1, "x"});
  std::vector<int> failures(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const auto mine = c.prepare(user{i}.track("e"));
        const auto same = c.prepare(shared);
        const auto bad = c.prepare(user{""}.track("e"));
        const bool good = mine && mine->user_key == std::to_string(i) && same && same->body == shared.body() && !bad &&
                          bad.error().code == errc::invalid_message && outbound::interpret(response{200, {}, {}}) &&
                          outbound::interpret(response{503, {}, {}}).error().code == errc::unavailable;
        if (!good) ++failures[t];
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(failures == std::vector<int>(4, 0));
}

TEST_CASE("F75: 100 clients with their own keys and hosts, side by side", "[F75]") {
  constexpr std::size_t count = 100;
  std::vector<int> good(count, 0);
  std::vector<std::thread> threads;
  for (std::size_t n = 0; n < count; ++n)
    threads.emplace_back([&good, n] {
      const std::string key = "key-" + std::to_string(n);
      const std::string url = "https://host-" + std::to_string(n) + ".example/v2/track";
      client c{key,
               [&](const request& r) -> result<response> {
                 const bool mine = r.url == url && *outbound::find_header(r.headers, "X-Outbound-Key") == key;
                 if (n % 3 == 0) return response{401, "unknown " + key, {}};
                 return response{mine ? 200 : 500, {}, {}};
               },
               with_url("https://host-" + std::to_string(n) + ".example")};
      for (int i = 0; i < 20; ++i) {
        const auto sent = c.send(user{i}.track("e").property("n", n).property("d", 0.5 * i));
        if (n % 3 == 0)
          good[n] += !sent && sent.error().code == errc::unauthorized && !contains(sent.error().message, key);
        else good[n] += sent.has_value();
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(good == std::vector<int>(count, 20));
}
#endif

// --- the process around it

namespace {

// Every function of a queue and of an outbox, with each kind of answer.
std::size_t deliver_everything() {
  using std::chrono::hours;
  std::size_t told = 0;
  outbound::queue_options q;
  q.seed = {1, 2};
  q.max_messages = 5;
  q.when_full = outbound::overflow::drop_oldest;
  q.batch_size = 2;
  q.on_event = [&told](const outbound::event& e) { told += e.message.body.size() + e.cause.message.size(); };
  outbound::delivery_queue queue{q};
  const auto at = [](int hour) {
    return outbound::instant{std::chrono::steady_clock::time_point{hours{hour}},
                             std::chrono::system_clock::time_point{hours{400'000 + hour}}};
  };
  for (int i = 0; i < 8; ++i) told += queue.post(u.track("e").property("i", i), at(0)).has_value();
  told += queue.post(user{""}.track("e"), at(0)).error().message.size();
  int hour = 0;
  for (const int status : {503, 429, 500, 404, 401, 0, 422, 200}) {
    hour += 2;
    queue.report(queue.next(at(hour)), response{status, "", {{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}}},
                 at(hour));
    told += queue.due() > at(hour).steady;
  }
  queue.close();
  queue.abandon();
  told += queue.stats().accepted;
#ifndef OUTBOUND_NO_THREADS
  for (const std::size_t workers : {std::size_t{0}, std::size_t{1}}) {
    std::size_t calls = 0;
    outbound::outbox_options o;
    o.workers = workers;
    o.retry.first_delay = std::chrono::milliseconds{0};
    outbound::outbox box{client{secret,
                                [&calls](const request&) {
                                  return response{++calls == 1 ? 503 : 200, "", {{"Retry-After", "0"}}};
                                }},
                         o};
    told += box.workers() + box.post(u.track("e")).has_value() + box.post(u.identify()).has_value();
    told += box.flush(hours{1}).queued + box.flush(std::chrono::duration<double>{0.001}).queued;
    told += box.stats().delivered + box.close(std::chrono::nanoseconds{1}).queued + calls;
  }
#endif
  return told;
}

// Calls everything that is public, with values that reach the far corners.
std::size_t use_everything() {
  std::size_t n = 0;
  client c{secret, [](const request& r) {
             return response{r.body.size() % 2 == 0 ? 200 : 400, R"({"error":{"Message":"m"}})", {}};
           }};
  client refused{"no\n", ok};
  outbound::object o{{"d", 0.1}, {"big", 1e300}, {"tiny", 5e-324}, {"nan", std::nan("")}, {"f", 0.3F}, {"i", -5}};
  o.set("again", o).set("a", outbound::array::of(1.5, "x", nullptr));
  outbound::identify who = user{-7}.identify();
  who.first_name("\xFF").apns({"a", "b"}).attributes(o).attribute("j", outbound::json{R"({"a":[1e400,-0.0]})"});
  who.attributes(outbound::json{"{\"x\":1}"}).timezone("UTC").group("g", {{"k", 2.5}}).previous_id(u);
  outbound::track what = u.track(std::string(300, 'e')).at(std::chrono::system_clock::time_point{}).property("d", 1e-7);
  what.properties({{"a", {1, 2.25}}, {"b", INFINITY}});
  outbound::batch b;
  n += b.add(what).has_value();
  n += b.add(u.track("e")).has_value();
  n += b.add(who).has_value();
  for (const outbound::message& m :
       {outbound::message{who}, outbound::message{what}, outbound::message{b}, u.subscribe({1}),
        u.register_token(outbound::platform::fcm, "t"), u.unsubscribe(std::vector<int>{})}) {
    n += m.body().size() + m.problems().size() + m.warnings().size() + m.user_key().size() + m.path().size();
    n += c.send(m).has_value();
    n += refused.send(m).error().message.size();
    const auto prepared = c.prepare(m);
    if (prepared) n += outbound::curl_command(*prepared).size();
  }
  n += deliver_everything();
  n += outbound::interpret(response{500, std::string(500, '\xFF'), {}}).error().message.size();
  n += outbound::repaired("a\xED\xA0\x80z").size() + outbound::from_utf16(u"a\xD800z").size();
  n += outbound::make_error_code(errc::throttled).message().size();
  return n;
}

// The rounding mode, by what it does: qemu's 32-bit PowerPC has not the instruction of fegetround.
int rounding_mode() {
  volatile double one = 1;
  volatile double tiny = 1e-30;
  volatile double most_of_an_ulp = 0.75 * std::numeric_limits<double>::epsilon();
  const volatile double up = one + tiny;
  const volatile double down = -one - tiny;
  const volatile double nearest = one + most_of_an_ulp;
  return (up > one ? 1 : 0) + (down < -one ? 2 : 0) + (nearest > one ? 4 : 0);
}

#if defined(__unix__) || defined(__APPLE__)
// What a process shares and a library could change: each signal's handler, whether it is blocked, the mask of new
// files.
struct process_state {
  std::vector<std::string> handlers{};
  std::vector<int> blocked{};
  mode_t mask{};
};
bool operator==(const process_state& a, const process_state& b) {
  return a.handlers == b.handlers && a.blocked == b.blocked && a.mask == b.mask;
}

process_state look_at_process() {
  process_state seen;
  sigset_t mask;
  sigemptyset(&mask);
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  for (int n = 1; n < 32; ++n) {
    struct sigaction action {};
    if (sigaction(n, nullptr, &action) != 0) continue;
    const auto handler = action.sa_handler;
    std::string bytes(sizeof handler, '\0');
    std::memcpy(&bytes[0], &handler, sizeof handler);
    seen.handlers.push_back(bytes + std::to_string(action.sa_flags));
    seen.blocked.push_back(sigismember(&mask, n));
  }
  seen.mask = umask(0);
  umask(seen.mask);
  return seen;
}
#endif

}  // namespace

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("F71: signals and the mask of new files are left alone", "[F71]") {
  const mode_t before = umask(0137);
  const process_state want = look_at_process();
  CHECK(want.handlers.size() > 20);
  CHECK(want.mask == 0137);
  CHECK(use_everything() > 1000);
  CHECK(look_at_process() == want);
  umask(before);
}
#endif

TEST_CASE("F71: errno, locale, floating-point state and rand() are left alone", "[F71]") {
  CHECK(use_everything() > 1000);  // whatever is made once is made now
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  const auto next_random = [] {
    std::srand(5);
    static_cast<void>(std::rand());
    return std::rand();
  };
  const int want = next_random();
  std::srand(5);
  static_cast<void>(std::rand());
  std::feclearexcept(FE_ALL_EXCEPT);
  errno = 4711;
  const std::size_t first = use_everything();
  const int errno_after = errno;
  const int raised = std::fetestexcept(FE_ALL_EXCEPT & ~FE_INEXACT);
  CHECK(errno_after == 4711);
  CHECK(raised == 0);
  CHECK(rounding_mode() == 4);
  CHECK(std::rand() == want);
  CHECK(std::setlocale(LC_ALL, nullptr) == locale);
  // What was set before is not cleared, and what is written does not depend on it.
  const outbound::object before{{"a", 0.1}, {"b", 1e23}, {"c", 5e-324}, {"d", 2.5}, {"e", 123456789.123F}};
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    REQUIRE(std::fesetround(mode) == 0);
    std::feraiseexcept(FE_OVERFLOW);
    const int is_mode = rounding_mode();                 // emulators lack modes (mips64el)
    const int is_flag = std::fetestexcept(FE_OVERFLOW);  // and flags (m68k)
    const std::size_t again = use_everything();
    const outbound::object now{{"a", 0.1}, {"b", 1e23}, {"c", 5e-324}, {"d", 2.5}, {"e", 123456789.123F}};
    const int kept_mode = rounding_mode();
    const int kept_flag = std::fetestexcept(FE_OVERFLOW);
    std::fesetround(FE_TONEAREST);
    CHECK(kept_mode == is_mode);
    CHECK(kept_flag == is_flag);
    CHECK(again == first);
    CHECK(now.text() == before.text());
  }
  std::feclearexcept(FE_ALL_EXCEPT);
}

TEST_CASE("an invalid message's error names its problems: eight of them, and how many more") {
  const auto message_of = [](int bad) {
    client c{secret, ok};
    auto m = u.identify();
    for (int i = 0; i < bad; ++i) m.attribute("k" + std::to_string(i), not_a_number);
    const auto sent = c.send(m);
    return sent.error().message;
  };
  const std::string one = message_of(1);
  const std::size_t at = one.find(": /attributes/k0 ");
  REQUIRE(at != std::string::npos);
  const std::string begin = one.substr(0, at), why = one.substr(at + std::string{": /attributes/k0"}.size());
  std::string want = one;
  for (int i = 1; i < 8; ++i) {
    want += "; /attributes/k" + std::to_string(i) + why;
    CHECK(message_of(i + 1) == want);
  }
  CHECK(message_of(9) == want + "; and 1 more");
  CHECK(message_of(20) == want + "; and 12 more");
}

TEST_CASE("a text that ends with the beginning of the key is left as it is") {
  const std::string key = secret;
  for (std::size_t n = 1; n <= key.size(); ++n) {
    CAPTURE(n);
    const std::string text = "what comes back ends with " + key.substr(0, n);
    client c{secret, [&text](const request&) -> result<response> {
               return outbound::error{errc::no_response, 0, text, {}};
             }};
    const std::string told = c.send(u.identify()).error().message;
    if (n < key.size()) CHECK(told == text);
    else CHECK_FALSE(leaks(told));
  }
}
