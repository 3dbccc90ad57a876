#include "strict_json.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace importer {
namespace {

using json = nlohmann::ordered_json;

class builder final : public nlohmann::json_sax<json> {
 public:
  static constexpr std::size_t max_levels = 60;  // a message has 64, and puts some of its own around

  json root{};

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == text.npos) throw refused{"the integer " + text + " needs more than 64 bits"};
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in text
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool end_object() override {
    std::vector<std::string_view> names;
    for (const auto& member : open_.back()->get_ref<const json::object_t&>()) names.push_back(member.first);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) throw refused{"the key '" + std::string{*twice} + "' is there twice"};
    open_.pop_back();
    return true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& why) override {
    const std::string_view what = why.what();
    if (what.find("number overflow") != what.npos) throw refused{"a number that no double can hold"};
    throw not_json{"not JSON: something is wrong at byte " + std::to_string(at)};
  }

 private:
  json* put(json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    json& parent = *open_.back();
    if (parent.is_array()) return &parent.emplace_back(std::move(value));
    auto& members = parent.get_ref<json::object_t&>();
    // As the vector that it is: to look for the key each time would make long objects slow.
    return &static_cast<json::object_t::Container&>(members).emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(json value) {
    put(std::move(value));
    return true;
  }
  bool open(json empty) {
    if (open_.size() == max_levels) throw refused{"more than " + std::to_string(max_levels) + " levels"};
    open_.push_back(put(std::move(empty)));
    return true;
  }

  std::vector<json*> open_{};
  std::string key_{};
};

}  // namespace

nlohmann::ordered_json parse_json(const std::string& text) {
  builder made;
  if (!json::sax_parse(text, &made)) throw not_json{"not JSON"};
  return std::move(made.root);
}

}  // namespace importer
