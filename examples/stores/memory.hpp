// A store for outbound.hpp in plain memory, for tests: it outlives the outbox, not the process.
//
//     stores::memory_store store;
//     options.store = &store;
//     store.broken = "disk full";  // what to say from now on
#ifndef OUTBOUND_STORES_MEMORY_HPP
#define OUTBOUND_STORES_MEMORY_HPP

#include "outbound.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace stores {
/// Read or change its members only while no outbox uses it.
class memory_store final : public outbound::store {
 public:
  outbound::result<void> append(const outbound::record& r) override {
    if (!broken.empty()) return failure();
    records[r.id] = r;
    return {};
  }
  outbound::result<void> remove(const std::vector<std::uint64_t>& ids) override {
    if (!broken.empty()) return failure();
    for (const std::uint64_t id : ids) records.erase(id);
    return {};
  }
  outbound::result<std::vector<outbound::record>> load() override {
    if (!broken.empty()) return failure();
    std::vector<outbound::record> all;
    for (const auto& r : records) all.push_back(r.second);
    return all;
  }

  std::map<std::uint64_t, outbound::record> records{};
  std::string broken{};  // every call fails with this, unless it is empty

 private:
  outbound::error failure() const { return {outbound::errc::store_failed, 0, broken, {}}; }
};
}  // namespace stores
#endif
