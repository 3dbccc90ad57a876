// The stores of examples/stores: bytes in, the same bytes out; and what a disk can do to one, as an outbox's user
// meets it.
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/disk.hpp"
#include "support/folder.hpp"

#include "stores/memory.hpp"
#include "stores/sqlite.hpp"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using outbound::errc;
using outbound::record;
using outbound::user;
using stores::memory_store;
using stores::sqlite_store;

static_assert(!std::is_copy_constructible_v<sqlite_store> && !std::is_copy_assignable_v<sqlite_store>);

constexpr int at_once = 0;  // the patience of those who know that nobody lets go

record numbered(std::uint64_t id) {
  const std::string n = std::to_string(id);
  return {id, "/v2/track", R"({"user_id":"ada","event":")" + n + "\"}", "guid " + n, "ada"};
}

/// What is kept, so that it compares and prints.
std::vector<std::string> contents(outbound::store& store) {
  const auto all = store.load();
  if (!all) return {"error: " + all.error().message};
  std::vector<std::string> lines;
  for (const record& r : *all)
    lines.push_back(std::to_string(r.id) + "|" + r.path + "|" + r.body + "|" + r.guid + "|" + r.user_key);
  return lines;
}

std::vector<std::string> lines_of(const std::vector<record>& records) {
  memory_store store;
  for (const record& r : records) REQUIRE(store.append(r));
  return contents(store);
}

void fill(const std::string& file, std::uint64_t n) {
  sqlite_store store{file};
  for (std::uint64_t id = 1; id <= n; ++id) REQUIRE(store.append(numbered(id)));
}

/// An outbox that delivers only in `flush` and `close`, and what it sent.
struct program {
  explicit program(outbound::store& store, int status = 200) : outbox{client(status), options(store)} {}

  outbound::client client(int status) {
    return {"k", [this, status](const outbound::request& r) {
              sent.push_back(r);
              return outbound::response{status};
            }};
  }
  outbound::outbox_options options(outbound::store& store) {
    outbound::outbox_options o;
    o.workers = 0;
    o.store = &store;
    o.now = [this] { return outbound::instant{std::chrono::steady_clock::now() + later, {}}; };
    return o;
  }

  std::chrono::seconds later{};  // than it is
  std::vector<outbound::request> sent{};
  outbound::outbox outbox;
};

/// Every post fails, and says the file and why; nothing of it is kept.
void check_refusal(const std::string& file, const std::string& why) {
  sqlite_store store{file, at_once};
  program p{store};
  for (int again = 0; again < 2; ++again) {
    const auto posted = p.outbox.post(user{"ada"}.track("signup"));
    REQUIRE_FALSE(posted);
    INFO(posted.error().message);
    CHECK(posted.error().code == errc::store_failed);
    CHECK(posted.error().message.find(file + ": ") != std::string::npos);
    CHECK(posted.error().message.find(why) != std::string::npos);
    CHECK(posted.error().message.find_first_of("\r\n") == std::string::npos);
  }
  CHECK(p.outbox.stats().accepted == 0);
  CHECK(store.append(numbered(1)).error().code == errc::store_failed);
  CHECK(store.remove({1}).error().code == errc::store_failed);
  CHECK(store.load().error().code == errc::store_failed);
}

/// A connection of another program.
struct stranger {
  explicit stranger(const std::string& file) { REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK); }
  stranger(const stranger&) = delete;
  stranger& operator=(const stranger&) = delete;
  ~stranger() { sqlite3_close(db); }
  void run(const char* sql) { REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK); }
  sqlite3* db{};
};

void overwrite(const std::string& file, std::streamoff at, std::size_t n) {
  std::fstream f{file, std::ios::in | std::ios::out | std::ios::binary};
  f.seekp(at);
  f << std::string(n, '\xA5');
  REQUIRE(f.flush());
}

