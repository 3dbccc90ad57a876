// The sandbox as a child process of a test. Its executable is named by the environment variable OUTBOUND_SANDBOX.
#ifndef OUTBOUND_TESTS_SANDBOX_HPP
#define OUTBOUND_TESTS_SANDBOX_HPP

#include "catch.hpp"

#include <fcntl.h>
#include <httplib.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace test {

class sandbox {
 public:
  static constexpr const char* key = "sandbox-key";

  /// Null, after a loud line, where OUTBOUND_SANDBOX is not set: the test is to return. Throws if it cannot be started.
  static std::unique_ptr<sandbox> start(int port = 0) {
    if (const char* const executable = std::getenv("OUTBOUND_SANDBOX"))
      return std::make_unique<sandbox>(executable, port);
    const std::string name = Catch::getResultCapture().getCurrentTestName();
    std::cerr << "SKIPPED: " << name << " (OUTBOUND_SANDBOX does not name the sandbox's executable)" << std::endl;
    WARN("SKIPPED: OUTBOUND_SANDBOX does not name the sandbox's executable");
    return nullptr;
  }

  /// On 127.0.0.1; port 0 is a free one.
  sandbox(std::string executable, int port) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail(errno, "pipe2");
    const descriptor output{ends[0]};
    {
      const descriptor input{ends[1]};
      spawn(std::move(executable), port, input.number);
    }
    const std::string line = first_line(output.number);
    const std::string greeting = "listening on ";
    if (line.compare(0, greeting.size(), greeting) != 0) {
      stop();
      throw std::runtime_error{"the sandbox did not start: it said '" + line + "'"};
    }
    url_ = line.substr(greeting.size());
  }
  sandbox(const sandbox&) = delete;
  sandbox& operator=(const sandbox&) = delete;
  ~sandbox() { stop(); }

  const std::string& url() const { return url_; }
  int port() const { return std::stoi(url_.substr(url_.rfind(':') + 1)); }

  nlohmann::json get(const std::string& path) const { return checked(path, httplib::Client{url_}.Get(path)); }
  nlohmann::json post(const std::string& path, const nlohmann::json& body) const {
    return checked(path, httplib::Client{url_}.Post(path, body.dump(), "application/json"));
  }
  /// Forgets all that it was told, faults included.
  void reset() const { checked("DELETE /sandbox", httplib::Client{url_}.Delete("/sandbox")); }

 private:
  struct descriptor {
    explicit descriptor(int n) : number{n} {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { close(number); }
    int number;
  };

  [[noreturn]] static void fail(int code, const char* what) {
    throw std::system_error{code, std::generic_category(), what};
  }

  void spawn(std::string executable, int port, int output) {
    std::string port_option = "--port";
    std::string port_text = std::to_string(port);
    std::string key_option = "--key";
    std::string key_text = key;
    char* const arguments[] = {executable.data(), port_option.data(), port_text.data(),
                               key_option.data(), key_text.data(),    nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    const int failure = posix_spawn(&pid_, executable.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) fail(failure, executable.c_str());
  }

  static std::string first_line(int input) {
    std::string line;
    for (;;) {
      pollfd readable{input, POLLIN, 0};
      char c = 0;
      if (poll(&readable, 1, start_limit_ms) != 1 || read(input, &c, 1) != 1 || c == '\n') return line;
      line += c;
    }
  }

  void stop() {
    kill(pid_, SIGTERM);
    const auto limit = std::chrono::steady_clock::now() + stop_limit;
    while (waitpid(pid_, nullptr, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > limit) kill(pid_, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  }

  static nlohmann::json checked(const std::string& what, const httplib::Result& answer) {
    if (!answer) throw std::runtime_error{what + ": " + httplib::to_string(answer.error())};
    if (answer->status != 200) throw std::runtime_error{what + ": " + answer->body};
    return nlohmann::json::parse(answer->body);
  }

  static constexpr int start_limit_ms = 10'000;
  static constexpr std::chrono::seconds stop_limit{5};

  pid_t pid_{};
  std::string url_{};
};

}  // namespace test

#endif
