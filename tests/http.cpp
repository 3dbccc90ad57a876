// Requests and responses: what a status means, what an error says, headers, curl lines, results.
#include "outbound.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using outbound::errc;
using outbound::header;
using outbound::request;
using outbound::response;
using outbound::result;

const errc every_errc[] = {errc::invalid_message, errc::invalid_options, errc::not_sent,          errc::no_response,
                           errc::malformed_json,  errc::invalid_field,   errc::unauthorized,      errc::misdirected,
                           errc::throttled,       errc::unavailable,     errc::unexpected_status, errc::queue_full,
                           errc::closed,          errc::store_failed,    errc::out_of_memory};

// The table of DESIGN 4.
errc meaning(int status) {
  switch (status) {
    case 0: return errc::no_response;
    case 400:
    case 413:
    case 422: return errc::invalid_field;
    case 401:
    case 403: return errc::unauthorized;
    case 404:
    case 405:
    case 410: return errc::misdirected;
    case 408:
    case 425: return errc::unavailable;
    case 429: return errc::throttled;
    case 500: return errc::malformed_json;
    default: break;
  }
  if (status >= 300 && status <= 399) return errc::misdirected;
  if (status >= 501 && status <= 599) return errc::unavailable;
  return errc::unexpected_status;
}

// RFC 3629, by its grammar: the tests' own opinion.
bool is_utf8(std::string_view s) {
  const auto at = [&s](std::size_t i) {
    return i < s.size() ? static_cast<unsigned>(static_cast<unsigned char>(s[i])) : 0U;
  };
  const auto in = [&at](std::size_t i, unsigned low, unsigned high) { return at(i) >= low && at(i) <= high; };
  for (std::size_t i = 0; i < s.size();) {
    if (at(i) < 0x80) i += 1;
    else if (in(i, 0xC2, 0xDF) && in(i + 1, 0x80, 0xBF)) i += 2;
    else if (in(i, 0xE0, 0xEF) && in(i + 1, at(i) == 0xE0 ? 0xA0 : 0x80, at(i) == 0xED ? 0x9F : 0xBF) &&
             in(i + 2, 0x80, 0xBF))
      i += 3;
    else if (in(i, 0xF0, 0xF4) && in(i + 1, at(i) == 0xF0 ? 0x90 : 0x80, at(i) == 0xF4 ? 0x8F : 0xBF) &&
             in(i + 2, 0x80, 0xBF) && in(i + 3, 0x80, 0xBF))
      i += 4;
    else return false;
  }
  return true;
}

bool fit_for_a_log(std::string_view s) {
  for (const char c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  return !s.empty() && s.size() <= 2000 && is_utf8(s);
}

// What an error says about a body.
std::string said(int status, std::string body) {
  const result<response> r = outbound::interpret(response{status, std::move(body), {}});
  return r ? std::string{} : r.error().message;
}

bool contains(std::string_view s, std::string_view part) { return s.find(part) != std::string_view::npos; }

}  // namespace

TEST_CASE("http: every status from 100 to 599") {
  for (int status = 100; status <= 599; ++status) {
    CAPTURE(status);
    const result<response> r = outbound::interpret(response{status, "{}", {{"A", "b"}}});
    if (status >= 200 && status <= 299) {
      REQUIRE(r);
      CHECK(r->status == status);
      CHECK(r->body == "{}");
      CHECK(r->headers.size() == 1);
      CHECK(r.error().code == errc{});
      continue;
    }
    REQUIRE(!r);
    CHECK(r.error().code == meaning(status));
    CHECK(r.error().status == status);
    CHECK(contains(r.error().message, std::to_string(status)));
    CHECK(r.error().problems.empty());
    CHECK(fit_for_a_log(r.error().message));
  }
}

