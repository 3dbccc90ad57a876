#include "http_server.hpp"

#include "calls.hpp"
#include "refusal.hpp"

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
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
/// What an answer that is cut short lacks of the body that it announces.
constexpr std::size_t missing_bytes = 100;
constexpr auto pause_when_out_of_sockets = std::chrono::milliseconds(100);

std::optional<std::string> header_of(const http::fields& headers, const char* name) {
  const auto found = headers.find(name);
  if (found == headers.end()) return std::nullopt;
  return std::string(found->value());
}

/// A query is no part of the path.
std::string path_of(beast::string_view target) { return std::string(target.substr(0, target.find('?'))); }

request request_of(http::request<http::string_body>& message) {
  request out;
  out.method = std::string(message.method_string());
  out.path = path_of(message.target());
  out.body = std::move(message.body());
  out.key = header_of(message, "X-Outbound-Key");
  out.content_type = header_of(message, "Content-Type");
  out.guid = header_of(message, "X-Outbound-GUID");
  out.client = header_of(message, "X-Outbound-Client");
  return out;
}

refusal too_large(const std::string& path) {
  return {code::too_large, "the body has more than " + std::to_string(body_limit(path)) + " bytes"};
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
    const bool is_too_large = failure == http::error::body_limit;
    auto in = request_of(parser_->get());
    const auto why =
        is_too_large ? too_large(in.path) : refusal(code::not_http, "cannot be read as HTTP: " + failure.message());
    in.body.clear();
    answer_ = app_.refuse(std::move(in), why);
    stays_ = false;
    send();
  }

  void send() {
    if (answer_.how == sending::nothing) return close();
    stream_.expires_after(patience);
    if (answer_.how == sending::raw) {
      asio::async_write(stream_, asio::buffer(answer_.body), then(&session::on_written));
    } else {
      write_response();
    }
  }

  void write_response() {
    stays_ = stays_ && !all_.ending();
    response_.emplace();
    response_->version(parser_->get().version());
    response_->result(static_cast<unsigned>(answer_.status));
    response_->set(http::field::content_type, answer_.content_type);
    for (const auto& [name, value] : answer_.headers) response_->set(name, value);
    response_->keep_alive(stays_);
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
