#include "state.hpp"

#include <utility>

namespace sandbox {
namespace {

constexpr int accepted = 200;

const std::string& token_of(const json& body) { return body.at("token").get_ref<const std::string&>(); }

void add_if_sent(json& out, const char* name, const std::optional<std::string>& header) {
  if (header) out[name] = *header;
}

json shown_arrival(const arrival& from) {
  json out = {{"path", from.path}, {"body", from.body}};
  add_if_sent(out, "guid", from.guid);
  add_if_sent(out, "client", from.client);
  return out;
}

}  // namespace

void state::accept(const call& to, std::vector<json> bodies, arrival from) {
  auto entry = delivery_of(to, bodies, from.body, from.guid);
  const auto bytes = from.body.size();
  const std::lock_guard hold(lock_);
  judge(entry);
  if (entry.applied) {
    for (auto& body : bodies) apply(to, std::move(body), from, bytes / bodies.size());
  }
  const auto size = entry.size();
  all_.deliveries.add(std::move(entry), size);
  all_.requests.add({std::move(from), accepted, {}}, bytes);
}

void state::judge(delivery& one) {
  one.seq = all_.deliveries.total() + 1;
  if (!one.guid) return;
  one.seen = all_.guids.note(*one.guid, one.what);
  if (one.seen == sighting::duplicate) ++all_.duplicates;
  if (one.seen == sighting::conflict) ++all_.conflicts;
  one.applied = !deduplicate_ || one.seen == sighting::first;
}

void state::reject(arrival from, const refusal& why) {
  const std::lock_guard hold(lock_);
  const auto bytes = from.body.size();
  all_.rejected.add({std::move(from), why.status(), why.what()}, bytes);
}

void state::meet(const fault& planned, arrival from) {
  const std::lock_guard hold(lock_);
  const auto bytes = from.body.size();
  ++all_.faults[planned.name];
  all_.faulted.add({std::move(from), planned.name, planned.processed}, bytes);
}

void state::deduplicate(bool on) {
  const std::lock_guard hold(lock_);
  deduplicate_ = on;
}

bool state::deduplicates() const {
  const std::lock_guard hold(lock_);
  return deduplicate_;
}

void state::reset() {
  contents forgotten;  // there may be much to free, which nobody has to wait for
  const std::lock_guard hold(lock_);
  std::swap(all_, forgotten);
}

void state::apply(const call& to, json body, const arrival& from, std::size_t bytes) {
  switch (to.what) {
    case action::identify: identify(body); break;
    case action::track: all_.events.add({std::move(body), from.guid, from.received}, bytes); break;
    case action::register_token: user_of(body).register_token(to.platform, token_of(body)); break;
    case action::disable_token:
      if (body.contains("all")) {
        user_of(body).disable_tokens(to.platform);
      } else {
        user_of(body).disable_token(to.platform, token_of(body));
      }
      break;
    case action::subscribe_all: user_of(body).subscribe_all(true); break;
    case action::unsubscribe_all: user_of(body).subscribe_all(false); break;
    case action::subscribe_campaigns: user_of(body).subscribe(body.at("campaign_ids"), true); break;
    case action::unsubscribe_campaigns: user_of(body).subscribe(body.at("campaign_ids"), false); break;
  }
}

void state::identify(const json& body) {
  auto& who = user_of(body);
  if (const auto alias = body.find("previous_id"); alias != body.end()) {
    const auto previous = all_.users.find(text_of_id(*alias));
    if (previous != all_.users.end() && &previous->second != &who) {
      who.absorb(previous->second);
      all_.users.erase(previous);
    }
  }
  who.identify(body);
}

user& state::user_of(const json& body) {
  const auto& id = body.at("user_id");
  auto& found = all_.users[text_of_id(id)];
  found.remember_id(id);
  return found;
}

json state::shown(const event& one) {
  auto out = one.body;
  out["received"] = one.received;
  if (!out.contains("properties")) out["properties"] = json::object();
  add_if_sent(out, "guid", one.guid);
  return out;
}

json state::shown(const request& one) {
  auto out = shown_arrival(one.from);
  out["status"] = one.status;
  if (!one.reason.empty()) out["reason"] = one.reason;
  return out;
}

json state::shown(const faulted_call& one) {
  auto out = shown_arrival(one.from);
  out["fault"] = one.fault;
  out["processed"] = one.processed;
  return out;
}

template <typename Row>
json state::shown(const bounded_log<Row>& log) {
  auto rows = json::array();
  log.each([&rows](const Row& one) { rows.push_back(shown(one)); });
  return rows;
}

json state::users() const {
  const std::lock_guard hold(lock_);
  auto rows = json::array();
  for (const auto& [id, one] : all_.users) rows.push_back(one.shown());
  return rows;
}

json state::events() const {
  const std::lock_guard hold(lock_);
  return shown(all_.events);
}

json state::requests() const {
  const std::lock_guard hold(lock_);
  return shown(all_.requests);
}

json state::rejected() const {
  const std::lock_guard hold(lock_);
  return shown(all_.rejected);
}

json state::faulted() const {
  const std::lock_guard hold(lock_);
  return shown(all_.faulted);
}

std::string state::deliveries() const {
  std::vector<delivery> rows;  // a copy, as writing takes much longer than copying
  {
    const std::lock_guard hold(lock_);
    all_.deliveries.each([&rows](const delivery& one) { rows.push_back(one); });
  }
  return ndjson_of(rows);
}

json state::totals() const {
  const std::lock_guard hold(lock_);
  return {{"users", all_.users.size()},        {"events", all_.events.total()}, {"requests", all_.requests.total()},
          {"rejected", all_.rejected.total()}, {"duplicates", all_.duplicates}, {"conflicts", all_.conflicts},
          {"faults", json(all_.faults)}};
}

}  // namespace sandbox
