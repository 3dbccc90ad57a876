#include "sender.hpp"

#include "nats.hpp"
#include "transports/libcurl.hpp"

#include <algorithm>
#include <cstdio>
#include <random>
#include <utility>

namespace relay {
namespace {

outbound::instant now() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

outbound::options api_of(const sender_options& o) {
  outbound::options api;
  api.base_url = o.url;
  api.timeout = o.timeout;
  return api;
}

// Calls `visit(key)` for each user that the message is about.
template <class Visit>
void each_key(const std::string& keys, const Visit& visit) {
  for (std::size_t at = 0;;) {
    const std::size_t end = keys.find('\xFF', at);
    visit(keys.substr(at, end - at));
    if (end == keys.npos) return;
    at = end + 1;
  }
}

// 404, 405 and 410 are about a path; the other answers that hold a queue are about all of it.
bool is_about_path(const outbound::error& e) { return e.code == outbound::errc::misdirected && e.status >= 400; }

// A server may repeat the key in what it says, and that goes into logs and dead letters.
void redact(std::string& text, const std::string& key) {
  for (std::size_t at = text.find(key); at != text.npos; at = text.find(key, at)) text.replace(at, key.size(), "[key]");
}

}  // namespace

sender::sender(sender_options o)
    : options_{std::move(o)}, client_{options_.key, outbound::no_transport, api_of(options_)} {
  const auto usable = client_.validate(outbound::user{"u"}.track("e"));
  if (!usable) throw failed{usable.error().message};
  for (std::size_t n = 0; n < options_.connections; ++n) threads_.emplace_back([this] { run(); });
}

void sender::accept(std::vector<item> items) {
  {
    const std::lock_guard hold{lock_};
    for (item& one : items) {
      each_key(one.message.user_key, [&](const std::string& key) { ++lines_[key].waiting; });
      ++stats_.held;
      stats_.bytes += one.message.body.size();
      waiting_.push_back(std::move(one));
    }
    may_choose_ = true;
  }
  changed_.notify_all();
}

void sender::stop() {
  {
    const std::lock_guard hold{lock_};
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& one : threads_) one.join();
  threads_.clear();
}

sender_stats sender::stats() const {
  const std::lock_guard hold{lock_};
  sender_stats out = stats_;
  const bool paused = not_before_ > clock::now();
  const bool held =
      std::any_of(waves_.begin(), waves_.end(), [](const wave& w) { return w.held || !w.held_paths.empty(); });
  if (held || paused) out.trouble = trouble_;
  return out;
}

// A thread with one connection: takes what is due, sends it, says what came back.
void sender::run() {
  outbound::transport http{transports::libcurl_transport{options_.ca_file}};
  std::unique_lock hold{lock_};
  while (!stopping_) {
    task one;
    clock::time_point until = clock::now() + std::chrono::seconds{1};
    if (!take(one, until)) {
      if (settled_.empty()) changed_.wait_until(hold, until);
      else hand_out(hold, nullptr);  // too old
      continue;
    }
    hold.unlock();
    const bool wanted = one.from->begin();
    // What another relay has now is not sent from here; as if it had been answered, it leaves the queue.
    const auto answer = wanted ? exchange(http, one.due) : outbound::response{200, {}, {}};
    hold.lock();
    stats_.attempts += wanted;
    one.of->answered_path = one.due.path;
    one.of->queue->report(std::move(one.due), answer, now());
    if (wanted) note_pause(*one.of, answer);
    hand_out(hold, wanted ? nullptr : one.from.get());
    if (wanted) one.from->end();
    sweep();
    changed_.notify_one();
  }
}

// Tells the partitions what was settled, without the lock: a dead letter takes its time.
void sender::hand_out(std::unique_lock<std::mutex>& hold, const origin* unwanted) {
  std::vector<settled> done = std::exchange(settled_, {});
  const auto dropped = [&](const settled& s) { return s.where.from.get() == unwanted; };
  done.erase(std::remove_if(done.begin(), done.end(), dropped), done.end());
  for (const settled& s : done) ++(s.what.why == outbound::loss::none ? stats_.delivered : stats_.failed);
  hold.unlock();
  for (const settled& s : done) s.where.from->settle(s.where.sequence, s.what);
  hold.lock();
}

outbound::result<outbound::response> sender::exchange(outbound::transport& http, const outbound::delivery& due) const {
  const auto request = client_.prepare(due);
  if (!request) return request.error();
  auto answer = http(*request);
  if (!answer) redact(answer.error().message, options_.key);
  else if (answer->status < 200 || answer->status > 299) redact(answer->body, options_.key);
  return answer;
}

// False: nothing is due before `until`, or the next change.
bool sender::take(task& out, clock::time_point& until) {
  const clock::time_point at = clock::now();
  if (at < not_before_) return until = (std::min)(until, not_before_), false;
  for (wave& w : waves_)
    if (take_from(w, out, until)) return true;
  return begin_wave() && take_from(waves_.back(), out, until);
}

bool sender::take_from(wave& w, task& out, clock::time_point& until) {
  out.due = w.queue->next(now());
  if (!out.due) {
    until = (std::min)(until, w.queue->due());
    return false;
  }
  out.of = &w;
  out.from = w.by_guid.at(out.due.guid);
  return true;
}

bool sender::may_begin() const {
  if (!may_choose_ || waves_.size() >= 2 * options_.connections) return false;
  return std::none_of(waves_.begin(), waves_.end(), [](const wave& w) { return w.held; });
}

// With all that waits, but the messages of users who are in a wave already, and what comes behind those.
bool sender::begin_wave() {
  if (!may_begin()) return false;
  may_choose_ = false;
  std::set<std::string> closed;  // paths that the API does not have, for now
  for (const wave& w : waves_) closed.insert(w.held_paths.begin(), w.held_paths.end());
  std::set<std::string> blocked;
  std::set<std::string> guids;  // one of each: a repeat that the stream did not drop waits for the next wave
  std::vector<item> chosen;
  std::deque<item> rest;
  for (item& one : waiting_) {
    bool free = closed.count(one.message.path) == 0;
    each_key(one.message.user_key,
             [&](const std::string& key) { free = free && lines_[key].busy == 0 && blocked.count(key) == 0; });
    if (free && guids.insert(one.message.guid).second) {
      chosen.push_back(std::move(one));
      continue;
    }
    each_key(one.message.user_key, [&](const std::string& key) { blocked.insert(key); });
    rest.push_back(std::move(one));
  }
  waiting_ = std::move(rest);
  if (chosen.empty()) return false;
  start(std::move(chosen));
  return true;
}

void sender::start(std::vector<item> chosen) {
  wave& w = waves_.emplace_back();
  std::vector<outbound::record> records;
  for (item& one : chosen) {
    each_key(one.message.user_key, [&](const std::string& key) {
      line& l = lines_[key];
      --l.waiting;
      ++l.busy;
    });
    one.message.id = next_id_++;
    w.items[one.message.id] = {one.from, one.sequence};
    w.by_guid[one.message.guid] = std::move(one.from);
    records.push_back(std::move(one.message));
  }
  w.records = std::make_unique<beginning>(std::move(records));
  outbound::queue_options options;
  options.retry = options_.retry;
  options.store = w.records.get();
  options.on_event = [this, &w](const outbound::event& e) { on_event(w, e); };
  std::random_device random;
  options.seed = {random(), random()};  // of the jitter: the GUIDs are there
  w.queue = std::make_unique<outbound::delivery_queue>(std::move(options));
}

// Called by a queue, in `next` and `report`: with the lock.
void sender::on_event(wave& w, const outbound::event& e) {
  using kind = outbound::event::kind;
  if (e.what == kind::held) {
    trouble_ = e.cause.message;
    if (is_about_path(e.cause)) w.held_paths.insert(e.message.path);
    else w.held = true;
    std::fprintf(stderr, "outbound-relay: waits: %s\n", trouble_.c_str());
  } else if (e.what == kind::resumed) {
    // It does not say of what. A queue goes on as a whole first, and then with the path that was answered.
    if (!std::exchange(w.held, false)) w.held_paths.erase(w.answered_path);
    may_choose_ = true;
    std::fprintf(stderr, "outbound-relay: goes on\n");
  } else if (e.what == kind::delivered || e.what == kind::failed) {
    const auto at = w.items.find(e.message.id);
    if (at == w.items.end()) return;
    each_key(e.message.user_key, [&](const std::string& key) {
      const auto found = lines_.find(key);
      line& l = found->second;
      if (--l.busy != 0) return;
      may_choose_ = may_choose_ || l.waiting != 0;
      if (l.waiting == 0) lines_.erase(found);
    });
    --stats_.held;
    stats_.bytes -= e.message.body.size();
    settled_.push_back({std::move(at->second), {e.why, e.cause, e.attempts}});
    w.items.erase(at);
  }
}

// The queue has read Retry-After, and knows when it may go on: all others wait as long.
void sender::note_pause(const wave& w, const outbound::result<outbound::response>& answer) {
  if (!answer || (answer->status != 429 && answer->status < 500)) return;
  if (outbound::find_header(answer->headers, "Retry-After") == nullptr) return;
  trouble_ = outbound::interpret(*answer).error().message;
  const clock::time_point due = w.queue->due();
  if (due != (clock::time_point::max)()) not_before_ = (std::max)(not_before_, due);
}

void sender::sweep() {
  const auto is_over = [](const wave& w) { return w.items.empty(); };
  const std::size_t before = waves_.size();
  waves_.remove_if(is_over);
  if (waves_.size() != before) may_choose_ = may_choose_ || !waiting_.empty();
}

}  // namespace relay
