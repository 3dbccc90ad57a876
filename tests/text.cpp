// Text: what goes out is UTF-8 or a problem that names the byte.
#include "outbound.hpp"

#include <clocale>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/quick.hpp"

namespace text_test {

using outbound::defect;

using test::quick;
using test::sanitized;

unsigned byte_of(char c) { return static_cast<unsigned char>(c); }

// --- the reference: Unicode 15, table 3-7, as it is printed

struct bytes {
  unsigned low, high;
};
struct table_row {
  unsigned size;
  bytes at[4];
};
constexpr table_row table_3_7[] = {
    {1, {{0x00, 0x7F}, {}, {}, {}}},
    {2, {{0xC2, 0xDF}, {0x80, 0xBF}, {}, {}}},
    {3, {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}, {}}},
    {3, {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}, {}}},
    {3, {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}, {}}},
    {3, {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}, {}}},
    {4, {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}},
    {4, {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}},
    {4, {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}},
};

struct step {
  std::size_t size;  // of the code point, or of the maximal subpart of an ill-formed one
  bool well_formed;
};

step reference_step(std::string_view s) {
  for (const table_row& row : table_3_7) {
    if (byte_of(s[0]) < row.at[0].low || byte_of(s[0]) > row.at[0].high) continue;
    std::size_t n = 1;
    while (n < row.size && n < s.size() && byte_of(s[n]) >= row.at[n].low && byte_of(s[n]) <= row.at[n].high) ++n;
    return {n, n == row.size};
  }
  return {1, false};
}

std::size_t reference_error(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    const step next = reference_step(s.substr(i));
    if (!next.well_formed) return i;
    i += next.size;
  }
  return std::string_view::npos;
}

std::string reference_repaired(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size();) {
    const step next = reference_step(s.substr(i));
    out += next.well_formed ? std::string{s.substr(i, next.size)} : std::string{"\xEF\xBF\xBD"};
    i += next.size;
  }
  return out;
}

