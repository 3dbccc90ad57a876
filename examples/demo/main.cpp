// The whole way: users and events from two files go through outbound.hpp and libcurl to the sandbox, and what the
// sandbox understood is compared with what the files say. Then a campaign: whoever signs up in san francisco and
// uploads no picture within two weeks is sent an email. Usage: outbound-demo SANDBOX_EXECUTABLE DATA_FOLDER
//
// Exits with 0 only if the sandbox holds exactly what the files say, and sends that email to the right one. POSIX, as
// it runs the sandbox as a child process.
#include "interop/nlohmann.hpp"
#include "outbound.hpp"
#include "transports/libcurl.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using json = nlohmann::json;

namespace {

constexpr const char* key = "sandbox-key";

// --- From the files to messages -------------------------------------------------------------------------------------

std::vector<json> rows_of(const std::string& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error{"cannot read " + path};
  std::vector<json> rows;
  for (std::string line; std::getline(file, line);) {
    rows.push_back(json::parse(line, nullptr, false));
    if (!rows.back().is_object())
      throw std::runtime_error{path + ": line " + std::to_string(rows.size()) + " is no JSON object"};
  }
  return rows;
}

/// The field, or nothing: a setter that gets an empty optional changes nothing.
template <class T>
std::optional<T> field(const json& row, const char* name) {
  return row.contains(name) ? std::optional<T>{row.at(name).get<T>()} : std::nullopt;
}

outbound::user user_of(const json& id) {
  if (id.is_number()) return outbound::user{id.get<std::int64_t>()};
  return outbound::user{id.get<std::string>()};
}

outbound::identify identify_of(const json& row) {
  auto message = user_of(row.at("id")).identify();
  message.first_name(field<std::string>(row, "first_name"))
      .last_name(field<std::string>(row, "last_name"))
      .email(field<std::string>(row, "email"))
      .phone_number(field<std::string>(row, "phone_number"))
      .apns(field<std::vector<std::string>>(row, "apns"))
      .gcm(field<std::vector<std::string>>(row, "gcm"));
  if (row.contains("attributes")) {
    for (const auto& [name, value] : row.at("attributes").items()) message.attribute(name, value);
  }
  return message;
}

outbound::track track_of(const json& row) {
  using clock = std::chrono::system_clock;
  auto message = user_of(row.at("user")).track(row.at("event").get<std::string>());
  message.at(clock::time_point{std::chrono::seconds{row.at("at").get<std::int64_t>()}});
  if (row.contains("properties")) {
    for (const auto& [name, value] : row.at("properties").items()) message.property(name, value);
  }
  return message;
}

// --- What the sandbox has to hold then, in the order and form in which it shows it ----------------------------------

json expected_users(const std::vector<json>& rows) {
  std::map<std::string, json> by_id;
  for (const json& row : rows) {
    json shown = {{"attributes", json::object()},  {"apns", json::array()},
                  {"gcm", json::array()},          {"fcm", json::array()},
                  {"previous_ids", json::array()}, {"subscriptions", {{"campaigns", json::object()}}}};
    shown.update(row);
    shown["user_id"] = row.at("id");
    shown.erase("id");
    by_id[row.at("id").is_string() ? row.at("id").get<std::string>() : row.at("id").dump()] = shown;
  }
  json all = json::array();
  for (const auto& [id, shown] : by_id) all.push_back(shown);
  return all;
}

json expected_events(const std::vector<json>& rows) {
  json all = json::array();
  for (const json& row : rows) {
    all.push_back({{"user_id", row.at("user")},
                   {"event", row.at("event")},
                   {"timestamp", row.at("at")},
                   {"properties", row.value("properties", json::object())}});
  }
  return all;
}

// --- The sandbox ----------------------------------------------------------------------------------------------------

class sandbox {
 public:
  sandbox(const std::string& executable, const std::string& campaigns) {
    int ends[2];
    if (pipe(ends) != 0) throw std::system_error{errno, std::generic_category(), "pipe"};
    const int failure = spawn(executable, campaigns, ends);
    close(ends[1]);
    const std::string line = first_line(ends[0]);
    close(ends[0]);
    if (failure != 0) throw std::system_error{failure, std::generic_category(), executable};
    const std::size_t url = line.find("http://");
    if (url == line.npos) {
      stop();
      throw std::runtime_error{"the sandbox did not say where it listens, but '" + line + "'"};
    }
    url_ = line.substr(url);
  }
  sandbox(const sandbox&) = delete;
  sandbox& operator=(const sandbox&) = delete;
  ~sandbox() { stop(); }

