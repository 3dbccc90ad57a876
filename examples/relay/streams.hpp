// The two streams: what waits for the API, and what it refused.
#ifndef OUTBOUND_RELAY_STREAMS_HPP
#define OUTBOUND_RELAY_STREAMS_HPP

#include "nats.hpp"
#include "sender.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace relay {

inline constexpr const char* error_header = "Outbound-Error";        // of a dead letter: what the API said
inline constexpr const char* status_header = "Outbound-Status";      // its HTTP status; 0: there was none
inline constexpr const char* attempts_header = "Outbound-Attempts";  // requests made for it

struct stream_settings {
  std::size_t partitions{16};
  int replicas{1};
  std::chrono::seconds duplicates{600};
  std::int64_t max_bytes{-1};
};

inline std::string dead_stream(const std::string& stream) { return stream + "_DEAD"; }
inline std::string dead_subject(const std::string& stream, std::size_t partition) {
  return stream + ".dead." + std::to_string(partition);
}

/// Makes both. Those that are there already have to be so. Throws `failed`.
void create(const connection& to, const std::string& stream, const stream_settings& s);

/// How many partitions the stream has. Throws `failed`, after `patience`.
std::size_t partitions_of(const connection& to, const std::string& stream, std::chrono::milliseconds patience);

/// Puts a message with its error into the stream of dead letters. Good: it is stored there.
answer bury(const connection& to, const std::string& stream, std::size_t partition, natsMsg* message,
            std::uint64_t sequence, const outcome& why);

/// A letter as it lies there.
struct letter {
  std::uint64_t sequence{};
  std::string guid{}, path{}, user_key{}, error{}, body{};
};
/// Calls `visit` for each dead letter there is now; returns how many. Throws `failed`.
std::size_t each_letter(const connection& to, const std::string& stream,
                        const std::function<void(const letter&)>& visit);

/// Publishes each dead letter anew, then takes it away; returns how many. Killed in between, it publishes a letter
/// twice: with one GUID, and the stream drops the repeat. Throws `failed`.
std::size_t replay(const connection& to, const std::string& stream);

}  // namespace relay
#endif
