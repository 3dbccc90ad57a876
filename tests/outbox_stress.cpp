// Many threads, random faults: 8 producers post while 1 and 4 workers meet every kind of answer, with batches and
// without; then outboxes are made, used and closed in a row. Per user every message is answered once and in order, and
// the accounts add up. It prints its seed: outbox_stress [posts of each producer] [rounds] [seed].
#include "outbound.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "contract/expect.hpp"

using namespace std::chrono_literals;

namespace {

using outbound::errc;
using outbound::request;
using outbound::response;
using outbound::result;

constexpr int producers = 8;
constexpr int users_each = 25;
constexpr auto for_ever = (std::chrono::hours::max)();

/// What the API has seen of a user. Not atomic: the queue has one request of a user under way at a time, and what one
/// worker writes the next can read, or ThreadSanitizer says so.
struct line {
  long answered{};  // up to this number
  bool busy{};
};

struct member {
  std::size_t user{};
  long number{};
};

/// The users and numbers in a body, which is one message or an array of them.
std::vector<member> members_of(std::string_view body) {
  const auto number_after = [&body](std::string_view key) {
    const std::size_t at = body.find(key);
    if (at == body.npos) return -1L;
    body.remove_prefix(at + key.size());
    return std::strtol(std::string{body.substr(0, 12)}.c_str(), nullptr, 10);
  };
  std::vector<member> all;
  for (long user; (user = number_after("\"user_id\":")) >= 0;)
    all.push_back({static_cast<std::size_t>(user), number_after("\"n\":")});
  return all;
}

class api {
 public:
  explicit api(std::size_t users) : lines_(users) {}

  /// One for each worker.
  outbound::transport make_transport(std::uint64_t seed) {
    return [this, random = std::mt19937_64{seed}](const request& r) mutable -> result<response> {
      const std::vector<member> members = members_of(r.body);
      EXPECT(!members.empty());
      receive(members);
      const auto yields = random() % 4;
      for (std::uint64_t i = 0; i < yields; ++i) std::this_thread::yield();
      const unsigned fate = static_cast<unsigned>(random() % 400);
      const bool is_batch = r.body.front() == '[';
      const bool is_final = fate >= 20 || (!is_batch && fate < 4);
      settle(members, is_final, fate < 4);
      return answer(fate == 17 && is_batch ? 18 : fate);  // 405 would put an end to batches
    };
  }

  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t refused() const { return refused_; }

 private:
  void receive(const std::vector<member>& members) {
    for (const member& m : members) {
      line& l = lines_.at(m.user);
      const bool first = &m == std::find_if(&members.front(), &m, [&m](const member& o) { return o.user == m.user; });
      if (first) {
        EXPECT(!l.busy);
        EXPECT(m.number == l.answered + 1);  // neither again nor too early
        l.busy = true;
      } else {
        const member& before = *std::find_if(std::make_reverse_iterator(members.begin() + (&m - &members.front())),
                                             members.rend(), [&m](const member& o) { return o.user == m.user; });
        EXPECT(m.number == before.number + 1);
      }
    }
  }

  void settle(const std::vector<member>& members, bool is_final, bool refuses) {
    for (const member& m : members) {
      lines_.at(m.user).busy = false;
      if (is_final) lines_.at(m.user).answered = m.number;
    }
    if (is_final) (refuses ? refused_ : delivered_) += members.size();
  }

  static result<response> answer(unsigned fate) {
    switch (fate) {
      case 0:
      case 1: return response{400};
      case 2: return response{422, "{\"error\":{\"Message\":\"no\",\"Code\":1}}"};
      case 3: return response{413};
      case 4: return outbound::error{errc::not_sent, 0, "no route", {}};
      case 5: return outbound::error{errc::no_response, 0, "lost", {}};
      case 6: return outbound::error{};
      case 7: throw std::runtime_error{"boom"};
      case 8: throw 42;
      case 9: return response{429, "", {{"Retry-After", "0"}}};
      case 10: return response{429};
      case 11: return response{500, "x"};
      case 12: return response{503, "", {{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}}};
      case 13: return response{502};
      case 14: return response{504};
      case 15: return response{401};
      case 16: return response{301};
      case 17: return response{405};
      case 18: return response{408};
      case 19: return response{0};
      default: return response{fate % 2 == 0 ? 200 : 204};
    }
  }

