// [F67] The real <windows.h> before the header, with all its macros. Only for targets that have one.
#include <windows.h>

#include "everything.hpp"

#include "expect.hpp"

int main() {
  EXPECT(ERROR == 0);  // a macro of wingdi.h: it is still there
  EXPECT(everything::run().size() > 5000);
}
