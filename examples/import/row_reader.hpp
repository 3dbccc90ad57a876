// The rows of a file, one at a time, whatever its format.
#ifndef OUTBOUND_IMPORT_ROW_READER_HPP
#define OUTBOUND_IMPORT_ROW_READER_HPP

#include "row.hpp"

#include <memory>
#include <string>
#include <vector>

namespace importer {

class row_reader {
 public:
  virtual ~row_reader() = default;
  /// False: the file has ended. A row that cannot be read comes too, with its refusal.
  virtual bool next(row& r) = 0;
  virtual void go_to(position p) = 0;
  /// Empty where each row has its own.
  virtual std::vector<std::string> columns() const { return {}; }
};

/// RFC 4180, by libcsv in its strict mode; the first row names the columns. A row that cannot be read costs its first
/// line: reading goes on behind that.
std::unique_ptr<row_reader> open_csv(const std::string& path, char delimiter);

/// An object per line; its keys are the columns.
std::unique_ptr<row_reader> open_ndjson(const std::string& path);

}  // namespace importer
#endif
