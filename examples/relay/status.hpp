// What --status shows.
#ifndef OUTBOUND_RELAY_STATUS_HPP
#define OUTBOUND_RELAY_STATUS_HPP

#include "nats.hpp"

#include <string>

namespace relay {

/// Prints lag, relays with their rates, and dead letters. Throws `failed`.
void print_status(const connection& to, const std::string& stream);

}  // namespace relay
#endif
