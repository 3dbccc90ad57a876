// beast_connection as a synchronous transport, for tests/transports.cpp.
#ifndef OUTBOUND_TESTS_BEAST_COROUTINE_ADAPTER_HPP
#define OUTBOUND_TESTS_BEAST_COROUTINE_ADAPTER_HPP
#include "transports/beast_coroutine.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace test {
class beast_coroutine_adapter {
 public:
  static constexpr std::size_t max_body = transports::beast_connection::max_body;
  explicit beast_coroutine_adapter(std::string ca_file = {}) : loop_{std::make_unique<loop>(std::move(ca_file))} {}

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    answer_type answer;
    loop_->io.restart();
    boost::asio::co_spawn(loop_->io, run(loop_->http, request, answer), [](std::exception_ptr thrown) {
      if (thrown) std::rethrow_exception(thrown);
    });
    while (!answer) loop_->io.run_one();
    return std::move(*answer);
  }

 private:
  using answer_type = std::optional<outbound::result<outbound::response>>;
  // Boost 1.74 spawns no coroutine whose result has no default.
  static boost::asio::awaitable<void> run(transports::beast_connection& http, outbound::request request,
                                          answer_type& answer) {
    answer = co_await http(std::move(request));
  }

  struct loop {
    explicit loop(std::string ca_file) : http{io.get_executor(), std::move(ca_file)} {}
    boost::asio::io_context io{1};
    transports::beast_connection http;
  };
  std::unique_ptr<loop> loop_;
};
}  // namespace test
#endif
