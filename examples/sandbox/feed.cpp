#include "feed.hpp"

#include "refusal.hpp"

#include <charconv>

namespace sandbox {
namespace {

constexpr int max_listeners = 16;
constexpr auto heartbeat = std::chrono::seconds(10);
constexpr std::string_view reconnect_soon = "retry: 1000\n\n";
constexpr std::string_view still_here = ":\n\n";

std::string id_of(const bookmark& at) { return std::to_string(at.life) + '-' + std::to_string(at.position); }

/// What `id_of` wrote; from the beginning when it is anything else.
bookmark bookmark_of(std::string_view id) {
  bookmark out;
  const auto* end = id.data() + id.size();
  const auto life = std::from_chars(id.data(), end, out.life);
  if (life.ec != std::errc() || life.ptr == end || *life.ptr != '-') return {};
  const auto position = std::from_chars(life.ptr + 1, end, out.position);
  return position.ec == std::errc() && position.ptr == end ? out : bookmark{};
}

/// JSON in one line, so one `data` is enough.
std::string message(std::string_view name, const bookmark& at, std::string_view data) {
  std::string out = "event: ";
  out.append(name).append("\nid: ").append(id_of(at)).append("\ndata: ").append(data).append("\n\n");
  return out;
}

}  // namespace

feed::feed(state& source, std::string_view last_event_id, std::atomic<int>& listeners)
    : source_(source), listeners_(listeners), read_(bookmark_of(last_event_id)) {
  if (++listeners_ <= max_listeners) return;
  --listeners_;
  throw refusal(code::too_many_listeners, std::to_string(max_listeners) + " listeners are here already");
}

std::string feed::next(clock::time_point now) {
  source_.catch_up();
  const auto all = source_.news_since(read_);
  read_ = all.end;
  auto out = std::string(said_something_ == clock::time_point() ? reconnect_soon : "");
  if (!knows_all_ || all.starts_over || !all.items.empty()) out += told(all);
  knows_all_ = all.is_all;
  if (out.empty() && now - said_something_ >= heartbeat) out = still_here;
  if (!out.empty()) said_something_ = now;
  return out;
}

std::string feed::told(const news& all) const {
  std::string out;
  if (all.starts_over) out += message("reset", {all.end.life, 0}, "{}");
  for (const auto& one : all.items) out += message(one.name, {all.end.life, one.position}, one.text);
  if (all.is_all) out += message("totals", all.end, written(source_.totals()));
  return out;
}

}  // namespace sandbox
