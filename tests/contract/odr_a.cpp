// [F66] Two translation units of one program, with different macros: they agree about every address and every layout.
#define NDEBUG
#define OUTBOUND_NO_THREADS
#include "odr.hpp"
// EXPECT does not depend on NDEBUG
#include "expect.hpp"

int main() {
  const view_of_header a = look();
  const view_of_header b = look_from_b();
  EXPECT(a.category == b.category);
  EXPECT(a.no_transport == b.no_transport);
  EXPECT(a.interpret == b.interpret);
  EXPECT(a.curl_command == b.curl_command);
  EXPECT(a.layout == b.layout);
  EXPECT(a.output == b.output);
  EXPECT(a.output.size() > 5000);
}