// RFC 8785, 3.2.2.2, byte by byte.
std::string reference_quoted(std::string_view s) {
  static const std::map<char, std::string> named = {{'\b', "\\b"}, {'\t', "\\t"}, {'\n', "\\n"}, {'\f', "\\f"},
                                                    {'\r', "\\r"}, {'"', "\\\""}, {'\\', "\\\\"}};
  std::string out = "\"";
  for (const char c : s) {
    const auto found = named.find(c);
    if (found != named.end()) {
      out += found->second;
    } else if (byte_of(c) < 0x20) {
      char escape[7];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte_of(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string utf8_of(std::uint32_t c) {
  const auto unit = [](std::uint32_t x) { return static_cast<char>(static_cast<unsigned char>(x)); };
  if (c < 0x80) return {unit(c)};
  if (c < 0x800) return {unit(0xC0 + c / 64), unit(0x80 + c % 64)};
  if (c < 0x10000) return {unit(0xE0 + c / 4096), unit(0x80 + c / 64 % 64), unit(0x80 + c % 64)};
  return {unit(0xF0 + c / 262144), unit(0x80 + c / 4096 % 64), unit(0x80 + c / 64 % 64), unit(0x80 + c % 64)};
}

std::string pointer_token(const std::string& key) {
  std::string out = "/";
  for (const char c : key) out += c == '~' ? std::string{"~0"} : c == '/' ? std::string{"~1"} : std::string{c};
  return out;
}

std::string written(std::string_view s) {
  const outbound::array a = outbound::array::of(s);
  return std::string{a.text().substr(1, a.text().size() - 2)};
}

// --- every position of a message that takes text

struct position {
  const char* name;
  outbound::track (*make)(outbound::text);
  std::string (*body)(const std::string& json);       // around the text as JSON
  std::string (*where)(const std::string& repaired);  // of a problem with it
  const char* bad;                                    // what stands for it then
};

const position positions[] = {
    {"value", [](outbound::text s) { return outbound::user{"u"}.track("e").property("k", s); },
     [](const std::string& j) { return R"({"user_id":"u","event":"e","properties":{"k":)" + j + "}}"; },
     [](const std::string&) { return std::string{"/properties/k"}; }, "null"},
    {"element",
     [](outbound::text s) {
       return outbound::user{"u"}.track("e").property("k", {1, s});
     },
     [](const std::string& j) { return R"({"user_id":"u","event":"e","properties":{"k":[1,)" + j + "]}}"; },
     [](const std::string&) { return std::string{"/properties/k/1"}; }, "null"},
    {"key", [](outbound::text s) { return outbound::user{"u"}.track("e").property(s, 1); },
     [](const std::string& j) { return R"({"user_id":"u","event":"e","properties":{)" + j + ":1}}"; },
     [](const std::string& r) { return "/properties" + pointer_token(r); }, "\"\""},
    {"key in braces",
     [](outbound::text s) {
       return outbound::user{"u"}.track("e").properties({{"k", {{s, 1}}}});
     },
     [](const std::string& j) { return R"({"user_id":"u","event":"e","properties":{"k":{)" + j + ":1}}}"; },
     [](const std::string& r) { return "/properties/k" + pointer_token(r); }, "\"\""},
    {"user id", [](outbound::text s) { return outbound::user{s}.track("e"); },
     [](const std::string& j) { return R"({"user_id":)" + j + R"(,"event":"e"})"; },
     [](const std::string&) { return std::string{"/user_id"}; }, "null"},
    {"event", [](outbound::text s) { return outbound::user{"u"}.track(s); },
     [](const std::string& j) { return R"({"user_id":"u","event":)" + j + "}"; },
     [](const std::string&) { return std::string{"/event"}; }, "null"},
};

// What is promised of some bytes, in that position.
void check_position(const position& at, std::string_view s) {
  CAPTURE(at.name, s.size());
  const outbound::track m = at.make(s);
  const std::size_t error = reference_error(s);
  if (error == std::string_view::npos) {
    CHECK(m.body() == at.body(reference_quoted(s)));
    CHECK(m.problems().empty());
    return;
  }
  CHECK(m.body() == at.body(at.bad));
  const std::vector<outbound::problem> problems = m.problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].what == defect::invalid_utf8);
  CHECK(problems[0].where == at.where(reference_repaired(s)));
  CHECK(problems[0].why.find("byte " + std::to_string(error) + ' ') != std::string::npos);
  CHECK_FALSE(m.valid());
}

struct utf8_case {
  std::string bytes;
  bool valid;
  std::size_t error;  // npos: none
  std::string repaired;
};

std::vector<utf8_case> utf8_cases() {
  std::vector<utf8_case> out;
  for (const test::row& row : test::read_tsv("utf8.tsv")) {
    if (row.size() < 4) test::give_up("a short row in utf8.tsv");
    out.push_back({test::from_hex(row[0]), row[1] == "1",
                   row[2] == "-1" ? std::string_view::npos : std::size_t{std::stoul(row[2])}, test::from_hex(row[3])});
  }
  return out;
}

// A copy of the bytes in a block of just their size: AddressSanitizer and valgrind see a step too far.
struct exact {
  std::unique_ptr<char[]> block;
  std::size_t size;
  explicit exact(std::string_view s) : block{new char[s.size()]}, size{s.size()} { s.copy(block.get(), size); }
  std::string_view view() const { return {block.get(), size}; }
};

// --- ill-formed UTF-8

TEST_CASE("F1: ill-formed UTF-8 is a problem that names the place and the byte", "[F1]") {
  const std::vector<utf8_case> cases = utf8_cases();
  REQUIRE(cases.size() == 1934);
  std::size_t valid = 0;
  for (const utf8_case& c : cases) {
    REQUIRE(reference_error(c.bytes) == c.error);  // the reference agrees with the table
    REQUIRE((c.error == std::string_view::npos) == c.valid);
    valid += c.valid;
    for (const position& at : positions) {
      if (c.bytes.empty() && std::string_view{at.name} != "value") continue;  // no id and no event may be empty
      check_position(at, c.bytes);
    }
  }
  CHECK(valid > 100);
  CHECK(valid < 1800);
}

TEST_CASE("F1: nothing is sent, and the error tells where", "[F1]") {
  int calls = 0;
  outbound::client client{"k", [&](const outbound::request&) {
                            ++calls;
                            return outbound::response{200, "", {}};
                          }};
  const auto refused = client.send(outbound::user{"u"}.identify().first_name("Ren\xE9"));
  CHECK(calls == 0);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == outbound::errc::invalid_message);
  REQUIRE(refused.error().problems.size() == 1);
  CHECK(refused.error().problems[0].where == "/first_name");
  CHECK(refused.error().problems[0].why.find("byte 3 ") != std::string::npos);
  CHECK(refused.error().message.find("/first_name") != std::string::npos);
}

TEST_CASE("F1: every ill-formed text of a message is reported, not just the first", "[F1]") {
  const auto m = outbound::user{"\xFF"}.track("\xC0").property("a", "\x80").property("b", {"ok", "\xED\xA0\x80"});
  const auto problems = m.problems();
  REQUIRE(problems.size() == 4);
  std::string all;
  for (const outbound::problem& p : problems) {
    CHECK(p.what == defect::invalid_utf8);
    all += p.where + ' ';
  }
  CHECK(all == "/user_id /event /properties/a /properties/b/1 ");
  CHECK(m.body() == R"({"user_id":null,"event":null,"properties":{"a":null,"b":["ok",null]}})");
}

TEST_CASE("F1: every string of 1, 2 and 3 bytes, against table 3-7", "[F1][F2][F3]") {
  const auto agree = [](std::string_view s, std::size_t& valid, std::size_t& wrong) {
    const std::size_t error = reference_error(s);
    valid += error == std::string_view::npos;
    wrong += outbound::detail::utf8_error(s) != error;
    wrong += outbound::detail::is_utf8(s) != (error == std::string_view::npos);
    if (error == std::string_view::npos) wrong += outbound::repaired(s) != s;
    else wrong += outbound::repaired(s) != reference_repaired(s);
  };
  std::size_t valid[4]{}, wrong = 0;
  char s[3];
  const unsigned stride = quick() ? 5 : 1;  // prime to every boundary of the table
  for (unsigned a = 0; a < 256; ++a) {
    s[0] = static_cast<char>(a);
    agree({s, 1}, valid[1], wrong);
    for (unsigned b = 0; b < 256; ++b) {
      s[1] = static_cast<char>(b);
      agree({s, 2}, valid[2], wrong);
      for (unsigned c = (a + b) % stride; c < 256; c += stride) {
        s[2] = static_cast<char>(c);
        agree({s, 3}, valid[3], wrong);
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(valid[1] == 128);
  CHECK(valid[2] == 18304);                  // 128^2, and 1,920 code points
  if (!quick()) CHECK(valid[3] == 2650112);  // 128^3, 2 * 128 * 1,920, and 61,440 code points
}

TEST_CASE("F1: whole blocks of one byte", "[F1]") {
  for (unsigned byte = 0; byte < 0x100; ++byte) {
    for (const std::size_t n : {7U, 8U, 9U, 15U, 16U, 17U, 24U, 33U}) {
      const std::string s(n, static_cast<char>(byte));
      INFO(byte << " x " << n);
      CHECK(outbound::detail::is_utf8(s) == (byte < 0x80));
      CHECK(outbound::detail::utf8_error(s) == (byte < 0x80 ? std::string_view::npos : 0));
      CHECK(outbound::array::of(s).text() == (byte < 0x80 ? '[' + reference_quoted(s) + ']' : "[null]"));
    }
  }
}

TEST_CASE("F1: every string of 2 bytes and of 3 that begins a long sequence, written as JSON", "[F1]") {
  std::size_t wrong = 0, valid = 0;
  const auto agree = [&](std::string_view s) {
    const outbound::array a = outbound::array::of(s);
    const std::size_t error = reference_error(s);
    valid += error == std::string_view::npos;
    wrong += a.text() != (error == std::string_view::npos ? '[' + reference_quoted(s) + ']' : "[null]");
    wrong += a.problems().size() != (error == std::string_view::npos ? 0 : 1);
  };
  char s[3];
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      s[0] = static_cast<char>(a);
      s[1] = static_cast<char>(b);
      agree({s, 2});
      if (a < 0xE0 || a > 0xF4) continue;
      for (unsigned c = (a + b) % 7; c < 256; c += quick() ? 31U : 7U) {
        s[2] = static_cast<char>(c);
        agree({s, 3});
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(valid > 18304);
}

TEST_CASE("F1: every string of 4 bytes with a lead of F0 to FF, against table 3-7", "[F1][F3]") {
  // The reference, prepared: which bytes may stand where behind a lead.
  static bool allowed[16][4][256];
  for (const table_row& row : table_3_7) {
    if (row.size != 4) continue;
    for (unsigned lead = row.at[0].low; lead <= row.at[0].high; ++lead)
      for (unsigned i = 1; i < 4; ++i)
        for (unsigned b = row.at[i].low; b <= row.at[i].high; ++b) allowed[lead - 0xF0][i][b] = true;
  }
  const unsigned stride = quick() ? 61 : 1;
  std::size_t valid = 0, wrong = 0, tried = 0;
  char s[4];
  for (unsigned lead = 0xF0; lead < 0x100; ++lead) {
    s[0] = static_cast<char>(lead);
    const auto& may = allowed[lead - 0xF0];
    for (unsigned b = 0; b < 256; ++b) {
      s[1] = static_cast<char>(b);
      for (unsigned c = 0; c < 256; ++c) {
        s[2] = static_cast<char>(c);
        for (unsigned d = (lead + b + c) % stride; d < 256; d += stride) {
          s[3] = static_cast<char>(d);
          const bool good = may[1][b] && may[2][c] && may[3][d];
          valid += good;
          ++tried;
          wrong += outbound::detail::utf8_error({s, 4}) != (good ? std::string_view::npos : 0);
          wrong += outbound::detail::is_utf8({s, 4}) != good;
        }
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(tried >= 4'000'000);
  if (!quick()) {
    CHECK(tried == std::size_t{16} << 24);
    CHECK(valid == 1048576);  // planes 1 to 16
  }
}

TEST_CASE("F1: an error is found at every offset of a long text", "[F1]") {
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::string s(size, 'a');
      s[at] = '\xFF';
      check_position(positions[0], s);
      std::string with_escape = s;
      with_escape[size - 1 - at] = '"';
      check_position(positions[0], with_escape);
    }
  }
}

TEST_CASE("F2: repaired puts U+FFFD for each maximal subpart", "[F2]") {
  const std::vector<utf8_case> cases = utf8_cases();
  REQUIRE(cases.size() == 1934);
  for (const utf8_case& c : cases) {
    CHECK(outbound::repaired(c.bytes) == c.repaired);
    CHECK(outbound::repaired(c.repaired) == c.repaired);
    CHECK(outbound::user{"u"}.identify().attribute("k", outbound::repaired(c.bytes)).valid());
  }
  CHECK(outbound::repaired("\xE1\x80\x41") == "\xEF\xBF\xBD\x41");
  CHECK(outbound::repaired("\xC0\xAF") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(outbound::repaired("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(outbound::repaired("\xF4\x90\x80\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  const char* const absent = nullptr;
  CHECK(outbound::repaired(absent).empty());
  CHECK(outbound::repaired(std::string_view{"a\0b", 3}) == std::string("a\0b", 3));
}

TEST_CASE("F2: utf8tests, a third party's cases", "[F1][F2]") {
  const auto folder = test::corpus("utf8/utf8tests");
  if (folder.empty()) {
    WARN("SKIPPED: utf8tests");
    return;
  }
  // num:valid:bytes, num:valid hex:bytes, num:invalid hex:bytes:when skipped:when replaced
  const std::string all = test::read_file(folder / "utf8tests.txt");
  const auto unspaced = [](std::string s) {
    std::string out;
    for (const char c : s)
      if (c != ' ') out += c;
    return out;
  };
  std::size_t valid = 0, invalid = 0;
  for (std::size_t from = 0; from < all.size();) {
    const std::size_t end = std::min(all.find('\n', from), all.size());
    const std::string line = all.substr(from, end - from);
    from = end + 1;
    if (line.empty() || line[0] == '#') continue;
    CAPTURE(line);
    std::vector<std::string> cells;
    for (std::size_t at = 0; at <= line.size();) {
      const std::size_t colon = cells.size() < 2 || cells[1] != "valid" ? line.find(':', at) : std::string::npos;
      cells.push_back(line.substr(at, colon == std::string::npos ? colon : colon - at));
      if (colon == std::string::npos) break;
      at = colon + 1;
    }
    REQUIRE(cells.size() >= 3);
    cells[1].erase(0, cells[1].find_first_not_of(' '));
    if (cells[1] == "invalid hex") {
      ++invalid;
      REQUIRE(cells.size() == 5);
      const std::string bytes = test::from_hex(unspaced(cells[2]));
      CHECK(outbound::repaired(bytes) == test::from_hex(unspaced(cells[4])));
      const outbound::array a = outbound::array::of(bytes);
      CHECK(a.text() == "[null]");
      CHECK(a.problems().size() == 1);
    } else {
      ++valid;
      const std::string bytes = cells[1] == "valid" ? cells[2] : test::from_hex(unspaced(cells[2]));
      CHECK(outbound::repaired(bytes) == bytes);
      const outbound::array a = outbound::array::of(bytes);
      CHECK(a.text() == '[' + reference_quoted(bytes) + ']');
      CHECK(a.problems().empty());
    }
  }
  CHECK(valid == 77);
  CHECK(invalid == 145);
}

TEST_CASE("F3: overlong forms, surrogates and what is beyond U+10FFFF are refused", "[F3]") {
  const std::string_view bad[] = {"\xC0\x80",  // overlong NUL
                                  "\xC1\xBF",
                                  "\xE0\x80\x80",
                                  "\xE0\x9F\xBF",
                                  "\xF0\x80\x80\x80",  // overlong
                                  "\xF0\x8F\xBF\xBF",
                                  "\xED\xA0\x80",
                                  "\xED\xBF\xBF",              // surrogates
                                  "\xED\xA0\xBD\xED\xB8\x80",  // CESU-8
                                  "\xF4\x90\x80\x80",
                                  "\xF5\x80\x80\x80",
                                  "\xF8\x88\x80\x80\x80",
                                  "\xFC\x84\x80\x80\x80\x80",
                                  "\xFE",
                                  "\xFF"};
  for (const std::string_view s : bad) {
    REQUIRE(reference_error(s) == 0);
    for (const position& at : positions) check_position(at, s);
    for (const position& at : positions) check_position(at, "plain text in front " + std::string{s});
  }
  for (const std::string_view s :
       {"\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    for (const position& at : positions) check_position(at, s);
}

TEST_CASE("F4: a truncated sequence is reported, and no byte past the end is read", "[F4]") {
  for (const utf8_case& c : utf8_cases()) {
    for (std::size_t size = 0; size <= c.bytes.size(); ++size) {
      const std::string_view inside = std::string_view{c.bytes}.substr(0, size);  // what follows would complete it
      const exact alone{inside};
      CHECK(outbound::repaired(alone.view()) == reference_repaired(inside));
      CHECK(outbound::repaired(inside) == reference_repaired(inside));
      check_position(positions[0], alone.view());
      check_position(positions[0], inside);
      check_position(positions[2], alone.view());
      if (size == 0) continue;
      check_position(positions[4], alone.view());
      check_position(positions[5], alone.view());
    }
  }
}

TEST_CASE("F4: truncated behind a text of any length", "[F4]") {
  for (const std::string_view whole : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    for (std::size_t front = 0; front <= 34; ++front) {
      for (std::size_t size = 1; size <= whole.size(); ++size) {
        const std::string s = std::string(front, 'x') + std::string{whole.substr(0, size)};
        REQUIRE(reference_error(s) == (size == whole.size() ? std::string_view::npos : front));
        const exact alone{s};
        check_position(positions[0], alone.view());
        check_position(positions[2], alone.view());
        const std::string escaped = std::string(front, '"') + std::string{whole.substr(0, size)};
        check_position(positions[0], exact{escaped}.view());
      }
    }
  }
}

// --- NUL and other controls

TEST_CASE("F5: a NUL inside does not end a text", "[F5]") {
  using namespace std::string_view_literals;
  for (const std::string_view s : {"a\0b"sv, "\0"sv, "\0\0"sv, "\0a"sv, "a\0"sv, "12345678\0abcdefgh\0"sv}) {
    for (const position& at : positions) check_position(at, s);
    const std::string owned{s};
    CHECK(outbound::user{owned}.track(owned).property(owned, owned).body() ==
          R"({"user_id":)" + reference_quoted(s) + R"(,"event":)" + reference_quoted(s) + R"(,"properties":{)" +
              reference_quoted(s) + ":" + reference_quoted(s) + "}}");
  }
  CHECK(outbound::array::of("a\0b"sv).text() == R"(["a\u0000b"])");
  CHECK(outbound::user{std::string("\0", 1)}.identify().problems().empty());
  // A literal is a const char*, and ends at its first NUL: so says the manual.
  CHECK(outbound::array::of("a\0b").text() == R"(["a"])");
}

TEST_CASE("F5: a null pointer is a problem, not a crash", "[F5]") {
  const char* const absent = nullptr;
  for (const position& at : positions) {
    CAPTURE(at.name);
    const outbound::track m = at.make(absent);
    CHECK(m.body() == at.body(at.bad));
    const auto problems = m.problems();
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].what == defect::null_pointer);
    CHECK(problems[0].where == at.where(""));
    CHECK_FALSE(problems[0].why.empty());
  }
  CHECK(outbound::array::of(absent).text() == "[null]");
  CHECK(outbound::array::of(std::string_view{}).text() == R"([""])");  // no data, but no pointer either
  CHECK(outbound::array::of(std::string_view{}).problems().empty());
  static_assert(!std::is_constructible_v<outbound::text, std::nullptr_t>);
  static_assert(!std::is_constructible_v<outbound::user, std::nullptr_t>);
}

TEST_CASE("F6: escapes are the shortest there are", "[F6]") {
  const std::vector<test::row> rows = test::read_tsv("json_escapes.tsv");
  REQUIRE(rows.size() == 179);
  for (const test::row& row : rows) {
    REQUIRE(row.size() >= 3);
    CAPTURE(row[0]);
    const std::string s = test::from_hex(row[1]);
    const std::string want = test::from_hex(row[2]);
    CHECK(outbound::array::of(s).text() == "[\"" + want + "\"]");
    CHECK(outbound::object{{s, s}}.text() == "{\"" + want + "\":\"" + want + "\"}");
    CHECK(outbound::user{s}.track(s).body() == R"({"user_id":")" + want + R"(","event":")" + want + "\"}");
    for (std::size_t front = 0; front <= 18; ++front) {
      for (std::size_t back = 0; back <= 9; ++back) {
        const std::string around = std::string(front, 'f') + s + std::string(back, 'b');
        CHECK(written(exact{around}.view()) == '"' + std::string(front, 'f') + want + std::string(back, 'b') + '"');
      }
    }
  }
  CHECK(written("\x7F") == "\"\x7F\"");
  CHECK(written("/") == "\"/\"");
}

TEST_CASE("F6: a text of nothing but escapes, of any length", "[F6]") {
  for (const char c : {'\x01', '\n', '"', '\\', '\x1F', '\0'}) {
    for (std::size_t n : {1U, 7U, 8U, 9U, 15U, 16U, 17U, 100U, 500U, 1000U, 1100U, 5000U, 20000U}) {
      const std::string s(n, c);
      CHECK(written(s) == reference_quoted(s));
      CHECK(written(s + "tail") == reference_quoted(s + "tail"));
      CHECK(written("headhead" + s) == reference_quoted("headhead" + s));
    }
  }
}

TEST_CASE("F6: texts at random, against a writer that goes byte by byte", "[F6]") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const std::string_view pieces[] = {"a",
                                     "bc",
                                     "\"",
                                     "\\",
                                     "\n",
                                     std::string_view{"\0", 1},
                                     "\x1F",
                                     "\x7F",
                                     "\xC3\xBC",
                                     "\xE2\x80\xA8",
                                     "\xF0\x9F\x98\x80",
                                     "12345678",
                                     "0123456789abcdef"};
  std::size_t wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string s;
    for (auto n = random() % 12; n > 0; --n) s += pieces[random() % std::size(pieces)];
    const exact alone{s};
    if (written(alone.view()) != reference_quoted(s) && wrong++ == 0)
      CHECK(written(alone.view()) == reference_quoted(s));
    if (outbound::object{{alone.view(), 1}}.text() != '{' + reference_quoted(s) + ":1}") ++wrong;
  }
  CHECK(wrong == 0);
}

// --- all of Unicode

TEST_CASE("F7: bytes of 80 and above are text, whatever the sign of char", "[F7]") {
  // The suite is built with -fsigned-char and with -funsigned-char: the same bytes are asserted in both.
  std::size_t code_points = 0, wrong = 0;
  std::string s, want;
  for (std::uint32_t c = 0x80; c <= 0x10FFFF; ++c) {
    if (c < 0xD800 || c > 0xDFFF) {
      s += utf8_of(c);
      ++code_points;
    }
    if (c % 97 != 0 && c != 0x10FFFF) continue;
    const outbound::array a = outbound::array::of(s);
    wrong += a.text() != "[\"" + s + "\"]" || !a.problems().empty();
    s.clear();
  }
  CHECK(code_points == 0x110000 - 0x800 - 0x80);
  CHECK(wrong == 0);
  for (unsigned b = 0x80; b <= 0xFF; ++b) {
    const std::string alone(1, static_cast<char>(b));
    CHECK(outbound::array::of(alone).text() == "[null]");
    CHECK(outbound::object{{alone, 1}}.text() == "{\"\":1}");
    CHECK(outbound::repaired(alone) == "\xEF\xBF\xBD");
  }
}

TEST_CASE("F8: what only HTML and old JavaScript mind stays raw", "[F8]") {
  std::size_t differ = 0;
  for (const test::row& row : test::read_tsv("json_escapes.tsv")) {
    REQUIRE(row.size() == 4);
    if (row[2] == row[3]) continue;
    ++differ;
    CHECK(row[1] == row[2]);
    const std::string s = test::from_hex(row[1]);
    CHECK(written(s) == '"' + s + '"');
  }
  CHECK(differ == 5);  // < > & U+2028 U+2029
  CHECK(written("</script><!--&amp;\xE2\x80\xA8\xE2\x80\xA9'") == "\"</script><!--&amp;\xE2\x80\xA8\xE2\x80\xA9'\"");
}

TEST_CASE("F9: UTF-16 becomes UTF-8, a lone surrogate U+FFFD", "[F9]") {
  const std::vector<test::row> rows = test::read_tsv("utf16.tsv");
  REQUIRE(rows.size() == 27);
  for (const test::row& row : rows) {
    REQUIRE(row.size() == 3);
    CAPTURE(row[0]);
    std::u16string units;
    for (std::size_t i = 0; i + 4 <= row[0].size(); i += 5)
      units += static_cast<char16_t>(std::stoi(row[0].substr(i, 4), nullptr, 16));
    const std::string got = outbound::from_utf16(units);
    CHECK(got == test::from_hex(row[2]));
    CHECK((got.find("\xEF\xBF\xBD") == std::string::npos) == (row[1] == "1"));
    CHECK(outbound::detail::utf8_error(got) == std::string_view::npos);
    CHECK(outbound::object{{"k", got}}.problems().empty());
  }
}

TEST_CASE("F9: a high surrogate at the end of a view is lone, whatever lies behind", "[F9]") {
  const std::u16string_view pair = u"\xD83D\xDE00";
  CHECK(outbound::from_utf16(pair) == "\xF0\x9F\x98\x80");
  CHECK(outbound::from_utf16(pair.substr(0, 1)) == "\xEF\xBF\xBD");
}

TEST_CASE("F9: every code point and every lone unit from UTF-16", "[F9]") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0; c <= 0x10FFFF; ++c) {
    std::u16string units;
    if (c < 0x10000) {
      units += static_cast<char16_t>(c);
    } else {
      units += static_cast<char16_t>(0xD800 + (c - 0x10000) / 0x400);
      units += static_cast<char16_t>(0xDC00 + (c - 0x10000) % 0x400);
    }
    wrong += outbound::from_utf16(units) != (c >= 0xD800 && c <= 0xDFFF ? std::string{"\xEF\xBF\xBD"} : utf8_of(c));
  }
  CHECK(wrong == 0);
}

template <class T, class = void>
constexpr bool from_utf16_takes = false;
template <class T>
constexpr bool from_utf16_takes<T, std::void_t<decltype(outbound::from_utf16(std::declval<const T&>()))>> = true;
template <class... Ts>
constexpr bool none_is_text = (!std::is_convertible_v<Ts, outbound::text> && ...);
template <class... Ts>
constexpr bool none_is_id = (!std::is_convertible_v<Ts, outbound::id> && ...);

TEST_CASE("F10: wide text is not text; 16-bit text converts, whatever its type", "[F10]") {
  static_assert(
      none_is_text<const wchar_t*, const char16_t*, const char32_t*, std::wstring, std::u16string, std::u32string,
                   std::wstring_view, std::u16string_view, std::u32string_view, wchar_t, char16_t, char32_t, char>);
  static_assert(none_is_id<const wchar_t*, const char16_t*, const char32_t*, std::wstring, std::u16string,
                           std::u32string, wchar_t, char16_t, char32_t, char, bool, double>);
  static_assert(from_utf16_takes<std::u16string> && from_utf16_takes<std::u16string_view> &&
                from_utf16_takes<const char16_t*>);
  static_assert(!from_utf16_takes<std::u32string> && !from_utf16_takes<const char32_t*> &&
                !from_utf16_takes<std::string> && !from_utf16_takes<const char*>);
  CHECK(outbound::from_utf16(u"gr\u00FC\u00DFe \U0001F600") ==
        "gr\xC3\xBC\xC3\x9F"
        "e \xF0\x9F\x98\x80");
  CHECK(outbound::from_utf16(std::u16string_view{u"a\0b", 3}) == std::string("a\0b", 3));
  CHECK(outbound::from_utf16(std::u16string_view{}).empty());
#if WCHAR_MAX == 0xFFFF  // elsewhere it does not compile
  CHECK(outbound::from_utf16(L"gr\u00FC\u00DFe \U0001F600") ==
        "gr\xC3\xBC\xC3\x9F"
        "e \xF0\x9F\x98\x80");
  CHECK(outbound::from_utf16(std::wstring{L'\xD800'}) == "\xEF\xBF\xBD");
#endif
}

#ifdef __cpp_char8_t
TEST_CASE("F10: char8_t text is text", "[F10]") {
  const std::u8string owned{u8"gr\u00FC\u00DFe"};
  const char8_t* const pointer = owned.c_str();
  CHECK(outbound::object{
            {u8"k\u00E9y", u8"gr\u00FC\u00DFe"}, {"a", owned}, {"b", std::u8string_view{owned}}, {"c", pointer}}
            .text() ==
        "{\"k\xC3\xA9y\":\"gr\xC3\xBC\xC3\x9F"
        "e\",\"a\":\"gr\xC3\xBC\xC3\x9F"
        "e\",\"b\":\"gr\xC3\xBC\xC3\x9F"
        "e\",\"c\":\"gr\xC3\xBC\xC3\x9F"
        "e\"}");
  const char8_t* const absent = nullptr;
  const outbound::object o{{"k", absent}};
  REQUIRE(o.problems().size() == 1);
  CHECK(o.problems()[0].what == defect::null_pointer);
  CHECK(outbound::user{u8"\u00E9"}.track(u8"\u00FC").body() == "{\"user_id\":\"\xC3\xA9\",\"event\":\"\xC3\xBC\"}");
}
#endif

TEST_CASE("F11: noncharacters, a BOM inside and combining marks pass unchanged", "[F11]") {
  for (const std::uint32_t c :
       {0xFDD0U, 0xFDEFU, 0xFFFEU, 0xFFFFU, 0x1FFFEU, 0x10FFFFU, 0xFEFFU, 0x0301U, 0x200DU, 0xE000U, 0xFFFDU}) {
    for (const position& at : positions) check_position(at, utf8_of(c));
    CHECK(outbound::repaired(utf8_of(c)) == utf8_of(c));
    CHECK(written("e" + utf8_of(c)) == "\"e" + utf8_of(c) + '"');
  }
  // No body begins with a BOM, not even one whose first text does.
  CHECK(outbound::user{"\xEF\xBB\xBFu"}.track("\xEF\xBB\xBF").body().substr(0, 15) == "{\"user_id\":\"\xEF\xBB\xBF");
}

// --- keys

TEST_CASE("F12: a key is escaped and checked like a value", "[F12]") {
  CHECK(outbound::object{{"", 1}}.text() == R"({"":1})");
  CHECK(outbound::object{{"", 1}}.problems().empty());
  CHECK(outbound::user{"u"}.identify().attribute("", "").body() == R"({"user_id":"u","attributes":{"":""}})");
  CHECK(outbound::object{{"\"a\\\n", 1}}.text() == R"({"\"a\\\n":1})");
  const outbound::object bad{{"a\xFF/~", 1}};
  CHECK(bad.text() == R"({"":1})");
  REQUIRE(bad.problems().size() == 1);
  CHECK(bad.problems()[0].what == defect::invalid_utf8);
  CHECK(bad.problems()[0].where == "/a\xEF\xBF\xBD~1~0");
  const std::map<std::string, int> from_map{{"\x80", 1}};
  CHECK(outbound::object{{"m", from_map}}.text() == R"({"m":{"":1}})");
  CHECK(outbound::object{{"m", from_map}}.problems().at(0).where == "/m/\xEF\xBF\xBD");
}

TEST_CASE("F12: the problem of a key stays until the message is made anew", "[F12]") {
  // U+FFFD is a key like another; the repaired form of the bad one looks the same.
  auto m = outbound::user{"u"}.identify().attribute("\xFF", 1).attribute("\xEF\xBF\xBD", 2);
  REQUIRE(m.problems().size() == 1);
  m.attribute("\xEF\xBF\xBD", 3);
  CHECK(m.body() == "{\"user_id\":\"u\",\"attributes\":{\"\":1,\"\xEF\xBF\xBD\":3}}");
  CHECK(m.problems().size() == 1);
  CHECK_FALSE(m.valid());

  outbound::object o{{"\xFF", 1}, {"\xEF\xBF\xBD", 2}, {"\xEF\xBF\xBD", 3}};
  CHECK(o.text() == "{\"\":1,\"\xEF\xBF\xBD\":3}");
  CHECK(o.problems().size() == 1);

  const std::vector<std::pair<std::string, int>> pairs{{"\xFF", 1}, {"\xEF\xBF\xBD", 2}, {"\xEF\xBF\xBD", 3}};
  outbound::object in_range{{"k", pairs}};
  CHECK(in_range.text() == "{\"k\":{\"\":1,\"\xEF\xBF\xBD\":3}}");
  CHECK(in_range.problems().size() == 1);
}

TEST_CASE("F12: a good key \"\" does not hide the problem of a bad one", "[F12]") {
  auto m = outbound::user{"u"}.track("e").property("\xFF", 1).property("", 2);
  CHECK(m.body() == R"({"user_id":"u","event":"e","properties":{"":2}})");
  CHECK_FALSE(m.valid());
  auto twice = outbound::user{"u"}.track("e").property("\xFF", 1).property("\xFE", 2);
  CHECK(twice.body() == R"({"user_id":"u","event":"e","properties":{"":2}})");
  CHECK_FALSE(twice.valid());
}

// --- nothing is altered by itself

TEST_CASE("F14: no case is folded and nothing normalised, in a Turkish locale either", "[F14]") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  const bool turkish = std::setlocale(LC_ALL, "tr_TR.UTF-8") != nullptr;
  if (!turkish) WARN("SKIPPED: no locale tr_TR.UTF-8 here");
  const std::string_view naughty[] = {"I i \xC4\xB0 \xC4\xB1",
                                      "TITLE title",
                                      "\xC3\x85 A\xCC\x8A \xE2\x84\xAB",  // one letter in three forms
                                      "\xEF\xAC\x81 \xC5\xBF \xE1\xBA\x9E",
                                      "  blanks \t",
                                      "\xC2\xA0\xE2\x80\x8B\xE2\x80\xAE",
                                      "'; DROP TABLE users; --",
                                      "${jndi:ldap://x} {{7*7}} %s%n $(x) `x`",
                                      "undefined null NaN true 1E+02 0x0 -0",
                                      "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA9",
                                      "Z\xCD\xAB\xCC\x93\xCD\xAA"};
  for (const std::string_view s : naughty) {
    for (const position& at : positions) check_position(at, s);
    CHECK(outbound::repaired(s) == s);
    const std::string body{outbound::user{s}.track(s).property(s, s).body()};
    const auto parsed = nlohmann::json::parse(body, nullptr, false);
    REQUIRE(parsed.is_object());
    CHECK(parsed["user_id"].get<std::string>() == s);
    CHECK(parsed["event"].get<std::string>() == s);
    CHECK(parsed["properties"][std::string{s}].get<std::string>() == s);
  }
  const std::vector<outbound::header> headers{{"x-\xC4\xB1tem", "dotless"}, {"x-item", "yes"}};
  const std::string* const found = outbound::find_header(headers, "X-ITEM");
  CHECK((found != nullptr && *found == "yes"));
  CHECK(outbound::find_header(headers, "X-\xC4\xB0TEM") == nullptr);
  std::setlocale(LC_ALL, before.c_str());
}

// --- sizes, bytes in memory

TEST_CASE("F62: escapes make a text six times as long, and sizes keep up", "[F62]") {
  const std::size_t n = quick() ? 300'000 : 3'000'000;
  const std::string s(n, '\x01');
  const outbound::array a = outbound::array::of(s);
  REQUIRE(a.text().size() == 6 * n + 4);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i) wrong += a.text().substr(2 + 6 * i, 6) != "\\u0001";
  CHECK(wrong == 0);
}

#ifdef __cpp_exceptions
TEST_CASE("F62: a size beyond all memory is bad_alloc, never a small block", "[F62]") {
  if (sanitized) return;  // they end the program instead
  outbound::detail::writer w;
  w.append("kept");
  const std::size_t most = static_cast<std::size_t>(-1);
  for (const std::size_t n : {most, most - 1, most - 16, most - 2000, most / 2 + 1, most / 2, most / 2 - 16}) {
    CAPTURE(n);
    CHECK_THROWS_AS(w.reserve(n), std::bad_alloc);
    CHECK(w.view() == "kept");
  }
}
#endif

TEST_CASE("F72: the same bytes on any byte order, for every length and place of a byte", "[F72]") {
  for (std::size_t size = 0; size <= 40; ++size) {
    std::string s;
    for (std::size_t i = 0; i < size; ++i) s += static_cast<char>('A' + i);
    CHECK(written(exact{s}.view()) == reference_quoted(s));
    CHECK(outbound::object{{exact{s}.view(), size}}.text() ==
          '{' + reference_quoted(s) + ':' + std::to_string(size) + "}");
    for (std::size_t at = 0; at < size; ++at) {
      for (const char c : {'"', '\n', '\x1F', '\x7F', '!', '[', ']'}) {
        std::string with = s;
        with[at] = c;
        CHECK(written(exact{with}.view()) == reference_quoted(with));
      }
      if (at + 2 > size) continue;
      std::string with = s;
      with.replace(at, 2, "\xC3\xBC");
      CHECK(written(exact{with}.view()) == reference_quoted(with));
    }
  }
}

TEST_CASE("F73: text and keys at every alignment", "[F73]") {
  const std::string s = "alignment \xE2\x82\xAC \" \\ \n of a text that is longer than two blocks";
  alignas(16) char buffer[128];
  for (std::size_t shift = 0; shift < 16; ++shift) {
    s.copy(buffer + shift, s.size());
    const std::string_view v{buffer + shift, s.size()};
    CHECK(written(v) == reference_quoted(s));
    outbound::object o;
    for (std::size_t size = 0; size <= s.size(); ++size)
      if (reference_error(v.substr(0, size)) == std::string_view::npos) o.set(v.substr(0, size), size);
    CHECK(o.problems().empty());
    CHECK(nlohmann::json::parse(std::string{o.text()}, nullptr, false).size() == s.size() + 1 - 2);
    CHECK(outbound::repaired(v.substr(0, 11)) == "alignment \xEF\xBF\xBD");
  }
}

}  // namespace text_test
