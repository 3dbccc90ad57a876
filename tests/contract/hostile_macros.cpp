// [F67] Macros that Windows, X11, Qt, macOS, Arduino, <math.h> and GNU mode define before us. Where the real ones are
// object-like, so are these, and what they stand for does not compile; where the real ones are functions, so are these.
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "expect.hpp"

#define POISON !!!a macro of somebody else was expanded in outbound.hpp !!!

// <windows.h>, <rpcndr.h>, <wingdi.h>, <winuser.h>
#define min(a, b) POISON
#define max(a, b) POISON
#define TEXT(x) POISON
#define ERROR POISON
#define NO_ERROR POISON
#define TRUE POISON
#define FALSE POISON
#define BOOL POISON
#define VOID POISON
#define CONST POISON
#define IN POISON
#define OUT POISON
#define OPTIONAL POISON
#define THIS POISON
#define STRICT POISON
#define IGNORE POISON
#define DELETE POISON
#define ABSOLUTE POISON
#define RELATIVE POISON
#define OPAQUE POISON
#define TRANSPARENT POISON
#define small POISON
#define near POISON
#define far POISON
#define hyper POISON
#define pascal POISON
#define cdecl POISON
#define interface POISON
#define GetObject POISON
#define GetMessage POISON
#define SendMessage POISON
#define GetClassName POISON
#define CreateFile POISON
#define ReportEvent POISON
#define PostMessage POISON
#define Yield() POISON
#define s_addr POISON
// <X11/X.h>, <X11/Xlib.h>
#define None POISON
#define Bool POISON
#define Status POISON
#define True POISON
#define False POISON
#define Success POISON
#define Always POISON
#define Complex POISON
#define Unsorted POISON
#define Above POISON
#define Below POISON
#define Convex POISON
// Qt, GTK, Boost.Foreach
#define signals POISON
#define slots POISON
#define emit POISON
#define foreach POISON
#define forever POISON
#define SIGNAL(x) POISON
#define SLOT(x) POISON
#define Q_EMIT POISON
#define Q_OBJECT POISON
#define Q_FOREACH(a, b) POISON
// <AssertMacros.h> and <objc/objc.h> of macOS
#define check(x) POISON
#define verify(x) POISON
#define require(x, y) POISON
#define nil POISON
#define YES POISON
#define NO POISON
// <sys/sysmacros.h>, GNU mode, <math.h>, <complex.h>, <sys/param.h>, the Linux kernel
#define major(x) POISON
#define minor(x) POISON
#define makedev(x, y) POISON
#undef unix
#define unix POISON
#undef linux
#define linux POISON
#define DOMAIN POISON
#define OVERFLOW POISON
#define UNDERFLOW POISON
#define I POISON
#define complex POISON
#define MIN(a, b) POISON
#define MAX(a, b) POISON
#define likely(x) POISON
#define unlikely(x) POISON
#define container_of(a, b, c) POISON
#define offset_of POISON
// Arduino, test frameworks, loggers, everybody
#define F(x) POISON
#define bit(x) POISON
#define word(...) POISON
#define HIGH POISON
#define LOW POISON
#define B0 POISON
#define OK POISON
#define FAIL POISON
#define CHECK(x) POISON
#define REQUIRE(x) POISON
#define LOG(x) POISON
#define DEBUG POISON
#define INFO POISON
#define WARNING POISON
#define VERSION POISON
#define ASSERT(x) POISON
#define assert(x) POISON
#define UNUSED(x) POISON
#define COLD POISON
#define NOINLINE POISON
#define LIFETIMEBOUND POISON

#include "everything.hpp"

int main() {
  const outbound::user ada{"ada"};
  EXPECT(ada.track("e").property("k", 1).body() == R"({"user_id":"ada","event":"e","properties":{"k":1}})");
  EXPECT(everything::run().size() > 5000);
}
