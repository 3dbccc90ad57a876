#include "values.hpp"

#include "strict_json.hpp"

#include <date/date.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <locale>
#include <sstream>

namespace importer {
namespace {

using json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr std::int64_t latest = 9'223'372'036 - 1;  // that a system_clock of nanoseconds can say

// Enough of it to find it again.
std::string quoted(const std::string& text) {
  std::size_t size = 100;
  if (text.size() <= size) return '\'' + text + '\'';
  while (size > 0 && (text[size] & 0xC0) == 0x80) --size;  // not within a character
  return '\'' + text.substr(0, size) + "...'";
}

json number_of(const std::string& text) {
  json value;
  try {
    value = parse_json(text);
  } catch (const not_json&) {
  }
  if (!value.is_number()) throw refused{"not a number, but " + quoted(text)};
  return value;
}

bool boolean_of(const std::string& cell) {
  std::string text = cell;
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c | 32) : c; });
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  throw refused{"neither true nor false, but " + quoted(cell)};
}

// Strict: the whole text, and a zone, since a time without one is another one elsewhere.
bool read_date(const std::string& text, date::sys_seconds& out) {
  for (const char* const form : {"%FT%TZ", "%F %TZ", "%FT%T%Ez", "%F %T%Ez"}) {
    std::istringstream in{text};
    in.imbue(std::locale::classic());
    date::sys_time<std::chrono::microseconds> t;
    if (!(in >> date::parse(form, t)) || in.peek() != std::istringstream::traits_type::eof()) continue;
    out = date::floor<seconds>(t);
    return true;
  }
  return false;
}

}  // namespace

json read(const json& cell, reading as) {
  if (as == reading::time && (cell.is_string() || cell.is_number()))
    return std::chrono::duration_cast<seconds>(time_of(cell).time_since_epoch()).count();
  if (!cell.is_string()) return cell;
  const auto& text = cell.get_ref<const std::string&>();
  if (as == reading::boolean) return boolean_of(text);
  if (as == reading::number) return number_of(text);
  return as == reading::json ? parse_json(text) : cell;
}

const std::string& text_of(const json& value) {
  if (!value.is_string()) throw refused{std::string{"text is needed, and this is: "} + value.type_name()};
  return value.get_ref<const std::string&>();
}

std::vector<std::string> texts_of(const json& value) {
  std::vector<std::string> all;
  if (!value.is_array()) return {text_of(value)};
  for (const json& one : value) all.push_back(text_of(one));
  return all;
}

const json& object_of(const json& value) {
  if (!value.is_object()) throw refused{std::string{"an object is needed, and this is: "} + value.type_name()};
  return value;
}

std::chrono::system_clock::time_point time_of(const json& value) {
  const json number = value.is_string() && json::accept(value.get_ref<const std::string&>())
                          ? parse_json(value.get_ref<const std::string&>())
                          : value;
  std::int64_t n = 0;
  date::sys_seconds t;
  if (number.is_number_unsigned() && number.get<std::uint64_t>() > static_cast<std::uint64_t>(latest)) n = latest + 1;
  else if (number.is_number_integer()) n = number.get<std::int64_t>();
  else if (value.is_string() && read_date(value.get_ref<const std::string&>(), t)) n = t.time_since_epoch().count();
  else throw refused{"neither Unix seconds nor a time as 2024-06-03T08:00:00Z"};
  if (n > latest || n < -latest) throw refused{"beyond the year 2262 (milliseconds?): " + number.dump()};
  return std::chrono::system_clock::time_point{seconds{n}};
}

}  // namespace importer
