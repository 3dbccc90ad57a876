// examples/relay/publisher.hpp against a real server, which tests/relay.py starts: OUTBOUND_NATS is its URL,
// OUTBOUND_NATS_PID its process, OUTBOUND_RELAY the relay's executable, which makes streams.
#include "support/catch.hpp"

#include "relay/publisher.hpp"
#include "relay/nats.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using json = nlohmann::json;
using outbound::errc;

constexpr std::size_t partitions = 16;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error{std::string{name} + " is not set: tests/relay.py runs this"};
  return value;
}

relay::connection connect() {
  relay::access to;
  to.servers = environment("OUTBOUND_NATS");
  return {to, 10s};
}

// A stream of this name, new, with the options of the relay's --create.
void make_stream(const std::string& name, const std::string& options = "") {
  const std::string command = environment("OUTBOUND_RELAY") + " --create --stream " + name + ' ' + options;
  REQUIRE(std::system(command.c_str()) == 0);
}

relay::publisher publisher(const std::string& stream) {
  return relay::publisher{relay::servers(environment("OUTBOUND_NATS")), stream};
}

outbound::request request_of(const outbound::message& m, std::string guid, std::chrono::milliseconds timeout = 5s) {
  outbound::request r;
  r.url = "https://api.outbound.io" + std::string{m.path()};
  r.body = std::string{m.body()};
  r.timeout = timeout;
  r.user_key = m.user_key();
  r.guid = std::move(guid);
  return r;
}

relay::owned<natsMsg> stored(const relay::connection& from, const std::string& stream, std::uint64_t sequence) {
  natsMsg* found = nullptr;
  REQUIRE(js_GetMsg(&found, from.js(), stream.c_str(), sequence, nullptr, nullptr) == NATS_OK);
  return relay::owned<natsMsg>{found};
}

std::string body_of(natsMsg* m) { return {natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m))}; }

// Stops a process; returns when none of its threads runs any more.
void freeze(pid_t process) {
  REQUIRE(kill(process, SIGSTOP) == 0);
  const auto runs = [](const std::filesystem::path& thread) {
    std::ifstream file{thread / "stat"};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    return text.compare(text.rfind(')') + 1, 2, " T") != 0;
  };
  const auto end = std::chrono::steady_clock::now() + 10s;
  for (const auto& thread : std::filesystem::directory_iterator{"/proc/" + std::to_string(process) + "/task"})
    while (runs(thread)) REQUIRE(std::chrono::steady_clock::now() < end);
}

// Where nobody answers: its backlog is full, so that the kernel drops who comes.
class black_hole {
 public:
  black_hole() {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    const int listener = new_socket();
    REQUIRE(bind(listener, generic(), size) == 0);
    REQUIRE(listen(listener, 0) == 0);
    REQUIRE(getsockname(listener, generic(), &size) == 0);
    while (gets_in()) REQUIRE(sockets_.size() < 100);
  }
  black_hole(const black_hole&) = delete;
  black_hole& operator=(const black_hole&) = delete;
  ~black_hole() {
    for (const int one : sockets_) close(one);
  }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(ntohs(address_.sin_port)); }

 private:
  int new_socket() {
    sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    REQUIRE(sockets_.back() >= 0);
    return sockets_.back();
  }
  sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address_); }
  bool gets_in() {
    pollfd one{new_socket(), POLLOUT, 0};
    return connect(one.fd, generic(), sizeof address_) == 0 || poll(&one, 1, 100) == 1;
  }

  sockaddr_in address_{};
  std::vector<int> sockets_{};
};

// Speaks just enough of NATS for a connection, and ends each when a second line has come: the question for the stream.
class brief_server {
 public:
  brief_server() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(listener_, generic, size) == 0);
    REQUIRE(listen(listener_, 8) == 0);
    REQUIRE(getsockname(listener_, generic, &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { serve(); }};
  }
  brief_server(const brief_server&) = delete;
  brief_server& operator=(const brief_server&) = delete;
  ~brief_server() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void serve() {
    for (int client = 0; (client = accept(listener_, nullptr, nullptr)) >= 0; close(client)) {
      ++connections_;
      const std::string info =
          "INFO {\"server_id\":\"brief\",\"version\":\"2.9.10\",\"headers\":true,"
          "\"max_payload\":1048576,\"proto\":1}\r\n";
      send(client, info.data(), info.size(), MSG_NOSIGNAL);
      std::string said;
      char some[4096];
      for (ssize_t n = 0; said.find("SUB ") == said.npos && (n = recv(client, some, sizeof some, 0)) > 0;) {
        said.append(some, static_cast<std::size_t>(n));
        if (said.find("PING\r\n") != said.npos) send(client, "PONG\r\n", 6, MSG_NOSIGNAL);
      }
    }
  }

  int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_{};
  std::atomic<int> connections_{0};
  std::thread thread_{};
};

