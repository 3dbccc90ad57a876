#ifndef SANDBOX_MOVABLE_CLOCK_HPP
#define SANDBOX_MOVABLE_CLOCK_HPP

#include "json_text.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace sandbox {

inline constexpr const char* a_duration =
    R"(a number and a unit, as "2 weeks": seconds, minutes, hours, days or weeks, 520 weeks at most)";

/// The seconds of a duration as it is written in wishes and campaigns; nothing for what is none.
std::optional<std::int64_t> seconds_of(std::string_view duration);

/// The time of the machine, unless somebody has moved it forward or stopped it.
class movable_clock {
 public:
  movable_clock() = default;
  /// The clock that was shown so, and has run on since, unless it was stopped.
  explicit movable_clock(const json& shown);

  std::int64_t now() const;  ///< Unix seconds
  /// Throws `refusal` for more than is sensible.
  void forward(std::int64_t seconds);
  void stop(bool on);
  /// As `/sandbox/clock` shows it.
  json shown() const;

 private:
  std::int64_t ahead_ = 0;  // of the machine, while it runs
  std::optional<std::int64_t> stopped_at_;
};

}  // namespace sandbox

#endif