TEST_CASE("F39: a status that is none is classified", "[F39]") {
  constexpr int lowest = (std::numeric_limits<int>::min)();
  constexpr int highest = (std::numeric_limits<int>::max)();
  for (const int status :
       {0, -1, 1, 20, 99, 600, 700, 999, 1000, 2000, 4000, 65536 + 200, 99999, lowest, lowest + 200, highest}) {
    CAPTURE(status);
    const result<response> r = outbound::interpret(response{status, {}, {}});
    REQUIRE(!r);
    CHECK(r.error().code == meaning(status));
    CHECK(r.error().status == status);
    CHECK(fit_for_a_log(r.error().message));
  }
  CHECK(outbound::interpret(response{}).error().code == errc::no_response);
}

TEST_CASE("http: an error body in the documented form is shown") {
  const std::string text = said(400, R"({"error":{"Message":"user_id is missing","Code":7}})");
  CHECK(contains(text, "user_id is missing"));
  CHECK(contains(text, "7"));
  CHECK(contains(text, "400"));
  CHECK(!contains(text, "{"));
  CHECK(contains(said(500, R"( { "more" : [1] , "error" : { "Code" : 12 , "Message" : "bad \"JSON\" \u00e9" } } )"),
                 "bad \"JSON\" \xC3\xA9"));
  CHECK(contains(said(401, R"({"error":{"Message":"no"}})"), "no"));
}

