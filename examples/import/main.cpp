// outbound-import: the users or events of a CSV or NDJSON file, to Outbound. --help shows the options.
#include "command_line.hpp"
#include "importer.hpp"
#include "printable.hpp"

#include <csignal>
#include <cstdio>
#include <exception>

namespace {

volatile std::sig_atomic_t stop = 0;

extern "C" void on_signal(int) { stop = 1; }

}  // namespace

int main(int count, char** arguments) {
  importer::command_line c;
  int exit_code = 0;
  if (!importer::read_command_line(count, arguments, c, exit_code)) return exit_code;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  try {
    return c.dry_run ? importer::dry_run(c) : importer::run(c, stop);
  } catch (const std::exception& why) {
    std::fprintf(stderr, "outbound-import: %s\n", importer::printable(why.what()).c_str());
    return importer::exit_failed;
  }
}