using answers = std::vector<outbound::result<outbound::response>>;

// Of so many threads that call copies of it at once.
answers at_once(const relay::publisher& publish, std::size_t threads, std::chrono::milliseconds timeout) {
  answers all(threads, outbound::error{});
  std::vector<std::thread> callers;
  for (auto& answer : all)
    callers.emplace_back([&answer, timeout, copy = publish]() mutable {
      answer = copy(request_of(outbound::user{1}.track("e"), "", timeout));
    });
  for (std::thread& one : callers) one.join();
  return all;
}

const std::string guid = "01234567-89ab-4cde-8f01-23456789abcd";

TEST_CASE("a user's partition never changes", "[relay]") {
  // FNV-1a's own vectors, modulo a number that leaves nothing out
  constexpr std::uint64_t all = std::uint64_t{1} << 63;
  CHECK(relay::partition_of("", all) == 0xCBF29CE484222325 % all);
  CHECK(relay::partition_of("a", all) == 0xAF63DC4C8601EC8C % all);
  CHECK(relay::partition_of("foobar", all) == 0x85944171F73967E8 % all);
  CHECK(relay::partition_of("ada@example.com", partitions) == relay::partition_of("ada@example.com\xFF"
                                                                                  "bob",
                                                                                  partitions));
  CHECK(relay::partition_of(outbound::user{42}.track("e").user_key(), partitions) ==
        relay::partition_of(outbound::user{"42"}.track("e").user_key(), partitions));
}

TEST_CASE("any bytes survive a header", "[relay]") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string coded = relay::percent_encoded(all);
  CHECK(coded.find_first_of(std::string{"\r\n\0 ", 4}) == coded.npos);
  CHECK(relay::percent_decoded(coded) == all);
  CHECK(relay::percent_encoded("a b%\xFF") == "a%20b%25%FF");
  CHECK(relay::percent_decoded("%4") == "%4");
}

TEST_CASE("what is in the stream, byte for byte; a repeat is dropped", "[relay]") {
  make_stream("BYTES");
  const relay::connection nats = connect();
  relay::publisher publish = publisher("BYTES");
  const auto message = outbound::user{"ada\n"}.track("signup").property("n", 1);
  const auto answer = publish(request_of(message, guid));
  REQUIRE(answer);
  CHECK(answer->status == 202);
  CHECK(json::parse(answer->body) == json{{"stream", "BYTES"}, {"seq", 1}});
  const auto kept = stored(nats, "BYTES", 1);
  CHECK(body_of(kept.get()) == message.body());
  CHECK(natsMsg_GetSubject(kept.get()) == relay::subject_of("BYTES", relay::partition_of("ada\n", partitions)));
  CHECK(relay::header_of(kept.get(), "Nats-Msg-Id") == guid);
  CHECK(relay::header_of(kept.get(), "Outbound-GUID") == guid);
  CHECK(relay::header_of(kept.get(), "Outbound-Path") == "/v2/track");
  CHECK(relay::header_of(kept.get(), "Outbound-User-Key") == "ada%0A");

  relay::publisher copy = publish;
  const auto again = copy(request_of(message, guid));
  REQUIRE(again);
  CHECK(json::parse(again->body) == json{{"stream", "BYTES"}, {"seq", 1}, {"duplicate", true}});
}

