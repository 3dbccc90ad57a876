#ifndef SANDBOX_FAULTS_HPP
#define SANDBOX_FAULTS_HPP

#include "fault_rule.hpp"
#include "json_text.hpp"

#include <mutex>
#include <string_view>
#include <vector>

namespace sandbox {

/// Which of the calls to come go wrong. Every member may be called from any thread.
class fault_plan {
 public:
  /// Adds a rule, all rules of an array, or what `{"drop_before": N, "drop_after": N}` is short for. Throws `refusal`,
  /// and then has added nothing.
  void add(const json& wish);
  void reset();
  /// The rules that are not over, in the form that `add` takes.
  json shown() const;
  /// To be asked once for each call.
  fault next(std::string_view path);

 private:
  mutable std::mutex lock_;
  std::vector<fault_rule> rules_;
};

}  // namespace sandbox

#endif
