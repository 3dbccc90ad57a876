#include "http_server.hpp"

#include "calls.hpp"
#include "refusal.hpp"

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace sandbox {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

/// Bounds one read or write of a request that has begun, and with that how long the end of the server can take.
constexpr auto patience = std::chrono::seconds(10);
/// How long a client may take to hang up once it has been told that the connection ends.
constexpr auto farewell = std::chrono::seconds(2);
constexpr auto any_size = (std::numeric_limits<std::uint64_t>::max)();  // Beast 1.74 takes its own `none` for 0
constexpr std::uint32_t head_limit = 8 * 1024;
/// What an answer that is cut short lacks of the body that it announces.
constexpr std::size_t missing_bytes = 100;
/// How long a listener waits for what comes next: under load, it gets much at once instead of each row by itself.
constexpr auto gathering = std::chrono::milliseconds(100);
constexpr auto pause_when_out_of_sockets = std::chrono::milliseconds(100);

std::optional<std::string> header_of(const http::fields& headers, const char* name) {
  const auto found = headers.find(name);
  if (found == headers.end()) return std::nullopt;
  return std::string(found->value());
}

/// The header fields of a call that no list can be made of (RFC 9110 5.3).
constexpr std::array<const char*, 4> single_fields = {"X-Outbound-Key", "Content-Type", "X-Outbound-GUID",
                                                      "X-Outbound-Client"};

std::optional<std::string> repeated_in(const http::fields& headers) {
  const auto is_repeated = [&headers](const char* name) { return headers.count(name) > 1; };
  const auto* found = std::find_if(single_fields.begin(), single_fields.end(), is_repeated);
  return found == single_fields.end() ? std::nullopt : std::optional<std::string>(*found);
}

constexpr const char* in_ip_literal = "0123456789ABCDEFabcdef:.";
constexpr const char* in_host_name = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=";

/// `host [":" port]` of RFC 3986 3.2; the host may be empty.
bool is_authority(beast::string_view text) {
  const auto colon = text.find_last_not_of("0123456789");
  if (colon != beast::string_view::npos && text[colon] == ':') text = text.substr(0, colon);
  const bool is_ip_literal = text.starts_with('[') && text.ends_with(']');
  if (is_ip_literal)
    return text.substr(1, text.size() - 2).find_first_not_of(in_ip_literal) == beast::string_view::npos;
  return text.find_first_not_of(in_host_name) == beast::string_view::npos;
}

/// What is wrong with the Host of a request, which RFC 9112 3.2 wants to be refused; empty: nothing.
std::string fault_of_host(const http::request_header<>& headers) {
  const auto count = headers.count(http::field::host);
  if (count > 1 || (count == 0 && headers.version() >= 11)) return "Host has to be there once";
  return is_authority(headers[http::field::host]) ? "" : "Host is no host and port";
}

/// A query is no part of the path, and neither is the host that an absolute form begins with (RFC 9112 3.2.2).
std::string path_of(beast::string_view target) {
  constexpr beast::string_view scheme = "http://";
  if (beast::iequals(target.substr(0, scheme.size()), scheme)) {
    const auto host_end = (std::min)(target.find_first_of("/?", scheme.size()), target.size());
    if (host_end != scheme.size()) target.remove_prefix(host_end);
    if (target.empty() || target.front() == '?') return "/";
  }
  return std::string(target.substr(0, target.find('?')));
}

request request_of(http::request<http::string_body>& message) {
  request out;
  out.method = std::string(message.method_string());
  out.path = path_of(message.target());
  out.body = std::move(message.body());
  out.key = header_of(message, "X-Outbound-Key");
  out.content_type = header_of(message, "Content-Type");
  out.content_encoding = header_of(message, "Content-Encoding");
  out.guid = header_of(message, "X-Outbound-GUID");
  out.client = header_of(message, "X-Outbound-Client");
  out.last_event_id = header_of(message, "Last-Event-ID");
  out.repeated = repeated_in(message);
  return out;
}

refusal not_http(const std::string& why) { return {code::not_http, "cannot be read as HTTP: " + why}; }

refusal refusal_of(error_code failure, const std::string& path) {
  if (failure == http::error::body_limit) {
    return {code::too_large, "the body has more than " + std::to_string(body_limit(path)) + " bytes"};
  }
  if (failure == http::error::header_limit) {
    return {code::head_too_large, "request line and header have more than " + std::to_string(head_limit) + " bytes"};
  }
  return not_http(failure.message());
}

class session;

/// Who is connected, so that an end can be announced to all.
class session_list {
 public:
  void add(session& one);
  void remove(session& one);
  void end_all();
  bool ending() const { return ending_; }

 private:
  std::mutex lock_;
  std::unordered_set<session*> sessions_;
  std::atomic<bool> ending_{false};
};

/// One connection. Everything runs on the strand of its socket, but for construction and `end`.
class session : public std::enable_shared_from_this<session> {
 public:
  session(tcp::socket socket, service& app, session_list& all)
      : stream_(std::move(socket)), app_(app), all_(all), delay_(stream_.get_executor()) {
    all_.add(*this);
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session() { all_.remove(*this); }

  void start() {
    asio::dispatch(stream_.get_executor(), [self = shared_from_this()] { self->next_request(); });
  }

  /// From any thread: an idle connection closes at once, a busy one after its answer, which waits no longer.
  void end() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->delay_.cancel();
      if (self->idle_) self->close();
    });
  }

 private:
  template <typename... Arguments>
  auto then(void (session::*step)(Arguments...)) {
    return beast::bind_front_handler(step, shared_from_this());
  }

  void next_request() {
    if (all_.ending()) return close();
    parser_.emplace();
    parser_->header_limit(head_limit);
    parser_->body_limit(any_size);  // the path says which limit, and it is not known yet
    if (buffer_.size() != 0) return read_header();
    idle_ = true;
    stream_.expires_never();
    stream_.async_read_some(buffer_.prepare(read_at_once), then(&session::on_first_bytes));
  }

  void on_first_bytes(error_code failure, std::size_t size) {
    idle_ = false;
    if (failure) return close();
    buffer_.commit(size);
    read_header();
  }

  void read_header() {
    stream_.expires_after(patience);
    http::async_read_header(stream_, buffer_, *parser_, then(&session::on_header));
  }

  void on_header(error_code failure, std::size_t) {
    if (failure) return on_read_failure(failure);
    if (const auto fault = fault_of_host(parser_->get()); !fault.empty()) return refuse(not_http(fault));
    const auto limit = body_limit(path_of(parser_->get().target()));
    if (parser_->content_length().value_or(0) > limit) return on_read_failure(http::error::body_limit);
    parser_->body_limit(limit);
    const bool asks_first = beast::iequals(parser_->get()[http::field::expect], "100-continue");
    return asks_first ? invite_body() : read_body();
  }

  void invite_body() {
    response_.emplace(http::status::continue_, parser_->get().version());
    stream_.expires_after(patience);
    http::async_write(stream_, *response_, then(&session::on_invited));
  }

  void on_invited(error_code failure, std::size_t) {
    if (!failure) read_body();
  }

  void read_body() {
    stream_.expires_after(patience);
    http::async_read(stream_, buffer_, *parser_, then(&session::on_request));
  }

  void on_request(error_code failure, std::size_t) {
    if (failure) return on_read_failure(failure);
    answer_ = app_.handle(request_of(parser_->get()));
    stays_ = parser_->get().keep_alive() && answer_.how == sending::complete;
    return answer_.delay.count() == 0 || all_.ending() ? send() : send_later();
  }

  void send_later() {
    delay_.expires_after(answer_.delay);
    delay_.async_wait([self = shared_from_this()](error_code) { self->send(); });  // also when it is cut short
  }

  /// What breaks the rules of HTTP or a limit is told so; who has gone cannot be told anything.
  void on_read_failure(error_code failure) {
    static const auto& http_rules = http::make_error_code(http::error::bad_method).category();
    const bool has_gone = failure == http::error::end_of_stream || failure == http::error::partial_message;
    if (failure.category() != http_rules || has_gone) return close();
    refuse(refusal_of(failure, path_of(parser_->get().target())));
  }

  /// Before the request is whole. What is left of it is not read, so that nothing can follow it.
  void refuse(const refusal& why) {
    auto in = request_of(parser_->get());
    in.body.clear();
    answer_ = app_.refuse(std::move(in), why);
    stays_ = false;
    send();
  }

  void send() {
    if (answer_.how == sending::nothing) return close();
    if (answer_.how == sending::stream) return begin_stream();
    stream_.expires_after(patience);
    if (answer_.how == sending::raw) {
      asio::async_write(stream_, asio::buffer(answer_.body), then(&session::on_written));
    } else {
      write_response();
    }
  }

  void make_head() {
    response_.emplace();
    response_->version(parser_->get().version());
    response_->result(static_cast<unsigned>(answer_.status));
    response_->set(http::field::content_type, answer_.content_type);
    for (const auto& [name, value] : answer_.headers) response_->set(name, value);
    response_->keep_alive(stays_);
  }

  void write_response() {
    stays_ = stays_ && !all_.ending();
    make_head();
    response_->body() = std::move(answer_.body);
    response_->prepare_payload();
    if (answer_.status == 204) response_->erase(http::field::content_length);  // RFC 9110 8.6
    if (answer_.how == sending::cut_short) response_->content_length(response_->body().size() + missing_bytes);
    if (parser_->get().method() == http::verb::head) response_->body().clear();  // RFC 9110 9.3.2
    http::async_write(stream_, *response_, then(&session::on_written));
  }

  void on_written(error_code failure, std::size_t) {
    if (failure) return close();
    return stays_ ? next_request() : close_after_the_client();
  }

  /// The stream has no length: it lasts until one side closes.
  void begin_stream() {
    if (all_.ending()) return close();
    idle_ = true;
    make_head();
    stream_.expires_never();
    watch();
    stream_.expires_after(patience);
    http::async_write(stream_, *response_, then(&session::on_told));
  }

  /// Notices a listener who leaves; what he says before is of no interest.
  void watch() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(discarded_at_once), then(&session::on_heard));
  }

  void on_heard(error_code failure, std::size_t) {
    if (!failure) return watch();
    close();
    delay_.cancel();
  }

  /// Whoever does not take what there is within `patience` is let go.
  void on_told(error_code failure, std::size_t) {
    if (failure || !stream_.socket().is_open()) return close();
    answer_.body = answer_.news->next(feed::clock::now());
    if (answer_.body.empty()) return tell_later();
    stream_.expires_after(patience);
    asio::async_write(stream_, asio::buffer(answer_.body), then(&session::on_told));
  }

  void tell_later() {
    delay_.expires_after(gathering);
    delay_.async_wait([self = shared_from_this()](error_code failure) { self->on_told(failure, 0); });
  }

  /// A close while bytes still come in makes the client lose the answer it has not read yet (RFC 9112 9.6).
  void close_after_the_client() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(farewell);
    discard();
  }

  void discard() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(discarded_at_once), then(&session::on_discarded));
  }

  void on_discarded(error_code failure, std::size_t) { return failure ? close() : discard(); }

  void close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

  static constexpr std::size_t read_at_once = 8 * 1024;  // a call whole, mostly
  static constexpr std::size_t discarded_at_once = 64 * 1024;

  beast::tcp_stream stream_;
  service& app_;
  session_list& all_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  answer answer_;
  asio::steady_timer delay_;
  bool stays_ = false;  // connected after the answer
  bool idle_ = false;   // waiting for the first byte of a request
};

