// operator new that fails when a test says so. It replaces the program's own: for one file of a program.
#ifndef OUTBOUND_TESTS_STARVED_HPP
#define OUTBOUND_TESTS_STARVED_HPP
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace test {

inline struct starved {
  std::atomic<long> allocations{0};  // since the last `watch`, of all threads
  std::atomic<long> live{0};         // blocks
  std::atomic<long> bytes{0};
  std::atomic<long> fail_at{0};       // the allocation that fails, counted from 1; 0: none
  std::atomic<bool> for_ever{false};  // and all that follow
  std::atomic<bool> failed{false};
} memory;

inline void watch(long fail_at = 0, bool for_ever = false) {
  memory.fail_at = 0;
  memory.allocations = 0;
  memory.failed = false;
  memory.for_ever = for_ever;
  memory.fail_at = fail_at;
}

inline constexpr std::size_t block_front = alignof(std::max_align_t);  // where its size is kept

inline void* allocate(std::size_t size) noexcept {
  const long n = ++memory.allocations;
  const long fail_at = memory.fail_at;
  if (fail_at != 0 && (n == fail_at || (memory.for_ever && n > fail_at))) {
    memory.failed = true;
    return nullptr;
  }
  void* const p = std::malloc(size + block_front);
  if (p == nullptr) return nullptr;
  *static_cast<std::size_t*>(p) = size;
  ++memory.live;
  memory.bytes += static_cast<long>(size);
  return static_cast<char*>(p) + block_front;
}

inline void release(void* p) noexcept {
  if (p == nullptr) return;
  void* const block = static_cast<char*>(p) - block_front;
  --memory.live;
  memory.bytes -= static_cast<long>(*static_cast<std::size_t*>(block));
  std::free(block);
}

inline void* allocate_or_throw(std::size_t size) {
  void* const p = allocate(size);
  if (p != nullptr) return p;
#ifdef __cpp_exceptions
  throw std::bad_alloc{};
#else
  std::abort();
#endif
}

}  // namespace test

void* operator new(std::size_t size) { return test::allocate_or_throw(size); }
void* operator new[](std::size_t size) { return test::allocate_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return test::allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return test::allocate(size); }
void operator delete(void* p) noexcept { test::release(p); }
void operator delete[](void* p) noexcept { test::release(p); }
void operator delete(void* p, std::size_t) noexcept { test::release(p); }
void operator delete[](void* p, std::size_t) noexcept { test::release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { test::release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { test::release(p); }
#endif
