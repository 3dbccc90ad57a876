// Errors of outbound as std::error_code, for programs that have one way to speak of errors; and a result as what
// std::expected would be, in the two lines that most programs need. Sends nothing.
#include "outbound.hpp"
#include "transports/recording.hpp"

#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

namespace {

/// A function of yours that reports as <filesystem> and Asio do.
int tell_outbound(outbound::client& client, const outbound::message& what, std::error_code& ec) {
  const auto sent = client.send(what);
  ec = sent ? std::error_code{} : sent.error().code;  // converts
  return sent ? sent->status : sent.error().status;
}

/// The same as an exception, for those who throw. Its message is the error's, which has the sentence of the code
/// already; std::system_error would add that once more.
class send_failure : public std::system_error {
 public:
  explicit send_failure(outbound::error why) : std::system_error{why.code}, why_{std::move(why)} {}
  const char* what() const noexcept override { return why_.message.c_str(); }
  const outbound::error& why() const noexcept { return why_; }

 private:
  outbound::error why_;
};

outbound::response send_or_throw(outbound::client& client, const outbound::message& what) {
  auto sent = client.send(what);
  if (!sent) throw send_failure{sent.error()};
  return *std::move(sent);
}

/// `value_or` and `and_then` are lines, not library: a result is true or has an error.
int status_or_zero(const outbound::result<outbound::response>& sent) { return sent ? sent->status : 0; }

int failures = 0;
void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  ++failures;
}

}  // namespace

int main() {
  transports::recording http;
  outbound::client client{"any-key", http};
  const auto signup = outbound::user{"ada@example.com"}.track("signup");

  std::error_code ec;
  check(tell_outbound(client, signup, ec) == 200 && !ec, "no error is a false error_code");

  http.answer(outbound::response{429});
  tell_outbound(client, signup, ec);
  check(ec == outbound::errc::throttled, "an error_code compares with errc");
  check(ec.category() == outbound::error_category(), "it knows where it comes from");
  std::printf("%s: %s\n", ec.category().name(), ec.message().c_str());

  // What a caller decides by.
  const bool later =
      ec == outbound::errc::throttled || ec == outbound::errc::unavailable || ec == outbound::errc::not_sent;
  check(later, "a 429 is for later");

  http.answer(outbound::response{400});
  try {
    send_or_throw(client, signup);
    check(false, "it throws");
  } catch (const send_failure& e) {  // or std::system_error, where you catch all of these
    check(e.code() == outbound::errc::invalid_field, "the exception has the code");
    check(e.why().status == 400, "and all else of the error");
    check(e.what() == std::string{"the server refused the message (HTTP 400)"}, "and says it once");
    std::printf("%s\n", e.what());
  }

  http.answer(outbound::error{outbound::errc::no_response, 0, "the line went dead"});
  check(status_or_zero(client.send(signup)) == 0, "no response, no status");
  check(status_or_zero(client.send(signup)) == 200, "and then there is one");
  return failures == 0 ? 0 : 1;
}
