// What the tests of the delivery engine share: a clock that stands still, answers, and a store in memory that can fail.
#ifndef OUTBOUND_TESTS_ENGINE_HPP
#define OUTBOUND_TESTS_ENGINE_HPP

#include "outbound.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

// 1700000000 s after the Unix epoch, and a steady clock that begins at 0.
inline outbound::instant at(std::chrono::milliseconds t) {
  return {std::chrono::steady_clock::time_point{t},
          std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}} + t};
}

inline outbound::result<outbound::response> status(int s) { return outbound::response{s, {}, {}}; }
inline outbound::result<outbound::response> failure(outbound::errc code) {
  return outbound::error{code, 0, "as the test says", {}};
}

// As examples/stores does it, but in memory; what it does next can be made to fail.
class memory_store final : public outbound::store {
 public:
  enum class mood { good, refuses, throws };

  outbound::result<void> append(const outbound::record& r) override {
    ++appends;
    if (!fine(appending)) return outbound::error{outbound::errc::store_failed, 0, complaint(appending), {}};
    records.insert_or_assign(r.id, r);  // whole or not at all, also without memory
    return {};
  }
  outbound::result<void> remove(const std::vector<std::uint64_t>& ids) override {
    ++removes;
    if (!fine(removing)) return outbound::error{outbound::errc::store_failed, 0, "the disk is read-only", {}};
    for (const std::uint64_t id : ids) records.erase(id);
    return {};
  }
  outbound::result<std::vector<outbound::record>> load() override {
    if (!fine(loading)) return outbound::error{outbound::errc::store_failed, 0, "the disk is damaged", {}};
    std::vector<outbound::record> all;
    for (const auto& r : records) all.push_back(r.second);
    return all;
  }

  // What it says of itself when it cannot append.
  static const char* complaint([[maybe_unused]] mood m) {
#ifdef __cpp_exceptions
    if (m == mood::throws) return "the disk is gone";
#endif
    return "the disk is full";
  }

  std::map<std::uint64_t, outbound::record> records{};
  mood appending{};
  mood removing{};
  mood loading{};
  int appends{};
  int removes{};

 private:
  static bool fine(mood m) {
#ifdef __cpp_exceptions
    if (m == mood::throws) throw std::runtime_error{complaint(m)};
#endif
    return m == mood::good;
  }
};

// accepted = delivered + failed + dropped + queued + in flight, and the losses by reason add up to the lost.
inline bool adds_up(const outbound::delivery_stats& s) {
  std::uint64_t failed = 0;
  for (const outbound::loss why : {outbound::loss::refused, outbound::loss::unexpected, outbound::loss::ambiguous,
                                   outbound::loss::exhausted, outbound::loss::expired})
    failed += s.lost(why);
  const std::uint64_t dropped = s.lost(outbound::loss::overflow) + s.lost(outbound::loss::closed);
  return s.accepted == s.delivered + s.failed + s.dropped + s.queued + s.in_flight && s.failed == failed &&
         s.dropped == dropped;
}

}  // namespace test
#endif
