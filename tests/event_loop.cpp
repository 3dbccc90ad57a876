// examples/event_loop.cpp against the sandbox, and libcurl_multi where it is more than a transport.
#include "support/catch.hpp"
#include "support/sandbox.hpp"

#include "transports/libcurl_multi.hpp"

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using json = nlohmann::json;
using outbound::errc;
using test::sandbox;
using answer = transports::libcurl_multi::answer;

// Where the machine sends its HTTP through a proxy, 127.0.0.1 is not to go there.
[[maybe_unused]] static const bool no_proxy = setenv("no_proxy", "*", 1) == 0;

static outbound::client client_of(const std::string& base_url, std::chrono::milliseconds timeout = 10s) {
  outbound::options options;
  options.base_url = base_url;
  options.timeout = timeout;
  return {sandbox::key, outbound::no_transport, options};
}

TEST_CASE("event loop: every message arrives, each user's in order, also when calls fail", "[event_loop][F46]") {
  const auto box = sandbox::start();
  if (!box) return;
  const char* const program = std::getenv("OUTBOUND_EVENT_LOOP");
  REQUIRE(program != nullptr);
  for (const json& fault :
       {json::array(), json{{"fault", "drop_after"}, {"calls", 2}}, json{{"status", 503}, {"calls", 2}}}) {
    INFO(fault.dump());
    box->reset();
    box->post("/sandbox/faults", fault);
    const std::string command = std::string{"'"} + program + "' " + box->url() + " " + sandbox::key;
    CHECK(std::system(command.c_str()) == 0);
    std::map<std::string, int> next;
    std::set<std::string> guids;
    for (const json& e : box->get("/sandbox/events")) {
      if (!guids.insert(e.at("guid")).second) continue;
      CHECK(e.at("properties").at("n") == ++next[e.at("user_id")]);
    }
    CHECK(next.size() == 10);
    for (const auto& [user, last] : next) CHECK(last == 9);
    CHECK(box->get("/sandbox/users").size() == 10);
  }
}

TEST_CASE("libcurl_multi: requests are in flight together", "[event_loop]") {
  const auto box = sandbox::start();
  if (!box) return;
  // The first is not answered before the others, which would wait for it if they went one after the other.
  box->post("/sandbox/faults", {{"fault", "delay"}, {"delay_ms", 60000}, {"calls", 1}});
  auto client = client_of(box->url(), 60s);
  transports::libcurl_multi http;
  std::vector<int> order;
  const auto submit = [&](int n) {
    http.submit(*client.prepare(outbound::user{n}.track("step")), [&, n](answer a) {
      if (a) order.push_back(n);
    });
  };
  submit(0);
  while (!box->get("/sandbox/faults").empty()) http.run(1ms);
  for (int n = 1; n < 6; ++n) submit(n);
  CHECK(http.in_flight() == 6);
  while (http.run(1s) > 1) {
  }
  CHECK(http.in_flight() == 1);
  CHECK(std::set<int>(order.begin(), order.end()) == std::set<int>{1, 2, 3, 4, 5});
}

TEST_CASE("libcurl_multi: a handler may own what cannot be copied, and submit", "[event_loop]") {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of(box->url());
  transports::libcurl_multi http;
  int answers = 0;
  http.submit(*client.prepare(outbound::user{1}.track("first")), [&, owned = std::make_unique<int>(7)](answer a) {
    CHECK(a);
    answers += *owned;
    http.submit(*client.prepare(outbound::user{1}.track("second")), [&](answer b) {
      CHECK(b);
      ++answers;
    });
  });
  while (http.run(1s) != 0) {
  }
  CHECK(answers == 8);
  CHECK(box->get("/sandbox/events").size() == 2);
}

TEST_CASE("libcurl_multi: no handler is called from submit, and what cannot begin ends in run", "[event_loop][F34]") {
  transports::libcurl_multi http;
  outbound::request request;
  request.method = "POST";
  request.url = "http://127.0.0.1/\r\nX-Evil: 1";
  request.timeout = 1s;
  int calls = 0;
  http.submit(request, [&](answer a) {
    ++calls;
    CHECK(a.error().code == errc::not_sent);
  });
  CHECK(calls == 0);
  CHECK(http.in_flight() == 1);
  CHECK(http.run(10s) == 0);
  CHECK(calls == 1);
}

TEST_CASE("libcurl_multi: more than its connections wait, and all are answered", "[event_loop]") {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of(box->url());
  transports::libcurl_multi http{"", 2};
  int answers = 0;
  for (int n = 0; n < 50; ++n)
    http.submit(*client.prepare(outbound::user{n}.track("step")), [&](answer a) { answers += a ? 1 : 0; });
  while (http.run(1s) != 0) {
  }
  CHECK(answers == 50);
  CHECK(box->get("/sandbox/events").size() == 50);
}

TEST_CASE("libcurl_multi: what waits for a connection waits no longer than its timeout", "[event_loop][F44]") {
  const auto box = sandbox::start();
  if (!box) return;
  box->post("/sandbox/faults", {{"fault", "delay"}, {"delay_ms", 60000}, {"calls", 1}});
  auto client = client_of(box->url(), 60s);
  transports::libcurl_multi http{"", 1};
  http.submit(*client.prepare(outbound::user{1}.track("first")), [](const answer&) { FAIL("the first is answered"); });
  while (!box->get("/sandbox/faults").empty()) http.run(1ms);
  outbound::request second = *client.prepare(outbound::user{2}.track("second"));
  second.timeout = 50ms;
  int ended = 0;
  http.submit(std::move(second), [&](const answer& a) {
    ++ended;
    REQUIRE(!a);
    CHECK(a.error().code == errc::not_sent);
    CHECK(a.error().message == "the time was over before there was a connection");
  });
  while (ended == 0) http.run(1h);
  CHECK(http.in_flight() == 1);
}

TEST_CASE("libcurl_multi: wake ends the waiting, and destruction calls no handler", "[event_loop]") {
  const auto box = sandbox::start();
  if (!box) return;
  box->post("/sandbox/faults", {{"fault", "delay"}, {"delay_ms", 60000}});
  auto client = client_of(box->url(), 60s);
  int calls = 0;
  {
    transports::libcurl_multi http;
    http.submit(*client.prepare(outbound::user{1}.track("step")), [&](answer) { ++calls; });
    http.wake();  // is not lost if nobody waits yet; without it, `run` would wait for the answer
    const auto start = std::chrono::steady_clock::now();
    http.run(50s);
    std::thread other{[&] { http.wake(); }};
    http.run(50s);
    other.join();
    CHECK(std::chrono::steady_clock::now() - start < 45s);
    CHECK(http.in_flight() == 1);
  }
  CHECK(calls == 0);
}
