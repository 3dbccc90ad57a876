#ifndef SANDBOX_CALLS_HPP
#define SANDBOX_CALLS_HPP

#include "json_text.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

inline constexpr std::size_t mebibyte = 1024 * 1024;

enum class action {
  identify,
  track,
  register_token,
  disable_token,
  subscribe_all,
  unsubscribe_all,
  subscribe_campaigns,
  unsubscribe_campaigns,
};

/// One path of the API.
struct call {
  std::string_view path;
  action what;
  std::string_view platform;  ///< "apns", "gcm" or "fcm" where tokens are meant, else empty
  bool batch;
};

/// The call at `path`, or null when the API has none there.
const call* find_call(std::string_view path);

/// The most bytes the body of a request for `path` may have.
std::size_t body_limit(std::string_view path);

/// The bodies in `text`, one or, of a batch, up to 100, each with every field of the right type. Throws `refusal`.
std::vector<json> checked_bodies(const call& to, std::string_view text);

/// Whether users and campaigns can be known by it.
bool is_id(const json& value);

/// What users and campaigns are known by: 42 and "42" are the same one. `id` is a string or an integer.
std::string text_of_id(const json& id);

}  // namespace sandbox

#endif
