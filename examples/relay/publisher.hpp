// A transport for outbound.hpp that hands each message to NATS JetStream, where outbound-relay takes it up: copy this
// file, link with -lnats (cnats 3.4 or newer; Debian: libnats-dev).
//
//     relay::publisher to_nats{relay::servers("nats://10.0.0.1:4222,nats://10.0.0.2:4222")};
//     outbound::outbox_options options;
//     options.workers = 4;                                                       // publishes at a time
//     options.make_transport = [=] { return outbound::transport{to_nats}; };      // copies share one connection
//     outbound::outbox outbox{outbound::client{"relay", outbound::no_transport}, options};
//     auto posted = outbox.post(outbound::user{"ada@example.com"}.track("signup"));
//
// A call returns when the server has acknowledged the message: it is stored then, on a majority of the stream's
// replicas. The answer is a 202, with the stream's words as its body. The API's key is not published: the relay has it,
// and the client here may be given any. Credentials, TLS and all else that the NATS client can do stand in its
// natsOptions.
//
//   answer                              when
//   202                                 stored, or dropped by the stream as a repeat of what it has
//   not_sent                            no connection yet, or no more; no stream, no leader, the stream is full: surely
//                                       not stored
//   no_response                         sent, but not acknowledged in time; a repeat has the same GUID, which is its
//                                       Nats-Msg-Id: within its duplicate window the stream drops the one too many
//   413                                 too large for the server, or a batch. A batch would tie users of several
//                                       partitions together. An outbox that batches sends its members one by one then
//                                       (`batch_size` gains nothing here: leave it at 1); a batch of yours is refused
//
// A message goes to the subject STREAM.messages.N, where N = FNV-1a, 64 bits, of the user key, modulo the number of
// such subjects that the stream has; so a user's messages stay in one line. A message about two users (an alias) goes
// where the first of its keys leads, that of the user it is about: before and after the alias, the other user's
// messages may be in another partition, and nothing orders them then. One copy serves any number of threads.
//
// A call takes no longer than `request.timeout`, the first ones included, which wait for the connection. That is made
// on a thread of its own, one attempt at a time, which may outlive the call and even the publisher by what the
// natsOptions allow (`relay::servers`: 2 s for each server, and the time in which the system looks up a name). Only a
// server that stops reading holds calls for longer: until their write deadline (`relay::servers`: 5 s; the NATS
// client's default: none).
#ifndef OUTBOUND_RELAY_PUBLISHER_HPP
#define OUTBOUND_RELAY_PUBLISHER_HPP

#include "outbound.hpp"

#include <nats/nats.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace relay {

// --- what stands on the wire: the body is the message's, the rest are headers

inline constexpr const char* default_stream = "OUTBOUND";
inline constexpr const char* path_header = "Outbound-Path";          // "/v2/track"
inline constexpr const char* guid_header = "Outbound-GUID";          // also the Nats-Msg-Id when it is first published
inline constexpr const char* user_key_header = "Outbound-User-Key";  // message::user_key, percent-encoded

inline std::string subject_of(const std::string& stream, std::uint64_t partition) {
  return stream + ".messages." + std::to_string(partition);
}

/// FNV-1a (64 bits) of the first user's key. It must never change: it says where a user's messages are.
inline std::uint64_t partition_of(std::string_view user_key, std::size_t partitions) {
  std::uint64_t h = 0xCBF29CE484222325;
  for (const char c : user_key.substr(0, user_key.find('\xFF')))
    h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return h % partitions;
}

/// So that any bytes can stand in a header (RFC 3986, 2.1).
inline std::string percent_encoded(std::string_view s) {
  constexpr const char* hex = "0123456789ABCDEF";
  std::string out;
  for (const char c : s) {
    const unsigned byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7F && c != '%') out += c;
    else out += {'%', hex[byte >> 4], hex[byte & 15]};
  }
  return out;
}

// --- the NATS client's handles, owned

struct deleter {
  void operator()(natsOptions* o) const { natsOptions_Destroy(o); }
  void operator()(natsConnection* c) const { natsConnection_Destroy(c); }
  void operator()(jsCtx* js) const { jsCtx_Destroy(js); }
  void operator()(natsMsg* m) const { natsMsg_Destroy(m); }
  void operator()(jsPubAck* a) const { jsPubAck_Destroy(a); }
  void operator()(jsStreamInfo* i) const { jsStreamInfo_Destroy(i); }
  void operator()(jsConsumerInfo* i) const { jsConsumerInfo_Destroy(i); }
};
template <class T>
using owned = std::unique_ptr<T, deleter>;

