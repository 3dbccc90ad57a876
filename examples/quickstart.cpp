// Two calls, printed instead of sent. Try it: c++ -std=c++17 -I. examples/quickstart.cpp && ./a.out
#include "outbound.hpp"

#include <cstdio>

int main() {
  // A transport makes one HTTP request. This one prints it; examples/transports has real ones.
  auto print = [](const outbound::request& r) {
    std::printf("%s %s\n%s\n\n", r.method.c_str(), r.url.c_str(), r.body.c_str());
    return outbound::response{200};
  };
  outbound::client client{"your-private-key", print};

  outbound::user ada{"ada@example.com"};
  auto sent = client.send(ada.identify().first_name("Ada").attribute("plan", "pro"));
  if (sent) sent = client.send(ada.track("purchase").property("price", 19.99).property("items", {"sku-1", "sku-2"}));
  if (!sent) std::fprintf(stderr, "%s\n", sent.error().message.c_str());
  return sent ? 0 : 1;
}
