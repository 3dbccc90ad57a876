// A transport for outbound.hpp over POCO, 1.11 or newer, with OpenSSL: copy this file, link with -lPocoNetSSL
// -lPocoCrypto -lPocoNet -lPocoFoundation -pthread.
//
//     outbound::client client{"your-private-key", transports::poco_transport{}};
//     auto sent = client.send(outbound::user{"ada@example.com"}.track("signup"));
//
// It verifies the server, follows no redirect, sends nothing twice, and keeps its connection for the next request. One
// object serves one thread at a time. A request runs in a thread of its own, as POCO bounds only the time from byte to
// byte: when the time is over, its socket is shut down. Not bounded: the look-up of the host. POSIX.
#ifndef OUTBOUND_TRANSPORTS_POCO_HPP
#define OUTBOUND_TRANSPORTS_POCO_HPP
#include "outbound.hpp"

#include <Poco/Exception.h>
#include <Poco/Net/Context.h>
#include <Poco/Net/DNS.h>
#include <Poco/Net/HTTPRequest.h>
#include <Poco/Net/HTTPResponse.h>
#include <Poco/Net/HTTPClientSession.h>
#include <Poco/Net/NetException.h>
#include <Poco/Net/SecureStreamSocket.h>
#include <Poco/URI.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

namespace transports {
class poco_transport {
 public:
  static constexpr std::chrono::seconds max_connect{10};  // to connect to the host, and to shake hands
  static constexpr std::size_t max_body = 1024 * 1024;    // of a response: what is longer is cut off here

  /// `ca_file`: the certificate authorities to trust, in PEM; empty: those of the system.
  explicit poco_transport(std::string ca_file = {}) : ca_file_{std::move(ca_file)} {}

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    const auto limit = std::clamp(request.timeout, std::chrono::milliseconds{1}, std::chrono::milliseconds{3'600'000});
    const auto end = std::chrono::steady_clock::now() + limit;
    exchange x;
    std::future<void> done;
    try {
      done = std::async(std::launch::async, [&] { run(request, limit, x); });
    } catch (const std::exception& e) {
      return outbound::error{outbound::errc::not_sent, 0, e.what()};
    }
    auto patience = end;
    while (done.wait_until(patience) != std::future_status::ready) {
      x.late = true;
      if (const int socket = x.socket; socket >= 0) ::shutdown(socket, SHUT_RDWR);
      patience = std::chrono::steady_clock::now() + std::chrono::milliseconds{10};
    }
    if (x.socket >= 0) ::close(x.socket);
    if (!x.keep) session_.reset();
    // With a head all that matters is known: that the body was too long, or broke off, is no reason to send again.
    if (x.response.status >= 200) return std::move(x.response);
    return outbound::error{x.sent ? outbound::errc::no_response : outbound::errc::not_sent, 0, "POCO: " + x.why};
  }

 private:
  struct exchange {
    outbound::response response{};
    bool sent{};  // it may have left, in part
    bool keep{};
    std::string why{};
    std::atomic<bool> late{};
    std::atomic<int> socket{-1};  // a duplicate: to be shut down when the time is over, whoever has closed it by then
  };
  // A session that was given its connection, and makes no other by itself.
  struct session : Poco::Net::HTTPClientSession {
    using HTTPClientSession::HTTPClientSession;
    int descriptor() { return socket().impl()->sockfd(); }
    bool
    is_idle() {  // a server that has closed a connection, or speaks without being asked, gets no more requests on it
      char next = 0;
      return ::recv(descriptor(), &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    }
    bool has_more() const { return buffered() != 0; }

   protected:
    void connect(const Poco::Net::SocketAddress&) override {
      throw Poco::Net::ConnectionResetException{"the connection has ended"};
    }
    // HTTPClientSession's connects and writes again when the first write fails.
    int write(const char* data, std::streamsize size) override { return HTTPSession::write(data, size); }
  };

  // A line break would make two headers of one.
  static const std::string& clean(const std::string& s) {
    if (s.find_first_of("\r\n\0", 0, 3) == s.npos) return s;
    throw Poco::InvalidArgumentException{"CR, LF or NUL in the URL or in a header"};
  }

  static void hold_off_sigpipe() {  // which comes of writing to a connection that has gone, and would end the program
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }

