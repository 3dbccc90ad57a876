// What the fuzzers share: how they fail, and how they read their input.
#ifndef OUTBOUND_TESTS_FUZZ_HPP
#define OUTBOUND_TESTS_FUZZ_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace fuzz {

// The fuzzer keeps the input that led here.
inline void demand(bool holds, const char* what, std::string_view detail) {
  if (holds) return;
  std::fprintf(stderr, "%s:\n", what);
  std::fwrite(detail.data(), 1, detail.size(), stderr);
  std::fputc('\n', stderr);
  std::abort();
}

// Choices, taken off the front of the input; zeros behind its end.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size) : data_{data}, size_{size} {}

  bool over() const { return size_ == 0; }
  std::uint64_t bytes(unsigned count) {
    std::uint64_t n = 0;
    for (; count > 0 && size_ > 0; --count, --size_) n = n << 8 | *data_++;
    return n;
  }
  std::uint64_t below(std::uint64_t n) { return bytes(n <= 0x100 ? 1 : n <= 0x10000 ? 2 : 8) % n; }
  bool coin() { return (bytes(1) & 1) != 0; }
  // A length, and so many bytes.
  std::string text(std::size_t longest) {
    const std::size_t wanted = static_cast<std::size_t>(below(longest + 1));
    const std::size_t size = wanted < size_ ? wanted : size_;
    std::string s{reinterpret_cast<const char*>(data_), size};
    data_ += size;
    size_ -= size;
    return s;
  }
  std::string rest() {
    std::string s{reinterpret_cast<const char*>(data_), size_};
    size_ = 0;
    return s;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

}  // namespace fuzz
#endif
