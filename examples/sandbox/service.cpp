#include "service.hpp"

#include "calls.hpp"

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

arrival arrival_of(const request& in) { return {in.path, in.body, in.guid, in.client, unix_now()}; }

}  // namespace

struct service::own_route {
  std::string_view method;
  std::string_view path;
  json (service::*run)(const request&);
};

const service::own_route* service::find_own(const std::string& method, const std::string& path) {
  static constexpr std::array<own_route, 8> routes = {{
      {"GET", "/sandbox", &service::show_totals},
      {"DELETE", "/sandbox", &service::reset},
      {"GET", "/sandbox/users", &service::show_users},
      {"GET", "/sandbox/events", &service::show_events},
      {"GET", "/sandbox/requests", &service::show_requests},
      {"GET", "/sandbox/rejected", &service::show_rejected},
      {"GET", "/sandbox/faults", &service::show_faults},
      {"POST", "/sandbox/faults", &service::set_faults},
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

answer service::handle(const request& in) {
  if (is_api_call(in)) return api(in);
  try {
    return {done, written(run_own(in)), {}, false};
  } catch (const refusal& why) {
    return refuse(in, why);
  }
}

answer service::refuse(const request& in, const refusal& why) {
  if (!is_own(in.path)) state_.reject(arrival_of(in), why);
  const bool wrong_method = why.why() == code::wrong_method;
  return {why.status(), why.body(), wrong_method ? allowed_methods(in.path) : std::string(), false};
}

answer service::api(const request& in) {
  const auto planned = faults_.next();
  if (planned == fault::drop_before) return {0, {}, {}, true};
  const bool drop = planned == fault::drop_after;
  try {
    process(in);
    return {done, nothing_to_say, {}, drop};
  } catch (const refusal& why) {
    auto out = refuse(in, why);
    out.drop = drop;
    return out;
  }
}

void service::process(const request& in) {
  if (in.key != key_) throw refusal(code::wrong_key, in.key ? "X-Outbound-Key is wrong" : "X-Outbound-Key is missing");
  if (!in.content_type || !is_json_type(*in.content_type)) {
    throw refusal(code::wrong_content_type, "Content-Type must be application/json");
  }
  const auto& to = *find_call(in.path);
  state_.accept(to, checked_bodies(to, in.body), arrival_of(in));
}

json service::run_own(const request& in) {
  if (const auto* route = find_own(in.method, in.path)) return (this->*route->run)(in);
  const auto methods = allowed_methods(in.path);
  if (methods.empty()) throw refusal(code::unknown_path, "there is nothing at " + in.path);
  throw refusal(code::wrong_method, in.path + " takes " + methods + ", not " + in.method);
}

json service::set_faults(const request& in) {
  faults_.set(parsed(in.body));
  return faults_.shown();
}

json service::reset(const request&) {
  state_.reset();
  faults_.reset();
  return json::object();
}

}  // namespace sandbox