TEST_CASE("F39: whatever the body is, the error says it in one short line", "[F39]") {
  struct row {
    const char* body;
    const char* shown;
  };
  for (const row& r : {
           row{R"({"error":"the key is unknown"})", "the key is unknown"},
           row{R"({"error":{"Code":7}})", "7"},
           row{R"({"error":{"Message":7}})", "7"},
           row{R"({"error":{"Message":null,"Code":"x"}})", "x"},
           row{R"({"error":null})", "null"},
           row{R"({"error":[]})", "error"},
           row{R"({"error":{}})", "error"},
           row{R"({"Message":"top"})", "top"},
           row{"{\"error\":{\"Message\":\"cut", "cut"},
           row{R"({"error":{"Message":"two\nlines\u0000\u001b[31m"}})", "two"},
           row{"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>", "502 Bad Gateway"},
           row{"plain text\n", "plain text"},
           row{"[1,2]", "[1,2]"},
           row{"\"x\"", "x"},
           row{" ", ""},
           row{"\r\n\r\n", ""},
           row{"null", "null"},
           row{"tab\there\x7F\x1B[2J", "tab"},
       }) {
    CAPTURE(r.body);
    for (const int status : {0, 302, 400, 401, 404, 429, 500, 503, 999, -5}) {
      CAPTURE(status);
      const std::string text = said(status, r.body);
      CAPTURE(text);
      CHECK(fit_for_a_log(text));
      CHECK(contains(text, r.shown));
    }
  }
  CHECK(fit_for_a_log(said(503, "")));
  CHECK(fit_for_a_log(said(500, R"({"error":{"Message":""}})")));
}

TEST_CASE("F39: giant, binary and ill-formed bodies", "[F39]") {
  constexpr std::size_t mib = std::size_t{1} << 20;
  std::string binary;
  for (int i = 0; i < 1024; ++i) binary += static_cast<char>(i % 256);
  const std::string bodies[] = {
      std::string(mib, 'x'),
      std::string(mib, '\0'),
      std::string(mib, '\n'),
      std::string(mib, '{'),
      std::string(mib, '['),
      std::string(mib, '"'),
      std::string(mib, '\xFF'),
      R"({"error":{"Message":")" + std::string(mib, 'm') + R"(","Code":)" + std::string(mib, '9') + "}}",
      R"({"error":{"Message":")" + std::string(mib, '\\') + R"("}})",
      R"({"error":{"Message":"\u0000\u0007\n\r\t\u007f"}})",
      R"({"a":)" + std::string(400, '[') + std::string(400, ']') + R"(,"error":{"Message":"deep"}})",
      "{\"error\":{\"Message\":\"\xC3\x28\"}}",
      "{\"error\":{\"Message\":\"" + std::string(199, 'a') + "\xF0\x9F\x98\x80 and more\"}}",
      "\xEF\xBB\xBF{\"error\":{\"Message\":\"behind a BOM\"}}",
      binary,
      std::string("\0\0", 2),
      "\xC3",
      "\xF0\x9F\x98",
      "\xED\xA0\x80\xC0\xAF",
  };
  for (const std::string& body : bodies) {
    const std::string text = said(400, body);
    CAPTURE(text);
    CHECK(fit_for_a_log(text));
  }
  // A text that is cut is cut between two characters, at every offset.
  std::string cut_apart;
  for (std::size_t n = 150; n < 260; ++n) {
    std::string body(n, 'x');
    for (int i = 0; i < 80; ++i) body += "\xF0\x9F\x98\x80";
    const std::string text = said(400, body);
    CHECK(fit_for_a_log(text));
    if (contains(text, "\xEF\xBF\xBD")) cut_apart = text;  // nothing was ill-formed before the cut
  }
  CHECK(cut_apart.empty());
}

TEST_CASE("http: line breaks and control characters beyond ASCII do not reach a log either") {
  // U+0085 and U+2028/2029 end a line (Unicode 15, 5.8), U+009B begins a terminal's control sequence.
  for (const char* bad : {"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xC2\x9B"}) {
    CHECK(!contains(said(400, std::string{"one"} + bad + "two"), bad));
    CHECK(!contains(said(400, std::string{R"({"error":{"Message":"one)"} + bad + "two\"}}"), bad));
  }
}

// --- headers

TEST_CASE("F39: what is a control character, and what stands beside the last one", "[F39]") {
  const auto shown = [](const std::string& said) {
    const std::string text = outbound::interpret({422, "<" + said + ">", {}}).error().message;
    return text.substr(text.find('<'));
  };
  CHECK(shown("\x01") == "< >");
  CHECK(shown("\x1F") == "< >");
  CHECK(shown("!") == "<!>");
  CHECK(shown("~") == "<~>");
  CHECK(shown("\x7F") == "< >");
  CHECK(shown("\xC2\x80") == "< >");
  CHECK(shown("\xC2\x9F") == "< >");
  CHECK(shown("\xC2\xA0") == "<\xC2\xA0>");
  CHECK(shown("\xE2\x80\xA7") == "<\xE2\x80\xA7>");
  CHECK(shown("\xE2\x80\xA8") == "< >");
  CHECK(shown("\xE2\x80\xA9") == "< >");
}

TEST_CASE("http: a status of 0 is not shown") {
  CHECK(outbound::interpret({0, "", {}}).error().message ==
        "there was no response; the request may have been processed");
}

TEST_CASE("F39: headers are found by name, in any case", "[F39]") {
  const std::vector<outbound::header> some{{"Z-zA", "1"}, {"b-zA", "2"}};
  CHECK(*outbound::find_header(some, "z-Za") == "1");
  CHECK(*outbound::find_header(some, "B-ZA") == "2");

  const std::vector<header> headers{{"Content-Type", "text/html"},
                                    {"RETRY-AFTER", "120"},
                                    {"retry-after", "5"},
                                    {"X-\xC3\x84", "umlaut"},
                                    {"", "no name"},
                                    {"A[", "bracket"},
                                    {"x@", "at"},
                                    {"Empty", ""},
                                    {"Name ", "blank"}};
  const auto find = [&headers](outbound::text name) {
    const std::string* const v = outbound::find_header(headers, name);
    return v != nullptr ? *v : std::string{"(none)"};
  };
  for (const char* name : {"Retry-After", "retry-after", "RETRY-AFTER", "rEtRy-AfTeR"}) CHECK(find(name) == "120");
  CHECK(find("content-type") == "text/html");
  CHECK(find(std::string{"CONTENT-TYPE"}) == "text/html");
  CHECK(find("content-typ") == "(none)");
  CHECK(find("content-type ") == "(none)");
  CHECK(find("content_type") == "(none)");
  CHECK(find("Name") == "(none)");
  CHECK(find("empty").empty());
  // ASCII only: [ is not { and @ is not `, although they differ in the same bit; bytes above 7F are themselves.
  CHECK(find("a[") == "bracket");
  CHECK(find("a{") == "(none)");
  CHECK(find("X@") == "at");
  CHECK(find("X`") == "(none)");
  CHECK(find("x-\xC3\x84") == "umlaut");
  CHECK(find("x-\xC3\xA4") == "(none)");
  CHECK(find(std::string_view{"Retry-After\0", 12}) == "(none)");
  CHECK(outbound::find_header({}, "a") == nullptr);
  CHECK(outbound::find_header(headers, "retry-after") == &headers[1].value);
  // A giant list costs nothing but time.
  std::vector<header> many(10'000, header{"a", "1"});
  many.push_back({"b", "2"});
  REQUIRE(outbound::find_header(many, "B") != nullptr);
}

// --- curl

namespace {

#if defined(__unix__) || defined(__APPLE__)
// What a POSIX shell hands to curl when it reads that line.
std::vector<std::string> shell_sees(const std::string& line) {
  namespace fs = std::filesystem;
  const fs::path script =
      fs::temp_directory_path() / ("outbound-curl-" + std::to_string(reinterpret_cast<std::uintptr_t>(&line)) + ".sh");
  const fs::path output = fs::path{script}.replace_extension(".out");
  {
    std::ofstream out{script, std::ios::binary};
    out << "curl() { for a in \"$@\"; do printf '%s\\0' \"$a\"; done; }\nexec >'" << output.string() << "'\n"
        << line << "\nprintf 'end:%s\\0' \"$?\"\n";
  }
  const int status = std::system(("sh '" + script.string() + "'").c_str());
  std::vector<std::string> seen;
  if (status == 0) {
    std::ifstream in{output, std::ios::binary};
    for (std::string word; std::getline(in, word, '\0');) seen.push_back(word);
  }
  std::error_code ignored;
  fs::remove(script, ignored);
  fs::remove(output, ignored);
  return seen;
}
#endif

bool any_is(const std::vector<std::string>& words, std::string_view want) {
  for (const std::string& w : words)
    if (w == want) return true;
  return false;
}

request sample() {
  request r;
  r.method = "POST";
  r.url = "https://api.outbound.io/v2/track";
  r.headers = {
      {"Content-Type", "application/json"}, {"X-Outbound-Key", "hush-hush"}, {"X-Outbound-Client", "Cpp/1.0.0"}};
  r.body = R"({"user_id":"u","event":"e"})";
  return r;
}

}  // namespace

TEST_CASE("http: a curl line names what is sent, and hides the key") {
  const std::string line = outbound::curl_command(sample());
  CHECK(line.rfind("curl ", 0) == 0);
  CHECK(contains(line, "https://api.outbound.io/v2/track"));
  CHECK(contains(line, R"({"user_id":"u","event":"e"})"));
  CHECK(contains(line, "Content-Type: application/json"));
  CHECK(contains(line, "X-Outbound-Client: Cpp/1.0.0"));
  CHECK(contains(line, "X-Outbound-Key: "));
  CHECK(!contains(line, "hush-hush"));
  CHECK(!contains(line, "\n"));
}

TEST_CASE("http: a curl line shows the values of known headers only") {
  request r = sample();
  for (const char* name : {"x-outbound-key", "X-OUTBOUND-KEY", "X-Outbound-Key2", "Authorization", "Cookie",
                           "X-Api-Key", "Proxy-Authorization", "", "Content-Type2", "content_type", "X-Outbound"})
    r.headers.push_back({name, "hush-hush"});
  CHECK(!contains(outbound::curl_command(r), "hush-hush"));
  r.headers = {{"x-outbound-guid", "a-guid"}, {"CONTENT-TYPE", "a-type"}, {"x-OUTBOUND-client", "a-client"}};
  CHECK(contains(outbound::curl_command(r), "a-guid"));
  CHECK(contains(outbound::curl_command(r), "a-type"));
  CHECK(contains(outbound::curl_command(r), "a-client"));
}

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("http: a shell reads from a curl line exactly what is sent") {
  const std::vector<std::string> plain = shell_sees(outbound::curl_command(sample()));
  CHECK(any_is(plain, "POST"));
  CHECK(any_is(plain, "https://api.outbound.io/v2/track"));
  CHECK(any_is(plain, R"({"user_id":"u","event":"e"})"));
  CHECK(any_is(plain, "Content-Type: application/json"));
  CHECK(any_is(plain, "end:0"));
  const std::size_t words = plain.size();
  REQUIRE(words > 5);

  std::string all_bytes;
  for (int c = 1; c < 256; ++c) all_bytes += static_cast<char>(c);
  for (const std::string& evil :
       {std::string{"'"}, std::string{"''"}, std::string{"it's"}, std::string{"'; exit 3; '"}, std::string{"$(exit 3)"},
        std::string{"`exit 3`"}, std::string{"\\"}, std::string{"\\'"}, std::string{"a\nexit 3\n"},
        std::string{"\" $HOME \""}, std::string{"!! # & | > <"}, std::string{"@/etc/passwd"}, std::string{"-o x"},
        std::string{"--"}, std::string{"\r\n"}, all_bytes, std::string(5000, '\'')}) {
    CAPTURE(evil);
    request r = sample();
    r.body = evil;
    r.url += evil;
    r.headers.push_back({"X-Outbound-GUID", evil});
    r.headers.push_back({"N" + evil, "v"});
    const std::vector<std::string> seen = shell_sees(outbound::curl_command(r));
    CHECK(seen.size() == words + 4);  // -H and its word, twice
    CHECK(any_is(seen, r.url));
    CHECK(any_is(seen, r.body));
    CHECK(any_is(seen, "X-Outbound-GUID: " + evil));
    CHECK(any_is(seen, "end:0"));
  }
  request r = sample();
  r.method = "PO'ST; exit 3";
  CHECK(any_is(shell_sees(outbound::curl_command(r)), r.method));
  r.body.clear();
  CHECK(any_is(shell_sees(outbound::curl_command(r)), ""));
}
#endif

TEST_CASE("http: a curl line of an empty request is no crash") {
  CHECK(outbound::curl_command(request{}).rfind("curl", 0) == 0);
}

// --- errors as std::error_code

TEST_CASE("http: errc is a std::error_code") {
  static_assert(std::is_error_code_enum<errc>::value);
  static_assert(!std::is_error_condition_enum<errc>::value);
  std::set<std::string> texts;
  std::set<int> numbers;
  for (const errc e : every_errc) {
    const std::error_code code = e;
    CHECK(code);
    CHECK(code == e);
    CHECK(e == code);
    CHECK(code == outbound::make_error_code(e));
    CHECK(code.value() == static_cast<int>(e));
    CHECK(&code.category() == &outbound::error_category());
    CHECK(std::string{code.category().name()} == "outbound");
    CHECK(fit_for_a_log(code.message()));
    texts.insert(code.message());
    numbers.insert(code.value());
    for (const errc other : every_errc) CHECK((code == other) == (e == other));
    CHECK(code != std::error_code(code.value(), std::generic_category()));
    CHECK(code != std::error_code(code.value(), std::system_category()));
  }
  CHECK(texts.size() == std::size(every_errc));
  CHECK(numbers.size() == std::size(every_errc));
  CHECK(!outbound::make_error_code(errc{}));
  for (const int unknown : {0, -1, 16, 4711, (std::numeric_limits<int>::max)()}) {
    CHECK(!outbound::error_category().message(unknown).empty());
    CHECK(texts.count(outbound::error_category().message(unknown)) == 0);
  }
  std::error_code assigned;
  CHECK(!assigned);
  assigned = errc::throttled;
  CHECK(assigned == errc::throttled);
  CHECK(assigned != errc::unavailable);
  outbound::error e{errc::closed, 0, "text", {}};
  assigned = e.code;
  CHECK(assigned == errc::closed);
}

TEST_CASE("http: aggregates have their members in the documented order") {
  const response r{200, "body", {{"name", "value"}}};
  CHECK(r.status == 200);
  CHECK(r.body == "body");
  CHECK(r.headers.at(0).name == "name");
  CHECK(r.headers.at(0).value == "value");
  const outbound::problem p{outbound::defect::missing, "/where", "why"};
  CHECK(p.where == "/where");
  CHECK(p.why == "why");
  const outbound::error e{errc::throttled, 429, "message", {p}};
  CHECK(e.status == 429);
  CHECK(e.message == "message");
  CHECK(e.problems.size() == 1);
  const outbound::error nothing{};
  CHECK(nothing.code == errc{});
  CHECK(nothing.status == 0);
  CHECK(response{}.status == 0);
  CHECK(request{}.timeout.count() == 0);
}

// --- result

TEST_CASE("http: a result is one of two sides, and the other is empty") {
  result<std::string> good{std::string{"value"}};
  REQUIRE(good);
  CHECK(good.has_value());
  CHECK(*good == "value");
  CHECK(good->size() == 5);
  CHECK(good.error().code == errc{});
  CHECK(good.error().message.empty());
  CHECK(good.error().problems.empty());

  result<std::string> bad{outbound::error{errc::closed, 0, "no", {}}};
  REQUIRE(!bad);
  CHECK(!bad.has_value());
  CHECK(bad.error().code == errc::closed);
  CHECK((*bad).empty());
  CHECK(bad->empty());
  CHECK((*std::move(bad)).empty());

  const result<int> number = 7;
  CHECK(*number == 7);
  const result<int> none = outbound::error{errc::not_sent, 0, "x", {}};
  CHECK(*none == 0);
  // An error without a code is an error all the same.
  const result<int> unnamed = outbound::error{};
  CHECK(!unnamed);

  result<std::string> copy = good;
  *copy = "changed";
  CHECK(*good == "value");
  copy = bad;
  CHECK(!copy);
  bad = good;
  CHECK(*bad == "value");
  const std::string taken = *std::move(good);
  CHECK(taken == "value");
  const outbound::error why = std::move(copy).error();
  CHECK(why.code == errc::closed);
}

TEST_CASE("http: a result of a move-only type, and of nothing") {
  using pointer = std::unique_ptr<int>;
  result<pointer> made{std::make_unique<int>(5)};
  REQUIRE(made);
  CHECK(**made == 5);
  CHECK(*made->get() == 5);
  result<pointer> moved{std::move(made)};
  const pointer out = *std::move(moved);
  REQUIRE(out != nullptr);
  CHECK(*out == 5);
  result<pointer> failed{outbound::error{errc::closed, 0, "no", {}}};
  CHECK(*failed == nullptr);
  static_assert(!std::is_copy_constructible_v<result<pointer>>);
  static_assert(std::is_copy_constructible_v<result<std::string>>);
  static_assert(std::is_nothrow_move_constructible_v<result<pointer>>);
  static_assert(!std::is_convertible_v<result<int>, bool>);

  const result<void> done;
  CHECK(done);
  CHECK(done.has_value());
  CHECK(done.error().code == errc{});
  result<void> refused = outbound::error{errc::queue_full, 0, "full", {}};
  CHECK(!refused);
  CHECK(refused.error().code == errc::queue_full);
  refused = {};
  CHECK(refused);
  static_assert(!std::is_convertible_v<result<void>, bool>);
}
