#include "crew.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

namespace relay {
namespace {

constexpr std::chrono::milliseconds telling{1'000};
constexpr std::chrono::milliseconds looking{3'000};
constexpr std::chrono::milliseconds silence{3'000};  // after which a relay does not count

std::string subject_of_relays(const std::string& stream, const std::string& relay) {
  return stream + ".relays." + relay;
}

}  // namespace

listener::listener(const connection& to, const std::string& stream) {
  const natsStatus status =
      natsConnection_Subscribe(&subscription_, to.get(), subject_of_relays(stream, "*").c_str(), on_message, this);
  if (status != NATS_OK) throw failed{std::string{"cannot subscribe: "} + natsStatus_GetText(status)};
}

// From then on nothing is called: the client is asked to say when.
listener::~listener() {
  natsSubscription_SetOnCompleteCB(
      subscription_, [](void* ended) { static_cast<std::atomic<bool>*>(ended)->store(true); }, &ended_);
  if (natsSubscription_Unsubscribe(subscription_) == NATS_OK)
    while (!ended_) nats_Sleep(1);
  natsSubscription_Destroy(subscription_);
}

void listener::on_message(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
  const owned<natsMsg> held{message};
  const char* const data = natsMsg_GetData(message);
  const auto said = nlohmann::json::parse(data, data + natsMsg_GetDataLength(message), nullptr, false);
  if (!said.is_object()) return;
  report r;
  try {
    r = {said.at("relay"), said.at("partitions"), said.at("rate"), said.at("held"), said.at("trouble")};
  } catch (const nlohmann::json::exception&) {
    return;  // of another version
  }
  listener& l = *static_cast<listener*>(self);
  const std::lock_guard hold{l.lock_};
  l.heard_[r.relay] = {r, std::chrono::steady_clock::now()};
}

std::vector<report> listener::recent(std::chrono::milliseconds since) const {
  const auto begin = std::chrono::steady_clock::now() - since;
  std::vector<report> out;
  const std::lock_guard hold{lock_};
  for (const auto& one : heard_)
    if (one.second.when >= begin) out.push_back(one.second.what);
  return out;
}

crew::crew(const connection& to, sender& through, partition_settings s, std::size_t partitions)
    : connection_{to},
      sender_{through},
      settings_{std::move(s)},
      partitions_{partitions},
      listener_{to, settings_.stream} {}

void crew::tick() {
  remove_the_lost();
  const auto now = clock::now();
  if (now - kept_alive_ >= partition::ack_wait / 3) {
    kept_alive_ = now;
    for (const auto& one : mine_) one.second->keep_alive();
  }
  if (now - looked_ >= looking) {
    looked_ = now;
    look_for_leftovers();
  }
  if (now - told_ < telling) return;
  tell();
  balance();
}

void crew::tell() {
  const sender_stats stats = sender_.stats();
  const std::uint64_t answered = stats.delivered + stats.failed;
  const auto now = clock::now();
  const double seconds = std::chrono::duration<double>(now - std::exchange(told_, now)).count();
  const nlohmann::json said{{"relay", settings_.relay},
                            {"partitions", mine_.size()},
                            {"rate", static_cast<double>(answered - std::exchange(answered_, answered)) / seconds},
                            {"held", stats.held},
                            {"trouble", stats.trouble}};
  const std::string text = said.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  natsConnection_PublishString(connection_.get(), subject_of_relays(settings_.stream, settings_.relay).c_str(),
                               text.c_str());
}

void crew::balance() {
  std::size_t relays = 1;
  for (const report& r : listener_.recent(silence)) relays += r.relay != settings_.relay;
  const std::size_t share = (partitions_ + relays - 1) / relays;
  std::size_t surplus = mine_.size() > share ? mine_.size() - share : 0;
  for (auto at = mine_.rbegin(); surplus != 0 && at != mine_.rend(); ++at, --surplus) at->second->release();
  if (mine_.size() >= share) return;

  answer said;
  const std::vector<std::string> consumers = connection_.consumers(settings_.stream, said);
  complain(said);
  if (!said.good()) return;
  std::set<std::string> taken;  // "p7" of "p7-host-1234-ab12"
  for (const std::string& one : consumers) taken.insert(one.substr(0, one.find('-')));
  // Where to begin differs between relays, so that those who start together do not all ask for the same.
  const std::uint64_t first = partition_of(settings_.relay, partitions_);
  for (std::size_t n = 0; n < partitions_ && mine_.size() < share; ++n) {
    const std::size_t number = (first + n) % partitions_;
    if (taken.count('p' + std::to_string(number)) != 0 || mine_.count(number) != 0) continue;
    auto one = std::make_shared<partition>(connection_, sender_, settings_, number);
    said = one->acquire();
    if (said.code != JSConsumerWQConsumerNotUniqueErr) complain(said);  // else another relay was faster
    if (said.passes()) return;  // an election: every other one would wait as long
    if (!said.good()) continue;
    one->start();
    mine_.emplace(number, std::move(one));
  }
}

// Tells each partition whether the stream has messages of it.
void crew::look_for_leftovers() {
  answer said;
  const owned<jsStreamInfo> info =
      connection_.stream(settings_.stream, said, (settings_.stream + ".messages.*").c_str());
  if (!said.good()) return;
  std::set<std::string> waiting;
  const jsStreamStateSubjects* const subjects = info->State.Subjects;
  for (int n = 0; subjects != nullptr && n < subjects->Count; ++n) waiting.insert(subjects->List[n].Subject);
  for (const auto& one : mine_) one.second->note_waiting(waiting.count(subject_of(settings_.stream, one.first)) != 0);
}

void crew::remove_the_lost() {
  for (auto at = mine_.begin(); at != mine_.end();) {
    if (!at->second->over()) {
      ++at;
      continue;
    }
    at->second->join();
    at = mine_.erase(at);
  }
}

// Once, until it is another one.
void crew::complain(const answer& about) {
  const std::string text = about.good() ? "" : about.text();
  if (text != complaint_ && !text.empty())
    std::fprintf(stderr, "outbound-relay: no partition is to be had: %s\n", text.c_str());
  complaint_ = text;
}

void crew::leave() {
  for (const auto& one : mine_) one.second->release();
  while (!mine_.empty()) {
    remove_the_lost();
    nats_Sleep(20);
  }
}

}  // namespace relay
