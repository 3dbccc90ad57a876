// Requests of outbound.hpp with C++20 coroutines, over Boost.Beast, with OpenSSL: copy this file, compile with
// -std=c++20, link with -lssl -lcrypto -pthread. gcc wants Boost 1.74 or newer. clang (tried: 14 and 19) does it with
// 1.81; with 1.74 it cannot, as Asio has no awaitable there.
//
//     transports::beast_connection http{co_await boost::asio::this_coro::executor};
//     auto answer = co_await http(*client.prepare(message));
//     if (answer) answer = outbound::interpret(std::move(*answer));
//
// With a delivery_queue, each of some such coroutines on one thread has a connection of its own:
//
//     while (outbound::delivery due = queue.next(now())) {
//       auto request = client.prepare(due);
//       queue.report(std::move(due), request ? co_await http(std::move(*request)) : request.error(), now());
//     }
//
// It verifies the server, follows no redirect, sends nothing twice, and keeps its connection for the next request. One
// object serves one request at a time, must outlive it, and runs on an executor that does one thing at a time: an
// io_context with one thread, or a strand.
#ifndef OUTBOUND_TRANSPORTS_BEAST_COROUTINE_HPP
#define OUTBOUND_TRANSPORTS_BEAST_COROUTINE_HPP
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
class beast_connection {
 public:
  using answer = outbound::result<outbound::response>;
  static constexpr std::chrono::seconds max_connect{10};  // to look up the host, connect and shake hands
  static constexpr std::uint32_t max_head = 256 * 1024;   // of a response: a longer one is none
  static constexpr std::size_t max_body = 1024 * 1024;    // of a response: what is longer is cut off here

  /// `ca_file`: the certificate authorities to trust, in PEM; empty: those of the system.
  explicit beast_connection(boost::asio::any_io_executor executor, std::string ca_file = {})
      : executor_{std::move(executor)}, ca_file_{std::move(ca_file)} {}

  boost::asio::awaitable<answer> operator()(outbound::request request) {
    const auto limit = std::clamp(request.timeout, std::chrono::milliseconds{1}, std::chrono::milliseconds{3'600'000});
    const clock::time_point start = clock::now();
    bool sent = false;
    std::string why;
    try {
      place to{request.url};
      message made = message_of(request, to);
      if (origin_ != to.origin || !is_idle())
        co_await open(to, start + (std::min<clock::duration>)(limit, max_connect));
      boost::beast::get_lowest_layer(*stream_).expires_at(start + limit);
      sent = true;
      if (to.tls) co_return co_await exchange(*stream_, made);
      co_return co_await exchange(stream_->next_layer(), made);
    } catch (const boost::system::system_error& e) {
      why = e.code().message();
    } catch (const std::exception& e) {
      why = e.what();
    }
    origin_.clear();
    co_return outbound::error{sent ? outbound::errc::no_response : outbound::errc::not_sent, 0, "Boost.Beast: " + why};
  }

 private:
  using clock = std::chrono::steady_clock;
  using message = boost::beast::http::request<boost::beast::http::span_body<const char>>;
  using resolver = boost::asio::ip::tcp::resolver;
  static constexpr boost::asio::use_awaitable_t<> use_awaitable{};

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

  // A server that has closed a connection, or that speaks without being asked, does not get the next request on it.
  bool is_idle() {
    auto& socket = boost::beast::get_lowest_layer(*stream_).socket();
    boost::system::error_code outcome;
    char next = 0;
    socket.non_blocking(true, outcome);
    if (!outcome) socket.receive(boost::asio::buffer(&next, 1), boost::asio::socket_base::message_peek, outcome);
    return outcome == boost::asio::error::would_block;
  }

