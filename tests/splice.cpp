// JSON text that exists already: checked strictly before it stands in ours.
#include "outbound.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifndef OUTBOUND_NO_THREADS
#include <thread>
#if defined(__unix__) || defined(__APPLE__)
#include <limits.h>
#include <pthread.h>
#endif
#endif

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/depth_of.hpp"
#include "support/quick.hpp"

namespace splice_test {

using namespace std::string_view_literals;
using outbound::defect;
using outbound::object;

using test::quick;
using test::sanitized;

std::string repeated(std::string_view s, std::size_t n) {
  std::string out;
  out.reserve(s.size() * n);
  for (; n > 0; --n) out += s;
  return out;
}

// The verdict of the header: accepted and copied as it is, or a problem and null.
bool accepts(std::string_view text) {
  const object o{{"k", outbound::json{std::string{text}}}};
  const auto problems = o.problems();
  const bool accepted = problems.empty();
  const std::string want = "{\"k\":" + (accepted ? std::string{text} : "null") + '}';
  if (o.text() != want) test::give_up("neither copied nor null: " + std::string{text});
  if (!accepted && (problems.size() != 1 || problems[0].where != "/k" || problems[0].why.empty() ||
                    (problems[0].what != defect::invalid_json && problems[0].what != defect::too_deep)))
    test::give_up("not one problem of json: " + std::string{text});
  // The same, from a block of just its size: no byte past the end is read.
  const std::unique_ptr<char[]> block{new char[text.size()]};
  text.copy(block.get(), text.size());
  outbound::detail::json_checker check{{block.get(), text.size()}};
  if (check.run() != accepted) test::give_up("the verdict depends on what lies behind: " + std::string{text});
  if (check.offset() > text.size()) test::give_up("the offset lies behind: " + std::string{text});
  return accepted;
}

nlohmann::json parsed(std::string_view text) { return nlohmann::json::parse(std::string{text}, nullptr, false); }

// A text stands in a body and is there what it is alone.
void check_in_body(const std::string& text) {
  CAPTURE(text);
  REQUIRE(accepts(text));
  const auto m = outbound::user{"u"}
                     .track("e")
                     .property("before", 1)
                     .property("raw", outbound::json{text})
                     .property("after", {1, outbound::json{text}});
  CHECK(m.valid());
  CHECK(m.body() ==
        R"({"user_id":"u","event":"e","properties":{"before":1,"raw":)" + text + R"(,"after":[1,)" + text + "]}}");
  const auto alone = parsed(text);
  if (alone.is_discarded()) return;  // a number beyond a double, which nlohmann refuses
  const auto body = parsed(m.body());
  REQUIRE(body.is_object());
  CHECK(body.size() == 3);
  CHECK(body["properties"].size() == 3);
  CHECK(body["properties"]["raw"] == alone);
  CHECK(body["properties"]["after"][1] == alone);
  CHECK(body["properties"]["before"] == 1);
}

// --- exactly one value

const std::string_view good_texts[] = {"null",
                                       "true",
                                       "false",
                                       "0",
                                       "-0",
                                       "1",
                                       "-1",
                                       "10",
                                       "0.0",
                                       "-0.0",
                                       "1.5",
                                       "1e0",
                                       "1E5",
                                       "1e+5",
                                       "1e-5",
                                       "1.25E+05",
                                       "0e0",
                                       "0.1e1",
                                       "123456789012345678901234567890",
                                       "1e400",
                                       "-1e400",
                                       "1e-400",
                                       "0.000000000000000000000000000000000000000000001",
                                       "\"\"",
                                       "\"a\"",
                                       R"("\"\\\/\b\f\n\r\t")",
                                       R"("\u0000")",
                                       R"("\u00e9\u00E9")",
                                       R"("\uD83D\uDE00")",
                                       R"("\ud800\udc00\udbff\udfff")",
                                       R"("\uFFFE\uFFFF\ufdd0")",
                                       "\"\x7F\"",
                                       "\"\xC2\x80\"",
                                       "\"\xED\x9F\xBF\xEE\x80\x80\"",
                                       "\"\xF4\x8F\xBF\xBF\"",
                                       "\"\xEF\xBB\xBF\"",
                                       "\"</script>\xE2\x80\xA8\"",
                                       "[]",
                                       "[ ]",
                                       "[\n]",
                                       "[1]",
                                       "[1,2]",
                                       "[ 1 , 2 ]",
                                       "[[]]",
                                       "[[],[]]",
                                       "[null,true,false]",
                                       "[[[[[]]]]]",
                                       "[{}]",
                                       "[\"a\",{\"b\":[]}]",
                                       "{}",
                                       "{ }",
                                       R"({"a":1})",
                                       R"({"a":1,"b":2})",
                                       R"({ "a" : 1 , "b" : 2 })",
                                       R"({"":{}})",
                                       R"({"a":{"a":{"a":1}}})",
                                       R"({"a":[{"b":[{}]}]})",
                                       R"({"a":1,"a":2})",
                                       " 1",
                                       "1 ",
                                       "\t\r\n 1 \n\r\t",
                                       " {} ",
                                       "\n[\n]\n",
                                       R"({"\u0061":1})"};

