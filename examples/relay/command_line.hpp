// What the user asks for.
#ifndef OUTBOUND_RELAY_COMMAND_LINE_HPP
#define OUTBOUND_RELAY_COMMAND_LINE_HPP

#include "nats.hpp"
#include "partition.hpp"
#include "sender.hpp"
#include "streams.hpp"

#include <string>

namespace relay {

enum class task : unsigned char { deliver, create, status, list_dead, replay_dead };

struct command_line {
  task what{task::deliver};
  access nats{};
  std::string stream{default_stream};
  stream_settings created{};
  sender_options api{};
  partition_settings taking{};
};

/// False: there is nothing to do, or it cannot be done, and `exit_code` is the program's.
bool read_command_line(int count, char** arguments, command_line& out, int& exit_code);

}  // namespace relay
#endif
