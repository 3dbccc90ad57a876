#include "archive.hpp"

#include <sqlite3.h>

#include <iostream>

namespace sandbox {
namespace {

const std::string application_id = "1330992208";  // "OUTP", in the header of each file that is ours
const std::string format = "1";

constexpr const char* schema = R"(
  CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, position INTEGER NOT NULL, shown TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, topic TEXT NOT NULL, shown TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS waits (run INTEGER PRIMARY KEY, shown TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS totals (only INTEGER PRIMARY KEY CHECK (only = 1), shown TEXT NOT NULL);
)";

void put(sqlite3_stmt* to, int place, std::string_view text) {
  sqlite3_bind_text64(to, place, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);  // stepped before it can end
}

void put(sqlite3_stmt* to, int place, std::uint64_t number) {
  sqlite3_bind_int64(to, place, static_cast<sqlite3_int64>(number));
}

std::string text_of(sqlite3_stmt* row, int column) {
  const auto* text = static_cast<const char*>(sqlite3_column_blob(row, column));
  return text == nullptr ? std::string()
                         : std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(row, column)));
}

std::uint64_t number_of(sqlite3_stmt* row, int column) {
  return static_cast<std::uint64_t>(sqlite3_column_int64(row, column));
}

}  // namespace

void archive::closer::operator()(sqlite3* db) const { sqlite3_close(db); }
void archive::closer::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

archive::archive(const std::string& file) : file_(file) {
  sqlite3* opened = nullptr;
  const auto status = sqlite3_open(file.c_str(), &opened);
  db_.reset(opened);
  if (status != SQLITE_OK) throw failure();
  value_of("PRAGMA locking_mode = EXCLUSIVE");  // two sandboxes would give out the same positions
  check_owner();
  value_of("PRAGMA journal_mode = WAL");
  value_of("PRAGMA synchronous = NORMAL");  // a crash of the machine may cost the newest calls, never the file
  check_health();
  value_of(("PRAGMA application_id = " + application_id).c_str());
  value_of(("PRAGMA user_version = " + format).c_str());
  if (sqlite3_exec(db_.get(), schema, nullptr, nullptr, nullptr) != SQLITE_OK) throw failure();
  add_row_ = prepared("INSERT INTO log VALUES (?, ?, ?)");
  drop_row_ = prepared("DELETE FROM log WHERE position = ?");
  save_user_ = prepared("INSERT OR REPLACE INTO users VALUES (?, ?, ?)");
  erase_user_ = prepared("DELETE FROM users WHERE id = ?");
  save_wait_ = prepared("INSERT OR REPLACE INTO waits VALUES (?, ?)");
  erase_wait_ = prepared("DELETE FROM waits WHERE run = ?");
  save_totals_ = prepared("INSERT OR REPLACE INTO totals VALUES (1, ?)");
}

/// Before anything is written, so that a file of something else stays as it is.
void archive::check_owner() {
  const auto owner = value_of("PRAGMA application_id");
  if (owner == application_id) {
    if (value_of("PRAGMA user_version") != format) {
      throw archive_error(file_ + " was written by another version of the sandbox");
    }
  } else if (owner != "0" || value_of("SELECT count(*) FROM sqlite_master") != "0") {
    throw archive_error(file_ + " is the SQLite file of something else");
  }
}

void archive::check_health() {
  const auto found = value_of("PRAGMA quick_check(1)");
  if (found != "ok") throw damaged(found);
}

archive_error archive::damaged(const std::string& how) const { return archive_error(file_ + " is damaged: " + how); }

archive_error archive::failure() const {
  const auto status = sqlite3_errcode(db_.get());
  if (status == SQLITE_NOTADB) return archive_error(file_ + " is not a SQLite file");
  if (status == SQLITE_CORRUPT) return damaged(sqlite3_errmsg(db_.get()));
  if (status == SQLITE_BUSY) return archive_error(file_ + " is in use by another process");
  return archive_error(file_ + " cannot be used: " + sqlite3_errmsg(db_.get()));
}

archive::statement archive::prepared(const char* sql) {
  sqlite3_stmt* out = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql, -1, &out, nullptr) != SQLITE_OK) throw failure();
  return statement(out);
}

std::string archive::value_of(const char* sql) {
  const auto asked = prepared(sql);
  const auto status = sqlite3_step(asked.get());
  if (status == SQLITE_ROW) {
    sqlite3_column_text(asked.get(), 0);  // numbers become text
    return text_of(asked.get(), 0);
  }
  if (status != SQLITE_DONE) throw failure();
  return {};
}

void archive::run(const statement& what) {
  const auto status = sqlite3_step(what.get());
  sqlite3_reset(what.get());
  if (status != SQLITE_DONE) give_up();
}

void archive::execute(const char* sql) {
  if (db_ && sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) give_up();
}

/// The disk is full, say. What stands in the file stays; callers of the API are served on.
void archive::give_up() {
  std::cerr << "outbound-sandbox: " << failure().what() << "; from here on nothing is kept" << std::endl;
  for (auto* one : {&add_row_, &drop_row_, &save_user_, &erase_user_, &save_wait_, &erase_wait_, &save_totals_})
    one->reset();
  db_.reset();
}

void archive::begin() { execute("BEGIN"); }

void archive::commit(const std::string& totals) {
  if (!db_) return;
  put(save_totals_.get(), 1, totals);
  run(save_totals_);
  execute("COMMIT");
}

void archive::add_row(std::uint64_t position, std::string_view topic, const std::string& text) {
  if (!db_) return;
  put(add_row_.get(), 1, position);
  put(add_row_.get(), 2, topic);
  put(add_row_.get(), 3, text);
  run(add_row_);
}

void archive::drop_row(std::uint64_t position) {
  if (!db_) return;
  put(drop_row_.get(), 1, position);
  run(drop_row_);
}

void archive::save_user(const std::string& id, std::uint64_t position, const std::string& text) {
  if (!db_) return;
  put(save_user_.get(), 1, id);
  put(save_user_.get(), 2, position);
  put(save_user_.get(), 3, text);
  run(save_user_);
}

void archive::erase_user(const std::string& id) {
  if (!db_) return;
  put(erase_user_.get(), 1, id);
  run(erase_user_);
}

void archive::save_wait(std::uint64_t number, const std::string& text) {
  if (!db_) return;
  put(save_wait_.get(), 1, number);
  put(save_wait_.get(), 2, text);
  run(save_wait_);
}

void archive::erase_wait(std::uint64_t number) {
  if (!db_) return;
  put(erase_wait_.get(), 1, number);
  run(erase_wait_);
}

void archive::clear() { execute("DELETE FROM users; DELETE FROM log; DELETE FROM waits; DELETE FROM totals"); }

void archive::each(const char* sql, const visitor& visit) {
  const auto rows = prepared(sql);
  auto status = sqlite3_step(rows.get());
  for (; status == SQLITE_ROW; status = sqlite3_step(rows.get())) {
    visit(number_of(rows.get(), 0), text_of(rows.get(), 1), text_of(rows.get(), 2));
  }
  if (status != SQLITE_DONE) throw failure();
}

}  // namespace sandbox
