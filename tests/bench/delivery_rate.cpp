// How many messages a second reach the sandbox: through an outbox with 1, 4 and 16 workers, in batches, and beside them
// through a bare loop over libcurl. delivery_rate.py starts the sandbox and prints the table.
#include "outbound.hpp"

#include "transports/libcurl.hpp"

#include <curl/curl.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using namespace std::chrono_literals;

constexpr int users = 1000;

outbound::track message_of(int i) {
  return outbound::user{"user-" + std::to_string(i % users)}
      .track("purchase")
      .properties({{"plan", "pro"}, {"amount", 12.5}, {"items", {"a", "b"}}});
}

void row(const std::string& name, int messages, std::chrono::steady_clock::duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  std::printf("%s\t%.0f\n", name.c_str(), messages / seconds);
  std::fflush(stdout);
}

void through_outbox(const std::string& url, std::size_t workers, std::size_t batch_size, int messages) {
  outbound::outbox_options options;
  options.workers = workers;
  options.batch_size = batch_size;
  options.max_messages = static_cast<std::size_t>(messages);
  options.make_transport = [] { return outbound::transport{transports::libcurl_transport{}}; };
  outbound::options of_client;
  of_client.base_url = url;
  outbound::outbox outbox{outbound::client{"sandbox-key", outbound::no_transport, of_client}, options};
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < messages; ++i) {
    const auto posted = outbox.post(message_of(i));
    if (!posted) std::exit((std::fprintf(stderr, "%s\n", posted.error().message.c_str()), 1));
  }
  if (!outbox.flush(300s)) std::exit((std::fprintf(stderr, "not all was delivered\n"), 1));
  row(std::to_string(workers) + (workers == 1 ? " worker" : " workers") +
          (batch_size > 1 ? ", batches of " + std::to_string(batch_size) : ""),
      messages, std::chrono::steady_clock::now() - begin);
}

std::size_t ignore(char*, std::size_t, std::size_t n, void*) { return n; }

// Nothing but libcurl: one body, made before, on one connection.
void bare_loop(const std::string& url, int messages) {
  CURL* const curl = curl_easy_init();
  const std::string target = url + "/v2/track";
  const std::string body{message_of(0).body()};
  curl_slist* headers = curl_slist_append(nullptr, "X-Outbound-Key: sandbox-key");
  headers = curl_slist_append(headers, "Content-Type: application/json");
  curl_easy_setopt(curl, CURLOPT_URL, target.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < messages; ++i)
    if (curl_easy_perform(curl) != CURLE_OK) std::exit((std::fprintf(stderr, "the bare loop failed\n"), 1));
  row("a bare loop over libcurl", messages, std::chrono::steady_clock::now() - begin);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: %s URL MESSAGES\n", argv[0]), 2;
  const std::string url = argv[1];
  const int messages = std::atoi(argv[2]);
  bare_loop(url, messages);
  through_outbox(url, 1, 1, messages);
  through_outbox(url, 4, 1, messages);
  through_outbox(url, 16, 1, messages);
  through_outbox(url, 1, 100, messages * 10);
  through_outbox(url, 4, 100, messages * 10);
  bare_loop(url, messages);
}
