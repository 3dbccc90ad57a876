// ns per body, ours beside the others, in one run: every library's bodies are built in turns, in random order, and the
// table's ratios are to RapidJSON's Writer. All flags of Google Benchmark work.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "payloads.hpp"

namespace {

using bench::contender;

// The goals and what we reach for (ours / RapidJSON's Writer), per payload.
struct goal {
  const char* payload;
  double most;
  double reach;
};
constexpr goal goals[] = {
    {"small", 0.41, 0.28}, {"track", 0.36, 0.31}, {"identify", 0.29, 0.24}, {"heavy200", 0.38, 0.36}};

void use(std::string_view body) {
  const char* p = body.data();
  benchmark::DoNotOptimize(p);
  benchmark::ClobberMemory();
}

std::string name_of(const contender& c) { return std::string{c.payload} + '/' + c.library + '/' + c.style; }

// ns of all rounds by name, then a table instead of Google Benchmark's lines.
class table : public benchmark::BenchmarkReporter {
 public:
  explicit table(const std::vector<contender>& all) : all_{all} {}

  bool ReportContext(const Context& context) override {
    PrintBasicContext(&GetErrorStream(), context);
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& r : runs)
      if (r.run_type == Run::RT_Iteration && !r.error_occurred)
        rounds_[r.run_name.function_name].push_back(r.GetAdjustedCPUTime());
  }
  void Finalize() override {
    std::printf("| payload | library | style | ns min | ns median | ratio min | ratio median | goal |\n");
    std::printf("|---|---|---|--:|--:|--:|--:|--:|\n");
    for (const goal& g : goals) {
      const contender base{g.payload, "RapidJSON", "Writer", nullptr};
      for (const contender& c : all_)
        if (std::strcmp(c.payload, g.payload) == 0) print(c, base, g);
    }
  }

 private:
  void print(const contender& c, const contender& base, const goal& g) {
    std::vector<double>& ns = rounds_[name_of(c)];
    std::vector<double>& base_ns = rounds_[name_of(base)];
    if (ns.empty()) return;
    std::printf("| %s | %s | %s | %.0f | %.0f |", c.payload, c.library, c.style, least(ns), median(ns));
    if (base_ns.empty()) std::printf(" | |");
    else std::printf(" %.2f | %.2f |", least(ns) / least(base_ns), median(ns) / median(base_ns));
    if (std::strcmp(c.library, "outbound") == 0) std::printf(" %.2f (%.2f) |\n", g.most, g.reach);
    else std::printf(" |\n");
  }
  static double least(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }
  static double median(std::vector<double>& v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
  }

  const std::vector<contender>& all_;
  std::map<std::string, std::vector<double>> rounds_{};
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<contender> all = bench::contenders();
  bench::compare_all(all);
  for (const contender& c : all)
    benchmark::RegisterBenchmark(name_of(c).c_str(), [&c](benchmark::State& state) {
      const bench::inputs& in = bench::data();
      for (auto _ : state) c.build(in, &use);
    });

  // What is given on the command line comes later, and wins.
  std::vector<std::string> arguments{argv[0], "--benchmark_enable_random_interleaving=true",
                                     "--benchmark_repetitions=61", "--benchmark_min_time=0.01"};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  std::vector<char*> pointers;
  for (std::string& a : arguments) pointers.push_back(a.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 1;
  table report{all};
  benchmark::RunSpecifiedBenchmarks(&report);
  benchmark::Shutdown();
}
