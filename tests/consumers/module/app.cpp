#include <string>  // operator==: a module hands on no standard header

import outbound;

int main() {
  outbound::client client{"key", [](const outbound::request& r) {
                            return outbound::response{r.body == R"({"user_id":42,"event":"signup"})" ? 200 : 400};
                          }};
  return client.send(outbound::user{42}.track("signup")) ? 0 : 1;
}
