// The implementation of a mutant, as a shared library: all that the tests use, also of outbound::detail.
#define OUTBOUND_IMPLEMENTATION
#include "outbound.hpp"
//
#include "details.hpp"

namespace outbound::detail {

checker_outside::checker_outside(std::string_view s) : inside_{new json_checker{s}} {}
checker_outside::~checker_outside() { delete static_cast<json_checker*>(inside_); }
bool checker_outside::run() noexcept { return static_cast<json_checker*>(inside_)->run(); }
std::size_t checker_outside::offset() const noexcept { return static_cast<const json_checker*>(inside_)->offset(); }

// An inline function is in an object file only if something there uses it.
using any_function = void (*)();
extern const any_function in_use[];
const any_function in_use[] = {
    reinterpret_cast<any_function>(&utf8_error),          reinterpret_cast<any_function>(&hash),
    reinterpret_cast<any_function>(&read_http_date),      reinterpret_cast<any_function>(&backoff_ceiling),
    reinterpret_cast<any_function>(&retry_after_seconds), reinterpret_cast<any_function>(&insert_leaf),
    reinterpret_cast<any_function>(&is_utf8),
};

extern const void* const data_in_use[];
const void* const data_in_use[] = {small_powers_of_10, powers_of_10};

}  // namespace outbound::detail
