#include "refusal.hpp"

#include "json_text.hpp"

namespace sandbox {

int status_of(code why) {
  switch (why) {
    case code::malformed_json: return 500;
    case code::wrong_key: return 401;
    case code::unknown_path: return 404;
    case code::wrong_method: return 405;
    case code::too_large: return 413;
    case code::head_too_large: return 431;
    case code::too_many_listeners: return 503;
    case code::not_an_object:
    case code::missing_field:
    case code::invalid_field:
    case code::unknown_field:
    case code::duplicate_key:
    case code::out_of_range:
    case code::invalid_batch:
    case code::wrong_content_type:
    case code::not_http:
    case code::asked_for:
    case code::wrong_headers: break;
  }
  return 400;
}

std::string error_body(code why, const std::string& message) {
  return written({{"error", {{"Message", message}, {"Code", static_cast<int>(why)}}}});
}

}  // namespace sandbox