  std::vector<line> lines_;
  std::atomic<std::uint64_t> delivered_{0}, refused_{0};
};

outbound::outbox_options impatient(std::size_t workers, std::size_t batch_size) {
  outbound::outbox_options o;
  o.workers = workers;
  o.batch_size = batch_size;
  o.retry.first_delay = 1ms;
  o.retry.max_delay = 2ms;
  o.retry.max_attempts = 1'000'000;
  o.retry.budget = 1'000'000'000;
  return o;
}

void faults(std::size_t workers, std::size_t batch_size, long posts, std::uint64_t seed) {
  const auto begin = std::chrono::steady_clock::now();
  api server{producers * users_each};
  outbound::outbox_options options = impatient(workers, batch_size);
  std::atomic<std::uint64_t> delivered{0}, failed{0}, retries{0}, full{0};
  options.make_transport = [&server, n = seed]() mutable { return server.make_transport(++n); };
  options.on_event = [&](const outbound::event& e) {
    delivered += e.what == outbound::event::kind::delivered;
    failed += e.what == outbound::event::kind::failed;
    retries += e.what == outbound::event::kind::retrying;
  };
  outbound::outbox o{outbound::client{"k", outbound::no_transport}, options};
  std::vector<std::thread> threads;
  for (int p = 0; p < producers; ++p)
    threads.emplace_back([&, p] {
      std::mt19937_64 random{seed * 1000 + static_cast<unsigned>(p)};
      std::vector<long> numbers(users_each);
      for (long i = 0; i < posts; ++i) {
        const std::size_t user = random() % users_each;
        const outbound::message m =
            outbound::user{p * users_each + static_cast<int>(user)}.track("e").property("n", ++numbers[user]);
        while (!o.post(m)) {
          ++full;
          std::this_thread::yield();
        }
        if (random() % 64 == 0) std::this_thread::yield();
        if (random() % 1024 == 0) static_cast<void>(o.flush(1ms));
      }
    });
  std::atomic<bool> over{false};
  std::thread watcher{[&] {
    while (!over) {
      const outbound::delivery_stats s = o.stats();
      EXPECT(s.accepted == s.delivered + s.failed + s.dropped + s.queued + s.in_flight);
      std::this_thread::yield();
    }
  }};
  for (std::thread& t : threads) t.join();
  EXPECT(o.flush(for_ever));
  over = true;
  watcher.join();
  EXPECT(o.close(for_ever));
  const outbound::delivery_stats s = o.stats();
  EXPECT(s.accepted == static_cast<std::uint64_t>(posts) * producers);
  EXPECT(s.accepted == s.delivered + s.failed && s.dropped == 0);
  EXPECT(s.delivered == server.delivered() && s.failed == server.refused());
  EXPECT(s.failed == s.lost(outbound::loss::refused));
  EXPECT(delivered == s.delivered && failed == s.failed);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf(
      "%zu workers, batches of %zu: %llu accepted, %llu delivered, %llu refused, %llu retries, %llu times full, "
      "%llu requests, %.1f s\n",
      workers, batch_size, static_cast<unsigned long long>(s.accepted), static_cast<unsigned long long>(s.delivered),
      static_cast<unsigned long long>(s.failed), static_cast<unsigned long long>(retries),
      static_cast<unsigned long long>(full), static_cast<unsigned long long>(s.attempts), seconds);
}

/// Outboxes that live for a moment. How far their ends go beyond what was asked for is printed, not asserted.
void rounds(int count, std::uint64_t seed) {
  std::mt19937_64 random{seed};
  std::vector<double> late;  // ms
  for (int i = 0; i < count; ++i) {
    api server{1};
    outbound::outbox_options options = impatient(random() % 4, 1 + random() % 2);
    options.make_transport = [&server, n = random()]() mutable { return server.make_transport(++n); };
    options.close_timeout = std::chrono::milliseconds{random() % 6};
    std::atomic<std::uint64_t> told{0};
    options.on_event = [&told](const outbound::event& e) {
      told += e.what == outbound::event::kind::delivered || e.why != outbound::loss::none;
    };
    const std::uint64_t posts = random() % 20;
    const auto how = random() % 4;
    auto o = std::make_unique<outbound::outbox>(outbound::client{"k", outbound::no_transport}, options);
    std::thread other;
    if (how == 1) other = std::thread{[&o] { static_cast<void>(o->close(1ms)); }};
    std::uint64_t accepted = 0;
    for (std::uint64_t n = 0; n < posts; ++n)
      accepted += static_cast<bool>(o->post(outbound::user{0}.track("e").property("n", accepted + 1)));
    const auto begin = std::chrono::steady_clock::now();
    if (how == 2) static_cast<void>(o->close(options.close_timeout));
    if (how == 3) static_cast<void>(o->flush(options.close_timeout));
    if (other.joinable()) other.join();
    o.reset();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    late.push_back((std::max)(0.0, (took - (how == 3 ? 2 : 1) * options.close_timeout).count()));
    EXPECT(told == accepted);
  }
  std::sort(late.begin(), late.end());
  const auto over = late.end() - std::upper_bound(late.begin(), late.end(), 50.0);
  std::printf("%d rounds: closed late by %.2f ms (median), %.2f ms (p99), %.2f ms (most); %d by more than 50 ms\n",
              count, late[late.size() / 2], late[late.size() * 99 / 100], late.back(), static_cast<int>(over));
}

}  // namespace

int main(int argc, char** argv) {
  const long posts = argc > 1 ? std::atol(argv[1]) : 2'000;
  const int count = argc > 2 ? std::atoi(argv[2]) : 200;
  const std::uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const std::size_t workers : {std::size_t{1}, std::size_t{4}})
    for (const std::size_t batch_size : {std::size_t{1}, std::size_t{10}}) faults(workers, batch_size, posts, seed);
  rounds(count, seed);
}