/// What root may, nobody may not.
class unprivileged {
 public:
  unprivileged() {
    if (is_root) REQUIRE(seteuid(65534) == 0);
  }
  unprivileged(const unprivileged&) = delete;
  unprivileged& operator=(const unprivileged&) = delete;
  ~unprivileged() {
    if (is_root && seteuid(0) != 0) std::abort();
  }

 private:
  bool is_root{geteuid() == 0};
};

}  // namespace

// --- what is kept

TEST_CASE("a store gives back the same bytes, by rising id", "[stores]") {
  const test::folder here;
  const std::vector<record> all{
      {1, "/v2/identify", R"({"user_id":"é🙂"})", "00000000-0000-4000-8000-000000000001", "é🙂"},
      {2, "/v2/identify", R"({"user_id":"b","previous_id":"a"})", "2",
       "b\xFF"
       "a"},
      {3, "", "", "", ""},
      {7, "/v2/track", "[1,2]", "7", "a\0b"s},
      {1'000'000'000'000, "/v2/track", "{\"user_id\":\"" + std::string(1 << 20, 'x') + "\"}", "g", "x"},
  };
  sqlite_store on_disk{here.file("outbound.db")};
  memory_store in_memory;
  outbound::store* const store = GENERATE(0, 1) == 0 ? static_cast<outbound::store*>(&on_disk) : &in_memory;
  CHECK(contents(*store).empty());
  for (const record& r : all) REQUIRE(store->append(r));
  const auto back = store->load();
  REQUIRE(back);
  REQUIRE(back->size() == all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK((*back)[i].id == all[i].id);
    CHECK((*back)[i].path == all[i].path);
    CHECK(((*back)[i].body == all[i].body));  // a megabyte is not for printing
    CHECK((*back)[i].guid == all[i].guid);
    CHECK((*back)[i].user_key == all[i].user_key);
  }
  CHECK(store->remove({2, 12345, 1'000'000'000'000}));  // one is not there
  CHECK(store->remove({}));
  CHECK(contents(*store) == lines_of({all[0], all[2], all[3]}));
}

TEST_CASE("what was appended and not removed is there when the file is opened again", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  fill(file, 5);
  CHECK_FALSE(std::filesystem::exists(file + "-wal"));
  {
    sqlite_store store{file};
    CHECK(contents(store).size() == 5);
    REQUIRE(store.remove({1, 3}));
    REQUIRE(store.append(numbered(6)));
  }
  sqlite_store store{file};
  CHECK(contents(store) == lines_of({numbered(2), numbered(4), numbered(5), numbered(6)}));
}

TEST_CASE("an append is flushed to the disk when it returns; a removal need not be", "[stores]") {
  const test::folder here;
  test::disk disk;
  sqlite_store store{here.file("outbound.db")};
  for (std::uint64_t id = 1; id <= 20; ++id) {
    REQUIRE(store.append(numbered(id)));
    CHECK(disk.unflushed == 0);
    REQUIRE(store.remove({id}));
    CHECK(disk.unflushed == 1);
  }
}

TEST_CASE("a log that broke off is read up to there", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  const std::string copy = here.file("copy.db");
  {
    sqlite_store store{file};
    for (std::uint64_t id = 1; id <= 3; ++id) REQUIRE(store.append(numbered(id)));
    std::filesystem::copy_file(file, copy);
    std::filesystem::copy_file(file + "-wal", copy + "-wal");
  }
  std::filesystem::resize_file(copy + "-wal", std::filesystem::file_size(copy + "-wal") - 100);
  sqlite_store store{copy};
  CHECK(contents(store) == lines_of({numbered(1), numbered(2)}));
}

// --- what a disk can do

