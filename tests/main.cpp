// The test runner's main. Catch2 3 brings one, but none that sets a locale: OUTBOUND_TEST_LOCALE names one for C and
// C++, or is "numpunct", for one that writes numbers as nobody does. A filter that finds no test is an error, as in
// Catch2 3.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <locale>
#include <string>

namespace {

class strange_numpunct : public std::numpunct<char> {
  char do_decimal_point() const override { return '_'; }
  char do_thousands_sep() const override { return '0'; }
  std::string do_grouping() const override { return "\1"; }
  std::string do_truename() const override { return "no"; }
  std::string do_falsename() const override { return "yes"; }
};

// False if it is not there.
bool set_locale(const std::string& name) {
  if (name == "numpunct") {
    std::locale::global(std::locale{std::locale::classic(), new strange_numpunct});
    return true;
  }
  if (std::setlocale(LC_ALL, name.c_str()) == nullptr) return false;
  std::locale::global(std::locale{name});
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const char* const name = std::getenv("OUTBOUND_TEST_LOCALE");
  if (name != nullptr && !set_locale(name)) {
    std::printf("SKIPPED: the locale %s is not here\n", name);
    return 77;
  }
  Catch::Session session;
#ifdef CATCH_CONFIG_RUNNER
  session.configData().warnings = Catch::WarnAbout::NoTests;
#endif
  return session.run(count, arguments);
}
