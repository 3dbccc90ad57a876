#ifndef SANDBOX_STATE_HPP
#define SANDBOX_STATE_HPP

#include "bounded_log.hpp"
#include "calls.hpp"
#include "deliveries.hpp"
#include "fault_rule.hpp"
#include "json_text.hpp"
#include "refusal.hpp"
#include "user.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace sandbox {

/// A request as it came in.
struct arrival {
  std::string path;
  std::string body;
  std::optional<std::string> guid;    ///< X-Outbound-GUID
  std::optional<std::string> client;  ///< X-Outbound-Client
  std::int64_t received = 0;          ///< Unix seconds
};

/// What the sandbox has understood, and what it was sent. Every member may be called from any thread.
class state {
 public:
  explicit state(bool deduplicate) : deduplicate_(deduplicate) {}

  /// Processes the checked bodies of one call, all or none to whoever looks meanwhile.
  void accept(const call& to, std::vector<json> bodies, arrival from);
  void reject(arrival from, const refusal& why);
  /// What became of the call is the answer's business; processed or not, this is only to be seen.
  void meet(const fault& planned, arrival from);
  /// Whether what accept gets again, by its GUID, is processed once only.
  void deduplicate(bool on);
  bool deduplicates() const;
  /// All but `deduplicate`.
  void reset();

  json users() const;     ///< in the order of the text of their ids
  json events() const;    ///< in the order received, the newest `max_events`
  json requests() const;  ///< the accepted ones, the newest `max_requests`
  json rejected() const;  ///< the newest `max_requests`
  json faulted() const;   ///< the newest `max_requests`
  /// As NDJSON, for there are many: the accepted ones, the newest `max_deliveries`.
  std::string deliveries() const;
  json totals() const;  ///< how many there were, those no longer kept included

 private:
  static constexpr std::size_t max_events = 100'000;
  static constexpr std::size_t max_requests = 10'000;
  static constexpr std::size_t max_deliveries = 250'000;

  struct event {
    json body;
    std::optional<std::string> guid;
    std::int64_t received;
  };
  struct request {
    arrival from;
    int status;
    std::string reason;  // empty when accepted
  };
  struct faulted_call {
    arrival from;
    std::string fault;
    bool processed;
  };
  /// In one piece, so that a reset cannot forget a part.
  struct contents {
    std::map<std::string, user> users;  // by the text of the id
    bounded_log<event> events{max_events, 256 * mebibyte};
    bounded_log<request> requests{max_requests, 64 * mebibyte};
    bounded_log<request> rejected{max_requests, 64 * mebibyte};
    bounded_log<faulted_call> faulted{max_requests, 64 * mebibyte};
    bounded_log<delivery> deliveries{max_deliveries, 128 * mebibyte};
    guid_book guids;
    std::uint64_t duplicates = 0;
    std::uint64_t conflicts = 0;
    std::map<std::string, std::uint64_t> faults;  // how often each was met, by name
  };

  // The caller of these holds the lock.
  void judge(delivery& one);
  void apply(const call& to, json body, const arrival& from, std::size_t bytes);
  void identify(const json& body);
  user& user_of(const json& body);
  static json shown(const event& one);
  static json shown(const request& one);
  static json shown(const faulted_call& one);
  template <typename Row>
  static json shown(const bounded_log<Row>& log);

  mutable std::mutex lock_;
  contents all_;
  bool deduplicate_;
};

}  // namespace sandbox

#endif