TEST_CASE("a full disk refuses posts, loses nothing that was accepted, and later posts work", "[stores]") {
  const test::folder here;
  test::disk disk;
  sqlite_store store{here.file("outbound.db")};
  const bool is_full = GENERATE(true, false);
  const std::string why = is_full ? "database or disk is full" : "disk I/O error";
  program p{store};
  REQUIRE(p.outbox.post(user{"ada"}.track("before")));
  const auto kept = contents(store);
  (is_full ? disk.on_write : disk.on_sync) = is_full ? SQLITE_FULL : SQLITE_IOERR_FSYNC;
  for (int again = 0; again < 3; ++again) {
    const auto refused = p.outbox.post(user{"ada"}.track("meanwhile"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::store_failed);
    CHECK(refused.error().message.find("outbound.db: " + why) != std::string::npos);
  }
  disk.on_write = disk.on_sync = SQLITE_OK;
  CHECK(contents(store) == kept);
  REQUIRE(p.outbox.post(user{"ada"}.track("after")));
  CHECK(p.outbox.flush(30s));
  REQUIRE(p.sent.size() == 2);
  CHECK(p.sent[0].body == R"({"user_id":"ada","event":"before"})");
  CHECK(p.sent[1].body == R"({"user_id":"ada","event":"after"})");
  CHECK(p.outbox.stats().accepted == 2);
  CHECK(contents(store).empty());
}

TEST_CASE("what is delivered while the disk is full is removed when it has room", "[stores]") {
  const test::folder here;
  test::disk disk;
  sqlite_store store{here.file("outbound.db")};
  program p{store};
  for (int i = 0; i < 3; ++i) REQUIRE(p.outbox.post(user{"ada"}.track(std::to_string(i))));
  disk.on_write = SQLITE_FULL;
  CHECK(p.outbox.flush(30s));
  CHECK(p.outbox.stats().delivered == 3);
  CHECK(contents(store).size() == 3);
  disk.on_write = SQLITE_OK;
  p.later = 1s;
  REQUIRE(p.outbox.post(user{"bob"}.track("one more")));
  CHECK(contents(store).size() == 1);
}

TEST_CASE("a removal is whole or nothing, wherever it fails", "[stores]") {
  const test::folder here;
  std::vector<std::uint64_t> ids;
  for (std::uint64_t id = 1; id <= 300; ++id) ids.push_back(id);
  bool removed = false;
  int writes = 0;
  for (; !removed; ++writes) {
    test::disk disk;
    std::filesystem::remove(here.file("outbound.db"));
    sqlite_store store{here.file("outbound.db")};
    for (const std::uint64_t id : ids) REQUIRE(store.append(numbered(id)));
    disk.writes_left = writes;
    disk.on_write = SQLITE_FULL;
    removed = static_cast<bool>(store.remove(ids));
    CHECK(contents(store).size() == (removed ? 0 : ids.size()));
    disk.on_write = SQLITE_OK;
    REQUIRE(store.append(numbered(301)));
    CHECK(disk.unflushed == 0);  // the failure left no transaction open
    CHECK(store.remove(ids));
    CHECK(contents(store) == lines_of({numbered(301)}));
  }
  CHECK(writes > 5);
}

TEST_CASE("the kernel's own limit is an error like any other", "[stores]") {
  const test::folder here;
  sqlite_store store{here.file("outbound.db")};
  REQUIRE(store.append(numbered(1)));
  rlimit usual{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &usual) == 0);
  const auto usual_handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{64 * 1024, usual.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  outbound::result<void> kept{};
  std::uint64_t id = 1;
  while (id < 1000 && kept) kept = store.append(numbered(++id));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &usual) == 0);
  signal(SIGXFSZ, usual_handler);
  REQUIRE_FALSE(kept);
  CHECK(kept.error().message.find("disk I/O error") != std::string::npos);
  CHECK(contents(store).size() == id - 1);
  CHECK(store.append(numbered(id)));
}

