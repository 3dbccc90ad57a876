// What a cell means, once it is known what it is to be. All throw `refused`.
#ifndef OUTBOUND_IMPORT_VALUES_HPP
#define OUTBOUND_IMPORT_VALUES_HPP

#include "mapping.hpp"

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace importer {

/// The cell, read as such a thing where it is text.
nlohmann::ordered_json read(const nlohmann::ordered_json& cell, reading as);

const std::string& text_of(const nlohmann::ordered_json& value);
/// A text, or an array of them.
std::vector<std::string> texts_of(const nlohmann::ordered_json& value);
const nlohmann::ordered_json& object_of(const nlohmann::ordered_json& value);
/// Unix seconds, as a number or as text, or a date with time and zone as in RFC 3339.
std::chrono::system_clock::time_point time_of(const nlohmann::ordered_json& value);

}  // namespace importer
#endif
