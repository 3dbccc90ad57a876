#include "nats.hpp"

#include <algorithm>
#include <initializer_list>
#include <memory>

namespace relay {

bool answer::passes() const {
  const auto is_among = [](auto what, std::initializer_list<decltype(what)> those) {
    return std::find(those.begin(), those.end(), what) != those.end();
  };
  if (code == JSNotEnabledErr) return status == NATS_NO_RESPONDERS;  // the client's guess where nobody answers
  if (code != 0)
    return is_among(code,
                    {JSClusterNotAvailErr, JSClusterNotLeaderErr, JSClusterNoPeersErr, JSClusterNotAssignedErr,
                     JSInsufficientResourcesErr, JSClusterIncompleteErr, JSStreamOfflineErr, JSConsumerOfflineErr});
  return is_among(status, {NATS_TIMEOUT, NATS_NO_RESPONDERS, NATS_CONNECTION_DISCONNECTED, NATS_NO_SERVER,
                           NATS_IO_ERROR, NATS_STALE_CONNECTION});
}

std::string answer::text() const {
  std::string out = natsStatus_GetText(status);
  const char* const more = nats_GetLastError(nullptr);  // of this thread
  if (code != 0) out += " (" + std::to_string(static_cast<int>(code)) + ")";
  if (status == NATS_ERR && more != nullptr && *more != '\0') out += std::string{": "} + more;
  return out;
}

connection::connection(const access& to, std::chrono::milliseconds patience) {
  const std::shared_ptr<natsOptions> options = servers(to.servers);
  if (!options) throw failed{"no memory for the NATS client, or its servers are no list of URLs: " + to.servers};
  const auto set = [&](natsStatus status, const std::string& what) {
    if (status != NATS_OK) throw failed{"NATS cannot use " + what + ": " + natsStatus_GetText(status)};
  };
  set(natsOptions_SetName(options.get(), to.name.c_str()), "this name");
  if (!to.credentials.empty())
    set(natsOptions_SetUserCredentialsFromFiles(options.get(), to.credentials.c_str(), nullptr), to.credentials);
  if (!to.ca_file.empty()) set(natsOptions_LoadCATrustedCertificates(options.get(), to.ca_file.c_str()), to.ca_file);
  if (!to.certificate.empty())
    set(natsOptions_LoadCertificatesChain(options.get(), to.certificate.c_str(), to.key.c_str()), to.certificate);
  if (!to.ca_file.empty() || !to.certificate.empty()) set(natsOptions_SetSecure(options.get(), true), "TLS");
  natsConnection* made = nullptr;
  const answer said = patiently(patience, [&] { return answer{natsConnection_Connect(&made, options.get()), {}}; });
  if (!said.good()) throw failed{"cannot connect to NATS: " + said.text()};
  connection_.reset(made);
  jsCtx* context = nullptr;
  set(natsConnection_JetStream(&context, made, nullptr), "JetStream");
  js_.reset(context);
}

owned<jsStreamInfo> connection::stream(const std::string& name, answer& said, const char* subjects) const {
  jsOptions how;
  jsOptions_Init(&how);
  how.Stream.Info.SubjectsFilter = subjects;
  jsStreamInfo* found = nullptr;
  said = {};
  said.status = js_GetStreamInfo(&found, js(), name.c_str(), &how, &said.code);
  return owned<jsStreamInfo>{found};
}

std::vector<std::string> connection::consumers(const std::string& stream, answer& said) const {
  jsConsumerNamesList* found = nullptr;
  said = {};
  said.status = js_ConsumerNames(&found, js(), stream.c_str(), nullptr, &said.code);
  std::vector<std::string> names;
  if (found != nullptr) names.assign(found->List, found->List + found->Count);
  jsConsumerNamesList_Destroy(found);
  if (said.status == NATS_NOT_FOUND && said.code == 0) said.status = NATS_OK;  // there is none
  return names;
}

std::string percent_decoded(const std::string& s) {
  std::string out;
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool coded = s[i] == '%' && i + 2 < s.size() && digit(s[i + 1]) >= 0 && digit(s[i + 2]) >= 0;
    out += coded ? static_cast<char>(digit(s[i + 1]) << 4 | digit(s[i + 2])) : s[i];
    if (coded) i += 2;
  }
  return out;
}

}  // namespace relay