/// For one server or several, "nats://user:password@host:4222,tls://other:4222". They are tried again without end. What
/// is to be otherwise can be set in what is returned, which is null if memory ran out.
inline std::shared_ptr<natsOptions> servers(const std::string& urls) {
  natsOptions* made = nullptr;
  if (natsOptions_Create(&made) != NATS_OK) return nullptr;
  std::shared_ptr<natsOptions> options{made, deleter{}};
  std::vector<std::string> each;
  for (std::size_t at = 0; at <= urls.size();) {
    const std::size_t end = (std::min)(urls.find(',', at), urls.size());
    each.push_back(urls.substr(at, end - at));
    at = end + 1;
  }
  std::vector<const char*> list;
  for (const std::string& url : each) list.push_back(url.c_str());
  // A server that stops reading would hold who writes to it until pings go unanswered, for minutes: the deadline ends
  // the connection. A message that takes longer could not be acknowledged in `publisher::longest_wait` anyway.
  const bool set = natsOptions_SetServers(made, list.data(), static_cast<int>(list.size())) == NATS_OK &&
                   natsOptions_SetMaxReconnect(made, -1) == NATS_OK &&
                   natsOptions_SetReconnectWait(made, 250) == NATS_OK &&
                   natsOptions_SetTimeout(made, 2000) == NATS_OK && natsOptions_SetWriteDeadline(made, 5000) == NATS_OK;
  return set ? options : nullptr;
}

