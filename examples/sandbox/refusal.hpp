#ifndef SANDBOX_REFUSAL_HPP
#define SANDBOX_REFUSAL_HPP

#include <stdexcept>
#include <string>

namespace sandbox {

/// Why a request is refused: the `Code` of the error body. The numbers are part of what the sandbox promises (README).
enum class code {
  malformed_json = 1,
  not_an_object = 2,
  missing_field = 3,
  invalid_field = 4,
  unknown_field = 5,
  duplicate_key = 6,
  out_of_range = 7,
  invalid_batch = 8,
  wrong_content_type = 9,
  wrong_key = 10,
  unknown_path = 11,
  wrong_method = 12,
  too_large = 13,
  not_http = 14,
  asked_for = 15,  // not the caller's mistake, but a fault (faults.hpp)
  too_many_listeners = 16,
  wrong_headers = 17,
  head_too_large = 18,
};

/// The HTTP status that goes with a code.
int status_of(code why);

/// `{"error":{"Message":"...","Code":N}}`
std::string error_body(code why, const std::string& message);

/// Thrown by whoever finds the fault, caught in one place that makes it an answer; nothing was processed.
class refusal : public std::runtime_error {
 public:
  refusal(code why, const std::string& message) : std::runtime_error(message), why_(why) {}

  code why() const { return why_; }
  int status() const { return status_of(why_); }
  std::string body() const { return error_body(why_, what()); }

 private:
  code why_;
};

}  // namespace sandbox

#endif
