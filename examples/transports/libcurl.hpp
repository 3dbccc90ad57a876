// A transport for outbound.hpp over libcurl, 7.85 or newer: copy this file, link with -lcurl.
//
//     outbound::client client{"your-private-key", transports::libcurl_transport{}};
//     auto sent = client.send(outbound::user{"ada@example.com"}.track("signup"));
//
// It verifies the server, follows no redirect, sends nothing twice, and keeps its connection for the next request. One
// object serves one thread at a time. As ever with libcurl, http_proxy and https_proxy in the environment are heeded.
#ifndef OUTBOUND_TRANSPORTS_LIBCURL_HPP
#define OUTBOUND_TRANSPORTS_LIBCURL_HPP

#include "outbound.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace transports {
class libcurl_transport {
 public:
  static constexpr long max_connect_ms = 10'000;        // to look up the host, connect and shake hands
  static constexpr std::size_t max_body = 1024 * 1024;  // of a response: what is longer is cut off here

  /// `ca_file`: the certificate authorities to trust, in PEM; empty: those of the system.
  explicit libcurl_transport(std::string ca_file = {}) : ca_file_{std::move(ca_file)} {
    // Once, by the first thread that comes here, and never undone: the program may have other uses for libcurl.
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (initialised == CURLE_OK) curl_.reset(curl_easy_init()), watch_.reset(curl_multi_init());
    body_.reserve(max_body);
  }

  outbound::result<outbound::response> operator()(const outbound::request& request) {
    if (!curl_ || !watch_) return outbound::error{outbound::errc::not_sent, 0, "libcurl cannot be initialised"};
    std::unique_ptr<curl_slist, deleter> headers{curl_slist_append(nullptr, "Expect:")};  // no wait for "100 Continue"
    bool ready = headers && is_clean(request.method) && is_clean(request.url);
    for (const outbound::header& h : request.headers) {
      const std::string line = h.name + ": " + h.value;
      ready = ready && is_clean(line) && curl_slist_append(headers.get(), line.c_str()) != nullptr;
    }
    if (!ready) return outbound::error{outbound::errc::not_sent, 0, "CR, LF or NUL in the URL or in a header"};
    char words[CURL_ERROR_SIZE]{};  // libcurl's, about what went wrong
    exchange x{body_};
    body_.clear();
    const CURLcode outcome = perform(request, headers.get(), words, x);
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    outbound::response response{static_cast<int>(status), body_};
    for (curl_header* h = nullptr; (h = curl_easy_nextheader(curl_.get(), CURLH_HEADER, -1, h)) != nullptr;)
      response.headers.push_back({h->name, h->value});
    curl_easy_reset(curl_.get());  // forgets the pointers to what ends here, but not the connection

    // With a head all that matters is known: that the body was too long, or broke off, is no reason to send again.
    if (outcome == CURLE_OK || (x.head_ended && status >= 200) || !response.body.empty()) return response;
    if (x.sendings > 1)
      return outbound::error{outbound::errc::no_response, 0, "the connection ended without a response"};
    const auto code = x.sendings == 0 ? outbound::errc::not_sent : outbound::errc::no_response;
    return outbound::error{code, 0, words[0] != '\0' ? words : curl_easy_strerror(outcome)};
  }

 private:
  struct deleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* headers) const { curl_slist_free_all(headers); }
  };
  struct multi_deleter {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
  };
  struct exchange {
    std::string& body;
    int sendings{};
    bool head_ended{};
  };

  // A line break would make two headers of one, and libcurl sees nothing behind a NUL.
  static bool is_clean(const std::string& s) { return s.find_first_of("\r\n\0", 0, 3) == s.npos; }

  // A server that has closed a connection, or speaks without being asked, gets no more requests on it: libcurl
  // before 8.0 takes what it said for the answer to the next.
  bool is_idle() {
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(curl_.get(), CURLINFO_ACTIVESOCKET, &socket);
    curl_waitfd input{socket, CURL_WAIT_POLLIN, 0};
    return socket == CURL_SOCKET_BAD ||
           (curl_multi_poll(watch_.get(), &input, 1, 0, nullptr) == CURLM_OK && input.revents == 0);
  }

  CURLcode perform(const outbound::request& request, curl_slist* headers, char* words, exchange& x) {
    const long timeout_ms = static_cast<long>(std::clamp<long long>(request.timeout.count(), 1, 3'600'000));
    CURLcode outcome = CURLE_OK;
    const auto set = [&](CURLoption option, auto value) {
      if (outcome == CURLE_OK) outcome = curl_easy_setopt(curl_.get(), option, value);
    };
    set(CURLOPT_ERRORBUFFER, words);
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // one request at a time gains nothing from 2
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_HTTPHEADER, headers);
    if (!request.body.empty()) set(CURLOPT_POSTFIELDS, request.body.data());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_PREREQFUNCTION, before_sending);
    set(CURLOPT_PREREQDATA, &x);
    set(CURLOPT_HEADERFUNCTION, read_head);
    set(CURLOPT_HEADERDATA, &x);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's
    set(CURLOPT_WRITEFUNCTION, keep);
    set(CURLOPT_WRITEDATA, &x);
    set(CURLOPT_MAXCONNECTS, 1L);  // a fresh one replaces what is not idle
    set(CURLOPT_FRESH_CONNECT, is_idle() ? 0L : 1L);
    set(CURLOPT_TIMEOUT_MS, timeout_ms);
    set(CURLOPT_CONNECTTIMEOUT_MS, (std::min)(timeout_ms, max_connect_ms));
    set(CURLOPT_NOSIGNAL, 1L);  // SIGALRM belongs to the program
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    if (!ca_file_.empty()) set(CURLOPT_CAINFO, ca_file_.c_str());
    return outcome == CURLE_OK ? curl_easy_perform(curl_.get()) : outcome;
  }

  // libcurl asks before it sends: no sending means that nothing left. By itself it sends again when a connection that
  // was kept ends without a response, but by then the message may have been counted: there is no second time.
  static int before_sending(void* x, char*, char*, int, int) {
    return ++static_cast<exchange*>(x)->sendings == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
  }

  static std::size_t read_head(char* line, std::size_t, std::size_t size, void* x) {
    static_cast<exchange*>(x)->head_ended = line[0] == '\r' || line[0] == '\n';
    return size;
  }

  // Keeps what fits into the memory reserved: no exception may cross libcurl. To keep less than all ends the transfer.
  static std::size_t keep(char* data, std::size_t, std::size_t size, void* x) {
    std::string& kept = static_cast<exchange*>(x)->body;
    const std::size_t before = kept.size();
    return kept.append(data, (std::min)(size, max_body - before)).size() - before;
  }

  std::string ca_file_;
  std::string body_{};
  std::unique_ptr<CURL, deleter> curl_{};
  std::unique_ptr<CURLM, multi_deleter> watch_{};  // looks at sockets, on any system
};
}  // namespace transports
#endif
