#include "journal.hpp"

#include <openssl/evp.h>

#include <exception>
#include <new>
#include <utility>

namespace importer {
namespace {

// As a blob: user keys and rows need not be UTF-8. What is bound outlives the step.
void bind(sqlite3_stmt*, int, std::string&&) = delete;
void bind(sqlite3_stmt* s, int i, const std::string& value) {
  sqlite3_bind_blob64(s, i, value.data(), value.size(), nullptr);
}
void bind(sqlite3_stmt* s, int i, std::uint64_t value) { sqlite3_bind_int64(s, i, static_cast<sqlite3_int64>(value)); }
std::string bytes(sqlite3_stmt* s, int i) {
  const void* const data = sqlite3_column_blob(s, i);
  return {data == nullptr ? "" : static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(s, i))};
}
std::uint64_t number(sqlite3_stmt* s, int i) { return static_cast<std::uint64_t>(sqlite3_column_int64(s, i)); }

constexpr const char* schema = R"(
  CREATE TABLE record (id INTEGER PRIMARY KEY, path BLOB, body BLOB, guid BLOB, user_key BLOB,
                       line INTEGER, offset INTEGER, size INTEGER);
  CREATE TABLE refused (line INTEGER PRIMARY KEY, offset INTEGER, size INTEGER, why BLOB);
  CREATE TABLE progress (line INTEGER, offset INTEGER, rows INTEGER);
  CREATE TABLE source (setup BLOB, head BLOB, salt BLOB, key BLOB);
  INSERT INTO progress VALUES (1, 0, 0);
  PRAGMA application_id=1332309347; PRAGMA user_version=2)";  // "Oimc"
constexpr std::uint64_t application = 1332309347;
constexpr std::uint64_t version = 2;

// By which a key can be recognised; from which it cannot be had.
std::string digest_of(const std::string& text) {
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  auto* const place = reinterpret_cast<unsigned char*>(out.data());
  if (EVP_Digest(text.data(), text.size(), place, &size, EVP_sha256(), nullptr) != 1) throw std::bad_alloc{};
  out.resize(size);
  return out;
}

}  // namespace

