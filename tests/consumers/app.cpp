// The program that every consumer project here builds: it uses the outbox, so that threads are linked.
#include <outbound.hpp>

#include <chrono>
#include <string>

int main() {
  std::string seen;
  outbound::outbox outbox{outbound::client{"key", [&seen](const outbound::request& r) {
                                             seen = r.body;
                                             return outbound::response{200};
                                           }}};
  if (!outbox.post(outbound::user{42}.track("signup"))) return 1;
  if (!outbox.close(std::chrono::seconds{30})) return 2;
  return seen == R"({"user_id":42,"event":"signup"})" ? 0 : 3;
}
