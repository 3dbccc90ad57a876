// Builds every body a number of times below callgrind, which dumps its counts after each: see instructions.py.
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "payloads.hpp"

namespace {

const char* last_body;

void use(std::string_view body) {
  const char* volatile p = body.data();
  last_body = p;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<bench::contender> all = bench::contenders();
  bench::compare_all(all);
  const int bodies = argc > 1 ? std::atoi(argv[1]) : 100;
  const bench::inputs& in = bench::data();
  for (const bench::contender& c : all) {
    const std::string name = std::string{c.payload} + '/' + c.library + '/' + c.style;
    c.build(in, &use);  // what is made once and kept
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    for (int i = 0; i < bodies; ++i) c.build(in, &use);
    CALLGRIND_DUMP_STATS_AT(name.c_str());
    CALLGRIND_STOP_INSTRUMENTATION;
  }
}