TEST_CASE("a plain client's message gets a GUID, and no key leaves", "[relay]") {
  make_stream("PLAIN");
  const relay::connection nats = connect();
  outbound::client client{"private-key-1234", publisher("PLAIN")};
  CHECK(client.send(outbound::user{1}.track("e")));
  CHECK(client.send(outbound::user{1}.identify().first_name("Ada").previous_id(outbound::user{"old one"})));
  std::set<std::string> guids;
  for (std::uint64_t n = 1; n <= 2; ++n) {
    const auto kept = stored(nats, "PLAIN", n);
    const std::string id = relay::header_of(kept.get(), "Outbound-GUID");
    CHECK(id.size() == 36);
    CHECK(id[14] == '4');
    guids.insert(id);
    const char** names = nullptr;
    int count = 0;
    REQUIRE(natsMsgHeader_Keys(kept.get(), &names, &count) == NATS_OK);
    for (int i = 0; i < count; ++i)
      CHECK(relay::header_of(kept.get(), names[i]).find("private-key") == std::string::npos);
    std::free(names);
  }
  CHECK(guids.size() == 2);
  const auto alias = stored(nats, "PLAIN", 2);
  CHECK(relay::header_of(alias.get(), "Outbound-User-Key") == "1%FFold%20one");
  CHECK(natsMsg_GetSubject(alias.get()) == relay::subject_of("PLAIN", relay::partition_of("1", partitions)));
}

TEST_CASE("an outbox that batches publishes its messages one by one", "[relay]") {
  make_stream("BATCH");
  const relay::connection nats = connect();
  outbound::outbox_options options;
  options.workers = 0;
  options.batch_size = 100;
  options.seed = {3, 4};
  outbound::outbox outbox{outbound::client{"any", publisher("BATCH")}, options};
  for (int n = 0; n < 10; ++n) REQUIRE(outbox.post(outbound::user{n % 3}.track("e").property("n", n)));
  CHECK(outbox.close(30s));
  CHECK(outbox.stats().delivered == 10);
  std::map<std::string, std::vector<int>> by_user;
  for (std::uint64_t sequence = 1; sequence <= 10; ++sequence) {
    const auto kept = stored(nats, "BATCH", sequence);
    const json body = json::parse(body_of(kept.get()));
    by_user[relay::header_of(kept.get(), "Outbound-User-Key")].push_back(body.at("properties").at("n"));
  }
  CHECK(by_user == std::map<std::string, std::vector<int>>{{"0", {0, 3, 6, 9}}, {"1", {1, 4, 7}}, {"2", {2, 5, 8}}});

  outbound::batch batch;
  REQUIRE(batch.add(outbound::user{1}.track("e")));
  outbound::client client{"any", publisher("BATCH")};
  const auto refused = client.send(batch);
  CHECK(refused.error().code == errc::invalid_field);
  CHECK(refused.error().message.find("one by one") != std::string::npos);
}

TEST_CASE("what surely was not stored is not_sent, and says why", "[relay]") {
  relay::publisher nobody{relay::servers("nats://127.0.0.1:1"), "X"};
  auto answer = nobody(request_of(outbound::user{1}.track("e"), guid));
  CHECK(answer.error().code == errc::not_sent);
  CHECK(answer.error().message.find("cannot connect to NATS") == 0);

  relay::publisher nowhere = publisher("NOWHERE");
  answer = nowhere(request_of(outbound::user{1}.track("e"), guid));
  CHECK(answer.error().code == errc::not_sent);
  CHECK(answer.error().message == "there is no stream NOWHERE: outbound-relay --create makes it");
  make_stream("NOWHERE");
  CHECK(nowhere(request_of(outbound::user{1}.track("e"), guid)));

  make_stream("FULL", "--max-bytes 2000");
  relay::publisher full = publisher("FULL");
  const auto big = outbound::user{1}.track("e").property("x", std::string(900, 'x'));
  CHECK(full(request_of(big, guid)));
  answer = full(request_of(big, "11234567-89ab-4cde-8f01-23456789abcd"));
  CHECK(answer.error().code == errc::not_sent);
  CHECK(answer.error().message.find("did not take it") != std::string::npos);
}

