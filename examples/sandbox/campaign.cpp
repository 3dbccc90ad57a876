#include "campaign.hpp"

#include "calls.hpp"
#include "fields.hpp"
#include "movable_clock.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace sandbox {
namespace {

constexpr std::string_view opening = "{{";
constexpr std::string_view closing = "}}";
constexpr std::string_view of_attributes = "attributes.";
constexpr std::array<std::string_view, 7> user_fields = {"user_id",      "first_name", "last_name", "email",
                                                         "phone_number", "timezone",   "group_id"};

struct named_channel {
  std::string_view name;
  channel what;
};

constexpr std::array<named_channel, 4> named_channels = {
    {{"email", channel::email}, {"sms", channel::sms}, {"phone", channel::phone}, {"push", channel::push}}};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

bool is_attribute(std::string_view placeholder) {
  return placeholder.size() > of_attributes.size() && placeholder.substr(0, of_attributes.size()) == of_attributes;
}

void check_placeholder(std::string_view name) {
  if (is_attribute(name) || std::find(user_fields.begin(), user_fields.end(), name) != user_fields.end()) return;
  std::string known;
  for (const auto one : user_fields) known.append(one).append(", ");
  throw campaign_error("there is no placeholder " + in_quotes(name) + "; there are " + known + "and attributes.NAME");
}

bool is_control(char one) {
  const auto byte = static_cast<unsigned char>(one);
  return byte < ' ' || byte == 0x7F;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char one : text) {
    switch (one) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += one;
    }
  }
  return out;
}

std::string fitted(std::string text, text_form form) {
  if (form == text_form::html) return escaped(text);
  if (form == text_form::line) std::replace_if(text.begin(), text.end(), is_control, ' ');
  return text;
}

/// What a user has for a placeholder: a text as it is, all else as JSON, and nothing for what is not there or null.
std::string value_of(const json& user, const std::string& placeholder) {
  const bool inner = is_attribute(placeholder);
  const auto& all = inner ? user.at("attributes") : user;
  const auto found = all.find(inner ? placeholder.substr(of_attributes.size()) : placeholder);
  if (found == all.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : written(*found);
}

/// A text that is not there is as good as one that is empty.
std::string text_field(const json& user, const char* name) { return user.value(name, std::string()); }

bool is_line(const json& value) {
  if (!is_filled_string(value)) return false;
  const auto& text = value.get_ref<const std::string&>();
  return std::none_of(text.begin(), text.end(), is_control);
}

fields fields_of_a_campaign(bool is_email) {
  constexpr rule a_filled_text{is_filled_string, "a non-empty string"};
  constexpr rule a_line{is_line, "a non-empty string of one line"};
  fields out = {
      {"name", presence::required, a_line},
      {"id", presence::optional, {is_id, "a non-empty string or an integer within +-(2^53 - 1)"}},
      {"trigger", presence::required, a_filled_text},
      {"conditions", presence::optional, {is_object, "an object of attributes and what they have to be"}},
      {"goal", presence::required, a_filled_text},
      {"wait", presence::required, {is_string, a_duration}},
      {"channel", presence::required, {is_string, R"("email", "sms", "phone" or "push")"}},
      {"template", presence::required, a_filled_text},
  };
  if (is_email) out.push_back({"subject", presence::required, a_line});
  return out;
}

channel channel_of(const std::string& name) {
  const auto is_it = [&name](const named_channel& one) { return one.name == name; };
  const auto* found = std::find_if(named_channels.begin(), named_channels.end(), is_it);
  if (found != named_channels.end()) return found->what;
  throw campaign_error(R"(field "channel" is )" + in_quotes(name) + R"(, not "email", "sms", "phone" or "push")");
}

std::int64_t wait_of(const std::string& text) {
  if (const auto seconds = seconds_of(text)) return *seconds;
  throw campaign_error(R"(field "wait" is )" + in_quotes(text) + ", not " + a_duration);
}

message_template template_of(const json& from, const char* field, text_form form) {
  try {
    return {from.at(field).get_ref<const std::string&>(), form};
  } catch (const campaign_error& problem) {
    throw campaign_error("field " + in_quotes(field) + ": " + problem.what());
  }
}

campaign campaign_of(const json& from) {
  if (!from.is_object()) throw campaign_error(std::string("it must be an object, not of type ") + from.type_name());
  const auto told = from.find("channel");
  const bool is_email = told != from.end() && *told == "email";
  check_fields(fields_of_a_campaign(is_email), from);
  const auto& trigger = from.at("trigger").get_ref<const std::string&>();
  const auto& goal = from.at("goal").get_ref<const std::string&>();
  const auto& wait = from.at("wait").get_ref<const std::string&>();
  if (goal == trigger) throw campaign_error(R"(fields "goal" and "trigger" are the same event)");
  const auto via = channel_of(from.at("channel").get_ref<const std::string&>());
  campaign out{text_of_id(from.contains("id") ? from.at("id") : from.at("name")),
               from,
               trigger,
               from.value("conditions", json::object()),
               goal,
               wait,
               wait_of(wait),
               via,
               std::nullopt,
               template_of(from, "template", is_email ? text_form::html : text_form::plain)};
  if (is_email) out.subject = template_of(from, "subject", text_form::line);
  out.shown["id"] = from.contains("id") ? from.at("id") : from.at("name");
  out.shown["conditions"] = out.conditions;
  return out;
}

/// By its name, or, if it has none, by its place, counted from 1.
std::string label_of(const json& from, std::size_t index) {
  const bool has_name = from.is_object() && from.contains("name") && from.at("name").is_string();
  return "campaign " +
         (has_name ? in_quotes(from.at("name").get_ref<const std::string&>()) : std::to_string(index + 1));
}

std::vector<campaign> campaigns_of(const json& all) {
  if (!all.is_array())
    throw campaign_error(std::string("the campaigns must be an array, not of type ") + all.type_name());
  std::vector<campaign> out;
  std::set<std::string> ids;
  for (std::size_t index = 0; index != all.size(); ++index) {
    const auto label = label_of(all[index], index) + ": ";
    try {
      out.push_back(campaign_of(all[index]));
    } catch (const std::runtime_error& problem) {  // a refusal or a campaign_error
      throw campaign_error(label + problem.what());
    }
    if (!ids.insert(out.back().id).second) {
      throw campaign_error(label + R"(field "id": another campaign has )" + in_quotes(out.back().id));
    }
  }
  return out;
}

}  // namespace

