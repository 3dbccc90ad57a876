#ifndef SANDBOX_JSON_TEXT_HPP
#define SANDBOX_JSON_TEXT_HPP

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace sandbox {

using json = nlohmann::json;

/// Deeper than anything the client may send (64 levels of its own, 512 of spliced text, one of a batch) and shallow
/// enough for the recursion in nlohmann's copy and dump.
inline constexpr std::size_t max_depth = 1024;

/// Reads exactly one JSON value, more strictly than nlohmann does by itself: a byte order mark, a NUL that ends the
/// text early and a key given twice in one object are refused. Throws `refusal`.
json parsed(std::string_view text);

/// Compact text. Ill-formed UTF-8, which a refused body may hold, shows as U+FFFD.
std::string written(const json& value);

/// The text itself, with U+FFFD for what is no UTF-8.
std::string repaired(const std::string& text);

}  // namespace sandbox

#endif
