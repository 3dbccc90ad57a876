// A delivery_queue beside the model of tests/support/model.hpp; the input decides what happens.
#include <cstddef>
#include <cstdint>

#include "../support/model.hpp"
#include "fuzz.hpp"

namespace {

class bytes_choose final : public test::model::choices {
 public:
  explicit bytes_choose(fuzz::input from) : from_{from} {}
  std::uint64_t below(std::uint64_t n) override { return from_.below(n); }
  std::uint64_t any() override { return from_.bytes(8); }
  bool over() const override { return from_.over(); }

 private:
  fuzz::input from_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bytes_choose choices{{data, size}};
  test::model::round_of_steps{choices}.run(2'000);
  return 0;
}