// All or nothing.
class journal::transaction {
 public:
  /// `flushed`: on the disk after `commit`, whatever happens. Without, a power cut may undo it, but nothing before it.
  transaction(const journal& j, bool flushed) : owner_{j} {
    owner_.run(flushed ? "PRAGMA synchronous=FULL; BEGIN IMMEDIATE" : "PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE");
  }
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  ~transaction() {
    if (!committed_) sqlite3_exec(owner_.db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void commit() {
    owner_.run("COMMIT");
    committed_ = true;
  }

 private:
  const journal& owner_;
  bool committed_{};
};

journal::journal(std::string path, const std::string& setup, const std::string& head, const account& to)
    : path_{std::move(path)} {
  open(setup, head, to);
  insert_ = prepare("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  advance_ = prepare("UPDATE progress SET line = ?, offset = ?, rows = rows + 1");
  find_ = prepare("SELECT guid, line, offset, size FROM record WHERE id = ?");
  delete_ = prepare("DELETE FROM record WHERE id = ?");
  refuse_ = prepare("INSERT INTO refused VALUES (?, ?, ?, ?)");
  const statement s =
      prepare("SELECT line, offset, rows, (SELECT count(*) FROM record), (SELECT count(*) FROM refused) FROM progress");
  if (sqlite3_step(s.get()) != SQLITE_ROW) fail(sqlite3_errmsg(db_.get()));
  where_ = {number(s.get(), 0), number(s.get(), 1)};
  counts_ = {number(s.get(), 2), number(s.get(), 3), number(s.get(), 4)};
}

void journal::open(const std::string& setup, const std::string& head, const account& to) {
  sqlite3* db = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int opened = sqlite3_open_v2(path_.c_str(), &db, flags, nullptr);
  db_.reset(db);
  if (opened != SQLITE_OK) fail(sqlite3_errmsg(db));
  sqlite3_busy_timeout(db, 5'000);                            // for an importer that was killed and is about to end
  run("PRAGMA locking_mode=EXCLUSIVE; PRAGMA fullfsync=ON");  // one import at a time; macOS flushes if told so
  transaction t{*this, true};
  recognise(setup, head);
  recognise(to);
  t.commit();
  const statement wal = prepare("PRAGMA journal_mode=WAL");
  if (sqlite3_step(wal.get()) != SQLITE_ROW || bytes(wal.get(), 0) != "wal") fail("no write-ahead log can be had");
}

// Is it of this import? An empty file becomes that.
void journal::recognise(const std::string& setup, const std::string& head) {
  const statement what = prepare(
      "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
      "FROM pragma_application_id, pragma_user_version");
  if (sqlite3_step(what.get()) != SQLITE_ROW) fail(sqlite3_errmsg(db_.get()));
  if (number(what.get(), 0) == 0 && number(what.get(), 2) == 0) {
    run(schema);
    const statement insert = prepare("INSERT INTO source VALUES (?, ?, randomblob(16), NULL)");
    bind(insert.get(), 1, setup);
    bind(insert.get(), 2, head);
    return step_once(insert.get());
  }
  if (number(what.get(), 0) != application || number(what.get(), 1) != version)
    fail("this is the file of another program, or of another version of this one");
  const statement source = prepare("SELECT setup, head FROM source");
  if (sqlite3_step(source.get()) != SQLITE_ROW) fail(sqlite3_errmsg(db_.get()));
  const std::string began = bytes(source.get(), 1);
  if (head.compare(0, began.size(), began) != 0)
    fail("the import that it knows is of another file; delete it to begin anew");
  if (bytes(source.get(), 0) != setup)
    fail("the import began as: " + bytes(source.get(), 0) + "; go on with the same, or delete this file to begin anew");
}

// Until a row was delivered, nobody knows whether the key was right.
void journal::recognise(const account& to) {
  const statement known = prepare(
      "SELECT salt, key, rows > (SELECT count(*) FROM record) + (SELECT count(*) FROM refused) FROM source, progress");
  if (sqlite3_step(known.get()) != SQLITE_ROW) fail(sqlite3_errmsg(db_.get()));
  const std::string digest = digest_of(bytes(known.get(), 0) + to.key);
  if (bytes(known.get(), 1) == digest) return;
  if (number(known.get(), 2) != 0 && !to.is_same)
    fail(
        "the rows so far were delivered under another key; if this one is of the same account, add --same-account; "
        "else delete this file to begin anew");
  const statement update = prepare("UPDATE source SET key = ?");
  bind(update.get(), 1, digest);
  step_once(update.get());
}

void journal::run(const char* sql) const {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(sqlite3_errmsg(db_.get()));
}

journal::statement journal::prepare(const char* sql) const {
  sqlite3_stmt* s = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql, -1, &s, nullptr) != SQLITE_OK) fail(sqlite3_errmsg(db_.get()));
  return statement{s};
}

void journal::step_once(sqlite3_stmt* s) const {
  sqlite3_step(s);
  if (sqlite3_reset(s) != SQLITE_OK) fail(sqlite3_errmsg(db_.get()));
}

position journal::where() const {
  const std::lock_guard<std::mutex> lock{guard_};
  return where_;
}

counts journal::count() const {
  const std::lock_guard<std::mutex> lock{guard_};
  return counts_;
}

void journal::expect(const row& r) {
  const std::lock_guard<std::mutex> lock{guard_};
  expected_.begin = r.begin;
  expected_.end = r.end;
}

void journal::advance(const row& r) {
  bind(advance_.get(), 1, r.end.line);
  bind(advance_.get(), 2, r.end.offset);
  step_once(advance_.get());
}

void journal::refuse(const row& r, const std::string& why) {
  const std::lock_guard<std::mutex> lock{guard_};
  transaction t{*this, false};
  bind(refuse_.get(), 1, r.begin.line);
  bind(refuse_.get(), 2, r.begin.offset);
  bind(refuse_.get(), 3, r.end.offset - r.begin.offset);
  bind(refuse_.get(), 4, why);
  step_once(refuse_.get());
  advance(r);
  t.commit();
  where_ = r.end;
  ++counts_.rows;
  ++counts_.refused;
}

void journal::note_answer(const std::string& guid, std::string why) {
  const std::lock_guard<std::mutex> lock{guard_};
  answers_[guid] = std::move(why);
}

outbound::result<void> journal::flush_for(const std::string& guid) {
  const std::lock_guard<std::mutex> lock{guard_};
  if (unflushed_.count(guid) == 0) return {};
  try {
    transaction t{*this, true};  // whatever it writes: the log is flushed up to here
    run("UPDATE progress SET rows = rows");
    t.commit();
    unflushed_.clear();
    return {};
  } catch (const std::exception& why) {
    return failure(why.what());
  }
}

outbound::result<void> journal::append(const outbound::record& r) {
  const std::lock_guard<std::mutex> lock{guard_};
  try {
    transaction t{*this, false};
    bind(insert_.get(), 1, r.id);
    bind(insert_.get(), 2, r.path);
    bind(insert_.get(), 3, r.body);
    bind(insert_.get(), 4, r.guid);
    bind(insert_.get(), 5, r.user_key);
    bind(insert_.get(), 6, expected_.begin.line);
    bind(insert_.get(), 7, expected_.begin.offset);
    bind(insert_.get(), 8, expected_.end.offset - expected_.begin.offset);
    step_once(insert_.get());
    advance(expected_);
    t.commit();
    unflushed_.insert(r.guid);
    where_ = expected_.end;
    ++counts_.rows;
    ++counts_.pending;
    return {};
  } catch (const std::exception& why) {
    return failure(why.what());
  }
}

// What the outbox has done with was delivered if its last answer was good; else it is lost, for that answer's reason.
std::string journal::remove_one(std::uint64_t id) {
  bind(find_.get(), 1, id);
  const bool is_there = sqlite3_step(find_.get()) == SQLITE_ROW;
  const std::string guid = bytes(find_.get(), 0);
  const std::uint64_t place[] = {number(find_.get(), 1), number(find_.get(), 2), number(find_.get(), 3)};
  if (sqlite3_reset(find_.get()) != SQLITE_OK) fail(sqlite3_errmsg(db_.get()));
  if (!is_there) return {};
  const auto answer = answers_.find(guid);
  const std::string why = answer == answers_.end() ? "it was given up before it was sent" : answer->second;
  if (!why.empty()) {
    for (int i = 0; i < 3; ++i) bind(refuse_.get(), i + 1, place[i]);
    bind(refuse_.get(), 4, why);
    step_once(refuse_.get());
    ++counts_.refused;
  }
  --counts_.pending;
  bind(delete_.get(), 1, id);
  step_once(delete_.get());
  return guid;
}

outbound::result<void> journal::remove(const std::vector<std::uint64_t>& ids) {
  const std::lock_guard<std::mutex> lock{guard_};
  const counts before = counts_;
  try {
    std::vector<std::string> guids;
    transaction t{*this, false};  // what comes back is sent again with its GUID
    for (const std::uint64_t id : ids) guids.push_back(remove_one(id));
    t.commit();
    for (const std::string& guid : guids) answers_.erase(guid);
    return {};
  } catch (const std::exception& why) {
    counts_ = before;
    return failure(why.what());
  }
}

outbound::result<std::vector<outbound::record>> journal::load() {
  const std::lock_guard<std::mutex> lock{guard_};
  try {
    const statement s = prepare("SELECT id, path, body, guid, user_key FROM record ORDER BY id");
    std::vector<outbound::record> all;
    while (sqlite3_step(s.get()) == SQLITE_ROW)
      all.push_back({number(s.get(), 0), bytes(s.get(), 1), bytes(s.get(), 2), bytes(s.get(), 3), bytes(s.get(), 4)});
    if (sqlite3_reset(s.get()) != SQLITE_OK) fail(sqlite3_errmsg(db_.get()));
    for (const outbound::record& r : all) unflushed_.insert(r.guid);  // a killed process left them to the system
    return all;
  } catch (const std::exception& why) {
    return failure(why.what());
  }
}

void journal::each_refused(
    const std::function<void(position begin, std::uint64_t size, const std::string& why)>& visit) const {
  const std::lock_guard<std::mutex> lock{guard_};
  const statement s = prepare("SELECT line, offset, size, why FROM refused ORDER BY line");
  while (sqlite3_step(s.get()) == SQLITE_ROW)
    visit({number(s.get(), 0), number(s.get(), 1)}, number(s.get(), 2), bytes(s.get(), 3));
  if (sqlite3_reset(s.get()) != SQLITE_OK) fail(sqlite3_errmsg(db_.get()));
}

}  // namespace importer
