#ifndef SANDBOX_JOURNAL_HPP
#define SANDBOX_JOURNAL_HPP

#include "bounded_log.hpp"
#include "calls.hpp"
#include "json_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace sandbox {

/// What rows are about.
enum class topic { event, rejected, repeated, faulted, campaign, run, clock };

inline constexpr std::array<topic, 7> topics = {topic::event,    topic::rejected, topic::repeated, topic::faulted,
                                                topic::campaign, topic::run,      topic::clock};

std::string_view name_of(topic about);

/// All that can be watched, in one series: each row, and the newest change of each user, has a position in it, so that
/// whoever knows how far he has read can be told the rest.
class journal {
 public:
  struct row {
    std::uint64_t position;
    json shown;
  };
  /// One thing that happened; of the two pointers, one is set.
  struct step {
    std::uint64_t position;
    std::string_view name;
    const json* row;
    const std::string* user;  ///< the text of the id of one who has changed or is gone
  };

  static constexpr std::string_view user_changed = "user";
  static constexpr std::string_view user_gone = "gone";

  /// The row's position. `dropped` is called with the position of each row that has to go for it.
  template <typename Dropped>
  std::uint64_t add(topic about, json shown, std::size_t bytes, Dropped dropped) {
    restore(about, {newest_ + 1, std::move(shown)}, bytes, dropped);
    return newest_;
  }
  std::uint64_t touch(const std::string& user);
  void forget(const std::string& user);

  /// Puts back what was there in an earlier life, in order.
  template <typename Dropped>
  void restore(topic about, row one, std::size_t bytes, Dropped dropped) {
    newest_ = (std::max)(newest_, one.position);
    log_of(about).add(std::move(one), bytes, [&dropped](const row& old) { dropped(old.position); });
  }
  void restore_user(std::uint64_t position, const std::string& user);
  void resume(topic about, std::uint64_t total) { log_of(about).resume(total); }

  const bounded_log<row>& log(topic about) const { return logs_[static_cast<std::size_t>(about)]; }
  /// What happened next. Of each log, only the newest `max_told` rows are told.
  std::optional<step> next(std::uint64_t after) const;

 private:
  static constexpr std::size_t max_events = 100'000;
  static constexpr std::size_t max_rows = 10'000;
  static constexpr std::size_t max_told = 10'000;

  struct departure {
    std::uint64_t position;
    std::string user;
  };

  bounded_log<row>& log_of(topic about) { return logs_[static_cast<std::size_t>(about)]; }

  std::uint64_t newest_ = 0;
  std::array<bounded_log<row>, topics.size()> logs_ = {{
      {max_events, 256 * mebibyte},
      {max_rows, 64 * mebibyte},
      {max_rows, 64 * mebibyte},
      {max_rows, 64 * mebibyte},
      {max_rows, 64 * mebibyte},
      {max_rows, 64 * mebibyte},
      {max_rows, 64 * mebibyte},
  }};
  bounded_log<departure> gone_{max_rows, 64 * mebibyte};
  std::unordered_map<std::string, std::uint64_t> changed_;  // users, and when
  std::map<std::uint64_t, std::string> changes_;            // the same, by position
};

}  // namespace sandbox

#endif
