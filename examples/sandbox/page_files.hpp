#ifndef SANDBOX_PAGE_FILES_HPP
#define SANDBOX_PAGE_FILES_HPP

#include <array>
#include <string_view>

namespace sandbox {

struct page_file {
  std::string_view name;
  std::string_view text;
};

/// What is in page/, as the build found it (embed.py).
extern const std::array<page_file, 4> page_files;

}  // namespace sandbox

#endif
