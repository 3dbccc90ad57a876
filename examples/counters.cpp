// Counters of an outbox, named as OpenTelemetry names metrics, without its SDK: plain atomics that whatever exports
// metrics in your program may read. With the SDK, each `add` is `counter->Add(1, {{"error.type", ...}})`. Sends
// nothing.
//
//   messaging.client.sent.messages       counter    {message}  what was answered well, and what was lost: error.type
//   outbound.client.retries              counter    {request}  error.type
//   outbound.client.held                 up-down    1 while the queue waits for the set-up or the API
//   outbound.client.queue.messages       up-down    {message}  from `stats`, at the moment of the export
//
// Semantic conventions: error.type is the low-cardinality name of what went wrong, absent where nothing did.
#include "outbound.hpp"
#include "transports/recording.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace {

/// A counter with one attribute, error.type, whose values are those of an enum: an atomic for each.
template <class Enum, std::size_t n>
class counter {
 public:
  void add(Enum type) noexcept { values_[static_cast<std::size_t>(type)].fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t operator[](Enum type) const noexcept {
    return values_[static_cast<std::size_t>(type)].load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> values_[n]{};
};

// The values of error.type, by the number of the enumerator; empty: nothing went wrong.
constexpr const char* loss_names[] = {"",          "refused", "unexpected", "ambiguous",
                                      "exhausted", "expired", "overflow",   "closed"};
constexpr const char* code_names[] = {"",
                                      "invalid_message",
                                      "invalid_options",
                                      "not_sent",
                                      "no_response",
                                      "malformed_json",
                                      "invalid_field",
                                      "unauthorized",
                                      "misdirected",
                                      "throttled",
                                      "unavailable",
                                      "unexpected_status",
                                      "queue_full",
                                      "closed",
                                      "store_failed",
                                      "out_of_memory"};
constexpr std::size_t losses = sizeof loss_names / sizeof loss_names[0];
constexpr std::size_t codes = sizeof code_names / sizeof code_names[0];
static_assert(losses == static_cast<std::size_t>(outbound::loss::closed) + 1, "a name for each loss");
static_assert(codes == static_cast<std::size_t>(outbound::errc::out_of_memory) + 1, "a name for each code");

std::string labelled(const char* name, const char* error_type) {
  return *error_type == '\0' ? name : std::string{name} + "{error_type=\"" + error_type + "\"}";
}

struct metrics {
  counter<outbound::loss, losses> sent{};
  counter<outbound::errc, codes> retries{};
  std::atomic<std::int64_t> held{};

  /// For `on_event`: called on the outbox's threads, perhaps several at once.
  void count(const outbound::event& e) noexcept {
    using kind = outbound::event::kind;
    switch (e.what) {
      case kind::delivered:
      case kind::failed:
      case kind::dropped: return sent.add(e.why);
      case kind::retrying: return retries.add(e.cause.code);
      case kind::held: held.fetch_add(1, std::memory_order_relaxed); return;
      case kind::resumed: held.fetch_sub(1, std::memory_order_relaxed); return;
      case kind::store_failed:
      case kind::worker_failed: return;  // for the log
    }
  }

  /// In the text format of Prometheus, which OpenTelemetry's collectors read.
  std::string text(const outbound::delivery_stats& now) const {
    std::string out;
    const auto add = [&out](const std::string& name, auto n) { out += name + ' ' + std::to_string(n) + '\n'; };
    for (std::size_t i = 0; i < losses; ++i)
      add(labelled("messaging_client_sent_messages_total", loss_names[i]), sent[static_cast<outbound::loss>(i)]);
    for (std::size_t i = 1; i < codes; ++i)  // nothing is tried again for no reason
      add(labelled("outbound_client_retries_total", code_names[i]), retries[static_cast<outbound::errc>(i)]);
    add("outbound_client_held", held.load(std::memory_order_relaxed));
    add("outbound_client_queue_messages", now.queued + now.in_flight);
    return out;
  }
};

int failures = 0;
void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  ++failures;
}

}  // namespace

int main() {
  metrics counts;
  transports::recording http;  // one is refused, one has to wait, the key is wrong for a while
  http.answer(outbound::response{400}).answer(outbound::response{503}).answer(outbound::response{401});
  outbound::outbox_options options;
  options.retry.first_delay = std::chrono::milliseconds{1};
  options.on_event = [&counts](const outbound::event& e) { counts.count(e); };
  outbound::outbox outbox{outbound::client{"any-key", http}, options};
  for (int n = 0; n < 10; ++n) check(static_cast<bool>(outbox.post(outbound::user{n}.identify())), "post");
  check(static_cast<bool>(outbox.close(std::chrono::seconds{20})), "all is answered");  // and all is counted

  const std::string text = '\n' + counts.text(outbox.stats());
  std::printf("%s", text.c_str() + 1);
  check(counts.sent[outbound::loss::none] == 9, "nine were delivered");
  check(counts.sent[outbound::loss::refused] == 1, "one was refused");
  check(counts.retries[outbound::errc::unavailable] == 1, "one was tried again");
  for (const char* line :
       {"messaging_client_sent_messages_total 9", "messaging_client_sent_messages_total{error_type=\"refused\"} 1",
        "outbound_client_retries_total{error_type=\"unavailable\"} 1",
        "outbound_client_retries_total{error_type=\"throttled\"} 0", "outbound_client_held 0",
        "outbound_client_queue_messages 0"})
    check(text.find('\n' + std::string{line} + '\n') != text.npos, line);
  check(counts.held == 0, "and nothing is held now");
  check(outbox.stats().delivered == counts.sent[outbound::loss::none], "the counters agree with `stats`");
  return failures == 0 ? 0 : 1;
}