const std::string_view bad_texts[] = {
    // nothing, and more than one
    "", " ", "\n", "{} {}", "1 2", "1,", ",1", "1,2", "[] []", "null null", "{}{}", "[],", "\"a\" \"b\"", "{\"a\":1}x",
    "1x", "nullx", "truefalse",
    // not closed, closed too often, the wrong one
    "]", "}", "[", "{", "[[]", "[]]", "{}}", "{{}", "[}", "{]", "[1}", "{\"a\":1]", "[{]}", "{\"a\":[}]", "[1", "[1,",
    "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
    // commas and colons
    "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1:2]", "{,}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\":1,,\"b\":2}",
    "{\"a\" 1}", "{\"a\",1}", "{\"a\"::1}", "{\"a\":}", "{:1}", "{\"a\"}", "{\"a\":1 \"b\":2}", ":", ",", "[\"a\":1]",
    // keys
    "{a:1}", "{1:1}", "{'a':1}", "{null:1}", "{\"a\":1,b:2}", "{[]:1}", "{\"a\":1,2}",
    // literals
    "nul", "nulll", "Null", "NULL", "tru", "True", "fals", "undefined", "NaN", "nan", "Infinity", "-Infinity", "inf",
    "None", "n", "t", "f", "-", "+", ".", "nu ll",
    // numbers
    "01", "-01", "00", "+1", "-+1", "--1", ".5", "-.5", "1.", "-1.", "1.e5", "1e", "1e+", "1e-", "1e5.5", "1.5.5",
    "0x1", "0X1", "0b1", "0o7", "1_000", "1,000.5", "1e5e5", "1E+-5", "-a", "1a", "0a", "- 1", "1 .5", "1. 5", "1e 5",
    "\xD9\xA1", "1f", "1L", "0e", "0.e1", "2.e+3",
    // strings
    "\"", "\"a", "a\"", "'a'", "\"\\\"", "\"\\a\"", "\"\\x41\"", "\"\\'\"", "\"\\0\"", "\"\\U0041\"", "\"\\u\"",
    "\"\\u1\"", "\"\\u12\"", "\"\\u123\"", "\"\\u123g\"", "\"\\u 123\"", "\"\\u+123\"", "\"\\u-123\"", "\"\n\"",
    "\"\t\"", "\"\r\"", "\"\x1F\"", "\"\x01\"", "\"\\\n\"", "\"\\", "\"\\u", "\"\\u12", "\"\\u1234",
    // blanks that are none
    "\x0B"
    "1",
    "\x0C"
    "1",
    "1\x0B", "1\x0C",
    "\xC2\xA0"
    "1",
    "1\xC2\xA0",
    "\xE2\x80\x8B"
    "1",
    "\xE2\x80\xA8"
    "1",
    "[\x0C]", "[\xC2\xA0]", "\xE2\x81\xA0{}",
    "\x08"
    "1",
    "1\x1A", "\x7F", "1\x7F",
    // comments
    "// c\n1", "/* c */1", "1//", "1/**/", "[1,/*c*/2]", "# c\n1", "{\"a\":1}//", "{\"a\"/**/:1}", "-- c",
    // other syntaxes
    "`a`", "\"a\"+\"b\"", "(1)", "<a/>", "%20", "\\u0031", "$", "@", "=1", "1;", "{\"a\"=1}", "{\"a\"=>1}",
    // a byte order mark, bytes that are no UTF-8
    "\xEF\xBB\xBF{}", "\xEF\xBB\xBF", "{}\xEF\xBB\xBF", "\xFE\xFF", "\xFF\xFE", "\xFF", "\x80", "[\xFF]", "\"\xFF\"",
    "\"\x80\"", "\"\xC3\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "{\"\xFF\":1}", "\"\xE2\x82\"",
    "\"\xF0\x9F\x98\""};

TEST_CASE("F25: exactly one JSON value", "[F25]") {
  for (const std::string_view text : good_texts) {
    CAPTURE(text);
    CHECK(accepts(text));
  }
  for (const std::string_view text : bad_texts) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
  }
  for (const std::string_view text : {"\0"sv, "1\0"sv, "{}\0"sv, "\0{}"sv, "[\0]"sv, "\"\0\""sv, "{\"a\0\":1}"sv,
                                      "{}\0{}"sv, "nul\0"sv, "\"\\u00\0000\""sv}) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
  }
}

