#include "faults.hpp"

#include "refusal.hpp"

#include <string>

namespace sandbox {
namespace {

constexpr const char* before_name = "drop_before";
constexpr const char* after_name = "drop_after";

void check(const json& wish) {
  if (!wish.is_object()) throw refusal(code::not_an_object, "faults are set by an object");
  for (const auto& [name, value] : wish.items()) {
    if (name != before_name && name != after_name) {
      throw refusal(code::unknown_field, "there is no fault " + written(json(name)));
    }
    if (!value.is_number_unsigned()) {
      throw refusal(code::invalid_field, "field " + written(json(name)) + " must be an integer, 0 or more");
    }
  }
}

bool counts_down_to_zero(std::uint64_t& calls) { return calls != 0 && --calls == 0; }

}  // namespace

void fault_plan::set(const json& wish) {
  check(wish);
  const std::lock_guard hold(lock_);
  drop_before_ = wish.value(before_name, drop_before_);
  drop_after_ = wish.value(after_name, drop_after_);
}

void fault_plan::reset() {
  const std::lock_guard hold(lock_);
  drop_before_ = 0;
  drop_after_ = 0;
}

json fault_plan::shown() const {
  const std::lock_guard hold(lock_);
  return {{before_name, drop_before_}, {after_name, drop_after_}};
}

fault fault_plan::next() {
  const std::lock_guard hold(lock_);
  const bool before = counts_down_to_zero(drop_before_);
  const bool after = counts_down_to_zero(drop_after_);
  if (before) return fault::drop_before;
  return after ? fault::drop_after : fault::none;
}

}  // namespace sandbox
