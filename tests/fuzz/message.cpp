// Random messages through the public API. What was meant is kept as a tree beside; the body must parse to it, under
// nlohmann and under RapidJSON, with no key twice, and the problems must be where something bad was put.
#include "outbound.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include "fuzz.hpp"

namespace {

struct tree {
  enum class kind { null, boolean, natural, negative, real, single, text, array, object } what{};
  bool flag{};
  std::uint64_t natural{};
  std::int64_t negative{};
  double real{};
  std::string text{};
  std::vector<tree> items{};
  std::vector<std::pair<std::string, tree>> members{};

  void set(const std::string& key, tree value) {
    const auto same = [&key](const auto& m) { return m.first == key; };
    members.erase(std::remove_if(members.begin(), members.end(), same), members.end());
    members.emplace_back(key, std::move(value));
  }
  tree* find(const std::string& key) {
    for (auto& m : members)
      if (m.first == key) return &m.second;
    return nullptr;
  }
};

tree text_tree(std::string s) {
  tree t;
  t.what = tree::kind::text;
  t.text = std::move(s);
  return t;
}

// --- two parsers that know nothing of the header

class builder {
 public:
  bool put(tree t) {
    if (open_.empty()) {
      root = std::move(t);
      return true;
    }
    tree& top = open_.back();
    if (top.what == tree::kind::array) {
      top.items.push_back(std::move(t));
    } else {
      keys_unique = keys_unique && top.find(keys_.back()) == nullptr;
      top.members.emplace_back(keys_.back(), std::move(t));
      keys_.pop_back();
    }
    return true;
  }
  bool open(tree::kind k) {
    tree t;
    t.what = k;
    open_.push_back(std::move(t));
    return true;
  }
  bool close() {
    tree t = std::move(open_.back());
    open_.pop_back();
    return put(std::move(t));
  }
  bool name(std::string s) {
    keys_.push_back(std::move(s));
    return true;
  }
  bool null() { return put({}); }
  bool boolean(bool b) {
    tree t;
    t.what = tree::kind::boolean;
    t.flag = b;
    return put(std::move(t));
  }
  bool natural(std::uint64_t n) {
    tree t;
    t.what = tree::kind::natural;
    t.natural = n;
    return put(std::move(t));
  }
  bool integer(std::int64_t n) {
    if (n >= 0) return natural(static_cast<std::uint64_t>(n));
    tree t;
    t.what = tree::kind::negative;
    t.negative = n;
    return put(std::move(t));
  }
  bool real(double d) {
    tree t;
    t.what = tree::kind::real;
    t.real = d;
    return put(std::move(t));
  }

  tree root{};
  bool keys_unique{true};

