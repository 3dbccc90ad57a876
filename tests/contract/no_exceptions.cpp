// [F70] -fno-exceptions -fno-rtti: everything is there, and does the same.
#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "build this file without exceptions and without RTTI"
#endif
#include "everything.hpp"
#include "expect.hpp"

int main(int count, char** arguments) {
  const std::string all = everything::run();
  EXPECT(all.find("the transport threw: boom") != std::string::npos);
  EXPECT(all.size() > 5000);
  if (count == 2 && std::string_view{arguments[1]} == "print") std::fwrite(all.data(), 1, all.size(), stdout);
}
