#include "line_reader.hpp"
#include "row_reader.hpp"
#include "strict_json.hpp"

#include <string>

namespace importer {
namespace {

class ndjson_reader final : public row_reader {
 public:
  explicit ndjson_reader(const std::string& path) : lines_{path} {}

  bool next(row& r) override {
    line l;
    if (!lines_.next_filled(l)) return false;
    r = row{};
    r.begin = l.begin;
    r.end = lines_.where();
    try {
      if (l.is_too_long) throw refused{"longer than " + std::to_string(max_row) + " bytes"};
      nlohmann::ordered_json object = parse_json(l.text);
      if (!object.is_object()) throw refused{"not a JSON object"};
      for (auto& [name, value] : object.items()) r.cells.emplace_back(name, std::move(value));
    } catch (const refused& why) {
      r.refusal = why.what();
    }
    return true;
  }

  void go_to(position p) override { lines_.go_to(p); }

 private:
  line_reader lines_;
};

}  // namespace

std::unique_ptr<row_reader> open_ndjson(const std::string& path) { return std::make_unique<ndjson_reader>(path); }

}  // namespace importer
