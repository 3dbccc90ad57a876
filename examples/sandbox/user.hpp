#ifndef SANDBOX_USER_HPP
#define SANDBOX_USER_HPP

#include "json_text.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

/// What the calls so far say of one user. The arguments have been checked (calls.hpp).
class user {
 public:
  /// Takes over the body of an identify: what it names replaces what was known, `attributes` key by key.
  void identify(const json& body);
  /// `previous` was this user under another id. Where both have a say, this user's stands.
  void absorb(const user& previous);

  void remember_id(const json& id) { id_ = id; }
  void remember_previous_id(const json& id);
  void register_token(std::string_view platform, const std::string& token);
  void disable_token(std::string_view platform, const std::string& token);
  void disable_tokens(std::string_view platform);
  /// For every campaign, those that were named before included.
  void subscribe_all(bool on);
  void subscribe(const json& campaign_ids, bool on);

  /// As `/sandbox/users` shows it.
  json shown() const;
  /// The user who was shown so.
  static user restored(json shown);

 private:
  using token_list = std::vector<std::string>;

  void set(const std::string& name, const json& value);
  json shown_subscriptions() const;

  json id_;                       // as the newest call wrote it: 42 or "42"
  json fields_ = json::object();  // those of identify that simply replace each other
  json attributes_ = json::object();
  json previous_ids_ = json::array();
  std::map<std::string, token_list, std::less<>> tokens_ = {{"apns", {}}, {"fcm", {}}, {"gcm", {}}};
  std::optional<bool> subscribed_to_all_;
  std::map<std::string, bool> campaigns_;
};

}  // namespace sandbox

#endif
