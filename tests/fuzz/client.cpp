// Keys and base URLs: what a client accepts is safe to put on the wire, and libcurl reads the URL as it was meant.
#include "outbound.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <curl/curl.h>

#include "fuzz.hpp"

namespace {

bool contains(std::string_view s, std::string_view part) { return s.find(part) != std::string_view::npos; }

// RFC 9110, 5.5, without blanks.
bool is_good_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

class curl_url_parts {
 public:
  explicit curl_url_parts(const std::string& url) : handle_{curl_url()} {
    good = curl_url_set(handle_, CURLUPART_URL, url.c_str(), CURLU_PATH_AS_IS) == CURLUE_OK;
  }
  curl_url_parts(const curl_url_parts&) = delete;
  curl_url_parts& operator=(const curl_url_parts&) = delete;
  ~curl_url_parts() { curl_url_cleanup(handle_); }

  // Empty where there is none.
  std::string get(CURLUPart part) const {
    char* s = nullptr;
    if (curl_url_get(handle_, part, &s, 0) != CURLUE_OK) return {};
    const std::string copy{s};
    curl_free(s);
    return copy;
  }
  bool good{};

 private:
  CURLU* handle_;
};

bool has_line_break(std::string_view s) {
  return s.find_first_of(std::string_view{"\r\n\0", 3}) != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const bool plain_key = in.coin(), plain_url = in.coin();
  const std::string key = plain_key ? "0123456789abcdef" : in.text(64);
  outbound::options o;
  if (!plain_url) o.base_url = in.text(200);
  if (in.below(8) == 0) o.timeout = std::chrono::milliseconds{static_cast<std::int64_t>(in.bytes(8))};
  o.strict = in.coin();
  const std::string said = in.rest();  // by a server
  const outbound::track m = outbound::user{"ada"}.track("e");

  outbound::client c{key, [&said](const outbound::request&) { return outbound::response{400, said, {}}; }, o};
  const outbound::result<outbound::request> r = c.prepare(m);
  fuzz::demand(static_cast<bool>(c.validate(m)) == static_cast<bool>(r), "validate and prepare disagree", o.base_url);
  // No word of our own sentences is so long.
  const bool is_secret =
      key.size() >= 14 && !contains(key, " ") && !contains(said + " Content-Type: application/json", key);

  if (!r) {
    fuzz::demand(r.error().code == outbound::errc::invalid_options, "another error", r.error().message);
    fuzz::demand(!is_good_key(key) || !plain_url || o.timeout.count() <= 0, "good options are refused",
                 r.error().message);
    if (is_secret && !is_good_key(key)) fuzz::demand(!contains(r.error().message, key), "the key is shown", key);
    fuzz::demand(!has_line_break(r.error().message), "an error of several lines", r.error().message);
    fuzz::demand(c.send(m).error().code == outbound::errc::invalid_options, "it sends", o.base_url);
    return 0;
  }
  fuzz::demand(is_good_key(key), "a bad key is accepted", key);
  fuzz::demand(o.timeout.count() > 0, "a timeout that is none", "");

  // The request can be written to a socket as it is.
  fuzz::demand(std::all_of(r->url.begin(), r->url.end(), [](char ch) { return ch > 0x20 && ch < 0x7F; }),
               "a URL with other bytes", r->url);
  int keys = 0;
  for (const outbound::header& h : r->headers) {
    fuzz::demand(!has_line_break(h.name) && !has_line_break(h.value), "a header of several lines", h.value);
    if (h.name == "X-Outbound-Key") {
      ++keys;
      fuzz::demand(h.value == key, "another key", h.value);
    }
  }
  fuzz::demand(keys == 1, "not one key", r->url);
  constexpr std::string_view path = "/v2/track";
  fuzz::demand(r->url.size() > path.size() && r->url.substr(r->url.size() - path.size()) == path &&
                   r->url[r->url.size() - path.size() - 1] != '/',
               "another path", r->url);

  // libcurl finds in it what stood in the base URL, and nothing else.
  const curl_url_parts parts{r->url};
  const bool in_brackets = contains(o.base_url, "[");  // which addresses exist is not ours to say
  if (!parts.good) {
    fuzz::demand(in_brackets, "libcurl cannot read the URL", r->url);
  } else {
    const std::string scheme = parts.get(CURLUPART_SCHEME), host = parts.get(CURLUPART_HOST);
    fuzz::demand(scheme == "http" || scheme == "https", "another scheme", r->url);
    for (const CURLUPart part :
         {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT, CURLUPART_OPTIONS})
      fuzz::demand(parts.get(part).empty(), "a part that was not to be", r->url);
    const std::size_t at = o.base_url.find("://") + 3;
    const std::string authority = o.base_url.substr(at, o.base_url.find('/', at) - at);
    // libcurl writes an IPv4 address that is one number, 2130706433 say, in its usual form; brackets as above.
    const bool is_number = authority[0] >= '0' && authority[0] <= '9' && contains(host, ".");
    const auto same_letter = [](char x, char y) { return x == y || ((x ^ y) == 0x20 && (x | 0x20) >= 'a'); };
    const bool same = authority.size() >= host.size() &&
                      std::equal(host.begin(), host.end(), authority.begin(), same_letter) &&
                      (authority.size() == host.size() || authority[host.size()] == ':');
    fuzz::demand(in_brackets || is_number || same, "another host", r->url + " " + host);
    const std::string whole = parts.get(CURLUPART_PATH);
    fuzz::demand(whole.size() >= path.size() && whole.substr(whole.size() - path.size()) == path, "another path",
                 whole);
  }

  // What can be logged does not hold the key.
  outbound::request anonymous = *r;
  for (outbound::header& h : anonymous.headers)
    if (h.name == "X-Outbound-Key") h.value = "x";
  fuzz::demand(outbound::curl_command(*r) == outbound::curl_command(anonymous), "curl_command shows the key", key);
  outbound::client leaky{key,
                         [&](const outbound::request&) {
                           return outbound::response{400, said + key + said, {}};
                         },
                         o};
  const outbound::error e = leaky.send(m).error();
  if (key.size() >= 8 && !contains(said, key.substr(0, 4)))
    fuzz::demand(!contains(e.message, key), "an error shows the key", e.message);
  fuzz::demand(!has_line_break(e.message), "an error of several lines", e.message);
  fuzz::demand(e.code == outbound::errc::invalid_field && e.status == 400, "another error", e.message);
  return 0;
}
