// A folder that a test has for itself, and that is gone when the test is.
#ifndef OUTBOUND_TESTS_FOLDER_HPP
#define OUTBOUND_TESTS_FOLDER_HPP

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace test {

class folder {
 public:
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "outbound-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::system_error{errno, std::generic_category(), name};
    path_ = name;
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_{};
};

}  // namespace test
#endif
