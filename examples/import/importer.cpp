#include "importer.hpp"

#include "journal.hpp"
#include "printable.hpp"
#include "progress.hpp"
#include "row_reader.hpp"
#include "transports/libcurl.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <ios>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

namespace importer {
namespace {

constexpr std::size_t max_queued = 1'000;  // rows that were read and not answered
constexpr std::chrono::milliseconds glance{100};
constexpr std::chrono::seconds patience{5};  // for requests that are on their way when it is stopped

mapping mapping_of(const command_line& c) {
  mapping m{c.what};
  if (!c.mapping_file.empty()) m.add_file(c.mapping_file);
  for (const std::string& one : c.maps) {
    const std::size_t sign = one.rfind('=');
    if (sign == one.npos || sign == 0) throw failed{"--map takes COLUMN=FIELD, not '" + one + "'"};
    m.add(one.substr(0, sign), one.substr(sign + 1));
  }
  return m;
}

std::unique_ptr<row_reader> open(const command_line& c, const mapping& columns) {
  auto rows = c.format == "csv" ? open_csv(c.file, c.delimiter) : open_ndjson(c.file);
  if (c.format == "csv") columns.check(rows->columns());
  return rows;
}

// Says of a column, once, that it may be meant to go elsewhere.
class warnings {
 public:
  warnings(const mapping& columns, const row_reader& rows) : mapping_{columns} {
    const std::vector<std::string> all = rows.columns();
    is_done_ = !all.empty();
    for (const std::string& column : all) judge(column);
  }
  /// Where each row has its own columns.
  void look_at(const row& r) {
    if (is_done_) return;
    for (const auto& cell : r.cells) judge(cell.first);
  }

 private:
  void judge(const std::string& column) {
    const std::string why = mapping_.doubt(column);
    if (why.empty() || !known_.insert(column).second) return;
    std::fprintf(stderr, "outbound-import: warning: %s\n", printable(why).c_str());
  }

