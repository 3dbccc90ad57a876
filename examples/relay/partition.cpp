#include "partition.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

namespace relay {
namespace {

constexpr int fetch_most = 256;
constexpr std::int64_t longest_fetch_ms = 1'000;

bool is_guid(const std::string& s) {
  if (s.size() != 36) return false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f') || (s[i] >= 'A' && s[i] <= 'F');
    if (dash ? s[i] != '-' : !hex) return false;
  }
  return true;
}

bool is_path(const std::string& s) {
  const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '/'; };
  return s.compare(0, 4, "/v2/") == 0 && std::all_of(s.begin(), s.end(), good);
}

// What the publisher made. Anything else that stands in the stream is none of the API's business.
std::string why_not(natsMsg* message) {
  if (!is_path(header_of(message, path_header))) return std::string{"no message of the publisher: its "} + path_header;
  if (!is_guid(header_of(message, guid_header))) return std::string{"no message of the publisher: its "} + guid_header;
  if (natsMsg_GetDataLength(message) == 0 || natsMsg_GetData(message)[0] != '{')
    return "no message of the publisher: its body is no object";
  return {};
}

}  // namespace

std::string partition::consumer_of(std::size_t number, const std::string& relay) {
  return 'p' + std::to_string(number) + '-' + relay;
}

answer partition::acquire() {
  const std::string name = consumer_of(number_, settings_.relay);
  const std::string subject = subject_of(settings_.stream, number_);
  jsConsumerConfig config;
  jsConsumerConfig_Init(&config);
  config.Durable = name.c_str();
  config.FilterSubject = subject.c_str();
  config.DeliverPolicy = js_DeliverAll;
  config.AckPolicy = js_AckExplicit;
  config.AckWait = std::chrono::nanoseconds{ack_wait}.count();
  config.MaxAckPending = static_cast<std::int64_t>(settings_.max_pending);
  config.InactiveThreshold = std::chrono::nanoseconds{settings_.take_over}.count();
  answer said;
  said.status = js_AddConsumer(nullptr, connection_.js(), settings_.stream.c_str(), &config, nullptr, &said.code);
  return said;
}

void partition::start() {
  thread_ = std::thread{[this] { run(); }};
}

void partition::join() {
  if (thread_.joinable()) thread_.join();
}

void partition::release() {
  const std::lock_guard hold{lock_};
  if (state_ == state::serving) state_ = state::releasing;
}

void partition::keep_alive() {
  const std::lock_guard hold{lock_};
  for (const auto& one : held_) natsMsg_InProgress(one.second.get(), nullptr);
}

bool partition::begin() {
  const std::lock_guard hold{lock_};
  if (state_ != state::serving) return false;
  ++in_flight_;
  return true;
}

void partition::end() {
  const std::lock_guard hold{lock_};
  if (--in_flight_ == 0) idle_.notify_all();
}

void partition::settle(std::uint64_t sequence, const outcome& what) {
  std::shared_ptr<natsMsg> message;
  {
    const std::lock_guard hold{lock_};
    const auto at = held_.find(sequence);
    if (at == held_.end() || state_ == state::lost) return;
    message = at->second;
  }
  if (what.why != outbound::loss::none && !bury_surely(message.get(), sequence, what)) return;
  const std::lock_guard hold{lock_};
  const auto at = held_.find(sequence);
  if (at == held_.end()) return;           // lost meanwhile
  natsMsg_Ack(at->second.get(), nullptr);  // that of its last delivery
  held_.erase(at);
  answered_.insert(sequence);
  if (answered_.size() > most_answered) answered_.erase(answered_.begin());
}

// Without its letter a message is not given up. False: the partition is lost, and the next owner sees to it.
bool partition::bury_surely(natsMsg* message, std::uint64_t sequence, const outcome& what) {
  for (;;) {
    const answer said = bury(connection_, settings_.stream, number_, message, sequence, what);
    if (said.good()) return true;
    std::fprintf(stderr, "outbound-relay: a dead letter is not stored: %s\n", said.text().c_str());
    {
      const std::lock_guard hold{lock_};
      if (state_ != state::serving) return false;
    }
    nats_Sleep(200);
  }
}

void partition::lose() {
  const std::lock_guard hold{lock_};
  state_ = state::lost;
  held_.clear();
}

bool partition::subscribe() {
  subscription_.reset();
  const std::string name = consumer_of(number_, settings_.relay);
  jsSubOptions how;
  jsSubOptions_Init(&how);
  how.Stream = settings_.stream.c_str();
  how.Consumer = name.c_str();
  how.ManualAck = true;
  natsSubscription* made = nullptr;
  const answer said = patiently(settings_.take_over, [&] {
    answer a;
    a.status = js_PullSubscribe(&made, connection_.js(), subject_of(settings_.stream, number_).c_str(), name.c_str(),
                                nullptr, &how, &a.code);
    return a;
  });
  subscription_.reset(made);
  expected_ = 1;
  return said.good();
}

owned<jsConsumerInfo> partition::info(answer& said) const {
  jsConsumerInfo* found = nullptr;
  said = {};
  said.status = js_GetConsumerInfo(&found, connection_.js(), settings_.stream.c_str(),
                                   consumer_of(number_, settings_.relay).c_str(), nullptr, &said.code);
  return owned<jsConsumerInfo>{found};
}

