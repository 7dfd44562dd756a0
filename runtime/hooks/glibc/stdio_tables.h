// SPDX-License-Identifier: Apache-2.0
//
// glibc's tables of FILE operations, found in the running libc.
//
// A FILE points to a table of functions. glibc checks that this table is one of its own, in memory that is
// read-only once libc is loaded. It does not check the functions in the table. So the operations of every
// FILE on a descriptor can be replaced in place: only a few tables read by read(2). Before any replacement,
// each table's layout is checked slot by slot against the functions that libc exports.
#pragma once

#include <cstddef>
#include <cstdio>

namespace aiofiber::hooks {

// The operations in glibc's order; the first two words of a table are empty.
enum class StdioSlot : unsigned {
  kFinish = 2,
  kOverflow,   // makes room for one more character: writes the buffer out
  kUnderflow,  // gets something to read: fills the buffer
  kUflow,
  kPbackfail,
  kXsputn,
  kXsgetn,
  kSeekoff,
  kSeekpos,
  kSetbuf,
  kSync,
  kDoallocate,
  kRead,
  kWrite,
  kSeek,
  kClose,
  kStat,
  kShowmanyc,
  kImbue,
};
inline constexpr unsigned kStdioSlots = 21;
// glibc 2.36 has seven: plain, mapped and perhaps mapped files, each narrow and wide, and popen's.
inline constexpr unsigned kMostStdioTables = 12;

// The table that a FILE points to. The pointer is after the fields that <stdio.h> shows.
const void* table_of(const std::FILE* file) noexcept;

// The beginning of glibc's struct _IO_wide_data; null: the FILE is not wide. enable_stdio() tests a wide and
// a narrow FILE before it relies on this.
struct WidePointers {
  void* read_ptr;
  void* read_end;
  void* read_base;
  void* write_base;
  void* write_ptr;
  void* write_end;
};
WidePointers* wide_pointers(std::FILE* file) noexcept;

class StdioTables {
 public:
  // Finds the tables. Null: all are as expected; else a few words that say what is not.
  const char* find() noexcept;

  unsigned count() const noexcept { return count_; }
  void* get(unsigned table, unsigned slot) const noexcept;
  // The table that a fresh narrow FILE points to.
  const void* of_plain_files() const noexcept { return plain_; }
  // Replaces each slot of table i for which replacement[i][slot] is not null. False: the memory cannot be
  // made writable. Other threads may use stdio meanwhile: each slot is one store.
  bool replace(void* const (*replacement)[kStdioSlots]) const noexcept;

 private:
  const char* check_table(void* const* table) const noexcept;

  void* const* tables_[kMostStdioTables] = {};
  unsigned count_ = 0;
  const void* plain_ = nullptr;
  char* low_ = nullptr;  // libc's pages that are read-only after loading; they contain the tables
  char* high_ = nullptr;
  const char* code_low_ = nullptr;  // libc's code
  const char* code_high_ = nullptr;
};

}  // namespace aiofiber::hooks
