// The second unit of odr_a.cpp: the other way round in every macro.
#undef NDEBUG
#undef OUTBOUND_NO_THREADS
#define DEBUG 1
#define OUTBOUND_OF_SOMEBODY 1
#include <functional>
#include <iostream>
#include <map>

#include "odr.hpp"

view_of_header look_from_b() { return look(); }
