#include "mapping.hpp"

#include "interop/nlohmann.hpp"
#include "strict_json.hpp"
#include "values.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

namespace importer {
namespace {

using json = nlohmann::ordered_json;
using text_setter = outbound::identify& (outbound::identify::*)(outbound::optional_text) &;

struct text_field {
  std::string_view name;
  text_setter set;
};
constexpr text_field text_fields[] = {
    {"first_name", &outbound::identify::first_name}, {"last_name", &outbound::identify::last_name},
    {"email", &outbound::identify::email},           {"phone_number", &outbound::identify::phone_number},
    {"timezone", &outbound::identify::timezone},
};

constexpr std::string_view other_user_fields[] = {"user_id", "apns", "gcm", "group_id", "previous_id"};
constexpr std::string_view event_fields[] = {"user_id", "event", "timestamp"};

// The first field for which `is_it` holds; empty: none.
template <class Predicate>
std::string_view find_field(kind what, const Predicate& is_it) {
  const auto find = [&is_it](const auto& fields) {
    const auto found = std::find_if(std::begin(fields), std::end(fields), is_it);
    return found == std::end(fields) ? std::string_view{} : *found;
  };
  if (what == kind::events) return find(event_fields);
  for (const text_field& field : text_fields)
    if (is_it(field.name)) return field.name;
  return find(other_user_fields);
}

bool is_field(kind what, std::string_view name) {
  return !find_field(what, [name](std::string_view field) { return field == name; }).empty();
}

// What is left of a name if it is written in another manner: of "First Name", "firstName" and "first_name" the same.
std::string letters_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c | 32);
    else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

std::string_view bag_of(kind what) { return what == kind::users ? "attributes" : "properties"; }

// Does `text` name a field, an attribute or a property?
bool read_field(kind what, const std::string& text, target& out) {
  const std::string bag{bag_of(what)};
  if (text.compare(0, bag.size() + 1, bag + '.') == 0 && text.size() > bag.size() + 1) {
    out.field = bag;
    out.key = text.substr(bag.size() + 1);
    return true;
  }
  out.field = text;
  return text == bag || is_field(what, text);
}

bool read_type(const std::string& text, reading& out) {
  if (text == "number") out = reading::number;
  else if (text == "boolean") out = reading::boolean;
  else if (text == "json") out = reading::json;
  else if (text == "time") out = reading::time;
  else if (text != "text") return false;
  return true;
}

outbound::user user_of(const json& id) {
  if (id.is_number_unsigned()) return outbound::user{id.get<std::uint64_t>()};
  if (id.is_number_integer()) return outbound::user{id.get<std::int64_t>()};
  return outbound::user{text_of(id)};
}

// Text goes in as it is, so that what is wrong with it is said of the text.
template <class Use>
void with_value(const json& value, const Use& use) {
  if (value.is_string()) use(value.get_ref<const std::string&>());
  else use(value);
}

// Does it, and says of what was refused where it stands.
template <class Work>
auto naming(const std::string& where, const Work& work) {
  try {
    return work();
  } catch (const refused& why) {
    throw refused{where + ": " + why.what()};
  }
}

void set(outbound::identify& m, const target& to, const json& value) {
  for (const text_field& field : text_fields)
    if (field.name == to.field) (m.*field.set)(text_of(value));
  if (to.field == "apns") m.apns(texts_of(value));
  else if (to.field == "gcm") m.gcm(texts_of(value));
  else if (to.field == "group_id") m.group(text_of(value));
  else if (to.field == "previous_id") m.previous_id(user_of(value));
  else if (to.field == "attributes" && to.key.empty()) m.attributes(interop::to_json(object_of(value)));
  else if (to.field == "attributes") with_value(value, [&](const outbound::value& v) { m.attribute(to.key, v); });
}

void set(outbound::track& m, const target& to, const json& value) {
  if (to.field == "timestamp") m.at(time_of(value));
  else if (to.field == "properties" && to.key.empty()) m.properties(interop::to_json(object_of(value)));
  else if (to.field == "properties") with_value(value, [&](const outbound::value& v) { m.property(to.key, v); });
}

// What would be said twice; which of them is meant, nobody can know.
void refuse_twice(const std::vector<std::pair<target, json>>& values) {
  std::vector<std::string> names;
  for (const auto& [to, value] : values) {
    if (!to.key.empty()) {
      names.push_back(to.field + '.' + to.key);
    } else if (value.is_object()) {
      for (const auto& member : value.items()) names.push_back(to.field + '.' + member.key());
    } else {
      names.push_back(to.field);
    }
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw refused{"more than one value is for " + *twice};
}

}  // namespace

void mapping::add(const std::string& column, const std::string& where) {
  target t;
  std::string field = where;
  const std::size_t colon = where.rfind(':');
  if (colon != where.npos && read_type(where.substr(colon + 1), t.as)) field = where.substr(0, colon);
  if (field != "-" && !read_field(kind_, field, t))
    throw failed{"'" + where + "', to which the column '" + column + "' is mapped, is no field of " +
                 (kind_ == kind::users ? "a user" : "an event")};
  if (field == "-") t.field = field;
  targets_[column] = t;
  words_[column] = where;
}

void mapping::add_file(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) throw failed{"cannot read " + path};
  json all;
  try {
    all = object_of(parse_json(std::string{std::istreambuf_iterator<char>{in}, {}}));
    for (const auto& [column, where] : all.items()) add(column, naming(column, [&, &w = where] { return text_of(w); }));
  } catch (const refused& why) {
    throw failed{path + ": " + why.what()};
  }
}

