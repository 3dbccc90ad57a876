// Makes everything that the header writes from the corpora of tests/data and from a generator, and prints a digest of
// each part: every build on every machine must print the same. `run` builds it in some fifty ways and compares, and
// tests/contract/corpus.py in those that need no more than this machine.
//
//     corpus DATA              a line for each part: name, lines, bytes, FNV-1a
//     corpus DATA PART         the lines of that part, to see where two builds differ
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../contract/everything.hpp"

namespace {

using row = std::vector<std::string>;

std::string data_folder;

// No <fstream> and no <filesystem>: some of the machines that run this have neither.
std::vector<row> read_tsv(const char* name) {
  std::FILE* const file = std::fopen((data_folder + "/" + name).c_str(), "rb");
  if (file == nullptr) {
    std::fprintf(stderr, "cannot read %s/%s\n", data_folder.c_str(), name);
    std::exit(2);
  }
  std::vector<row> rows;
  row cells{""};
  for (int c = 0; (c = std::fgetc(file)) != EOF;) {
    if (c == '\t') {
      cells.emplace_back();
    } else if (c == '\n') {
      if (cells[0].compare(0, 2, "# ") != 0) rows.push_back(cells);
      cells.assign(1, "");
    } else {
      cells.back() += static_cast<char>(c);
    }
  }
  std::fclose(file);
  return rows;
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  return out;
}

// xorshift64*: integers only, so that it is the same everywhere.
struct generator {
  std::uint64_t state{88172645463325252U};
  std::uint64_t operator()() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717U;
  }
  std::uint64_t below(std::uint64_t n) { return (*this)() % n; }
};

class part {
 public:
  part(const char* name, const char* wanted)
      : name_{name}, shown_{wanted != nullptr && std::strcmp(name, wanted) == 0} {}

  void line(std::string_view s) {
    add(s);
    add("\n");
    ++lines_;
  }
  void problems(const std::vector<outbound::problem>& all) {
    for (const outbound::problem& p : all)
      line(std::to_string(static_cast<int>(p.what)) + " at '" + p.where + "': " + p.why);
  }
  void message(const outbound::message& m) {
    line(m.path());
    line(m.body());
    line(m.user_key());
    problems(m.problems());
    problems(m.warnings());
  }
  template <class T>
  void array_of(const T& v) {
    const outbound::array a = outbound::array::of(v);
    line(a.text());
    problems(a.problems());
  }
  void end() const {
    if (!shown_)
      std::printf("%-10s %7lu lines %9lu bytes %08lx%08lx\n", name_, lines_, bytes_,
                  static_cast<unsigned long>(digest_ >> 32), static_cast<unsigned long>(digest_ & 0xFFFFFFFF));
  }

 private:
  void add(std::string_view s) {
    for (const char c : s) {
      digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 0x100000001B3;
      if (shown_) std::putchar(c);
    }
    bytes_ += static_cast<unsigned long>(s.size());
  }

  const char* name_;
  bool shown_;
  unsigned long lines_{}, bytes_{};
  std::uint64_t digest_{0xCBF29CE484222325};
};

template <class Float, class Bits>
void number(part& out, Bits bits) {
  Float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  out.array_of(x);
}

void numbers(part& out) {
  for (const row& r : read_tsv("doubles.tsv")) {
    const std::uint64_t bits = std::strtoull(r[0].c_str(), nullptr, 16);
    number<double>(out, bits);
    number<float>(out, static_cast<std::uint32_t>(bits >> 32));
  }
  for (const row& r : read_tsv("integers.tsv")) {
    if (r[0][0] == 'u') out.array_of(static_cast<std::uint64_t>(std::strtoull(r[1].c_str(), nullptr, 10)));
    else out.array_of(static_cast<std::int64_t>(std::strtoll(r[1].c_str(), nullptr, 10)));
    out.message(outbound::user{std::strtoll(r[1].c_str(), nullptr, 10)}.track("n"));
  }
  for (std::uint64_t power = 0; power < 64; ++power) {
    const std::uint64_t n = std::uint64_t{1} << power;
    number<double>(out, n);            // subnormal numbers
    number<double>(out, power << 57);  // powers of two
    number<double>(out, ~n);           // NaN and others
    number<float>(out, static_cast<std::uint32_t>(n >> 32));
    out.array_of(static_cast<double>(n));
    out.array_of(static_cast<float>(n));
  }
  generator random;
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t n = random();
    number<double>(out, n);
    number<float>(out, static_cast<std::uint32_t>(n >> 32));
    out.array_of(n >> n % 64);
    out.array_of(static_cast<std::int64_t>(n) >> n % 64);
    out.array_of(static_cast<std::int16_t>(n & 0x7FFF));
  }
}

