// What `post` costs its caller while a worker delivers to a transport that answers at once: posts a second and the
// latency of each, with 1 and 8 producers, beside a deque of strings behind one mutex, the least that a hand-over to a
// thread can be. Then what a queued message takes in memory, and how the engine's costs grow with what is queued.
#include "outbound.hpp"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr int users = 1000;

outbound::track message_of(int producer, int i) {
  return outbound::user{"user-" + std::to_string(producer) + "-" + std::to_string(i % users)}
      .track("purchase")
      .properties({{"plan", "pro"}, {"amount", 12.5}, {"items", {"a", "b"}}});
}

struct outbox_of_everything {
  outbound::outbox outbox;
  explicit outbox_of_everything(std::size_t messages) : outbox{client(), options(messages)} {}

  static outbound::client client() {
    return outbound::client{"k", [](const outbound::request&) { return outbound::response{200}; }};
  }
  static outbound::outbox_options options(std::size_t messages) {
    outbound::outbox_options o;
    o.max_messages = messages;
    o.max_bytes = std::size_t{4} << 30;
    return o;
  }
  void post(const outbound::message& m) {
    if (const auto posted = outbox.post(m); !posted)
      std::exit((std::fprintf(stderr, "%s\n", posted.error().message.c_str()), 1));
  }
  void finish() { outbox.close(300s); }
};

struct plain_queue {
  std::mutex guard{};
  std::condition_variable changed{};
  std::deque<std::string> bodies{};
  bool closed{};
  std::thread worker{[this] {
    std::unique_lock<std::mutex> lock{guard};
    for (;;) {
      changed.wait(lock, [this] { return closed || !bodies.empty(); });
      if (bodies.empty()) return;
      const std::string body = std::move(bodies.front());
      bodies.pop_front();
      lock.unlock();
      lock.lock();
    }
  }};
  explicit plain_queue(std::size_t) {}

  void post(const outbound::message& m) {
    {
      const std::lock_guard<std::mutex> lock{guard};
      bodies.emplace_back(m.body());
    }
    changed.notify_one();
  }
  void finish() {
    {
      const std::lock_guard<std::mutex> lock{guard};
      closed = true;
    }
    changed.notify_one();
    worker.join();
  }
};

template <class Queue>
void measure(const char* name, int producers, int messages) {
  Queue queue{static_cast<std::size_t>(producers) * static_cast<std::size_t>(messages)};
  std::vector<std::vector<std::int64_t>> took(static_cast<std::size_t>(producers));
  std::vector<std::thread> threads;
  const auto begin = clock_type::now();
  for (int p = 0; p < producers; ++p)
    threads.emplace_back([&, p] {
      std::vector<std::int64_t>& mine = took[static_cast<std::size_t>(p)];
      mine.reserve(static_cast<std::size_t>(messages));
      for (int i = 0; i < messages; ++i) {
        const outbound::track m = message_of(p, i);
        const auto before = clock_type::now();
        queue.post(m);
        mine.push_back((clock_type::now() - before).count());
      }
    });
  for (std::thread& t : threads) t.join();
  const double seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
  queue.finish();
  std::vector<std::int64_t> all;
  for (const auto& mine : took) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  const auto quantile = [&](double q) {
    return static_cast<double>(all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))]) / 1000;
  };
  std::printf("| %s, %d producer%s | %.0f | %.1f | %.1f | %.1f |\n", name, producers, producers == 1 ? "" : "s",
              static_cast<double>(all.size()) / seconds, quantile(0.5), quantile(0.99), quantile(0.999));
}

void memory() {
  constexpr int messages = 200'000;
  outbound::queue_options o;
  o.max_messages = messages;
  const std::size_t before = mallinfo2().uordblks;
  outbound::delivery_queue queue{std::move(o)};
  std::size_t bodies = 0;
  for (int i = 0; i < messages; ++i) {
    const outbound::track m = message_of(0, i);
    bodies += m.body().size();
    if (!queue.post(m, outbound::instant{})) std::exit(1);
  }
  const std::size_t all = mallinfo2().uordblks - before;
  std::printf("\na queued message takes %zu bytes of memory: %zu of body and %zu beside it\n", all / messages,
              bodies / messages, (all - bodies) / messages);
}

// Of n messages, ten of each user: all are posted; then as many are delivered as others are posted, one in ten after a
// failure; then all that is left is delivered.
void engine() {
  std::printf(
      "\n| messages queued | users | ns a post | ns a delivery and a post | ns a delivery |\n|--:|--:|--:|--:|--:|\n");
  for (const int n : {1'000, 10'000, 100'000, 1'000'000}) {
    outbound::queue_options o;
    o.max_messages = static_cast<std::size_t>(n);
    o.max_bytes = std::size_t{4} << 30;
    o.retry.first_delay = 1ms;
    o.retry.max_delay = 1ms;
    outbound::delivery_queue queue{std::move(o)};
    outbound::instant now{};
    std::vector<outbound::track> messages;
    for (int i = 0; i < n; ++i)
      messages.push_back(outbound::user{i % (n / 10)}.track("purchase").property("amount", 12.5));
    const auto post = [&](int i) {
      if (!queue.post(messages[static_cast<std::size_t>(i)], now)) std::exit(1);
    };
    const auto deliver = [&](int status) {
      outbound::delivery d = queue.next(now);
      while (!d) d = queue.next(now = outbound::instant{queue.due(), {}});
      queue.report(std::move(d), outbound::response{status}, now);
    };
    const auto timed = [&](int count, const auto& work) {
      const auto begin = clock_type::now();
      for (int i = 0; i < count; ++i) work(i);
      return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count() / count;
    };
    const double posting = timed(n, post);
    const double both = timed(n / 2, [&](int i) {
      if (i % 10 == 0) deliver(500);
      deliver(200);
      post(i);
    });
    const double delivering = timed(n, [&](int) { deliver(200); });
    if (queue.stats().delivered != static_cast<std::uint64_t>(n + n / 2)) std::exit(1);
    std::printf("| %d | %d | %.0f | %.0f | %.0f |\n", n, n / 10, posting, both, delivering);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int messages = argc > 1 ? std::atoi(argv[1]) : 200'000;
  std::printf("| | posts a second | p50, us | p99, us | p99.9, us |\n|---|--:|--:|--:|--:|\n");
  for (const int producers : {1, 8}) {
    measure<outbox_of_everything>("outbox", producers, messages / producers);
    measure<plain_queue>("a deque of strings behind a mutex", producers, messages / producers);
  }
  memory();
  engine();
}
