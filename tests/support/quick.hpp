// Whether a test that tries very many values is to try a sample of them.
#ifndef OUTBOUND_TESTS_QUICK_HPP
#define OUTBOUND_TESTS_QUICK_HPP
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OUTBOUND_TESTS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define OUTBOUND_TESTS_SANITIZED true
#endif
#endif
#ifndef OUTBOUND_TESTS_SANITIZED
#define OUTBOUND_TESTS_SANITIZED false
#endif

namespace test {

inline constexpr bool sanitized = OUTBOUND_TESTS_SANITIZED;

// Below sanitizers, and where valgrind or an emulator says so by OUTBOUND_QUICK.
inline bool quick() { return sanitized || std::getenv("OUTBOUND_QUICK") != nullptr; }

}  // namespace test
#endif