// A byte string wherever a text may stand.
void everywhere(part& out, const std::string& s) {
  out.message(outbound::user{s}.track(s).property(s, s));
  out.message(outbound::user{1}.identify().first_name(s).apns({s, "x"}).attribute("a", outbound::array::of(s, "y")));
  out.line(outbound::repaired(s));
}

// Every lead byte with every next one, well-formed or not.
void pairs(part& out) {
  for (int lead = 0; lead < 256; ++lead) {
    for (int next = 0; next < 256; next += 5) {
      const char both[] = {static_cast<char>(lead), static_cast<char>(next), static_cast<char>(0x80)};
      const std::string_view s{both, 3};
      const outbound::object o{{s, s}};
      out.line(o.text());
      out.problems(o.problems());
      out.line(outbound::repaired(s));
    }
  }
}

void text(part& out) {
  for (const row& r : read_tsv("utf8.tsv")) everywhere(out, from_hex(r[0]));
  for (const row& r : read_tsv("json_escapes.tsv")) everywhere(out, from_hex(r[1]));
  for (const row& r : read_tsv("utf16.tsv")) {
    std::u16string wide;
    for (std::size_t i = 0; i + 4 <= r[0].size(); i += 5)
      wide += static_cast<char16_t>(std::strtoul(r[0].substr(i, 4).c_str(), nullptr, 16));
    out.line(outbound::from_utf16(wide));
  }
  std::string longer;
  for (int i = 0; i < 300; ++i) {
    longer += "0123456789\"\\\n\xC3\xBC\xE2\x82\xAC\xF0\x9F\x9A\x80 \x7F"[i % 23];
    everywhere(out, longer);
  }
}

// JSON texts, damaged at random: which are refused, and what the sentence says about them.
void json(part& out) {
  const std::string_view seed =
      R"( {"a":[1,-0,2.5e+3,1E9,true,false,null,"\u00e9\ud83d\ude80\n\"",{}],"b":{"c":"Zürich","d":[[],[{"e":0.1}]]}} )";
  const std::string_view bytes = "{}[]:,\"\\ \t\n0123456789.eE+-truefalsn/u\x01\x7F\x80\xC3\xED\xA0\xF0\xFF";
  generator random;
  for (int i = 0; i < 20000; ++i) {
    std::string s{seed};
    for (std::uint64_t damage = random.below(4); damage > 0 && !s.empty(); --damage) {
      const std::size_t at = static_cast<std::size_t>(random.below(s.size()));
      const char c = bytes[static_cast<std::size_t>(random.below(bytes.size()))];
      switch (random.below(4)) {
        case 0: s[at] = c; break;
        case 1: s.insert(at, 1, c); break;
        case 2: s.erase(at, 1 + static_cast<std::size_t>(random.below(3))); break;
        default: s.resize(at + 1);
      }
    }
    const outbound::object o{{"raw", outbound::json{s}}};
    out.line(o.text());
    out.problems(o.problems());
  }
}

void objects(part& out) {
  generator random;
  for (int round = 0; round < 60; ++round) {
    outbound::object o;
    outbound::track m = outbound::user{round}.track("keys");
    for (int i = 0; i < 8 * round; ++i) {
      const std::string key = "key " + std::to_string(random.below(static_cast<std::uint64_t>(round) * 4 + 1));
      o.set(key, i);
      m.property(key, i % 7 == 0 ? outbound::object{o} : outbound::object{{"i", i}});
      if (m.body().size() > 20000) m = outbound::user{round}.track("more keys");
    }
    out.line(o.text());
    out.message(m);
  }
}

// When a queue sends again whose request was answered with that Retry-After at that time.
std::string next_after(const std::string& retry_after, std::int64_t unix_now) {
  outbound::delivery_queue queue;
  const outbound::instant now{{}, std::chrono::system_clock::time_point{std::chrono::seconds{unix_now}}};
  if (!queue.post(outbound::user{1}.track("e"), now)) return "refused";
  queue.report(queue.next(now), outbound::response{429, {}, {{"Retry-After", retry_after}}}, now);
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(queue.due().time_since_epoch()).count());
}

