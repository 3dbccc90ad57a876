// libcurl_multi as a synchronous transport, for tests/transports.cpp.
#ifndef OUTBOUND_TESTS_LIBCURL_MULTI_ADAPTER_HPP
#define OUTBOUND_TESTS_LIBCURL_MULTI_ADAPTER_HPP
#include "transports/libcurl_multi.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#define TRANSPORT_TAKES_GHOSTS (LIBCURL_VERSION_NUM < 0x080000)

namespace test {
class libcurl_multi_adapter {
 public:
  static constexpr std::size_t max_body = transports::libcurl_multi::max_body;
  explicit libcurl_multi_adapter(std::string ca_file = {})
      : http_{std::make_unique<transports::libcurl_multi>(std::move(ca_file))} {}

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    std::optional<outbound::result<outbound::response>> answer;
    http_->submit(request, [&](outbound::result<outbound::response> a) { answer = std::move(a); });
    while (!answer) http_->run(std::chrono::seconds{1});
    return std::move(*answer);
  }

 private:
  std::unique_ptr<transports::libcurl_multi> http_;
};
}  // namespace test
#endif