TEST_CASE("a file or a folder that may only be read", "[stores]") {
  const test::folder here;
  REQUIRE(chmod(here.path().c_str(), 0777) == 0);
  const unprivileged guard;
  const std::string file = here.file("outbound.db");
  SECTION("a file") {
    fill(file, 2);
    REQUIRE(chmod(file.c_str(), 0444) == 0);
    check_refusal(file, "the file is read-only");
    REQUIRE(chmod(file.c_str(), 0644) == 0);
    sqlite_store store{file};
    CHECK(contents(store).size() == 2);
  }
  SECTION("a folder without the file, and with it") {
    std::filesystem::create_directory(here.path() / "locked");
    const std::string inside = here.file("locked/outbound.db");
    const bool exists = GENERATE(false, true);
    if (exists) fill(inside, 2);
    REQUIRE(chmod(here.file("locked").c_str(), 0555) == 0);
    check_refusal(inside, exists ? "attempt to write a readonly database" : "unable to open database file");
    REQUIRE(chmod(here.file("locked").c_str(), 0755) == 0);
    sqlite_store store{inside};
    CHECK(store.load());
  }
}

TEST_CASE("a place where no file can be", "[stores]") {
  const test::folder here;
  check_refusal(here.path().string(), "unable to open database file");
  check_refusal(here.file("no/such/folder.db"), "unable to open database file");
  check_refusal(":memory:", "no write-ahead log can be had, only: memory");
  check_refusal("", "no write-ahead log can be had, only: delete");
}

TEST_CASE("a damaged file is refused and left as it is", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  fill(file, 300);
  std::string why;
  SECTION("the head") {
    overwrite(file, 0, 100);
    why = "file is not a database";
  }
  SECTION("the schema") {
    overwrite(file, 100, 3000);
    why = "malformed";
  }
  SECTION("the root of the table") {
    overwrite(file, 4096, 200);
    why = "the database is damaged";
  }
  SECTION("a page of records") {
    overwrite(file, 3 * 4096, 200);
    why = "the database is damaged";
  }
  SECTION("the end is missing") {
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 2 * 4096);
    why = "malformed";
  }
  SECTION("it is no database at all") {
    std::ofstream{file} << "Dear diary, today I was mistaken for a database. It went on for a hundred bytes or so, "
                           "and nobody noticed.";
    why = "file is not a database";
  }
  const std::string before = test::read_file(file);
  check_refusal(file, why);
  CHECK((test::read_file(file) == before));
}

