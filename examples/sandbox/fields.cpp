#include "fields.hpp"

#include "refusal.hpp"

#include <algorithm>

namespace sandbox {
namespace {

void check_field(const field& expected, const json& body) {
  const auto found = body.find(expected.name);
  if (found == body.end()) {
    if (expected.must_be == presence::optional) return;
    throw refusal(code::missing_field, "field " + in_quotes(expected.name) + " is missing");
  }
  if (expected.value.holds(*found)) return;
  throw refusal(code::invalid_field, "field " + in_quotes(expected.name) + " must be " + expected.value.wanted +
                                         " (found: " + found->type_name() + ")");
}

void check_no_other(const fields& known, const json& body) {
  for (const auto& [name, value] : body.items()) {
    const auto is_this = [&name = name](const field& one) { return one.name == name; };
    if (std::any_of(known.begin(), known.end(), is_this)) continue;
    throw refusal(code::unknown_field, "there is no field " + in_quotes(name));
  }
}

}  // namespace

void check_fields(const fields& known, const json& body) {
  if (!body.is_object()) {
    throw refusal(code::not_an_object, std::string("a body must be an object, not of type ") + body.type_name());
  }
  for (const auto& expected : known) check_field(expected, body);
  check_no_other(known, body);
}

std::string in_quotes(std::string_view name) { return written(json(name)); }

bool is_string(const json& value) { return value.is_string(); }
bool is_object(const json& value) { return value.is_object(); }
bool is_bool(const json& value) { return value.is_boolean(); }
bool is_unsigned(const json& value) { return value.is_number_unsigned(); }
bool is_filled_string(const json& value) { return value.is_string() && !value.get_ref<const std::string&>().empty(); }

}  // namespace sandbox
