// Programs that post through the SQLite store and are killed with SIGKILL, again and again, at random moments. What
// they said they accepted is at the sandbox afterwards: in order per user, one body for each GUID, and twice only where
// an answer was lost. Prints its seed; OUTBOUND_SEED and OUTBOUND_CRASH_KILLS (200) set it and the number of kills.
#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/sandbox.hpp"

#include "stores/sqlite.hpp"
#include "transports/libcurl.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using json = nlohmann::json;
using test::sandbox;

// Where the machine sends its HTTP through a proxy, 127.0.0.1 is not to go there.
[[maybe_unused]] const bool no_proxy = setenv("no_proxy", "*", 1) == 0;

constexpr int posts_of_a_life = 60;
constexpr int users = 5;
constexpr std::size_t workers = 2;

std::string variable(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

/// A child process, its input and its output.
class child {
 public:
  explicit child(std::vector<std::string> command) {
    int input[2], output[2];
    REQUIRE(pipe2(input, O_CLOEXEC) == 0);
    REQUIRE(pipe2(output, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int failure = posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    output_ = output[0];
    REQUIRE(failure == 0);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() {
    finish(SIGKILL);
    close(output_);
  }

  void say(const std::string& text) {
    REQUIRE(write(input_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

  /// Waits until it has written so many lines, or has ended.
  void hear(std::ptrdiff_t lines) {
    while (std::count(heard_.begin(), heard_.end(), '\n') < lines && hear_more()) {
    }
  }

  void kill_it() { finish(SIGKILL); }

  /// Lets it end by itself; its exit code, or -1.
  int end() {
    finish(0);
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

  /// After the end: the whole lines that it wrote.
  std::vector<std::string> lines() {
    while (hear_more()) {
    }
    std::vector<std::string> all;
    for (std::size_t at = 0, end; (end = heard_.find('\n', at)) != std::string::npos; at = end + 1)
      all.push_back(heard_.substr(at, end - at));
    return all;
  }

 private:
  bool hear_more() {
    char buffer[4096];
    const ssize_t n = read(output_, buffer, sizeof buffer);
    if (n > 0) heard_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  void finish(int signal) {
    if (pid_ == 0) return;
    close(input_);
    if (signal != 0) kill(pid_, signal);
    waitpid(std::exchange(pid_, 0), &status_, 0);
  }

  pid_t pid_{};
  int input_{-1};
  int output_{-1};
  int status_{};
  std::string heard_{};
};

/// An event's name is "LIFE-N"; so they compare.
std::pair<int, int> place_of(const std::string& event) {
  const std::size_t dash = event.find('-');
  return {std::stoi(event), std::stoi(event.substr(dash + 1))};
}

/// What the lives of one kind of program share.
struct record_of_lives {
  const sandbox& box;
  std::mt19937_64 random{};
  int kills;
  std::size_t accepted_before_a_kill{};
  std::set<std::string> accepted{};

  explicit record_of_lives(const sandbox& at) : box{at}, kills{std::stoi(variable("OUTBOUND_CRASH_KILLS", "200"))} {
    const std::string seed = variable("OUTBOUND_SEED", std::to_string(std::random_device{}()));
    random.seed(std::stoull(seed));
    std::cout << "OUTBOUND_SEED=" << seed << ": " << kills << " kills" << std::endl;
  }

  int draw(int most) { return std::uniform_int_distribution<int>{0, most}(random); }

  /// Kills it in its start, or after some posts.
  void kill_somewhere(child& program) {
    const int posts = draw(3) == 0 ? 0 : draw(posts_of_a_life);
    program.hear(posts);
    std::this_thread::sleep_for(std::chrono::microseconds{draw(posts == 0 ? 20'000 : 3'000)});
    program.kill_it();
    const std::size_t before = accepted.size();
    listen(program);
    accepted_before_a_kill += accepted.size() - before;
  }

  void listen(child& program) {
    const std::string prefix = "accepted: ";
    for (const std::string& line : program.lines())
      if (line.compare(0, prefix.size(), prefix) == 0) accepted.insert(line.substr(prefix.size()));
  }

  /// Compares what was accepted with what the sandbox understood.
  void check(std::uint64_t requests_at_once) const {
    const json totals = box.get("/sandbox");
    INFO(totals.dump());
    std::map<std::string, std::pair<int, int>> newest;
    std::set<std::string> arrived;
    for (const json& e : box.get("/sandbox/events")) {
      const std::string name = e.at("event");
      if (e.contains("seen")) continue;  // once more, which is counted below
      CHECK(arrived.insert(name).second);
      const auto [at, is_first] = newest.emplace(e.at("user_id").dump(), place_of(name));
      if (!is_first) CHECK(at->second < place_of(name));
      at->second = place_of(name);
    }
    std::vector<std::string> lost;
    std::set_difference(accepted.begin(), accepted.end(), arrived.begin(), arrived.end(), std::back_inserter(lost));
    CHECK(lost == std::vector<std::string>{});
    CHECK(totals.at("conflicts") == 0);
    CHECK(totals.at("rejected") == 0);
    const json& faults = totals.at("faults");
    const std::uint64_t answers_lost =
        static_cast<std::uint64_t>(kills) * requests_at_once + faults.value("drop_after", std::uint64_t{0});
    CHECK(totals.at("duplicates").get<std::uint64_t>() <= answers_lost);
    CHECK(accepted_before_a_kill > static_cast<std::size_t>(kills));  // else this would show little
  }
};

}  // namespace

TEST_CASE("killed 200 times, the example loses nothing that it accepted", "[crash]") {
  const auto box = sandbox::start();
  if (!box) return;
  const test::folder here;
  record_of_lives lives{*box};
  const std::vector<std::string> command{variable("OUTBOUND_BACKGROUND", ""), box->url(), sandbox::key,
                                         here.file("outbound.db")};
  for (int life = 0; life < lives.kills; ++life) {
    child program{command};
    std::string events;
    for (int n = 0; n < posts_of_a_life; ++n) events += std::to_string(life) + "-" + std::to_string(n) + "\n";
    program.say(events);
    lives.kill_somewhere(program);
  }
  child last{command};
  last.say("999999-0\n");
  CHECK(last.end() == 0);
  lives.listen(last);
  CHECK(lives.accepted.count("999999-0") == 1);
  lives.check(1);
}

// The program that the next test kills: several users and workers, batches, and a sandbox that misbehaves.
TEST_CASE("posts until it is killed", "[.][child]") {
  const int life = std::stoi(variable("OUTBOUND_CRASH_LIFE", ""));
  const int posts = std::stoi(variable("OUTBOUND_CRASH_POSTS", ""));
  outbound::options api;
  api.base_url = variable("OUTBOUND_CRASH_URL", "");
  stores::sqlite_store store{variable("OUTBOUND_CRASH_STORE", "")};
  outbound::outbox_options options;
  options.store = &store;
  options.workers = workers;
  options.make_transport = [] { return outbound::transport{transports::libcurl_transport{}}; };
  options.batch_size = 7;
  options.retry.first_delay = 2ms;
  options.retry.max_delay = 10ms;
  outbound::outbox outbox{outbound::client{sandbox::key, outbound::no_transport, api}, options};
  for (int n = 0; n < posts; ++n) {
    const std::string name = std::to_string(life) + "-" + std::to_string(n);
    const auto posted = outbox.post(outbound::user{n % users}.track(name));
    const std::string line = (posted ? "accepted: " + name : posted.error().message) + "\n";
    if (write(STDOUT_FILENO, line.data(), line.size()) < 0) return;
  }
  if (posts != 0) pause();
  REQUIRE(outbox.close(30s));
}

TEST_CASE("killed 200 times with workers, batches and faults, nothing that was accepted is lost", "[crash]") {
  const auto box = sandbox::start();
  if (!box) return;
  const test::folder here;
  record_of_lives lives{*box};
  box->post("/sandbox/faults", {{"seed", lives.draw(1'000'000)},
                                {"chance", {{"drop_after", 0.02}, {"drop_before", 0.02}, {"503", 0.03}}}});
  const std::vector<std::string> command{"/proc/self/exe", "posts until it is killed"};
  setenv("OUTBOUND_CRASH_URL", box->url().c_str(), 1);
  setenv("OUTBOUND_CRASH_STORE", here.file("outbound.db").c_str(), 1);
  setenv("OUTBOUND_CRASH_POSTS", std::to_string(posts_of_a_life).c_str(), 1);
  for (int life = 0; life < lives.kills; ++life) {
    setenv("OUTBOUND_CRASH_LIFE", std::to_string(life).c_str(), 1);
    child program{command};
    lives.kill_somewhere(program);
  }
  setenv("OUTBOUND_CRASH_POSTS", "0", 1);
  child last{command};
  CHECK(last.end() == 0);
  lives.check(workers);
}
