// The test double of examples/transports, by itself and in an outbox.
#include "support/catch.hpp"

#include "transports/recording.hpp"

#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using outbound::errc;
using outbound::user;

TEST_CASE("recording: what its head comment shows", "[recording]") {
  transports::recording http;
  http.answer(outbound::response{503});
  outbound::client client{"any-key", http};
  const auto refused = client.send(user{"u"}.track("signup"));
  CHECK(refused.error().code == errc::unavailable);
  CHECK(client.send(user{"u"}.track("signup")));
  const auto requests = http.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[1].method == "POST");
  CHECK(requests[1].url == "https://api.outbound.io/v2/track");
  CHECK(requests[1].body == R"({"user_id":"u","event":"signup"})");
  REQUIRE(outbound::find_header(requests[1].headers, "X-Outbound-Key") != nullptr);
  CHECK(*outbound::find_header(requests[1].headers, "X-Outbound-Key") == "any-key");
}

TEST_CASE("recording: the script is played in order, then the rest", "[recording]") {
  transports::recording http;
  http.answer(outbound::error{errc::not_sent, 0, "cable cut"}, 2)
      .answer(outbound::response{429, "slow down", {{"Retry-After", "7"}}})
      .otherwise(outbound::error{errc::no_response, 0, "silence"});
  CHECK(http.unused() == 3);
  outbound::client client{"any-key", http};
  const auto send = [&] { return client.send(user{"u"}.identify()); };
  for (int i = 0; i < 2; ++i) {
    const auto cut = send();
    CHECK(cut.error().code == errc::not_sent);
    CHECK(cut.error().message.find("cable cut") != std::string::npos);
  }
  CHECK(http.unused() == 1);
  CHECK(send().error().code == errc::throttled);
  CHECK(http.unused() == 0);
  CHECK(send().error().code == errc::no_response);
  CHECK(send().error().code == errc::no_response);
  CHECK(http.requests().size() == 5);
  http.reset();
  CHECK(http.requests().empty());
  CHECK(send());
}

TEST_CASE("recording: what the client refuses is no request", "[recording]") {
  transports::recording http;
  outbound::client client{"any-key", http};
  CHECK(client.send(user{""}.identify()).error().code == errc::invalid_message);
  CHECK(http.requests().empty());
}

TEST_CASE("recording: an outbox with several workers shares one", "[recording]") {
  static_assert(std::is_copy_constructible_v<transports::recording>);
  transports::recording http;
  outbound::outbox_options options;
  options.workers = 4;
  options.make_transport = [http] { return outbound::transport{http}; };
  outbound::outbox outbox{outbound::client{"any-key", http}, options};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        // Not CHECK: Catch2's assertions are for one thread.
        if (!outbox.post(user{t * 50 + i}.identify())) return;
      }
    });
  for (std::thread& one : threads) one.join();
  CHECK(outbox.close(30s));
  std::set<std::string> bodies;
  for (const auto& r : http.requests()) bodies.insert(r.body);
  CHECK(bodies.size() == 200);
  CHECK(http.requests().size() == 200);
}
