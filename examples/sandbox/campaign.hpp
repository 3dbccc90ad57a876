#ifndef SANDBOX_CAMPAIGN_HPP
#define SANDBOX_CAMPAIGN_HPP

#include "json_text.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

/// The file of campaigns cannot be used; the message names the campaign and the field.
class campaign_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What the text becomes part of, and so what is done to whatever is inserted.
enum class text_form {
  html,   ///< escaped for HTML, as content and in quoted attributes
  plain,  ///< as it is
  line,   ///< control characters, which could end the line of a header, become spaces
};

/// A text with placeholders: `{{first_name}}`, `{{attributes.plan}}`.
class message_template {
 public:
  /// Throws `campaign_error` for a placeholder that nothing can be inserted for.
  message_template(std::string_view text, text_form form);

  /// `user` is as `/sandbox/users` shows it. What it lacks leaves a gap, and is added to `missing`.
  std::string rendered(const json& user, std::vector<std::string>& missing) const;

 private:
  struct part {
    std::string text;         // stands as it is
    std::string placeholder;  // comes behind it; empty at the end
  };

  std::vector<part> parts_;
  text_form form_;
};

enum class channel { email, sms, phone, push };

/// Who does the trigger and not the goal within the wait, gets the message.
struct campaign {
  std::string id;  ///< the text of the id, by which users unsubscribe
  json shown;      ///< as the file has it
  std::string trigger;
  json conditions;  ///< attributes, and what they have to be
  std::string goal;
  std::string wait;
  std::int64_t wait_s = 0;
  channel via = channel::email;
  std::optional<message_template> subject;  ///< of an email
  message_template text;

  bool suits(const json& user) const;
  /// Why a message goes out.
  std::string reason() const;
  /// Where it goes to; empty if the user has nothing of the kind.
  std::vector<std::string> addresses(const json& user) const;
  /// What is wanting when there is no address.
  const char* address_name() const;
};

/// The campaigns of a JSON file. Throws `campaign_error`.
std::vector<campaign> campaigns_in(const std::string& file);

}  // namespace sandbox

#endif