void http(part& out) {
  for (const row& r : read_tsv("header_values.tsv")) {
    outbound::options o;
    const std::string value = from_hex(r[0]);
    const outbound::client c{value, outbound::no_transport, o};
    const auto prepared = c.prepare(outbound::user{1}.track("e"));
    out.line(prepared ? outbound::curl_command(*prepared) : prepared.error().message);
    o.base_url = "https://h/" + value;
    const outbound::client at{"k", outbound::no_transport, o};
    const auto url = at.prepare(outbound::user{1}.track("e"));
    out.line(url ? url->url : url.error().message);
  }
  for (const row& r : read_tsv("retry_after.tsv")) out.line(next_after(r[0], 1700000000));
  for (const row& r : read_tsv("http_date.tsv")) {
    out.line(next_after(r[0], 0));
    const long long at = std::strtoll(r[1].c_str(), nullptr, 10) - 60;
    if (at > -9'000'000'000 && at < 9'000'000'000) out.line(next_after(r[0], at));  // in nanoseconds: 285 years
  }
  for (int status = -1; status < 700; ++status) {
    const auto judged = outbound::interpret({status, "{\"error\":{\"Message\":\"\xC3\x28\",\"Code\":4}}", {}});
    out.line(judged ? "good" : judged.error().message);
  }
}

// A store that keeps what it is given.
class memory final : public outbound::store {
 public:
  outbound::result<void> append(const outbound::record& r) override {
    records_[r.id] = r;
    return {};
  }
  outbound::result<void> remove(const std::vector<std::uint64_t>& ids) override {
    for (const std::uint64_t id : ids) records_.erase(id);
    return {};
  }
  outbound::result<std::vector<outbound::record>> load() override {
    std::vector<outbound::record> all;
    for (const auto& r : records_) all.push_back(r.second);
    return all;
  }

 private:
  std::map<std::uint64_t, outbound::record> records_{};
};

// Queues with seeds, driven at random: every delivery, every wait (the jitter), every event.
void delivery(part& out) {
  using std::chrono::milliseconds;
  generator random;
  for (int round = 0; round < 40; ++round) {
    memory store;
    outbound::queue_options o;
    o.seed = {random(), random()};
    o.max_messages = 5 + static_cast<std::size_t>(random.below(30));
    o.when_full = round % 2 == 0 ? outbound::overflow::drop_oldest : outbound::overflow::reject_new;
    o.batch_size = round % 3 == 0 ? 5 : 1;
    if (round % 4 == 0) o.store = &store;
    o.on_event = [&out](const outbound::event& e) {
      out.line("event " + std::to_string(static_cast<int>(e.what)) + ' ' + std::to_string(static_cast<int>(e.why)) +
               ' ' + e.message.body + ' ' + e.cause.message + ' ' + std::to_string(e.attempts) + ' ' +
               std::to_string(e.age.count()));
    };
    outbound::delivery_queue queue{o};
    std::vector<outbound::delivery> flying;
    milliseconds now{0};
    const auto at = [&now] {
      return outbound::instant{std::chrono::steady_clock::time_point{now},
                               std::chrono::system_clock::time_point{std::chrono::seconds{1700000000}} + now};
    };
    for (int step = 0; step < 400; ++step) {
      now += milliseconds{static_cast<std::int64_t>(random.below(900))};
      const std::string name = "u" + std::to_string(random.below(5));
      switch (random.below(6)) {
        case 0:
        case 1:
          out.line(std::to_string(
              static_cast<int>(queue.post(outbound::user{name}.track("e" + std::to_string(step)), at()).error().code)));
          break;
        case 2:
          out.line(std::to_string(
              static_cast<int>(queue.post(outbound::user{name}.identify().email(name), at()).error().code)));
          break;
        case 3:
        case 4: {
          outbound::delivery d = queue.next(at());
          out.line(d.path + ' ' + d.body + ' ' + d.guid + ' ' + std::to_string(d.attempt));
          if (d) flying.push_back(std::move(d));
          break;
        }
        default: {
          if (flying.empty()) break;
          const std::size_t which = static_cast<std::size_t>(random.below(flying.size()));
          std::swap(flying[which], flying.back());
          static const int statuses[] = {200, 200, 200, 400, 401, 404, 429, 500, 503, 0};
          const int status = statuses[random.below(10)];
          queue.report(std::move(flying.back()), outbound::response{status, {}, {}}, at());
          flying.pop_back();
        }
      }
      const auto due = queue.due();
      out.line(due == (std::chrono::steady_clock::time_point::max)()
                   ? "never"
                   : std::to_string(std::chrono::duration_cast<milliseconds>(due.time_since_epoch()).count()));
    }
  }
}

void golden(part& out) { out.line(everything::run()); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  data_folder = argv[1];
  const char* const wanted = argc > 2 ? argv[2] : nullptr;
  const std::pair<const char*, void (*)(part&)> parts[] = {
      {"golden", golden}, {"numbers", numbers}, {"pairs", pairs}, {"text", text},
      {"json", json},     {"objects", objects}, {"http", http},   {"delivery", delivery},
  };
  for (const auto& p : parts) {
    if (wanted != nullptr && std::strcmp(p.first, wanted) != 0) continue;
    part out{p.first, wanted};
    p.second(out);
    out.end();
  }
}
