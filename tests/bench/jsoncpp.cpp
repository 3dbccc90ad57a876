#include <json/json.h>

#include "payloads.hpp"

namespace bench {

namespace {

Json::Value as_json(const place& p) {
  Json::Value v{Json::objectValue};
  v["city"] = p.city;
  v["zip"] = p.zip;
  return v;
}

Json::Value about(const inputs& in) {
  Json::Value v{Json::objectValue};
  v["user_id"] = in.user_id;
  v["first_name"] = in.first_name;
  v["last_name"] = in.last_name;
  v["email"] = in.email;
  v["apns"].append(in.apns);
  v["gcm"].append(in.gcm);
  v["phone_number"] = in.phone_number;
  return v;
}

// Compact, UTF-8 as it is: as much like the others as there is a setting for.
const Json::StreamWriterBuilder& compact() {
  static const Json::StreamWriterBuilder builder = [] {
    Json::StreamWriterBuilder b;
    b["indentation"] = "";
    b["emitUTF8"] = true;
    return b;
  }();
  return builder;
}

void finish(const Json::Value& body, consumer use) { use(Json::writeString(compact(), body)); }

void small(const inputs& in, consumer use) {
  Json::Value body{Json::objectValue};
  body["user_id"] = in.user_id;
  body["event"] = in.event;
  finish(body, use);
}

void track(const inputs& in, consumer use) {
  Json::Value body{Json::objectValue};
  body["user_id"] = Json::Value::Int64{in.numeric_id};
  body["event"] = in.event;
  Json::Value& p = body["properties"];
  p["timestamp"] = Json::Value::Int64{in.bought.timestamp};
  p["resolution"] = in.bought.resolution;
  p["price"] = in.bought.price;
  for (const item& i : in.bought.items) {
    Json::Value& v = p["items"].append(Json::Value{Json::objectValue});
    v["sku"] = i.sku;
    v["qty"] = i.qty;
  }
  p["note"] = in.bought.note;
  finish(body, use);
}

void identify(const inputs& in, consumer use) {
  Json::Value body = about(in);
  Json::Value& v = body["attributes"];
  v["plan"] = in.profile.plan;
  v["age"] = in.profile.age;
  v["score"] = in.profile.score;
  for (const std::string& tag : in.profile.tags) v["tags"].append(tag);
  v["address"] = as_json(in.profile.address);
  v["trial"] = in.profile.trial;
  v["ref"] = Json::Value{};
  finish(body, use);
}

void heavy200(const inputs& in, consumer use) {
  Json::Value body = about(in);
  Json::Value& attributes = body["attributes"];
  for (const attribute& a : in.attributes) {
    Json::Value& v = attributes[a.key];
    switch (a.what) {
      case attribute::kind::text: v = a.text; break;
      case attribute::kind::integer: v = Json::Value::Int64{a.integer}; break;
      case attribute::kind::real: v = a.real; break;
      case attribute::kind::place: v = as_json(a.place); break;
    }
  }
  finish(body, use);
}

}  // namespace

std::vector<contender> jsoncpp_contenders() {
  return {{"small", "jsoncpp", "Value, writeString", &small},
          {"track", "jsoncpp", "Value, writeString", &track},
          {"identify", "jsoncpp", "Value, writeString", &identify},
          {"heavy200", "jsoncpp", "Value, writeString", &heavy200}};
}

}  // namespace bench