std::string mapping::text() const { return nlohmann::json(words_).dump(); }

// A column that is named like a field goes there, any other becomes an attribute or a property.
target mapping::target_of(const std::string& column) const {
  const auto found = targets_.find(column);
  if (found != targets_.end()) return found->second;
  target t;
  if (!read_field(kind_, column, t)) {
    t.field = bag_of(kind_);
    t.key = column;
  }
  if (t.field == bag_of(kind_) && t.key.empty()) t.as = reading::json;
  return t;
}

void mapping::check(const std::vector<std::string>& columns) const {
  std::map<std::string, std::string> taken;
  for (const std::string& column : columns) {
    const target t = target_of(column);
    const std::string where = t.key.empty() ? t.field : t.field + '.' + t.key;
    const auto [other, is_new] = taken.emplace(where, column);
    if (!column.empty() && where != "-" && !is_new)
      throw failed{"the columns '" + other->second + "' and '" + column + "' both go to " + where};
  }
  for (const auto& mapped : targets_)
    if (std::find(columns.begin(), columns.end(), mapped.first) == columns.end())
      throw failed{"there is no column '" + mapped.first + "'"};
  for (const char* const needed : {"user_id", "event"})
    if (taken.count(needed) == 0 && is_field(kind_, needed))
      throw failed{std::string{"no column is the "} + needed + ": say which by --map COLUMN=" + needed};
}

std::string mapping::doubt(const std::string& column) const {
  const target t = target_of(column);
  if (targets_.count(column) != 0 || t.field != bag_of(kind_) || t.key != column) return {};
  std::string becomes = "the column '" + column + "' becomes ";
  becomes += kind_ == kind::users ? "an attribute" : "a property";
  if (kind_ == kind::users && column == "group_attributes")
    return becomes + " of the user: an import sends none of groups; add --map 'group_attributes=-' to leave it out";
  const std::string letters = letters_of(column) == "phone" ? "phonenumber" : letters_of(column);
  const std::string_view field =
      find_field(kind_, [&letters](std::string_view name) { return letters_of(name) == letters; });
  if (field.empty()) return {};
  return becomes + "; if it is to be " + std::string{field} + ", add --map '" + column + '=' + std::string{field} +
         "', else --map '" + column + '=' + t.field + '.' + column + "'";
}

outbound::message mapping::message_of(const row& r) const {
  std::vector<std::pair<target, json>> values;
  const auto value_of = [&values](std::string_view field) {
    const auto found =
        std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.first.field == field; });
    if (found == values.end()) throw refused{"there is no " + std::string{field}};
    return found->second;
  };
  const auto fill = [&values](auto message) -> outbound::message {
    for (const auto& [to, value] : values) naming(to.field, [&, &t = to, &v = value] { set(message, t, v); });
    return std::move(message);
  };
  values.reserve(r.cells.size());
  for (const auto& [column, cell] : r.cells) {
    const target to = target_of(column);
    if (to.field == "-" || (cell.is_null() && to.key.empty())) continue;
    naming(column, [&, &c = cell] { values.emplace_back(to, read(c, to.as)); });
  }
  refuse_twice(values);
  const json id = value_of("user_id");
  const outbound::user user = naming("user_id", [&id] { return user_of(id); });
  if (kind_ == kind::users) return fill(user.identify());
  const json event = value_of("event");
  return fill(user.track(naming("event", [&event] { return text_of(event); })));
}

}  // namespace importer
