#ifndef SANDBOX_BOUNDED_LOG_HPP
#define SANDBOX_BOUNDED_LOG_HPP

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace sandbox {

/// Keeps the newest rows, within a number of rows and of bytes, so that a long run does not eat the memory.
template <typename Row>
class bounded_log {
 public:
  bounded_log(std::size_t max_rows, std::size_t max_bytes) : max_rows_(max_rows), max_bytes_(max_bytes) {}

  /// `bytes` is what the row counts for; the newest row stays, however large.
  void add(Row row, std::size_t bytes) {
    add(std::move(row), bytes, [](const Row&) {});
  }

  /// Calls `dropped` with each row that has to go.
  template <typename Dropped>
  void add(Row row, std::size_t bytes, Dropped dropped) {
    rows_.push_back({std::move(row), bytes});
    bytes_ += bytes;
    ++total_;
    while (rows_.size() > 1 && (rows_.size() > max_rows_ || bytes_ > max_bytes_)) {
      dropped(rows_.front().row);
      drop_oldest();
    }
  }

  /// How many were ever added.
  std::uint64_t total() const { return total_; }

  /// Calls `visit` with each row that is kept, the oldest first.
  template <typename Visit>
  void each(Visit visit) const {
    for (const auto& one : rows_) visit(one.row);
  }

 private:
  struct entry {
    Row row;
    std::size_t bytes;
  };

  void drop_oldest() {
    bytes_ -= rows_.front().bytes;
    rows_.pop_front();
  }

  std::deque<entry> rows_;
  std::size_t bytes_ = 0;
  std::uint64_t total_ = 0;
  std::size_t max_rows_;
  std::size_t max_bytes_;
};

}  // namespace sandbox

#endif
