#ifndef SANDBOX_FEED_HPP
#define SANDBOX_FEED_HPP

#include "state.hpp"

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

namespace sandbox {

/// What one listener of `/sandbox/stream` is told, as text/event-stream. It has no queue: whoever is slow reads from
/// the logs later, and costs nobody anything.
class feed {
 public:
  using clock = std::chrono::steady_clock;

  /// `last_event_id` is how far the listener has read, or empty. `listeners` counts those that live; throws `refusal`
  /// when they are too many.
  feed(state& source, std::string_view last_event_id, std::atomic<int>& listeners);
  feed(const feed&) = delete;
  feed& operator=(const feed&) = delete;
  ~feed() { --listeners_; }

  /// What is to be sent now; empty when there is nothing to say.
  std::string next(clock::time_point now);

 private:
  std::string told(const news& all) const;

  state& source_;
  std::atomic<int>& listeners_;
  bookmark read_;
  bool knows_all_ = false;
  clock::time_point said_something_{};  // never, at first
};

}  // namespace sandbox

#endif
