// Catch2, version 3 or 2 (Debian 12 has 2.13): what the tests use of it is the same in both.
#ifndef OUTBOUND_TESTS_CATCH_HPP
#define OUTBOUND_TESTS_CATCH_HPP
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
#endif
