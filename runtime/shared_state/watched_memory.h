// SPDX-License-Identifier: Apache-2.0
//
// The memory in which shared state is searched: the writable static data of the chosen modules, page by page,
// and the variables in it.
//
// A module's data also has bytes that are nobody's business: aiofiber's own variables, the standard
// libraries', the linker's tables, padding. They are `excluded`: nothing that happens to them counts. The one
// function for this is exclude(), also for ranges that belong to each task (hooks::per_task).
//
// Threads: the one that is watched. find() and variable_at() are async-signal-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "shared_state/arena.h"
#include "shared_state/page_bits.h"

namespace aiofiber::runtime::shared_state {

struct Claim;
struct KnownPage;

// How a page may be accessed while a task runs.
enum class Access : std::uint8_t {
  kAll,      // it is compared when the task has been suspended
  kRead,     // the first writes are noticed
  kNothing,  // each access is noticed
};

// A variable that other threads use, too, when they run into a closed page. It orders nothing.
template <class T>
class Relaxed {
 public:
  Relaxed(T value) noexcept : value_(value) {}
  Relaxed& operator=(T value) noexcept {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  operator T() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_;
};

struct Page {
  char* memory = nullptr;
  char* shadow = nullptr;  // what it held at the last switch
  PageBits excluded;
  PageBits stored;                     // some task has written these bytes by more than an update
  PageBits seen;                       // some task's write of them was looked at
  PageBits spared[2];                  // how often stale bytes were overwritten unread: a number of two bits
  bool ignored = false;                // all of it is excluded
  Relaxed<bool> dirty = false;         // it may differ from its shadow
  Access wanted = Access::kAll;        // while the running task runs
  Relaxed<Access> now = Access::kAll;  // what the kernel was told, by PageAccess only
  std::uint32_t budget = 0;            // accesses that may still be looked at in this step
  std::uint32_t steps = 0;             // in which accesses were looked at
  bool touched = false;                // in this step
  Claim* claims = nullptr;             // the tasks that have used it
  // Only if the program is instrumented:
  Claim* running = nullptr;   // of the running task, if it has used the page in this step
  Claim* quick = nullptr;     // the same, if none of its bytes are stale
  Page* next_used = nullptr;  // in the list of these pages
  Page* next_of_heap = nullptr;
  KnownPage* known = nullptr;
  bool is_heap = false;
};

struct Variable {
  std::uintptr_t address = 0;
  std::size_t size = 0;
  std::string name;    // empty: the module has no symbol there
  std::string file;    // empty: not known
  std::string module;  // path
};

class WatchedMemory {
 public:
  // `modules`: parts of the names of the modules to watch; empty: the program and the libraries that are not
  // the system's. `ignored`: names of variables. `with_heap`: the heap, too, as far as it is known. Reads
  // symbols, which takes some time. Throws std::bad_alloc.
  WatchedMemory(Arena& arena, std::span<const std::string> modules, std::span<const std::string> ignored,
                bool with_heap);
  ~WatchedMemory();
  WatchedMemory(const WatchedMemory&) = delete;
  WatchedMemory& operator=(const WatchedMemory&) = delete;

  // From now on nothing that happens to these bytes counts.
  void exclude(std::uintptr_t address, std::size_t bytes) noexcept;

  // The static data.
  std::span<Page> pages() noexcept { return {pages_, page_count_}; }
  // The page that contains the address; null: it is not watched, or there is no memory for what is known of
  // it.
  Page* find(std::uintptr_t address) noexcept;
  // Null: no variable is known there.
  const Variable* variable_at(std::uintptr_t address) const noexcept;
  // All of them, by address; also those of which some bytes are excluded.
  std::span<const Variable> variables() const noexcept { return variables_; }
  std::size_t bytes() const noexcept { return page_count_ * kPageBytes; }

 private:
  struct Range {
    std::uintptr_t low, high;
    std::size_t first_page;
  };
  Page* find_static(std::uintptr_t address) noexcept;
  Page* make_heap_page(std::uintptr_t address, KnownPage& known) noexcept;
  void add_module(const std::string& path, std::span<const std::pair<std::uintptr_t, std::uintptr_t>> data,
                  std::span<const std::string> ignored);

  Arena& arena_;
  std::vector<Range> ranges_;
  std::vector<Variable> variables_;                               // by address
  std::vector<std::pair<std::uintptr_t, std::size_t>> excluded_;  // until the pages exist
  Page* pages_ = nullptr;
  std::size_t page_count_ = 0;
  const bool with_heap_;
  Page* heap_ = nullptr;  // a list
};

}  // namespace aiofiber::runtime::shared_state
