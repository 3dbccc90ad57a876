#include <nlohmann/json.hpp>

#include "payloads.hpp"

namespace bench {

namespace {

using nlohmann::json;

json as_json(const place& p) { return {{"city", p.city}, {"zip", p.zip}}; }

json about(const inputs& in) {
  return {{"user_id", in.user_id},          {"first_name", in.first_name},
          {"last_name", in.last_name},      {"email", in.email},
          {"apns", json::array({in.apns})}, {"gcm", json::array({in.gcm})},
          {"phone_number", in.phone_number}};
}

void small(const inputs& in, consumer use) {
  const json body{{"user_id", in.user_id}, {"event", in.event}};
  use(body.dump());
}

void track(const inputs& in, consumer use) {
  json items = json::array();
  for (const item& i : in.bought.items) items.push_back({{"sku", i.sku}, {"qty", i.qty}});
  const json body{{"user_id", in.numeric_id},
                  {"event", in.event},
                  {"properties",
                   {{"timestamp", in.bought.timestamp},
                    {"resolution", in.bought.resolution},
                    {"price", in.bought.price},
                    {"items", std::move(items)},
                    {"note", in.bought.note}}}};
  use(body.dump());
}

void identify(const inputs& in, consumer use) {
  json body = about(in);
  const profile& p = in.profile;
  body["attributes"] = {
      {"plan", p.plan},   {"age", p.age},  {"score", p.score}, {"tags", p.tags}, {"address", as_json(p.address)},
      {"trial", p.trial}, {"ref", nullptr}};
  use(body.dump());
}

void heavy200(const inputs& in, consumer use) {
  json body = about(in);
  json attributes = json::object();
  for (const attribute& a : in.attributes) {
    json& v = attributes[a.key];
    switch (a.what) {
      case attribute::kind::text: v = a.text; break;
      case attribute::kind::integer: v = a.integer; break;
      case attribute::kind::real: v = a.real; break;
      case attribute::kind::place: v = as_json(a.place); break;
    }
  }
  body["attributes"] = std::move(attributes);
  use(body.dump());
}

}  // namespace

std::vector<contender> nlohmann_contenders() {
  return {{"small", "nlohmann", "json, dump", &small},
          {"track", "nlohmann", "json, dump", &track},
          {"identify", "nlohmann", "json, dump", &identify},
          {"heavy200", "nlohmann", "json, dump", &heavy200}};
}

}  // namespace bench
