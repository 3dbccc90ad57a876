#include "media_type.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace sandbox {
namespace {

/// Types, charsets and the names of parameters are compared without regard to case (RFC 9110 8.3.1, 8.3.2).
bool is(std::string_view text, std::string_view lower) {
  const auto equal = [](unsigned char a, unsigned char b) { return std::tolower(a) == b; };
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), equal);
}

bool is_in_token(unsigned char c) {
  return std::isalnum(c) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
}

/// Takes from the front of a field's value what RFC 9110 5.6 has names for.
class reader {
 public:
  explicit reader(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }

  bool take(char wanted) {
    const bool is_there = !at_end() && rest_.front() == wanted;
    if (is_there) rest_.remove_prefix(1);
    return is_there;
  }

  void skip_blanks() { rest_.remove_prefix((std::min)(rest_.find_first_not_of(" \t"), rest_.size())); }

  /// Empty: there is none.
  std::string token() {
    const auto size = std::find_if_not(rest_.begin(), rest_.end(), is_in_token) - rest_.begin();
    std::string out(rest_.substr(0, static_cast<std::size_t>(size)));
    rest_.remove_prefix(out.size());
    return out;
  }

  /// A token, or what a quoted string says.
  std::optional<std::string> value() {
    if (take('"')) return quoted();
    auto out = token();
    return out.empty() ? std::nullopt : std::optional(std::move(out));
  }

 private:
  std::optional<std::string> quoted() {
    std::string out;
    while (!take('"')) {
      take('\\');
      if (at_end()) return std::nullopt;
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    return out;
  }

  std::string_view rest_;
};

}  // namespace

bool is_json_in_utf8(std::string_view content_type) {
  reader in(content_type);
  if (!is(in.token(), "application") || !in.take('/') || !is(in.token(), "json")) return false;
  for (in.skip_blanks(); !in.at_end(); in.skip_blanks()) {
    if (!in.take(';')) return false;
    in.skip_blanks();
    const auto name = in.token();
    if (name.empty()) continue;  // RFC 9110 5.6.6 allows a semicolon too many
    if (!in.take('=')) return false;
    const auto value = in.value();
    if (!value || (is(name, "charset") && !is(*value, "utf-8"))) return false;
  }
  return true;
}

}  // namespace sandbox
