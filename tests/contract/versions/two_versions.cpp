// [F66] Two versions of the header in one process, in two libraries that were loaded so that the first one's symbols
// win: each must still use its own code and its own data.
//   two_versions FIRST SECOND   (shared libraries made of version_library.cpp)
#include <dlfcn.h>

#include <cstring>
#include <string>

#include "expect.hpp"

namespace {

struct library {
  std::string version{};
  const void* category{};
  std::string output{};
};

template <class T>
T call(void* handle, const char* name) {
  void* const symbol = dlsym(handle, name);
  if (symbol == nullptr) std::fprintf(stderr, "%s\n", dlerror());
  EXPECT(symbol != nullptr);
  T (*function)() = nullptr;
  std::memcpy(&function, &symbol, sizeof function);
  return function();
}

library load(const char* path) {
  void* const handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);  // global: the linker may take its symbols for the next
  if (handle == nullptr) std::fprintf(stderr, "%s\n", dlerror());
  EXPECT(handle != nullptr);
  return {call<const char*>(handle, "library_version"), call<const void*>(handle, "library_category"),
          call<const char*>(handle, "library_output")};
}

std::string without(std::string text, const std::string& version) {
  for (std::size_t at = 0; (at = text.find(version, at)) != std::string::npos;) text.erase(at, version.size());
  return text;
}

}  // namespace

int main(int count, char** arguments) {
  EXPECT(count == 3);
  const library first = load(arguments[1]);
  const library second = load(arguments[2]);
  std::printf("%s and %s in one process\n", first.version.c_str(), second.version.c_str());
  EXPECT(first.version != second.version);
  EXPECT(first.category != second.category);
  EXPECT(first.output.find("Cpp/" + first.version) != std::string::npos);
  EXPECT(second.output.find("Cpp/" + second.version) != std::string::npos);
  EXPECT(first.output.find("Cpp/" + second.version) == std::string::npos);
  EXPECT(without(first.output, first.version) == without(second.output, second.version));
}
