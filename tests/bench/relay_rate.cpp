// What relay.py compares the relay with: bare publishing, and bare loops over libcurl.
//
//     relay-rate publish NATS_URL STREAM MESSAGES PUBLISHES_AT_A_TIME   // 0: asynchronously, as `nats bench` does
//     relay-rate post URL MESSAGES CONNECTIONS
//
// Prints messages a second.
#include "outbound.hpp"

#include "relay/publisher.hpp"
#include "transports/libcurl.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int users = 1000;

outbound::track message_of(int i) {
  return outbound::user{"user-" + std::to_string(i % users)}
      .track("purchase")
      .properties({{"plan", "pro"}, {"amount", 12.5}, {"items", {"a", "b"}}});
}

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

// Calls `one(i)` for each message, on so many threads.
template <class MakeOne>
void on_threads(int threads, int messages, const MakeOne& make) {
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      auto one = make();
      for (int i = t; i < messages; i += threads) one(i);
    });
  for (std::thread& one : all) one.join();
}

// The publisher of the examples: each call waits for its acknowledgement.
void publish(const std::string& urls, const std::string& stream, int messages, int threads) {
  const relay::publisher to_nats{relay::servers(urls), stream};
  on_threads(threads, messages, [&] {
    return [client = outbound::client{"any", to_nats}](int i) mutable {
      const auto sent = client.send(message_of(i));
      if (!sent) fail(sent.error().message);
    };
  });
}

// Nothing but the NATS client, which has 4,000 on their way: the most that the server takes.
void publish_async(const std::string& urls, const std::string& stream, int messages) {
  natsConnection* connection = nullptr;
  jsCtx* js = nullptr;
  jsOptions options;
  jsOptions_Init(&options);
  options.PublishAsync.MaxPending = 4000;
  if (natsConnection_ConnectTo(&connection, urls.c_str()) != NATS_OK ||
      natsConnection_JetStream(&js, connection, &options) != NATS_OK)
    fail("cannot connect to NATS");
  for (int i = 0; i < messages; ++i) {
    const auto m = message_of(i);
    const std::string subject = relay::subject_of(stream, relay::partition_of(m.user_key(), 16));
    if (js_PublishAsync(js, subject.c_str(), m.body().data(), static_cast<int>(m.body().size()), nullptr) != NATS_OK)
      fail("cannot publish");
  }
  if (js_PublishAsyncComplete(js, nullptr) != NATS_OK) fail("not all was acknowledged");
  jsCtx_Destroy(js);
  natsConnection_Destroy(connection);
}

void post(const std::string& url, int messages, int connections) {
  outbound::options api;
  api.base_url = url;
  on_threads(connections, messages, [&] {
    return [client = outbound::client{"sandbox-key", transports::libcurl_transport{}, api}](int i) mutable {
      const auto sent = client.send(message_of(i));
      if (!sent) fail(sent.error().message);
    };
  });
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  const auto begin = std::chrono::steady_clock::now();
  int messages = 0;
  if (what == "publish" && count == 6) {
    messages = std::atoi(arguments[4]);
    const int threads = std::atoi(arguments[5]);
    if (threads == 0) publish_async(arguments[2], arguments[3], messages);
    else publish(arguments[2], arguments[3], messages, threads);
  } else if (what == "post" && count == 5) {
    messages = std::atoi(arguments[3]);
    post(arguments[2], messages, std::atoi(arguments[4]));
  } else {
    fail("usage: relay-rate publish NATS_URL STREAM MESSAGES PUBLISHES_AT_A_TIME | post URL MESSAGES CONNECTIONS");
  }
  std::printf("%.0f\n", messages / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}