  const mapping& mapping_;
  bool is_done_{};
  std::unordered_set<std::string> known_{};
};

// What must not change while an import goes on.
std::string setup_of(const command_line& c, const mapping& columns) {
  const std::string delimiter = c.format == "csv" ? std::string{' ', c.delimiter} : "";
  return (c.what == kind::users ? "users " : "events ") + c.format + delimiter + ' ' + columns.text() + " to " + c.url;
}

std::string bytes_of(std::ifstream& file, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  file.clear();
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

std::string head_of(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return bytes_of(file, 0, 4096);
}

std::uint64_t size_of(const std::string& path) {
  std::ifstream file{path, std::ios::binary | std::ios::ate};
  return file ? static_cast<std::uint64_t>(file.tellg()) : 0;
}

// The file of refused rows: always whole, as the journal has them all.
void write_refused(const command_line& c, const journal& kept) {
  std::ifstream source{c.file, std::ios::binary};
  std::ofstream out{c.refused, std::ios::binary | std::ios::trunc};
  kept.each_refused([&](position begin, std::uint64_t size, const std::string& why) {
    std::string text = bytes_of(source, begin.offset, (std::min)(size, max_row));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    const nlohmann::ordered_json shown{{"line", begin.line}, {"reason", why}, {"row", text}};
    out << shown.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  });
  if (!out.flush()) throw failed{"cannot write " + c.refused};
}

outbound::options api_of(const command_line& c) {
  outbound::options api;
  api.base_url = c.url;
  api.strict = !c.allow_warnings;
  return api;
}

// Before a journal is made, which would hold the user to a URL with a slip of the pen.
void check_api(const command_line& c) {
  const outbound::client judge{c.key, outbound::no_transport, api_of(c)};
  if (const auto usable = judge.validate(outbound::user{"anyone"}.identify()); !usable)
    throw failed{usable.error().message};
}

class session {
 public:
  session(const command_line& c, const volatile std::sig_atomic_t& stop)
      : options_{c},
        stop_{stop},
        columns_{mapping_of(c)},
        rows_{open(c, columns_)},
        journal_{c.journal, setup_of(c, columns_), head_of(c.file), account{c.key, c.same_account}},
        size_{size_of(c.file)},
        began_{journal_.count()},
        began_at_{journal_.where()} {
    if (began_at_.offset > size_) throw failed{c.file + " is shorter than what was read of it before"};
  }

  int run() {
    outbound::outbox outbox{outbound::client{options_.key, outbound::no_transport, api_of(options_)}, outbox_options()};
    row r;
    for (bool reads = can_read_on(); reads && goes_on() && rows_->next(r);) import_row(outbox, r);
    while (goes_on() && !outbox.flush(glance)) show();
    outbox.close(goes_on() ? std::chrono::seconds{0} : patience);
    progress_.clear();
    return report();
  }

 private:
  bool goes_on() const { return stop_ == 0 && !is_broken_; }

  // What was read before is sent all the same.
  bool can_read_on() {
    try {
      if (began_at_.offset != 0) rows_->go_to(began_at_);
      return true;
    } catch (const failed& why) {
      unreadable_ = why.what();
      return false;
    }
  }

  outbound::outbox_options outbox_options() {
    outbound::outbox_options o;
    o.store = &journal_;
    o.max_messages = max_queued;
    o.workers = options_.workers;
    o.retry.max_age = std::chrono::hours{24 * 365};  // it waits as long as it must
    o.make_transport = [this]() -> outbound::transport {
      return [this, curl = transports::libcurl_transport{}](
                 const outbound::request& r) mutable -> outbound::result<outbound::response> {
        if (const auto kept = journal_.flush_for(r.guid); !kept) {
          stop_for(kept.error().message);
          return outbound::error{outbound::errc::not_sent, 0, kept.error().message, {}};
        }
        auto answer = curl(r);
        const auto meaning = answer ? outbound::interpret(*answer) : answer;
        journal_.note_answer(r.guid, meaning ? std::string{} : meaning.error().message);
        return answer;
      };
    };
    o.on_event = [this](const outbound::event& e) { note(e); };
    std::random_device random;
    std::uniform_int_distribution<std::uint64_t> any{1};
    o.seed = {any(random), any(random)};
    return o;
  }

  // On a worker's thread.
  void note(const outbound::event& e) {
    if (e.what == outbound::event::kind::held) set_note("waiting: " + e.cause.message);
    if (e.what == outbound::event::kind::held && !progress_.is_shown())
      std::fprintf(stderr, "outbound-import: waiting: %s\n", e.cause.message.c_str());
    if (e.what == outbound::event::kind::resumed) set_note({});
    const bool is_setup = e.cause.code == outbound::errc::unauthorized || e.cause.code == outbound::errc::misdirected ||
                          e.cause.code == outbound::errc::invalid_options;
    if ((e.what == outbound::event::kind::held && is_setup) || e.what == outbound::event::kind::store_failed ||
        e.what == outbound::event::kind::worker_failed)
      stop_for(e.cause.message);
  }

  void set_note(const std::string& text) {
    const std::lock_guard<std::mutex> lock{guard_};
    note_ = text;
  }

  void stop_for(const std::string& why) {
    const std::lock_guard<std::mutex> lock{guard_};
    if (!is_broken_) broken_ = why;
    is_broken_ = true;
  }

  void import_row(outbound::outbox& outbox, const row& r) {
    try {
      if (!r.refusal.empty()) throw refused{r.refusal};
      warnings_.look_at(r);
      post(outbox, r, columns_.message_of(r));
    } catch (const refused& why) {
      journal_.refuse(r, why.what());
    }
    show();
  }

  void post(outbound::outbox& outbox, const row& r, const outbound::message& m) {
    journal_.expect(r);
    while (goes_on()) {
      const auto posted = outbox.post(m);
      if (posted) return;
      if (posted.error().code == outbound::errc::invalid_message) throw refused{posted.error().message};
      if (posted.error().code == outbound::errc::queue_full) {
        outbox.flush(glance);
        show();
      } else {
        stop_for(posted.error().message);
      }
    }
  }

  void show() {
    const counts now = journal_.count();
    const std::uint64_t done = now.rows - now.pending;
    // Of the bytes that were read, as large a part is done with as of the rows.
    const double part = now.rows == 0 ? 0 : static_cast<double>(done) / static_cast<double>(now.rows);
    const auto bytes = static_cast<std::uint64_t>(static_cast<double>(journal_.where().offset) * part);
    progress_state s;
    s.bytes = bytes;
    s.size = size_;
    s.rows = done;
    s.refused = now.refused;
    s.bytes_now = bytes - (std::min)(bytes, began_at_.offset);
    s.rows_now = done - (began_.rows - began_.pending);
    s.elapsed = progress_.elapsed();
    {
      const std::lock_guard<std::mutex> lock{guard_};
      s.note = note_;
    }
    progress_.show(s);
  }

  int report() {
    const counts now = journal_.count();
    if (now.refused != 0) write_refused(options_, journal_);
    std::printf("%ju rows: %ju delivered, %ju refused, %ju waiting\n", std::uintmax_t{now.rows},
                std::uintmax_t{now.delivered()}, std::uintmax_t{now.refused}, std::uintmax_t{now.pending});
    if (now.refused != 0) std::printf("refused rows, with line and reason: %s\n", options_.refused.c_str());
    if (is_broken_) throw failed{broken_ + "; run it again to go on"};
    if (now.pending != 0 || stop_ != 0) {
      std::printf("stopped: run it again to go on\n");
      return exit_stopped;
    }
    if (!unreadable_.empty()) throw failed{unreadable_};
    if (began_.rows == now.rows && began_.pending == 0 && now.rows != 0)
      std::printf("nothing was left to do; delete %s to begin anew\n", options_.journal.c_str());
    return now.refused == 0 ? exit_done : exit_refused;
  }

  const command_line& options_;
  const volatile std::sig_atomic_t& stop_;
  mapping columns_;
  std::unique_ptr<row_reader> rows_;
  journal journal_;
  std::uint64_t size_;
  counts began_;
  position began_at_;
  warnings warnings_{columns_, *rows_};
  progress progress_{};
  std::mutex guard_{};
  std::string note_{};
  std::string broken_{};
  std::atomic<bool> is_broken_{};
  std::string unreadable_{};
};

}  // namespace

int run(const command_line& c, const volatile std::sig_atomic_t& stop) {
  check_api(c);
  return session{c, stop}.run();
}

int dry_run(const command_line& c) {
  const auto check = [](bool is_written) {
    if (!is_written) throw failed{"cannot write what would be sent: " + std::generic_category().message(errno)};
  };
  const mapping columns = mapping_of(c);
  const outbound::client judge{"none", outbound::no_transport, api_of(c)};
  const std::unique_ptr<row_reader> rows = open(c, columns);
  warnings warn{columns, *rows};
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  for (row r; rows->next(r);) {
    try {
      if (!r.refusal.empty()) throw refused{r.refusal};
      warn.look_at(r);
      const outbound::message m = columns.message_of(r);
      if (const auto valid = judge.validate(m); !valid) throw refused{valid.error().message};
      check(std::printf("%s %s\n", std::string{m.path()}.c_str(), printable(m.body()).c_str()) >= 0);
      ++good;
    } catch (const refused& why) {
      const std::string shown = printable(why.what());
      check(std::printf("line %ju is refused: %s\n", std::uintmax_t{r.begin.line}, shown.c_str()) >= 0);
      ++bad;
    }
  }
  check(std::printf("%ju rows would be sent, %ju refused\n", std::uintmax_t{good}, std::uintmax_t{bad}) >= 0);
  check(std::fflush(stdout) == 0);
  return bad == 0 ? exit_done : exit_refused;
}

}  // namespace importer
