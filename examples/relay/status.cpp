#include "status.hpp"

#include "crew.hpp"
#include "streams.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>

namespace relay {
namespace {

constexpr std::chrono::milliseconds listening{2'000};  // each relay speaks once a second
constexpr std::chrono::seconds patience{15};

owned<jsStreamInfo> info_of(const connection& to, const std::string& stream) {
  owned<jsStreamInfo> info;
  answer said;
  const std::string all = stream + ".>";
  said = patiently(patience, [&] { return info = to.stream(stream, said, all.c_str()), said; });
  if (said.code == JSStreamNotFoundErr) throw failed{"there is no stream " + stream + ": --create makes it"};
  if (!said.good()) throw failed{"the stream " + stream + " does not answer: " + said.text()};
  return info;
}

long long seconds_since(std::int64_t unix_ns) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now - std::chrono::nanoseconds{unix_ns}).count();
}

}  // namespace

void print_status(const connection& to, const std::string& stream) {
  const listener heard{to, stream};
  nats_Sleep(listening.count());
  const owned<jsStreamInfo> live = info_of(to, stream);
  const owned<jsStreamInfo> dead = info_of(to, dead_stream(stream));
  const jsStreamState& state = live->State;
  std::printf("waiting       %ju messages, %ju bytes\n", std::uintmax_t{state.Msgs}, std::uintmax_t{state.Bytes});
  if (state.Msgs != 0) std::printf("oldest        %lld s\n", seconds_since(state.FirstTime));
  const std::vector<report> relays = heard.recent(listening);
  double rate = 0;
  for (const report& r : relays) rate += r.rate;
  std::printf("rate          %.0f messages a second\n", rate);
  std::printf("dead letters  %ju\n", std::uintmax_t{dead->State.Msgs});
  std::printf("relays        %zu\n", relays.size());
  for (const report& r : relays)
    std::printf("  %s: %zu of %d partitions, %.0f a second, holds %zu%s%s\n", r.relay.c_str(), r.partitions,
                live->Config->SubjectsLen, r.rate, r.held, r.trouble.empty() ? "" : ", waits: ", r.trouble.c_str());
  for (int n = 0; state.Subjects != nullptr && n < state.Subjects->Count; ++n)
    std::printf("  %s: %ju waiting\n", state.Subjects->List[n].Subject, std::uintmax_t{state.Subjects->List[n].Msgs});
}

}  // namespace relay
