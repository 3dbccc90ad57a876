// Random use of a delivery_queue beside a model of it: support/model.hpp.
//
//     outbound-model [steps [seed]]
//
// On a difference it says what differs, the seed of the round and the step, and fails.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "support/model.hpp"

namespace {

class random_choices final : public test::model::choices {
 public:
  explicit random_choices(std::uint64_t seed) : random_{seed} {}
  std::uint64_t below(std::uint64_t n) override { return random_() % n; }
  std::uint64_t any() override { return random_(); }

 private:
  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  const long steps = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1'000'000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device{}();
  const long steps_of_a_round = 2'000;
  std::printf("%ld steps, seed %llu\n", steps, static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (long done = 0; done < steps; done += steps_of_a_round) {
    test::model::round_seed = seed + static_cast<std::uint64_t>(done / steps_of_a_round);
    random_choices choices{test::model::round_seed};
    test::model::round_of_steps{choices}.run((std::min)(steps - done, steps_of_a_round));
  }
}
