// [F66] One of two shared libraries in one process, each with another version of the header (see two_versions.cpp).
// VISIBLE is what the library exports on purpose; the rest may be visible too, and must not collide.
#include "everything.hpp"

#if defined(__GNUC__)
#define VISIBLE __attribute__((visibility("default")))
#else
#define VISIBLE
#endif

extern "C" {
VISIBLE const char* library_version();
VISIBLE const void* library_category();
VISIBLE const char* library_output();
}

const char* library_version() { return OUTBOUND_VERSION_STRING; }

const void* library_category() { return &outbound::error_category(); }

const char* library_output() {
  static const std::string output = everything::run();
  return output.c_str();
}
