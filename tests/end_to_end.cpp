// The outbox, through each transport, to a sandbox that misbehaves: what was accepted arrives, in order, once.
#include "support/catch.hpp"
#include "support/sandbox.hpp"

#include "transports/httplib.hpp"
#include "transports/libcurl.hpp"

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#define EVERY_TRANSPORT transports::libcurl_transport, transports::httplib_transport

namespace {

using namespace std::chrono_literals;
using json = nlohmann::json;
using outbound::errc;
using outbound::loss;
using test::sandbox;
using kind = outbound::event::kind;

// Where the machine sends its HTTP through a proxy, 127.0.0.1 is not to go there.
[[maybe_unused]] const bool no_proxy = setenv("no_proxy", "*", 1) == 0;

// A clock that stands still but for the waiting of the outbox: an hour of Retry-After passes at once.
class leaping_clock {
 public:
  void drive(outbound::outbox_options& options) {
    options.now = [this] { return outbound::instant{now_, {}}; };
    options.wait = [this](std::condition_variable&, std::unique_lock<std::mutex>&, std::chrono::milliseconds longest) {
      now_ += longest;
    };
  }
  std::chrono::steady_clock::time_point now() const { return now_; }

 private:
  std::chrono::steady_clock::time_point now_{};
};

constexpr int users = 5;
constexpr int events_of_a_user = 6;

// An outbox without threads of its own (`flush` delivers), and what its hook said.
template <class Transport>
struct post_office {
  leaping_clock clock{};
  std::vector<outbound::event> seen{};
  std::unique_ptr<outbound::outbox> outbox{};

  explicit post_office(const sandbox& to, const char* key = sandbox::key, std::chrono::milliseconds timeout = 10s,
                       std::size_t batch_size = 1) {
    outbound::outbox_options options;
    options.workers = 0;
    options.batch_size = batch_size;
    options.seed = {7, 11};
    options.on_event = [this](const outbound::event& e) { seen.push_back(e); };
    clock.drive(options);
    outbound::options of_client;
    of_client.base_url = to.url();
    of_client.timeout = timeout;
    outbox = std::make_unique<outbound::outbox>(outbound::client{key, Transport{}, of_client}, options);
  }

