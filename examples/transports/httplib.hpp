// A transport for outbound.hpp over cpp-httplib, 0.11 or newer, with OpenSSL: copy this file, compile with
// -DCPPHTTPLIB_OPENSSL_SUPPORT, link with -lssl -lcrypto -pthread, and, where it is a library (Debian), -lcpp-httplib.
//
//     outbound::client client{"your-private-key", transports::httplib_transport{}};
//     auto sent = client.send(outbound::user{"ada@example.com"}.track("signup"));
//
// It verifies the server, follows no redirect, sends nothing twice, and keeps its connection for the next request. One
// object serves one thread at a time. A request runs in a thread of its own, as cpp-httplib bounds only the time from
// byte to byte. Not bounded: the look-up of the host, how many of its addresses are tried for `max_connect`, the memory
// for a head and, before 0.53, a status line: one of 30 kB crashes the client.
#ifndef OUTBOUND_TRANSPORTS_HTTPLIB_HPP
#define OUTBOUND_TRANSPORTS_HTTPLIB_HPP
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#error "no TLS: compile whatever includes httplib.h with -DCPPHTTPLIB_OPENSSL_SUPPORT"
#endif
#include "outbound.hpp"

#include <httplib.h>
#include <openssl/x509v3.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace transports {
class httplib_transport {
 public:
  static constexpr std::chrono::seconds max_connect{10};  // to connect to one address, and to shake hands
  static constexpr std::chrono::milliseconds tick{10};    // between two tries to stop a request that is late
  static constexpr std::size_t max_body = 1024 * 1024;    // of a response: what is longer is cut off here
  /// `ca_file`: the certificate authorities to trust, in PEM; empty: those of the system.
  explicit httplib_transport(std::string ca_file = {}) : ca_file_{std::move(ca_file)} {}

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    const auto limit = std::clamp(request.timeout, std::chrono::milliseconds{1}, std::chrono::milliseconds{3'600'000});
    outbound::response response{};
    bool complete = false;  // may it all have left?
    std::atomic<bool> late{false};
    std::string why;
    httplib::Request message;
    message.response_handler = [&](const httplib::Response& head) {
      response.status = head.status;
      for (const auto& [name, value] : head.headers) response.headers.push_back({name, value});
      return true;
    };
    message.content_receiver = [&](const char* data, std::size_t size, auto, auto) {
      return response.body.append(data, (std::min)(size, max_body - response.body.size())).size() < max_body;
    };
    message.content_length_ = request.body.size();
    message.content_provider_ = [&](std::size_t offset, std::size_t size, httplib::DataSink& sink) {
      if (offset == 0 && (late || std::exchange(complete, true))) return false;  // 0.12 sends again where TLS ended
      return sink.write(request.body.data() + offset, size), true;               // if that fails, cpp-httplib knows why
    };
    try {
      message.method = clean(request.method);
      message.path = open(request.url, limit);
      for (const outbound::header& h : request.headers) message.headers.emplace(clean(h.name), clean(h.value));
#ifdef CPPHTTPLIB_EXPECT_100_THRESHOLD
      message.headers.emplace("Expect", "");  // or a large body would wait for "100 Continue"
#endif
      complete = request.body.empty();  // without its body a request is nothing to a server
      auto exchange = std::async(std::launch::async, [&] { return hold_off_sigpipe(), client_->send(message); });
      for (auto patience = limit; exchange.wait_for(patience) != std::future_status::ready; patience = tick)
        late = true, client_->stop();
      const httplib::Result result = exchange.get();
      if (result && response.status == 0) message.response_handler(*result);  // which is not called for a 204
      why = "cpp-httplib: " + httplib::to_string(result.error()) + " (" + origin_ + ")";
    } catch (const std::exception& e) {
      why = e.what();
    }
    // With a head all that matters is known: that the body was too long, or broke off, is no reason to send again.
    if (response.status >= 200) return response;
    return outbound::error{complete ? outbound::errc::no_response : outbound::errc::not_sent, 0, why};
  }

 private:
  // A line break would make two headers of one, and cpp-httplib sees nothing behind a NUL.
  static const std::string& clean(const std::string& s) {
    return s.find_first_of("\r\n\0", 0, 3) == s.npos ? s : throw std::invalid_argument{"CR, LF, NUL in URL or header"};
  }
  static void hold_off_sigpipe() {  // which comes of writing to a connection that has gone, and would end the program
#ifndef _WIN32
    sigset_t signals;
    if (sigemptyset(&signals) == 0 && sigaddset(&signals, SIGPIPE) == 0) pthread_sigmask(SIG_BLOCK, &signals, nullptr);
#endif
  }
  struct closer {
    void operator()(httplib::Client* client) const noexcept {  // takes leave of a TLS server, which may have gone
      try {
        std::async(std::launch::async, [client] { hold_off_sigpipe(), delete client; }).wait();
      } catch (const std::system_error&) {  // there is no thread for it
        delete client;
      }
    }
  };
  // A server that has closed a connection, or speaks without being asked, gets no more requests on it.
  bool is_idle() const {
#ifdef _WIN32
    return true;
#else
    char next = 0;
    const socket_t socket = client_->socket();
    return socket == INVALID_SOCKET || (recv(socket, &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
#endif
  }
  // cpp-httplib also takes a certificate for "*", or for another host if this one is its common name: OpenSSL does not.
  static bool expect(const std::string& host, X509_VERIFY_PARAM* peer) {
    X509_VERIFY_PARAM_set_hostflags(peer, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_ip_asc(peer, host.c_str()) == 1 ||
           X509_VERIFY_PARAM_set1_host(peer, host.data(), host.size()) == 1;
  }
  // Returns the path. The client, and with it the connection, is kept while the requests go to the same origin.
  std::string open(const std::string& url, std::chrono::milliseconds limit) {
    const std::size_t path = clean(url).find('/', url.find("://") + 3);
    const std::string origin = url.substr(0, path);
    if (!client_ || origin != origin_ || !is_idle()) {
      std::unique_ptr<httplib::Client, closer> client{new httplib::Client{origin}};
#ifdef CPPHTTPLIB_SSL_ENABLED
      auto* const tls = static_cast<SSL_CTX*>(client->tls_context());
#else  // before 0.31
      auto* const tls = client->ssl_context();
#endif
      const std::string host = std::regex_replace(origin, std::regex{R"(^.*//\[?|\]?(:\d+)?$)"}, "");
      if (!client->is_valid() || (tls != nullptr && !expect(host, SSL_CTX_get0_param(tls))))
        throw std::invalid_argument{"cpp-httplib knows no way to " + origin};
      if (!ca_file_.empty()) client->set_ca_cert_path(ca_file_);
      client->set_keep_alive(true), client->set_tcp_nodelay(true);  // or the body would wait for the ACK of the head
      client_ = std::move(client), origin_ = origin;
    }
    client_->set_connection_timeout((std::min<std::chrono::milliseconds>)(limit, max_connect));
    client_->set_read_timeout(limit), client_->set_write_timeout(limit);
    return path == url.npos ? "/" : url.substr(path);
  }
  std::string ca_file_, origin_{};
  std::unique_ptr<httplib::Client, closer> client_{};
};
}  // namespace transports
#endif
