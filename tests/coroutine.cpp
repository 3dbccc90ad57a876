// beast_connection where it is more than a transport: many on one thread, driving a delivery_queue.
#include "support/catch.hpp"
#include "support/sandbox.hpp"

#include "transports/beast_coroutine.hpp"

#include <chrono>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using json = nlohmann::json;
using test::sandbox;
namespace asio = boost::asio;

// Where the machine sends its HTTP through a proxy, 127.0.0.1 is not to go there.
[[maybe_unused]] static const bool no_proxy = setenv("no_proxy", "*", 1) == 0;

namespace {

outbound::instant now() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

/// Takes what is due until all is answered; sleeps until the queue says, or a while.
asio::awaitable<void> deliver(outbound::delivery_queue& queue, const outbound::client& client) {
  const auto executor = co_await asio::this_coro::executor;
  transports::beast_connection http{executor};
  asio::steady_timer timer{executor};
  while (queue.stats().queued != 0) {
    outbound::delivery due = queue.next(now());
    if (due) {
      auto request = client.prepare(due);
      outbound::result<outbound::response> answer = outbound::response{};
      if (request) answer = co_await http(std::move(*request));
      else answer = request.error();
      queue.report(std::move(due), answer, now());
    } else {
      timer.expires_at((std::min)(queue.due(), std::chrono::steady_clock::now() + 10ms));
      co_await timer.async_wait(asio::use_awaitable);
    }
  }
}

}  // namespace

TEST_CASE("coroutines drive a delivery_queue: all arrives, each user's in order, also when calls fail",
          "[coroutine][F46]") {
  const auto box = sandbox::start();
  if (!box) return;
  outbound::options options;
  options.base_url = box->url();
  const outbound::client client{sandbox::key, outbound::no_transport, options};
  for (const json& fault : {json::array(), json{{"fault", "drop_after"}, {"calls", 2}}}) {
    INFO(fault.dump());
    box->reset();
    box->post("/sandbox/faults", fault);
    outbound::delivery_queue queue;
    for (int n = 0; n < 100; ++n)
      REQUIRE(queue.post(outbound::user{"user " + std::to_string(n % 10)}.track("step").property("n", n / 10), now()));
    asio::io_context io{1};
    for (int i = 0; i < 4; ++i) asio::co_spawn(io, deliver(queue, client), asio::detached);
    io.run();
    CHECK(queue.stats().delivered == 100);
    std::map<std::string, int> next;
    std::set<std::string> guids;
    for (const json& e : box->get("/sandbox/events")) {
      if (!guids.insert(e.at("guid")).second) continue;
      CHECK(e.at("properties").at("n") == next[e.at("user_id")]++);
    }
    CHECK(next.size() == 10);
    for (const auto& [user, count] : next) CHECK(count == 10);
  }
}
