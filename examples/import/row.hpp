// What a file consists of.
#ifndef OUTBOUND_IMPORT_ROW_HPP
#define OUTBOUND_IMPORT_ROW_HPP

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace importer {

/// More than the largest message can hold; what is longer is refused, not read into memory.
constexpr std::size_t max_row = std::size_t{1} << 20;

/// A place in a file, where a line begins.
struct position {
  std::uint64_t line{1};
  std::uint64_t offset{};  ///< in bytes
};

struct row {
  position begin{};
  position end{};                                                       ///< where the next one begins
  std::vector<std::pair<std::string, nlohmann::ordered_json>> cells{};  ///< by column; a cell of CSV is text
  std::string refusal{};                                                ///< why it cannot be read; empty: it can
};

/// Why a row is not sent.
class refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Why nothing can be imported.
class failed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace importer
#endif
