#include "calls.hpp"

#include "fields.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>

namespace sandbox {
namespace {

constexpr std::size_t max_body = 1 * mebibyte;
constexpr std::size_t max_batch_body = 4 * mebibyte;
constexpr std::size_t max_batch_members = 100;
constexpr std::int64_t max_exact_integer = (std::int64_t{1} << 53) - 1;  // beyond it, readers of doubles merge users

constexpr std::array<call, 14> calls = {{
    {"/v2/identify", action::identify, "", false},
    {"/v2/identify/batch", action::identify, "", true},
    {"/v2/track", action::track, "", false},
    {"/v2/track/batch", action::track, "", true},
    {"/v2/apns/register", action::register_token, "apns", false},
    {"/v2/apns/disable", action::disable_token, "apns", false},
    {"/v2/gcm/register", action::register_token, "gcm", false},
    {"/v2/gcm/disable", action::disable_token, "gcm", false},
    {"/v2/fcm/register", action::register_token, "fcm", false},
    {"/v2/fcm/disable", action::disable_token, "fcm", false},
    {"/v2/subscribe/all", action::subscribe_all, "", false},
    {"/v2/subscribe/campaigns", action::subscribe_campaigns, "", false},
    {"/v2/unsubscribe/all", action::unsubscribe_all, "", false},
    {"/v2/unsubscribe/campaigns", action::unsubscribe_campaigns, "", false},
}};

bool is_true(const json& value) { return value.is_boolean() && value.get<bool>(); }

bool is_signed_64(const json& value) {
  constexpr auto largest = static_cast<std::uint64_t>((std::numeric_limits<std::int64_t>::max)());
  return value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= largest);
}

template <bool (*Holds)(const json&)>
bool is_array_of(const json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), Holds);
}

template <bool (*Holds)(const json&)>
bool is_filled_array_of(const json& value) {
  return is_array_of<Holds>(value) && !value.empty();
}

constexpr rule an_id{is_id, "a non-empty string or an integer within +-(2^53 - 1)"};
constexpr rule a_text{is_string, "a string"};
constexpr rule a_filled_text{is_filled_string, "a non-empty string"};
constexpr rule some_texts{is_array_of<is_string>, "an array of strings"};
constexpr rule some_ids{is_filled_array_of<is_id>,
                        "a non-empty array of non-empty strings or integers within +-(2^53 - 1)"};
constexpr rule an_object{is_object, "an object"};
constexpr rule unix_seconds{is_signed_64, "an integer, Unix seconds"};
constexpr rule just_true{is_true, "true"};

const fields& fields_of(action what) {
  static const field user_id{"user_id", presence::required, an_id};
  static const fields identify = {
      user_id,
      {"first_name", presence::optional, a_text},
      {"last_name", presence::optional, a_text},
      {"email", presence::optional, a_text},
      {"phone_number", presence::optional, a_text},
      {"apns", presence::optional, some_texts},
      {"gcm", presence::optional, some_texts},
      {"attributes", presence::optional, an_object},
      {"timezone", presence::optional, a_filled_text},
      {"group_id", presence::optional, an_id},
      {"group_attributes", presence::optional, an_object},
      {"previous_id", presence::optional, an_id},
  };
  static const fields track = {
      user_id,
      {"event", presence::required, a_filled_text},
      {"properties", presence::optional, an_object},
      {"timestamp", presence::optional, unix_seconds},
  };
  static const fields register_token = {user_id, {"token", presence::required, a_filled_text}};
  static const fields disable_token = {
      user_id,
      {"token", presence::optional, a_filled_text},
      {"all", presence::optional, just_true},
  };
  static const fields every_campaign = {user_id};
  static const fields some_campaigns = {user_id, {"campaign_ids", presence::required, some_ids}};
  switch (what) {
    case action::identify: return identify;
    case action::track: return track;
    case action::register_token: return register_token;
    case action::disable_token: return disable_token;
    case action::subscribe_campaigns:
    case action::unsubscribe_campaigns: return some_campaigns;
    case action::subscribe_all:
    case action::unsubscribe_all: break;
  }
  return every_campaign;
}

void check_token_or_all(const json& body) {
  const bool one_token = body.contains("token");
  const bool all_tokens = body.contains("all");
  if (!one_token && !all_tokens) throw refusal(code::missing_field, R"(field "token" (or "all") is missing)");
  if (one_token && all_tokens) throw refusal(code::invalid_field, R"(fields "token" and "all" exclude each other)");
}

void check_body(action what, const json& body) {
  check_fields(fields_of(what), body);
  if (what == action::disable_token) check_token_or_all(body);
}

void check_member(action what, const json& body, std::size_t index) {
  try {
    check_body(what, body);
  } catch (const refusal& problem) {
    throw refusal(problem.why(), "member " + std::to_string(index) + ": " + problem.what());
  }
}

std::vector<json> checked_batch(action what, json batch) {
  if (!batch.is_array()) throw refusal(code::invalid_batch, "a batch must be a bare array");
  if (batch.empty() || batch.size() > max_batch_members) {
    throw refusal(code::invalid_batch, "a batch holds 1 to " + std::to_string(max_batch_members) + " bodies, not " +
                                           std::to_string(batch.size()));
  }
  for (std::size_t index = 0; index != batch.size(); ++index) check_member(what, batch[index], index);
  return std::move(batch.get_ref<json::array_t&>());
}

}  // namespace

const call* find_call(std::string_view path) {
  const auto found = std::find_if(calls.begin(), calls.end(), [path](const call& one) { return one.path == path; });
  return found == calls.end() ? nullptr : &*found;
}

std::size_t body_limit(std::string_view path) {
  const auto* to = find_call(path);
  return to != nullptr && to->batch ? max_batch_body : max_body;
}

std::vector<json> checked_bodies(const call& to, std::string_view text) {
  auto value = parsed(text);
  if (to.batch) return checked_batch(to.what, std::move(value));
  check_body(to.what, value);
  std::vector<json> one;
  one.push_back(std::move(value));
  return one;
}

bool is_id(const json& value) {
  if (!is_signed_64(value)) return is_filled_string(value);
  const auto number = value.get<std::int64_t>();
  return number >= -max_exact_integer && number <= max_exact_integer;
}

std::string text_of_id(const json& id) { return id.is_string() ? id.get<std::string>() : id.dump(); }

}  // namespace sandbox
