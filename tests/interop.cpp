// The adapters of examples/interop: values of other JSON libraries as attributes and properties, byte for byte. Built
// once for each: INTEROP_HEADER is the file, and the `parsed` below what its library makes of a text.
#include "support/catch.hpp"

#include INTEROP_HEADER

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#if defined(INTEROP_BOOST_JSON)
#include <boost/json/src.hpp>
#endif

namespace {

using outbound::defect;
using outbound::user;

#if defined(INTEROP_NLOHMANN)
using value_type = nlohmann::json;
value_type parsed(const std::string& text) { return nlohmann::json::parse(text); }
value_type made_of(double d) { return d; }
value_type made_of(const std::string& s) { return s; }
value_type with_key(const std::string& key) { return {{key, 1}}; }
#elif defined(INTEROP_BOOST_JSON)
using value_type = boost::json::value;
value_type parsed(const std::string& text) { return boost::json::parse(text); }
value_type made_of(double d) { return d; }
value_type made_of(const std::string& s) { return boost::json::string{s}; }
value_type with_key(const std::string& key) { return boost::json::object{{key, 1}}; }
#elif defined(INTEROP_RAPIDJSON)
using value_type = rapidjson::Document;
value_type parsed(const std::string& text) {
  rapidjson::Document d;
  d.Parse(text.data(), text.size());
  REQUIRE_FALSE(d.HasParseError());
  return d;
}
value_type made_of(double d) {
  rapidjson::Document v;
  v.SetDouble(d);
  return v;
}
value_type made_of(const std::string& s) {
  rapidjson::Document v;
  v.SetString(s.data(), static_cast<rapidjson::SizeType>(s.size()), v.GetAllocator());
  return v;
}
value_type with_key(const std::string& key) {
  rapidjson::Document v;
  v.SetObject();
  rapidjson::Value name{key.data(), static_cast<rapidjson::SizeType>(key.size()), v.GetAllocator()};
  rapidjson::Value one{1};
  v.AddMember(name, one, v.GetAllocator());
  return v;
}
#else
#error "which adapter?"
#endif

/// The message's body when `v` is a property.
std::string body_with(const value_type& v) {
  const auto m = user{"u"}.track("e").property("p", v);
  INFO(m.body());
  CHECK(m.problems().empty());
  const std::string body{m.body()};
  const std::string head = R"({"user_id":"u","event":"e","properties":{"p":)";
  REQUIRE(body.compare(0, head.size(), head) == 0);
  return body.substr(head.size(), body.size() - head.size() - 2);
}

}  // namespace

TEST_CASE("interop: every kind of value arrives as it was", "[interop][F5][F15][F17]") {
  const std::vector<std::string> texts = {"null",
                                          "true",
                                          "false",
                                          "0",
                                          "-1",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "18446744073709551615",
                                          "0.1",
                                          "-1.5",
                                          "1e300",
                                          "5e-324",
                                          "0.3333333333333333",
                                          R"("")",
                                          R"("text")",
                                          R"("Z\u00fcrich \ud83d\ude00")",
                                          "[]",
                                          "{}",
                                          R"([1,"two",null,[],{},[[3]]])",
                                          R"({"a":1,"b":{"c":[true,false,null]},"":"empty key"})",
                                          R"("quote \" back \\ slash / tab \t nul \u0000 end")",
                                          R"({"k\"ey\n":[{"deep":{"deeper":[1]}}]})"};
  for (const std::string& text : texts) {
    INFO(text);
    const value_type before = parsed(text);
    const std::string written = body_with(before);
    INFO(written);
    CHECK(parsed(written) == before);
  }
}

