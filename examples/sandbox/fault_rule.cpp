#include "fault_rule.hpp"

#include "calls.hpp"
#include "fields.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace sandbox {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t longest_delay_ms = 60'000;
constexpr std::uint64_t longest_time_ms = 24 * 60 * 60 * 1000;
constexpr int lowest_status = 200;
constexpr int highest_status = 999;
constexpr const char* every_call = "all";

struct named_fault {
  std::string_view name;
  outcome what;
  bool processed;
};

constexpr std::array<named_fault, 6> named_faults = {{
    {"delay", outcome::usual, true},
    {"drop_before", outcome::drop, false},
    {"drop_after", outcome::drop, true},
    {"garbage", outcome::garbage, true},
    {"truncated", outcome::truncated, true},
    {"garbage_body", outcome::garbage_body, true},
}};

fault fault_of_status(int status) {
  const bool is_success = status < 300;
  return {std::to_string(status), outcome::status, is_success, status};
}

/// A name, or the three digits of a status.
std::optional<fault> find_fault(std::string_view name) {
  const auto is_this = [name](const named_fault& one) { return one.name == name; };
  const auto* found = std::find_if(named_faults.begin(), named_faults.end(), is_this);
  if (found != named_faults.end()) return fault{std::string(name), found->what, found->processed};
  int status = 0;
  const auto [stop, failure] = std::from_chars(name.data(), name.data() + name.size(), status);
  const bool is_number = failure == std::errc() && stop == name.data() + name.size();
  if (!is_number || status < lowest_status || status > highest_status) return std::nullopt;
  return fault_of_status(status);
}

bool is_positive(const json& value) { return is_unsigned(value) && value != 0; }
bool is_count(const json& value) { return is_positive(value) || value == every_call; }
bool is_delay(const json& value) { return is_positive(value) && value <= longest_delay_ms; }
bool is_time(const json& value) { return is_positive(value) && value <= longest_time_ms; }
bool is_fault(const json& value) { return value.is_string() && find_fault(value.get_ref<const std::string&>()); }
bool is_call(const json& value) { return value.is_string() && find_call(value.get_ref<const std::string&>()); }

bool is_status(const json& value) { return is_unsigned(value) && value >= lowest_status && value <= highest_status; }

/// What would end the line of a header must not get into one.
bool is_header_value(const json& value) {
  const auto is_plain = [](unsigned char one) { return one >= ' ' && one != 0x7F; };
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return std::all_of(text.begin(), text.end(), is_plain);
}

bool is_retry_after(const json& value) { return value.is_number_integer() || is_header_value(value); }

bool are_chances(const json& value) {
  if (!value.is_object() || value.empty()) return false;
  double sum = 0;
  for (const auto& [name, chance] : value.items()) {
    if (!find_fault(name) || !chance.is_number() || chance < 0) return false;
    sum += chance.get<double>();
  }
  constexpr double rounding = 1e-9;  // ten times 0.1 is more than 1
  return sum <= 1 + rounding;
}

const fields& fields_of_a_rule() {
  static const fields all = {
      {"fault", presence::optional, {is_fault, "the name of a fault, or a status in quotes"}},
      {"status", presence::optional, {is_status, "a status, 200 to 999"}},
      {"chance", presence::optional, {are_chances, "an object of faults and their chances, 1 together at most"}},
      {"seed", presence::optional, {is_unsigned, "an integer, 0 or more"}},
      {"path", presence::optional, {is_call, "a path of the API"}},
      {"nth", presence::optional, {is_positive, "an integer, 1 or more"}},
      {"calls", presence::optional, {is_count, R"(an integer, 1 or more, or "all")"}},
      {"for_ms", presence::optional, {is_time, "milliseconds, 1 to a day"}},
      {"delay_ms", presence::optional, {is_delay, "milliseconds, 1 to 60000"}},
      {"retry_after", presence::optional, {is_retry_after, "an integer, or a string fit for a header"}},
      {"location", presence::optional, {is_header_value, "a string fit for a header"}},
      {"processed", presence::optional, {is_bool, "true or false"}},
  };
  return all;
}

void check_one_kind(const json& wish) {
  const auto kinds = wish.count("fault") + wish.count("status") + wish.count("chance");
  if (kinds == 0) throw refusal(code::missing_field, R"(field "fault" (or "status", or "chance") is missing)");
  if (kinds > 1) throw refusal(code::invalid_field, R"(fields "fault", "status" and "chance" exclude each other)");
}

bool is_delay_only(const fault& one) { return one.what == outcome::usual; }
bool is_status_fault(const fault& one) { return one.what == outcome::status; }
bool is_answer(const fault& one) { return one.what != outcome::usual && one.what != outcome::drop; }
bool may_be_asked_to_wait(const fault& one) { return one.status == 429 || one.status == 503; }

