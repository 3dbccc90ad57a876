// One partition of the stream, as long as this relay has it.
//
// Whose it is, the server says: a stream with work-queue retention lets no second consumer have the same subject. A
// relay that can make its consumer (`pN-RELAY`) has the partition; when it stops, it deletes the consumer; when it
// dies, the server does, since nobody has pulled from it for as long as its inactive threshold. The next owner's
// consumer begins with the oldest message that nobody acknowledged.
//
// So a user's order survives whatever happens. A relay sends a message only after those before it were answered, to
// itself or, as they are no longer in the stream, to another one; and it has seen all that are in the stream, in order:
// should a delivery be missing (the consumer's sequence has a gap), it begins anew. A relay that was cut off and does
// not know yet that it has lost the partition may still send what it took: that is a repeat, with the same GUID, of
// what the next owner sends too, and the first of each come in order.
#ifndef OUTBOUND_RELAY_PARTITION_HPP
#define OUTBOUND_RELAY_PARTITION_HPP

#include "nats.hpp"
#include "sender.hpp"
#include "streams.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>

namespace relay {

struct partition_settings {
  std::string stream{};
  std::string relay{};                           ///< the name of this one
  std::chrono::milliseconds take_over{5'000};    ///< after which the server gives away what a dead relay had
  std::size_t max_pending{512};                  ///< messages taken and not answered, of a partition
  std::size_t max_bytes{std::size_t{64} << 20};  ///< of bodies, of all partitions; then it takes hardly any more
};

class partition final : public origin, public std::enable_shared_from_this<partition> {
 public:
  static constexpr std::chrono::seconds ack_wait{30};

  partition(const connection& to, sender& through, const partition_settings& s, std::size_t number)
      : connection_{to}, sender_{through}, settings_{s}, number_{number} {}
  partition(const partition&) = delete;
  partition& operator=(const partition&) = delete;

  /// The consumer's name says whose it is: "p7-host-1234-ab12".
  static std::string consumer_of(std::size_t number, const std::string& relay);

  /// Makes the consumer. Not good: it belongs to another relay, or the server does not answer.
  answer acquire();
  /// Begins to take messages.
  void start();
  /// Takes no more; what is on its way is waited for, then the partition is free. Returns at once.
  void release();
  /// Waits for the end of its thread. To be called before the last owner lets go of this, which may be that thread.
  void join();
  /// It was released, or lost to another relay, and its thread is about to end.
  bool over() const { return over_; }
  /// Tells the server that all that is held is still in work.
  void keep_alive();
  /// Whether the stream has messages of this partition, as it says from time to time.
  void note_waiting(bool some);

  bool begin() override;
  void end() override;
  void settle(std::uint64_t sequence, const outcome& what) override;

 private:
  enum class state : unsigned char { serving, releasing, lost };
  using subscription = std::unique_ptr<natsSubscription, void (*)(natsSubscription*)>;
  static constexpr std::size_t most_answered = 10'000;  // remembered, in case that an acknowledgement is lost

  void run();
  bool subscribe();
  owned<jsConsumerInfo> info(answer& said) const;
  bool look_around();
  bool take_in(const natsMsgList& list);
  bool begin_anew(const char* why);
  void refuse(natsMsg* message, std::uint64_t sequence, const std::string& why);
  bool bury_surely(natsMsg* message, std::uint64_t sequence, const outcome& what);
  void give_back();
  void lose();

  const connection& connection_;
  sender& sender_;
  const partition_settings settings_;
  const std::size_t number_;
  subscription subscription_{nullptr, natsSubscription_Destroy};
  std::uint64_t expected_{1};  // the consumer's next sequence

  mutable std::mutex lock_{};
  std::condition_variable idle_{};
  state state_{state::serving};
  std::size_t in_flight_{};
  std::unordered_map<std::uint64_t, std::shared_ptr<natsMsg>> held_{};  // by the stream's sequence
  std::set<std::uint64_t> answered_{};
  std::atomic<unsigned> suspicions_{0};  // how often in a row messages were waiting
  std::atomic<bool> over_{false};
  std::thread thread_{};
};

}  // namespace relay
#endif