 private:
  std::vector<tree> open_{};
  std::vector<std::string> keys_{};
};

struct nlohmann_reader : nlohmann::json_sax<nlohmann::json> {
  bool null() override { return out.null(); }
  bool boolean(bool b) override { return out.boolean(b); }
  bool number_integer(number_integer_t n) override { return out.integer(n); }
  bool number_unsigned(number_unsigned_t n) override { return out.natural(n); }
  bool number_float(number_float_t d, const string_t&) override { return out.real(d); }
  bool string(string_t& s) override { return out.put(text_tree(s)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return out.open(tree::kind::object); }
  bool key(string_t& s) override { return out.name(s); }
  bool end_object() override { return out.close(); }
  bool start_array(std::size_t) override { return out.open(tree::kind::array); }
  bool end_array() override { return out.close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }
  builder out{};
};

struct rapidjson_reader {
  bool Null() { return out.null(); }
  bool Bool(bool b) { return out.boolean(b); }
  bool Int(int n) { return out.integer(n); }
  bool Uint(unsigned n) { return out.natural(n); }
  bool Int64(std::int64_t n) { return out.integer(n); }
  bool Uint64(std::uint64_t n) { return out.natural(n); }
  bool Double(double d) { return out.real(d); }
  bool RawNumber(const char*, rapidjson::SizeType, bool) { return false; }
  bool String(const char* s, rapidjson::SizeType n, bool) { return out.put(text_tree({s, n})); }
  bool StartObject() { return out.open(tree::kind::object); }
  bool Key(const char* s, rapidjson::SizeType n, bool) { return out.name({s, n}); }
  bool EndObject(rapidjson::SizeType) { return out.close(); }
  bool StartArray() { return out.open(tree::kind::array); }
  bool EndArray(rapidjson::SizeType) { return out.close(); }
  builder out{};
};

// --- comparing

bool same_double(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a == 0 && b == 0); }

double as_double(const tree& t) {
  if (t.what == tree::kind::natural) return static_cast<double>(t.natural);
  return t.what == tree::kind::negative ? static_cast<double>(t.negative) : t.real;
}

bool is_number(const tree& t) {
  return t.what == tree::kind::natural || t.what == tree::kind::negative || t.what == tree::kind::real;
}

bool same(const tree& meant, const tree& read) {
  using kind = tree::kind;
  switch (meant.what) {
    case kind::null: return read.what == kind::null;
    case kind::boolean: return read.what == kind::boolean && read.flag == meant.flag;
    case kind::natural: return read.what == kind::natural && read.natural == meant.natural;
    case kind::negative: return read.what == kind::negative && read.negative == meant.negative;
    case kind::real: return is_number(read) && same_double(as_double(read), meant.real);
    case kind::single: return is_number(read) && static_cast<float>(as_double(read)) == static_cast<float>(meant.real);
    case kind::text: return read.what == kind::text && read.text == meant.text;
    case kind::array:
      return read.what == kind::array &&
             std::equal(meant.items.begin(), meant.items.end(), read.items.begin(), read.items.end(), same);
    case kind::object:
      return read.what == kind::object &&
             std::equal(meant.members.begin(), meant.members.end(), read.members.begin(), read.members.end(),
                        [](const auto& a, const auto& b) { return a.first == b.first && same(a.second, b.second); });
  }
  return false;
}

// --- values: what is put in, and the tree beside it

using problem_list = std::multiset<std::pair<std::string, outbound::defect>>;  // pointer, what

bool is_utf8(std::string_view s) { return outbound::repaired(s) == s; }  // tested by other means

std::string pointer_step(const std::string& key) {
  std::string out = "/";
  for (const char c : key) out += c == '~' ? std::string{"~0"} : c == '/' ? std::string{"~1"} : std::string(1, c);
  return out;
}

// Keys of messages that are composed here are good: bad ones are in tests/problems.cpp.
std::string good_key(fuzz::input& in) {
  if (in.below(3) != 0) return std::string(1, static_cast<char>('a' + in.below(6)));
  return outbound::repaired(in.text(24));
}

class composer {
 public:
  explicit composer(fuzz::input& in) : in_{in} {}

