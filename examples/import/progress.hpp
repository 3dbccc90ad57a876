// A line on a terminal that says how far it is, how fast, and how long it will take.
#ifndef OUTBOUND_IMPORT_PROGRESS_HPP
#define OUTBOUND_IMPORT_PROGRESS_HPP

#include <chrono>
#include <cstdint>
#include <string>

namespace importer {

struct progress_state {
  std::uint64_t bytes{};  ///< of the file, that were read
  std::uint64_t size{};   ///< of the file
  std::uint64_t rows{};   ///< done with
  std::uint64_t refused{};
  std::uint64_t bytes_now{};  ///< those of this run
  std::uint64_t rows_now{};
  std::chrono::duration<double> elapsed{};  ///< in this run
  std::string note{};                       ///< why it does not go on
};

/// `[#####.....]  50%  1,000 rows  200/s  0:05 left  2 refused`, at most `width` characters long.
std::string progress_line(const progress_state& s, std::size_t width);

/// Draws only where stderr is a terminal, and a few times a second.
class progress {
 public:
  progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() { clear(); }

  bool is_shown() const { return is_terminal_; }
  void show(const progress_state& s);
  void clear();
  std::chrono::duration<double> elapsed() const { return clock::now() - start_; }

 private:
  using clock = std::chrono::steady_clock;
  bool is_terminal_;
  bool is_drawn_{};
  clock::time_point start_{clock::now()};
  clock::time_point next_{};
};

}  // namespace importer
#endif
