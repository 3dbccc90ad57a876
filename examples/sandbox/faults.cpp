#include "faults.hpp"

#include "fields.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace sandbox {
namespace {

using clock = fault_rule::clock;

constexpr std::array<const char*, 2> shorthands = {"drop_before", "drop_after"};

bool is_shorthand(const json& wish) {
  return wish.is_object() &&
         std::any_of(shorthands.begin(), shorthands.end(), [&wish](const char* name) { return wish.contains(name); });
}

void check_shorthand(const json& wish) {
  fields known;
  for (const char* name : shorthands)
    known.push_back({name, presence::optional, {is_unsigned, "an integer, 0 or more"}});
  check_fields(known, wish);
}

/// `{NAME: N}` takes the place of what was set by the same name before; 0 only takes that away.
void set_shorthand(std::vector<fault_rule>& rules, const json& wish, clock::time_point now) {
  for (const auto& [name, nth] : wish.items()) {
    const auto is_same = [&name = name](const fault_rule& one) { return one.is_shorthand_of(name); };
    rules.erase(std::remove_if(rules.begin(), rules.end(), is_same), rules.end());
    if (nth != 0) rules.emplace_back(json{{"fault", name}, {"nth", nth}}, now);
  }
}

/// Of two faults for one call: the one without processing, as the call cannot get to the other; else the older wish.
bool wins(const fault& later, const fault& earlier) {
  if (later.what == outcome::usual) return false;
  return earlier.what == outcome::usual || (earlier.processed && !later.processed);
}

}  // namespace

void fault_plan::add(const json& wish) {
  const auto now = clock::now();
  if (is_shorthand(wish)) {
    check_shorthand(wish);
    const std::lock_guard hold(lock_);
    return set_shorthand(rules_, wish, now);
  }
  std::vector<fault_rule> added;
  if (wish.is_array()) {
    for (const auto& one : wish) added.emplace_back(one, now);
  } else {
    added.emplace_back(wish, now);
  }
  const std::lock_guard hold(lock_);
  for (auto& one : added) rules_.push_back(std::move(one));
}

void fault_plan::reset() {
  const std::lock_guard hold(lock_);
  rules_.clear();
}

json fault_plan::shown() const {
  const auto now = clock::now();
  auto out = json::array();
  const std::lock_guard hold(lock_);
  for (const auto& one : rules_) {
    if (!one.is_over(now)) out.push_back(one.shown(now));
  }
  return out;
}

fault fault_plan::next(std::string_view path) {
  const std::lock_guard hold(lock_);
  fault out;
  if (rules_.empty()) return out;
  const auto now = clock::now();
  std::chrono::milliseconds delay{0};
  for (auto& rule : rules_) {
    const auto met = rule.next(path, now);
    if (!met) continue;
    delay += met->delay;
    if (out.name.empty() || wins(*met, out)) out = *met;
  }
  out.delay = delay;
  const auto is_over = [now](const fault_rule& one) { return one.is_over(now); };
  rules_.erase(std::remove_if(rules_.begin(), rules_.end(), is_over), rules_.end());
  return out;
}

}  // namespace sandbox
