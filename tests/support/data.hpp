// Where test data is, and how to read it: OUTBOUND_TEST_DATA names tests/data, OUTBOUND_CORPORA the shared corpora, if
// there are any.
#ifndef OUTBOUND_TESTS_DATA_HPP
#define OUTBOUND_TESTS_DATA_HPP

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace test {

// The suite is also built without exceptions.
[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) give_up("cannot read " + path.string());
  return {std::istreambuf_iterator<char>{in}, {}};
}

using row = std::vector<std::string>;

// The rows of a TSV file in tests/data, without comments; every cell as it stands.
inline std::vector<row> read_tsv(const char* name) {
  const char* const folder = std::getenv("OUTBOUND_TEST_DATA");
  if (folder == nullptr) give_up("OUTBOUND_TEST_DATA is not set: run the tests by `meson test`");
  std::vector<row> rows;
  const std::string all = read_file(std::filesystem::path{folder} / name);
  for (std::size_t at = 0; at < all.size();) {
    std::size_t end = all.find('\n', at);
    if (end == std::string::npos) end = all.size();
    const std::string line = all.substr(at, end - at);
    at = end + 1;
    if (line.rfind("# ", 0) == 0) continue;
    row cells;
    std::size_t from = 0;
    for (std::size_t tab; (tab = line.find('\t', from)) != std::string::npos; from = tab + 1)
      cells.push_back(line.substr(from, tab - from));
    cells.push_back(line.substr(from));
    rows.push_back(cells);
  }
  if (rows.empty()) give_up(std::string{"no rows in "} + name);
  return rows;
}

inline std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
  return out;
}

// A folder of the shared corpora, or an empty path and a loud line where they are not there.
inline std::filesystem::path corpus(const char* folder) {
  const char* const root = std::getenv("OUTBOUND_CORPORA");
  const std::filesystem::path path = root != nullptr ? std::filesystem::path{root} / folder : std::filesystem::path{};
  if (root != nullptr && std::filesystem::exists(path)) return path;
  std::fprintf(stderr, "SKIPPED: the corpus %s is not here (OUTBOUND_CORPORA)\n", folder);
  return {};
}

}  // namespace test
#endif
