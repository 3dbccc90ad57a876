#include "user.hpp"

#include "calls.hpp"

#include <algorithm>

namespace sandbox {
namespace {

template <typename List, typename Item>
void add_if_absent(List& list, const Item& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

}  // namespace

void user::identify(const json& body) {
  for (const auto& [name, value] : body.items()) set(name, value);
}

void user::set(const std::string& name, const json& value) {
  if (name == "user_id") {
    remember_id(value);
  } else if (name == "previous_id") {
    remember_previous_id(value);
  } else if (name == "attributes") {
    attributes_.update(value);
  } else if (const auto tokens = tokens_.find(name); tokens != tokens_.end()) {
    tokens->second = value.get<token_list>();
  } else {
    fields_[name] = value;
  }
}

void user::absorb(const user& previous) {
  fields_.insert(previous.fields_.begin(), previous.fields_.end());
  attributes_.insert(previous.attributes_.begin(), previous.attributes_.end());
  for (const auto& [platform, tokens] : previous.tokens_) {
    for (const auto& token : tokens) register_token(platform, token);
  }
  for (const auto& id : previous.previous_ids_) remember_previous_id(id);
  if (!subscribed_to_all_) subscribed_to_all_ = previous.subscribed_to_all_;
  campaigns_.insert(previous.campaigns_.begin(), previous.campaigns_.end());
}

void user::remember_previous_id(const json& id) { add_if_absent(previous_ids_, id); }

void user::register_token(std::string_view platform, const std::string& token) {
  add_if_absent(tokens_.find(platform)->second, token);
}

void user::disable_token(std::string_view platform, const std::string& token) {
  auto& tokens = tokens_.find(platform)->second;
  tokens.erase(std::remove(tokens.begin(), tokens.end(), token), tokens.end());
}

void user::disable_tokens(std::string_view platform) { tokens_.find(platform)->second.clear(); }

void user::subscribe_all(bool on) {
  subscribed_to_all_ = on;
  campaigns_.clear();
}

void user::subscribe(const json& campaign_ids, bool on) {
  for (const auto& id : campaign_ids) campaigns_[text_of_id(id)] = on;
}

json user::shown() const {
  auto out = fields_;
  out["user_id"] = id_;
  out["attributes"] = attributes_;
  out["previous_ids"] = previous_ids_;
  out["subscriptions"] = shown_subscriptions();
  for (const auto& [platform, tokens] : tokens_) out[platform] = tokens;
  return out;
}

user user::restored(json shown) {
  user out;
  for (const auto& id : shown.at("previous_ids")) out.remember_previous_id(id);
  const auto& marks = shown.at("subscriptions");
  if (const auto all = marks.find("all"); all != marks.end()) out.subscribe_all(all->get<bool>());
  out.campaigns_ = marks.at("campaigns").get<std::map<std::string, bool>>();
  shown.erase("previous_ids");
  shown.erase("subscriptions");
  out.identify(shown);
  return out;
}

json user::shown_subscriptions() const {
  json out = {{"campaigns", json(campaigns_)}};
  if (subscribed_to_all_) out["all"] = *subscribed_to_all_;
  return out;
}

}  // namespace sandbox
