// One macro is enough for the programs of this folder: they stand alone, and some build without exceptions.
#ifndef OUTBOUND_TESTS_EXPECT_HPP
#define OUTBOUND_TESTS_EXPECT_HPP
#include <cstdio>
#include <cstdlib>
#define EXPECT(x) ((x) ? void() : (std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x), std::exit(1)))
#endif
