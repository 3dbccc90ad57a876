#ifndef SANDBOX_FIELDS_HPP
#define SANDBOX_FIELDS_HPP

#include "json_text.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

/// What a value has to be.
struct rule {
  bool (*holds)(const json&);
  const char* wanted;  ///< completes "field "x" must be ..."
};

enum class presence { required, optional };

struct field {
  std::string_view name;
  presence must_be;
  rule value;
};
using fields = std::vector<field>;

/// Throws `refusal` unless `body` is an object that has the fields of `known`, and no other.
void check_fields(const fields& known, const json& body);

/// As it stands in messages.
std::string in_quotes(std::string_view name);

bool is_string(const json& value);
bool is_object(const json& value);
bool is_bool(const json& value);
bool is_unsigned(const json& value);
bool is_filled_string(const json& value);

}  // namespace sandbox

#endif
