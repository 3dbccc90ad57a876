#ifndef SANDBOX_SERVICE_HPP
#define SANDBOX_SERVICE_HPP

#include "archive.hpp"
#include "faults.hpp"
#include "feed.hpp"
#include "refusal.hpp"
#include "state.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sandbox {

/// Unless another is asked for. It is no secret; any other may be one.
inline constexpr const char* usual_key = "sandbox-key";

/// A request without the HTTP library it came through.
struct request {
  std::string method;
  std::string path;
  std::string body;
  std::optional<std::string> key;  ///< X-Outbound-Key
  std::optional<std::string> content_type;
  std::optional<std::string> content_encoding;
  std::optional<std::string> guid;    ///< X-Outbound-GUID
  std::optional<std::string> client;  ///< X-Outbound-Client
  std::optional<std::string> last_event_id;
  std::optional<std::string> repeated;  ///< one of the X-Outbound fields, or Content-Type, that is there twice
};

/// How much of an answer goes out. The connection closes after all but a complete one.
enum class sending {
  complete,
  cut_short,  ///< announces a longer body than it has
  raw,        ///< the body alone, no HTTP around it
  nothing,
  stream,  ///< what the feed says, for as long as both sides stay
};

struct answer {
  int status = 0;
  std::string body{};
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers{};  ///< besides those of every answer
  sending how = sending::complete;
  std::chrono::milliseconds delay{0};  ///< before it is sent
  std::shared_ptr<feed> news{};        ///< of a stream
};

/// What every request gets. Every member may be called from any thread.
class service {
 public:
  service(std::string key, bool deduplicate, archive kept, std::vector<campaign> campaigns)
      : key_(std::move(key)), deduplicate_(deduplicate), state_(deduplicate, std::move(kept), std::move(campaigns)) {}

  answer handle(request in);
  /// For what is found wrong before there is a whole request.
  answer refuse(request in, const refusal& why);

 private:
  struct own_route;
  static const own_route* find_own(const std::string& method, const std::string& path);
  static std::string allowed_methods(const std::string& path);

  answer api(request in);
  answer processed(request in);
  /// Whatever is not a call: the sandbox's own endpoints, else 404 or 405.
  answer run_own(const request& in);

  answer show_stream(const request& in);
  answer show_users(const request&);
  answer show_events(const request&);
  answer show_requests(const request&);
  answer show_rejected(const request&);
  answer show_repeated(const request&);
  answer show_faulted(const request&);
  answer show_deliveries(const request&);
  answer show_totals(const request&);
  answer reset(const request&);
  answer show_faults(const request&);
  answer add_faults(const request& in);
  answer forget_faults(const request&);
  answer show_settings(const request&);
  answer change_settings(const request& in);
  answer show_campaigns(const request&);
  answer show_clock(const request&);
  answer change_clock(const request& in);

  std::string key_;
  bool deduplicate_;  // as at the start
  state state_;
  fault_plan faults_;
  std::atomic<int> listeners_{0};
};

}  // namespace sandbox

#endif
