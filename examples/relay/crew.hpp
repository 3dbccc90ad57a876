// The relays of a stream: each has its share of the partitions.
//
// Once a second a relay says on the subject STREAM.relays.NAME that it lives, and how it fares; from those who were
// heard in the last seconds it follows how many partitions are its share. It takes free ones up to that, and gives back
// what is more. Nothing depends on this but the balance: whose a partition is, the server decides (partition.hpp).
#ifndef OUTBOUND_RELAY_CREW_HPP
#define OUTBOUND_RELAY_CREW_HPP

#include "nats.hpp"
#include "partition.hpp"
#include "sender.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace relay {

/// What a relay says of itself.
struct report {
  std::string relay{};
  std::size_t partitions{};
  double rate{};          ///< messages a second that were answered for good
  std::size_t held{};     ///< messages that it has taken
  std::string trouble{};  ///< why it waits; empty: it does not
};

/// Hears all relays of a stream.
class listener {
 public:
  listener(const connection& to, const std::string& stream);
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;
  ~listener();

  /// Those that were heard within so long.
  std::vector<report> recent(std::chrono::milliseconds since) const;

 private:
  static void on_message(natsConnection*, natsSubscription*, natsMsg* message, void* self);
  struct heard {
    report what{};
    std::chrono::steady_clock::time_point when{};
  };
  mutable std::mutex lock_{};
  std::map<std::string, heard> heard_{};
  natsSubscription* subscription_{};
  std::atomic<bool> ended_{false};
};

class crew {
 public:
  crew(const connection& to, sender& through, partition_settings s, std::size_t partitions);
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  ~crew() { leave(); }

  /// To be called some times a second: does what is to be done by now.
  void tick();
  /// Gives all partitions back; returns when nothing is on its way any more.
  void leave();

 private:
  using clock = std::chrono::steady_clock;
  void tell();
  void balance();
  void look_for_leftovers();
  void remove_the_lost();
  void complain(const answer& about);

  const connection& connection_;
  sender& sender_;
  const partition_settings settings_;
  const std::size_t partitions_;
  listener listener_;
  std::map<std::size_t, std::shared_ptr<partition>> mine_{};
  clock::time_point told_{};
  clock::time_point kept_alive_{clock::now()};
  clock::time_point looked_{clock::now()};
  std::uint64_t answered_{};  // when it was last told
  std::string complaint_{};   // said last
};

}  // namespace relay
#endif
