// What tests with threads wait for each other with: never by sleeping.
#ifndef OUTBOUND_TESTS_THREADS_HPP
#define OUTBOUND_TESTS_THREADS_HPP
#include "outbound.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace test {

/// Threads wait here until it is open; whoever opens it can wait until so many have come.
class door {
 public:
  void pass() {
    std::unique_lock<std::mutex> lock{guard_};
    ++came_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard<std::mutex> lock{guard_};
    open_ = true;
    changed_.notify_all();
  }
  void wait_for(int n) {
    std::unique_lock<std::mutex> lock{guard_};
    changed_.wait(lock, [this, n] { return came_ >= n; });
  }
  /// The same for what may never happen if something is wrong: false after a time that is long for any machine.
  bool comes(int n) {
    std::unique_lock<std::mutex> lock{guard_};
    return changed_.wait_for(lock, std::chrono::seconds{20}, [this, n] { return came_ >= n; });
  }
  int came() {
    const std::lock_guard<std::mutex> lock{guard_};
    return came_;
  }

 private:
  std::mutex guard_{};
  std::condition_variable changed_{};
  int came_{};
  bool open_{};
};

/// Time of a test's own: who waits for up to an hour moves it by so much, who waits longer waits to be notified.
class own_time {
 public:
  void install(outbound::outbox_options& o) {
    o.now = [this] {
      return outbound::instant{std::chrono::steady_clock::time_point{std::chrono::milliseconds{ms_}}, {}};
    };
    o.wait = [this](std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                    std::chrono::milliseconds longest) {
      if (longest > std::chrono::hours{1}) return changed.wait(lock);
      ms_ += longest.count();
      lock.unlock();  // as a real wait does
      std::this_thread::yield();
      lock.lock();
    };
  }
  void advance(std::chrono::milliseconds d) { ms_ += d.count(); }
  std::chrono::milliseconds now() const { return std::chrono::milliseconds{ms_}; }

 private:
  std::atomic<std::int64_t> ms_{1'000'000};
};

}  // namespace test

#endif