  const std::string& url() const { return url_; }

  /// A request made by hand, and what the answer means.
  outbound::result<outbound::response> ask(const outbound::request& request) {
    auto answer = transport_(request);
    return answer ? outbound::interpret(std::move(*answer)) : answer;
  }

  json get(const std::string& path) { return own("GET", path, {}); }
  json post(const std::string& path, const json& wish) { return own("POST", path, wish.dump()); }

 private:
  json own(const char* method, const std::string& path, const std::string& body) {
    outbound::request request{method, url_ + path};
    request.body = body;
    request.timeout = std::chrono::seconds{10};
    const auto answer = ask(request);
    if (!answer) throw std::runtime_error{path + ": " + answer.error().message};
    return json::parse(answer->body);
  }

  int spawn(std::string executable, std::string campaigns, const int (&ends)[2]) {
    std::string option = "--campaigns";
    char* const arguments[] = {executable.data(), option.data(), campaigns.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    const int failure = posix_spawn(&pid_, executable.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failure;
  }

  static std::string first_line(int input) {
    std::string line;
    for (char c = 0; read(input, &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }

  void stop() const {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid_{};
  std::string url_{};
  transports::libcurl_transport transport_{};
};

// --- The report -----------------------------------------------------------------------------------------------------

/// Prints `text` behind `label`, folded between words so that it stays in its column.
void print(const std::string& label, std::string_view text) {
  constexpr std::size_t width = 80;
  constexpr std::size_t column = 20;
  std::string line = "  " + label;
  line.resize(column, ' ');
  while (!text.empty()) {
    const std::size_t room = width - column;
    std::size_t end = text.size() <= room ? text.size() : text.rfind(' ', room);
    if (end == text.npos || end == 0) end = room;
    std::printf("%s%.*s\n", line.c_str(), static_cast<int>(end), text.data());
    text.remove_prefix(end < text.size() && text[end] == ' ' ? end + 1 : end);
    line.assign(column, ' ');
  }
}

std::string count_of(std::size_t part, std::size_t all) { return std::to_string(part) + " of " + std::to_string(all); }

/// Sends a message per row, says how it went, and returns whether all went well.
template <class Make>
bool send_all(const char* what, outbound::client& client, const std::vector<json>& rows, Make message_of) {
  std::size_t taken = 0;
  for (const json& row : rows) {
    const auto sent = client.send(message_of(row));
    if (sent) ++taken;
    if (!sent) print("failed", sent.error().message);
  }
  print(what, count_of(taken, rows.size()) + " taken");
  return taken == rows.size();
}

/// Says how many are the same, shows the first that is not, and returns whether all are.
bool compare(const char* what, const json& want, const json& got) {
  std::size_t same = 0;
  while (same < want.size() && same < got.size() && want[same] == got[same]) ++same;
  print(what, count_of(same, want.size()) + " as in the file");
  if (same == want.size() && same == got.size()) return true;
  print("expected", same < want.size() ? want[same].dump() : "no more");
  print("found", same < got.size() ? got[same].dump() : "no more");
  return false;
}

/// Shows an error as its user sees it, and returns whether it is the one that was to come.
bool show_error(const std::string& label, const outbound::result<outbound::response>& answer, outbound::errc expected) {
  print(label, answer ? "was taken" : answer.error().message);
  return !answer && answer.error().code == expected;
}

// --- The campaign ---------------------------------------------------------------------------------------------------

/// The users of some rows, as people read them.
std::string users_of(const json& rows) {
  std::string all;
  for (const json& row : rows) all += (all.empty() ? "" : ", ") + row.at("user_id").get<std::string>();
  return all.empty() ? "nobody" : all;
}

/// Plays the campaign of campaigns.json, and returns whether the one email goes to the one who is meant.
bool play_campaign(outbound::client& client, sandbox& box) {
  const outbound::user kim{"kim@example.com"};
  const outbound::user lee{"lee@example.com"};
  bool good = true;
  const auto send = [&](const auto& message) { good &= bool{client.send(message)}; };
  send(kim.identify().first_name("Kim").email("kim@example.com").attribute("city", "san francisco"));
  send(lee.identify().first_name("Lee").email("lee@example.com").attribute("city", "san francisco"));
  send(kim.track("signup"));
  send(lee.track("signup"));
  print("wait", users_of(box.get("/sandbox/campaigns").at(0).at("waiting")));
  send(kim.track("upload a picture"));
  box.post("/sandbox/clock", {{"forward", "2 weeks"}});
  const json after = box.get("/sandbox/campaigns").at(0);
  print("reached the goal", users_of(after.at("reached")));
  for (const json& row : after.at("sent")) {
    print("sent to", row.at("to").at(0).get<std::string>() + ": " + row.at("subject").get<std::string>());
    print("because", row.at("reason").get<std::string>());
  }
  return good && after.at("waiting").empty() && after.at("unsent").empty() &&
         users_of(after.at("reached")) == "kim@example.com" && after.at("sent").size() == 1 &&
         after.at("sent").at(0).at("to") == json{"lee@example.com"} &&
         after.at("sent").at(0).at("subject") == "Lee, show us San Francisco" &&
         after.at("sent").at(0).at("text").get<std::string>().find("<p>Hi Lee,</p>") == 0;
}

bool run(const std::string& executable, const std::string& folder) {
  const auto users = rows_of(folder + "/users.ndjson");
  const auto events = rows_of(folder + "/events.ndjson");
  sandbox box{executable, folder + "/campaigns.json"};
  outbound::options options;
  options.base_url = box.url();
  outbound::client client{key, transports::libcurl_transport{}, options};
  bool good = true;

  std::printf("outbound %s, libcurl, and the sandbox at %s\n", OUTBOUND_VERSION_STRING, box.url().c_str());
  std::printf("\nSent\n");
  good &= send_all("users", client, users, identify_of);
  good &= send_all("events", client, events, track_of);

  std::printf("\nNot sent, because of its problems\n");
  const outbound::user ada{"ada@example.com"};
  const auto refused = client.send(ada.track("purchase")
                                       .property("price", std::numeric_limits<double>::quiet_NaN())
                                       .property("note", "caf\xE9")
                                       .property("raw", outbound::json{"{} {}"}));
  good &= !refused && refused.error().code == outbound::errc::invalid_message;
  for (const outbound::problem& p : refused.error().problems) print(p.where, p.why);

  std::printf("\nSent, and refused there\n");
  auto spoilt = client.prepare(ada.track("purchase"));
  spoilt->body = R"({"user_id":"ada@example.com"})";
  good &= show_error("no event", box.ask(*spoilt), outbound::errc::invalid_field);
  outbound::client stranger{"not-the-key", transports::libcurl_transport{}, options};
  good &= show_error("wrong key", stranger.send(ada.track("purchase")), outbound::errc::unauthorized);

  std::printf("\nWhat the sandbox holds\n");
  json got_events = box.get("/sandbox/events");
  for (json& event : got_events) event.erase("received");
  good &= compare("users", expected_users(users), box.get("/sandbox/users"));
  good &= compare("events", expected_events(events), got_events);
  const json totals = box.get("/sandbox");
  good &= totals.at("requests") == users.size() + events.size() && totals.at("rejected") == 2;
  print("requests", totals.at("requests").dump() + " taken, " + totals.at("rejected").dump() + " refused");

  std::printf("\nA campaign, two weeks in a second\n");
  good &= play_campaign(client, box);

  std::printf("\n%s\n", good ? "OK: the sandbox holds what the files say, and wrote to the right one" : "FAILED");
  return good;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: outbound-demo SANDBOX_EXECUTABLE DATA_FOLDER\n");
    return 2;
  }
  try {
    return run(arguments[1], arguments[2]) ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "outbound-demo: %s\n", e.what());
    return 1;
  }
}