TEST_CASE("a call ends when its time is over, whoever else waits for the connection", "[relay]") {
  const black_hole one;
  const black_hole other;
  const auto options = relay::servers(one.url() + ',' + other.url());
  REQUIRE(natsOptions_SetTimeout(options.get(), 20'000) == NATS_OK);
  const auto begin = std::chrono::steady_clock::now();
  {
    const relay::publisher publish{options};
    for (const auto& answer : at_once(publish, 8, 500ms)) {
      CHECK(answer.error().code == errc::not_sent);
      CHECK(answer.error().message == "still connecting to NATS");
    }
  }
  CHECK(std::chrono::steady_clock::now() - begin < 15s);  // one server alone may take 20 s
}

TEST_CASE("who waits for the connection is told what became of it, and does not try again", "[relay]") {
  const black_hole nowhere;
  const auto options = relay::servers(nowhere.url());
  REQUIRE(natsOptions_SetTimeout(options.get(), 3'000) == NATS_OK);
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& answer : at_once(relay::publisher{options}, 8, 30s)) {
    CHECK(answer.error().code == errc::not_sent);
    CHECK(answer.error().message.find("cannot connect to NATS") == 0);
  }
  CHECK(std::chrono::steady_clock::now() - begin < 15s);  // eight attempts would take 24 s
}

TEST_CASE("a connection that comes too late for a call is there for the next one", "[relay]") {
  make_stream("LATE");
  relay::publisher publish = publisher("LATE");
  const pid_t server = std::stoi(environment("OUTBOUND_NATS_PID"));
  freeze(server);
  const auto early = publish(request_of(outbound::user{1}.track("e"), guid, 100ms));
  REQUIRE(kill(server, SIGCONT) == 0);
  CHECK(early.error().message == "still connecting to NATS");
  const auto next = publish(request_of(outbound::user{1}.track("e"), guid));
  REQUIRE(next);
  CHECK(json::parse(next->body) == json{{"stream", "LATE"}, {"seq", 1}});
}

TEST_CASE("a connection that NATS has closed for good is made anew", "[relay]") {
  const brief_server brief;
  const auto options = relay::servers(brief.url());
  REQUIRE(natsOptions_SetAllowReconnect(options.get(), false) == NATS_OK);
  relay::publisher publish{options, "GONE"};
  for (int i = 1; i <= 3; ++i) {
    const auto answer = publish(request_of(outbound::user{1}.track("e"), ""));
    REQUIRE(!answer);
    CHECK(answer.error().code == errc::not_sent);
    CHECK(brief.connections() == i);
  }
}

TEST_CASE("what the server's max_payload forbids is refused, and not tried again", "[relay]") {
  make_stream("LARGE");
  outbound::client client{"any", publisher("LARGE")};
  const auto refused = client.send(outbound::user{1}.track("e").property("x", std::string((1 << 20) - 100, 'x')));
  CHECK(refused.error().code == errc::invalid_field);
  CHECK(refused.error().message.find("max_payload") != std::string::npos);
}

TEST_CASE("a server that no longer reads keeps no call for long", "[relay]") {
  make_stream("STUCK");
  relay::publisher publish = publisher("STUCK");
  REQUIRE(publish(request_of(outbound::user{1}.track("e"), "")));
  const pid_t server = std::stoi(environment("OUTBOUND_NATS_PID"));
  freeze(server);
  const auto big = outbound::user{1}.track("e").property("x", std::string(900'000, 'x'));
  std::chrono::steady_clock::duration longest{};
  outbound::error last;
  for (int n = 0; n < 20 && last.code != errc::not_sent; ++n) {  // more than a kernel keeps for who does not read
    const auto begin = std::chrono::steady_clock::now();
    last = publish(request_of(big, "", 100ms)).error();
    longest = (std::max)(longest, std::chrono::steady_clock::now() - begin);
  }
  REQUIRE(kill(server, SIGCONT) == 0);
  CHECK(last.message == "the connection to NATS is down");
  CHECK(longest < 10s);
}

TEST_CASE("without an acknowledgement it is no_response; the repeat is one message", "[relay]") {
  make_stream("SILENT");
  const relay::connection nats = connect();
  relay::publisher publish = publisher("SILENT");
  REQUIRE(publish(request_of(outbound::user{1}.track("e"), "21234567-89ab-4cde-8f01-23456789abcd")));
  const pid_t server = std::stoi(environment("OUTBOUND_NATS_PID"));
  freeze(server);
  const auto lost = publish(request_of(outbound::user{1}.track("e"), guid, 300ms));
  REQUIRE(kill(server, SIGCONT) == 0);
  CHECK(lost.error().code == errc::no_response);
  CHECK(lost.error().message.find("did not acknowledge") != std::string::npos);
  const auto again = publish(request_of(outbound::user{1}.track("e"), guid));
  REQUIRE(again);
  CHECK(json::parse(again->body) == json{{"stream", "SILENT"}, {"seq", 2}, {"duplicate", true}});
}

}  // namespace
