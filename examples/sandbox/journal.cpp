#include "journal.hpp"

#include <algorithm>
#include <utility>

namespace sandbox {
namespace {

/// The oldest row after a position, or null. Looks at the newest `most` only.
template <typename Row>
const Row* first_after(const bounded_log<Row>& log, std::uint64_t position, std::size_t most) {
  auto low = log.size() - (std::min)(log.size(), most);
  auto high = log.size();
  while (low != high) {
    const auto middle = low + (high - low) / 2;
    if (log[middle].position > position) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low == log.size() ? nullptr : &log[low];
}

}  // namespace

std::string_view name_of(topic about) {
  switch (about) {
    case topic::event: return "event";
    case topic::rejected: return "rejected";
    case topic::repeated: return "repeated";
    case topic::faulted: return "faulted";
    case topic::campaign: return "campaign";
    case topic::run: return "run";
    case topic::clock: break;
  }
  return "clock";
}

std::uint64_t journal::touch(const std::string& user) {
  restore_user(newest_ + 1, user);
  return newest_;
}

void journal::forget(const std::string& user) {
  const auto found = changed_.find(user);
  if (found == changed_.end()) return;
  changes_.erase(found->second);
  changed_.erase(found);
  gone_.add({++newest_, user}, user.size());
}

void journal::restore_user(std::uint64_t position, const std::string& user) {
  newest_ = (std::max)(newest_, position);
  const auto [known, is_new] = changed_.try_emplace(user, position);
  if (!is_new) {
    changes_.erase(known->second);
    known->second = position;
  }
  changes_.emplace(position, user);
}

std::optional<journal::step> journal::next(std::uint64_t after) const {
  std::optional<step> first;
  const auto consider = [&first](const step& one) {
    if (!first || one.position < first->position) first = one;
  };
  for (const auto about : topics) {
    if (const auto* one = first_after(log(about), after, max_told)) {
      consider({one->position, name_of(about), &one->shown, nullptr});
    }
  }
  if (const auto* one = first_after(gone_, after, max_told)) {
    consider({one->position, user_gone, nullptr, &one->user});
  }
  if (const auto one = changes_.upper_bound(after); one != changes_.end()) {
    consider({one->first, user_changed, nullptr, &one->second});
  }
  return first;
}

}  // namespace sandbox
