#include "service.hpp"

#include "calls.hpp"
#include "fields.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace sandbox {
namespace {

constexpr std::string_view own_root = "/sandbox";
constexpr std::string_view api_method = "POST";
constexpr std::string_view json_type = "application/json";
constexpr const char* nothing_to_say = "{}";
constexpr std::string_view no_http = "\xFF\xFE this is no HTTP \x01\x02\x03\r\n\r\n";
constexpr std::string_view no_json = "<html>this is no JSON \xFF {[\"";
constexpr int done = 200;

/// The sandbox's own endpoints, for people and tests: no key, no record of what was refused.
bool is_own(std::string_view path) {
  return path.substr(0, own_root.size()) == own_root &&
         (path.size() == own_root.size() || path[own_root.size()] == '/');
}

bool is_api_call(const request& in) { return in.method == api_method && find_call(in.path) != nullptr; }

/// A media type is compared without regard to case, and parameters may follow it (RFC 9110 8.3.1).
bool is_json_type(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  const auto equal = [](unsigned char a, unsigned char b) { return std::tolower(a) == b; };
  return std::equal(type.begin(), type.end(), json_type.begin(), json_type.end(), equal);
}

std::int64_t unix_now() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count();
}

arrival arrival_of(request in) {
  return {std::move(in.path), std::move(in.body), std::move(in.guid), std::move(in.client), unix_now()};
}

answer answer_of(const json& shown) { return {done, written(shown)}; }

/// A success says nothing, the others that they are no mistake of the caller.
std::string body_of(const fault& met) {
  const bool has_none = met.status == 204 || met.status == 304;  // RFC 9110 6.4.1
  if (has_none) return {};
  return met.status < 300 ? nothing_to_say : error_body(code::asked_for, "a fault that was asked for: " + met.name);
}

answer answer_under(const fault& met) {
  switch (met.what) {
    case outcome::drop: return {0, {}, {}, {}, sending::nothing};
    case outcome::garbage: return {0, std::string(no_http), {}, {}, sending::raw};
    case outcome::truncated: return {done, nothing_to_say, std::string(json_type), {}, sending::cut_short};
    case outcome::garbage_body: return {done, std::string(no_json)};
    case outcome::usual:
    case outcome::status: break;
  }
  answer out = {met.status, body_of(met)};
  if (met.retry_after) out.headers.emplace_back("Retry-After", *met.retry_after);
  if (met.location) out.headers.emplace_back("Location", *met.location);
  return out;
}

}  // namespace

struct service::own_route {
  std::string_view method;
  std::string_view path;
  answer (service::*run)(const request&);
};

const service::own_route* service::find_own(const std::string& method, const std::string& path) {
  static constexpr std::array<own_route, 13> routes = {{
      {"GET", "/sandbox", &service::show_totals},
      {"DELETE", "/sandbox", &service::reset},
      {"GET", "/sandbox/users", &service::show_users},
      {"GET", "/sandbox/events", &service::show_events},
      {"GET", "/sandbox/requests", &service::show_requests},
      {"GET", "/sandbox/rejected", &service::show_rejected},
      {"GET", "/sandbox/faulted", &service::show_faulted},
      {"GET", "/sandbox/deliveries", &service::show_deliveries},
      {"GET", "/sandbox/faults", &service::show_faults},
      {"POST", "/sandbox/faults", &service::add_faults},
      {"DELETE", "/sandbox/faults", &service::forget_faults},
      {"GET", "/sandbox/settings", &service::show_settings},
      {"POST", "/sandbox/settings", &service::change_settings},
  }};
  const auto is_asked_for = [&](const own_route& one) { return one.method == method && one.path == path; };
  const auto found = std::find_if(routes.begin(), routes.end(), is_asked_for);
  return found == routes.end() ? nullptr : &*found;
}

std::string service::allowed_methods(const std::string& path) {
  if (find_call(path) != nullptr) return std::string(api_method);
  std::string methods;
  for (const char* method : {"GET", "POST", "DELETE"}) {
    if (find_own(method, path) == nullptr) continue;
    if (!methods.empty()) methods += ", ";
    methods += method;
  }
  return methods;
}

answer service::handle(request in) {
  if (is_api_call(in)) return api(std::move(in));
  try {
    return run_own(in);
  } catch (const refusal& why) {
    return refuse(std::move(in), why);
  }
}

answer service::refuse(request in, const refusal& why) {
  answer out = {why.status(), why.body()};
  if (why.why() == code::wrong_method) out.headers.emplace_back("Allow", allowed_methods(in.path));
  if (!is_own(in.path)) state_.reject(arrival_of(std::move(in)), why);
  return out;
}

answer service::api(request in) {
  const auto met = faults_.next(in.path);
  if (met.name.empty()) return processed(std::move(in));
  state_.meet(met, arrival_of(in));
  auto out = met.processed ? processed(std::move(in)) : answer{};
  if (met.what != outcome::usual) out = answer_under(met);
  out.delay = met.delay;
  return out;
}

answer service::processed(request in) {
  try {
    if (in.key != key_) {
      throw refusal(code::wrong_key, in.key ? "X-Outbound-Key is wrong" : "X-Outbound-Key is missing");
    }
    if (!in.content_type || !is_json_type(*in.content_type)) {
      throw refusal(code::wrong_content_type, "Content-Type must be application/json");
    }
    const auto& to = *find_call(in.path);
    auto bodies = checked_bodies(to, in.body);
    state_.accept(to, std::move(bodies), arrival_of(std::move(in)));
    return {done, nothing_to_say};
  } catch (const refusal& why) {
    return refuse(std::move(in), why);
  }
}

answer service::run_own(const request& in) {
  if (const auto* route = find_own(in.method, in.path)) return (this->*route->run)(in);
  const auto methods = allowed_methods(in.path);
  if (methods.empty()) throw refusal(code::unknown_path, "there is nothing at " + in.path);
  throw refusal(code::wrong_method, in.path + " takes " + methods + ", not " + in.method);
}

answer service::show_users(const request&) { return answer_of(state_.users()); }
answer service::show_events(const request&) { return answer_of(state_.events()); }
answer service::show_requests(const request&) { return answer_of(state_.requests()); }
answer service::show_rejected(const request&) { return answer_of(state_.rejected()); }
answer service::show_faulted(const request&) { return answer_of(state_.faulted()); }
answer service::show_deliveries(const request&) { return {done, state_.deliveries(), "application/x-ndjson"}; }
answer service::show_totals(const request&) { return answer_of(state_.totals()); }

answer service::reset(const request&) {
  state_.reset();
  state_.deduplicate(deduplicate_);
  faults_.reset();
  return answer_of(json::object());
}

answer service::show_faults(const request&) { return answer_of(faults_.shown()); }

answer service::add_faults(const request& in) {
  faults_.add(parsed(in.body));
  return answer_of(faults_.shown());
}

answer service::forget_faults(const request&) {
  faults_.reset();
  return answer_of(json::object());
}

answer service::show_settings(const request&) { return answer_of(json{{"deduplicate", state_.deduplicates()}}); }

answer service::change_settings(const request& in) {
  static const fields settings = {{"deduplicate", presence::required, {is_bool, "true or false"}}};
  const auto wish = parsed(in.body);
  check_fields(settings, wish);
  state_.deduplicate(wish.at("deduplicate").get<bool>());
  return show_settings(in);
}

}  // namespace sandbox
