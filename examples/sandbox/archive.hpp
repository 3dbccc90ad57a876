#ifndef SANDBOX_ARCHIVE_HPP
#define SANDBOX_ARCHIVE_HPP

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace sandbox {

class archive_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What survives the process, in one SQLite file that no other process may have open meanwhile. The caller sees to it
/// that only one thread is here at a time.
class archive {
 public:
  /// Keeps nothing.
  archive() = default;
  /// Throws `archive_error` for a file that cannot be had, is damaged, or belongs to something else.
  explicit archive(const std::string& file);

  /// Each change is made between these two; all or none of it survives.
  void begin();
  void commit(const std::string& totals);

  void add_row(std::uint64_t position, std::string_view topic, const std::string& text);
  void drop_row(std::uint64_t position);
  void save_user(const std::string& id, std::uint64_t position, const std::string& text);
  void erase_user(const std::string& id);
  void save_wait(std::uint64_t number, const std::string& text);
  void erase_wait(std::uint64_t number);
  void clear();

  /// `name` is the topic of a row, or the id of a user; of a wait, it is empty, and `position` its number.
  using visitor = std::function<void(std::uint64_t position, const std::string& name, const std::string& text)>;

  /// In the order of the positions.
  void each_row(const visitor& visit) { each("SELECT position, topic, shown FROM log ORDER BY position", visit); }
  void each_user(const visitor& visit) { each("SELECT position, id, shown FROM users ORDER BY position", visit); }
  void each_wait(const visitor& visit) { each("SELECT run, '', shown FROM waits ORDER BY run", visit); }
  /// What the newest `commit` said; empty if there was none.
  std::string totals() { return value_of("SELECT shown FROM totals"); }
  bool keeps() const { return db_ != nullptr; }
  /// For whoever cannot make sense of what he reads.
  archive_error damaged(const std::string& how) const;

 private:
  struct closer {
    void operator()(sqlite3* db) const;
    void operator()(sqlite3_stmt* statement) const;
  };
  using statement = std::unique_ptr<sqlite3_stmt, closer>;

  void check_owner();
  void check_health();
  statement prepared(const char* sql);
  /// The first column of the first row.
  std::string value_of(const char* sql);
  archive_error failure() const;
  void each(const char* sql, const visitor& visit);

  void run(const statement& what);
  void execute(const char* sql);
  void give_up();

  std::string file_;
  std::unique_ptr<sqlite3, closer> db_;  // null when nothing is kept
  statement add_row_, drop_row_, save_user_, erase_user_, save_wait_, erase_wait_, save_totals_;
};

}  // namespace sandbox

#endif
