// boost::json values as values of outbound.hpp, Boost 1.75 or newer: copy this file, link with -lboost_json (or include
// <boost/json/src.hpp> in one of your files).
//
//     boost::json::value plan = {{"name", "pro"}, {"seats", 5}};
//     user.identify().attribute("plan", plan);                     // anywhere a value may stand
//     user.identify().attributes(interop::to_json(plan));          // attributes or properties as a whole
//
// `to_outbound` stands in Boost's namespace, where argument-dependent look-up finds it. Nothing is altered on the way:
// a string that is not UTF-8, or a number that is not finite, is a problem of the message. The depth of the recursion
// is that of the value.
#ifndef OUTBOUND_INTEROP_BOOST_JSON_HPP
#define OUTBOUND_INTEROP_BOOST_JSON_HPP
#include "outbound.hpp"

#include <boost/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace interop {
namespace boost_json_detail {

// As outbound writes it. What it cannot write goes in as it is, and the check of the whole text finds it.
template <class T>
void append_scalar(std::string& out, const T& value, std::string_view instead) {
  const auto one = outbound::array::of(value);
  if (!one.problems().empty()) out.append("\"").append(instead).append("\"\xFF");
  else out.append(one.text().substr(1, one.text().size() - 2));
}

inline void append_text(std::string& out, std::string_view text) { append_scalar(out, text, text); }

inline void append(std::string& out, const boost::json::value& value);

inline void append(std::string& out, const boost::json::object& value) {
  char separator = '{';
  for (const boost::json::key_value_pair& item : value) {
    append_text(out += separator, {item.key().data(), item.key().size()});
    append(out += ':', item.value());
    separator = ',';
  }
  out += separator == '{' ? "{}" : "}";
}

inline void append(std::string& out, const boost::json::array& value) {
  char separator = '[';
  for (const boost::json::value& item : value) {
    append(out += separator, item);
    separator = ',';
  }
  out += separator == '[' ? "[]" : "]";
}

inline void append(std::string& out, const boost::json::value& value) {
  if (const auto* object = value.if_object()) append(out, *object);
  else if (const auto* array = value.if_array()) append(out, *array);
  else if (const auto* text = value.if_string()) append_text(out, {text->data(), text->size()});
  else if (const double* number = value.if_double()) append_scalar(out, *number, "not finite");
  else if (const std::int64_t* integer = value.if_int64()) append_scalar(out, *integer, "");
  else if (const std::uint64_t* natural = value.if_uint64()) append_scalar(out, *natural, "");
  else if (const bool* truth = value.if_bool()) append_scalar(out, *truth, "");
  else out += "null";
}

}  // namespace boost_json_detail

/// `value`, a boost::json::value, object or array, as text.
template <class Json,
          std::enable_if_t<std::is_same_v<Json, boost::json::value> || std::is_same_v<Json, boost::json::object> ||
                               std::is_same_v<Json, boost::json::array>,
                           int> = 0>
outbound::json to_json(const Json& value) {
  std::string out;
  boost_json_detail::append(out, value);
  return outbound::json{std::move(out)};
}
}  // namespace interop

namespace boost {
namespace json {
// For these three types and nothing that converts to them.
template <class Json,
          std::enable_if_t<std::is_same_v<Json, value> || std::is_same_v<Json, object> || std::is_same_v<Json, array>,
                           int> = 0>
outbound::json to_outbound(const Json& v) {
  return interop::to_json(v);
}
}  // namespace json
}  // namespace boost
#endif