TEST_CASE("F25: one byte more or less, for each text and each byte", "[F25]") {
  // What nothing but blanks may follow: no byte but a blank goes behind a complete container or string.
  for (const std::string_view text : {"{}"sv, "[]"sv, "\"a\""sv, "null"sv, "{\"a\":[1]}"sv}) {
    for (unsigned b = 0; b < 256; ++b) {
      CAPTURE(text, b);
      const char c = static_cast<char>(b);
      const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
      CHECK(accepts(std::string{text} + c) == blank);
      CHECK(accepts(c + std::string{text}) == blank);
    }
  }
  // Every text that ends too early, or that lacks its first byte, but for what is left being a value by itself.
  for (const std::string_view text : good_texts) {
    if (text.front() != '{' && text.front() != '[' && text.front() != '"') continue;
    CAPTURE(text);
    for (std::size_t size = 0; size + 1 < text.size(); ++size) {
      if (size != 0 && text.find_first_not_of(" \t\r\n", size) == std::string_view::npos) continue;
      CHECK_FALSE(accepts(text.substr(0, size)));
    }
  }
}

TEST_CASE("F25: the sentence tells the byte and what is expected", "[F25]") {
  const auto why = [](std::string_view text) {
    return object{{"k", outbound::json{std::string{text}}}}.problems().at(0).why;
  };
  const auto names_byte = [&](std::string_view text, int at) {
    return why(text).find("byte " + std::to_string(at) + ' ') != std::string::npos;
  };
  CHECK(names_byte("{} {}", 3));
  CHECK(names_byte("[1,]", 3));
  CHECK(names_byte("", 0));
  CHECK(names_byte("{\"a\":1}x", 7));
  CHECK(names_byte("\"ab\xFF\"", 3));
  CHECK(names_byte("[tru]", 1));
  CHECK(why("[").find("of 1") != std::string::npos);
  const char* const absent = nullptr;
  const object o{{"k", outbound::json{absent}}};
  CHECK(o.text() == R"({"k":null})");
  REQUIRE(o.problems().size() == 1);
  CHECK(o.problems()[0].what == defect::null_pointer);
}

TEST_CASE("F25: JSONTestSuite, and our verdicts on what it leaves open", "[F25][F28][F29][F30]") {
  const auto rows = test::read_tsv("json_verdicts.tsv");
  const auto folder = test::corpus("json/JSONTestSuite/test_parsing");
  REQUIRE(rows.size() == 318);
  if (folder.empty()) {
    WARN("SKIPPED: JSONTestSuite");
    return;
  }
  std::size_t must = 0, must_not = 0, open = 0;
  for (const test::row& row : rows) {
    REQUIRE(row.size() >= 2);
    CAPTURE(row[0]);
    const std::string text = test::read_file(folder / row[0]);
    const bool accepted = accepts(text);
    CHECK(accepted == (row[1] != "reject"));
    if (row[0][0] == 'y') {
      ++must;
      CHECK(accepted);
      check_in_body(text);
    } else if (row[0][0] == 'n') {
      ++must_not;
      CHECK_FALSE(accepted);
    } else {
      ++open;
      if (accepted) check_in_body(text);
    }
  }
  CHECK(must == 95);
  CHECK(must_not == 188);
  CHECK(open == 35);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) files += entry.path().extension() == ".json";
  CHECK(files == rows.size());
}

// --- injection

TEST_CASE("F26: a text cannot break out of its place", "[F26]") {
  for (const std::string_view text :
       {R"({"a":1},"api_key":"x")"sv, R"(1,"user_id":"other")"sv, R"(1}})"sv, R"(1}},{"x":1)"sv, R"("a","b":"c")"sv,
        R"("a"}})"sv, R"(1],"x":[1)"sv, "1\n,\"x\":1"sv, R"("\u0022,"x":"y")"sv, R"(null/**/,"x":1)"sv}) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
    const auto m = outbound::user{"u"}.track("e").property("raw", outbound::json{std::string{text}});
    CHECK(m.body() == R"({"user_id":"u","event":"e","properties":{"raw":null}})");
    CHECK_FALSE(m.valid());
    const auto whole = outbound::user{"u"}.track("e").properties(outbound::json{std::string{text}});
    CHECK_FALSE(whole.valid());
    CHECK(parsed(whole.body()).size() <= 3);
    CHECK(parsed(whole.body())["user_id"] == "u");
    CHECK(whole.body().find("api_key") == std::string_view::npos);
  }
}