  void run(const outbound::request& request, std::chrono::milliseconds limit, exchange& x) {
    namespace net = Poco::Net;
    hold_off_sigpipe();
    try {
      const Poco::URI url{clean(request.url)};
      const std::size_t path = request.url.find('/', request.url.find("://") + 3);
      net::HTTPRequest head{clean(request.method), path == request.url.npos ? "/" : request.url.substr(path),
                            net::HTTPMessage::HTTP_1_1};
      head.set("Host", url.getAuthority());
      for (const outbound::header& h : request.headers) head.add(clean(h.name), clean(h.value));
      head.setContentLength64(static_cast<Poco::Int64>(request.body.size()));
      const std::string origin = url.getScheme() + "://" + url.getAuthority();
      if (!session_ || origin != origin_ || !session_->is_idle()) open(url, limit, x);
      else x.socket = ::fcntl(session_->descriptor(), F_DUPFD_CLOEXEC, 0);
      origin_ = origin;
      session_->setTimeout(span(limit));
      x.sent = true;
      talk(head, request.body, x);
    } catch (const Poco::Exception& e) {
      x.why = e.displayText();
    } catch (const std::exception& e) {
      x.why = e.what();
    }
    for (char& c : x.why) c = c == '\r' || c == '\n' ? ' ' : c;  // the text may be the server's
  }

  static Poco::Timespan span(std::chrono::milliseconds t) { return t.count() * Poco::Timespan::MILLISECONDS; }

  void open(const Poco::URI& url, std::chrono::milliseconds limit, exchange& x) {
    namespace net = Poco::Net;
    session_.reset();
    const bool tls = url.getScheme() == "https";
    if (url.getHost().empty() || (!tls && url.getScheme() != "http"))
      throw Poco::InvalidArgumentException{"the URL is not one of HTTP"};
    const Poco::Timespan patience = span((std::min<std::chrono::milliseconds>)(limit, max_connect));
    net::StreamSocket socket;
    const auto addresses = net::DNS::resolve(url.getHost()).addresses();
    const auto end = std::chrono::steady_clock::now() + (std::min<std::chrono::milliseconds>)(limit, max_connect);
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      try {
        socket = net::StreamSocket{};
        socket.connect(net::SocketAddress{addresses[i], url.getPort()},
                       span((std::max)(left, std::chrono::milliseconds{1})));
        break;
      } catch (const Poco::Exception&) {
        if (i + 1 == addresses.size() || left.count() <= 0) throw;
      }
    }
    x.socket = ::fcntl(socket.impl()->sockfd(), F_DUPFD_CLOEXEC, 0);
    socket.setNoDelay(true);
    socket.setReceiveTimeout(patience);
    socket.setSendTimeout(patience);
    if (tls) socket = shake_hands(socket, url.getHost());
    session_ = std::make_unique<session>(socket);
    session_->setKeepAlive(true);
  }

  Poco::Net::StreamSocket shake_hands(const Poco::Net::StreamSocket& socket, const std::string& host) {
    namespace net = Poco::Net;
    if (!context_) {
      net::Context::Params trust;
      trust.verificationMode = net::Context::VERIFY_STRICT;  // the others let a certificate for any host be localhost's
      trust.caLocation = ca_file_;
      trust.loadDefaultCAs = ca_file_.empty();
      context_ = new net::Context{net::Context::TLS_CLIENT_USE, trust};
      context_->requireMinimumProtocol(net::Context::PROTO_TLSV1_2);
    }
    return net::SecureStreamSocket::attach(socket, host, context_);
  }

  void talk(Poco::Net::HTTPRequest& head, const std::string& body, exchange& x) {
    namespace net = Poco::Net;
    std::ostream& out = session_->sendRequest(head);
    out.write(body.data(), static_cast<std::streamsize>(body.size())).flush();
    net::HTTPResponse answer;
    answer.setFieldLimit(200);
    std::istream& in = session_->receiveResponse(answer);
    if (x.late) throw Poco::TimeoutException{"the time is over"};  // to POCO, a head may end where the connection does
    if (answer.getVersion().rfind("HTTP/1.", 0) != 0 || answer.getStatus() < 200)
      throw net::MessageException{"no response of HTTP/1"};
    x.response.status = static_cast<int>(answer.getStatus());
    for (const auto& [name, value] : answer) x.response.headers.push_back({name, value});
    char some[16 * 1024];
    while (in && x.response.body.size() < max_body) {
      in.read(some, static_cast<std::streamsize>((std::min)(sizeof some, max_body - x.response.body.size())));
      x.response.body.append(some, static_cast<std::size_t>(in.gcount()));
    }
    const Poco::Int64 length = answer.getContentLength64();
    const bool complete = length == static_cast<Poco::Int64>(x.response.body.size()) || answer.getStatus() == 204;
    x.keep = complete && answer.getKeepAlive() && !session_->has_more() && session_->networkException() == nullptr;
  }

  std::string ca_file_;
  std::string origin_{};
  Poco::Net::Context::Ptr context_{};
  std::unique_ptr<session> session_{};
};
}  // namespace transports
#endif