  // Calls `put` with a value of some type, and gives the tree of what must come out; problems are put below `where`.
  tree value(const std::string& where, unsigned levels, problem_list& problems,
             const std::function<void(const outbound::value&)>& put) {
    tree t;
    switch (in_.below(levels > 0 ? 18 : 13)) {
      case 0: put(nullptr); break;
      case 1:
        t.what = tree::kind::boolean;
        t.flag = in_.coin();
        put(t.flag);
        break;
      case 2: {
        const std::uint64_t n = in_.bytes(8);
        put(n);
        return natural(n);
      }
      case 3: {
        const auto n = static_cast<std::int64_t>(in_.bytes(8));
        put(n);
        return integer(n);
      }
      case 4: {
        const auto n = static_cast<std::int16_t>(in_.bytes(2));
        put(n);
        return integer(n);
      }
      case 5: {
        const std::uint64_t bits = in_.bytes(8);
        double d = 0;
        std::memcpy(&d, &bits, sizeof d);
        put(d);
        return real(d, tree::kind::real, where, problems);
      }
      case 6: {  // decimals, as people write them
        const double d = static_cast<double>(static_cast<std::int32_t>(in_.bytes(4))) / 1000;
        put(d);
        return real(d, tree::kind::real, where, problems);
      }
      case 7: {
        const auto bits = static_cast<std::uint32_t>(in_.bytes(4));
        float f = 0;
        std::memcpy(&f, &bits, sizeof f);
        put(f);
        return real(f, tree::kind::single, where, problems);
      }
      case 8:
      case 9: {
        const std::string s = in_.text(40);
        if (in_.coin()) put(s);
        else put(std::string_view{s});
        return text(s, where, problems);
      }
      case 10: {
        const std::optional<int> o = in_.coin() ? std::optional<int>{static_cast<int>(in_.bytes(2))} : std::nullopt;
        put(o);
        return o ? integer(*o) : t;
      }
      case 11: {
        const auto n = static_cast<std::int32_t>(in_.bytes(4));
        put(std::chrono::system_clock::time_point{std::chrono::seconds{n}});
        return integer(n);
      }
      case 12: {  // text that exists already: good, and with blanks, or bad
        const std::string s = in_.coin() ? " { \"k\" : [ 1, \"\\u00e9\" ] } " : "[1,]";
        put(outbound::json{s});
        if (s[0] == '[') {
          problems.insert({where, outbound::defect::invalid_json});
          return t;
        }
        t.what = tree::kind::object;
        tree inner;
        inner.what = tree::kind::array;
        inner.items = {natural(1), text_tree("\xC3\xA9")};
        t.set("k", inner);
        break;
      }
      case 13: {
        std::vector<std::string> all;
        t.what = tree::kind::array;
        for (std::uint64_t n = in_.below(4); n > 0; --n) {
          all.push_back(in_.text(8));
          t.items.push_back(text(all.back(), where + "/" + std::to_string(t.items.size()), problems));
        }
        put(all);
        break;
      }
      case 14: {
        std::map<std::string, int> all;
        for (std::uint64_t n = in_.below(4); n > 0; --n) all[good_key(in_)] = static_cast<int>(in_.bytes(1));
        t.what = tree::kind::object;
        for (const auto& m : all) t.set(m.first, integer(m.second));
        put(all);
        break;
      }
      case 15: {
        problem_list inner;
        outbound::array a;
        t.what = tree::kind::array;
        for (std::uint64_t n = in_.below(4); n > 0; --n)
          t.items.push_back(value("/" + std::to_string(t.items.size()), levels - 1, inner,
                                  [&a](const outbound::value& v) { a.add(v); }));
        put(a);
        for (const auto& p : inner) problems.insert({where + p.first, p.second});
        break;
      }
      case 16: {  // braces, written in place
        const std::string key = good_key(in_), s = in_.text(8);
        const auto n = static_cast<int>(in_.bytes(1));
        put(outbound::object{{key, {n, s}}, {key + "x", {{"in", s}}}});
        t.what = tree::kind::object;
        tree pair;
        pair.what = tree::kind::array;
        pair.items = {integer(n), text(s, where + pointer_step(key) + "/1", problems)};
        t.set(key, pair);
        tree nested;
        nested.what = tree::kind::object;
        nested.set("in", text(s, where + pointer_step(key + "x") + "/in", problems));
        t.set(key + "x", nested);
        break;
      }
      default: {
        std::map<std::string, problem_list> inner;  // by key: replacing a value removes its problems
        outbound::object o;
        t.what = tree::kind::object;
        for (std::uint64_t n = in_.below(5); n > 0; --n) {
          const std::string key = good_key(in_);
          problem_list fresh;
          tree v = value(pointer_step(key), levels - 1, fresh, [&](const outbound::value& x) { o.set(key, x); });
          t.set(key, std::move(v));
          inner[key] = std::move(fresh);
        }
        put(o);
        for (const auto& k : inner)
          for (const auto& p : k.second) problems.insert({where + p.first, p.second});
      }
    }
    return t;
  }

