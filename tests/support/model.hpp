// A simple model of a delivery_queue, written from the description and not from the code: lists of what was accepted,
// who waits for whom, what is on its way. A round uses a queue as `choices` decide, and compares the two after each
// step; on a difference it says what differs, in which round and step, and ends the program.
#ifndef OUTBOUND_TESTS_MODEL_HPP
#define OUTBOUND_TESTS_MODEL_HPP

#include "outbound.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine.hpp"

namespace test::model {

using outbound::delivery;
using outbound::errc;
using outbound::event;
using outbound::loss;
using outbound::user;
using std::chrono::milliseconds;

inline std::uint64_t round_seed = 0;
inline long step_of_round = 0;

[[noreturn]] inline void differ(const std::string& what) {
  std::fprintf(stderr, "round %llu, step %ld: %s\n", static_cast<unsigned long long>(round_seed), step_of_round,
               what.c_str());
  std::exit(1);
}

inline void demand(bool holds, const char* what) {
  if (!holds) differ(what);
}
inline void demand(bool holds, const char* what, const std::string& detail) {
  if (!holds) differ(what + (": " + detail));
}

inline constexpr std::size_t unlimited = SIZE_MAX;

// A message that was accepted.
struct item {
  enum class state { queued, flying, settled };
  long number{};
  std::string path{}, body{}, guid{};
  std::vector<std::string> users{};
  state where{};
  unsigned attempts{};
  unsigned server_errors{};
  long batch{-1};  // which it is fixed in
  std::int64_t age{};
  std::string sent_path{}, sent_body{}, sent_guid{};  // of an attempt that may have had an effect

  bool fixed() const { return where == state::flying || batch >= 0; }
  std::string user_key() const {
    std::string key;
    for (const std::string& u : users) key += (key.empty() ? "" : "\xFF") + u;
    return key;
  }
};

struct fate {
  event::kind what{};
  loss why{};
};

struct flight {
  delivery ticket{};
  std::vector<long> members{};
  bool made{};  // a batch of the engine's
};

// What decides: a generator of random numbers, or the bytes of a fuzzer.
class choices {
 public:
  virtual ~choices() = default;
  virtual std::uint64_t below(std::uint64_t n) = 0;
  virtual std::uint64_t any() = 0;
  virtual bool over() const { return false; }
};

class round_of_steps {
 public:
  explicit round_of_steps(choices& from);
  void run(long steps);

 private:
  // randomness
  std::uint64_t below(std::uint64_t n) { return choices_.below(n); }
  bool chance(unsigned percent) { return below(100) < percent; }

  // the world
  outbound::instant tick();
  void start();
  void restart();
  void resurrect();
  void post();
  outbound::message compose(item& made);
  void take();
  void answer();
  void close_or_abandon();
  void drain();

  // the model
  void pass(std::int64_t to);
  bool is_full(std::size_t bytes) const;
  bool make_room(std::size_t bytes);
  void settle(long number, event::kind what, loss why);
  void expire();
  void check_taken(flight& f);
  void check_idle();
  void check_order(const flight& f);
  void judge(flight& f, errc code, int status, bool is_error);
  void retry(const flight& f);
  void dissolve(const flight& f);
  void good(const std::string& lane);
  void hold_queue(bool setup);
  std::string lane_of(const flight& f) const { return items_.at(f.members.front()).path; }
  std::size_t calls_of(const std::string& lane) const;

  void check();
  void hear(const event& e);

  choices& choices_;
  outbound::queue_options options_{};
  bool stored_{};
  test::memory_store kept_{};
  std::unique_ptr<outbound::delivery_queue> queue_{};
  std::vector<flight> flying_{};

