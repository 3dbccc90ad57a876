#ifndef SANDBOX_FAULT_RULE_HPP
#define SANDBOX_FAULT_RULE_HPP

#include "json_text.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sandbox {

/// What becomes of the answer to a call that meets a fault.
enum class outcome {
  usual,         ///< as if there were no fault
  drop,          ///< none: the connection closes
  status,        ///< an error, or whatever the status means
  garbage,       ///< bytes that are no HTTP
  truncated,     ///< the beginning of a 200
  garbage_body,  ///< a 200 whose body is no JSON
};

struct fault {
  std::string name;  ///< as callers write it; empty for no fault at all
  outcome what = outcome::usual;
  bool processed = true;
  int status = 0;
  std::optional<std::string> retry_after{};
  std::optional<std::string> location{};
  std::chrono::milliseconds delay{0};  ///< between the call and its outcome
};

/// One wish for faults: which calls it means, and what becomes of them.
class fault_rule {
 public:
  using clock = std::chrono::steady_clock;

  /// Throws `refusal` for what the README does not describe. `now` begins the time of `for_ms`.
  fault_rule(json wish, clock::time_point now);

  /// To be asked once for each call, also when another rule has decided what becomes of it.
  std::optional<fault> next(std::string_view path, clock::time_point now);
  bool is_over(clock::time_point now) const;
  /// What is still to come, as a wish.
  json shown(clock::time_point now) const;
  /// Whether it was wished for by `{NAME: N}`.
  bool is_shorthand_of(std::string_view name) const;

 private:
  bool takes(std::string_view path, clock::time_point now);
  void read_faults();
  void read_chances();
  void read_details();

  json wish_;
  std::uint64_t to_skip_ = 0;
  std::optional<std::uint64_t> left_ = 1;  // calls it still takes; none for all
  std::optional<clock::time_point> end_;
  std::vector<std::pair<double, fault>> faults_;  // with their chances, which are 1 together at most
  std::mt19937_64 random_;
};

}  // namespace sandbox

#endif