// Nothing came. False: the server has deleted the consumer. As long as nobody answers, nothing is known.
bool partition::look_around() {
  answer said;
  const owned<jsConsumerInfo> known = info(said);
  if (said.code == JSConsumerNotFoundErr || said.code == JSStreamNotFoundErr) return false;
  if (!said.good() || known->NumPending != 0 || suspicions_ < 2) return true;
  {
    const std::lock_guard hold{lock_};
    if (!held_.empty()) return true;
  }
  return begin_anew("what was acknowledged is still in the stream");
}

// Acknowledgements get lost, and a server that was killed may have forgotten that it removed a message, but not that it
// was acknowledged.
void partition::note_waiting(bool some) { suspicions_ = some ? suspicions_ + 1 : 0; }

// The server and this relay do not agree about what was delivered: what follows could overtake what is missing. A new
// consumer begins with the oldest message; of what was taken or answered, nothing is sent again.
bool partition::begin_anew(const char* why) {
  std::fprintf(stderr, "outbound-relay: partition %zu begins anew: %s\n", number_, why);
  suspicions_ = 0;
  subscription_.reset();
  js_DeleteConsumer(connection_.js(), settings_.stream.c_str(), consumer_of(number_, settings_.relay).c_str(), nullptr,
                    nullptr);
  return patiently(settings_.take_over, [&] { return acquire(); }).good() && subscribe();
}

void partition::refuse(natsMsg* message, std::uint64_t sequence, const std::string& why) {
  outcome what{outbound::loss::refused, {outbound::errc::invalid_message, 0, why, {}}, 0};
  if (bury_surely(message, sequence, what)) natsMsg_Ack(message, nullptr);
}

// False: the partition is lost.
bool partition::take_in(const natsMsgList& list) {
  std::vector<item> items;
  bool good = true;
  for (int n = 0; good && n < list.Count; ++n) {
    const std::shared_ptr<natsMsg> message{std::exchange(list.Msgs[n], nullptr), deleter{}};
    jsMsgMetaData* about = nullptr;
    if (natsMsg_GetMetaData(&about, message.get()) != NATS_OK) continue;
    const std::uint64_t sequence = about->Sequence.Stream;
    const bool gap = about->Sequence.Consumer != expected_;
    jsMsgMetaData_Destroy(about);
    if (gap) {
      sender_.accept(std::exchange(items, {}));
      return begin_anew("a delivery is missing");
    }
    ++expected_;
    {
      const std::lock_guard hold{lock_};
      const auto at = held_.find(sequence);
      if (at != held_.end()) {
        at->second = message;  // delivered once more; the newer one is to be acknowledged
        continue;
      }
      if (answered_.count(sequence) != 0) {  // its acknowledgement was lost
        natsMsg_Ack(message.get(), nullptr);
        continue;
      }
    }
    const std::string why = why_not(message.get());
    if (!why.empty()) {
      refuse(message.get(), sequence, why);
      continue;
    }
    item one{shared_from_this(), sequence, {}};
    one.message.path = header_of(message.get(), path_header);
    one.message.guid = header_of(message.get(), guid_header);
    one.message.user_key = percent_decoded(header_of(message.get(), user_key_header));
    one.message.body.assign(natsMsg_GetData(message.get()),
                            static_cast<std::size_t>(natsMsg_GetDataLength(message.get())));
    {
      const std::lock_guard hold{lock_};
      held_[sequence] = message;
    }
    items.push_back(std::move(one));
  }
  if (!items.empty()) sender_.accept(std::move(items));
  return good;
}

// The server works off acknowledgements beside other requests: it is asked whether it has, before the consumer goes.
void partition::give_back() {
  std::size_t unanswered = 0;
  {
    std::unique_lock hold{lock_};
    idle_.wait(hold, [this] { return in_flight_ == 0; });
    unanswered = held_.size();
  }
  connection_.flush();
  for (int n = 0; n < 50; ++n) {
    answer said;
    const owned<jsConsumerInfo> known = info(said);
    if (!said.good() || known->NumAckPending <= static_cast<std::int64_t>(unanswered)) break;
    nats_Sleep(20);
  }
  js_DeleteConsumer(connection_.js(), settings_.stream.c_str(), consumer_of(number_, settings_.relay).c_str(), nullptr,
                    nullptr);
}

void partition::run() {
  bool mine = subscribe();
  const auto serving = [this] {
    const std::lock_guard hold{lock_};
    return state_ == state::serving;
  };
  const std::int64_t fetch_ms = std::min<std::int64_t>(longest_fetch_ms, settings_.take_over.count() / 3);
  while (mine && serving()) {
    // To pull is also what tells the server that this relay lives, so it is done often; when much is held, for one at a
    // time.
    const bool full = sender_.stats().bytes > settings_.max_bytes;
    natsMsgList list{};
    jsErrCode code{};
    const natsStatus status =
        natsSubscription_Fetch(&list, subscription_.get(), full ? 1 : fetch_most, fetch_ms, &code);
    if (status == NATS_OK) mine = take_in(list);
    natsMsgList_Destroy(&list);
    if (status == NATS_OK && !full) continue;
    if (status != NATS_OK) mine = look_around();
    if (status != NATS_TIMEOUT || full) nats_Sleep(full ? fetch_ms : 100);
  }
  if (!mine) {
    std::fprintf(stderr, "outbound-relay: partition %zu is lost: another relay may have it\n", number_);
    lose();
  } else {
    give_back();
    lose();
  }
  subscription_.reset();
  over_ = true;
}

}  // namespace relay