  static tree natural(std::uint64_t n) {
    tree t;
    t.what = tree::kind::natural;
    t.natural = n;
    return t;
  }
  static tree integer(std::int64_t n) {
    if (n >= 0) return natural(static_cast<std::uint64_t>(n));
    tree t;
    t.what = tree::kind::negative;
    t.negative = n;
    return t;
  }
  static tree real(double d, tree::kind what, const std::string& where, problem_list& problems) {
    tree t;
    if (!(d - d == 0)) {
      problems.insert({where, outbound::defect::not_finite});
      return t;
    }
    t.what = what;
    t.real = d;
    return t;
  }
  static tree text(const std::string& s, const std::string& where, problem_list& problems) {
    if (is_utf8(s)) return text_tree(s);
    problems.insert({where, outbound::defect::invalid_utf8});
    return {};
  }

 private:
  fuzz::input& in_;
};

// A message, and what it must say.
struct meant {
  tree body{};
  std::map<std::string, problem_list> problems{};  // of a field, or of a key of attributes or properties

  meant() { body.what = tree::kind::object; }
  tree& bag(const std::string& field) {
    if (tree* there = body.find(field)) return *there;
    tree t;
    t.what = tree::kind::object;
    body.set(field, t);
    return *body.find(field);
  }
};

outbound::user subject(fuzz::input& in, meant& m) {
  if (in.coin()) {
    const auto n = static_cast<std::int64_t>(in.bytes(8)) >> in.below(64);
    constexpr std::int64_t most = (std::int64_t{1} << 53) - 1;
    if (n < -most || n > most) {
      m.problems["user_id"].insert({"/user_id", outbound::defect::out_of_range});
      m.body.set("user_id", {});
    } else {
      m.body.set("user_id", composer::integer(n));
    }
    return outbound::user{n};
  }
  const std::string s = in.text(60);
  if (s.empty()) {
    m.problems["user_id"].insert({"/user_id", outbound::defect::missing});
    m.body.set("user_id", {});
  } else {
    m.body.set("user_id", composer::text(s, "/user_id", m.problems["user_id"]));
  }
  return outbound::user{s};
}

void field(meant& m, const char* name, const std::string& s) {
  problem_list fresh;
  m.body.set(name, composer::text(s, std::string{"/"} + name, fresh));
  m.problems[name] = std::move(fresh);
}

void property(fuzz::input& in, meant& m, const std::string& bag,
              const std::function<void(const std::string&, const outbound::value&)>& one) {
  const std::string key = good_key(in);
  composer make{in};
  problem_list fresh;
  tree t = make.value("/" + bag + pointer_step(key), 4, fresh, [&](const outbound::value& v) { one(key, v); });
  m.bag(bag).set(key, std::move(t));
  m.problems[bag + "/" + key] = std::move(fresh);
}

void fill(fuzz::input& in, outbound::identify& built, meant& m) {
  for (std::uint64_t n = in.below(12); n > 0; --n) {
    switch (in.below(8)) {
      case 0: {
        const std::string s = in.text(30);
        built.first_name(s);
        field(m, "first_name", s);
        break;
      }
      case 1: {
        const std::optional<std::string> s = in.coin() ? std::optional<std::string>{in.text(30)} : std::nullopt;
        built.email(s);
        if (s) field(m, "email", *s);
        break;
      }
      case 2: {
        std::vector<std::string> tokens;
        tree t;
        t.what = tree::kind::array;
        problem_list fresh;
        for (std::uint64_t k = in.below(4); k > 0; --k) {
          tokens.push_back("t" + in.text(6));
          t.items.push_back(composer::text(tokens.back(), "/gcm/" + std::to_string(t.items.size()), fresh));
        }
        built.gcm(tokens);
        m.body.set("gcm", std::move(t));
        m.problems["gcm"] = std::move(fresh);
        break;
      }
      case 3: {  // several at once, all or none
        const std::string a = good_key(in), b = good_key(in), s = in.text(8);
        built.attributes({{a, 1}, {b, s}});
        m.bag("attributes").set(a, composer::integer(1));
        m.problems["attributes/" + a].clear();
        problem_list fresh;
        m.bag("attributes").set(b, composer::text(s, "/attributes" + pointer_step(b), fresh));
        m.problems["attributes/" + b] = std::move(fresh);
        break;
      }
      case 4: {
        const outbound::identify copy = built;  // a copy goes on where this one is
        built = copy;
        break;
      }
      default:
        property(in, m, "attributes",
                 [&built](const std::string& key, const outbound::value& v) { built.attribute(key, v); });
    }
  }
}

void fill(fuzz::input& in, outbound::track& built, meant& m) {
  for (std::uint64_t n = in.below(20); n > 0; --n) {
    if (in.below(12) == 0) {
      const auto when = static_cast<std::int32_t>(in.bytes(4));
      built.at(std::chrono::system_clock::time_point{std::chrono::seconds{when}});
      m.body.set("timestamp", composer::integer(when));
    } else if (in.below(6) == 0) {
      const std::map<std::string, int> all{{good_key(in), 1}, {good_key(in), 2}};
      built.properties(all);
      for (const auto& p : all) {
        m.bag("properties").set(p.first, composer::integer(p.second));
        m.problems["properties/" + p.first].clear();
      }
    } else {
      property(in, m, "properties",
               [&built](const std::string& key, const outbound::value& v) { built.property(key, v); });
    }
  }
}

void check(const outbound::message& built, const meant& m) {
  const std::string body{built.body()};
  nlohmann_reader one;
  fuzz::demand(nlohmann::json::sax_parse(body, &one), "nlohmann does not read it", body);
  fuzz::demand(one.out.keys_unique, "a key twice", body);
  fuzz::demand(same(m.body, one.out.root), "nlohmann reads something else", body);
  rapidjson_reader other;
  rapidjson::MemoryStream in{body.data(), body.size()};
  rapidjson::Reader reader;
  constexpr unsigned flags =
      rapidjson::kParseValidateEncodingFlag | rapidjson::kParseFullPrecisionFlag | rapidjson::kParseIterativeFlag;
  fuzz::demand(static_cast<bool>(reader.Parse<flags>(in, other)), "RapidJSON does not read it", body);
  fuzz::demand(same(m.body, other.out.root), "RapidJSON reads something else", body);

  problem_list expected, found;
  for (const auto& f : m.problems) expected.insert(f.second.begin(), f.second.end());
  std::string shown = body;
  for (const outbound::problem& p : built.problems()) {
    found.insert({p.where, p.what});
    shown += "\n" + p.where + " " + p.why;
    fuzz::demand(is_utf8(p.where) && is_utf8(p.why) && !p.why.empty(), "a problem that cannot be shown", p.why);
    const nlohmann::json::json_pointer pointer{p.where};
    fuzz::demand(nlohmann::json::parse(body).at(pointer).is_null(), "a problem of what is not null", shown);
  }
  for (const auto& p : expected) shown += "\nexpected " + p.first + " " + std::to_string(static_cast<int>(p.second));
  fuzz::demand(expected == found, "other problems", shown);
  fuzz::demand(built.valid() == expected.empty(), "valid() says something else", shown);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  meant m;
  if (in.coin()) {
    outbound::identify built = subject(in, m).identify();
    fill(in, built, m);
    check(built, m);
    return 0;
  }
  const outbound::user who = subject(in, m);
  const std::string event = in.text(20);
  outbound::track built = who.track(event);
  if (event.empty()) {
    m.problems["event"].insert({"/event", outbound::defect::missing});
    m.body.set("event", {});
  } else {
    field(m, "event", event);
  }
  fill(in, built, m);
  check(built, m);
  return 0;
}