class publisher {
 public:
  // Less if the request says so:
  static constexpr std::chrono::milliseconds longest_wait{5'000};      // for an acknowledgement
  static constexpr std::chrono::milliseconds longest_call{3'600'000};  // for all of it; more, and a clock may overflow

  /// Connects when it is first called.
  explicit publisher(std::shared_ptr<natsOptions> options, std::string stream = default_stream)
      : state_{std::make_shared<state>()} {
    state_->options = std::move(options);
    state_->stream = std::move(stream);
  }

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    const std::size_t path = request.url.rfind("/v2/");
    if (path == request.url.npos) return outbound::error{outbound::errc::not_sent, 0, "no path of the API in the URL"};
    const std::string_view name = std::string_view{request.url}.substr(path);
    if (name.size() > 6 && name.substr(name.size() - 6) == "/batch") return refusal("batches are published one by one");
    const clock::time_point deadline = clock::now() + (std::min)(request.timeout, longest_call);
    const link to = connect(deadline);
    if (to.partitions == 0) return outbound::error{outbound::errc::not_sent, 0, to.why};
    const std::string guid = request.guid.empty() ? random_guid() : request.guid;
    const std::string subject = subject_of(state_->stream, partition_of(request.user_key, to.partitions));
    natsMsg* made = nullptr;
    natsStatus status =
        natsMsg_Create(&made, subject.c_str(), nullptr, request.body.data(), static_cast<int>(request.body.size()));
    const owned<natsMsg> message{made};
    const auto set = [&](const char* header, const std::string& value) {
      if (status == NATS_OK) status = natsMsgHeader_Set(made, header, value.c_str());
    };
    set(path_header, std::string{name});
    set(guid_header, guid);
    set(user_key_header, percent_encoded(request.user_key));
    if (status != NATS_OK) return outbound::error{outbound::errc::not_sent, 0, natsStatus_GetText(status)};

    jsPubOptions how;
    jsPubOptions_Init(&how);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now());
    how.MaxWait = std::clamp<std::int64_t>(left.count(), 1, longest_wait.count());
    how.MsgId = guid.c_str();
    how.ExpectStream = state_->stream.c_str();
    jsPubAck* acknowledged = nullptr;
    jsErrCode code{};
    status = js_PublishMsg(&acknowledged, to.by->js.get(), made, &how, &code);
    const owned<jsPubAck> ack{acknowledged};
    if (status == NATS_OK) return accepted(*ack);
    return failure(status, code);
  }

 private:
  using clock = std::chrono::steady_clock;
  struct session {
    owned<natsConnection> connection{};
    owned<jsCtx> js{};
  };
  struct link {
    std::shared_ptr<session> by{};  // whoever publishes with it keeps it
    std::size_t partitions{};
    std::string why{};
  };
  struct state {
    std::shared_ptr<natsOptions> options{};
    std::string stream{};
    std::mutex lock{};  // never held while the network is waited for
    std::shared_ptr<session> current{};
    std::size_t partitions{};            // 0: not known
    std::shared_future<link> attempt{};  // invalid: none goes on

    // Connects, unless that is done: the client repairs a connection. Then asks what the stream says of itself. By
    // attempts only, of which there is one at a time.
    link find_out() {
      std::shared_ptr<session> by = session_now();
      if (!by) {
        natsConnection* made = nullptr;
        const natsStatus status = options ? natsConnection_Connect(&made, options.get()) : NATS_NO_MEMORY;
        if (status != NATS_OK)
          return {nullptr, 0, std::string{"cannot connect to NATS: "} + natsStatus_GetText(status)};
        by = std::make_shared<session>();
        by->connection.reset(made);
        jsCtx* context = nullptr;
        if (natsConnection_JetStream(&context, made, nullptr) != NATS_OK) return {nullptr, 0, "no memory"};
        by->js.reset(context);
        const std::lock_guard hold{lock};
        current = by;
      }
      jsStreamInfo* found = nullptr;
      jsErrCode code{};
      const natsStatus status = js_GetStreamInfo(&found, by->js.get(), stream.c_str(), nullptr, &code);
      const owned<jsStreamInfo> info{found};
      if (code == JSStreamNotFoundErr)
        return {nullptr, 0, "there is no stream " + stream + ": outbound-relay --create makes it"};
      if (status != NATS_OK)
        return {nullptr, 0, "the stream " + stream + " does not answer: " + natsStatus_GetText(status)};
      const std::lock_guard hold{lock};
      partitions = static_cast<std::size_t>(info->Config->SubjectsLen);
      return {by, partitions, {}};
    }
    std::shared_ptr<session> session_now() {
      const std::lock_guard hold{lock};
      return current;
    }
    void forget_partitions() {
      const std::lock_guard hold{lock};
      partitions = 0;
    }
  };

  // What is known, or what the attempt finds out that goes on: whoever needs it waits for the same one.
  link connect(clock::time_point deadline) {
    std::shared_future<link> attempt;
    std::shared_ptr<session> gone;  // ends without the lock
    {
      const std::lock_guard hold{state_->lock};
      const natsConnStatus is =
          state_->current ? natsConnection_Status(state_->current->connection.get()) : NATS_CONN_STATUS_CONNECTED;
      if (is == NATS_CONN_STATUS_CLOSED) {  // for good: the client tries no more
        gone.swap(state_->current);
        state_->partitions = 0;
      } else if (is != NATS_CONN_STATUS_CONNECTED) {
        // It would be kept in memory and sent later, which looks like a lost answer and is none.
        return {nullptr, 0, "the connection to NATS is down"};
      }
      if (state_->partitions != 0) return {state_->current, state_->partitions, {}};
      if (!state_->attempt.valid()) state_->attempt = begin_attempt(state_);
      attempt = state_->attempt;
    }
    if (attempt.wait_until(deadline) != std::future_status::ready) return {nullptr, 0, "still connecting to NATS"};
    return attempt.get();
  }

  struct attempt_end {  // even where memory runs out
    state& of;
    ~attempt_end() {
      const std::lock_guard hold{of.lock};
      of.attempt = {};
    }
  };
  // On a thread, as nothing ends natsConnection_Connect early; and nobody joins it, who would have to wait as long.
  static std::shared_future<link> begin_attempt(const std::shared_ptr<state>& of) {
    std::packaged_task<link()> task{[of] {
      const attempt_end at_end{*of};
      return of->find_out();
    }};
    std::shared_future<link> attempt = task.get_future().share();
    std::thread{std::move(task)}.detach();
    return attempt;
  }

  static outbound::response refusal(const std::string& why) {
    return {413, "{\"error\":{\"Message\":\"" + why + "\",\"Code\":413}}", {}};
  }
  static outbound::response accepted(const jsPubAck& ack) {
    return {202,
            "{\"stream\":\"" + std::string{ack.Stream} + "\",\"seq\":" + std::to_string(ack.Sequence) +
                (ack.Duplicate ? ",\"duplicate\":true}" : "}"),
            {}};
  }

  outbound::result<outbound::response> failure(natsStatus status, jsErrCode code) {
    if (status == NATS_MAX_PAYLOAD || code == JSStreamMessageExceedsMaximumErr)
      return refusal("larger than max_payload of the server, or max_msg_size of the stream");
    if (status == NATS_NO_RESPONDERS) state_->forget_partitions();  // perhaps it has others now
    // A server that says why has not stored it, and one that is not there neither.
    const bool not_stored = code != 0 || status == NATS_NO_RESPONDERS;
    std::string text = not_stored ? "JetStream did not take it: " : "JetStream did not acknowledge it: ";
    text += natsStatus_GetText(status);
    if (code != 0) text += " (" + std::to_string(static_cast<int>(code)) + ")";
    return outbound::error{not_stored ? outbound::errc::not_sent : outbound::errc::no_response, 0, std::move(text)};
  }

  // RFC 9562, version 4, for a `client.send`, which has none. Without one the relay could not tell a repeat.
  static std::string random_guid() {
    std::random_device random;
    std::string out;
    for (int n = 0; n < 8; ++n) {
      unsigned word = random() & 0xFFFF;
      if (n == 3) word = (word & 0x0FFF) | 0x4000;
      if (n == 4) word = (word & 0x3FFF) | 0x8000;
      char digits[6];
      std::snprintf(digits, sizeof digits, n >= 2 && n <= 5 ? "-%04x" : "%04x", word);
      out += digits;
    }
    return out;
  }

  std::shared_ptr<state> state_;
};

}  // namespace relay
#endif
