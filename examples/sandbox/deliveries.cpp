#include "deliveries.hpp"

#include <boost/crc.hpp>

namespace sandbox {
namespace {

const char* name_of(sighting seen) {
  switch (seen) {
    case sighting::first: return "first";
    case sighting::duplicate: return "duplicate";
    case sighting::conflict: break;
  }
  return "conflict";
}

/// In the order in which people read it; `json` would sort the names.
nlohmann::ordered_json shown(const delivery& one) {
  nlohmann::ordered_json out = {{"seq", one.seq}, {"path", one.what.path}};
  if (one.guid) out["guid"] = *one.guid;
  out["users"] = one.users;
  out["bytes"] = one.what.bytes;
  out["crc32"] = one.what.crc32;
  out["seen"] = name_of(one.seen);
  out["applied"] = one.applied;
  return out;
}

}  // namespace

fingerprint fingerprint_of(const call& to, std::string_view body) {
  boost::crc_32_type crc;
  crc.process_bytes(body.data(), body.size());
  return {to.path, body.size(), crc.checksum()};
}

sighting guid_book::note(const std::string& guid, const fingerprint& what) {
  const auto [known, is_new] = known_.try_emplace(guid, what);
  if (!is_new) return known->second == what ? sighting::duplicate : sighting::conflict;
  order_.add(guid, guid.size(), [this](const std::string& oldest) { known_.erase(oldest); });
  return sighting::first;
}

std::size_t delivery::size() const {
  auto bytes = sizeof(delivery) + (guid ? guid->size() : 0);
  for (const auto& one : users) bytes += sizeof(one) + one.size();
  return bytes;
}

delivery delivery_of(const call& to, const std::vector<json>& bodies, std::string_view text,
                     const std::optional<std::string>& guid) {
  delivery out;
  out.guid = guid;
  out.what = fingerprint_of(to, text);
  out.users.reserve(bodies.size());
  for (const auto& body : bodies) out.users.push_back(text_of_id(body.at("user_id")));
  return out;
}

std::string ndjson_of(const std::vector<delivery>& rows) {
  std::string out;
  for (const auto& one : rows) {
    out += shown(one).dump(-1, ' ', false, json::error_handler_t::replace);
    out += '\n';
  }
  return out;
}

}  // namespace sandbox
