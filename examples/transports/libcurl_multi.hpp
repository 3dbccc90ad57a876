// Many requests in flight on one thread, over libcurl 7.85 or newer: copy this file, link with -lcurl.
//
//     transports::libcurl_multi http;
//     http.submit(*client.prepare(message), [](outbound::result<outbound::response> answer) {
//       if (answer) answer = outbound::interpret(std::move(*answer));  // a delivery_queue judges for itself: `report`
//     });
//     while (http.run(std::chrono::seconds{1}) != 0) {}
//
// It verifies the server, follows no redirect, sends nothing twice, and keeps its connections. `request.timeout` counts
// from `submit`. Used by one thread, but for `wake`. Handlers are called from `run` only, may call `submit`, and may
// own what cannot be copied: a `delivery`, say. examples/event_loop.cpp drives a delivery_queue with it. As ever with
// libcurl, http_proxy and https_proxy in the environment are heeded. Before libcurl 8.0, what a server says without
// being asked, on a connection that is kept, is taken for the answer to the next request.
#ifndef OUTBOUND_TRANSPORTS_LIBCURL_MULTI_HPP
#define OUTBOUND_TRANSPORTS_LIBCURL_MULTI_HPP
#include "outbound.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

namespace transports {
class libcurl_multi {
 public:
  using answer = outbound::result<outbound::response>;
  static constexpr long max_connect_ms = 10'000;        // to look up the host, connect and shake hands
  static constexpr std::size_t max_body = 1024 * 1024;  // of a response: what is longer is cut off here

  /// `ca_file`: the certificate authorities to trust, in PEM; empty: those of the system. What is submitted while
  /// `max_connections` are busy waits.
  explicit libcurl_multi(std::string ca_file = {}, long max_connections = 8) : ca_file_{std::move(ca_file)} {
    // Once, by the first thread that comes here, and never undone: the program may have other uses for libcurl.
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (initialised == CURLE_OK) multi_.reset(curl_multi_init());
    if (multi_) curl_multi_setopt(multi_.get(), CURLMOPT_MAX_HOST_CONNECTIONS, max_connections);
  }
  libcurl_multi(const libcurl_multi&) = delete;
  libcurl_multi& operator=(const libcurl_multi&) = delete;
  /// What is in flight is cut off; its handlers are destroyed without being called.
  ~libcurl_multi() {
    for (const auto& one : calls_) curl_multi_remove_handle(multi_.get(), one.first);
  }

  /// Begins the exchange; `done(answer)` is called once, later.
  template <class Handler>
  void submit(outbound::request request, Handler done) {
    auto made = std::make_unique<call_of<Handler>>(std::move(request), std::move(done));
    if (const char* const why = start(*made))
      ended_.push_back({std::move(made), outbound::error{outbound::errc::not_sent, 0, why}});
    else calls_[made->curl.get()] = std::move(made);
  }

  /// Does what can be done, waiting for it at most so long, and calls the handlers of what has ended. Returns how many
  /// are still in flight.
  std::size_t run(std::chrono::milliseconds longest) {
    if (multi_) collect();
    if (multi_ && ended_.empty()) {
      longest = std::clamp(longest, std::chrono::milliseconds{0}, std::chrono::milliseconds{3'600'000});
      curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(give_up(longest).count()), nullptr);
      collect();
      give_up(longest);
    }
    for (std::size_t n = ended_.size(); n != 0; --n) {
      end one = std::move(ended_.front());
      ended_.pop_front();
      one.of->finish(std::move(one.with));
    }
    return in_flight();
  }

  /// From any thread: lets `run` return.
  void wake() { curl_multi_wakeup(multi_.get()); }
  std::size_t in_flight() const noexcept { return calls_.size() + ended_.size(); }