message_template::message_template(std::string_view text, text_form form) : form_(form) {
  for (auto begin = text.find(opening); begin != std::string_view::npos; begin = text.find(opening)) {
    const auto end = text.find(closing, begin);
    if (end == std::string_view::npos) {
      throw campaign_error("the placeholder that begins with " + in_quotes(text.substr(begin, 20)) + " has no end");
    }
    const auto name = trimmed(text.substr(begin + opening.size(), end - begin - opening.size()));
    check_placeholder(name);
    parts_.push_back({std::string(text.substr(0, begin)), std::string(name)});
    text.remove_prefix(end + closing.size());
  }
  parts_.push_back({std::string(text), {}});
}

std::string message_template::rendered(const json& user, std::vector<std::string>& missing) const {
  std::string out;
  for (const auto& one : parts_) {
    out += one.text;
    if (one.placeholder.empty()) continue;
    const auto value = value_of(user, one.placeholder);
    out += fitted(value, form_);
    const bool is_known = std::find(missing.begin(), missing.end(), one.placeholder) != missing.end();
    if (value.empty() && !is_known) missing.push_back(one.placeholder);
  }
  return out;
}

bool campaign::suits(const json& user) const {
  const auto& attributes = user.at("attributes");
  for (const auto& [name, wanted] : conditions.items()) {
    const auto found = attributes.find(name);
    if (found == attributes.end() || *found != wanted) return false;
  }
  return true;
}

std::string campaign::reason() const {
  std::string out;
  for (const auto& [name, wanted] : conditions.items()) {
    out += (out.empty() ? "" : ", ") + name + " is " + written(wanted);
  }
  if (!out.empty()) out += "; ";
  return out + "did " + in_quotes(trigger) + " and not " + in_quotes(goal) + " within " + wait;
}

std::vector<std::string> campaign::addresses(const json& user) const {
  std::vector<std::string> out;
  if (via == channel::push) {
    for (const char* platform : {"apns", "gcm", "fcm"}) {
      for (const auto& token : user.at(platform)) out.push_back(token.get<std::string>());
    }
  } else if (auto one = text_field(user, via == channel::email ? "email" : "phone_number"); !one.empty()) {
    out.push_back(std::move(one));
  }
  return out;
}

const char* campaign::address_name() const {
  switch (via) {
    case channel::email: return "email";
    case channel::push: return "device token";
    case channel::sms:
    case channel::phone: break;
  }
  return "phone number";
}

std::vector<campaign> campaigns_in(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (!in.is_open() || in.bad()) throw campaign_error(file + " cannot be read");
  try {
    return campaigns_of(parsed(text.str()));
  } catch (const std::runtime_error& problem) {
    throw campaign_error(file + ": " + repaired(problem.what()));
  }
}

}  // namespace sandbox
