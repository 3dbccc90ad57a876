// What the README's "Coming from another client" promises: each call there makes the body that those clients make for
// the same call. guides.py looks for the README's code in this file.
#include <chrono>
#include <string>

#include "expect.hpp"
#include "outbound.hpp"

int main() {
  const std::string key = "key";
  const outbound::user user{42};
  const outbound::user previous{"guest-7"};
  const auto transport = outbound::no_transport;
  const std::chrono::system_clock::time_point time{std::chrono::seconds{1717401600}};

  outbound::client client{key, transport};
  const auto url = [&client](const outbound::message& m) { return client.prepare(m)->url; };
  const std::string v2 = "https://api.outbound.io/v2";
  EXPECT(client.prepare(user.subscribe())->headers[1].value == key);

  const auto identify = user.identify().email("a@example.com");
  EXPECT(identify.body() == R"({"user_id":42,"email":"a@example.com"})");
  EXPECT(url(identify) == v2 + "/identify");
  EXPECT(user.identify().apns({"token"}).body() == R"({"user_id":42,"apns":["token"]})");
  EXPECT(user.identify().gcm({"token"}).body() == R"({"user_id":42,"gcm":["token"]})");
  EXPECT(user.identify().group("acme", {{"size", 7}}).body() ==
         R"({"user_id":42,"group_id":"acme","group_attributes":{"size":7}})");
  EXPECT(user.identify().previous_id(previous).body() == R"({"user_id":42,"previous_id":"guest-7"})");
  EXPECT(user.identify().timezone("Europe/Paris").body() == R"({"user_id":42,"timezone":"Europe/Paris"})");

  const auto track = user.track("signup").property("trial", true);
  EXPECT(track.body() == R"({"user_id":42,"event":"signup","properties":{"trial":true}})");
  EXPECT(url(track) == v2 + "/track");
  EXPECT(user.track("e").at(time).body() == R"({"user_id":42,"event":"e","timestamp":1717401600})");
  EXPECT(user.track("e").at(std::chrono::system_clock::now()).valid());
  outbound::batch batch;
  EXPECT(static_cast<bool>(batch.add(user.track("signup"))));
  EXPECT(batch.body() == R"([{"user_id":42,"event":"signup"}])");
  EXPECT(url(batch) == v2 + "/track/batch");

  const auto registered = user.register_token(outbound::platform::apns, "token");
  EXPECT(registered.body() == R"({"user_id":42,"token":"token"})");
  EXPECT(url(registered) == v2 + "/apns/register");
  const auto disabled = user.disable_token(outbound::platform::gcm, "token");
  EXPECT(disabled.body() == R"({"user_id":42,"token":"token"})");
  EXPECT(url(disabled) == v2 + "/gcm/disable");
  const auto all_disabled = user.disable_tokens(outbound::platform::apns);
  EXPECT(all_disabled.body() == R"({"user_id":42,"all":true})");
  EXPECT(url(all_disabled) == v2 + "/apns/disable");

  EXPECT(user.subscribe().body() == R"({"user_id":42})");
  EXPECT(url(user.subscribe()) == v2 + "/subscribe/all");
  const auto unsubscribed = user.unsubscribe({7, "welcome"});
  EXPECT(unsubscribed.body() == R"({"user_id":42,"campaign_ids":[7,"welcome"]})");
  EXPECT(url(unsubscribed) == v2 + "/unsubscribe/campaigns");

  outbound::outbox outbox{outbound::client{key, outbound::no_transport}};
  EXPECT(static_cast<bool>(outbox.flush(std::chrono::seconds{5})));
  EXPECT(static_cast<bool>(outbox.close(std::chrono::seconds{5})));
}
