// The file that has the implementation, where OUTBOUND_SEPARATE is set for all files of a program.
#define OUTBOUND_IMPLEMENTATION
#include "outbound.hpp"