std::string header_text(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// The same on every machine, which std::uniform_real_distribution does not promise.
double between_0_and_1(std::mt19937_64& random) {
  constexpr int bits_too_many = 64 - 53;
  constexpr double step = 1.0 / (std::uint64_t{1} << 53);
  return static_cast<double>(random() >> bits_too_many) * step;
}

}  // namespace

fault_rule::fault_rule(json wish, clock::time_point now) : wish_(std::move(wish)) {
  check_fields(fields_of_a_rule(), wish_);
  check_one_kind(wish_);
  if (wish_.contains("chance")) {
    read_chances();
  } else {
    read_faults();
  }
  read_details();
  to_skip_ = wish_.value("nth", std::uint64_t{1}) - 1;
  if (wish_.contains("for_ms")) end_ = now + milliseconds(wish_.at("for_ms").get<std::uint64_t>());
  if (wish_.contains("chance") || end_) left_.reset();
  if (const auto calls = wish_.find("calls"); calls != wish_.end()) {
    left_ = calls->is_string() ? std::nullopt : std::optional(calls->get<std::uint64_t>());
  }
}

void fault_rule::read_faults() {
  if (wish_.contains("seed")) throw refusal(code::invalid_field, R"(field "seed" needs "chance")");
  const auto one = wish_.contains("status") ? fault_of_status(wish_.at("status").get<int>())
                                            : *find_fault(wish_.at("fault").get_ref<const std::string&>());
  faults_.emplace_back(1.0, one);
}

void fault_rule::read_chances() {
  random_.seed(wish_.value("seed", std::uint64_t{0}));
  for (const auto& [name, chance] : wish_.at("chance").items()) {
    faults_.emplace_back(chance.get<double>(), *find_fault(name));
  }
}

/// A detail goes to each fault that it makes sense for. Of many by chance, a delay and Retry-After to fewer of them.
void fault_rule::read_details() {
  const bool by_chance = wish_.contains("chance");
  const auto give = [this](const char* name, bool (*suits)(const fault&), auto set) {
    const auto detail = wish_.find(name);
    if (detail == wish_.end()) return;
    bool of_use = false;
    for (auto& [chance, one] : faults_) {
      if (!suits(one)) continue;
      set(one, *detail);
      of_use = true;
    }
    if (!of_use) throw refusal(code::invalid_field, "field " + in_quotes(name) + " does nothing for this fault");
  };
  give("processed", is_answer, [](fault& one, const json& value) { one.processed = value.get<bool>(); });
  give("location", is_status_fault, [](fault& one, const json& value) { one.location = header_text(value); });
  give("retry_after", by_chance ? may_be_asked_to_wait : is_status_fault,
       [](fault& one, const json& value) { one.retry_after = header_text(value); });
  const auto any = [](const fault&) { return true; };
  give("delay_ms", by_chance ? is_delay_only : any,
       [](fault& one, const json& value) { one.delay = milliseconds(value.get<std::uint64_t>()); });
  for (const auto& [chance, one] : faults_) {
    if (!is_delay_only(one) || one.delay.count() != 0) continue;
    throw refusal(code::missing_field, R"(field "delay_ms" is missing)");
  }
}

bool fault_rule::takes(std::string_view path, clock::time_point now) {
  if (is_over(now)) return false;
  if (const auto wanted = wish_.find("path"); wanted != wish_.end() && *wanted != path) return false;
  if (to_skip_ != 0) {
    --to_skip_;
    return false;
  }
  if (left_) --*left_;
  return true;
}

std::optional<fault> fault_rule::next(std::string_view path, clock::time_point now) {
  if (!takes(path, now)) return std::nullopt;
  auto drawn = between_0_and_1(random_);
  for (const auto& [chance, one] : faults_) {
    if (drawn < chance) return one;
    drawn -= chance;
  }
  return std::nullopt;
}

bool fault_rule::is_over(clock::time_point now) const { return left_ == 0 || (end_ && *end_ <= now); }

json fault_rule::shown(clock::time_point now) const {
  auto out = wish_;
  out["nth"] = to_skip_ + 1;
  out["calls"] = left_ ? json(*left_) : json(every_call);
  if (end_) out["for_ms"] = std::chrono::ceil<milliseconds>(*end_ - now).count();
  return out;
}

bool fault_rule::is_shorthand_of(std::string_view name) const {
  return wish_.size() == 2 && wish_.contains("nth") && wish_.contains("fault") && wish_.at("fault") == name;
}

}  // namespace sandbox
