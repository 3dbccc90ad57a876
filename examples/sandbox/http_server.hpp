#ifndef SANDBOX_HTTP_SERVER_HPP
#define SANDBOX_HTTP_SERVER_HPP

#include "service.hpp"

#include <cstdint>
#include <memory>

namespace sandbox {

/// Speaks HTTP/1.1 on 127.0.0.1 and gives each request to the service.
class http_server {
 public:
  /// Listens from here on; port 0 picks a free one. Throws when the port cannot be had.
  http_server(service& app, std::uint16_t port);
  ~http_server();

  std::uint16_t port() const;
  /// Serves until SIGINT or SIGTERM. Requests that have begun are answered first; a second signal kills.
  void run();

 private:
  class listener;
  std::unique_ptr<listener> listener_;
};

}  // namespace sandbox

#endif
