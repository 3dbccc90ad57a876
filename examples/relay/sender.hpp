// Sends messages on to the API, by the rules of the header's delivery_queue.
//
// A delivery_queue that is running takes messages that it makes itself; ready ones, with their GUIDs, it takes over
// from a store when it begins. So what arrives is delivered in waves: a wave is a delivery_queue that began with what
// had arrived by then. While one still has messages that wait for another try, the next begins with those of other
// users: a user's messages are never in two waves. What a queue learns about the API holds for all: while one is held,
// or was told to come back later, no other begins.
#ifndef OUTBOUND_RELAY_SENDER_HPP
#define OUTBOUND_RELAY_SENDER_HPP

#include "outbound.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace relay {

/// What became of a message.
struct outcome {
  outbound::loss why{};  ///< none: delivered
  outbound::error cause{};
  unsigned attempts{};
};

/// Who a message came from, and is to be told what became of it.
class origin {
 public:
  virtual ~origin() = default;
  /// A request with the message is about to begin. False: it is no longer wanted.
  virtual bool begin() = 0;
  /// That request is over.
  virtual void end() = 0;
  /// It was answered for good, or is too old. Called without a lock, before the `end` of the request that did it.
  virtual void settle(std::uint64_t sequence, const outcome& what) = 0;
};

/// A message from the stream.
struct item {
  std::shared_ptr<origin> from{};
  std::uint64_t sequence{};  ///< in the stream
  outbound::record message{};
};

struct sender_options {
  std::string url{"https://api.outbound.io"};
  std::string key{};
  std::string ca_file{};
  std::chrono::milliseconds timeout{30'000};
  std::size_t connections{8};  ///< requests at a time
  outbound::retry_policy retry{};
};

struct sender_stats {
  std::uint64_t delivered{};
  std::uint64_t failed{};
  std::uint64_t attempts{};
  std::size_t held{};     ///< messages that are here, and
  std::size_t bytes{};    ///< their bodies
  std::string trouble{};  ///< why nothing is sent at the moment; empty: it is
};

class sender {
 public:
  /// Throws `failed` if the key or the URL cannot be used.
  explicit sender(sender_options o);
  sender(const sender&) = delete;
  sender& operator=(const sender&) = delete;
  ~sender() { stop(); }

  /// In the stream's order for each user.
  void accept(std::vector<item> items);
  /// Ends when the requests that have begun are answered. What has not been sent is forgotten: the stream has it.
  void stop();
  sender_stats stats() const;

 private:
  using clock = std::chrono::steady_clock;
  // What a queue begins with; it keeps nothing, for the stream does.
  class beginning final : public outbound::store {
   public:
    explicit beginning(std::vector<outbound::record> all) : all_{std::move(all)} {}
    outbound::result<void> append(const outbound::record&) override { return {}; }
    outbound::result<void> remove(const std::vector<std::uint64_t>&) override { return {}; }
    outbound::result<std::vector<outbound::record>> load() override { return std::move(all_); }

   private:
    std::vector<outbound::record> all_;
  };
  struct place {
    std::shared_ptr<origin> from{};
    std::uint64_t sequence{};
  };
  struct wave {
    std::unordered_map<std::uint64_t, place> items{};                    // by the id of the record
    std::unordered_map<std::string, std::shared_ptr<origin>> by_guid{};  // which a delivery shows, other than its id
    std::set<std::string> held_paths{};
    std::string answered_path{};  // of the message that its queue judges
    bool held{};
    std::unique_ptr<beginning> records{};
    std::unique_ptr<outbound::delivery_queue> queue{};
  };
  struct settled {
    place where{};
    outcome what{};
  };
  struct task {
    wave* of{};
    outbound::delivery due{};
    std::shared_ptr<origin> from{};
  };
  struct line {
    std::size_t busy{};     // messages of this user in a wave
    std::size_t waiting{};  // and before one
  };

  void run();
  bool take(task& out, clock::time_point& until);
  bool take_from(wave& w, task& out, clock::time_point& until);
  bool begin_wave();
  bool may_begin() const;
  void start(std::vector<item> chosen);
  void on_event(wave& w, const outbound::event& e);
  void note_pause(const wave& w, const outbound::result<outbound::response>& answer);
  void sweep();
  void hand_out(std::unique_lock<std::mutex>& hold, const origin* unwanted);
  outbound::result<outbound::response> exchange(outbound::transport& http, const outbound::delivery& due) const;

  sender_options options_;
  outbound::client client_;  // makes requests, sends none
  mutable std::mutex lock_{};
  std::condition_variable changed_{};
  std::deque<item> waiting_{};
  bool may_choose_{};  // some of them may begin, who could not when it was last looked
  std::unordered_map<std::string, line> lines_{};
  std::list<wave> waves_{};
  std::vector<settled> settled_{};
  clock::time_point not_before_{};  // as Retry-After said
  std::uint64_t next_id_{1};
  sender_stats stats_{};
  std::string trouble_{};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_{};
};

}  // namespace relay
#endif
