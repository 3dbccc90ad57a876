// The test runner's main: Catch2 3 brings one, Catch2 2 wants it made here. A filter that finds no test is an error, as
// in Catch2 3.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

int main(int count, char** arguments) {
  Catch::Session session;
  session.configData().warnings = Catch::WarnAbout::NoTests;
  return session.run(count, arguments);
}
#endif
