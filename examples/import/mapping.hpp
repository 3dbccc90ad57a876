// From the columns of a row to the fields of a message.
#ifndef OUTBOUND_IMPORT_MAPPING_HPP
#define OUTBOUND_IMPORT_MAPPING_HPP

#include "outbound.hpp"
#include "row.hpp"

#include <map>
#include <string>
#include <vector>

namespace importer {

enum class kind { users, events };

/// What a cell is, where it is text: the cells of CSV all are.
enum class reading { as_it_is, number, boolean, json, time };

/// Where a column goes.
struct target {
  std::string field{};  ///< "user_id", "email", ...; "attributes" or "properties"; "-": nowhere
  std::string key{};    ///< of an attribute or a property; empty: all of them
  reading as{};
};

class mapping {
 public:
  explicit mapping(kind what) : kind_{what} {}

  /// "user_id", "attributes.plan", "attributes.seats:number", "-". Throws `failed`.
  void add(const std::string& column, const std::string& where);
  /// Adds what the JSON file says: {"column": "where", ...}. Throws `failed`.
  void add_file(const std::string& path);

  /// Are the columns of a file enough, and are all that were named among them? Throws `failed`.
  void check(const std::vector<std::string>& columns) const;
  /// Why the column may not be meant to go where it goes; empty: nothing speaks for that.
  std::string doubt(const std::string& column) const;
  /// Throws `refused`.
  outbound::message message_of(const row& r) const;
  /// The same for equal mappings.
  std::string text() const;

 private:
  target target_of(const std::string& column) const;

  kind kind_;
  std::map<std::string, std::string> words_{};
  std::map<std::string, target> targets_{};
};

}  // namespace importer
#endif
