// JSON text as a value of nlohmann's, where nothing is lost on the way.
#ifndef OUTBOUND_IMPORT_STRICT_JSON_HPP
#define OUTBOUND_IMPORT_STRICT_JSON_HPP

#include "row.hpp"

#include <nlohmann/json.hpp>
#include <string>

namespace importer {

/// What is no JSON at all.
class not_json : public refused {
 public:
  using refused::refused;
};

/// Throws `refused`: not one JSON value, a key twice in one object, an integer of more than 64 bits, or more than 60
/// levels.
nlohmann::ordered_json parse_json(const std::string& text);

}  // namespace importer
#endif