  std::map<long, item> items_{};
  std::map<std::string, long> by_body_{};
  std::map<std::string, long> by_guid_{};
  std::map<std::string, std::deque<long>> lines_{};
  std::map<long, fate> expected_{};
  outbound::delivery_stats stats_{};
  int held_events_{}, resumed_events_{};
  long next_number_{1}, next_batch_{1};
  milliseconds steady_{1'000'000}, system_{0};
  std::int64_t now_{0};
  bool started_{false};
  std::int64_t origin_{0};
  std::int64_t not_before_{0};
  std::uint64_t retries_{};
  std::size_t window_{unlimited};
  unsigned streak_{};
  bool queue_held_{}, setup_held_{}, closed_{}, unreadable_{}, draining_{};
  std::set<std::string> held_paths_{};
  unsigned mood_{};
};

inline round_of_steps::round_of_steps(choices& from) : choices_{from} {
  using namespace std::chrono_literals;
  outbound::retry_policy& p = options_.retry;
  if (chance(50)) p.max_age = milliseconds{static_cast<std::int64_t>(1 + below(300'000))};
  if (chance(30)) p.first_delay = milliseconds{static_cast<std::int64_t>(below(5000))};
  if (chance(30)) p.max_delay = milliseconds{static_cast<std::int64_t>(below(200'000))};
  if (chance(50)) p.max_attempts = static_cast<unsigned>(below(5));
  if (chance(30)) p.budget = static_cast<unsigned>(below(3));
  p.retry_ambiguous = chance(60);
  options_.max_messages = 1 + below(chance(50) ? 6 : 50);
  if (chance(40)) options_.max_bytes = 50 + below(3000);
  options_.when_full = chance(50) ? outbound::overflow::drop_oldest : outbound::overflow::reject_new;
  if (chance(60)) options_.batch_size = 1 + below(chance(50) ? 4 : 120);
  options_.seed = {choices_.any(), choices_.any()};
  stored_ = chance(60);
  if (stored_) options_.store = &kept_;
  options_.on_event = [this](const event& e) { hear(e); };
  start();
}

inline void round_of_steps::start() {
  unreadable_ = stored_ && kept_.loading != test::memory_store::mood::good;
  if (!stored_) options_.seed = {choices_.any(), choices_.any()};  // as a new process has it
  flying_.clear();
  queue_.reset();
  stats_ = {};
  expected_.clear();
  held_events_ = resumed_events_ = 0;
  started_ = false;
  now_ = not_before_ = 0;
  retries_ = 0;
  window_ = unlimited;
  streak_ = 0;
  queue_held_ = setup_held_ = closed_ = false;
  held_paths_.clear();
  if (stored_ && !unreadable_) resurrect();
  if (!stored_) {
    items_.clear();
    by_body_.clear();
    by_guid_.clear();
    lines_.clear();
  }
  queue_ = std::make_unique<outbound::delivery_queue>(options_);
  check();
}

// What the store has is what there is. Nothing that was not settled may be missing.
inline void round_of_steps::resurrect() {
  std::map<long, item> back;
  std::map<std::uint64_t, long> by_id;
  std::map<long, std::vector<long>> batches;
  long last = 0;
  for (const auto& [id, r] : kept_.records) {
    if (r.body[0] == '[' && r.body[1] != '{') continue;
    const auto known = by_body_.find(r.body);
    demand(known != by_body_.end(), "the store has what was never accepted", r.body);
    item i = items_.at(known->second);
    demand(i.number > last, "the store has another order", r.body);
    last = i.number;
    demand(r.path == i.path && r.user_key == i.user_key() && (i.guid.empty() || i.guid == r.guid),
           "the store has another record", r.body);
    i.guid = r.guid;
    i.where = item::state::queued;
    i.attempts = i.server_errors = 0;
    i.age = 0;
    by_id[id] = i.number;
    back[i.number] = std::move(i);
  }
  for (const auto& [n, i] : items_)
    demand(i.where == item::state::settled || back.count(n) != 0, "the store lost what was accepted", i.body);
  // The batches that the store knows, if all their members are there.
  for (auto& [n, i] : back) i.batch = -1;
  for (const auto& [id, r] : kept_.records) {
    if (r.body[0] != '[' || r.body[1] == '{') continue;
    std::vector<long> members;
    bool whole = true;
    for (const char* p = r.body.c_str(); *p != ']';) {
      char* end = nullptr;
      const auto at = by_id.find(std::strtoull(p + 1, &end, 10));
      whole = whole && at != by_id.end();
      if (at != by_id.end()) members.push_back(at->second);
      p = end;
    }
    if (whole)
      for (const long n : members) back.at(n).batch = next_batch_;
    ++next_batch_;
  }
  items_ = std::move(back);
  by_body_.clear();
  by_guid_.clear();
  lines_.clear();
  for (const auto& [n, i] : items_) {
    by_body_[i.body] = n;
    by_guid_[i.guid] = n;
    for (const std::string& u : i.users) lines_[u].push_back(n);
    ++stats_.accepted;
    ++stats_.queued;
    stats_.bytes += i.body.size();
  }
}

// The clocks go on, or jump; now and then the caller's idea of now is an old one.
inline outbound::instant round_of_steps::tick() {
  const std::uint64_t kind = below(1000);
  if (kind < 500) steady_ += milliseconds{static_cast<std::int64_t>(below(20))};
  else if (kind < 700) steady_ += milliseconds{static_cast<std::int64_t>(below(5000))};
  else if (kind < 710) steady_ += milliseconds{static_cast<std::int64_t>(below(3'600'000))};
  else if (kind < 712) steady_ += std::chrono::hours{24};
  else if (kind < 714) system_ += std::chrono::hours{24};
  else if (kind < 716) system_ -= std::chrono::hours{24};
  milliseconds said = steady_;
  if (chance(3)) said -= milliseconds{static_cast<std::int64_t>(below(100'000))};
  pass(said.count());
  return {std::chrono::steady_clock::time_point{said},
          std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}} + system_ + steady_};
}

inline void round_of_steps::pass(std::int64_t to) {
  if (!started_) origin_ = to;
  started_ = true;
  const std::int64_t passed = to - origin_ - now_;
  if (passed <= 0) return;
  now_ += passed;
  bool stands = setup_held_;
  for (const auto& [n, i] : items_)
    stands = stands || (i.where != item::state::settled && held_paths_.count(i.path) != 0);
  for (auto& [n, i] : items_)
    if (i.where != item::state::settled && !stands) i.age += passed;
}

// --- accepting

inline outbound::message round_of_steps::compose(item& made) {
  static const std::vector<std::string> names{"a", "b", "c", "d", "42", "7"};
  const std::string who = names[below(names.size())];
  const std::string other = names[below(names.size())];
  const bool natural = who[0] <= '9' && chance(50);
  const user u = natural ? user{std::stoi(who)} : user{who};
  const std::string id = natural ? who : "\"" + who + "\"";
  const std::string n = std::to_string(made.number);
  const std::string filler(chance(10) ? below(400) : 0, 'x');
  made.users = {who};
  const std::uint64_t kind = below(100);
  if (kind < 50) {
    made.path = "/v2/track";
    made.body = R"({"user_id":)" + id + R"(,"event":"e)" + n + filler + "\"}";
    return u.track("e" + n + filler);
  }
  if (kind < 75) {
    made.path = "/v2/identify";
    made.body = R"({"user_id":)" + id + R"(,"email":")" + n + filler + "\"}";
    return u.identify().email(n + filler);
  }
  if (kind < 82) {
    made.path = "/v2/identify";
    made.body = R"({"user_id":)" + id + R"(,"email":")" + n + R"(","previous_id":")" + other + "\"}";
    if (other != who) made.users.push_back(other);
    return u.identify().email(n).previous_id(user{other});
  }
  if (kind < 88) {
    made.path = "/v2/gcm/register";
    made.body = R"({"user_id":)" + id + R"(,"token":"t)" + n + "\"}";
    return u.register_token(outbound::platform::gcm, "t" + n);
  }
  if (kind < 94) {
    made.path = "/v2/subscribe/campaigns";
    made.body = R"({"user_id":)" + id + R"(,"campaign_ids":[)" + n + "]}";
    return u.subscribe({made.number});
  }
  outbound::batch all;
  made.path = "/v2/track/batch";
  made.users.clear();
  const std::uint64_t size = 1 + below(4);
  for (std::uint64_t i = 0; i < size; ++i) {
    const std::string member = names[below(names.size())];
    const std::string name = "b" + n + "-" + std::to_string(i);
    demand(static_cast<bool>(all.add(user{member}.track(name))), "batch::add refuses");
    made.body += (i == 0 ? "[" : ",") + (R"({"user_id":")" + member + R"(","event":")" + name + "\"}");
    if (std::find(made.users.begin(), made.users.end(), member) == made.users.end()) made.users.push_back(member);
  }
  made.body += ']';
  return all;
}

inline bool round_of_steps::is_full(std::size_t bytes) const {
  return stats_.queued + stats_.in_flight >= options_.max_messages || stats_.bytes + bytes > options_.max_bytes;
}

// Drops what must be dropped to take a message, the oldest first; nothing if that would not do.
inline bool round_of_steps::make_room(std::size_t bytes) {
  if (!is_full(bytes)) return true;
  if (options_.when_full == outbound::overflow::reject_new) return false;
  std::uint64_t fixed = 0, fixed_bytes = 0;
  for (const auto& [n, i] : items_) {
    if (i.where == item::state::settled || !i.fixed()) continue;
    ++fixed;
    fixed_bytes += i.body.size();
  }
  if (fixed >= options_.max_messages || fixed_bytes + bytes > options_.max_bytes) return false;
  for (auto at = items_.begin(); is_full(bytes); ++at)
    if (at->second.where == item::state::queued && !at->second.fixed())
      settle(at->first, event::kind::dropped, loss::overflow);
  return true;
}

inline void round_of_steps::post() {
  if (chance(2)) {
    const errc code = queue_->post(user{"a"}.track(""), tick()).error().code;
    demand(code == (unreadable_ ? errc::store_failed
                    : closed_   ? errc::closed
                                : errc::invalid_message),
           "an invalid message is not refused as one");
    return check();
  }
  item made;
  made.number = next_number_++;
  const outbound::message m = compose(made);
  demand(m.body() == made.body && m.path() == made.path, "the test composes another message", std::string{m.body()});
  errc expected{};
  const outbound::instant now = tick();
  const bool append_fails = stored_ && kept_.appending != test::memory_store::mood::good;
  const bool could = options_.when_full == outbound::overflow::drop_oldest;
  if (unreadable_) expected = errc::store_failed;
  else if (closed_) expected = errc::closed;
  else if (append_fails && (could || !is_full(made.body.size()))) expected = errc::store_failed;
  else if (!make_room(made.body.size())) expected = errc::queue_full;
  const errc code = queue_->post(m, now).error().code;
  // Without room and without a store that works, either is a true answer.
  if (!(append_fails && code == errc::queue_full && is_full(made.body.size())))
    demand(code == expected, "post gives another answer",
           std::to_string(static_cast<int>(code)) + " for " + std::to_string(static_cast<int>(expected)));
  if (code == errc{}) {
    const long n = made.number;
    ++stats_.accepted;
    ++stats_.queued;
    stats_.bytes += made.body.size();
    by_body_[made.body] = n;
    for (const std::string& u : made.users) lines_[u].push_back(n);
    items_[n] = std::move(made);
  }
  check();
}

// --- taking

inline void round_of_steps::expire() {
  if (unreadable_) return;  // what the store keeps is not in the queue
  const std::int64_t most = options_.retry.max_age.count();
  std::vector<long> over;
  for (const auto& [n, i] : items_)
    if (i.where == item::state::queued && !i.fixed() && i.age >= most) over.push_back(n);
  for (const long n : over) settle(n, event::kind::failed, loss::expired);
}

inline std::size_t round_of_steps::calls_of(const std::string& lane) const {
  return static_cast<std::size_t>(
      std::count_if(flying_.begin(), flying_.end(), [&](const flight& f) { return lane_of(f) == lane; }));
}

inline void round_of_steps::take() {
  const outbound::instant now = tick();
  expire();
  flight f;
  f.ticket = queue_->next(now);
  if (!f.ticket) {
    check();
    return check_idle();
  }
  check_taken(f);
  for (const long n : f.members) items_.at(n).where = item::state::flying;
  stats_.queued -= f.members.size();
  stats_.in_flight += f.members.size();
  ++stats_.attempts;
  flying_.push_back(std::move(f));
  check();
}

// The bodies of an array of objects without braces in their strings.
std::vector<std::string> split(const std::string& array) {
  std::vector<std::string> bodies;
  int depth = 0;
  std::size_t from = 0;
  for (std::size_t at = 0; at < array.size(); ++at) {
    if (array[at] == '{' && depth++ == 0) from = at;
    if (array[at] == '}' && --depth == 0) bodies.push_back(array.substr(from, at - from + 1));
  }
  return bodies;
}

inline void round_of_steps::check_taken(flight& f) {
  const delivery& d = f.ticket;
  demand(!d.body.empty() && d.body != "[]", "an empty request");
  const auto known = by_body_.find(d.body);
  f.made = known == by_body_.end();
  if (!f.made) f.members = {known->second};
  std::string joined = "[";
  if (f.made) {
    for (const std::string& body : split(d.body)) {
      const auto member = by_body_.find(body);
      demand(member != by_body_.end(), "a request with what was not accepted", body);
      f.members.push_back(member->second);
      joined += (joined.size() > 1 ? "," : "") + body;
    }
    demand(joined + "]" == d.body && f.members.size() > 1, "a batch of another form", d.body);
  }
  item& first = items_.at(f.members.front());
  if (first.guid.empty()) {
    demand(by_guid_.emplace(d.guid, first.number).second, "a GUID of another message", d.guid);
    first.guid = d.guid;
  }
  demand(d.guid == first.guid && d.user_key == first.user_key(), "another GUID or user key", d.body);
  demand(d.path == first.path + (f.made ? "/batch" : ""), "another path", d.path);
  const bool fixed = first.batch >= 0;
  const long batch = f.made ? (fixed ? first.batch : next_batch_++) : -1;
  for (const long n : f.members) {
    item& i = items_.at(n);
    demand(i.where == item::state::queued, "in flight twice, or answered already", i.body);
    demand(i.path == first.path, "a batch of two kinds", d.body);
    demand(fixed == (i.batch >= 0) && (!fixed || i.batch == batch), "a batch that did not stay as it was", d.body);
    i.batch = batch;
    ++i.attempts;
    demand(i.sent_body.empty() || (i.sent_body == d.body && i.sent_path == d.path && i.sent_guid == d.guid),
           "another attempt has other bytes", i.sent_body + " and " + d.body);
    i.sent_body = d.body;
    i.sent_path = d.path;
    i.sent_guid = d.guid;
  }
  if (fixed)
    demand(std::count_if(items_.begin(), items_.end(), [&](const auto& x) { return x.second.batch == batch; }) ==
               static_cast<std::ptrdiff_t>(f.members.size()),
           "a batch lost a member", d.body);
  else
    demand(f.members.size() <= (std::max)(options_.batch_size, std::size_t{1}) && f.members.size() <= 100,
           "a large batch");
  demand(d.attempt == first.attempts, "another count of attempts", d.body);
  check_order(f);
  // What holds it back?
  demand(now_ >= not_before_, "it leaves before Retry-After lets it");
  demand(flying_.size() < window_, "more calls than a queue that opens allows");
  demand(!queue_held_ || flying_.empty(), "a second call while the queue is held");
  demand(held_paths_.count(first.path) == 0 || calls_of(first.path) == 0, "a second call of a path that is held");
}

// All earlier messages of each of its users are settled, or are earlier members of the same batch.
inline void round_of_steps::check_order(const flight& f) {
  for (std::size_t k = 0; k < f.members.size(); ++k) {
    for (const std::string& u : items_.at(f.members[k]).users) {
      for (const long n : lines_.at(u)) {
        if (n == f.members[k]) break;
        const auto end = f.members.begin() + static_cast<std::ptrdiff_t>(k);
        demand(std::find(f.members.begin(), end, n) != end, "out of a user's order", f.ticket.body);
      }
    }
  }
}

// Nothing is due. Then something will be, and not too late, unless all waits for calls in flight.
inline void round_of_steps::check_idle() {
  constexpr auto never = (std::chrono::steady_clock::time_point::max)();
  const auto due = queue_->due();
  const std::int64_t at =
      due == never ? INT64_MAX : std::chrono::duration_cast<milliseconds>(due.time_since_epoch()).count() - origin_;
  demand(at > now_, "it is due, and next does not give it", std::to_string(at) + " at " + std::to_string(now_));
  if (!flying_.empty() || stats_.queued == 0) return;
  const std::int64_t longest =
      (std::max)({options_.retry.max_delay.count(), std::int64_t{3'600'000}, std::int64_t{60'000}});
  demand(due != never, "nothing will ever be due, and something is queued");
  demand(at - now_ <= longest + static_cast<std::int64_t>(retries_) * 100, "due much too late",
         std::to_string(at - now_));
}

// --- answers

inline void round_of_steps::good(const std::string& lane) {
  resumed_events_ += static_cast<int>(held_paths_.erase(lane));
  resumed_events_ += queue_held_;
  queue_held_ = setup_held_ = false;
  streak_ = 0;
  if (window_ != unlimited) ++window_;
}

inline void round_of_steps::hold_queue(bool is_setup) {
  const bool is_news = is_setup && !setup_held_;  // a wrong set-up is, after an outage, too
  resumed_events_ += queue_held_ && is_news;
  held_events_ += !queue_held_ || is_news;
  setup_held_ = setup_held_ || is_setup;
  if (!queue_held_ || flying_.empty()) window_ = 1;
  queue_held_ = true;
}

inline void round_of_steps::retry(const flight& f) {
  std::int64_t youngest = INT64_MAX;
  for (const long n : f.members) youngest = (std::min)(youngest, items_.at(n).age);
  ++retries_;
  if (youngest < options_.retry.max_age.count()) return;
  for (const long n : f.members) settle(n, event::kind::failed, loss::expired);
}

// Refused for good: what comes next is another logical call.
inline void round_of_steps::dissolve(const flight& f) {
  for (const long n : f.members) {
    item& i = items_.at(n);
    i.batch = -1;
    i.sent_body.clear();
  }
}

inline void round_of_steps::judge(flight& f, errc code, int status, bool is_error) {
  item& first = items_.at(f.members.front());
  const std::string lane = first.path;
  const bool is_track = lane == "/v2/track" || lane == "/v2/track/batch";
  const auto settle_all = [&](event::kind what, loss why) {
    for (const long n : f.members) settle(n, what, why);
  };
  if (code == errc{}) {
    good(lane);
    return settle_all(event::kind::delivered, loss::none);
  }
  switch (code) {
    case errc::not_sent:
    case errc::no_response:
    case errc::out_of_memory:
    case errc::throttled:
    case errc::unavailable:
      if (++streak_ >= 5 || queue_held_) hold_queue(false);
      if (is_track && !options_.retry.retry_ambiguous && (code == errc::no_response || status == 502 || status == 504))
        return settle_all(event::kind::failed, loss::ambiguous);
      return retry(f);
    case errc::unauthorized:
    case errc::invalid_options: return hold_queue(true);
    case errc::misdirected:
      if (!is_error && status < 400) return hold_queue(true);
      resumed_events_ += queue_held_;
      queue_held_ = setup_held_ = false;
      streak_ = 0;
      if (window_ != unlimited) ++window_;
      if (f.made) return dissolve(f);
      held_events_ += held_paths_.insert(lane).second;
      return;
    case errc::malformed_json:
      good(lane);
      if (++first.server_errors < options_.retry.max_attempts) return retry(f);
      if (!f.made) return settle_all(event::kind::failed, loss::exhausted);
      first.server_errors = 0;
      return dissolve(f);
    case errc::invalid_field:
      good(lane);
      if (!f.made) return settle_all(event::kind::failed, loss::refused);
      first.server_errors = 0;
      return dissolve(f);
    case errc::invalid_message:
    case errc::unexpected_status:
    case errc::queue_full:
    case errc::closed:
    case errc::store_failed:
    default: good(lane); return settle_all(event::kind::failed, loss::unexpected);
  }
}

inline void round_of_steps::answer() {
  if (flying_.empty()) return;
  const std::size_t which = below(flying_.size());
  flight f = std::move(flying_[which]);
  flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(which));

  static const int many[] = {200, 201, 204, 299, 400, 413, 422, 500, 401, 403, 301, 308, 404, 405, 410, 429, 408,
                             425, 501, 502, 503, 504, 100, 199, 402, 409, 418, 451, 499, 600, 0,   -1,  777};
  static const int outage[] = {503, 502, 504, 429, 0, 503};
  int status = 200;
  if (draining_) status = 200;
  else if (mood_ == 0) status = chance(90) ? 200 : many[below(std::size(many))];
  else if (mood_ == 1) status = chance(95) ? outage[below(std::size(outage))] : 200;
  else if (mood_ == 2) status = chance(90) ? 401 : 200;
  else if (mood_ == 3) status = chance(60) ? (chance(50) ? 404 : 400) : 200;
  else if (mood_ == 4) status = chance(70) ? 500 : 200;
  else status = many[below(std::size(many))];

  outbound::result<outbound::response> answer = outbound::response{status, {}, {}};
  errc code{};
  bool is_error = false;
  const outbound::instant now = tick();
  if (!draining_ && status != 200 && chance(20)) {
    static const errc codes[] = {errc::not_sent,        errc::no_response, errc{},           errc::out_of_memory,
                                 errc::invalid_options, errc::not_sent,    errc::no_response};
    code = codes[below(std::size(codes))];
    answer = outbound::error{code, 0, "an error of a transport", {}};
    if (code == errc{}) code = errc::no_response;
    is_error = true;
    status = 0;
  } else if (status < 200 || status > 299) {
    code = outbound::interpret(*answer).error().code;
    if ((code == errc::throttled || code == errc::unavailable) && chance(20)) {
      std::int64_t seconds = static_cast<std::int64_t>(below(chance(90) ? 20 : 9000));
      answer->headers.push_back({"retry-after", std::to_string(seconds)});
      if (seconds > 3600) seconds = 3600;
      not_before_ = (std::max)(not_before_, now_ + seconds * 1000);
    }
  }
  for (const long n : f.members) items_.at(n).where = item::state::queued;
  stats_.in_flight -= f.members.size();
  stats_.queued += f.members.size();
  judge(f, code, status, is_error);
  expire();
  delivery copy = std::move(f.ticket);
  queue_->report(std::move(copy), answer, now);
  if (chance(2)) queue_->report(std::move(copy), answer, now);  // again: nothing
  if (chance(2)) queue_->report(std::move(f.ticket), answer, now);
  check();
}

// --- what becomes of messages

inline void round_of_steps::settle(long number, event::kind what, loss why) {
  item& i = items_.at(number);
  i.where = item::state::settled;
  i.batch = -1;
  expected_[number] = {what, why};
  for (const std::string& u : i.users) {
    std::deque<long>& line = lines_.at(u);
    line.erase(std::find(line.begin(), line.end(), number));
  }
  --stats_.queued;
  stats_.bytes -= i.body.size();
  if (what == event::kind::delivered) ++stats_.delivered;
  else if (what == event::kind::failed) ++stats_.failed;
  else ++stats_.dropped;
  if (why != loss::none) ++stats_.losses[static_cast<std::size_t>(why)];
}

inline void round_of_steps::hear(const event& e) {
  switch (e.what) {
    case event::kind::delivered:
    case event::kind::failed:
    case event::kind::dropped: {
      const auto known = by_body_.find(e.message.body);
      demand(known != by_body_.end(), "an event of an unknown message", e.message.body);
      const auto fate = expected_.find(known->second);
      demand(fate != expected_.end(), "an event that was not to be",
             e.message.body + " " + std::to_string(static_cast<int>(e.what)) + " " +
                 std::to_string(static_cast<int>(e.why)));
      item& i = items_.at(known->second);
      demand(fate->second.what == e.what && fate->second.why == e.why, "an event of another kind", i.body);
      demand(i.path == e.message.path && i.user_key() == e.message.user_key, "an event of another message", i.body);
      demand(i.guid.empty() || i.guid == e.message.guid, "an event of another GUID", i.body);
      demand(e.attempts == i.attempts, "an event of another count of attempts",
             i.body + " " + std::to_string(e.attempts) + " for " + std::to_string(i.attempts));
      demand(e.age.count() == i.age, "an event of another age", i.body);
      expected_.erase(fate);
      break;
    }
    case event::kind::held: --held_events_; break;
    case event::kind::resumed: --resumed_events_; break;
    case event::kind::retrying: demand(e.why == loss::none, "a loss that is none"); break;
    case event::kind::store_failed: demand(stored_ && e.cause.code == errc::store_failed, "no store failed"); break;
    case event::kind::worker_failed: differ("an event of a worker");
  }
#ifdef __cpp_exceptions
  if (chance(5)) throw std::runtime_error{"a hook may throw"};
#endif
}

inline void round_of_steps::check() {
  demand(expected_.empty(), "an event is missing",
         expected_.empty() ? ""
                           : items_.at(expected_.begin()->first).body + " " +
                                 std::to_string(static_cast<int>(expected_.begin()->second.what)) + " " +
                                 std::to_string(static_cast<int>(expected_.begin()->second.why)));
  demand(held_events_ == 0, "another number of holds", std::to_string(held_events_));
  demand(resumed_events_ == 0, "another number of ends of holds", std::to_string(resumed_events_));
  const outbound::delivery_stats s = queue_->stats();
  demand(test::adds_up(s), "the books do not add up");
  const auto same = [](const char* what, std::uint64_t a, std::uint64_t b) {
    demand(a == b, what, std::to_string(a) + " for " + std::to_string(b));
  };
  const bool nothing = unreadable_;
  same("accepted", s.accepted, nothing ? 0 : stats_.accepted);
  same("delivered", s.delivered, stats_.delivered);
  same("failed", s.failed, stats_.failed);
  same("dropped", s.dropped, stats_.dropped);
  same("queued", s.queued, nothing ? 0 : stats_.queued);
  same("in flight", s.in_flight, stats_.in_flight);
  same("attempts", s.attempts, stats_.attempts);
  same("bytes", s.bytes, nothing ? 0 : stats_.bytes);
  for (std::size_t why = 1; why <= static_cast<std::size_t>(loss::closed); ++why)
    same("losses", s.losses[why], stats_.losses[why]);
  // What is settled is forgotten, unless the store could not be told and may give it back.
  for (auto at = items_.begin(); at != items_.end();) {
    item& i = at->second;
    if (i.where != item::state::settled ||
        (stored_ && !unreadable_ && kept_.removing != test::memory_store::mood::good) || stored_) {
      ++at;
      continue;
    }
    by_body_.erase(i.body);
    by_guid_.erase(i.guid);
    at = items_.erase(at);
  }
}

// --- ends and beginnings

inline void round_of_steps::close_or_abandon() {
  queue_->close();
  closed_ = true;
  if (chance(50)) {
    if (!stored_)
      for (auto& [n, i] : items_)
        if (i.where == item::state::queued) settle(n, event::kind::dropped, loss::closed);
    queue_->abandon();
  }
  check();
}

inline void round_of_steps::restart() {
  using mood = test::memory_store::mood;
  if (stored_) kept_.loading = chance(10) ? (chance(50) ? mood::refuses : mood::throws) : mood::good;
  start();
}

// A good server for as long as it takes: then nothing is left.
inline void round_of_steps::drain() {
  kept_.appending = kept_.removing = kept_.loading = test::memory_store::mood::good;
  if (unreadable_) start();
  draining_ = true;
  constexpr auto never = (std::chrono::steady_clock::time_point::max)();
  for (long n = 0; stats_.queued + stats_.in_flight != 0 || queue_->due() != never; ++n) {
    demand(n < 20'000, "it does not drain", std::to_string(stats_.queued));
    const auto due = queue_->due();
    if (flying_.empty() && due != never)
      steady_ = (std::max)(steady_, std::chrono::duration_cast<milliseconds>(due.time_since_epoch()));
    take();
    if (chance(70)) answer();
  }
  demand(kept_.records.empty(), "the store keeps what is done with");
  draining_ = false;
}

inline void round_of_steps::run(long steps) {
  using mood = test::memory_store::mood;
  for (step_of_round = 0; step_of_round < steps && !choices_.over(); ++step_of_round) {
    if (chance(1)) mood_ = static_cast<unsigned>(below(6));
    if (stored_ && chance(1)) kept_.appending = chance(70) ? mood::good : chance(50) ? mood::refuses : mood::throws;
    // What is settled and still in the store may come back before a batch, which then cannot be put together again.
    if (stored_ && options_.batch_size <= 1 && chance(1))
      kept_.removing = chance(70) ? mood::good : chance(50) ? mood::refuses : mood::throws;
    const std::uint64_t what = below(1000);
    if (what < 350) post();
    else if (what < 670) take();
    else if (what < 995) answer();
    else if (what < 996) close_or_abandon();
    else if (what < 998 || closed_) restart();
  }
  drain();
}

}  // namespace test::model
#endif
