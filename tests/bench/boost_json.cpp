#include "payloads.hpp"

#ifdef OUTBOUND_BENCH_BOOST_JSON

#include <boost/json.hpp>

namespace bench {

namespace {

namespace json = boost::json;

json::object as_json(const place& p) { return {{"city", p.city}, {"zip", p.zip}}; }

json::object about(const inputs& in) {
  return {{"user_id", in.user_id},          {"first_name", in.first_name},
          {"last_name", in.last_name},      {"email", in.email},
          {"apns", json::array{in.apns}},   {"gcm", json::array{in.gcm}},
          {"phone_number", in.phone_number}};
}

void small(const inputs& in, consumer use) {
  const json::object body{{"user_id", in.user_id}, {"event", in.event}};
  use(json::serialize(body));
}

void track(const inputs& in, consumer use) {
  json::array items;
  for (const item& i : in.bought.items) items.push_back({{"sku", i.sku}, {"qty", i.qty}});
  const json::object body{{"user_id", in.numeric_id},
                          {"event", in.event},
                          {"properties",
                           {{"timestamp", in.bought.timestamp},
                            {"resolution", in.bought.resolution},
                            {"price", in.bought.price},
                            {"items", std::move(items)},
                            {"note", in.bought.note}}}};
  use(json::serialize(body));
}

void identify(const inputs& in, consumer use) {
  json::object body = about(in);
  const profile& p = in.profile;
  body["attributes"] = {{"plan", p.plan},
                        {"age", p.age},
                        {"score", p.score},
                        {"tags", json::array(p.tags.begin(), p.tags.end())},
                        {"address", as_json(p.address)},
                        {"trial", p.trial},
                        {"ref", nullptr}};
  use(json::serialize(body));
}

void heavy200(const inputs& in, consumer use) {
  json::object body = about(in);
  json::object attributes;
  for (const attribute& a : in.attributes) {
    json::value& v = attributes[a.key];
    switch (a.what) {
      case attribute::kind::text: v = a.text; break;
      case attribute::kind::integer: v = a.integer; break;
      case attribute::kind::real: v = a.real; break;
      case attribute::kind::place: v = as_json(a.place); break;
    }
  }
  body["attributes"] = std::move(attributes);
  use(json::serialize(body));
}

}  // namespace

std::vector<contender> boost_json_contenders() {
  return {{"small", "Boost.JSON", "object, serialize", &small},
          {"track", "Boost.JSON", "object, serialize", &track},
          {"identify", "Boost.JSON", "object, serialize", &identify},
          {"heavy200", "Boost.JSON", "object, serialize", &heavy200}};
}

}  // namespace bench

#else

std::vector<bench::contender> bench::boost_json_contenders() { return {}; }

#endif
