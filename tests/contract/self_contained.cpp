// [F68] The header needs nothing before it, and may be included twice.
#include "outbound.hpp"
#include "outbound.hpp"
// The headers above must have been enough for what follows: nothing else is included before.
inline std::string first_use() {
  outbound::client client{"key", [](const outbound::request&) { return outbound::response{200}; }};
  const outbound::user ada{"ada"};
  const outbound::object o{{"city", "Oslo"}, {"tags", {"a", 1}}, {"raw", outbound::json{"[1]"}}};
  const outbound::track m = ada.track("e").properties(o).property("list", outbound::array::of(1, 2.5, nullptr));
  return client.send(m) && client.send(ada.identify().email("e")) ? std::string{m.body()} : std::string{};
}

#include "everything.hpp"
#include "expect.hpp"

std::string include_last();

int main() {
  EXPECT(first_use() ==
         R"({"user_id":"ada","event":"e","properties":{"city":"Oslo","tags":["a",1],"raw":[1],"list":[1,2.5,null]}})");
  const std::string all = everything::run();
  EXPECT(all.size() > 5000);
  EXPECT(include_last() == all);
}
