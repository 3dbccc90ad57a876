// A transport for the unit tests of your program: it sends nothing, keeps what it was given, and answers as you say.
//
//     transports::recording http;
//     http.answer(outbound::response{503});                              // the first call; then 200 for all
//     outbound::client client{"any-key", http};                          // a copy: both are the same recording
//     assert(!client.send(outbound::user{"u"}.track("signup")));
//     assert(client.send(outbound::user{"u"}.track("signup")));
//     assert(http.requests().at(1).body == R"({"user_id":"u","event":"signup"})");
//
// A copy is another handle to the same recording, and every function may be called from any thread: give it to an
// outbox, and to each of its workers.
#ifndef OUTBOUND_TRANSPORTS_RECORDING_HPP
#define OUTBOUND_TRANSPORTS_RECORDING_HPP
#include "outbound.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace transports {
class recording {
 public:
  using result = outbound::result<outbound::response>;

  /// The answer to the next call that has none yet, `times` times: a response, or an error of the transport
  /// (`outbound::errc::not_sent`, `no_response`).
  recording& answer(result with, std::size_t times = 1) {
    const std::lock_guard hold{state_->lock};
    state_->script.insert(state_->script.end(), times, std::move(with));
    return *this;
  }
  /// The answer to every call beyond those; at first 200.
  recording& otherwise(result with) {
    const std::lock_guard hold{state_->lock};
    state_->otherwise = std::move(with);
    return *this;
  }

  /// What was to be sent, in the order of the calls.
  std::vector<outbound::request> requests() const {
    const std::lock_guard hold{state_->lock};
    return state_->requests;
  }
  /// How many answers of the script were not called for.
  std::size_t unused() const {
    const std::lock_guard hold{state_->lock};
    return state_->script.size();
  }
  /// Forgets the requests and the script, and answers 200 again.
  void reset() {
    const std::lock_guard hold{state_->lock};
    state_->requests.clear();
    state_->script.clear();
    state_->otherwise = outbound::response{200};
  }

  result operator()(const outbound::request& request) {
    const std::lock_guard hold{state_->lock};
    state_->requests.push_back(request);
    if (state_->script.empty()) return state_->otherwise;
    result next = std::move(state_->script.front());
    state_->script.pop_front();
    return next;
  }

 private:
  struct state {
    std::mutex lock{};
    std::vector<outbound::request> requests{};
    std::deque<result> script{};
    result otherwise{outbound::response{200}};
  };
  std::shared_ptr<state> state_{std::make_shared<state>()};
};
}  // namespace transports
#endif
