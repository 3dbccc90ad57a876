#ifndef SANDBOX_FAULTS_HPP
#define SANDBOX_FAULTS_HPP

#include "json_text.hpp"

#include <cstdint>
#include <mutex>

namespace sandbox {

enum class fault {
  none,
  drop_before,  ///< close the connection, unprocessed and unanswered
  drop_after,   ///< close the connection, processed but unanswered
};

/// Which of the calls to come go wrong. Every member may be called from any thread.
class fault_plan {
 public:
  /// `{"drop_before": N, "drop_after": N}`, either or both: the Nth next call, 1 the next, 0 none. Throws `refusal`.
  void set(const json& wish);
  void reset();
  /// The calls still to come until each fault, in the form that `set` takes.
  json shown() const;
  /// To be asked once for each call.
  fault next();

 private:
  mutable std::mutex lock_;
  std::uint64_t drop_before_ = 0;
  std::uint64_t drop_after_ = 0;
};

}  // namespace sandbox

#endif