 private:
  struct deleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    void operator()(curl_slist* headers) const { curl_slist_free_all(headers); }
  };
  struct multi_deleter {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
  };

  struct call {
    explicit call(outbound::request r) : request{std::move(r)} {}
    call(const call&) = delete;
    call& operator=(const call&) = delete;
    virtual ~call() = default;
    virtual void finish(answer with) = 0;

    outbound::request request;
    const long long limit_ms = std::clamp<long long>(request.timeout.count(), 1, 3'600'000);
    const std::chrono::steady_clock::time_point end =
        std::chrono::steady_clock::now() + std::chrono::milliseconds{limit_ms};
    std::string body{};
    bool head_ended{};
    std::unique_ptr<curl_slist, deleter> headers{curl_slist_append(nullptr, "Expect:")};  // no wait for "100 Continue"
    std::unique_ptr<CURL, deleter> curl{curl_easy_init()};
    char words[CURL_ERROR_SIZE]{};  // libcurl's, about what went wrong
    int sendings{};
  };
  template <class Handler>
  struct call_of final : call {
    call_of(outbound::request r, Handler h) : call{std::move(r)}, done{std::move(h)} {}
    void finish(answer with) override { done(std::move(with)); }
    Handler done;
  };
  struct end {
    std::unique_ptr<call> of;
    answer with;
  };

  // A line break would make two headers of one, and libcurl sees nothing behind a NUL.
  static bool is_clean(const std::string& s) { return s.find_first_of("\r\n\0", 0, 3) == s.npos; }

  // Says why not.
  const char* start(call& c) {
    if (!multi_ || !c.curl || !c.headers) return "libcurl cannot be initialised";
    bool clean = is_clean(c.request.method) && is_clean(c.request.url);
    for (const outbound::header& h : c.request.headers) {
      const std::string line = h.name + ": " + h.value;
      clean = clean && is_clean(line) && curl_slist_append(c.headers.get(), line.c_str()) != nullptr;
    }
    if (!clean) return "CR, LF or NUL in the URL or in a header";
    const CURLcode outcome = set_up(c);
    if (outcome != CURLE_OK) return curl_easy_strerror(outcome);
    const CURLMcode added = curl_multi_add_handle(multi_.get(), c.curl.get());
    return added == CURLM_OK ? nullptr : curl_multi_strerror(added);
  }

  CURLcode set_up(call& c) {
    const outbound::request& request = c.request;
    const long timeout_ms = static_cast<long>(c.limit_ms);
    CURLcode outcome = CURLE_OK;
    const auto set = [&](CURLoption option, auto value) {
      if (outcome == CURLE_OK) outcome = curl_easy_setopt(c.curl.get(), option, value);
    };
    set(CURLOPT_ERRORBUFFER, c.words);
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // 2 lets libcurl send a refused stream again
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_HTTPHEADER, c.headers.get());
    if (!request.body.empty()) set(CURLOPT_POSTFIELDS, request.body.data());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_PREREQFUNCTION, before_sending);
    set(CURLOPT_PREREQDATA, &c.sendings);
    set(CURLOPT_HEADERFUNCTION, read_head);
    set(CURLOPT_HEADERDATA, &c);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's
    set(CURLOPT_WRITEFUNCTION, keep);
    set(CURLOPT_WRITEDATA, &c.body);
    set(CURLOPT_TIMEOUT_MS, timeout_ms);
    set(CURLOPT_CONNECTTIMEOUT_MS, (std::min)(timeout_ms, max_connect_ms));
    set(CURLOPT_NOSIGNAL, 1L);  // SIGALRM belongs to the program
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    if (!ca_file_.empty()) set(CURLOPT_CAINFO, ca_file_.c_str());
    return outcome;
  }

  void collect() {
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    for (int more = 0; const CURLMsg* const m = curl_multi_info_read(multi_.get(), &more);) {
      const CURLcode outcome = m->data.result;
      auto ended = calls_.extract(m->easy_handle);
      answer with = answer_of(*ended.mapped(), outcome);
      curl_multi_remove_handle(multi_.get(), ended.key());
      ended_.push_back({std::move(ended.mapped()), std::move(with)});
    }
  }

  // Ends what still waits for a connection when its time is over: libcurl does not look at it before. Returns how long
  // to wait until the next of these, at most so long.
  std::chrono::milliseconds give_up(std::chrono::milliseconds longest) {
    const auto now = std::chrono::steady_clock::now();
    for (auto at = calls_.begin(); at != calls_.end();) {
      const auto one = at++;
      if (one->second->sendings != 0) continue;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(one->second->end - now);
      if (left.count() > 0) {
        longest = (std::min)(longest, left);
        continue;
      }
      curl_multi_remove_handle(multi_.get(), one->first);
      ended_.push_back({std::move(one->second), outbound::error{outbound::errc::not_sent, 0,
                                                                "the time was over before there was a connection"}});
      calls_.erase(one);
    }
    return longest;
  }

  static answer answer_of(call& c, CURLcode outcome) {
    long status = 0;
    curl_easy_getinfo(c.curl.get(), CURLINFO_RESPONSE_CODE, &status);
    // With a head all that matters is known: that the body was too long, or broke off, is no reason to send again.
    if (outcome == CURLE_OK || (c.head_ended && status >= 200) || !c.body.empty()) {
      outbound::response response{static_cast<int>(status), std::move(c.body)};
      for (curl_header* h = nullptr; (h = curl_easy_nextheader(c.curl.get(), CURLH_HEADER, -1, h)) != nullptr;)
        response.headers.push_back({h->name, h->value});
      return response;
    }
    if (c.sendings > 1)
      return outbound::error{outbound::errc::no_response, 0, "the connection ended without a response"};
    const auto code = c.sendings == 0 ? outbound::errc::not_sent : outbound::errc::no_response;
    return outbound::error{code, 0, c.words[0] != '\0' ? c.words : curl_easy_strerror(outcome)};
  }

  // libcurl asks before it sends: no sending means that nothing left. By itself it sends again when a connection that
  // was kept ends without a response, but by then the message may have been counted: there is no second time.
  static int before_sending(void* sendings, char*, char*, int, int) {
    return ++*static_cast<int*>(sendings) == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
  }

  static std::size_t read_head(char* line, std::size_t, std::size_t size, void* of) {
    static_cast<call*>(of)->head_ended = line[0] == '\r' || line[0] == '\n';
    return size;
  }

  // To keep less than all ends the transfer, and no exception may cross libcurl.
  static std::size_t keep(char* data, std::size_t, std::size_t size, void* body) noexcept try {
    auto& kept = *static_cast<std::string*>(body);
    const std::size_t before = kept.size();
    return kept.append(data, (std::min)(size, max_body - before)).size() - before;
  } catch (...) {
    return 0;
  }

  std::string ca_file_;
  std::unique_ptr<CURLM, multi_deleter> multi_{};  // outlives the calls
  std::unordered_map<CURL*, std::unique_ptr<call>> calls_{};
  std::deque<end> ended_{};
};
}  // namespace transports
#endif
