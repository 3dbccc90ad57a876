// The transports of examples/transports, against the sandbox and against servers that misbehave. One suite for all of
// them, built once for each: TRANSPORT_HEADER is the file, TRANSPORT the type (meson.build). Those that are
// asynchronous come through an adapter, tests/support/*_adapter.hpp.
#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/sandbox.hpp"
#include "support/tls.hpp"

#include TRANSPORT_HEADER

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using json = nlohmann::json;
using outbound::errc;
using outbound::user;
using test::sandbox;

// Where the machine sends its HTTP through a proxy, 127.0.0.1 is not to go there.
[[maybe_unused]] const bool no_proxy = setenv("no_proxy", "*", 1) == 0;

constexpr const char* secret = "hush-hush-0123456789";

template <class Transport>
outbound::client client_of(const std::string& base_url, const char* key, std::chrono::milliseconds timeout = 10s,
                           Transport transport = Transport{}) {
  outbound::options options;
  options.base_url = base_url;
  options.timeout = timeout;
  return {key, std::move(transport), options};
}

/// A request as the client makes it.
outbound::request request_to(const std::string& base_url, std::chrono::milliseconds timeout = 10s) {
  auto client = client_of<outbound::no_transport_t>(base_url, secret, timeout);
  auto made = client.prepare(user{"ada@example.com"}.track("signup"));
  REQUIRE(made);
  return std::move(*made);
}

/// What the transport says of a request that a client would make.
template <class Transport>
outbound::result<outbound::response> answer_of(const std::string& base_url, std::chrono::milliseconds timeout = 10s) {
  return Transport{}(request_to(base_url, timeout));
}

std::string shown(const outbound::result<outbound::response>& r) {
  if (r) return "a response of status " + std::to_string(r->status) + ": " + r->body.substr(0, 100);
  return outbound::make_error_code(r.error().code).message() + ": " + r.error().message;
}

/// It failed as it should, and says why in words that may be logged.
void check_failure(const outbound::result<outbound::response>& r, errc code) {
  INFO(shown(r));
  CHECK(!r);
  CHECK(r.error().code == code);
  CHECK_FALSE(r.error().message.empty());
  CHECK(r.error().message.find(secret) == std::string::npos);
  CHECK(r.error().message.find_first_of("\r\n") == std::string::npos);
}