TEST_CASE("interop: the bytes", "[interop]") {
  CHECK(body_with(parsed(R"( { "b" : [ 1 , -2 , true , null , "x" ] } )")) == R"({"b":[1,-2,true,null,"x"]})");
  CHECK(body_with(parsed(R"("Z\u00fcrich")")) == "\"Z\xC3\xBCrich\"");
  CHECK(body_with(parsed(R"([0.1,1.5,-0.25])")) == "[0.1,1.5,-0.25]");
  CHECK(body_with(parsed(R"("a\u0000b")")) == R"("a\u0000b")");
}

TEST_CASE("interop: anywhere a value may stand", "[interop]") {
  const value_type v = parsed(R"({"name":"pro","seats":5})");
  CHECK(user{"u"}.identify().attribute("plan", v).body() ==
        R"({"user_id":"u","attributes":{"plan":{"name":"pro","seats":5}}})");
  CHECK(
      user{"u"}.track("e").properties({{"plan", v}, {"list", {1, v}}}).body() ==
      R"({"user_id":"u","event":"e","properties":{"plan":{"name":"pro","seats":5},"list":[1,{"name":"pro","seats":5}]}})");
  CHECK(outbound::array::of(v, 1).text() == R"([{"name":"pro","seats":5},1])");
  CHECK(outbound::object{}.set("v", v).text() == R"({"v":{"name":"pro","seats":5}})");
  std::vector<value_type> many;
  many.push_back(parsed("1"));
  many.push_back(parsed("[2]"));
  CHECK(outbound::object{}.set("many", many).text() == R"({"many":[1,[2]]})");
}

TEST_CASE("interop: as all attributes or properties", "[interop]") {
  const value_type v = parsed(R"({"name":"pro","seats":5})");
  CHECK(user{"u"}.identify().attributes(interop::to_json(v)).body() ==
        R"({"user_id":"u","attributes":{"name":"pro","seats":5}})");
  const auto array = user{"u"}.identify().attributes(interop::to_json(parsed("[1]")));
  CHECK_FALSE(array.problems().empty());
}

TEST_CASE("interop: what JSON cannot hold is a problem, and alters nothing", "[interop][F15][F17]") {
  const auto check = [](const value_type& v) {
    const auto m = user{"u"}.track("e").property("p", v);
    INFO(m.body());
    REQUIRE(m.problems().size() == 1);
    CHECK(m.problems()[0].what == defect::invalid_json);
    CHECK(m.problems()[0].where == "/properties/p");
    CHECK(m.body() == R"({"user_id":"u","event":"e","properties":{"p":null}})");
  };
  check(made_of(std::nan("")));
  check(made_of(std::numeric_limits<double>::infinity()));
  check(made_of(-std::numeric_limits<double>::infinity()));
  check(made_of(std::string{"\xFF"}));
  check(made_of(std::string{"a\xC3"}));
  check(made_of(std::string{"\xFF\",\"x\":\""}));  // cannot slip anything in
  check(with_key("\xFF"));
}

#if defined(INTEROP_NLOHMANN)
TEST_CASE("interop: ordered_json keeps its order, binary values are written as dump does", "[interop]") {
  const auto ordered = nlohmann::ordered_json::parse(R"({"z":1,"a":[2]})");
  CHECK(user{"u"}.track("e").property("p", ordered).body() ==
        R"({"user_id":"u","event":"e","properties":{"p":{"z":1,"a":[2]}}})");
  const auto binary = nlohmann::json::binary({1, 2});
  CHECK(interop::to_json(binary).text() == binary.dump());
}
#elif defined(INTEROP_BOOST_JSON)
TEST_CASE("interop: objects and arrays by their own types", "[interop]") {
  const boost::json::object o{{"a", 1}};
  const boost::json::array a{1, "x"};
  CHECK(outbound::array::of(o, a).text() == R"([{"a":1},[1,"x"]])");
}
#else
TEST_CASE("interop: a part of a document", "[interop]") {
  const auto d = parsed(R"({"inner":{"a":[1]}})");
  const rapidjson::Value& part = d["inner"];
  CHECK(outbound::array::of(part).text() == R"([{"a":[1]}])");
}
#endif
