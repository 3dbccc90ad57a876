#include "line_reader.hpp"
#include "row_reader.hpp"

#include <csv.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace importer {
namespace {

// One record, fed line by line.
class record_parser {
 public:
  explicit record_parser(char delimiter) {
    if (csv_init(&parser_, CSV_STRICT) != 0) throw std::bad_alloc{};
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
    csv_set_space_func(&parser_, [](unsigned char) { return 0; });  // blanks belong to the cell (RFC 4180, section 2)
  }
  record_parser(const record_parser&) = delete;
  record_parser& operator=(const record_parser&) = delete;
  ~record_parser() { csv_free(&parser_); }

  /// Why the line cannot be part of the record; empty: it can.
  std::string feed(const line& l) {
    if (l.is_too_long) return "longer than " + std::to_string(max_row) + " bytes";
    size_ += l.text.size() + 1;
    const std::string text = l.text + '\n';
    if (csv_parse(&parser_, text.data(), text.size(), add_cell, end_record, this) != text.size()) {
      if (csv_error(&parser_) != CSV_EPARSE) throw std::bad_alloc{};
      return "a quote stands where none may be (line " + std::to_string(l.begin.line) + ")";
    }
    if (records_ > 1) return "a carriage return stands in the middle of a line";
    if (records_ == 0 && size_ > max_row) return "a quote is not closed within " + std::to_string(max_row) + " bytes";
    return {};
  }
  bool is_complete() const { return records_ != 0; }
  std::vector<std::string>& cells() { return cells_; }

 private:
  static void add_cell(void* data, std::size_t size, void* self) {
    static_cast<record_parser*>(self)->cells_.emplace_back(static_cast<const char*>(data), size);
  }
  static void end_record(int, void* self) { ++static_cast<record_parser*>(self)->records_; }

  csv_parser parser_{};
  std::vector<std::string> cells_{};
  std::size_t records_{};
  std::size_t size_{};
};

class csv_reader final : public row_reader {
 public:
  csv_reader(const std::string& path, char delimiter) : lines_{path}, delimiter_{delimiter} {
    row header;
    if (!read(header, columns_)) throw failed{path + " is empty: its first row has to name the columns"};
    if (!header.refusal.empty()) throw failed{path + ": the first row cannot be read: " + header.refusal};
    std::vector<std::string> names = columns_;
    std::sort(names.begin(), names.end());
    for (std::size_t i = 1; i < names.size(); ++i)
      if (names[i] == names[i - 1] && !names[i].empty())
        throw failed{path + ": the column '" + names[i] + "' is there twice"};
  }

  bool next(row& r) override {
    std::vector<std::string> cells;
    if (!read(r, cells)) return false;
    if (!r.refusal.empty()) return true;
    if (cells.size() != columns_.size()) {
      r.refusal = std::to_string(cells.size()) + " cells where the header has " + std::to_string(columns_.size());
      return true;
    }
    for (std::size_t i = 0; i < cells.size(); ++i)  // what has no name, or is empty, is left out
      if (!columns_[i].empty() && !cells[i].empty()) r.cells.emplace_back(columns_[i], std::move(cells[i]));
    return true;
  }

  void go_to(position p) override { lines_.go_to(p); }
  std::vector<std::string> columns() const override { return columns_; }

 private:
  bool read(row& r, std::vector<std::string>& cells) {
    line l;
    if (!lines_.next_filled(l)) return false;
    r = row{};
    r.begin = l.begin;
    r.end = lines_.where();
    record_parser parser{delimiter_};
    for (r.refusal = parser.feed(l); r.refusal.empty() && !parser.is_complete();) {
      if (lines_.next(l)) r.refusal = parser.feed(l);
      else r.refusal = "a quote is not closed before the end of the file";
    }
    if (r.refusal.empty()) r.end = lines_.where();
    else lines_.go_to(r.end);
    cells = std::move(parser.cells());
    return true;
  }

  line_reader lines_;
  char delimiter_;
  std::vector<std::string> columns_{};
};

}  // namespace

std::unique_ptr<row_reader> open_csv(const std::string& path, char delimiter) {
  return std::make_unique<csv_reader>(path, delimiter);
}

}  // namespace importer
