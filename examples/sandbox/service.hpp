#ifndef SANDBOX_SERVICE_HPP
#define SANDBOX_SERVICE_HPP

#include "faults.hpp"
#include "refusal.hpp"
#include "state.hpp"

#include <optional>
#include <string>
#include <utility>

namespace sandbox {

/// A request without the HTTP library it came through.
struct request {
  std::string method;
  std::string path;
  std::string body;
  std::optional<std::string> key;  ///< X-Outbound-Key
  std::optional<std::string> content_type;
  std::optional<std::string> guid;    ///< X-Outbound-GUID
  std::optional<std::string> client;  ///< X-Outbound-Client
};

struct answer {
  int status = 0;
  std::string body;   ///< JSON
  std::string allow;  ///< for a 405: the value of `Allow`
  bool drop = false;  ///< send nothing, close the connection
};

/// What every request gets. Every member may be called from any thread.
class service {
 public:
  explicit service(std::string key) : key_(std::move(key)) {}

  answer handle(const request& in);
  /// For what is found wrong before there is a whole request.
  answer refuse(const request& in, const refusal& why);

 private:
  struct own_route;
  static const own_route* find_own(const std::string& method, const std::string& path);
  static std::string allowed_methods(const std::string& path);

  answer api(const request& in);
  void process(const request& in);
  /// Whatever is not a call: the sandbox's own endpoints, else 404 or 405.
  json run_own(const request& in);

  json show_users(const request&) { return state_.users(); }
  json show_events(const request&) { return state_.events(); }
  json show_requests(const request&) { return state_.requests(); }
  json show_rejected(const request&) { return state_.rejected(); }
  json show_totals(const request&) { return state_.totals(); }
  json show_faults(const request&) { return faults_.shown(); }
  json set_faults(const request& in);
  json reset(const request&);

  std::string key_;
  state state_;
  fault_plan faults_;
};

}  // namespace sandbox

#endif
