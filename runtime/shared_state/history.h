// SPDX-License-Identifier: Apache-2.0
//
// Who wrote what, and whether somebody used what another had changed meanwhile.
//
// Each task has a claim on each page that it uses: the bytes that it wrote, and those that it read. When
// another task's step has changed such bytes, they are *stale* for the first task: it may still believe the
// old value, which is kept. Two things make a finding. The task reads stale bytes that it had written. Or it
// writes stale bytes that it had only read, without reading them again: an update that loses the other's.
//
// Not a finding: bytes that hold the old value again; bytes that were guarded by a lock which both tasks held
// at their writes; an update, which reads a place and writes it a few instructions later (++n), unless it
// puts back what was there before; and what all tasks only update: a counter.
//
// Allocates only from its arena, takes no lock: it runs in signal handlers. Threads: the watched one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aiofiber/runtime/engine/fiber.h"
#include "shared_state/arena.h"
#include "shared_state/page_bits.h"
#include "shared_state/watched_memory.h"

namespace aiofiber::runtime::shared_state {

// The calls of a place, newest first. Equal ones are stored once.
struct Calls {
  static constexpr std::size_t kMost = 24;
  Calls* next = nullptr;
  std::uint64_t hash = 0;
  std::size_t count = 0;
  std::uintptr_t addresses[kMost] = {};
};

// Where an access is made.
struct Place {
  const Calls* calls = nullptr;
  std::uintptr_t pc = 0, sp = 0;
};

struct HeldLocks {
  static constexpr std::size_t kMost = 6;
  std::uint8_t count = 0;
  const void* locks[kMost] = {};
  bool share_one_with(const HeldLocks& other) const noexcept;
  void add(const HeldLocks& more) noexcept;
};
// Those of the running task. Async-signal-safe.
HeldLocks held_now() noexcept;

// Bytes [begin, end) of a page, where they were accessed, and under which locks.
struct Note {
  std::uint16_t begin = 0, end = 0;
  bool exact = false;  // `calls` is the access; else the place where the task was suspended after it
  const Calls* calls = nullptr;
  HeldLocks locks;
};

// What another task has changed in a claim.
struct Overwrite {
  std::uint16_t begin = 0, end = 0;
  bool exact = false;
  const Calls* calls = nullptr;
  aiofiber_record by{};
  aiofiber_record waiting{};         // the record of the claim's task at that time
  const Calls* suspended = nullptr;  // where it was suspended
};

template <class T, std::size_t kMost>
struct Newest {  // the newest few
  T items[kMost];
  std::size_t total = 0;
  T& add() noexcept { return items[total++ % kMost]; }
  std::size_t size() const noexcept { return total < kMost ? total : kMost; }
  // The n-th newest.
  const T& operator[](std::size_t n) const noexcept { return items[(total - 1 - n) % kMost]; }
  T& operator[](std::size_t n) noexcept { return items[(total - 1 - n) % kMost]; }
};

struct Task;

struct Claim {
  Claim* next_of_page = nullptr;
  Claim* next_of_task = nullptr;
  Task* task = nullptr;
  Page* page = nullptr;
  PageBits written, read;              // and not changed by another since
  PageBits stale_written, stale_read;  // changed by another since
  PageBits written_now;                // in this step
  PageBits used_now;                   // the same and what was read, if the program is instrumented
  bool is_stale = false;               // may have stale bits
  bool touched = false;                // written_now may have bits
  Newest<Note, 16> writes;
  Newest<Note, 8> reads;
  Newest<Overwrite, 6> overwrites;
  char before[kPageBytes];    // of written bytes: their value before the task wrote them
  char believed[kPageBytes];  // of stale bytes: the value that the task last saw
};

struct Task {
  Task* next = nullptr;  // in its bucket
  aiofiber_record record{};
  Claim* claims = nullptr;
  const Calls* suspended = nullptr;
  HeldLocks locks;         // that it has held in this step
  bool offloaded = false;  // it waits for a call on another thread
};

struct Finding {
  bool lost_update = false;
  std::uintptr_t address = 0;
  std::size_t bytes = 0;
  aiofiber_record first{};
  Note earlier;         // its write; of a lost update its read
  Overwrite overwrite;  // by the second
  const Calls* used = nullptr;
};

// How an instruction writes.
enum class Writes : std::uint8_t {
  kUpdates,   // it reads what it replaces
  kStores,    // a value that may come from a read before
  kConstant,  // a value that does not
  kByKernel,  // in a system call
};

class History {
 public:
  // `lists_used`: the pages of a step are listed, for end_step_of_used().
  History(Arena& arena, WatchedMemory& memory, bool lists_used) noexcept
      : arena_(arena), memory_(memory), lists_used_(lists_used) {}
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // Null: no memory. The record with id 0 is the loop itself and its callbacks.
  Task* task(const aiofiber_record& record) noexcept;
  void forget(Task& task) noexcept;

  const Calls* calls(std::span<const std::uintptr_t> addresses) noexcept;

