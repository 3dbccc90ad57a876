// A disk that fails when a test says so, and knows what has not been flushed: a VFS for SQLite over the usual one. It
// has no shared memory, so that a write-ahead log is to be had by exclusive connections only.
#ifndef OUTBOUND_TESTS_DISK_HPP
#define OUTBOUND_TESTS_DISK_HPP

#include <sqlite3.h>

#include <new>

namespace test {

/// While one exists, every connection is opened on it.
class disk {
 public:
  disk() {
    vfs_ = *real();
    vfs_.zName = "failing disk";
    vfs_.pAppData = this;
    vfs_.szOsFile = static_cast<int>(sizeof(file)) + real()->szOsFile;
    vfs_.xOpen = open;
    vfs_.pNext = nullptr;
    sqlite3_vfs_register(&vfs_, 1);
  }
  disk(const disk&) = delete;
  disk& operator=(const disk&) = delete;
  ~disk() { sqlite3_vfs_unregister(&vfs_); }

  int on_write{SQLITE_OK};  ///< what writing leads to
  int on_sync{SQLITE_OK};   ///< what flushing leads to
  int writes_left{-1};      ///< so many succeed before `on_write` counts; negative: none
  int unflushed{};          ///< files written to since they were flushed

 private:
  struct file {
    sqlite3_file base;  // SQLite knows no more of it
    disk* owner;
    bool is_dirty;

    sqlite3_file* below() { return reinterpret_cast<sqlite3_file*>(this + 1); }
    const sqlite3_io_methods& methods() { return *below()->pMethods; }
    void mark(bool dirty) {
      owner->unflushed += static_cast<int>(dirty) - static_cast<int>(is_dirty);
      is_dirty = dirty;
    }
  };
  static file& of(sqlite3_file* f) { return *reinterpret_cast<file*>(f); }

  static sqlite3_vfs* real() {
    static sqlite3_vfs* const usual = sqlite3_vfs_find(nullptr);
    return usual;
  }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* f, int flags, int* got) {
    file& made = *new (f) file{{nullptr}, static_cast<disk*>(vfs->pAppData), false};
    made.below()->pMethods = nullptr;
    const int code = real()->xOpen(real(), name, made.below(), flags, got);
    if (made.below()->pMethods != nullptr) made.base.pMethods = &table;
    return code;
  }
  static int close(sqlite3_file* f) {
    of(f).mark(false);
    return of(f).methods().xClose(of(f).below());
  }
  static int read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
    return of(f).methods().xRead(of(f).below(), to, n, at);
  }
  static int write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
    disk& owner = *of(f).owner;
    if (owner.on_write != SQLITE_OK && owner.writes_left <= 0) return owner.on_write;
    if (owner.writes_left > 0) --owner.writes_left;
    of(f).mark(true);
    return of(f).methods().xWrite(of(f).below(), from, n, at);
  }
  static int truncate(sqlite3_file* f, sqlite3_int64 size) { return of(f).methods().xTruncate(of(f).below(), size); }
  static int sync(sqlite3_file* f, int flags) {
    if (of(f).owner->on_sync != SQLITE_OK) return of(f).owner->on_sync;
    of(f).mark(false);
    return of(f).methods().xSync(of(f).below(), flags);
  }
  static int size(sqlite3_file* f, sqlite3_int64* n) { return of(f).methods().xFileSize(of(f).below(), n); }
  static int lock(sqlite3_file* f, int level) { return of(f).methods().xLock(of(f).below(), level); }
  static int unlock(sqlite3_file* f, int level) { return of(f).methods().xUnlock(of(f).below(), level); }
  static int is_reserved(sqlite3_file* f, int* yes) { return of(f).methods().xCheckReservedLock(of(f).below(), yes); }
  static int control(sqlite3_file* f, int what, void* with) {
    return of(f).methods().xFileControl(of(f).below(), what, with);
  }
  static int sector(sqlite3_file* f) { return of(f).methods().xSectorSize(of(f).below()); }
  static int traits(sqlite3_file* f) { return of(f).methods().xDeviceCharacteristics(of(f).below()); }

  static constexpr sqlite3_io_methods table{1,       close,   read,        write,   truncate, sync,   size,
                                            lock,    unlock,  is_reserved, control, sector,   traits, nullptr,
                                            nullptr, nullptr, nullptr,     nullptr, nullptr};
  sqlite3_vfs vfs_{};
};

}  // namespace test
#endif
