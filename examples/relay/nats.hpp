// The NATS client's C API, as little of it as the relay needs, for C++.
#ifndef OUTBOUND_RELAY_NATS_HPP
#define OUTBOUND_RELAY_NATS_HPP

#include "publisher.hpp"

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace relay {

/// Why the relay cannot go on; the text is for its user.
struct failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How to reach NATS.
struct access {
  std::string servers{"nats://127.0.0.1:4222"};
  std::string credentials{};  ///< a .creds file
  std::string ca_file{};      ///< whom to trust; a tls:// URL is enough for those of the system
  std::string certificate{};  ///< of the client, with
  std::string key{};          ///< its key
  std::string name{"outbound-relay"};
};

/// What JetStream said.
struct answer {
  natsStatus status{};
  jsErrCode code{};

  bool good() const { return status == NATS_OK; }
  /// Worth another try: a leader is being elected, a server is gone, the line is cut.
  bool passes() const;
  std::string text() const;
};

/// A connection, with JetStream. Thread-safe, as the NATS client is.
class connection {
 public:
  /// Throws `failed`, after `patience`.
  connection(const access& to, std::chrono::milliseconds patience);

  natsConnection* get() const { return connection_.get(); }
  jsCtx* js() const { return js_.get(); }
  /// All that was said has left, or could not within a second.
  void flush() const { natsConnection_FlushTimeout(connection_.get(), 1000); }

  owned<jsStreamInfo> stream(const std::string& name, answer& said, const char* subjects = nullptr) const;
  std::vector<std::string> consumers(const std::string& stream, answer& said) const;

 private:
  owned<natsConnection> connection_{};
  owned<jsCtx> js_{};
};

/// Calls until the answer is good, or bad for good, or the time is over.
template <class Call>
answer patiently(std::chrono::milliseconds patience, const Call& call) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const answer said = call();
    if (!said.passes() || std::chrono::steady_clock::now() >= end) return said;
    nats_Sleep(200);
  }
}

inline std::string header_of(natsMsg* message, const char* name) {
  const char* value = nullptr;
  return natsMsgHeader_Get(message, name, &value) == NATS_OK ? value : "";
}

/// The opposite of `percent_encoded`.
std::string percent_decoded(const std::string& s);

}  // namespace relay
#endif
