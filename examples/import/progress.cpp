#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace importer {
namespace {

constexpr std::size_t bar_width = 20;
constexpr std::size_t usual_width = 80;
constexpr std::chrono::milliseconds pause{200};

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3;) digits.insert(i -= 3, ",");
  return digits;
}

std::string two_digits(std::uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); }

std::string time_text(double seconds) {
  const auto all = static_cast<std::uint64_t>(seconds + 0.5);
  const std::string minutes_and_seconds = two_digits(all / 60 % 60) + ':' + two_digits(all % 60);
  return all < 3600 ? minutes_and_seconds : std::to_string(all / 3600) + ':' + minutes_and_seconds;
}

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - std::size_t{1} : usual_width;
}

}  // namespace

std::string progress_line(const progress_state& s, std::size_t width) {
  const double part = s.size == 0 ? 1 : static_cast<double>(std::min(s.bytes, s.size)) / static_cast<double>(s.size);
  const auto full = static_cast<std::size_t>(part * bar_width);
  std::string percent = std::to_string(static_cast<int>(part * 100)) + '%';
  percent.insert(0, 4 - percent.size(), ' ');
  std::string out = '[' + std::string(full, '#') + std::string(bar_width - full, '.') + "] " + percent + "  " +
                    grouped(s.rows) + " rows";
  const double seconds = s.elapsed.count();
  if (seconds > 0 && s.bytes_now > 0 && s.rows_now > 0) {
    out += "  " + grouped(static_cast<std::uint64_t>(static_cast<double>(s.rows_now) / seconds)) + "/s";
    const double left = static_cast<double>(s.size - std::min(s.bytes, s.size));
    out += "  " + time_text(left * seconds / static_cast<double>(s.bytes_now)) + " left";
  }
  if (s.refused != 0) out += "  " + grouped(s.refused) + " refused";
  if (!s.note.empty()) out += "  " + s.note;
  return out.substr(0, width);
}

progress::progress() {
  const char* const kind = std::getenv("TERM");
  is_terminal_ = isatty(STDERR_FILENO) == 1 && !(kind != nullptr && std::string_view{kind} == "dumb");
}

void progress::show(const progress_state& s) {
  if (!is_terminal_ || clock::now() < next_) return;
  next_ = clock::now() + pause;
  is_drawn_ = true;
  std::fprintf(stderr, "\r%s\x1b[K", progress_line(s, terminal_width()).c_str());  // K: erase what stood behind
}

void progress::clear() {
  if (is_drawn_) std::fprintf(stderr, "\r\x1b[K");
  is_drawn_ = false;
}

}  // namespace importer
