// nlohmann::json values as values of outbound.hpp: copy this file.
//
//     nlohmann::json plan = {{"name", "pro"}, {"seats", 5}};
//     user.identify().attribute("plan", plan);                     // anywhere a value may stand
//     user.identify().attributes(interop::to_json(plan));          // attributes or properties as a whole
//
// `to_outbound` stands in nlohmann's namespace, where argument-dependent look-up finds it. Nothing is altered on the
// way: a string that is not UTF-8, or a NaN (which `dump` would write as null), is a problem of the message. Binary
// values are written as `dump` writes them. The depth of the recursion is that of the value.
#ifndef OUTBOUND_INTEROP_NLOHMANN_HPP
#define OUTBOUND_INTEROP_NLOHMANN_HPP
#include "outbound.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace interop {
namespace nlohmann_detail {

// As outbound writes it. What it cannot write goes in as it is, and the check of the whole text finds it.
template <class T>
void append_scalar(std::string& out, const T& value, std::string_view instead) {
  const auto one = outbound::array::of(value);
  if (!one.problems().empty()) out.append("\"").append(instead).append("\"\xFF");
  else out.append(one.text().substr(1, one.text().size() - 2));
}

template <class Json>
void append(std::string& out, const Json& value) {
  char separator = '[';
  if (value.is_object()) {
    separator = '{';
    for (const auto& item : value.items()) {
      out += separator;
      append_scalar(out, item.key(), item.key());
      append(out += ':', item.value());
      separator = ',';
    }
    out += separator == '{' ? "{}" : "}";
  } else if (value.is_array()) {
    for (const Json& item : value) {
      append(out += separator, item);
      separator = ',';
    }
    out += separator == '[' ? "[]" : "]";
  } else if (value.is_string()) {
    const auto& text = value.template get_ref<const typename Json::string_t&>();
    append_scalar(out, text, text);
  } else if (value.is_number_float()) {
    append_scalar(out, value.template get<double>(), "not finite");
  } else {
    out += value.dump();
  }
}

}  // namespace nlohmann_detail

/// `value`, an nlohmann::json or ordered_json, as text.
template <
    class Json,
    std::enable_if_t<std::is_same_v<Json, nlohmann::json> || std::is_same_v<Json, nlohmann::ordered_json>, int> = 0>
outbound::json to_json(const Json& value) {
  std::string out;
  nlohmann_detail::append(out, value);
  return outbound::json{std::move(out)};
}
}  // namespace interop

namespace nlohmann {
// For these two types and nothing that converts to them.
template <class Json, std::enable_if_t<std::is_same_v<Json, json> || std::is_same_v<Json, ordered_json>, int> = 0>
outbound::json to_outbound(const Json& value) {
  return interop::to_json(value);
}
}  // namespace nlohmann
#endif
