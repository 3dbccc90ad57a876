// A store for outbound.hpp on SQLite, 3.16 or newer: copy this file, link with -lsqlite3.
//
//     stores::sqlite_store store{"outbound.db"};  // outlives the outbox
//     outbound::outbox_options options;
//     options.store = &store;
//     outbound::outbox outbox{std::move(client), std::move(options)};
//
// One file (and, while it is open, a second one, "outbound.db-wal") on a disk of this machine; survives kill -9 and,
// where the disk keeps what it says it has written, a power cut. It belongs to one process at a time: others get
// "database is locked". A file that cannot be used is left as it is; what was wrong, every `post` of the outbox says.
#ifndef OUTBOUND_STORES_SQLITE_HPP
#define OUTBOUND_STORES_SQLITE_HPP

#include "outbound.hpp"

#include <sqlite3.h>
#ifndef _WIN32
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace stores {
class sqlite_store final : public outbound::store {
 public:
  /// `path` in UTF-8. `patience_ms`: how long to wait for a process that has the file open, but may be about to end.
  explicit sqlite_store(std::string path, int patience_ms = 5'000) : path_{std::move(path)} {
    ready_ = open(patience_ms);
    if (ready_) return;
    if (db_) sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);  // to leave it as it is
    db_.reset();
  }
  sqlite_store(const sqlite_store&) = delete;
  sqlite_store& operator=(const sqlite_store&) = delete;
  ~sqlite_store() override {
    if (process_ == process()) return;
    insert_.release();  // a forked child must not close what its parent has open: that would clear the files
    delete_.release();
    db_.release();
  }

  /// Durable when it returns: the log is flushed to the disk.
  outbound::result<void> append(const outbound::record& r) override {
    outbound::result<void> usable = check();
    if (!usable) return usable;
    sqlite3_stmt* const s = insert_.get();
    const bool kept = run("PRAGMA synchronous=FULL") &&
                      sqlite3_bind_int64(s, 1, static_cast<sqlite3_int64>(r.id)) == SQLITE_OK && bind(s, 2, r.path) &&
                      bind(s, 3, r.body) && bind(s, 4, r.guid) && bind(s, 5, r.user_key) && finish(s);
    return done(kept);
  }

  /// Not flushed, which is cheaper by far: what a power cut brings back is sent again, in order and with its GUID.
  outbound::result<void> remove(const std::vector<std::uint64_t>& ids) override {
    outbound::result<void> usable = check();
    if (!usable) return usable;
    bool removed = run("PRAGMA synchronous=NORMAL") && run("BEGIN");
    for (const std::uint64_t id : ids)
      removed = removed && sqlite3_bind_int64(delete_.get(), 1, static_cast<sqlite3_int64>(id)) == SQLITE_OK &&
                finish(delete_.get());
    if (removed && run("COMMIT")) return {};
    outbound::error why = failure();
    run("ROLLBACK");
    return why;
  }

  outbound::result<std::vector<outbound::record>> load() override {
    const outbound::result<void> usable = check();
    if (!usable) return usable.error();
    const statement s = prepare("SELECT id, path, body, guid, user_key FROM record ORDER BY id");
    std::vector<outbound::record> all;
    while (s && sqlite3_step(s.get()) == SQLITE_ROW)
      all.push_back({static_cast<std::uint64_t>(sqlite3_column_int64(s.get(), 0)), bytes(s.get(), 1), bytes(s.get(), 2),
                     bytes(s.get(), 3), bytes(s.get(), 4)});
    if (!s || sqlite3_reset(s.get()) != SQLITE_OK) return failure();
    return all;
  }

 private:
  struct closer {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  using statement = std::unique_ptr<sqlite3_stmt, closer>;

  static long process() {
#ifdef _WIN32
    return 0;  // has no fork
#else
    return getpid();
#endif
  }

  outbound::result<void> open(int patience_ms) {
    sqlite3* db = nullptr;
    const int opened =
        sqlite3_open_v2(path_.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    db_.reset(db);
    if (opened != SQLITE_OK) return failure();
    if (sqlite3_db_readonly(db, "main") == 1) return failure("the file is read-only");
    sqlite3_busy_timeout(db, patience_ms);
    // EXCLUSIVE keeps the lock until the end; fullfsync is for macOS, where fsync alone does not reach the disk.
    if (!run("PRAGMA locking_mode=EXCLUSIVE; PRAGMA fullfsync=ON; BEGIN EXCLUSIVE")) return failure();
    if (outbound::result<void> known = recognise(); !known) return known;
    const std::string found = ask("PRAGMA quick_check(1)");
    if (found != "ok") return found.empty() ? failure() : failure("the database is damaged: " + found);
    if (!run("COMMIT")) return failure();
    const std::string mode = ask("PRAGMA journal_mode=WAL");  // one flush for each append
    if (mode != "wal") return mode.empty() ? failure() : failure("no write-ahead log can be had, only: " + mode);
    insert_ = prepare("INSERT INTO record VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?)");
    delete_ = prepare("DELETE FROM record WHERE id = ?");
    return done(insert_ && delete_);
  }

  // Ours, or empty and then made ours: 1333097570 is "Outb".
  outbound::result<void> recognise() {
    const std::string found = ask("SELECT (SELECT count(*) FROM sqlite_master) || '/' || application_id || '/' || "
                                  "user_version FROM pragma_application_id, pragma_user_version");
    if (found.empty()) return failure();
    if (found == "1/1333097570/1") return {};
    if (found.find("/1333097570/") != found.npos) return failure("another version of this store made it");
    if (found != "0/0/0") return failure("it is the database of another program");
    return done(
        run("CREATE TABLE record (id INTEGER PRIMARY KEY, path TEXT NOT NULL, body TEXT NOT NULL, "
            "guid TEXT NOT NULL, user_key BLOB NOT NULL);"
            "PRAGMA application_id=1333097570; PRAGMA user_version=1"));
  }

  // May the file be used?
  outbound::result<void> check() {
    if (!ready_) return ready_;
    if (process_ != process()) return failure("it was opened before a fork, and is the parent's");
    int moved = 0;  // then what is written would be lost with this process
    sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved == 0 ? outbound::result<void>{} : failure("the file was moved or deleted");
  }

  bool run(const char* sql) { return sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK; }

  statement prepare(const char* sql) {
    sqlite3_stmt* s = nullptr;
    sqlite3_prepare_v2(db_.get(), sql, -1, &s, nullptr);
    return statement{s};
  }

  // The first column of the first row; empty: none, or an error.
  std::string ask(const char* sql) {
    const statement s = prepare(sql);
    return s && sqlite3_step(s.get()) == SQLITE_ROW ? bytes(s.get(), 0) : std::string{};
  }

  // As a blob: a user key need not be UTF-8. `s` outlives no call, so that nothing has to be copied.
  static bool bind(sqlite3_stmt* s, int i, const std::string& value) {
    return sqlite3_bind_blob64(s, i, value.data(), value.size(), nullptr) == SQLITE_OK;
  }
  static std::string bytes(sqlite3_stmt* s, int i) {
    const void* const data = sqlite3_column_blob(s, i);  // null where it is empty
    return {data == nullptr ? "" : static_cast<const char*>(data),
            static_cast<std::size_t>(sqlite3_column_bytes(s, i))};
  }

  // Runs it, and makes it ready for the next time.
  static bool finish(sqlite3_stmt* s) {
    sqlite3_step(s);
    return sqlite3_reset(s) == SQLITE_OK;
  }

  outbound::result<void> done(bool good) const { return good ? outbound::result<void>{} : failure(); }
  outbound::error failure(const std::string& why) const {
    return {outbound::errc::store_failed, 0, path_ + ": " + why, {}};
  }
  // What SQLite says. Not its sqlite3_system_errno: that is of the last call that failed, which may be another one.
  outbound::error failure() const {
    std::string why = sqlite3_errmsg(db_.get());
    if (sqlite3_errcode(db_.get()) == SQLITE_BUSY) why += ": another process, or another store of this one, has it open";
    return failure(why);
  }

  std::string path_;
  long process_{process()};
  std::unique_ptr<sqlite3, closer> db_{};
  statement insert_{};
  statement delete_{};
  outbound::result<void> ready_{};  // how opening it went
};
}  // namespace stores
#endif
