// What a spliced json text is taken for, against nlohmann and RapidJSON. Where they disagree with us, or with each
// other, the sentence of the standard that decides stands here.
#include "outbound.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include "../support/depth_of.hpp"
#include "fuzz.hpp"

namespace {

// Values do not matter; what nlohmann cannot hold as a number does: RFC 8259, 6, sets no limits to their size.
struct acceptance : nlohmann::json_sax<nlohmann::json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) override {
    too_large_number = e.id == 406;
    at = position;
    return false;
  }

  bool too_large_number{};
  std::size_t at{};  // one behind the last byte read
};

bool is_of_number(char c) { return std::string_view{"0123456789+-.eE"}.find(c) != std::string_view::npos; }

// RFC 8259, 6.
std::size_t end_of_number(const std::string& s, std::size_t at) {
  const auto digits = [&] {
    while (at < s.size() && s[at] >= '0' && s[at] <= '9') ++at;
  };
  const auto take = [&](std::string_view any_of) {
    const bool there = at < s.size() && any_of.find(s[at]) != std::string_view::npos;
    at += there;
    return there;
  };
  take("-");
  if (!take("0")) digits();
  if (take(".")) digits();
  if (take("eE")) {
    take("+-");
    digits();
  }
  return at;
}

bool nlohmann_accepts(std::string& s) {
  for (;;) {
    acceptance seen;
    if (nlohmann::json::sax_parse(s, &seen)) return true;
    if (!seen.too_large_number) return false;
    // It was read whole, so it is a number: put another in its place and look at the rest.
    std::size_t begin = (std::min)(seen.at, s.size());
    while (begin > 0 && !is_of_number(s[begin - 1])) --begin;
    while (begin > 0 && is_of_number(s[begin - 1])) --begin;
    const std::size_t end = end_of_number(s, begin);
    fuzz::demand(begin != end, "nlohmann calls something a number that is too large", s);
    s.replace(begin, end - begin, "1 ");  // and a blank, so that nothing joins it
  }
}

enum class verdict { refused, accepted, unknown };

verdict rapidjson_says(const std::string& s) {
  rapidjson::MemoryStream in{s.data(), s.size()};
  rapidjson::BaseReaderHandler<> nothing;
  rapidjson::Reader reader;
  // Without kParseFullPrecisionFlag, which reads behind a table of RapidJSON's for numbers such as 1.42404726944461e-336.
  constexpr unsigned flags = rapidjson::kParseValidateEncodingFlag | rapidjson::kParseIterativeFlag;
  const rapidjson::ParseResult result = reader.Parse<flags>(in, nothing);
  if (result.Code() == rapidjson::kParseErrorNumberTooBig) return verdict::unknown;  // stricter than nlohmann here
  return result ? verdict::accepted : verdict::refused;
}

// An escape \uDC00 to \uDFFF that follows no \uD800 to \uDBFF, as RapidJSON 1.1 lets pass.
bool has_lone_low_surrogate(std::string_view s) {
  bool after_high = false;
  for (std::size_t i = 0; i + 1 < s.size(); ++i) {
    if (s[i] != '\\') {
      after_high = false;
      continue;
    }
    const bool is_d = s[i + 1] == 'u' && i + 5 < s.size() && (s[i + 2] == 'd' || s[i + 2] == 'D');
    const char c = is_d ? s[i + 3] : '0';
    const bool low = is_d && ((c >= 'c' && c <= 'f') || (c >= 'C' && c <= 'F'));
    if (low && !after_high) return true;
    after_high = is_d && !low && (c == '8' || c == '9' || c == 'a' || c == 'b' || c == 'A' || c == 'B');
    i += s[i + 1] == 'u' ? 5 : 1;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string s{reinterpret_cast<const char*>(data), size};
  const outbound::array a = outbound::array::of(outbound::json{s});
  const std::vector<outbound::problem> problems = a.problems();
  const bool ours = problems.empty();

  std::string for_nlohmann = s;
  bool theirs = nlohmann_accepts(for_nlohmann);
  const verdict rapid = rapidjson_says(for_nlohmann);

  // RFC 8259, 8.1: a generator MUST NOT add a byte order mark. nlohmann, a parser, may ignore one, and does.
  if (s.compare(0, 3, "\xEF\xBB\xBF") == 0) theirs = false;
  // RFC 8259, 2: a NUL is no blank, and no end. Both take it for the end of the text.
  if (s.find('\0') != std::string::npos) theirs = false;
  // RFC 8259, 9: a limit of depth is allowed; ours is documented.
  const bool too_deep = test::depth_of(s) > 512;
  if (too_deep) theirs = false;

  fuzz::demand(ours == theirs, ours ? "we accept what nlohmann refuses" : "we refuse what nlohmann accepts", s);
  if (rapid == verdict::refused) fuzz::demand(!ours, "we accept what RapidJSON refuses", s);
  if (rapid == verdict::accepted && !ours)
    // RFC 8259, 8.2, calls the meaning of a lone surrogate unpredictable; RFC 7493, 2.1, forbids it.
    fuzz::demand(s.find('\0') != std::string::npos || too_deep || has_lone_low_surrogate(s),
                 "we refuse what RapidJSON accepts", s);

  // What is accepted stands there byte by byte; what is not is null, and a problem of that place.
  if (ours) {
    fuzz::demand(a.text() == "[" + s + "]", "other bytes", std::string{a.text()});
  } else {
    fuzz::demand(a.text() == "[null]", "not null", std::string{a.text()});
    fuzz::demand(problems.size() == 1 && problems[0].where == "/0", "not one problem at its place", s);
    const outbound::defect what = problems[0].what;
    fuzz::demand(what == outbound::defect::invalid_json || what == outbound::defect::invalid_utf8 ||
                     (what == outbound::defect::too_deep && too_deep),
                 "another defect", problems[0].why);
    fuzz::demand(!problems[0].why.empty(), "no sentence", s);
  }

  // As attributes, only an object passes, and its members are ours from then on.
  const outbound::identify m = outbound::user{1}.identify().attributes(outbound::json{s});
  const nlohmann::json body = nlohmann::json::parse(m.body(), nullptr, false);
  std::string checked{m.body()};
  fuzz::demand(!body.is_discarded() || nlohmann_accepts(checked), "a body that is not JSON", std::string{m.body()});
  const std::size_t first = s.find_first_not_of(" \t\n\r");
  if (ours && first != std::string::npos)
    fuzz::demand(m.valid() == (s[first] == '{'), "not an object, or one refused", s);
  return 0;
}
