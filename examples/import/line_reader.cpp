#include "line_reader.hpp"

#include <ios>
#include <limits>

namespace importer {

line_reader::line_reader(const std::string& path) : path_{path}, in_{path, std::ios::binary}, buffer_(max_row + 1) {
  if (!in_) throw failed{"cannot read " + path};
}

bool line_reader::next(line& l) {
  in_.getline(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  if (in_.bad()) throw failed{"reading " + path_ + " failed"};
  auto taken = in_.gcount();
  if (taken == 0) return false;
  l.begin = where_;
  l.is_too_long = in_.fail();  // the buffer is full, and no LF was found
  l.text.assign(buffer_.data(), static_cast<std::size_t>(taken) - (in_.eof() || l.is_too_long ? 0 : 1));
  if (l.is_too_long) {
    in_.clear();
    in_.ignore((std::numeric_limits<std::streamsize>::max)(), '\n');
    taken += in_.gcount();
  }
  where_.line += 1;
  where_.offset += static_cast<std::uint64_t>(taken);
  if (l.begin.offset == 0) {
    if (l.text.compare(0, 2, "\xFF\xFE") == 0 || l.text.compare(0, 2, "\xFE\xFF") == 0)
      throw failed{path_ + " is UTF-16: save it as UTF-8"};
    if (l.text.compare(0, 3, "\xEF\xBB\xBF") == 0) l.text.erase(0, 3);  // Excel's mark of UTF-8
  }
  return true;
}

bool line_reader::next_filled(line& l) {
  do {
    if (!next(l)) return false;
  } while (l.is_blank());
  return true;
}

void line_reader::go_to(position p) {
  where_ = p;
  if (p.offset != 0) skip_late_end();
  in_.clear();
  in_.seekg(static_cast<std::streamoff>(where_.offset));
  if (!in_) throw failed{path_ + " cannot be read from byte " + std::to_string(p.offset) + " on"};
}

// A last line without LF went for whole, and was counted. Its end may be there by now; if anything else is, then half a
// value may have been sent, and the rest of it is no line.
void line_reader::skip_late_end() {
  constexpr int nothing = std::ifstream::traits_type::eof();
  in_.clear();
  in_.seekg(static_cast<std::streamoff>(where_.offset - 1));
  if (in_.get() == '\n') return;
  const bool has_cr = in_.peek() == '\r';
  if (has_cr) in_.ignore();
  const int next = in_.peek();
  if (next == '\n') where_.offset += has_cr ? 2 : 1;
  if (next != '\n' && next != nothing)
    throw failed{path_ + ": line " + std::to_string(where_.line - 1) +
                 " had no end yet when it was read, and has gone on since; import it whole, with what comes after it, "
                 "from a file of its own"};
}

}  // namespace importer
