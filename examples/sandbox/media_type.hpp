#ifndef SANDBOX_MEDIA_TYPE_HPP
#define SANDBOX_MEDIA_TYPE_HPP

#include <string_view>

namespace sandbox {

/// Whether a Content-Type is `application/json`, well-formed, and names no charset but UTF-8.
bool is_json_in_utf8(std::string_view content_type);

}  // namespace sandbox

#endif