TEST_CASE("F26: in a body, a text is what it is alone", "[F26]") {
  for (const std::string_view text : good_texts) check_in_body(std::string{text});
  check_in_body(repeated("[", 400) + repeated("]", 400));
  check_in_body('[' + repeated(R"({"a":[1,2,{"b":"\u0022\\"}]},)", 2000) + "1]");
}

TEST_CASE("F26: in a body, a text with blanks around can be replaced", "[F26][F13]") {
  for (const std::string_view text : {" 1 "sv, "\n{ \"a\" : [ \"}\" , \"]\" ] }\n"sv, " [ ] "sv, "\"\\\"}\" "sv,
                                      " null"sv, "true\t"sv, "-1.5e+7 "sv}) {
    CAPTURE(text);
    for (const int place : {0, 1, 2}) {
      CAPTURE(place);
      object o;
      for (int i = 0; i < 3; ++i) {
        const std::string key(1, static_cast<char>('a' + i));
        if (i == place) o.set(key, outbound::json{std::string{text}});
        else o.set(key, i);
      }
      const std::string key(1, static_cast<char>('a' + place));
      o.set(key, 9);
      std::string want = "{";
      for (int i = 0; i < 3; ++i)
        if (i != place) want += '"' + std::string(1, static_cast<char>('a' + i)) + "\":" + std::to_string(i) + ',';
      CHECK(o.text() == want + '"' + key + "\":9}");
    }
    auto alone = outbound::user{"u"}.track("e").property("a", outbound::json{std::string{text}});
    alone.property("a", outbound::json{std::string{text}});
    CHECK(alone.body() == R"({"user_id":"u","event":"e","properties":{"a":)" + std::string{text} + "}}");
  }
}

// --- F27: depth and the stack

// Runs f on a stack of 64 KiB, or as little as there may be.
template <class F>
void on_small_stack(F& f) {
#ifdef OUTBOUND_NO_THREADS
  f();
#elif defined(__unix__) || defined(__APPLE__)
  std::size_t size = sanitized ? 512 * 1024 : 64 * 1024;  // instrumented frames are larger
#ifdef PTHREAD_STACK_MIN
  size = std::max<std::size_t>(size, static_cast<std::size_t>(PTHREAD_STACK_MIN));
#endif
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, size) != 0) test::give_up("no stack of that size");
  pthread_t thread;
  const auto run = [](void* p) -> void* {
    (*static_cast<F*>(p))();
    return nullptr;
  };
  if (pthread_create(&thread, &attributes, run, &f) != 0) test::give_up("no thread with a small stack");
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
#else
  std::thread{[&f] { f(); }}.join();
#endif
}

