// Ours, in every style of calling.
#include "outbound.hpp"

#include <cstdlib>

#include "payloads.hpp"

namespace bench {

OUTBOUND_FIELDS(item, sku, qty)
OUTBOUND_FIELDS(place, city, zip)
OUTBOUND_FIELDS(purchase, timestamp, resolution, price, items, note)
OUTBOUND_FIELDS(profile, plan, age, score, tags, address, trial, ref)

namespace {

using outbound::identify;
using outbound::track;
using outbound::user;

// What may be sent, as `send` would.
void finish(const outbound::message& m, consumer use) {
  if (!m.valid()) std::abort();
  use(m.body());
}

void small(const inputs& in, consumer use) { finish(user{in.user_id}.track(in.event), use); }

// --- track

void track_setters(const inputs& in, consumer use) {
  finish(user{in.numeric_id}
             .track(in.event)
             .property("timestamp", in.bought.timestamp)
             .property("resolution", in.bought.resolution)
             .property("price", in.bought.price)
             .property("items", in.bought.items)
             .property("note", in.bought.note),
         use);
}

void track_braces(const inputs& in, consumer use) {
  const purchase& b = in.bought;
  finish(user{in.numeric_id}.track(in.event).properties({{"timestamp", b.timestamp},
                                                         {"resolution", b.resolution},
                                                         {"price", b.price},
                                                         {"items",
                                                          {{{"sku", b.items[0].sku}, {"qty", b.items[0].qty}},
                                                           {{"sku", b.items[1].sku}, {"qty", b.items[1].qty}}}},
                                                         {"note", b.note}}),
         use);
}

void track_braces_and_structs(const inputs& in, consumer use) {
  const purchase& b = in.bought;
  finish(user{in.numeric_id}.track(in.event).properties({{"timestamp", b.timestamp},
                                                         {"resolution", b.resolution},
                                                         {"price", b.price},
                                                         {"items", b.items},
                                                         {"note", b.note}}),
         use);
}

void track_struct(const inputs& in, consumer use) {
  finish(user{in.numeric_id}.track(in.event).properties(in.bought), use);
}

// --- identify

identify about(const inputs& in) {
  return user{in.user_id}
      .identify()
      .first_name(in.first_name)
      .last_name(in.last_name)
      .email(in.email)
      .apns(in.apns)
      .gcm(in.gcm)
      .phone_number(in.phone_number);
}

void identify_setters(const inputs& in, consumer use) {
  const profile& p = in.profile;
  finish(about(in)
             .attribute("plan", p.plan)
             .attribute("age", p.age)
             .attribute("score", p.score)
             .attribute("tags", p.tags)
             .attribute("address", p.address)
             .attribute("trial", p.trial)
             .attribute("ref", p.ref),
         use);
}

void identify_braces(const inputs& in, consumer use) {
  const profile& p = in.profile;
  finish(about(in).attributes({{"plan", p.plan},
                               {"age", p.age},
                               {"score", p.score},
                               {"tags", {p.tags[0], p.tags[1]}},
                               {"address", {{"city", p.address.city}, {"zip", p.address.zip}}},
                               {"trial", p.trial},
                               {"ref", nullptr}}),
         use);
}

void identify_struct(const inputs& in, consumer use) { finish(about(in).attributes(in.profile), use); }

// --- heavy200

void heavy200_loop(const inputs& in, consumer use) {
  identify m = about(in);
  for (const attribute& a : in.attributes) {
    switch (a.what) {
      case attribute::kind::text: m.attribute(a.key, a.text); break;
      case attribute::kind::integer: m.attribute(a.key, a.integer); break;
      case attribute::kind::real: m.attribute(a.key, a.real); break;
      case attribute::kind::place: m.attribute(a.key, {{"city", a.place.city}, {"zip", a.place.zip}}); break;
    }
  }
  finish(m, use);
}

void heavy200_loop_structs(const inputs& in, consumer use) {
  identify m = about(in);
  for (const attribute& a : in.attributes) {
    switch (a.what) {
      case attribute::kind::text: m.attribute(a.key, a.text); break;
      case attribute::kind::integer: m.attribute(a.key, a.integer); break;
      case attribute::kind::real: m.attribute(a.key, a.real); break;
      case attribute::kind::place: m.attribute(a.key, a.place); break;
    }
  }
  finish(m, use);
}

// Filled in a loop first, set as a whole then.
void heavy200_object(const inputs& in, consumer use) {
  outbound::object all;
  for (const attribute& a : in.attributes) {
    switch (a.what) {
      case attribute::kind::text: all.set(a.key, a.text); break;
      case attribute::kind::integer: all.set(a.key, a.integer); break;
      case attribute::kind::real: all.set(a.key, a.real); break;
      case attribute::kind::place: all.set(a.key, a.place); break;
    }
  }
  finish(about(in).attributes(all), use);
}

// A literal of 200 members.
void heavy200_braces(const inputs& in, consumer use) {
  const std::vector<attribute>& all = in.attributes;
#define FIVE(tens, a, b, c, d, e)                                                                                      \
  {"attribute_" #tens #a, all[1##tens##a - 1000].text}, {"attribute_" #tens #b, all[1##tens##b - 1000].text},          \
      {"attribute_" #tens #c, all[1##tens##c - 1000].integer}, {"attribute_" #tens #d, all[1##tens##d - 1000].real}, { \
    "attribute_" #tens #e, {                                                                                           \
      {"city", all[1##tens##e - 1000].place.city}, { "zip", all[1##tens##e - 1000].place.zip }                         \
    }                                                                                                                  \
  }
#define TEN(tens) FIVE(tens, 0, 1, 2, 3, 4), FIVE(tens, 5, 6, 7, 8, 9)
  finish(
      about(in).attributes({TEN(00), TEN(01), TEN(02), TEN(03), TEN(04), TEN(05), TEN(06), TEN(07), TEN(08), TEN(09),
                            TEN(10), TEN(11), TEN(12), TEN(13), TEN(14), TEN(15), TEN(16), TEN(17), TEN(18), TEN(19)}),
      use);
#undef TEN
#undef FIVE
}

// The members of the second and of later maps are merged into what is there.
void heavy200_maps(const inputs& in, consumer use) {
  finish(about(in).attributes(in.texts).attributes(in.integers).attributes(in.reals).attributes(in.places), use);
}

}  // namespace

std::vector<contender> outbound_contenders() {
  return {
      {"small", "outbound", "track(event)", &small},
      {"track", "outbound", "chain of setters", &track_setters},
      {"track", "outbound", "nested braces", &track_braces},
      {"track", "outbound", "braces, range of structs", &track_braces_and_structs},
      {"track", "outbound", "the user's structs", &track_struct},
      {"identify", "outbound", "chain of setters", &identify_setters},
      {"identify", "outbound", "nested braces", &identify_braces},
      {"identify", "outbound", "the user's structs", &identify_struct},
      {"heavy200", "outbound", "loop of setters", &heavy200_loop},
      {"heavy200", "outbound", "loop, the user's structs", &heavy200_loop_structs},
      {"heavy200", "outbound", "nested braces", &heavy200_braces},
      {"heavy200", "outbound", "four maps", &heavy200_maps},
      {"heavy200", "outbound", "an object made first", &heavy200_object},
  };
}

}  // namespace bench
