#include "state.hpp"

#include <random>
#include <utility>

namespace sandbox {
namespace {

constexpr int accepted = 200;
constexpr std::size_t told_at_once = 256 * 1024;  // bytes of news, a row more or less

const std::string& token_of(const json& body) { return body.at("token").get_ref<const std::string&>(); }

void add_if_sent(json& out, const char* name, const std::optional<std::string>& header) {
  if (header) out[name] = *header;
}

std::uint64_t new_life() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

json shown_arrival(const arrival& from) {
  json out = {{"path", from.path}, {"body", from.body}, {"received", from.received}};
  add_if_sent(out, "guid", from.guid);
  add_if_sent(out, "client", from.client);
  return out;
}

json shown_event(json body, const arrival& from, sighting seen) {
  auto out = std::move(body);
  out["received"] = from.received;
  if (!out.contains("properties")) out["properties"] = json::object();
  add_if_sent(out, "guid", from.guid);
  if (seen != sighting::first) out["seen"] = name_of(seen);
  return out;
}

json shown_repeat(const arrival& from, const delivery& as) {
  auto out = shown_arrival(from);
  out["seen"] = name_of(as.seen);
  out["applied"] = as.applied;
  return out;
}

std::optional<topic> topic_named(std::string_view name) {
  for (const auto one : topics) {
    if (name_of(one) == name) return one;
  }
  return std::nullopt;
}

}  // namespace

state::contents::contents(const std::vector<campaign>& campaigns) : life(new_life()), runs(campaigns) {}

state::state(bool deduplicate, archive kept, std::vector<campaign> campaigns)
    : campaigns_(std::move(campaigns)), deduplicate_(deduplicate), archive_(std::move(kept)) {
  if (archive_.keeps()) restore();
  introduce_campaigns();
}

void state::accept(const call& to, std::vector<json> bodies, arrival from) {
  auto entry = delivery_of(to, bodies, from.body, from.guid);
  const std::lock_guard hold(lock_);
  archive_.begin();
  pass();
  from.received = all_.clock.now();
  judge(entry);
  if (entry.seen != sighting::first) add(topic::repeated, shown_repeat(from, entry), from.body.size());
  if (entry.applied) {
    for (auto& body : bodies) apply(to, std::move(body), from, entry);
  }
  const auto size = entry.size();
  const auto bytes = from.body.size();
  all_.deliveries.add(std::move(entry), size);
  all_.requests.add(std::move(from), bytes);
  commit();
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
  from.received = all_.clock.now();
  auto shown = shown_arrival(from);
  shown["status"] = why.status();
  shown["reason"] = why.what();
  archive_.begin();
  add(topic::rejected, std::move(shown), from.body.size());
  commit();
}

void state::meet(const fault& planned, arrival from) {
  const std::lock_guard hold(lock_);
  from.received = all_.clock.now();
  auto shown = shown_arrival(from);
  shown["fault"] = planned.name;
  shown["processed"] = planned.processed;
  archive_.begin();
  ++all_.faults[planned.name];
  add(topic::faulted, std::move(shown), from.body.size());
  commit();
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
  contents forgotten(campaigns_);  // there may be much to free, which nobody has to wait for
  const std::lock_guard hold(lock_);
  std::swap(all_, forgotten);
  archive_.clear();
  introduce_campaigns();
}

void state::catch_up() {
  const std::lock_guard hold(lock_);
  if (!all_.runs.is_due(all_.clock.now())) return;
  archive_.begin();
  pass();
  commit();
}

void state::change_clock(std::optional<bool> stopped, std::int64_t forward) {
  const std::lock_guard hold(lock_);
  auto changed = all_.clock;
  if (stopped) changed.stop(*stopped);
  changed.forward(forward);
  archive_.begin();
  all_.clock = changed;
  auto row = changed.shown();
  const auto size = row.size();
  add(topic::clock, std::move(row), size);
  pass();
  commit();
}

/// They are in the file of campaigns, and so not in the archive.
void state::introduce_campaigns() {
  for (const auto& one : campaigns_) {
    all_.told.add(topic::campaign, one.shown, 0, [](std::uint64_t) {});
  }
}

void state::apply(const call& to, json body, const arrival& from, const delivery& as) {
  if (to.what == action::track) return track(std::move(body), from, as);
  switch (to.what) {
    case action::track: break;
    case action::identify: identify(body, from.received); break;
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
  changed(text_of_id(body.at("user_id")));
}

void state::track(json body, const arrival& from, const delivery& as) {
  const auto user_id = body.at("user_id");
  const auto name = body.at("event").get<std::string>();
  add(topic::event, shown_event(std::move(body), from, as.seen), from.body.size() / as.users.size());
  const bool has_happened = as.seen == sighting::duplicate;  // no message for what is only sent again
  if (!has_happened) tell(all_.runs.note(user_id, name, from.received, user_finder()));
}

void state::identify(const json& body, std::int64_t now) {
  auto& who = user_of(body);
  if (const auto alias = body.find("previous_id"); alias != body.end()) {
    const auto previous = all_.users.find(text_of_id(*alias));
    if (previous != all_.users.end() && &previous->second != &who) {
      who.absorb(previous->second);
      all_.told.forget(previous->first);
      archive_.erase_user(previous->first);
      all_.users.erase(previous);
    }
    tell(all_.runs.join(text_of_id(*alias), body.at("user_id"), now));
  }
  who.identify(body);
}

user& state::user_of(const json& body) {
  const auto& id = body.at("user_id");
  auto& found = all_.users[text_of_id(id)];
  found.remember_id(id);
  return found;
}

void state::add(topic about, json shown, std::size_t bytes) {
  const auto text = archive_.keeps() ? written(shown) : std::string();
  const auto drop = [this](std::uint64_t position) { archive_.drop_row(position); };
  const auto position = all_.told.add(about, std::move(shown), bytes, drop);
  archive_.add_row(position, name_of(about), text);
}

void state::changed(const std::string& id) {
  const auto position = all_.told.touch(id);
  if (archive_.keeps()) archive_.save_user(id, position, written(all_.users.at(id).shown()));
}

void state::tell(const campaign_runs::changes& all) {
  for (const auto& one : all) {
    const auto text = written(one.shown);
    add(topic::run, one.shown, text.size());
    if (one.waits) {
      archive_.save_wait(one.run, text);
    } else {
      archive_.erase_wait(one.run);
    }
  }
}

void state::pass() { tell(all_.runs.pass(all_.clock.now(), user_finder())); }

campaign_runs::find_user state::user_finder() const {
  return [this](const std::string& id) {
    const auto found = all_.users.find(id);
    return found == all_.users.end() ? user().shown() : found->second.shown();
  };
}

void state::commit() {
  if (archive_.keeps()) archive_.commit(written(all_totals()));
}

void state::restore() {
  try {
    restore_rows();
    const auto text = archive_.totals();
    if (!text.empty()) resume(json::parse(text));
  } catch (const json::exception& problem) {
    throw archive_.damaged(problem.what());
  }
}

void state::restore_rows() {
  archive_.each_user([this](std::uint64_t position, const std::string& id, const std::string& text) {
    all_.users.emplace(id, user::restored(json::parse(text)));
    all_.told.restore_user(position, id);
  });
  const auto drop = [this](std::uint64_t position) { archive_.drop_row(position); };
  archive_.each_row([&](std::uint64_t position, const std::string& name, const std::string& text) {
    const auto about = topic_named(name);
    if (!about) throw archive_.damaged("it has a row about '" + name + "'");
    auto shown = json::parse(text);
    if (*about == topic::clock) all_.clock = movable_clock(shown);
    if (*about == topic::run) all_.runs.skip_to(shown.at("run"));
    all_.told.restore(*about, {position, std::move(shown)}, text.size(), drop);
  });
  archive_.each_wait([this](std::uint64_t number, const std::string&, const std::string& text) {
    all_.runs.restore(number, json::parse(text));
  });
}

void state::resume(const json& totals) {
  all_.told.resume(topic::event, totals.at("events"));
  all_.told.resume(topic::rejected, totals.at("rejected"));
  all_.requests.resume(totals.at("requests"));
  all_.deliveries.resume(totals.at("requests"));
  all_.duplicates = totals.at("duplicates");
  all_.conflicts = totals.at("conflicts");
  all_.faults = totals.at("faults").get<std::map<std::string, std::uint64_t>>();
  all_.runs.resume(totals.value("campaigns", json::object()));
}

json state::shown(topic about) const {
  auto rows = json::array();
  all_.told.log(about).each([&rows](const journal::row& one) { rows.push_back(one.shown); });
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
  return shown(topic::event);
}

json state::requests() const {
  const std::lock_guard hold(lock_);
  auto rows = json::array();
  all_.requests.each([&rows](const arrival& one) {
    rows.push_back(shown_arrival(one));
    rows.back()["status"] = accepted;
  });
  return rows;
}

json state::rejected() const {
  const std::lock_guard hold(lock_);
  return shown(topic::rejected);
}

json state::repeated() const {
  const std::lock_guard hold(lock_);
  return shown(topic::repeated);
}

json state::faulted() const {
  const std::lock_guard hold(lock_);
  return shown(topic::faulted);
}

json state::campaigns() const {
  const std::lock_guard hold(lock_);
  const auto ended = shown(topic::run);
  auto rows = json::array();
  for (const auto& one : campaigns_) {
    auto out = one.shown;
    out["waiting"] = all_.runs.waiting(one);
    for (const char* how : {"reached", "sent", "unsent"}) {
      out[how] = json::array();
      for (const auto& run : ended) {
        if (run.at("campaign") == one.shown.at("id") && run.at("state") == how) out[how].push_back(run);
      }
    }
    rows.push_back(std::move(out));
  }
  return rows;
}

json state::clock() const {
  const std::lock_guard hold(lock_);
  return all_.clock.shown();
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
  return all_totals();
}

json state::all_totals() const {
  return {{"users", all_.users.size()},        {"events", all_.told.log(topic::event).total()},
          {"requests", all_.requests.total()}, {"rejected", all_.told.log(topic::rejected).total()},
          {"duplicates", all_.duplicates},     {"conflicts", all_.conflicts},
          {"faults", json(all_.faults)},       {"campaigns", all_.runs.totals()}};
}

std::string state::text_of(const journal::step& one) const {
  if (one.row != nullptr) return written(*one.row);
  return written(one.name == journal::user_gone ? json{{"user_id", *one.user}} : all_.users.at(*one.user).shown());
}

news state::news_since(bookmark since) const {
  const std::lock_guard hold(lock_);
  news out;
  out.starts_over = since.life != all_.life;
  out.end = out.starts_over ? bookmark{all_.life, 0} : since;
  std::size_t bytes = 0;
  while (bytes < told_at_once) {
    const auto one = all_.told.next(out.end.position);
    if (!one) {
      out.is_all = true;
      break;
    }
    out.items.push_back({one->name, one->position, text_of(*one)});
    bytes += out.items.back().text.size();
    out.end.position = one->position;
  }
  return out;
}

}  // namespace sandbox