  void post_all() {
    for (int n = 0; n < events_of_a_user; ++n)
      for (int u = 0; u < users; ++u)
        REQUIRE(outbox->post(outbound::user{"user " + std::to_string(u)}.track("step").property("n", n)));
  }
  std::size_t count(kind what) const {
    std::size_t n = 0;
    for (const outbound::event& e : seen) n += e.what == what;
    return n;
  }
};

std::vector<json> deliveries(const sandbox& from) {
  std::vector<json> all;
  httplib::Client client{from.url()};
  const auto answer = client.Get("/sandbox/deliveries");
  REQUIRE(answer);
  std::istringstream lines{answer->body};
  for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
  return all;
}

// Every event of every user, each user's in order; with what came twice left out.
void check_arrived(const sandbox& at) {
  std::map<std::string, int> next;
  std::set<std::string> guids;
  for (const json& e : at.get("/sandbox/events")) {
    if (!guids.insert(e.at("guid")).second) continue;
    CHECK(e.at("properties").at("n") == next[e.at("user_id")]++);
  }
  CHECK(next.size() == users);
  for (const auto& [user, count] : next) CHECK(count == events_of_a_user);
  CHECK(at.get("/sandbox").at("conflicts") == 0);
}

struct wish {
  const char* name;
  json what;
  int attempts_more;  // than messages
  int duplicates;     // that the sandbox gets: answers that were lost
};

TEMPLATE_TEST_CASE("under each fault everything arrives in order, and twice only what lost its answer",
                   "[end_to_end][F46][F47][F58]", EVERY_TRANSPORT) {
  const auto server = sandbox::start();
  if (!server) return;
  const wish wishes[] = {
      {"none", json::array(), 0, 0},
      {"dropped before processing", {{"fault", "drop_before"}, {"calls", 3}}, 3, 0},
      {"dropped after processing", {{"fault", "drop_after"}, {"calls", 3}}, 3, 3},
      {"429 for an hour", {{"status", 429}, {"retry_after", 3600}, {"calls", 2}}, 2, 0},
      {"500", {{"status", 500}, {"calls", 9}}, 9, 0},
      {"503", {{"status", 503}, {"calls", 40}}, 40, 0},
      {"502, processed", {{"status", 502}, {"processed", true}, {"calls", 2}}, 2, 2},
      {"401", {{"status", 401}, {"calls", 20}}, 20, 0},
      {"302", {{"status", 302}, {"location", "http://127.0.0.1:1/"}, {"calls", 4}}, 4, 0},
      {"404 of the path", {{"status", 404}, {"path", "/v2/track"}, {"calls", 4}}, 4, 0},
      {"garbage", {{"fault", "garbage"}, {"calls", 3}}, 3, 3},
      {"a truncated answer", {{"fault", "truncated"}, {"calls", 3}}, 0, 0},
      {"a body of garbage", {{"fault", "garbage_body"}, {"calls", 3}}, 0, 0},
  };
  for (const wish& w : wishes) {
    INFO(w.name);
    server->reset();
    server->post("/sandbox/faults", w.what);
    post_office<TestType> office{*server};
    office.post_all();
    CHECK(office.outbox->flush(24h));
    const outbound::delivery_stats stats = office.outbox->stats();
    CHECK(stats.accepted == users * events_of_a_user);
    CHECK(stats.delivered == stats.accepted);
    CHECK(stats.attempts == stats.accepted + static_cast<std::uint64_t>(w.attempts_more));
    CHECK(server->get("/sandbox").at("duplicates") == w.duplicates);
    check_arrived(*server);
  }
}

TEMPLATE_TEST_CASE("a slow answer is a lost one: the message comes twice, with one GUID", "[end_to_end][F46]",
                   EVERY_TRANSPORT) {
  const auto server = sandbox::start();
  if (!server) return;
  server->post("/sandbox/faults", {{"fault", "delay"}, {"delay_ms", 5000}});
  post_office<TestType> office{*server, sandbox::key, 300ms};
  office.post_all();
  CHECK(office.outbox->flush(1h));
  CHECK(server->get("/sandbox").at("duplicates") == 1);
  check_arrived(*server);
}

TEMPLATE_TEST_CASE("F41: Retry-After is waited for by all, whichever form it has", "[end_to_end][F41][F42]",
                   EVERY_TRANSPORT) {
  const auto server = sandbox::start();
  if (!server) return;
  for (const char* value :
       {"600", "Thu, 01 Jan 1970 00:10:00 GMT", "Thursday, 01-Jan-70 00:10:00 GMT", "Thu Jan  1 00:10:00 1970"}) {
    INFO(value);
    server->reset();
    server->post("/sandbox/faults", {{"status", 503}, {"retry_after", value}});
    post_office<TestType> office{*server};
    office.post_all();
    const auto before = office.clock.now();
    CHECK(office.outbox->flush(1h));
    CHECK(office.clock.now() - before >= 600s);
    CHECK(office.clock.now() - before < 601s);
    check_arrived(*server);
  }
}

TEMPLATE_TEST_CASE("a wrong key holds the queue and says so; the right one is another outbox's", "[end_to_end]",
                   EVERY_TRANSPORT) {
  const auto server = sandbox::start();
  if (!server) return;
  post_office<TestType> office{*server, "wrong-key-0123456789"};
  office.post_all();
  const outbound::remaining left = office.outbox->flush(48h);  // longer than `max_age`: time on hold does not count
  CHECK(left.queued == users * events_of_a_user);
  CHECK(office.count(kind::held) == 1);
  REQUIRE(!office.seen.empty());
  CHECK(office.seen.front().cause.code == errc::unauthorized);
  CHECK(office.seen.front().cause.message.find("wrong-key") == std::string::npos);
  CHECK(office.outbox->stats().failed == 0);
}

TEMPLATE_TEST_CASE("batches: one call for many messages, and only the guilty fails", "[end_to_end]", EVERY_TRANSPORT) {
  const auto server = sandbox::start();
  if (!server) return;
  {
    post_office<TestType> office{*server, sandbox::key, 10s, 100};
    office.post_all();
    CHECK(office.outbox->flush(1h));
    CHECK(office.outbox->stats().attempts == 1);
    const std::vector<json> calls = deliveries(*server);
    REQUIRE(calls.size() == 1);
    CHECK(calls[0].at("path") == "/v2/track/batch");
  }
  {  // the sandbox refuses an attribute that no double can hold, and with it the batch
    server->reset();
    post_office<TestType> office{*server, sandbox::key, 10s, 100};
    REQUIRE(office.outbox->post(outbound::user{"bad"}.track("e").property("n", outbound::json{"1e999"})));
    office.post_all();
    CHECK(office.outbox->flush(1h));
    CHECK(office.outbox->stats().delivered == users * events_of_a_user);
    CHECK(office.outbox->stats().lost(loss::refused) == 1);
    check_arrived(*server);
  }
}

TEMPLATE_TEST_CASE("all faults at random, several workers: nothing is lost, nothing overtakes",
                   "[end_to_end][F50][F58]", EVERY_TRANSPORT) {
  const auto server = sandbox::start();
  if (!server) return;
  server->post("/sandbox/settings", {{"deduplicate", true}});
  server->post("/sandbox/faults", {{"seed", 20261124},
                                   {"chance",
                                    {{"drop_before", 0.03},
                                     {"drop_after", 0.03},
                                     {"delay", 0.02},
                                     {"429", 0.02},
                                     {"500", 0.02},
                                     {"503", 0.03},
                                     {"401", 0.01},
                                     {"404", 0.01},
                                     {"garbage", 0.02},
                                     {"truncated", 0.02},
                                     {"garbage_body", 0.02}}},
                                   {"delay_ms", 30},
                                   {"retry_after", 0}});
  constexpr int many_users = 40;
  constexpr int of_each = 50;
  outbound::outbox_options options;
  options.workers = 4;
  options.make_transport = [] { return outbound::transport{TestType{}}; };
  options.retry.first_delay = 1ms;
  options.retry.max_delay = 4ms;
  options.retry.budget = 1'000'000;
  outbound::options of_client;
  of_client.base_url = server->url();
  outbound::outbox outbox{outbound::client{sandbox::key, outbound::no_transport, of_client}, options};
  for (int n = 0; n < of_each; ++n)
    for (int u = 0; u < many_users; ++u) REQUIRE(outbox.post(outbound::user{u}.track("step").property("n", n)));
  CHECK(outbox.close(120s));
  const outbound::delivery_stats stats = outbox.stats();
  CHECK(stats.accepted == many_users * of_each);
  CHECK(stats.delivered == stats.accepted);
  std::map<int, int> next;
  for (const json& e : server->get("/sandbox/events")) CHECK(e.at("properties").at("n") == next[e.at("user_id")]++);
  for (int u = 0; u < many_users; ++u) CHECK(next[u] == of_each);
  const json totals = server->get("/sandbox");
  CHECK(totals.at("conflicts") == 0);
  CHECK(stats.attempts > stats.accepted);
  WARN(stats.accepted << " messages, " << stats.attempts << " attempts, " << totals.at("duplicates") << " duplicates");
}

}  // namespace
