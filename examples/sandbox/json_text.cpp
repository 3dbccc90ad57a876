#include "json_text.hpp"

#include "refusal.hpp"

#include <utility>
#include <vector>

namespace sandbox {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr int number_overflow = 406;  // nlohmann's id for a number that no double can hold

/// Builds the tree itself: nlohmann's own keeps the last of two equal keys silently, and its parser callback takes
/// quadratic time on long arrays.
class tree_builder final : public nlohmann::json_sax<json> {
 public:
  explicit tree_builder(std::size_t size) : size_(size) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }

  bool start_object(std::size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    const auto [place, is_new] = open_.back()->get_ref<json::object_t&>().try_emplace(name);
    if (!is_new) throw refusal(code::duplicate_key, member() + "key " + written(name) + " appears twice in one object");
    value_of_key_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t at, const std::string& token, const json::exception& problem) override {
    if (problem.id == number_overflow) {
      constexpr std::size_t enough = 100;  // it may be as long as the body
      const auto shown = token.size() > enough ? token.substr(0, enough) + "..." : token;
      throw refusal(code::out_of_range, member() + "a number is beyond what a double can hold: " + shown);
    }
    if (size_ == 0) throw refusal(code::malformed_json, "not JSON: it is empty");
    if (at > size_)
      throw refusal(code::malformed_json, "not JSON: it ends too early, behind byte " + std::to_string(size_));
    const std::string_view what = problem.what();
    const auto reason = what.substr(0, what.find("; last read: "));  // behind that stands what the caller wrote
    const bool is_text = reason.find("ill-formed UTF-8") == reason.npos;
    throw refusal(code::malformed_json,
                  (is_text ? "not JSON: something is wrong at byte " : "not UTF-8: byte ") + std::to_string(at));
  }

 private:
  /// Names the member of a batch that is being read.
  std::string member() const {
    return root_.is_array() && !root_.empty() ? "member " + std::to_string(root_.size() - 1) + ": " : std::string();
  }

  json& place(json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_array()) return open_.back()->emplace_back(std::move(value));
    return *value_of_key_ = std::move(value);
  }

  bool add(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json container) {
    if (open_.size() == max_depth) {
      throw refusal(code::out_of_range, member() + "nested deeper than " + std::to_string(max_depth) + " levels");
    }
    open_.push_back(&place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::size_t size_;  // of the text
  json root_;
  std::vector<json*> open_;  // valid while open: an array grows only after its last element is closed
  json* value_of_key_ = nullptr;
};

}  // namespace

json parsed(std::string_view text) {
  if (text.substr(0, byte_order_mark.size()) == byte_order_mark) {
    throw refusal(code::malformed_json, "the body starts with a byte order mark");
  }
  if (text.find('\0') != std::string_view::npos) throw refusal(code::malformed_json, "the body holds a NUL byte");
  tree_builder builder(text.size());
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::string written(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string repaired(const std::string& text) { return json::parse(written(json(text))).get<std::string>(); }

}  // namespace sandbox
