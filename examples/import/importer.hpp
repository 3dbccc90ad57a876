// The import itself.
#ifndef OUTBOUND_IMPORT_IMPORTER_HPP
#define OUTBOUND_IMPORT_IMPORTER_HPP

#include "command_line.hpp"

#include <csignal>

namespace importer {

constexpr int exit_done = 0;
constexpr int exit_refused = 1;
constexpr int exit_failed = 2;
constexpr int exit_stopped = 3;

/// The program's exit code. `stop`: set from outside, it ends early. Throws `failed`.
int run(const command_line& c, const volatile std::sig_atomic_t& stop);

/// Prints what would be sent.
int dry_run(const command_line& c);

}  // namespace importer
#endif
