// What an import has to remember: how far it has read, what is not answered yet, and which rows were refused; in one
// SQLite file, so that a row's message and the place behind the row become durable together.
#ifndef OUTBOUND_IMPORT_JOURNAL_HPP
#define OUTBOUND_IMPORT_JOURNAL_HPP

#include "outbound.hpp"
#include "row.hpp"

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace importer {

struct counts {
  std::uint64_t rows{};     ///< that were read
  std::uint64_t pending{};  ///< not answered yet
  std::uint64_t refused{};
  std::uint64_t delivered() const { return rows - pending - refused; }
};

/// Under which rows are delivered.
struct account {
  std::string key{};
  bool is_same{};  ///< as before, whatever the key is
};

/// Thread-safe. As a store, it serves one outbox, which must not batch.
class journal final : public outbound::store {
 public:
  /// `setup`, `head`: how the rows are read, and how the file begins. Throws `failed`, also if the journal is of an
  /// import in which these were others, or which has delivered rows under another key.
  journal(std::string path, const std::string& setup, const std::string& head, const account& to);

  /// Where to read on.
  position where() const;
  counts count() const;

  /// The row that the next `append` is about.
  void expect(const row& r);
  /// The row is not sent. Throws `failed`.
  void refuse(const row& r, const std::string& why);
  /// What became of a request; `why` is empty if all is well. Kept until the outbox knows what follows from it.
  void note_answer(const std::string& guid, std::string why);
  /// Before a message leaves for the first time: it is on the disk afterwards, and so are all that were appended
  /// before.
  outbound::result<void> flush_for(const std::string& guid);

  /// Survives the end of this process, and a power cut from `flush_for` on; until then the row is as if never read.
  outbound::result<void> append(const outbound::record& r) override;
  outbound::result<void> remove(const std::vector<std::uint64_t>& ids) override;
  outbound::result<std::vector<outbound::record>> load() override;

  /// By rising line. Throws `failed`.
  void each_refused(const std::function<void(position begin, std::uint64_t size, const std::string& why)>& visit) const;

 private:
  struct closer {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  using statement = std::unique_ptr<sqlite3_stmt, closer>;
  class transaction;

  void open(const std::string& setup, const std::string& head, const account& to);
  void recognise(const std::string& setup, const std::string& head);
  void recognise(const account& to);
  void run(const char* sql) const;
  statement prepare(const char* sql) const;
  void step_once(sqlite3_stmt* s) const;
  void advance(const row& r);
  std::string remove_one(std::uint64_t id);
  [[noreturn]] void fail(const std::string& why) const { throw failed{path_ + ": " + why}; }
  outbound::error failure(const char* why) const { return {outbound::errc::store_failed, 0, why, {}}; }

  mutable std::mutex guard_{};
  std::string path_;
  std::unique_ptr<sqlite3, closer> db_{};
  statement insert_{};
  statement advance_{};
  statement find_{};
  statement delete_{};
  statement refuse_{};
  row expected_{};
  position where_{};
  counts counts_{};
  std::unordered_set<std::string> unflushed_{};             // GUIDs
  std::unordered_map<std::string, std::string> answers_{};  // by GUID, of what is in `record`
};

}  // namespace importer
#endif
