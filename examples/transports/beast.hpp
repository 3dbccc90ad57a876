// A transport for outbound.hpp over Boost.Beast, Boost 1.74 or newer, with OpenSSL: copy this file, link with -lssl
// -lcrypto -pthread.
//
//     outbound::client client{"your-private-key", transports::beast_transport{}};
//     auto sent = client.send(outbound::user{"ada@example.com"}.track("signup"));
//
// It verifies the server, follows no redirect, sends nothing twice, and keeps its connection for the next request. One
// object serves one thread at a time. Each call runs an io_context of its own for as long as it takes: that is how the
// time is bounded. A look-up of a host cannot be interrupted: the call ends in time, the destructor waits for it.
#ifndef OUTBOUND_TRANSPORTS_BEAST_HPP
#define OUTBOUND_TRANSPORTS_BEAST_HPP
#include "outbound.hpp"

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace transports {
class beast_transport {
 public:
  static constexpr std::chrono::seconds max_connect{10};  // to look up the host, connect and shake hands
  static constexpr std::uint32_t max_head = 256 * 1024;   // of a response: a longer one is none
  static constexpr std::size_t max_body = 1024 * 1024;    // of a response: what is longer is cut off here

  /// `ca_file`: the certificate authorities to trust, in PEM; empty: those of the system.
  explicit beast_transport(std::string ca_file = {}) : ca_file_{std::move(ca_file)} {}

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    const auto limit = std::clamp(request.timeout, std::chrono::milliseconds{1}, std::chrono::milliseconds{3'600'000});
    const clock::time_point start = clock::now();
    bool sent = false;
    std::string why;
    try {
      place to{request.url};
      const message made = message_of(request, to);
      if (!session_) session_ = std::make_unique<session>();
      if (session_->origin != to.origin || !is_idle())
        open(to, start + (std::min<clock::duration>)(limit, max_connect));
      boost::beast::get_lowest_layer(*session_->stream).expires_at(start + limit);
      sent = true;
      return to.tls ? exchange(*session_->stream, made) : exchange(session_->stream->next_layer(), made);
    } catch (const boost::system::system_error& e) {
      why = e.code().message();
    } catch (const std::exception& e) {
      why = e.what();
    }
    if (session_) session_->origin.clear();
    return outbound::error{sent ? outbound::errc::no_response : outbound::errc::not_sent, 0, "Boost.Beast: " + why};
  }

 private:
  using clock = std::chrono::steady_clock;
  using message = boost::beast::http::request<boost::beast::http::span_body<const char>>;
  struct session {
    boost::asio::io_context io{1};
    boost::asio::ssl::context tls{boost::asio::ssl::context::tls_client};
    bool trusts{};  // `tls` knows whom to trust
    std::optional<boost::beast::ssl_stream<boost::beast::tcp_stream>>
        stream{};  // for http, only its lower layer is used
    boost::beast::flat_buffer buffer{};
    std::string origin{};  // of the connection that is kept; empty: none is
  };

  // A line break would make two headers of one.
  static const std::string& clean(const std::string& s) {
    if (s.find_first_of("\r\n\0", 0, 3) == s.npos) return s;
    throw std::invalid_argument{"CR, LF or NUL in the URL or in a header"};
  }

  struct place {
    explicit place(const std::string& url) {
      const std::size_t mark = clean(url).find("://");
      const std::string scheme = url.substr(0, mark);
      tls = boost::beast::iequals(scheme, "https");
      if (mark == url.npos || (!tls && !boost::beast::iequals(scheme, "http")))
        throw std::invalid_argument{"the URL is not one of HTTP"};
      const std::size_t path = (std::min)(url.find('/', mark + 3), url.size());
      authority = url.substr(mark + 3, path - mark - 3);
      target = path == url.size() ? "/" : url.substr(path);
      origin = scheme + "://" + authority;
      const std::size_t colon = authority.find(':', authority.rfind(']') + 1);  // behind the brackets of IPv6, if any
      host = authority.substr(0, colon);
      if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
      port = colon == authority.npos ? (tls ? "443" : "80") : authority.substr(colon + 1);
      const bool is_number = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == port.npos;
      if (host.empty() || !is_number || std::stoi(port) > 65535)
        throw std::invalid_argument{"no host or port in the URL"};
    }
    bool tls{};
    std::string origin{}, authority{}, host{}, port{}, target{};
  };

  static message message_of(const outbound::request& from, const place& to) {
    message made;
    made.method_string(clean(from.method));
    made.target(to.target);
    made.set("Host", to.authority);
    for (const outbound::header& h : from.headers) made.insert(clean(h.name), clean(h.value));
    made.content_length(from.body.size());
    made.body() = {from.body.data(), from.body.size()};
    return made;
  }

  // Starts an operation, and runs the io_context until it ends, or until then.
  template <class Start>
  void wait(Start start, clock::time_point until = (clock::time_point::max)()) {
    const auto done = std::make_shared<std::optional<boost::system::error_code>>();
    session_->io.restart();
    start([done](boost::system::error_code outcome, const auto&...) { *done = outcome; });
    while (!*done) {
      if (session_->io.run_one_until(until) == 0) *done = boost::beast::error::timeout;
    }
    if (**done) throw boost::system::system_error{**done};
  }

  // A server that has closed a connection, or that speaks without being asked, does not get the next request on it.
  bool is_idle() {
    auto& socket = boost::beast::get_lowest_layer(*session_->stream).socket();
    boost::system::error_code outcome;
    char next = 0;
    socket.non_blocking(true, outcome);
    if (!outcome) socket.receive(boost::asio::buffer(&next, 1), boost::asio::socket_base::message_peek, outcome);
    return outcome == boost::asio::error::would_block;
  }

  void open(place& to, clock::time_point until) {
    namespace asio = boost::asio;
    session& s = *session_;
    s.origin.clear();
    s.buffer.clear();
    if (to.tls && !s.trusts) {
      SSL_CTX_set_min_proto_version(s.tls.native_handle(), TLS1_2_VERSION);
      ca_file_.empty() ? s.tls.set_default_verify_paths() : s.tls.load_verify_file(ca_file_);
      s.trusts = true;
    }
    s.stream.emplace(s.io, s.tls);
    asio::ip::tcp::resolver resolver{s.io};
    const auto found =
        std::make_shared<asio::ip::tcp::resolver::results_type>();  // may come when nobody waits any more
    wait(
        [&](auto done) {
          resolver.async_resolve(to.host, to.port, [found, done](auto outcome, auto results) {
            *found = results;
            done(outcome);
          });
        },
        until);
    auto& socket = boost::beast::get_lowest_layer(*s.stream);
    socket.expires_at(until);
    wait([&](auto done) { socket.async_connect(*found, done); });
    socket.socket().set_option(asio::ip::tcp::no_delay{true});
    if (to.tls) {
      boost::system::error_code is_name;
      asio::ip::make_address(to.host, is_name);
      if (is_name)  // what SSL_set_tlsext_host_name stands for
        SSL_ctrl(s.stream->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, to.host.data());
      s.stream->set_verify_mode(asio::ssl::verify_peer);
      s.stream->set_verify_callback(asio::ssl::host_name_verification{to.host});
      wait([&](auto done) { s.stream->async_handshake(asio::ssl::stream_base::client, done); });
    }
    s.origin = to.origin;
  }

  template <class Stream>
  outbound::response exchange(Stream& stream, const message& made) {
    namespace http = boost::beast::http;
    session& s = *session_;
    try {
      wait([&](auto done) { http::async_write(stream, made, done); });
    } catch (const boost::system::system_error&) {  // a server that refuses may answer before it has read all
      boost::system::error_code gone;
      if (boost::beast::get_lowest_layer(stream).socket().available(gone) == 0) throw;
    }
    std::optional<http::response_parser<http::buffer_body>> answer;
    do {  // interim responses have no body
      answer.emplace().body_limit((std::numeric_limits<std::uint64_t>::max)());
      answer->header_limit(max_head);
      wait([&](auto done) { http::async_read_header(stream, s.buffer, *answer, done); });
    } while (answer->get().result_int() < 200);
    outbound::response response{static_cast<int>(answer->get().result_int())};
    for (const auto& field : answer->get())
      response.headers.push_back({std::string{field.name_string()}, std::string{field.value()}});
    const auto length = answer->content_length_remaining();
    response.body.resize(length ? static_cast<std::size_t>((std::min<std::uint64_t>)(*length, max_body)) : max_body);
    answer->get().body() = {response.body.data(), response.body.size(), true};
    bool keep = answer->keep_alive();
    try {
      wait([&](auto done) { http::async_read(stream, s.buffer, *answer, done); });
    } catch (const boost::system::system_error&) {
      keep =
          false;  // With a head all that matters is known: a body too long, or broken off, is no reason to send again.
    }
    response.body.resize(response.body.size() - answer->get().body().size);
    if (!keep || s.buffer.size() != 0) {
      boost::beast::get_lowest_layer(stream).close();
      s.origin.clear();
    }
    return response;
  }

  std::string ca_file_;
  std::unique_ptr<session> session_{};
};
}  // namespace transports
#endif
