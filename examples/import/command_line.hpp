// What the user asks for.
#ifndef OUTBOUND_IMPORT_COMMAND_LINE_HPP
#define OUTBOUND_IMPORT_COMMAND_LINE_HPP

#include "mapping.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace importer {

struct command_line {
  kind what{};
  std::string file{};
  std::string format{};  ///< "csv" or "ndjson"
  char delimiter{','};
  std::string mapping_file{};
  std::vector<std::string> maps{};  ///< "column=where"
  std::string url{"https://api.outbound.io"};
  std::string key{};
  std::size_t workers{4};
  std::string journal{};
  std::string refused{};
  bool dry_run{};
  bool allow_warnings{};
  bool same_account{};  ///< the key is another, the account is not
};

/// False: there is nothing to do, or it cannot be done, and `exit_code` is the program's.
bool read_command_line(int count, char** arguments, command_line& out, int& exit_code);

}  // namespace importer
#endif
