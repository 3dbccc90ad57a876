// What tests use of outbound::detail, declared, for test files that are compiled apart from the implementation.
#ifndef OUTBOUND_TESTS_MUTATION_DETAILS_HPP
#define OUTBOUND_TESTS_MUTATION_DETAILS_HPP
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "outbound.hpp"

// Functions of one name are one function only in one namespace.
#define OUTBOUND_TESTS_JOIN_(a, b, c) v##a##_##b##_##c
#define OUTBOUND_TESTS_JOIN(a, b, c) OUTBOUND_TESTS_JOIN_(a, b, c)
#define OUTBOUND_TESTS_VERSION \
  OUTBOUND_TESTS_JOIN(OUTBOUND_VERSION_MAJOR, OUTBOUND_VERSION_MINOR, OUTBOUND_VERSION_PATCH)

namespace outbound::OUTBOUND_TESTS_VERSION::detail {

#ifndef OUTBOUND_IMPLEMENTATION
std::size_t utf8_error(std::string_view s) noexcept;
bool is_utf8(std::string_view s) noexcept;
std::uint32_t hash(std::string_view s, std::uint64_t seed) noexcept;
std::size_t insert_leaf(writer& w, std::size_t open, std::size_t close, text key, key_set& keys, const erased& v,
                        std::size_t first_finding);
bool read_http_date(std::string_view s, std::int64_t unix_now, std::int64_t& out) noexcept;
std::int64_t retry_after_seconds(std::string_view s, std::int64_t unix_now) noexcept;
std::int64_t backoff_ceiling(const retry_policy& p, unsigned failures) noexcept;
struct product {
  std::uint64_t high, low;
};
extern const std::uint64_t small_powers_of_10[27];
extern const product powers_of_10[24];
#endif

// The json_checker, whose layout only the implementation knows.
class checker_outside {
 public:
  explicit checker_outside(std::string_view s);
  ~checker_outside();
  bool run() noexcept;
  std::size_t offset() const noexcept;

 private:
  void* inside_;
};
#ifndef OUTBOUND_IMPLEMENTATION
using json_checker = checker_outside;
#endif

}  // namespace outbound::OUTBOUND_TESTS_VERSION::detail
#endif
