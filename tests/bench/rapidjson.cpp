#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "payloads.hpp"

namespace bench {

namespace {

template <class Writer>
class body {
 public:
  body() { out_.StartObject(); }

  template <std::size_t n>
  void key(const char (&name)[n]) {
    out_.Key(name, static_cast<rapidjson::SizeType>(n - 1));
  }
  void key(const std::string& name) { out_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size())); }
  void text(const std::string& s) { out_.String(s.data(), static_cast<rapidjson::SizeType>(s.size())); }
  template <std::size_t n>
  void text(const char (&name)[n], const std::string& s) {
    key(name);
    text(s);
  }
  void write(const place& p) {
    out_.StartObject();
    text("city", p.city);
    text("zip", p.zip);
    out_.EndObject();
  }
  template <std::size_t n>
  void list_of_one(const char (&name)[n], const std::string& s) {
    key(name);
    out_.StartArray();
    text(s);
    out_.EndArray();
  }
  void about(const inputs& in) {
    text("user_id", in.user_id);
    text("first_name", in.first_name);
    text("last_name", in.last_name);
    text("email", in.email);
    list_of_one("apns", in.apns);
    list_of_one("gcm", in.gcm);
    text("phone_number", in.phone_number);
  }
  Writer& out() { return out_; }
  void finish(consumer use) {
    out_.EndObject();
    use({buffer_.GetString(), buffer_.GetSize()});
  }

 private:
  rapidjson::StringBuffer buffer_{};
  Writer out_{buffer_};
};

template <class Writer>
void small(const inputs& in, consumer use) {
  body<Writer> b;
  b.text("user_id", in.user_id);
  b.text("event", in.event);
  b.finish(use);
}

template <class Writer>
void track(const inputs& in, consumer use) {
  body<Writer> b;
  b.key("user_id");
  b.out().Int64(in.numeric_id);
  b.text("event", in.event);
  b.key("properties");
  b.out().StartObject();
  b.key("timestamp");
  b.out().Int64(in.bought.timestamp);
  b.text("resolution", in.bought.resolution);
  b.key("price");
  b.out().Double(in.bought.price);
  b.key("items");
  b.out().StartArray();
  for (const item& i : in.bought.items) {
    b.out().StartObject();
    b.text("sku", i.sku);
    b.key("qty");
    b.out().Int(i.qty);
    b.out().EndObject();
  }
  b.out().EndArray();
  b.text("note", in.bought.note);
  b.out().EndObject();
  b.finish(use);
}

template <class Writer>
void identify(const inputs& in, consumer use) {
  body<Writer> b;
  b.about(in);
  b.key("attributes");
  b.out().StartObject();
  b.text("plan", in.profile.plan);
  b.key("age");
  b.out().Int(in.profile.age);
  b.key("score");
  b.out().Double(in.profile.score);
  b.key("tags");
  b.out().StartArray();
  for (const std::string& tag : in.profile.tags) b.text(tag);
  b.out().EndArray();
  b.key("address");
  b.write(in.profile.address);
  b.key("trial");
  b.out().Bool(in.profile.trial);
  b.key("ref");
  b.out().Null();
  b.out().EndObject();
  b.finish(use);
}

template <class Writer>
void heavy200(const inputs& in, consumer use) {
  body<Writer> b;
  b.about(in);
  b.key("attributes");
  b.out().StartObject();
  for (const attribute& a : in.attributes) {
    b.key(a.key);
    switch (a.what) {
      case attribute::kind::text: b.text(a.text); break;
      case attribute::kind::integer: b.out().Int64(a.integer); break;
      case attribute::kind::real: b.out().Double(a.real); break;
      case attribute::kind::place: b.write(a.place); break;
    }
  }
  b.out().EndObject();
  b.finish(use);
}

using plain = rapidjson::Writer<rapidjson::StringBuffer>;
using checked = rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>,
                                  rapidjson::CrtAllocator, rapidjson::kWriteValidateEncodingFlag>;

}  // namespace

std::vector<contender> rapidjson_contenders() {
  return {
      {"small", "RapidJSON", "Writer", &small<plain>},
      {"small", "RapidJSON", "Writer, validating", &small<checked>},
      {"track", "RapidJSON", "Writer", &track<plain>},
      {"track", "RapidJSON", "Writer, validating", &track<checked>},
      {"identify", "RapidJSON", "Writer", &identify<plain>},
      {"identify", "RapidJSON", "Writer, validating", &identify<checked>},
      {"heavy200", "RapidJSON", "Writer", &heavy200<plain>},
      {"heavy200", "RapidJSON", "Writer, validating", &heavy200<checked>},
  };
}

}  // namespace bench
