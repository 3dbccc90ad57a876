// [F54] Outboxes as objects at namespace scope: made before main, destroyed after it.
#include "outbound.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "../contract/expect.hpp"

namespace {

constexpr int posts = 100;

// Older than the outboxes, so it is destroyed after them.
struct ledger {
  std::atomic<int> calls{0};
  ~ledger() {
    if (calls == 2 * posts) return;
    std::fprintf(stderr, "%d of %d were delivered\n", calls.load(), 2 * posts);
    std::_Exit(1);
  }
};
ledger book;

outbound::response take(const outbound::request&) {
  ++book.calls;
  return {200};
}

outbound::outbox_options without_worker() {
  outbound::outbox_options o;
  o.workers = 0;
  return o;
}

outbound::outbox first{outbound::client{"k", take}};
outbound::outbox second{outbound::client{"k", take}, without_worker()};

// Posted before main.
const bool posted_early = first.post(outbound::user{1}.track("e")) && second.post(outbound::user{1}.track("e"));

}  // namespace

int main() {
  EXPECT(posted_early);
  for (int i = 1; i < posts; ++i) {
    EXPECT(first.post(outbound::user{i % 7}.track("e")));
    EXPECT(second.post(outbound::user{i % 7}.track("e")));
  }
}
