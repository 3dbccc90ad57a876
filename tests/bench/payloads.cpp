#include "payloads.hpp"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

namespace bench {

namespace {

// Half of all doubles have cents or six places, as prices and places on the map have them; half are full of digits.
double real(int i) {
  if (i % 4 == 0) return 9.99 + i;
  if (i % 4 == 1) return (48'856'614 + i * 1'000'003) / 1e6;
  return 1.0 / (i + 3) + i;
}

// Two fifths are strings, of which one in five is special; a fifth each integers, doubles and nested objects.
attribute make_attribute(int i) {
  attribute a{};
  a.key = (i < 10 ? "attribute_00" : i < 100 ? "attribute_0" : "attribute_") + std::to_string(i);
  switch (i % 5) {
    case 2:
      a.what = attribute::kind::integer;
      a.integer = i % 2 == 0 ? 1'700'000'000 + i : i % 40 - 20;
      break;
    case 3:
      a.what = attribute::kind::real;
      a.real = real(i / 5);
      break;
    case 4:
      a.what = attribute::kind::place;
      a.place = {"San Francisco", "94107"};
      break;
    default:
      a.what = attribute::kind::text;
      if (i % 25 == 0) a.text = i % 2 == 0 ? "J\u00fcrgen \u2013 M\u00fcnchen" : "said \"hello\"\nto us";
      else if (i % 25 == 11) a.text = i % 2 == 0 ? "caf\u00e9, 3 \u20ac" : "C:\\temp\\file";
      else a.text = std::string{"some text of this or that length"}.substr(0, static_cast<std::size_t>(11 + i % 21));
  }
  return a;
}

inputs make_inputs() {
  inputs in{};
  in.user_id = "u-000123";
  in.numeric_id = 123456789;
  in.event = "signup";
  in.bought = {1700000000, "1024x768", 19.99, {{"A1", 2}, {"B2", 1}}, "Z\u00fcrich \u2013 \u201cquoted\u201d \n line"};
  in.first_name = "Ada";
  in.last_name = "Lovelace";
  in.email = "ada@example.com";
  for (int i = 0; i < 64; ++i) in.apns += "0123456789abcdef"[i * 7 % 16];
  for (int i = 0; i < 152; ++i)
    in.gcm += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[i * 11 % 64];
  in.phone_number = "+14155550123";
  in.profile = {"pro", 36, 98.6, {"a", "b"}, {"San Francisco", "94107"}, false, nullptr};
  for (int i = 0; i < 200; ++i) {
    const attribute a = make_attribute(i);
    switch (a.what) {
      case attribute::kind::text: in.texts[a.key] = a.text; break;
      case attribute::kind::integer: in.integers[a.key] = a.integer; break;
      case attribute::kind::real: in.reals[a.key] = a.real; break;
      case attribute::kind::place: in.places[a.key] = a.place; break;
    }
    in.attributes.push_back(a);
  }
  return in;
}

// --- what the bodies must mean, written down a second time

nlohmann::json expected(std::string_view payload) {
  using nlohmann::json;
  const inputs& in = data();
  if (payload == "small") return json::parse(R"({"user_id":"u-000123","event":"signup"})");
  if (payload == "track")
    return json::parse(
        R"({"user_id":123456789,"event":"signup","properties":{"timestamp":1700000000,"resolution":"1024x768",)"
        R"("price":19.99,"items":[{"sku":"A1","qty":2},{"sku":"B2","qty":1}],)"
        "\"note\":\"Z\u00fcrich \u2013 \u201cquoted\u201d \\n line\"}}");
  json body =
      json::parse(R"({"user_id":"u-000123","first_name":"Ada","last_name":"Lovelace","email":"ada@example.com",)"
                  R"("phone_number":"+14155550123","attributes":{"plan":"pro","age":36,"score":98.6,"tags":["a","b"],)"
                  R"("address":{"city":"San Francisco","zip":"94107"},"trial":false,"ref":null}})");
  body["apns"] = {in.apns};
  body["gcm"] = {in.gcm};
  if (payload != "heavy200") return body;
  json attributes = json::object();
  for (const attribute& a : in.attributes) {
    json& v = attributes[a.key];
    if (a.what == attribute::kind::text) v = a.text;
    if (a.what == attribute::kind::integer) v = a.integer;
    if (a.what == attribute::kind::real) v = a.real;
    if (a.what == attribute::kind::place) v = {{"city", a.place.city}, {"zip", a.place.zip}};
  }
  body["attributes"] = attributes;
  return body;
}

std::string built;  // by the contender that is looked at

void keep(std::string_view body) { built = body; }

}  // namespace

const inputs& data() {
  static const inputs in = make_inputs();
  return in;
}

std::vector<contender> contenders() {
  std::vector<contender> all;
  for (const auto& some : {outbound_contenders(), rapidjson_contenders(), nlohmann_contenders(),
                           boost_json_contenders(), jsoncpp_contenders()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

void compare_all(const std::vector<contender>& all) {
  for (const contender& c : all) {
    c.build(data(), &keep);
    const nlohmann::json body = nlohmann::json::parse(built, nullptr, false);
    if (!body.is_discarded() && body == expected(c.payload)) continue;
    std::fprintf(stderr, "%s of %s (%s) is wrong:\n%s\n", c.payload, c.library, c.style, built.c_str());
    std::exit(1);
  }
}

}  // namespace bench
