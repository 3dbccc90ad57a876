// The test runner's main: Catch2 2 wants it made here, Catch2 3 brings it.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