TEST_CASE("a database of another program, or of another version, is refused and left as it is", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  std::string why = "it is the database of another program";
  SECTION("another table") { stranger{file}.run("CREATE TABLE record (id INTEGER PRIMARY KEY)"); }
  SECTION("another mark") { stranger{file}.run("PRAGMA application_id=7"); }
  SECTION("an unmarked version") { stranger{file}.run("PRAGMA user_version=7"); }
  SECTION("with a write-ahead log") {
    stranger{file}.run("PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  }
  SECTION("a later version") {
    fill(file, 1);
    stranger{file}.run("PRAGMA user_version=2");
    why = "another version of this store made it";
  }
  const std::string before = test::read_file(file);
  check_refusal(file, why);
  CHECK((test::read_file(file) == before));
}

// --- who else is there

TEST_CASE("one at a time has the file open, and the next one has what it kept", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  {
    sqlite_store store{file};
    REQUIRE(store.append(numbered(1)));
    check_refusal(file, "database is locked: another process, or another store of this one, has it open");
    REQUIRE(store.append(numbered(2)));
    sqlite3* reader = nullptr;
    REQUIRE(sqlite3_open_v2(file.c_str(), &reader, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK);
    CHECK(sqlite3_exec(reader, "SELECT * FROM record", nullptr, nullptr, nullptr) == SQLITE_BUSY);
    sqlite3_close(reader);
  }
  sqlite_store next{file};
  CHECK(contents(next) == lines_of({numbered(1), numbered(2)}));
}

TEST_CASE("a file that another connection has locked is refused, and usable afterwards", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  fill(file, 2);
  {
    stranger other{file};
    other.run(GENERATE("BEGIN; SELECT * FROM record", "BEGIN IMMEDIATE"));
    check_refusal(file, "database is locked");
  }
  sqlite_store store{file};
  CHECK(contents(store).size() == 2);
}

TEST_CASE("nothing is accepted into a file that was moved or deleted", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  sqlite_store store{file};
  program p{store};
  REQUIRE(p.outbox.post(user{"ada"}.track("before")));
  std::filesystem::rename(file, file + ".moved");
  const auto refused = p.outbox.post(user{"ada"}.track("meanwhile"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("the file was moved or deleted") != std::string::npos);
  std::filesystem::rename(file + ".moved", file);
  CHECK(p.outbox.post(user{"ada"}.track("after")));
  CHECK(contents(store).size() == 2);
}

TEST_CASE("a forked child neither uses nor clears the file of its parent [F55]", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  auto store = std::make_unique<sqlite_store>(file);
  REQUIRE(store->append(numbered(1)));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto kept = store->append(numbered(2));
    const bool refused = !kept && kept.error().message.find("fork") != std::string::npos;
    store.reset();
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(std::filesystem::file_size(file + "-wal") > 0);
  REQUIRE(store->append(numbered(3)));
  store.reset();
  sqlite_store next{file};
  CHECK(contents(next) == lines_of({numbered(1), numbered(3)}));
}

// --- through an outbox

TEST_CASE("a restart brings back the same bytes, GUIDs, user keys and order", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  std::vector<record> before;
  {
    sqlite_store store{file};
    program p{store};
    REQUIRE(p.outbox.post(user{"ada"}.identify().first_name("Zoë")));
    REQUIRE(p.outbox.post(user{42}.track("signup").property("n", 0.1)));
    REQUIRE(p.outbox.post(user{"ada"}.identify().previous_id(user{"a"})));
    REQUIRE(p.outbox.post(user{"ada"}.track("last")));
    const outbound::remaining left = p.outbox.close(0s);
    CHECK(left.queued == 4);
    before = *store.load();
    REQUIRE(before.size() == 4);
  }
  {
    sqlite_store store{file};
    program p{store};
    CHECK(p.outbox.stats().accepted == 4);
    CHECK(p.outbox.flush(30s));
    REQUIRE(p.sent.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(p.sent[i].body == before[i].body);
      CHECK(p.sent[i].guid == before[i].guid);
      CHECK(p.sent[i].user_key == before[i].user_key);
    }
    CHECK(before[2].user_key ==
          "ada\xFF"
          "a");
  }
  sqlite_store store{file};
  CHECK(contents(store).empty());
}

TEST_CASE("a batch that was on its way leaves again as the same batch", "[stores]") {
  const test::folder here;
  const std::string file = here.file("outbound.db");
  outbound::queue_options options;
  options.batch_size = 3;
  options.seed = {1, 2};
  const outbound::instant now{};
  std::string body, guid;
  {
    sqlite_store store{file};
    options.store = &store;
    outbound::delivery_queue queue{options};
    for (const char* id : {"a", "b", "c", "d"}) REQUIRE(queue.post(user{id}.track("e"), now));
    const outbound::delivery d = queue.next(now);
    CHECK(d.path == "/v2/track/batch");
    body = d.body;
    guid = d.guid;
    REQUIRE(store.append(numbered(1000)));  // somebody else's later message must not join
  }
  sqlite_store store{file};
  REQUIRE(store.remove({1000}));
  options.store = &store;
  options.batch_size = 100;  // a new setting makes no other batch of it
  options.seed = {3, 4};
  outbound::delivery_queue queue{options};
  outbound::delivery again = queue.next(now);
  CHECK(again.path == "/v2/track/batch");
  CHECK(again.body == body);
  CHECK(again.guid == guid);
  queue.report(std::move(again), outbound::response{200}, now);
  CHECK(contents(store).size() == 1);  // d
  outbound::delivery last = queue.next(now);
  CHECK(last.body == R"({"user_id":"d","event":"e"})");
  queue.report(std::move(last), outbound::response{200}, now);
  CHECK(contents(store).empty());
}