void session_list::add(session& one) {
  const std::lock_guard hold(lock_);
  sessions_.insert(&one);
}

void session_list::remove(session& one) {
  const std::lock_guard hold(lock_);
  sessions_.erase(&one);
}

void session_list::end_all() {
  std::vector<std::shared_ptr<session>> alive;  // released after the lock, which the last owner needs to `remove`
  {
    const std::lock_guard hold(lock_);
    ending_ = true;
    for (auto* one : sessions_) {
      if (auto shared = one->weak_from_this().lock()) alive.push_back(std::move(shared));
    }
  }
  for (const auto& one : alive) one->end();
}

}  // namespace

class http_server::listener {
 public:
  listener(service& app, std::uint16_t port)
      : app_(app), acceptor_(strand_, tcp::endpoint(asio::ip::address_v4::loopback(), port)) {
    signals_.async_wait([this](error_code failure, int) {
      if (!failure) end();
    });
    accept();
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  void run() {
    std::vector<std::thread> others;
    for (auto more = thread_count() - 1; more != 0; --more) others.emplace_back([this] { context_.run(); });
    context_.run();
    for (auto& one : others) one.join();
  }

 private:
  static unsigned thread_count() { return std::clamp(std::thread::hardware_concurrency(), 2U, 8U); }

  void accept() {
    acceptor_.async_accept(asio::make_strand(context_),
                           [this](error_code failure, tcp::socket socket) { on_accept(failure, std::move(socket)); });
  }

  void on_accept(error_code failure, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (failure) return accept_later();
    socket.set_option(tcp::no_delay(true), failure);
    std::make_shared<session>(std::move(socket), app_, sessions_)->start();
    accept();
  }

  /// Out of file descriptors, most likely; asking again at once would spin.
  void accept_later() {
    retry_.expires_after(pause_when_out_of_sockets);
    retry_.async_wait([this](error_code failure) {
      if (!failure) accept();
    });
  }

  void end() {
    signals_.clear();  // the next signal does what it does by default
    acceptor_.close();
    retry_.cancel();
    sessions_.end_all();
  }

  service& app_;
  session_list sessions_;  // outlives the sessions, which live in handlers of the context
  asio::io_context context_;
  asio::strand<asio::io_context::executor_type> strand_ = asio::make_strand(context_);  // of the three below
  tcp::acceptor acceptor_;
  asio::steady_timer retry_{strand_};
  asio::signal_set signals_{strand_, SIGINT, SIGTERM};
};

http_server::http_server(service& app, std::uint16_t port) : listener_(std::make_unique<listener>(app, port)) {}

http_server::~http_server() = default;

std::uint16_t http_server::port() const { return listener_->port(); }

void http_server::run() { listener_->run(); }

}  // namespace sandbox
