// The lines of a file that may be larger than memory.
#ifndef OUTBOUND_IMPORT_LINE_READER_HPP
#define OUTBOUND_IMPORT_LINE_READER_HPP

#include "row.hpp"

#include <fstream>
#include <string>
#include <vector>

namespace importer {

struct line {
  position begin{};
  std::string text{};  ///< without its LF
  bool is_too_long{};  ///< then the text is cut

  bool is_blank() const { return !is_too_long && (text.empty() || text == "\r"); }
};

class line_reader {
 public:
  explicit line_reader(const std::string& path);

  /// False: the file has ended.
  bool next(line& l);
  /// The same for the next line that is not blank.
  bool next_filled(line& l);
  position where() const { return where_; }
  /// To where `where` was before, maybe of another reader. Throws `failed` if the line before that has grown since.
  void go_to(position p);

 private:
  void skip_late_end();

  std::string path_;
  std::ifstream in_;
  std::vector<char> buffer_;
  position where_{};
};

}  // namespace importer
#endif
