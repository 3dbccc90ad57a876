// A store of one's own: three functions. What was accepted and not answered comes back when the program starts again.
#include "outbound.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "expect.hpp"

using namespace std::chrono_literals;

namespace {

class map_store final : public outbound::store {
 public:
  outbound::result<void> append(const outbound::record& r) override {
    if (full) return outbound::error{outbound::errc::store_failed, 0, "the disk is full", {}};
    records[r.id] = r;
    return {};
  }
  outbound::result<void> remove(const std::vector<std::uint64_t>& ids) override {
    for (const std::uint64_t id : ids) records.erase(id);
    return {};
  }
  outbound::result<std::vector<outbound::record>> load() override {
    std::vector<outbound::record> all;
    for (const auto& r : records) all.push_back(r.second);
    return all;
  }

  std::map<std::uint64_t, outbound::record> records;
  bool full{false};
};

}  // namespace

int main() {
  map_store store;  // outlives the outboxes
  outbound::outbox_options options;
  options.store = &store;
  const outbound::user ada{"ada"};
  std::vector<outbound::request> sent;

  {  // No network: what is posted stays.
    outbound::outbox outbox{outbound::client{"k", outbound::no_transport}, options};
    EXPECT(outbox.post(ada.identify().email("ada@example.com")));
    EXPECT(outbox.post(ada.track("signup")));
    const outbound::remaining left = outbox.close(0s);
    EXPECT(!left && left.queued + left.in_flight == 2);
  }
  EXPECT(store.records.size() == 2);
  const std::string guid = store.records.begin()->second.guid;

  {  // The next start.
    outbound::outbox outbox{outbound::client{"k",
                                             [&sent](const outbound::request& r) {
                                               sent.push_back(r);
                                               return outbound::response{200};
                                             }},
                            options};
    EXPECT(outbox.flush(30s));
    store.full = true;
    const auto refused = outbox.post(ada.track("one more"));
    EXPECT(refused.error().code == outbound::errc::store_failed);
    EXPECT(refused.error().message.find("the disk is full") != std::string::npos);
    EXPECT(outbox.stats().accepted == 2 && outbox.stats().delivered == 2);
  }
  EXPECT(store.records.empty());
  EXPECT(sent.size() == 2 && sent[0].guid == guid && sent[0].user_key == "ada");
  EXPECT(sent[0].body == R"({"user_id":"ada","email":"ada@example.com"})");
  EXPECT(sent[1].body == R"({"user_id":"ada","event":"signup"})");
}