  // A look-up of a host cannot be interrupted: what comes of it is kept where it may also come too late.
  boost::asio::awaitable<resolver::results_type> look_up(place& to, clock::time_point until) {
    struct search {
      search(const boost::asio::any_io_executor& e, clock::time_point until) : from{e}, alarm{e, until} {}
      resolver from;
      boost::asio::steady_timer alarm;
      boost::system::error_code outcome = boost::beast::error::timeout;
      resolver::results_type found{};
    };
    const auto all = std::make_shared<search>(executor_, until);
    all->from.async_resolve(to.host, to.port, [all](boost::system::error_code outcome, resolver::results_type found) {
      all->outcome = outcome;
      all->found = std::move(found);
      all->alarm.cancel();
    });
    boost::system::error_code cancelled;  // which is the good end
    co_await all->alarm.async_wait(boost::asio::redirect_error(use_awaitable, cancelled));
    if (all->outcome) throw boost::system::system_error{all->outcome};
    co_return all->found;
  }

  boost::asio::awaitable<void> open(place& to, clock::time_point until) {
    namespace asio = boost::asio;
    origin_.clear();
    buffer_.clear();
    if (to.tls && !trusts_) {
      SSL_CTX_set_min_proto_version(tls_.native_handle(), TLS1_2_VERSION);
      ca_file_.empty() ? tls_.set_default_verify_paths() : tls_.load_verify_file(ca_file_);
      trusts_ = true;
    }
    stream_.emplace(executor_, tls_);
    const resolver::results_type found = co_await look_up(to, until);
    auto& socket = boost::beast::get_lowest_layer(*stream_);
    socket.expires_at(until);
    co_await socket.async_connect(found, use_awaitable);
    socket.socket().set_option(asio::ip::tcp::no_delay{true});
    if (to.tls) {
      boost::system::error_code is_name;
      asio::ip::make_address(to.host, is_name);
      if (is_name)  // what SSL_set_tlsext_host_name stands for
        SSL_ctrl(stream_->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, to.host.data());
      stream_->set_verify_mode(asio::ssl::verify_peer);
      stream_->set_verify_callback(asio::ssl::host_name_verification{to.host});
      co_await stream_->async_handshake(asio::ssl::stream_base::client, use_awaitable);
    }
    origin_ = to.origin;
  }

  template <class Stream>
  boost::asio::awaitable<answer> exchange(Stream& stream, message& made) {
    namespace http = boost::beast::http;
    auto& socket = boost::beast::get_lowest_layer(stream);
    boost::system::error_code outcome;
    co_await http::async_write(stream, made, boost::asio::redirect_error(use_awaitable, outcome));
    if (outcome) {  // a server that refuses may answer before it has read all
      boost::system::error_code gone;
      if (socket.socket().available(gone) == 0) throw boost::system::system_error{outcome};
    }
    std::optional<http::response_parser<http::buffer_body>> parser;
    do {  // interim responses have no body
      parser.emplace().body_limit((std::numeric_limits<std::uint64_t>::max)());
      parser->header_limit(max_head);
      co_await http::async_read_header(stream, buffer_, *parser, use_awaitable);
    } while (parser->get().result_int() < 200);
    outbound::response response{static_cast<int>(parser->get().result_int())};
    for (const auto& field : parser->get())
      response.headers.push_back({std::string{field.name_string()}, std::string{field.value()}});
    const auto length = parser->content_length_remaining();
    response.body.resize(length ? static_cast<std::size_t>((std::min<std::uint64_t>)(*length, max_body)) : max_body);
    parser->get().body() = {response.body.data(), response.body.size(), true};
    const bool keep = parser->keep_alive();
    co_await http::async_read(stream, buffer_, *parser, boost::asio::redirect_error(use_awaitable, outcome));
    response.body.resize(response.body.size() - parser->get().body().size);
    // With a head all that matters is known: that the body was too long, or broke off, is no reason to send again.
    if (outcome || !keep || buffer_.size() != 0) {
      socket.close();
      origin_.clear();
    }
    co_return response;
  }

  boost::asio::any_io_executor executor_;
  std::string ca_file_;
  boost::asio::ssl::context tls_{boost::asio::ssl::context::tls_client};
  bool trusts_{};  // `tls_` knows whom to trust
  std::optional<boost::beast::ssl_stream<boost::beast::tcp_stream>>
      stream_{};  // for http, only its lower layer is used
  boost::beast::flat_buffer buffer_{};
  std::string origin_{};  // of the connection that is kept; empty: none is
};
}  // namespace transports
#endif
