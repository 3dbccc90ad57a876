#include "campaigns.hpp"

#include "calls.hpp"

#include <algorithm>
#include <optional>

namespace sandbox {
namespace {

// What a run is, or how it ended.
constexpr const char* waits = "waiting";
constexpr const char* reached = "reached";
constexpr const char* sent = "sent";
constexpr const char* unsent = "unsent";

std::string cannot_be_sent(const std::string& why) { return "cannot be sent: " + why; }

/// A mark for the campaign says more than the one for all (user.hpp).
std::optional<std::string> unsubscribed(const json& user, const std::string& campaign_id) {
  const auto& marks = user.at("subscriptions");
  const auto& named = marks.at("campaigns");
  if (const auto mark = named.find(campaign_id); mark != named.end()) {
    return mark->get<bool>() ? std::nullopt : std::optional<std::string>("unsubscribed from this campaign");
  }
  if (marks.value("all", true)) return std::nullopt;
  return "unsubscribed from all campaigns";
}

}  // namespace

campaign_runs::campaign_runs(const std::vector<campaign>& all) : all_(&all) {}

campaign_runs::changes campaign_runs::pass(std::int64_t now, const find_user& shown_user) {
  changes out;
  while (is_due(now)) {
    const auto one = take(due_.begin()->second);
    out.push_back(due(one, shown_user(one.user)));
  }
  return out;
}

campaign_runs::changes campaign_runs::note(const json& user_id, const std::string& event, std::int64_t now,
                                           const find_user& shown_user) {
  changes out;
  const auto user = text_of_id(user_id);
  for (const auto number : runs_of(user)) {
    if (runs_.at(number).of->goal == event) out.push_back(ended(take(number), reached, now, json::object()));
  }
  for (const auto& one : *all_) {
    if (one.trigger != event || find(user, one) != nullptr || !one.suits(shown_user(user))) continue;
    out.push_back(began({++newest_, &one, user, user_id, now, now + one.wait_s}));
  }
  return out;
}

/// Who waits in one campaign under both ids has triggered it twice: the first wait goes on.
campaign_runs::changes campaign_runs::join(const std::string& previous, const json& user_id, std::int64_t now) {
  changes out;
  const auto user = text_of_id(user_id);
  if (user == previous) return out;
  for (const auto number : runs_of(previous)) {
    auto stays = take(number);
    if (const auto* other = find(user, *stays.of)) {
      auto goes = take(other->number);
      if (goes.since < stays.since) std::swap(goes, stays);
      const auto why = "run " + std::to_string(stays.number) + " of the same user waits already";
      out.push_back(ended(goes, unsent, now, {{"problem", cannot_be_sent(why)}}));
    }
    stays.user = user;
    stays.user_id = user_id;
    out.push_back(began(std::move(stays)));
  }
  return out;
}

run_change campaign_runs::began(run one) {
  run_change out{one.number, true, shown(one, waits)};
  add(std::move(one));
  return out;
}

run_change campaign_runs::ended(const run& one, const char* state, std::int64_t at, const json& more) {
  auto out = shown(one, state);
  out["at"] = at;
  out.update(more);
  ++ended_[one.of->id][state];
  return {one.number, false, std::move(out)};
}

run_change campaign_runs::due(const run& one, json user) {
  user["user_id"] = one.user_id;  // also of one who is not known
  const auto& of = *one.of;
  json more = {{"channel", of.shown.at("channel")}, {"reason", of.reason()}};
  auto to = of.addresses(user);
  auto problem = unsubscribed(user, of.id);
  if (!problem && to.empty()) problem = std::string("no ") + of.address_name();
  if (problem) {
    more["problem"] = cannot_be_sent(*problem);
    return ended(one, unsent, one.until, more);
  }
  std::vector<std::string> missing;
  if (of.subject) more["subject"] = of.subject->rendered(user, missing);
  more["text"] = of.text.rendered(user, missing);
  more["to"] = std::move(to);
  more["missing"] = std::move(missing);
  return ended(one, sent, one.until, more);
}

json campaign_runs::shown(const run& one, const char* state) {
  return {{"run", one.number},      {"campaign", one.of->shown.at("id")},
          {"user_id", one.user_id}, {"state", state},
          {"since", one.since},     {"until", one.until}};
}

void campaign_runs::restore(std::uint64_t number, const json& shown) {
  skip_to(number);
  const auto id = text_of_id(shown.at("campaign"));
  const auto of = std::find_if(all_->begin(), all_->end(), [&id](const campaign& one) { return one.id == id; });
  if (of == all_->end()) return;
  const auto& user_id = shown.at("user_id");
  add({number, &*of, text_of_id(user_id), user_id, shown.at("since"), shown.at("until")});
}

void campaign_runs::resume(const json& totals) {
  for (const auto& [id, counts] : totals.items()) {
    for (const auto* state : {reached, sent, unsent}) ended_[id][state] = counts.at(state);
  }
}

json campaign_runs::waiting(const campaign& in) const {
  auto out = json::array();
  for (const auto& [until, number] : due_) {
    const auto& one = runs_.at(number);
    if (one.of == &in) out.push_back(shown(one, waits));
  }
  return out;
}

json campaign_runs::totals() const {
  auto out = json::object();
  const auto count_from_0 = [&out](const std::string& id) {
    out[id] = {{waits, 0}, {reached, 0}, {sent, 0}, {unsent, 0}};
  };
  for (const auto& one : *all_) count_from_0(one.id);
  for (const auto& [id, counts] : ended_) {
    if (!out.contains(id)) count_from_0(id);
    for (const auto& [state, count] : counts) out[id][state] = count;
  }
  for (const auto& [number, one] : runs_) {
    auto& count = out[one.of->id][waits];
    count = count.get<std::uint64_t>() + 1;
  }
  return out;
}

void campaign_runs::add(run one) {
  due_.emplace(one.until, one.number);
  of_user_[one.user].insert(one.number);
  runs_.emplace(one.number, std::move(one));
}

campaign_runs::run campaign_runs::take(std::uint64_t number) {
  auto one = std::move(runs_.extract(number).mapped());
  due_.erase({one.until, number});
  const auto others = of_user_.find(one.user);
  others->second.erase(number);
  if (others->second.empty()) of_user_.erase(others);
  return one;
}

/// A copy, as they may end one after the other.
std::set<std::uint64_t> campaign_runs::runs_of(const std::string& user) const {
  const auto found = of_user_.find(user);
  return found == of_user_.end() ? std::set<std::uint64_t>() : found->second;
}

const campaign_runs::run* campaign_runs::find(const std::string& user, const campaign& in) const {
  for (const auto number : runs_of(user)) {
    const auto& one = runs_.at(number);
    if (one.of == &in) return &one;
  }
  return nullptr;
}

}  // namespace sandbox