  // Accesses of the running task, before they happen: bytes [begin, end) of the page.
  void read(Task& task, Page& page, std::size_t begin, std::size_t end, const Place& place) noexcept;
  // A loop reads the bytes from `begin` on, as far as the task has written them.
  void read_on(Task& task, Page& page, std::size_t begin, const Place& place) noexcept;
  void write(Task& task, Page& page, std::size_t begin, std::size_t end, Writes how, const Place& place,
             const HeldLocks& locks) noexcept;
  // These bytes are used once more, or the kernel is going to write them. So an earlier use of them that
  // might still have become an update becomes a finding.
  void decide_on(const Page& page, std::size_t begin, std::size_t end) noexcept;
  // The accesses that were noted last have happened. To be called before the next one, if it is awaited.
  void after_access() noexcept;
  bool awaits_access() const noexcept { return awaits_access_; }
  // There are uses that might still become updates.
  bool has_candidates() const noexcept { return candidate_count_ > 0; }
  // Each access has to be told of, also one that repeats another.
  bool is_busy() const noexcept { return awaits_access_ || candidate_count_ > 0; }
  // The bytes were read before in this step, and so read() would change nothing.
  void read_again(std::uintptr_t begin, std::size_t bytes, std::uintptr_t pc, std::uintptr_t sp) noexcept {
    reads_.add() = {begin, begin + bytes, pc, sp};
  }
  // A store to bytes of the running task's quick claim that were written before in this step.
  void write_again(Page& page, std::size_t begin, std::size_t end, const Place& place) noexcept;
  // No task has used these bytes, which hold what they hold now. forget(): they are those of a new block.
  void forget_uses(Page& page, std::size_t begin, std::size_t end) noexcept;
  void forget(Page& page, std::size_t begin, std::size_t end) noexcept;
  // At the end of a step of the task: compares the page with its shadow, and notes for whom the change makes
  // bytes stale. `suspended`: where the task is now. `only_seen`: changes that were no access are not the
  // task's.
  void end_step(Task& task, Page& page, const Calls* suspended, bool only_seen) noexcept;
  // The same for each page that the task has used in this step. Changes of the heap that were no access are
  // the allocator's.
  void end_step_of_used(Task& task, const Calls* suspended, bool only_seen) noexcept;

  // The step ends: uses that might have turned out to be updates are findings.
  void settle() noexcept;

  std::span<const Finding> findings() const noexcept { return {findings_, finding_count_}; }
  void clear_findings() noexcept { finding_count_ = 0; }

 private:
  Claim* claim(Task& task, Page& page) noexcept;
  Claim* known_or_new_claim(Task& task, Page& page) noexcept;
  static Claim* known_claim(const Task& task, const Page& page) noexcept;
  void make_stale(Claim& claim, Task& by, const Claim* by_claim, std::size_t begin, std::size_t end,
                  const Calls* suspended) noexcept;
  // A use of stale bytes that becomes a finding unless the task's next access to them makes it an update.
  struct Candidate {
    Finding finding;
    Claim* claim = nullptr;  // null: none
    std::size_t begin = 0, end = 0;
    Place place;
    bool written = false;  // by an update, unless its value is the one from before
    char value[16] = {};   // that was read
    char before[16] = {};  // from before the task first wrote it
  };
  // A read of this step.
  struct Read {
    std::uintptr_t begin = 0, end = 0;
    std::uintptr_t pc = 0, sp = 0;
  };

  bool use(Claim& claim, bool lost_update, std::size_t begin, std::size_t end, const Place& place,
           Finding& finding) noexcept;
  void add_candidate(const Finding& finding, Claim& claim, std::size_t begin, std::size_t end,
                     const Place& place) noexcept;
  static void spare(Page& page, std::size_t at) noexcept;
  static bool is_spared(const Page& page, std::size_t at) noexcept;
  void decide(Candidate& candidate) noexcept;
  bool is_update(const Page& page, std::size_t begin, std::size_t end, const Place& place) const noexcept;
  void report(const Finding& finding) noexcept;

  static constexpr std::size_t kBuckets = 1024;
  static constexpr std::size_t kCallBuckets = 4096;
  static constexpr std::size_t kMostFindings = 32;
  static constexpr std::size_t kMostCandidates = 8;
  // How far behind a load the store is that ends an update, in bytes of code. Instrumented code has calls
  // between them.
  static constexpr std::uintptr_t kCodeOfAnUpdate = 64, kInstrumentedCodeOfAnUpdate = 128;

  Arena& arena_;
  WatchedMemory& memory_;
  const bool lists_used_;
  Page* used_ = nullptr;
  Task* tasks_[kBuckets] = {};
  Calls* calls_[kCallBuckets] = {};
  Claim* free_claims_ = nullptr;
  Task* free_tasks_ = nullptr;
  Finding findings_[kMostFindings];
  std::size_t finding_count_ = 0;

  Candidate candidates_[kMostCandidates];
  std::size_t next_candidate_ = 0;
  std::size_t candidate_count_ = 0;
  bool awaits_access_ = false;  // after_access() has something to do
  Newest<Read, 4> reads_;
  // An update that is being made.
  Claim* update_of_ = nullptr;
  std::size_t update_begin_ = 0, update_end_ = 0;
};

}  // namespace aiofiber::runtime::shared_state
