// outbound-relay: from a NATS JetStream stream to Outbound. --help shows the options.
#include "command_line.hpp"
#include "crew.hpp"
#include "status.hpp"

#include <nlohmann/json.hpp>

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <exception>

namespace {

constexpr std::chrono::seconds patience{30};  // for NATS, at the start

// Until then signals wait: they are taken here, never in the middle of something. A second one does not wait.
void deliver(const relay::command_line& c, const relay::connection& to, const sigset_t& signals) {
  const std::size_t partitions = relay::partitions_of(to, c.stream, patience);
  relay::sender sender{c.api};
  relay::crew crew{to, sender, c.taking, partitions};
  std::printf("%s relays %s to %s\n", c.taking.relay.c_str(), c.stream.c_str(), c.api.url.c_str());
  std::fflush(stdout);
  const timespec glance{0, 100'000'000};
  while (sigtimedwait(&signals, nullptr, &glance) < 0) crew.tick();
  std::fprintf(stderr, "outbound-relay: stops\n");
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  crew.leave();
  sender.stop();
}

void list_dead(const relay::connection& to, const std::string& stream) {
  relay::each_letter(to, stream, [](const relay::letter& l) {
    const nlohmann::ordered_json shown{{"seq", l.sequence},  {"guid", l.guid},   {"path", l.path},
                                       {"user", l.user_key}, {"error", l.error}, {"body", l.body}};
    std::printf("%s\n", shown.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  });
}

}  // namespace

int main(int count, char** arguments) {
  relay::command_line c;
  int exit_code = 0;
  if (!relay::read_command_line(count, arguments, c, exit_code)) return exit_code;
  // Before any thread is: they inherit it. SIGPIPE is an error of a write, nothing else.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  if (c.what == relay::task::deliver) pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  try {
    const relay::connection to{c.nats, patience};
    switch (c.what) {
      case relay::task::deliver: deliver(c, to, signals); break;
      case relay::task::create: relay::create(to, c.stream, c.created); break;
      case relay::task::status: relay::print_status(to, c.stream); break;
      case relay::task::list_dead: list_dead(to, c.stream); break;
      case relay::task::replay_dead: std::printf("%zu dead letters replayed\n", relay::replay(to, c.stream)); break;
    }
  } catch (const std::exception& why) {
    std::fprintf(stderr, "outbound-relay: %s\n", why.what());
    return 1;
  }
  return 0;
}
