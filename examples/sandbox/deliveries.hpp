#ifndef SANDBOX_DELIVERIES_HPP
#define SANDBOX_DELIVERIES_HPP

#include "bounded_log.hpp"
#include "calls.hpp"
#include "json_text.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sandbox {

/// Tells two calls apart without keeping them.
struct fingerprint {
  std::string_view path;  ///< one of the API's, which live for ever
  std::size_t bytes = 0;  ///< of the body
  std::uint32_t crc32 = 0;

  bool operator==(const fingerprint& other) const {
    return path == other.path && bytes == other.bytes && crc32 == other.crc32;
  }
};

fingerprint fingerprint_of(const call& to, std::string_view body);

enum class sighting {
  first,      ///< a new GUID, or none
  duplicate,  ///< the GUID of an earlier call, and the same bytes
  conflict,   ///< the GUID of an earlier call, and other bytes
};

/// Which GUIDs were seen, and with what. Remembers the newest ones only.
class guid_book {
 public:
  sighting note(const std::string& guid, const fingerprint& what);

 private:
  static constexpr std::size_t max_guids = 500'000;

  std::unordered_map<std::string, fingerprint> known_;
  bounded_log<std::string> order_{max_guids, 64 * mebibyte};
};

/// One accepted call, in few bytes, so that hundreds of thousands can be kept.
struct delivery {
  std::uint64_t seq = 0;
  std::optional<std::string> guid;
  std::vector<std::string> users;  ///< the texts of their ids, one of each body
  fingerprint what;
  sighting seen = sighting::first;
  bool applied = true;

  std::size_t size() const;
};

delivery delivery_of(const call& to, const std::vector<json>& bodies, std::string_view text,
                     const std::optional<std::string>& guid);

/// A line for each.
std::string ndjson_of(const std::vector<delivery>& rows);

}  // namespace sandbox

#endif
