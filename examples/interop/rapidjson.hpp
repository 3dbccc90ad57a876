// rapidjson values as values of outbound.hpp: copy this file.
//
//     rapidjson::Document plan;
//     plan.Parse(R"({"name":"pro","seats":5})");
//     user.identify().attribute("plan", plan);                     // anywhere a value may stand
//     user.identify().attributes(interop::to_json(plan));          // attributes or properties as a whole
//
// `to_outbound` stands in rapidjson's namespace, where argument-dependent look-up finds it. Nothing is altered on the
// way: a string that is not UTF-8, or a number that is not finite, is a problem of the message. Numbers are written as
// rapidjson writes them (1.0, not 1), keys that are there twice are written twice. The depth of the recursion is that
// of the value.
#ifndef OUTBOUND_INTEROP_RAPIDJSON_HPP
#define OUTBOUND_INTEROP_RAPIDJSON_HPP
#include "outbound.hpp"

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <string>

namespace interop {
/// `value`, of UTF-8 text, as text. NaN is written as such, which outbound's check of the text finds.
template <class Allocator>
outbound::json to_json(const rapidjson::GenericValue<rapidjson::UTF8<>, Allocator>& value) {
  rapidjson::StringBuffer out;
  rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>, rapidjson::CrtAllocator,
                    rapidjson::kWriteNanAndInfFlag>
      writer{out};
  value.Accept(writer);
  return outbound::json{std::string{out.GetString(), out.GetSize()}};
}
}  // namespace interop

namespace rapidjson {
template <class Allocator>
outbound::json to_outbound(const GenericValue<UTF8<>, Allocator>& value) {
  return interop::to_json(value);
}
}  // namespace rapidjson
#endif
