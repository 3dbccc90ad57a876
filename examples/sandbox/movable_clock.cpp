#include "movable_clock.hpp"

#include "refusal.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <string>

namespace sandbox {
namespace {

constexpr std::int64_t minute = 60;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t week = 7 * day;
constexpr std::int64_t longest_duration = 520 * week;
constexpr std::int64_t farthest = 5200 * week;  // a date of four digits everywhere

struct unit {
  std::string_view name;
  std::int64_t seconds;
};

constexpr std::array<unit, 5> units = {
    {{"second", 1}, {"minute", minute}, {"hour", hour}, {"day", day}, {"week", week}}};

std::int64_t machine_now() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::floor<std::chrono::seconds>(since_epoch).count();
}

}  // namespace

std::optional<std::int64_t> seconds_of(std::string_view duration) {
  const auto* end = duration.data() + duration.size();
  std::int64_t count = 0;
  const auto [stop, failure] = std::from_chars(duration.data(), end, count);
  if (failure != std::errc() || stop == end || *stop != ' ' || count < 1) return std::nullopt;
  auto name = duration.substr(static_cast<std::size_t>(stop - duration.data()) + 1);
  if (!name.empty() && name.back() == 's') name.remove_suffix(1);
  const auto is_it = [name](const unit& one) { return one.name == name; };
  const auto* found = std::find_if(units.begin(), units.end(), is_it);
  if (found == units.end() || count > longest_duration / found->seconds) return std::nullopt;
  return count * found->seconds;
}

movable_clock::movable_clock(const json& shown) : ahead_(shown.at("ahead")) {
  if (shown.at("stopped").get<bool>()) stopped_at_ = shown.at("now").get<std::int64_t>();
}

std::int64_t movable_clock::now() const { return stopped_at_ ? *stopped_at_ : machine_now() + ahead_; }

void movable_clock::forward(std::int64_t seconds) {
  if (now() + seconds - machine_now() > farthest) {
    throw refusal(code::invalid_field, "the clock goes 5200 weeks ahead at most");
  }
  if (stopped_at_) {
    *stopped_at_ += seconds;
  } else {
    ahead_ += seconds;
  }
}

void movable_clock::stop(bool on) {
  if (on == stopped_at_.has_value()) return;
  if (on) {
    stopped_at_ = now();
  } else {
    ahead_ = *stopped_at_ - machine_now();
    stopped_at_.reset();
  }
}

json movable_clock::shown() const {
  const auto at = now();
  return {{"now", at}, {"ahead", at - machine_now()}, {"stopped", stopped_at_.has_value()}};
}

}  // namespace sandbox