/// One connection to the server below.
class connection {
 public:
  explicit connection(int socket) : socket_{socket} {}
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    SSL_free(tls_);
    close(socket_);
  }

  /// Speaks TLS from here on.
  bool shake_hands(SSL_CTX* context) {
    tls_ = SSL_new(context);
    return tls_ != nullptr && SSL_set_fd(tls_, socket_) == 1 && SSL_accept(tls_) == 1;
  }

  /// Head and body; empty when the other end has hung up.
  std::string read_message() {
    std::string all;
    std::size_t head = std::string::npos;
    while ((head = all.find("\r\n\r\n")) == std::string::npos) {
      if (!read_some(all)) return {};
    }
    const std::string field = "Content-Length: ";
    const std::size_t length = all.find(field);
    const std::size_t body = length < head ? std::stoul(all.substr(length + field.size())) : 0;
    while (all.size() < head + 4 + body) {
      if (!read_some(all)) return {};
    }
    return all;
  }

  bool write(std::string_view text) {
    while (!text.empty()) {
      const auto n = tls_ != nullptr ? SSL_write(tls_, text.data(), static_cast<int>(text.size()))
                                     : send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  void wait_for_hang_up() {
    std::string ignored;
    while (read_some(ignored)) ignored.clear();
  }

  /// Tells the client that nothing more will come.
  void say_goodbye() {
    if (tls_ != nullptr) SSL_shutdown(tls_);
    shutdown(socket_, SHUT_WR);
  }

  /// What the client sends after that is answered by a reset.
  void reset_at_close() {
    const linger at_once{1, 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

  bool read_some(std::string& into) {
    char buffer[4096];
    const auto n = tls_ != nullptr ? SSL_read(tls_, buffer, sizeof buffer) : recv(socket_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    into.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

 private:
  int socket_;
  SSL* tls_{};
};

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

int connected_to(int port) {
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(port);
  if (connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return made;
  close(made);
  return -1;
}

/// A server that does what its script says, with one connection after the other.
class server {
 public:
  using script = std::function<void(connection&)>;

  explicit server(script each) : script_{std::move(each)} {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(listener_ >= 0);
    REQUIRE(bind(listener_, any, size) == 0);
    REQUIRE(listen(listener_, 16) == 0);
    REQUIRE(getsockname(listener_, any, &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { serve(); }};
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() {
    {
      const std::lock_guard hold{lock_};
      ending_ = true;
      shutdown(listener_, SHUT_RDWR);
      if (open_ >= 0) shutdown(open_, SHUT_RDWR);
    }
    thread_.join();
    close(listener_);
  }

  std::string url(const std::string& scheme = "http", const std::string& host = "127.0.0.1") const {
    return scheme + "://" + host + ":" + std::to_string(port_);
  }
  int connections() const { return connections_; }

 private:
  void serve() {
    sigset_t signals;  // OpenSSL writes without MSG_NOSIGNAL
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    for (;;) {
      const int accepted = accept(listener_, nullptr, nullptr);
      if (accepted < 0) return;
      connection one{accepted};
      if (!open(accepted)) return;
      ++connections_;
      script_(one);
      open(-1);
    }
  }

  bool open(int socket) {
    const std::lock_guard hold{lock_};
    open_ = socket;
    return !ending_;
  }

  script script_;
  int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_{};
  std::atomic<int> connections_{};
  std::mutex lock_{};
  int open_{-1};
  bool ending_{};
  std::thread thread_{};
};

/// Answers whatever comes, for as long as the connection lives.
server::script always(std::string response) {
  return [response = std::move(response)](connection& c) {
    while (!c.read_message().empty() && c.write(response)) {
    }
  };
}

constexpr const char* done = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

std::vector<std::string> values_of(const std::vector<outbound::header>& headers, std::string_view name) {
  std::vector<std::string> values;
  for (const outbound::header& h : headers) {
    if (h.name == name) values.push_back(h.value);
  }
  return values;
}

/// The events that the sandbox has processed, without the time at which it did.
json events_of(const sandbox& box) {
  json all = box.get("/sandbox/events");
  for (json& one : all) one.erase("received");
  return all;
}

/// Sent, taken, and not a byte of it altered on the way.
void check_arrival(const sandbox& box, outbound::client& client, const outbound::message& message) {
  const auto sent = client.send(message);
  INFO(message.body());
  INFO(shown(sent));
  REQUIRE(sent);
  CHECK(sent->status == 200);
  const json last = box.get("/sandbox/requests").back();
  CHECK(last.at("path") == message.path());
  CHECK(last.at("body") == message.body());
  CHECK(last.at("client") == "Cpp/" OUTBOUND_VERSION_STRING);
}

/// Runs the transport and tells how long it took.
template <class Call>
std::chrono::milliseconds time_of(Call call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

// Far more than any of these calls needs when it works, and far less than a call that is not bounded takes.
constexpr auto soon = 5s;

}  // namespace

TEMPLATE_TEST_CASE("identify: what arrives is what was meant", "[transport]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  check_arrival(*box, client, user{"earlier"}.identify().attribute("kept", "from before").email("old@example.com"));
  check_arrival(
      *box, client,
      user{"zoë"}
          .identify()
          .first_name("Zoë")
          .last_name("Þórsdóttir")
          .email("zoe@example.com")
          .phone_number("+354 555 0123")
          .apns({"a1", "a2"})
          .gcm({"g1"})
          .attributes({{"plan", "pro"}, {"seats", 5}, {"address", {{"city", "Reykjavík"}, {"geo", {64.15, -21.94}}}}})
          .timezone("Atlantic/Reykjavik")
          .group("acme", {{"tier", 2}})
          .previous_id(user{"earlier"}));
  const json want = {{"user_id", "zoë"},
                     {"first_name", "Zoë"},
                     {"last_name", "Þórsdóttir"},
                     {"email", "zoe@example.com"},
                     {"phone_number", "+354 555 0123"},
                     {"apns", {"a1", "a2"}},
                     {"gcm", {"g1"}},
                     {"fcm", json::array()},
                     {"attributes",
                      {{"plan", "pro"},
                       {"seats", 5},
                       {"address", {{"city", "Reykjavík"}, {"geo", {64.15, -21.94}}}},
                       {"kept", "from before"}}},
                     {"timezone", "Atlantic/Reykjavik"},
                     {"group_id", "acme"},
                     {"group_attributes", {{"tier", 2}}},
                     {"previous_ids", {"earlier"}},
                     {"subscriptions", {{"campaigns", json::object()}}}};
  CHECK(box->get("/sandbox/users") == json::array({want}));
}

TEMPLATE_TEST_CASE("track: every kind of value arrives as it was meant", "[transport][F5][F6][F15][F17][F23]",
                   TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);

  std::string controls;
  for (char c = 0; c < 0x20; ++c) controls += c;
  controls += "\x7F\"\\/";
  const std::string with_nul{"a\0b", 3};
  const std::string plenty = "Zürich – “日本語” 😀 \u2028 e\u0301 \uFFFF";
  constexpr auto least = (std::numeric_limits<std::int64_t>::min)();
  constexpr auto most = (std::numeric_limits<std::uint64_t>::max)();
  constexpr double tiniest = std::numeric_limits<double>::denorm_min();
  constexpr double greatest = (std::numeric_limits<double>::max)();

  check_arrival(*box, client,
                user{42}
                    .track("purchase")
                    .properties({{"null", nullptr},
                                 {"yes", true},
                                 {"no", false},
                                 {"least", least},
                                 {"most", most},
                                 {"cents", 19.99},
                                 {"third", 1.0 / 3.0},
                                 {"tiniest", tiniest},
                                 {"greatest", greatest},
                                 {"round", 1e21},
                                 {"empty", ""},
                                 {"controls", controls},
                                 {"with nul", with_nul},
                                 {"plenty", plenty},
                                 {"schlüssel \"1\"", plenty},
                                 {"list", {1, "two", nullptr, 4.5}},
                                 {"nothing", outbound::array{}},
                                 {"none", outbound::object{}},
                                 {"deep", {{"er", {{"er", {{"still", {1, 2}}}}}}}},
                                 {"raw", outbound::json{R"({ "a" : [ 1e2, "\u00e9" ] })"}}})
                    .at(std::chrono::system_clock::time_point{0s}));
  const json want = {{"user_id", 42},
                     {"event", "purchase"},
                     {"timestamp", 0},
                     {"properties",
                      {{"null", nullptr},
                       {"yes", true},
                       {"no", false},
                       {"least", least},
                       {"most", most},
                       {"cents", 19.99},
                       {"third", 1.0 / 3.0},
                       {"tiniest", tiniest},
                       {"greatest", greatest},
                       {"round", 1e21},
                       {"empty", ""},
                       {"controls", controls},
                       {"with nul", with_nul},
                       {"plenty", plenty},
                       {"schlüssel \"1\"", plenty},
                       {"list", {1, "two", nullptr, 4.5}},
                       {"nothing", json::array()},
                       {"none", json::object()},
                       {"deep", {{"er", {{"er", {{"still", {1, 2}}}}}}}},
                       {"raw", {{"a", {1e2, "é"}}}}}}};
  CHECK(events_of(*box) == json::array({want}));
}

TEMPLATE_TEST_CASE("tokens and subscriptions arrive as they were meant", "[transport]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  const user ada{"ada@example.com"};
  for (const auto service : {outbound::platform::apns, outbound::platform::gcm, outbound::platform::fcm}) {
    check_arrival(*box, client, ada.register_token(service, "one"));
    check_arrival(*box, client, ada.register_token(service, "two"));
  }
  check_arrival(*box, client, ada.disable_token(outbound::platform::apns, "one"));
  check_arrival(*box, client, ada.disable_tokens(outbound::platform::fcm));
  check_arrival(*box, client, ada.unsubscribe());
  check_arrival(*box, client, ada.subscribe({"spring", "7"}));
  check_arrival(*box, client, ada.unsubscribe({7}));
  const json want = {{"user_id", "ada@example.com"},
                     {"apns", {"two"}},
                     {"gcm", {"one", "two"}},
                     {"fcm", json::array()},
                     {"attributes", json::object()},
                     {"previous_ids", json::array()},
                     {"subscriptions", {{"all", false}, {"campaigns", {{"7", false}, {"spring", true}}}}}};
  CHECK(box->get("/sandbox/users") == json::array({want}));
}

TEMPLATE_TEST_CASE("batches arrive as they were meant", "[transport]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  outbound::batch users;
  outbound::batch events;
  json want_events = json::array();
  for (int i = 0; i < 100; ++i) {
    REQUIRE(users.add(user{i}.identify().attribute("n", i)));
    REQUIRE(events.add(user{i}.track("step").property("n", i)));
    want_events.push_back({{"user_id", i}, {"event", "step"}, {"properties", {{"n", i}}}});
  }
  check_arrival(*box, client, users);
  check_arrival(*box, client, events);
  CHECK(box->get("/sandbox/users").size() == 100);
  CHECK(events_of(*box) == want_events);
}

TEMPLATE_TEST_CASE("the largest body arrives, and is not held back by Expect: 100-continue", "[transport]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  const std::string text(1024 * 1024 - 100, 'x');
  check_arrival(*box, client, user{"u"}.track("import").property("text", text));

  // libcurl waits for a second before it gives up on a server that does not say "100 Continue".
  const server mute{always(done)};
  outbound::request request = request_to(mute.url());
  request.body.assign(4 * 1024 * 1024, 'x');
  CHECK(time_of([&] { CHECK(TestType{}(request)); }) < 900ms);
}

TEMPLATE_TEST_CASE("the request goes out as it stands", "[transport][F37]", TRANSPORT) {
  std::string wire;
  const server recorder{[&](connection& c) {
    wire = c.read_message();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  }};
  outbound::request request = request_to(recorder.url());
  request.body = std::string{"{\"nul\":\"\0\"}", 11};  // not JSON: it shows that the length counts, not the first NUL
  REQUIRE(TestType{}(request));

  const std::size_t end = wire.find("\r\n\r\n");
  REQUIRE(end != std::string::npos);
  CHECK(wire.substr(end + 4) == request.body);
  const std::string head = wire.substr(0, end + 2);
  CHECK(head.rfind("POST /v2/track HTTP/1.1\r\n", 0) == 0);
  const auto count = [&](const std::string& text) {
    int n = 0;
    for (std::size_t at = head.find(text); at != std::string::npos; at = head.find(text, at + 1)) ++n;
    return n;
  };
  for (const outbound::header& h : request.headers) {
    CHECK(count("\r\n" + h.name + ": ") == 1);
    CHECK(count("\r\n" + h.name + ": " + h.value + "\r\n") == 1);
  }
  CHECK(count("\r\nContent-Length: 11\r\n") == 1);
  CHECK(count("\r\nHost: " + recorder.url().substr(7) + "\r\n") == 1);
  CHECK(count("100-continue") == 0);
  CHECK(count("Transfer-Encoding") == 0);
}

TEMPLATE_TEST_CASE("status, headers and body of the response arrive", "[transport][F39]", TRANSPORT) {
  const server polite{
      always("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nx-twice: one\r\nX-Odd:  spaces around  "
             "\r\nx-twice: two\r\n"
             "Content-Length: 4\r\n\r\na\0b\n"
             ""s)};
  const auto r = answer_of<TestType>(polite.url());
  INFO(shown(r));
  REQUIRE(r);
  CHECK(r->status == 429);
  CHECK(r->body == "a\0b\n"s);
  REQUIRE(outbound::find_header(r->headers, "retry-after") != nullptr);
  CHECK(*outbound::find_header(r->headers, "retry-after") == "120");
  CHECK(values_of(r->headers, "x-twice") == std::vector<std::string>{"one", "two"});
  CHECK(values_of(r->headers, "X-Odd") == std::vector<std::string>{"spaces around"});
  CHECK(outbound::interpret(*r).error().code == errc::throttled);
}

TEMPLATE_TEST_CASE("responses without a length, without a body, in chunks and after an interim one", "[transport][F39]",
                   TRANSPORT) {
  const auto hang_up_after = [](std::string response) {
    return [response = std::move(response)](connection& c) {
      if (!c.read_message().empty()) c.write(response);
    };
  };
  const auto check = [&](const server& s, int status, const std::string& body) {
    const auto r = answer_of<TestType>(s.url());
    INFO(shown(r));
    REQUIRE(r);
    CHECK(r->status == status);
    CHECK(r->body == body);
  };
  check(server{hang_up_after("HTTP/1.1 200 OK\r\n\r\nto the end")}, 200, "to the end");
  check(server{hang_up_after("HTTP/1.0 200 OK\r\n\r\nold")}, 200, "old");
  check(server{always("HTTP/1.1 204 No Content\r\n\r\n")}, 204, "");
  check(server{always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")}, 200,
        "abcde");
  check(server{always("HTTP/1.1 100 Continue\r\n\r\n" + std::string{done})}, 200, "{}");
}

TEMPLATE_TEST_CASE("a refusal reads well and does not hold the key", "[transport][F36]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  TestType transport;

  auto spoilt = client.prepare(user{"u"}.track("signup"));
  REQUIRE(spoilt);
  spoilt->body = R"({"event":"signup"})";
  const auto missing = outbound::interpret(*transport(*spoilt));
  check_failure(missing, errc::invalid_field);
  CHECK(missing.error().status == 400);
  CHECK(missing.error().message.find("user_id") != std::string::npos);

  spoilt->body = R"({"event":)";
  const auto malformed = outbound::interpret(*transport(*spoilt));
  check_failure(malformed, errc::malformed_json);
  CHECK(malformed.error().status == 500);

  auto stranger = client_of<TestType>(box->url(), secret);
  const auto unauthorized = stranger.send(user{"u"}.identify());
  check_failure(unauthorized, errc::unauthorized);
  CHECK(unauthorized.error().status == 401);

  auto lost = client_of<TestType>(box->url() + "/not/there", secret);
  const auto misdirected = lost.send(user{"u"}.identify());
  check_failure(misdirected, errc::misdirected);
  CHECK(misdirected.error().status == 404);

  CHECK(box->get("/sandbox").at("requests") == 0);
  CHECK(box->get("/sandbox/rejected").size() == 4);
}

TEMPLATE_TEST_CASE("nothing was sent: no host, no connection, no such scheme", "[transport]", TRANSPORT) {
  std::string nobody;
  {
    const server gone{always(done)};
    nobody = gone.url();
  }
  check_failure(answer_of<TestType>(nobody), errc::not_sent);
  check_failure(answer_of<TestType>("http://nonexistent.invalid"), errc::not_sent);

  outbound::request request = request_to(nobody);
  for (const char* url : {"ftp://127.0.0.1/v2/track", "file:///etc/hostname", "gopher://127.0.0.1:1/", "127.0.0.1:1/x",
                          "", "http://", "://", "/v2/track", "http://127.0.0.1:99999999/"}) {
    INFO(url);
    request.url = url;
    check_failure(TestType{}(request), errc::not_sent);
  }
}

TEMPLATE_TEST_CASE("F34: a line break in a header is refused before there is a connection", "[transport][F34]",
                   TRANSPORT) {
  const server untouched{always(done)};
  TestType transport;
  for (const std::string& evil : {"a\r\nX-Evil: 1"s, "a\nX-Evil: 1"s, "a\rX-Evil: 1"s, "a\0b"s, "\n"s}) {
    outbound::request request = request_to(untouched.url());
    request.headers.push_back({"X-Note", evil});
    check_failure(transport(request), errc::not_sent);
    request.headers.back() = {evil, "note"};
    check_failure(transport(request), errc::not_sent);
    request = request_to(untouched.url());
    request.url += evil;
    check_failure(transport(request), errc::not_sent);
    request = request_to(untouched.url());
    request.method += evil;
    check_failure(transport(request), errc::not_sent);
  }
  CHECK(untouched.connections() == 0);
  CHECK(transport(request_to(untouched.url())));
}

TEMPLATE_TEST_CASE("a server that never answers: no response, in time", "[transport]", TRANSPORT) {
  const server silent{[](connection& c) { c.wait_for_hang_up(); }};
  const auto took = time_of([&] { check_failure(answer_of<TestType>(silent.url(), 300ms), errc::no_response); });
  CHECK(took >= 250ms);
  CHECK(took < soon);
  CHECK(silent.connections() == 1);
}

TEMPLATE_TEST_CASE("a server that drips: the timeout is for the whole exchange", "[transport]", TRANSPORT) {
  const auto drip = [](std::string_view first, std::string_view drop) {
    return [first, drop](connection& c) {
      c.read_message();
      c.write(first);
      while (c.write(drop)) std::this_thread::sleep_for(20ms);
    };
  };
  const server in_the_head{drip("HTTP/1.1 200 OK\r\n", "X-More: and more\r\n")};
  const auto took = time_of([&] { check_failure(answer_of<TestType>(in_the_head.url(), 300ms), errc::no_response); });
  CHECK(took < soon);

  // The head said that the message was taken: sent again, it would count twice.
  const server in_the_body{drip("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "x")};
  const auto took_too = time_of([&] {
    const auto r = answer_of<TestType>(in_the_body.url(), 300ms);
    INFO(shown(r));
    CHECK(r);
    CHECK(r->status == 200);
  });
  CHECK(took_too < soon);
}

TEMPLATE_TEST_CASE("a server that hangs up or talks nonsense: no response", "[transport][F39]", TRANSPORT) {
  const auto say = [](std::string words) {
    return [words = std::move(words)](connection& c) {
      if (!c.read_message().empty()) c.write(words);
    };
  };
  for (const std::string& words :
       {""s, "garbage\r\n\r\n"s, "\0\xFF\xFE\r\n\r\n"s, "SSH-2.0-OpenSSH_9.2\r\n"s, "HTTP/1.1 "s,
        "HTTP/1.1 100 Continue\r\n\r\n"s, "HTTP/9.9 200 OK\r\n\r\n"s, "HTTP/1.1 abc\r\n\r\n"s}) {
    INFO(words);
    const server confused{say(words)};
    check_failure(answer_of<TestType>(confused.url()), errc::no_response);
    CHECK(confused.connections() == 1);
  }
  const server rude{[](connection& c) {
    c.read_message();
    c.reset_at_close();
  }};
  check_failure(answer_of<TestType>(rude.url()), errc::no_response);
  CHECK(rude.connections() == 1);

  // The status is there, but the head breaks off. To libcurl that is a response.
  const server half{say("HTTP/1.1 200 OK\r\nX-Half: a head")};
  const auto r = answer_of<TestType>(half.url());
  INFO(shown(r));
  CHECK((r ? r->status == 200 : r.error().code == errc::no_response));
  CHECK(half.connections() == 1);
}

TEMPLATE_TEST_CASE("a response that is too long is cut off, and counts", "[transport][F39]", TRANSPORT) {
  const server chatty{[](connection& c) {
    c.read_message();
    const std::string much(64 * 1024, 'x');
    c.write("HTTP/1.1 200 OK\r\n\r\n");
    while (c.write(much)) {
    }
  }};
  const auto took = time_of([&] {
    const auto r = answer_of<TestType>(chatty.url());
    INFO(shown(r));
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body.size() == TestType::max_body);
  });
  CHECK(took < soon);

  const server brief{[](connection& c) {
    c.read_message();
    c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}");  // and closes
  }};
  const auto broken_off = answer_of<TestType>(brief.url());
  INFO(shown(broken_off));
  REQUIRE(broken_off);
  CHECK(broken_off->status == 200);
  CHECK(broken_off->body == "{}");
}

TEMPLATE_TEST_CASE("F46: a head whose body breaks off before its first byte is the response", "[transport][F46]",
                   TRANSPORT) {
  for (const std::string& head : {"200 OK\r\nContent-Length: 20"s, "200 OK\r\nTransfer-Encoding: chunked"s,
                                  "400 Bad Request\r\nContent-Length: 20"s}) {
    for (const bool stalls : {false, true}) {
      INFO(head << (stalls ? " stalls" : ""));
      const server brief{[&](connection& c) {
        c.read_message();
        c.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 " + head + "\r\n\r\n");
        if (stalls) c.wait_for_hang_up();
      }};
      const auto r = answer_of<TestType>(brief.url(), stalls ? 1500ms : 10s);
      INFO(shown(r));
      REQUIRE(r);
      CHECK(std::to_string(r->status) == head.substr(0, 3));
      CHECK(r->body.empty());
      CHECK(brief.connections() == 1);
    }
  }
}

TEMPLATE_TEST_CASE("F46: a head of 20 kB is a response", "[transport][F46]", TRANSPORT) {
  std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
  for (int i = 0; i < 90; ++i) head += "Set-Cookie: c" + std::to_string(i) + '=' + std::string(200, 'x') + "\r\n";
  const server generous{always(head + "\r\n{}")};
  const auto r = answer_of<TestType>(generous.url());
  INFO(shown(r));
  REQUIRE(r);
  CHECK(r->status == 200);
  CHECK(r->body == "{}");
  CHECK(values_of(r->headers, "Set-Cookie").size() == 90);
}

TEMPLATE_TEST_CASE("F46: what a server says without being asked answers no request", "[transport][F46]", TRANSPORT) {
#ifdef TRANSPORT_TAKES_GHOSTS
  if (TRANSPORT_TAKES_GHOSTS) {
    WARN("SKIPPED: this version of the library does not look, and gives nobody else a chance to");
    return;
  }
#endif
  std::atomic<int> answered{0}, said{0};
  const server haunted{[&](connection& c) {
    if (c.read_message().empty()) return;
    c.write(done);
    for (int n = 0; answered == said && n < 10'000; ++n) std::this_thread::sleep_for(1ms);
    c.write("HTTP/1.1 201 Ghost\r\nContent-Length: 0\r\n\r\n");
    ++said;
  }};
  TestType transport;
  for (int i = 1; i <= 3; ++i) {
    const auto r = transport(request_to(haunted.url()));
    INFO(shown(r));
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(haunted.connections() == i);
    answered = i;
    while (said != i) std::this_thread::sleep_for(1ms);
  }
}

TEMPLATE_TEST_CASE("redirects are not followed", "[transport]", TRANSPORT) {
  const server elsewhere{always(done)};
  for (const char* status : {"301", "302", "303", "307", "308"}) {
    INFO(status);
    const server moved{always("HTTP/1.1 "s + status + " Moved\r\nLocation: " + elsewhere.url() +
                              "/v2/track\r\nContent-Length: 0\r\n\r\n")};
    const auto r = answer_of<TestType>(moved.url());
    REQUIRE(r);
    CHECK(std::to_string(r->status) == status);
    check_failure(outbound::interpret(*r), errc::misdirected);
  }
  CHECK(elsewhere.connections() == 0);
}

TEMPLATE_TEST_CASE("the connection is kept, also by a transport that has moved", "[transport]", TRANSPORT) {
  const server counting{always(done)};
  TestType first;
  CHECK(first(request_to(counting.url())));
  TestType second = std::move(first);
  CHECK(second(request_to(counting.url())));
  CHECK(second(request_to(counting.url())));
  CHECK(counting.connections() == 1);

  const server other{always(done)};
  CHECK(second(request_to(other.url())));
  CHECK(second(request_to(counting.url())));
  CHECK(other.connections() == 1);
  static_assert(!std::is_copy_constructible_v<TestType> && std::is_nothrow_move_constructible_v<TestType>);
}

TEMPLATE_TEST_CASE("a request does not wait for an acknowledgement", "[transport]", TRANSPORT) {
  const server prompt{always(done)};
  TestType transport;
  const outbound::request request = request_to(prompt.url());
  // Nagle's algorithm and a delayed ACK together make 40 ms of each, where head and body are written apart.
  CHECK(time_of([&] {
          for (int i = 0; i < 50; ++i) CHECK(transport(request));
        }) < 1s);
}

TEMPLATE_TEST_CASE("F46: processed, then dropped, on a connection that was kept: counted once", "[transport][F46]",
                   TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  REQUIRE(client.send(user{"u"}.identify()));
  box->post("/sandbox/faults", {{"drop_after", 1}});
  check_failure(client.send(user{"u"}.track("purchase")), errc::no_response);
  CHECK(events_of(*box).size() == 1);
  CHECK(client.send(user{"u"}.track("and on it goes")));
  CHECK(events_of(*box).size() == 2);
  CHECK(box->get("/sandbox").at("requests") == 3);
}

TEMPLATE_TEST_CASE("F46: dropped unprocessed on a connection that was kept: not sent again", "[transport][F46]",
                   TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  REQUIRE(client.send(user{"u"}.identify()));
  box->post("/sandbox/faults", {{"drop_before", 1}});
  check_failure(client.send(user{"u"}.track("purchase")), errc::no_response);
  CHECK(events_of(*box).empty());
  CHECK(client.send(user{"u"}.track("and on it goes")));
  CHECK(events_of(*box).size() == 1);
}

TEMPLATE_TEST_CASE("F46: large bodies are not sent again either", "[transport][F46]", TRANSPORT) {
  std::atomic<int> requests{0};
  const server forgetful{[&](connection& c) {
    while (!c.read_message().empty()) {
      if (++requests == 2) return;
      c.write(done);
    }
  }};
  TestType transport;
  outbound::request request = request_to(forgetful.url());
  REQUIRE(transport(request));
  request.body.assign(3 * 1024 * 1024, 'x');
  check_failure(transport(request), errc::no_response);
  CHECK(requests == 2);
  REQUIRE(transport(request));
  CHECK(requests == 3);
}

TEMPLATE_TEST_CASE("a connection that the server closed while it was idle: no message is lost or doubled",
                   "[transport]", TRANSPORT) {
  std::atomic<int> requests{0};
  const server impatient{[&](connection& c) {
    if (c.read_message().empty()) return;
    ++requests;
    c.write(done);  // and closes, without having said so
  }};
  TestType transport;
  for (int i = 1; i <= 5; ++i) {
    const int before = requests;
    const auto r = transport(request_to(impatient.url()));
    INFO(shown(r));
    if (r) CHECK(requests == before + 1);
    if (!r && r.error().code == errc::not_sent) CHECK(requests == before);
    CHECK(requests <= before + 1);
    std::this_thread::sleep_for(20ms);  // the close arrives
  }
  CHECK(requests >= 3);
}

TEMPLATE_TEST_CASE("a server that was started again on the same port", "[transport]", TRANSPORT) {
  auto box = sandbox::start();
  if (!box) return;
  auto client = client_of<TestType>(box->url(), sandbox::key);
  REQUIRE(client.send(user{"u"}.track("before")));
  const int port = box->port();
  box.reset();
  box = sandbox::start(port);
  const auto r = client.send(user{"u"}.track("after"));
  INFO(shown(r));
  const std::size_t arrived = events_of(*box).size();
  CHECK(arrived <= 1);
  if (r) CHECK(arrived == 1);
  if (!r) CHECK((r.error().code == errc::no_response || (r.error().code == errc::not_sent && arrived == 0)));
  CHECK(client.send(user{"u"}.track("later")));
}

TEMPLATE_TEST_CASE("any timeout is a bound", "[transport][F44]", TRANSPORT) {
  const server prompt{always(done)};
  using std::chrono::milliseconds;
  for (const milliseconds timeout : {(milliseconds::max)(), milliseconds{24h}, milliseconds{INT32_MAX}}) {
    INFO(timeout.count());
    outbound::request request = request_to(prompt.url());
    request.timeout = timeout;
    const auto r = TestType{}(request);
    INFO(shown(r));
    CHECK(r);
  }
  const server silent{[](connection& c) { c.wait_for_hang_up(); }};
  for (const milliseconds timeout : {(milliseconds::min)(), milliseconds{-1}, milliseconds{0}, milliseconds{1}}) {
    INFO(timeout.count());
    outbound::request request = request_to(silent.url());
    request.timeout = timeout;
    CHECK(time_of([&] { CHECK_FALSE(TestType{}(request)); }) < soon);
  }
}

TEMPLATE_TEST_CASE("transports in many threads, each with its own", "[transport][F75]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      auto client = client_of<TestType>(box->url(), sandbox::key);
      for (int i = 0; i < 25; ++i) {
        if (client.send(user{t}.track("tick").property("i", i))) ++taken;
      }
    });
  }
  for (std::thread& one : threads) one.join();
  CHECK(taken == 200);
  CHECK(events_of(*box).size() == 200);
}

namespace {

/// A throw-away authority, which signs through an intermediate one, as those of the web do.
class authority {
 public:
  authority() { root_.write_to(file()); }

  /// What a client has to trust.
  std::string file() const { return folder_.file("root.pem"); }
  const test::certificate& root() const { return root_; }
  const test::certificate& intermediate() const { return intermediate_; }

  test::identity vouch_for(const test::certificate::wishes& server) const {
    return test::identity{test::certificate{server, &intermediate_}, {&intermediate_}};
  }

 private:
  static test::certificate::wishes named(const char* name) {
    test::certificate::wishes w;
    w.common_name = name;
    w.authority = true;
    return w;
  }

  test::folder folder_{};
  test::certificate root_{named("root of outbound-test")};
  test::certificate intermediate_{named("intermediate of outbound-test"), &root_};
};

test::certificate::wishes localhost() {
  test::certificate::wishes w;
  w.common_name = "outbound-test";
  w.names = "DNS:localhost";
  return w;
}

server::script over_tls(const test::identity& who, server::script inner) {
  return [context = who.context(), inner = std::move(inner)](connection& c) {
    if (c.shake_hands(context)) inner(c);
  };
}

/// Hands the requests on to the sandbox, and its answers back.
server::script relay_to(const sandbox& box) {
  return [port = box.port()](connection& client) {
    connection upstream{connected_to(port)};
    for (;;) {
      const std::string request = client.read_message();
      if (request.empty() || !upstream.write(request)) return;
      const std::string response = upstream.read_message();
      if (response.empty() || !client.write(response)) return;
    }
  };
}

}  // namespace

TEMPLATE_TEST_CASE("TLS: what arrives at the sandbox is what was meant", "[transport][tls]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  const authority ours;
  const test::identity who = ours.vouch_for(localhost());
  const server relay{over_tls(who, relay_to(*box))};
  auto client = client_of<TestType>(relay.url("https", "localhost"), sandbox::key, 10s, TestType{ours.file()});
  const user ada{"ada@example.com"};
  check_arrival(*box, client, ada.identify().first_name("Zoë").attribute("plan", "pro"));
  check_arrival(*box, client, ada.track("purchase").property("price", 19.99));
  check_arrival(*box, client, ada.track("essay").property("text", std::string(200'000, 'x')));
  CHECK(relay.connections() == 1);

  box->post("/sandbox/faults", {{"drop_after", 1}});
  check_failure(client.send(ada.track("lost")), errc::no_response);
  check_arrival(*box, client, ada.track("later"));
}

TEMPLATE_TEST_CASE("TLS: only a server that proves who it is gets anything", "[transport][tls]", TRANSPORT) {
  const auto box = sandbox::start();
  if (!box) return;
  const authority ours;
  const auto say = [&](const server& relay, const std::string& host, const std::string& ca_file) {
    auto client = client_of<TestType>(relay.url("https", host), sandbox::key, 10s, TestType{ca_file});
    return client.send(user{"u"}.track("signup"));
  };
  const auto check_refusal = [&](const char* what, const test::identity& who, const char* host = "localhost") {
    INFO(what);
    const server relay{over_tls(who, relay_to(*box))};
    check_failure(say(relay, host, ours.file()), errc::not_sent);
    CHECK(relay.connections() == 1);
  };

  auto wish = localhost();
  wish.names = "DNS:other.example";
  check_refusal("for another host", ours.vouch_for(wish));
  wish.common_name = "localhost";
  check_refusal("for another host, and with this one's name where names no longer count", ours.vouch_for(wish));
  wish = localhost();
  wish.names = "DNS:*";
  check_refusal("for all hosts", ours.vouch_for(wish));
  wish.names = "DER:301A82186C6F63616C686F7374002E6F746865722E6578616D706C65";  // localhost NUL .other.example
  check_refusal("for another host, whose name goes on behind a NUL", ours.vouch_for(wish));
  check_refusal("for a name, not for the address", ours.vouch_for(localhost()), "127.0.0.1");
  wish = localhost();
  wish.first_day = -3;
  wish.last_day = -1;
  check_refusal("expired", ours.vouch_for(wish));
  wish.first_day = 1;
  wish.last_day = 3;
  check_refusal("not valid yet", ours.vouch_for(wish));
  wish = localhost();
  wish.usage = "clientAuth";
  check_refusal("for clients", ours.vouch_for(wish));

  const authority of_same_name;
  check_refusal("of an authority that is unknown", of_same_name.vouch_for(localhost()));
  const test::certificate self_signed{localhost()};
  check_refusal("of nobody", test::identity{self_signed});
  const test::certificate good{localhost(), &ours.intermediate()};
  check_refusal("without what leads to the authority", test::identity{good});
  const test::certificate by_server{localhost(), &good};
  check_refusal("of a server, which is no authority", test::identity{by_server, {&good, &ours.intermediate()}});

  const test::identity who{good, {&ours.intermediate()}};
  const server relay{over_tls(who, relay_to(*box))};
  check_failure(say(relay, "localhost", ""), errc::not_sent);  // of an authority that the system does not know
  check_failure(say(relay, "localhost", "/not/there.pem"), errc::not_sent);
  CHECK(box->get("/sandbox/requests").empty());

  const auto r = say(relay, "localhost", ours.file());
  INFO(shown(r));
  CHECK(r);
  wish = localhost();
  wish.names = "DNS:other.example,IP:127.0.0.1";
  const test::identity address = ours.vouch_for(wish);
  const auto by_address = say(server{over_tls(address, relay_to(*box))}, "127.0.0.1", ours.file());
  INFO(shown(by_address));
  CHECK(by_address);
  CHECK(box->get("/sandbox/requests").size() == 2);
}

TEMPLATE_TEST_CASE("TLS: a server that cannot shake hands, or does not: nothing was sent", "[transport][tls]",
                   TRANSPORT) {
  const server plain{[](connection& c) {
    c.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    c.wait_for_hang_up();
  }};
  check_failure(answer_of<TestType>(plain.url("https")), errc::not_sent);
  const server closing{[](connection& c) { c.say_goodbye(); }};
  check_failure(answer_of<TestType>(closing.url("https")), errc::not_sent);
  const server silent{[](connection& c) { c.wait_for_hang_up(); }};
  CHECK(time_of([&] { check_failure(answer_of<TestType>(silent.url("https"), 300ms), errc::not_sent); }) < soon);
}

TEMPLATE_TEST_CASE("F46: TLS: read, then dropped, on a connection that was kept: not sent again",
                   "[transport][tls][F46]", TRANSPORT) {
  const authority ours;
  const test::identity who = ours.vouch_for(localhost());
  std::atomic<int> requests{0};
  const server forgetful{over_tls(who, [&](connection& c) {
    while (!c.read_message().empty()) {
      if (++requests % 2 == 0) return c.say_goodbye();
      c.write(done);
    }
  })};
  TestType transport{ours.file()};
  outbound::request request = request_to(forgetful.url("https", "localhost"));
  for (int i = 0; i < 10; i += 2) {
    CHECK(transport(request));
    CHECK(requests == i + 1);
    check_failure(transport(request), errc::no_response);
    CHECK(requests == i + 2);
  }
}

namespace {

// Counts SIGPIPE, which would end the program.
class pipe_signals {
 public:
  pipe_signals() {
    count() = 0;
    struct sigaction counting {};
    counting.sa_handler = [](int) { count() = count() + 1; };
    REQUIRE(sigaction(SIGPIPE, &counting, &old_) == 0);
  }
  pipe_signals(const pipe_signals&) = delete;
  pipe_signals& operator=(const pipe_signals&) = delete;
  ~pipe_signals() { sigaction(SIGPIPE, &old_, nullptr); }
  int raised() const { return count(); }

 private:
  static volatile std::sig_atomic_t& count() {
    static volatile std::sig_atomic_t n = 0;
    return n;
  }
  struct sigaction old_ {};
};

}  // namespace

TEMPLATE_TEST_CASE("TLS: writing to a connection that has gone raises no SIGPIPE", "[transport][tls]", TRANSPORT) {
  const authority ours;
  const test::identity who = ours.vouch_for(localhost());
  const server rude{over_tls(who, [](connection& c) {
    std::string some;
    c.read_some(some);
    c.say_goodbye();
    std::this_thread::sleep_for(5ms);
    c.reset_at_close();
  })};
  TestType transport{ours.file()};
  outbound::request request = request_to(rude.url("https", "localhost"));
  request.body.assign(8 * 1024 * 1024, 'x');

  const pipe_signals signals;
  for (int i = 0; i < 10; ++i) CHECK_FALSE(transport(request));
  CHECK(signals.raised() == 0);
}

TEMPLATE_TEST_CASE("TLS: to take leave of a server that has gone raises no SIGPIPE", "[transport][tls]", TRANSPORT) {
  const authority ours;
  const test::identity who = ours.vouch_for(localhost());
  const server gone{over_tls(who, [](connection& c) {
    if (c.read_message().empty()) return;
    c.write(done);
    c.say_goodbye();
    std::this_thread::sleep_for(10ms);
    c.reset_at_close();
  })};
  const server other{over_tls(who, always(done))};
  const pipe_signals signals;
  for (int i = 0; i < 5; ++i) {
    TestType transport{ours.file()};
    CHECK(transport(request_to(gone.url("https", "localhost"))));
    std::this_thread::sleep_for(50ms);
    if (i % 2 == 0) CHECK(transport(request_to(other.url("https", "localhost"))));
  }
  CHECK(signals.raised() == 0);
}
