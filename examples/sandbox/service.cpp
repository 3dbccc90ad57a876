#include "service.hpp"

#include "calls.hpp"
#include "fields.hpp"
#include "media_type.hpp"
#include "movable_clock.hpp"
#include "page_files.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace sandbox {
namespace {

constexpr std::string_view own_root = "/sandbox";
constexpr std::string_view page_method = "GET";
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

/// What nobody can mean is not guessed at: of two keys or GUIDs, which one counts?
void check_headers(const request& in) {
  if (in.repeated) throw refusal(code::wrong_headers, *in.repeated + " is there twice");
  if (in.guid && in.guid->empty()) throw refusal(code::wrong_headers, "X-Outbound-GUID is empty");
  if (in.content_encoding) {
    throw refusal(code::wrong_headers, "Content-Encoding is there, and a body is sent as it is");
  }
}

arrival arrival_of(request in) {
  return {std::move(in.path), std::move(in.body), std::move(in.guid), std::move(in.client)};
}

bool is_duration(const json& value) { return value.is_string() && seconds_of(value.get_ref<const std::string&>()); }

answer answer_of(const json& shown) { return {done, written(shown)}; }

/// What is shown came from anyone: nobody may take it for anything but what its type says.
constexpr std::pair<const char*, const char*> as_typed = {"X-Content-Type-Options", "nosniff"};
constexpr std::pair<const char*, const char*> always_fresh = {"Cache-Control", "no-store"};

/// The page runs its own script and talks to its own server; text that became markup could do nothing.
constexpr std::array<std::pair<const char*, const char*>, 4> page_headers = {{
    as_typed,
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
}};

struct page_route {
  std::string_view path;
  std::string_view file;
  const char* content_type;
};

constexpr std::array<page_route, 5> page_routes = {{
    {"/", "index.html", "text/html; charset=utf-8"},
    {"/sandbox/page.css", "page.css", "text/css; charset=utf-8"},
    {"/sandbox/page.js", "page.js", "text/javascript; charset=utf-8"},
    {"/sandbox/icon.svg", "icon.svg", "image/svg+xml"},
    {"/favicon.ico", "icon.svg", "image/svg+xml"},  // where browsers look that were not told
}};

const page_route* find_page(std::string_view path) {
  const auto is_it = [path](const page_route& one) { return one.path == path; };
  const auto* found = std::find_if(page_routes.begin(), page_routes.end(), is_it);
  return found == page_routes.end() ? nullptr : found;
}

answer answer_of(const page_route& page) {
  const auto is_it = [&page](const page_file& one) { return one.name == page.file; };
  const auto text = std::find_if(page_files.begin(), page_files.end(), is_it)->text;
  answer out = {done, std::string(text), page.content_type};
  out.headers.assign(page_headers.begin(), page_headers.end());
  out.headers.emplace_back(always_fresh);  // another version of the sandbox may listen here tomorrow
  return out;
}

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
  static constexpr std::array<own_route, 18> routes = {{
      {"GET", "/sandbox/stream", &service::show_stream},
      {"GET", "/sandbox", &service::show_totals},
      {"DELETE", "/sandbox", &service::reset},
      {"GET", "/sandbox/users", &service::show_users},
      {"GET", "/sandbox/events", &service::show_events},
      {"GET", "/sandbox/requests", &service::show_requests},
      {"GET", "/sandbox/rejected", &service::show_rejected},
      {"GET", "/sandbox/repeated", &service::show_repeated},
      {"GET", "/sandbox/faulted", &service::show_faulted},
      {"GET", "/sandbox/deliveries", &service::show_deliveries},
      {"GET", "/sandbox/faults", &service::show_faults},
      {"POST", "/sandbox/faults", &service::add_faults},
      {"DELETE", "/sandbox/faults", &service::forget_faults},
      {"GET", "/sandbox/settings", &service::show_settings},
      {"POST", "/sandbox/settings", &service::change_settings},
      {"GET", "/sandbox/campaigns", &service::show_campaigns},
      {"GET", "/sandbox/clock", &service::show_clock},
      {"POST", "/sandbox/clock", &service::change_clock},
  }};
  const auto is_asked_for = [&](const own_route& one) { return one.method == method && one.path == path; };
  const auto found = std::find_if(routes.begin(), routes.end(), is_asked_for);
  return found == routes.end() ? nullptr : &*found;
}

std::string service::allowed_methods(const std::string& path) {
  if (find_call(path) != nullptr) return std::string(api_method);
  if (find_page(path) != nullptr) return std::string(page_method);
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
    check_headers(in);
    if (in.key != key_) {
      throw refusal(code::wrong_key, in.key ? "X-Outbound-Key is wrong" : "X-Outbound-Key is missing");
    }
    if (!in.content_type || !is_json_in_utf8(*in.content_type)) {
      throw refusal(code::wrong_content_type, "Content-Type must be application/json, in UTF-8");
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
  if (const auto* page = find_page(in.path); page != nullptr && in.method == page_method) return answer_of(*page);
  if (const auto* route = find_own(in.method, in.path)) {
    state_.catch_up();
    auto out = (this->*route->run)(in);
    out.headers.emplace_back(as_typed);
    return out;
  }
  const auto methods = allowed_methods(in.path);
  if (methods.empty()) throw refusal(code::unknown_path, "there is nothing at " + in.path);
  throw refusal(code::wrong_method, in.path + " takes " + methods + ", not " + in.method);
}

answer service::show_stream(const request& in) {
  answer out = {done, {}, "text/event-stream", {always_fresh}, sending::stream};
  out.news = std::make_shared<feed>(state_, in.last_event_id.value_or(std::string()), listeners_);
  return out;
}

answer service::show_users(const request&) { return answer_of(state_.users()); }
answer service::show_events(const request&) { return answer_of(state_.events()); }
answer service::show_requests(const request&) { return answer_of(state_.requests()); }
answer service::show_rejected(const request&) { return answer_of(state_.rejected()); }
answer service::show_repeated(const request&) { return answer_of(state_.repeated()); }
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

answer service::show_settings(const request&) {
  return answer_of(json{{"deduplicate", state_.deduplicates()}, {"usual_key", key_ == usual_key}});
}

answer service::change_settings(const request& in) {
  static const fields settings = {{"deduplicate", presence::required, {is_bool, "true or false"}}};
  const auto wish = parsed(in.body);
  check_fields(settings, wish);
  state_.deduplicate(wish.at("deduplicate").get<bool>());
  return show_settings(in);
}

answer service::show_campaigns(const request&) { return answer_of(state_.campaigns()); }
answer service::show_clock(const request&) { return answer_of(state_.clock()); }

answer service::change_clock(const request& in) {
  static const fields changes = {
      {"forward", presence::optional, {is_duration, a_duration}},
      {"stopped", presence::optional, {is_bool, "true or false"}},
  };
  const auto wish = parsed(in.body);
  check_fields(changes, wish);
  if (wish.empty()) throw refusal(code::missing_field, R"(field "forward" (or "stopped") is missing)");
  const auto stopped = wish.contains("stopped") ? std::optional(wish.at("stopped").get<bool>()) : std::nullopt;
  const auto forward = wish.contains("forward") ? *seconds_of(wish.at("forward").get_ref<const std::string&>()) : 0;
  state_.change_clock(stopped, forward);
  return show_clock(in);
}

}  // namespace sandbox
