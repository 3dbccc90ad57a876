// The payloads of the benchmarks as an application holds them, and who builds bodies of them.
#ifndef OUTBOUND_BENCH_PAYLOADS_HPP
#define OUTBOUND_BENCH_PAYLOADS_HPP

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct item {
  std::string sku;
  int qty;
};

struct place {
  std::string city;
  std::string zip;
};

// Of the payload `track`.
struct purchase {
  std::int64_t timestamp;
  std::string resolution;
  double price;
  std::vector<item> items;
  std::string note;
};

// Of the payload `identify`.
struct profile {
  std::string plan;
  int age;
  double score;
  std::vector<std::string> tags;
  place address;
  bool trial;
  std::nullptr_t ref;
};

// One of the 200 of `heavy200`.
struct attribute {
  enum class kind { text, integer, real, place };
  std::string key;
  kind what;
  std::string text;
  std::int64_t integer;
  double real;
  bench::place place;
};

struct inputs {
  std::string user_id;
  std::int64_t numeric_id;
  std::string event;

  purchase bought;

  std::string first_name;
  std::string last_name;
  std::string email;
  std::string apns;
  std::string gcm;
  std::string phone_number;
  bench::profile profile;

  std::vector<attribute> attributes;
  // The same 200, for those who have them sorted by type.
  std::map<std::string, std::string> texts;
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, double> reals;
  std::map<std::string, place> places;
};

/// Defined in a translation unit of its own: no compiler sees a value.
const inputs& data();

/// Takes a finished body; opaque, too.
using consumer = void (*)(std::string_view body);

/// One way to build one payload.
struct contender {
  const char* payload;  // small, track, identify, heavy200
  const char* library;
  const char* style;
  void (*build)(const inputs&, consumer);
};

std::vector<contender> outbound_contenders();
std::vector<contender> rapidjson_contenders();
std::vector<contender> nlohmann_contenders();
std::vector<contender> boost_json_contenders();  // none where Boost.JSON is not here
std::vector<contender> jsoncpp_contenders();

/// All of them.
std::vector<contender> contenders();

/// Exits with a message unless all bodies of a payload mean the same, and what they should.
void compare_all(const std::vector<contender>& all);

}  // namespace bench
#endif