TEST_CASE("F27: depth costs no stack", "[F27]") {
  // No assertions there: Catch2 needs more stack than that.
  struct {
    std::size_t refused{};
    std::size_t accepted{};
    std::string text{};
    void operator()() {
      const auto try_one = [this](std::string text_of, bool may) {
        const object o{{"k", outbound::json{std::move(text_of)}}};
        const auto problems = o.problems();
        if (may) accepted += problems.empty();
        else refused += problems.size() == 1 && problems[0].what == defect::too_deep && o.text() == R"({"k":null})";
      };
      try_one(repeated("[", 100'000), false);
      try_one(repeated("{\"a\":", 1'000'000), false);
      try_one(repeated("[{\"\":", 100'000), false);
      try_one(repeated("[", 100'000) + repeated("]", 100'000), false);
      try_one(repeated(" [ 1 , ", 513), false);
      try_one(repeated("[", 512) + repeated("]", 512), true);
      try_one(repeated("{\"a\":", 512) + "1" + repeated("}", 512), true);
      try_one('[' + repeated("[[]],", 200'000) + "[]]", true);  // wide is not deep
      outbound::array a;
      for (int i = 0; i < 1000; ++i) a = outbound::array::of(a);
      object o;
      for (int i = 0; i < 1000; ++i) o = object{{"n", o}};
      auto m = outbound::user{"u"}.track("e").property("a", a).property("o", o).property(
          "k", outbound::json{repeated("[", 400) + repeated("]", 400)});
      m.property("a", 1).property("o", 2).property("k", 3);
      text = std::string{m.body()};
    }
  } work;
  on_small_stack(work);
  CHECK(work.refused == 5);
  CHECK(work.accepted == 3);
  CHECK(work.text == R"({"user_id":"u","event":"e","properties":{"a":1,"o":2,"k":3}})");
}

TEST_CASE("F27: 512 levels are the limit, whatever makes them", "[F27]") {
  std::mt19937 random{7};
  for (int round = 0; round < 50; ++round) {
    for (const std::size_t levels : {500U, 511U, 512U, 513U}) {
      std::string open, close;
      for (std::size_t i = 0; i < levels; ++i) {
        const bool is_object = round == 0 || (round > 1 && random() % 2 == 0);
        open += is_object ? R"({"k":)" : "[";
        close += is_object ? '}' : ']';
      }
      std::reverse(close.begin(), close.end());
      REQUIRE(accepts(open + '1' + close) == (levels <= 512));
      REQUIRE_FALSE(accepts(open + '1' + close.substr(1)));
      close[close.size() / 2] = close[close.size() / 2] == '}' ? ']' : '}';
      REQUIRE_FALSE(accepts(open + '1' + close));  // every level is remembered
    }
  }
}

// --- strings and numbers inside

TEST_CASE("F28: lone and inverted surrogate escapes", "[F28]") {
  for (const std::string_view text : {R"("\uD800")"sv,
                                      R"("\uDBFF")"sv,
                                      R"("\uDC00")"sv,
                                      R"("\uDFFF")"sv,
                                      R"("\uDE00\uD83D")"sv,
                                      R"("\uD83D\uD83D\uDE00")"sv,
                                      R"("\uD83D\uDE00\uDE00")"sv,
                                      R"("\uD83Dx\uDE00")"sv,
                                      R"("\uD83D \uDE00")"sv,
                                      R"("\uD83D\n\uDE00")"sv,
                                      R"("\uD83D\u0041")"sv,
                                      R"("\uD83D\\uDE00")"sv,
                                      R"("\uD83D\UDE00")"sv,
                                      R"("\uD83DuDE00")"sv,
                                      R"({"\uD800":1})"sv,
                                      R"(["\udc00"])"sv,
                                      R"("\uD83D\uDE0")"sv,
                                      R"("\uD83D\uDE0g")"sv,
                                      R"("\uD83D\uD83D")"sv,
                                      "\"\\uD83D\xED\xB8\x80\""sv}) {
    CAPTURE(text);
    CHECK_FALSE(accepts(text));
  }
  for (unsigned high = 0xD7FF; high <= 0xE000; high += 0xFF) {
    for (unsigned low = 0xDBFF; low <= 0xE000; low += 0x3FF) {
      char text[16];
      std::snprintf(text, sizeof text, "\"\\u%04X\\u%04x\"", high, low);
      CAPTURE(text);
      const bool pair = high >= 0xD800 && high <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF;
      const bool none = (high < 0xD800 || high > 0xDFFF) && (low < 0xD800 || low > 0xDFFF);
      CHECK(accepts(text) == (pair || none));
    }
  }
}

TEST_CASE("F28: a text cut anywhere in an escape is refused, and no byte past the end is read", "[F28]") {
  const std::string whole = R"({"k\u0041":"\\\"\uD83D\uDE00\n\u00e9","x":[-12.5e+10,true,false,null]})";
  REQUIRE(accepts(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(accepts(std::string_view{whole}.substr(0, size)));  // accepts() looks at a block of just that size, too
  }
  for (unsigned b = 0; b < 256; ++b) {
    const char c = static_cast<char>(b);
    CAPTURE(b);
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    for (std::size_t at = 0; at < 4; ++at) {
      std::string text = R"("\u0000")";
      text[3 + at] = c;
      // A first digit of d, with 0 behind it, is no surrogate: D000.
      CHECK(accepts(text) == hex);
    }
    const bool letter = std::string_view{"\"\\/bfnrt"}.find(c) != std::string_view::npos;
    CHECK(accepts(std::string{"\"\\"} + c + '"') == letter);
    CHECK(accepts(std::string{"\""} + c + '"') == (b >= 0x20 && b < 0x80 && c != '"' && c != '\\'));
  }
}

TEST_CASE("F29: numbers as RFC 8259 has them, token by token", "[F29]") {
  const auto valid = test::corpus("json/numbers/yyjson_valid"), invalid = test::corpus("json/numbers/yyjson_invalid");
  if (valid.empty() || invalid.empty()) {
    WARN("SKIPPED: yyjson's numbers");
    return;
  }
  const auto count = [](const std::filesystem::path& folder, bool may) {
    std::size_t tokens = 0;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
      const std::string all = test::read_file(entry.path());
      for (std::size_t from = 0; from < all.size();) {
        const std::size_t end = std::min(all.find('\n', from), all.size());
        const std::string token = all.substr(from, end - from);
        from = end + 1;
        ++tokens;
        if (accepts(token) != may) FAIL_CHECK(entry.path().filename().string() << ": " << token);
        const bool is_two = token.find(',') != std::string::npos;  // a decimal comma: in an array, two elements
        if (accepts("[1," + token + ",2]") != may && !is_two) FAIL_CHECK("in an array: " << token);
        if (accepts("{\"k\":" + token + '}') != may) FAIL_CHECK("in an object: " << token);
      }
    }
    return tokens;
  };
  CHECK(count(valid, true) == 5278);
  CHECK(count(invalid, false) == 904);
}

TEST_CASE("F29: every string of up to 6 characters of a number, against the grammar", "[F29]") {
  // number = [ "-" ] ( "0" / 1-9 *DIGIT ) [ "." 1*DIGIT ] [ ( "e" / "E" ) [ "+" / "-" ] 1*DIGIT ]: as states
  const auto grammar = [](std::string_view s) {
    enum { start, minus, zero, whole, point, fraction, e, sign, power, bad } at = start;
    for (const char c : s) {
      const bool digit = c == '0' || c == '1';
      switch (at) {
        case start: at = c == '-' ? minus : c == '0' ? zero : c == '1' ? whole : bad; break;
        case minus: at = c == '0' ? zero : c == '1' ? whole : bad; break;
        case zero: at = c == '.' ? point : c == 'e' || c == 'E' ? e : bad; break;
        case whole: at = digit ? whole : c == '.' ? point : c == 'e' || c == 'E' ? e : bad; break;
        case point: at = digit ? fraction : bad; break;
        case fraction: at = digit ? fraction : c == 'e' || c == 'E' ? e : bad; break;
        case e: at = digit ? power : c == '+' || c == '-' ? sign : bad; break;
        case sign: at = digit ? power : bad; break;
        case power: at = digit ? power : bad; break;
        case bad: return false;
      }
    }
    return at == zero || at == whole || at == fraction || at == power;
  };
  constexpr std::string_view alphabet = "01-+.eE";
  std::size_t wrong = 0, good = 0, tried = 0;
  const std::size_t longest = quick() ? 5 : 6;
  std::vector<std::size_t> digits;
  for (std::size_t size = 1; size <= longest; ++size) {
    digits.assign(size, 0);
    for (bool more = true; more;) {
      std::string s;
      for (const std::size_t d : digits) s += alphabet[d];
      const bool is_number = grammar(s);
      good += is_number;
      ++tried;
      if (accepts(s) != is_number && wrong++ < 10) FAIL_CHECK(s);
      more = false;
      for (std::size_t& d : digits) {
        if (++d < alphabet.size()) {
          more = true;
          break;
        }
        d = 0;
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(good > 300);
  CHECK(tried > 19'000);
}

TEST_CASE("F29: huge exponents are text like another", "[F29]") {
  for (const std::string_view text : {"1e999999999999999999999"sv, "-1e-999999999999999999999"sv, "0e999999999"sv})
    check_in_body(std::string{text});
  const std::string digits = repeated("9", 100'000);
  CHECK(accepts(digits));
  CHECK(accepts("0." + digits + 'e' + digits));
  CHECK_FALSE(accepts('0' + digits));
}

TEST_CASE("F30: UTF-8 without a BOM, and no other encoding", "[F30]") {
  const std::string_view ascii = R"({"a":1})";
  for (const bool big : {false, true}) {
    for (const std::size_t width : {2U, 4U}) {
      std::string wide, bom;
      for (const char c : ascii) {
        std::string unit(width, '\0');
        unit[big ? width - 1 : 0] = c;
        wide += unit;
      }
      bom = std::string(width - 2, '\0') + "\xFE\xFF";
      if (!big) std::reverse(bom.begin(), bom.end());
      CHECK_FALSE(accepts(wide));
      CHECK_FALSE(accepts(bom + wide));
    }
  }
  CHECK_FALSE(accepts("\xEF\xBB\xBF" + std::string{ascii}));
  CHECK_FALSE(accepts("1\0"sv));  // UTF-16 of one digit
  CHECK_FALSE(
      accepts("\0"
              "1"sv));
  CHECK(accepts(ascii));

  const auto folder = test::corpus("json/yyjson_encoding");
  if (folder.empty()) {
    WARN("SKIPPED: yyjson's encodings");
    return;
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) {
    if (entry.path().extension() != ".json") continue;
    ++files;
    CAPTURE(entry.path().filename().string());
    CHECK(accepts(test::read_file(entry.path())) == (entry.path().filename() == "utf8.json"));
  }
  CHECK(files == 10);
}

TEST_CASE("F31: long texts of one kind come to an end", "[F31]") {
  // That time is linear is shown by counting instructions (contract/linear.py); quadratic work would not end here.
  const std::size_t n = quick() ? std::size_t{1} << 20 : std::size_t{8} << 20;
  const auto fill = [n](std::string_view head, std::string_view body, std::string_view tail) {
    return std::string{head} + repeated(body, n / body.size()) + std::string{tail};
  };
  for (const std::string& text :
       {fill("\"", "\\\\", "\""), fill("[", "[],", "[]]"), fill("", " ", "1"), fill("1", " ", ""),
        fill("\"", "\\u00e9", "\""), fill("\"", "\xC3\xA9", "\""), fill("1", "0", ""),
        fill("{\"k\":0", ",\"k\":1", "}"), fill("\"", "\\uD83D\\uDE00", "\"")}) {
    CHECK(accepts(text));
    const object o{{"k", outbound::json{text}}};
    CHECK(o.text().size() == text.size() + 6);
  }
  CHECK_FALSE(accepts(fill("\"", "\\\\", "")));
  CHECK_FALSE(accepts(fill("[", "[],", "")));
  CHECK_FALSE(accepts(fill("", " ", "")));
  CHECK_FALSE(accepts(fill("", "1 ", "")));
  // A member behind a long text can be replaced: reading back is linear as well.
  object o{{"raw", outbound::json{fill("[", "[],", "[]]")}}, {"x", 1}};
  for (int i = 0; i < 10; ++i) o.set("x", i);
  CHECK(o.text().substr(o.text().size() - 7) == ",\"x\":9}");
}

TEST_CASE("F32: a json owns its text", "[F32]") {
  std::string source = R"({"a":1})";
  const outbound::json kept{source};
  source.assign("},\"injected\":1");
  CHECK(kept.text() == R"({"a":1})");
  const object o{{"k", kept}};
  CHECK(o.text() == R"({"k":{"a":1}})");
  char buffer[] = "[1, 2]";
  const outbound::json copied{buffer};
  buffer[1] = '}';
  CHECK(object{{"k", copied}}.text() == R"({"k":[1, 2]})");
  CHECK(object{{"k", copied}}.problems().empty());
  auto m = outbound::user{"u"}.track("e");
  {
    outbound::json gone{std::string{"[\"long enough to be on the heap of any standard library\"]"}};
    m.property("k", gone);
    gone = outbound::json{"{"};
  }
  CHECK(m.body() ==
        R"({"user_id":"u","event":"e","properties":{"k":["long enough to be on the heap of any standard library"]}})");
  outbound::json first{"1"};
  outbound::json second = first;
  outbound::json third = std::move(first);
  CHECK(second.text() == "1");
  CHECK(third.text() == "1");
  second = outbound::json{"2"};
  CHECK(object{{"a", second}, {"b", third}}.text() == R"({"a":2,"b":1})");
  const outbound::json with_nul{std::string("1\0", 2)};
  CHECK(with_nul.text().size() == 2);
}

// --- against another parser

// Would nlohmann refuse it for being too large a number? It reads what it parses, and we do not.
bool has_huge_number(std::string_view s) {
  bool in_string = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (in_string && s[i] == '\\') {
      ++i;
    } else if (s[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && (s[i] == '-' || (s[i] >= '0' && s[i] <= '9'))) {
      const std::size_t end = std::min(s.find_first_not_of("+-.0123456789eE", i), s.size());
      const std::string_view number = s.substr(i, end - i);
      const std::size_t e = number.find_first_of("eE");
      if (e != std::string_view::npos && number.size() - e > 3) return true;  // three digits or more
      if (number.size() > 200) return true;
      i = end - 1;
    }
  }
  return false;
}

TEST_CASE("F33: mutated texts, against nlohmann's parser", "[F33]") {
  std::vector<std::string> texts;
  for (const std::string_view text : good_texts) texts.emplace_back(text);
  for (const std::string_view text : bad_texts) texts.emplace_back(text);
  texts.emplace_back(
      R"({"user_id":42,"tags":["a","\u00e9\uD83D\uDE00",null,true,-1.5e-7],"o":{"k":{},"l":[[],[{}]]}, "x" : " \" \\ " })");
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const std::string_view pieces[] = {"{",        "}",
                                     "[",        "]",
                                     ",",        ":",
                                     "\"",       "\\",
                                     "\\u",      "\\uD83D",
                                     "\\uDE00",  "0",
                                     "1",        "-",
                                     "+",        ".",
                                     "e",        "E",
                                     "null",     "true",
                                     "false",    " ",
                                     "\n",       "\t",
                                     "\xC3\xA9", "\xED\xA0\x80",
                                     "\xFF",     "\x80",
                                     "a",        "\\n",
                                     "\"k\":",   "[]",
                                     "{}",       "\x01",
                                     "\x7F",     "/",
                                     "//"};
  const auto piece = [&] { return pieces[random() % std::size(pieces)]; };
  std::size_t accepted = 0, refused = 0, left_out = 0;
  for (int i = 0, n = quick() ? 40'000 : 600'000; i < n; ++i) {
    std::string s = texts[random() % texts.size()];
    for (auto mutations = random() % 4; mutations > 0; --mutations) {
      const std::size_t at = random() % (s.size() + 1), size = random() % 4;
      switch (random() % 5) {
        case 0: s.insert(at, piece()); break;
        case 1: s.erase(at, size); break;
        case 2: s.replace(at, size, piece()); break;
        case 3: s.insert(at, s.substr(random() % (s.size() + 1), random() % 8)); break;
        default:
          if (at < s.size()) s[at] = static_cast<char>(random() % 256);
      }
    }
    // What nlohmann does otherwise, and we mean to: it takes a NUL for the end of the text, skips a byte order mark,
    // refuses numbers beyond a double, and knows no limit of depth. Lone surrogates it refuses as we do.
    if (s.find('\0') != std::string::npos || s.compare(0, 3, "\xEF\xBB\xBF") == 0 || has_huge_number(s) ||
        test::depth_of(s) > 512) {
      ++left_out;
      continue;
    }
    const bool ours = accepts(s), theirs = nlohmann::json::accept(s);
    (ours ? accepted : refused) += 1;
    if (ours != theirs) FAIL_CHECK("ours: " << ours << ", nlohmann's: " << theirs << ", of: " << s);
    if (ours && i % 8 == 0 && texts.size() < 3000 && s.size() < 300) texts.push_back(s);  // grow from what is good
  }
  CHECK(accepted > 1000);
  CHECK(refused > 1000);
  CHECK(left_out < (accepted + refused) / 4);
}

TEST_CASE("F33: what nlohmann takes otherwise is as explained", "[F33]") {
  CHECK(nlohmann::json::accept("{}\0"sv));  // to it, NUL is the end
  CHECK_FALSE(accepts("{}\0"sv));
  CHECK(nlohmann::json::accept("\xEF\xBB\xBF{}"));
  CHECK_FALSE(accepts("\xEF\xBB\xBF{}"));
#ifndef __FAST_MATH__  // with it, nlohmann takes every number for a finite one
  CHECK_FALSE(nlohmann::json::accept("1e400"));
#endif
  CHECK(accepts("1e400"));
  const std::string deep = repeated("[", 513) + repeated("]", 513);
  CHECK(nlohmann::json::accept(deep));
  CHECK_FALSE(accepts(deep));
  CHECK_FALSE(nlohmann::json::accept(R"("\uD800")"));
  CHECK_FALSE(accepts(R"("\uD800")"));
}

TEST_CASE("F31: a text that ends behind a pair of surrogates ends too early, and has no lone one", "[F31]") {
  const auto why = [](const char* text) {
    const object o{{"k", outbound::json{text}}};
    const auto problems = o.problems();
    return problems.size() == 1 ? problems[0].why : "not one problem";
  };
  CHECK(why(R"("\ud83d\ude00)") == "is not one JSON value: at byte 13 of 13, it ends too early");
  CHECK(why(R"("\ud83d\ude0)") == "is not one JSON value: at byte 3 of 12, a lone surrogate");
}

TEST_CASE("F13: a key of a json is the text that its escapes stand for", "[F13]") {
  struct row {
    const char* escaped;
    std::string_view key;
    const char* usual;  // as this library writes it
  };
  const row rows[] = {
      {R"(\b)", "\b", R"(\b)"},
      {R"(\f)", "\f", R"(\f)"},
      {R"(\n)", "\n", R"(\n)"},
      {R"(\r)", "\r", R"(\r)"},
      {R"(\t)", "\t", R"(\t)"},
      {R"(\")", "\"", R"(\")"},
      {R"(\\)", "\\", R"(\\)"},
      {R"(\/)", "/", "/"},
      {R"(\u0009)", "\t", R"(\t)"},
      {R"(\u0000)", "\0"sv, R"(\u0000)"},
      {R"(\u001F)", "\x1F", R"(\u001f)"},
      {R"(\u0041)", "A", "A"},
      {R"(\u00e9)", "\xC3\xA9", "\xC3\xA9"},
      {R"(\uD83D\uDE00)", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
  };
  for (const row& r : rows) {
    CAPTURE(r.escaped);
    const std::string given = std::string{"a"} + r.escaped + "z";
    const std::string key = "a" + std::string{r.key} + "z";
    const std::string head = R"({"user_id":1,"attributes":{"a)" + std::string{r.usual} + R"(z":)";
    outbound::identify m = outbound::user{1}.identify().attributes(outbound::json{"{\"" + given + "\":1}"});
    CHECK(m.body() == head + "1}}");
    m.attribute(key, 2);
    CHECK(m.body() == head + "2}}");
    m.attributes(outbound::json{"{\"" + given + "\":3}"});
    CHECK(m.body() == head + "3}}");
  }
}

}  // namespace splice_test
