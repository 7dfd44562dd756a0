// SPDX-License-Identifier: Apache-2.0
//
// Stacks for fibers: large reservations cut into equal slots. A slot is a guard with a stack above it.
//
// The first touch commits a page. The guard is a region of many pages, so a frame that skips some kilobytes
// still hits it. The first guards of a process are made by mprotect, each of which splits the mapping. gdb's
// gcore needs this: it gives up a mapping at the first unreadable page and would lose all stacks after it.
// The other guards are MADV_GUARD_INSTALL (Linux 6.13), which splits nothing, so a million stacks fit. Older
// kernels get mprotect up to vm.max_map_count (about 32,700 stacks), where acquire() throws StackError. No
// stack is without a guard.
//
// A released stack is kept warm, last in first out, so unused stacks are the oldest. After the pool's idle
// time cool() gives its pages back, a bounded piece at a time, a run of neighbours by one call. A cold stack
// keeps its address space and guard. One pool per scheduler; its thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// This many guards are made by mprotect: an eighth of the mappings that the default vm.max_map_count allows.
inline constexpr std::size_t kMprotectGuards = 4096;

// [low, high) belongs to the fiber; the guard lies below. high is 64-byte aligned.
struct Stack {
  char* low = nullptr;
  char* high = nullptr;
  std::uint8_t size_class = 0;

  std::size_t bytes() const noexcept { return static_cast<std::size_t>(high - low); }
  explicit operator bool() const noexcept { return low != nullptr; }
};

// No stack is available; what() names the limit that was hit and what to raise. It is a std::bad_alloc: code
// that survives a lack of memory also survives a lack of stacks.
class StackError : public std::bad_alloc {
 public:
  explicit StackError(const char* message) noexcept : message_(message) {}
  const char* what() const noexcept override { return message_; }

 private:
  const char* message_;  // a literal
};

class StackPool {
 public:
  // Uses the process's current settings, see below.
  StackPool() noexcept;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // The class of the smallest stack that holds `bytes` (0: the default size). Sizes are powers of two from
  // kMinStackBytes to kMaxStackBytes, without the guard, and not below a page of any kernel for this
  // processor. Throws std::length_error beyond that.
  static std::uint8_t size_class(std::size_t bytes);
  static std::size_t class_bytes(std::uint8_t size_class) noexcept;

  // Settings of the process, for pools created from now on. Any thread. The size of the guard below each
  // stack, rounded up to whole pages. Throws std::length_error unless it is kMinGuardBytes to kMaxGuardBytes.
  static void set_default_guard_bytes(std::size_t bytes);
  static std::size_t default_guard_bytes() noexcept;
  // How long a stack stays idle before it gives its memory back; 0: no time, kForever: never.
  static void set_default_idle_time(Nanoseconds time) noexcept;
  static Nanoseconds default_idle_time() noexcept;

  std::size_t guard_bytes() const noexcept { return guard_bytes_; }
  // The distance from one stack of the class to the next.
  std::size_t slot_bytes(std::uint8_t size_class) const noexcept {
    return guard_bytes_ + class_bytes(size_class);
  }

  // Returns a stack of the class, with its guard in place. Throws StackError.
  Stack acquire(std::uint8_t size_class);
  // `now` is the time when the stack became idle, on the same clock as for cool().
  void release(Stack stack, Nanoseconds now) noexcept;
  // Why the last acquire() failed, until a stack is released. Null if it did not fail, or if no stack is in
  // use that could be released.
  const char* exhausted() const noexcept { return exhausted_; }

  // The time from which cool() has work; kForever if there is none.
  Nanoseconds next_cooling() const noexcept { return next_cooling_; }
  // Gives back memory that was idle for the idle time, at most kPieceStacks stacks, kPieceCalls system calls
  // and kPieceBytes of addresses. If more remains, next_cooling() stays in the past.
  void cool(Nanoseconds now) noexcept;
  static constexpr std::size_t kPieceStacks = 64;
  static constexpr std::size_t kPieceCalls = 8;
  static constexpr std::size_t kPieceBytes = std::size_t{32} << 20;

  // For debug mode: whether the last quarter of a stack was used since forget_last_quarter(), which gives the
  // quarter's memory back. The quarter must not be in use then. The check is by resident pages (mincore(2), 1
  // us): it misses swapped pages, and for large stacks it covers the quarter's first MiB only.
  static bool last_quarter_used(const Stack& stack) noexcept;
  static void forget_last_quarter(const Stack& stack) noexcept;

  // Whether an address is in one of the pool's slots or guards. Async-signal-safe on the pool's thread.
  bool owns(std::uintptr_t address) const noexcept;

  std::size_t stacks_in_use() const noexcept { return in_use_; }
  std::size_t stacks_warm() const noexcept { return warm_; }
  // Address space reserved so far.
  std::size_t reserved_bytes() const noexcept { return reserved_bytes_; }
  // The same over all pools of the process, and what destroyed pools have kept for abandoned fibers. Any
  // thread.
  static std::size_t reserved_bytes_in_process() noexcept;

  // For tests: how many of the process's next guards are made by mprotect. Also forgets that the kernel
  // refused MADV_GUARD_INSTALL.
  static void set_mprotect_guards(std::size_t count) noexcept;

 private:
  // kOut: in use, or never used yet.
  enum class State : std::uint8_t { kOut = 0, kWarm, kCold };
  struct Slot {
    Slot* older;  // in its list: warm or cold
    Slot* newer;  // warm only
    char* low;    // of the stack
    Nanoseconds idle_since;
    State state;
  };
  struct Reservation {
    char* base;
    std::size_t bytes;
    std::size_t slot_bytes;
    // One per slot, and one at each end that is never idle. They have pages of their own. Zero is
    // State::kOut, so the pages of slots that are never released stay untouched.
    Slot* slots;
    std::size_t slots_bytes;
  };
  struct SizeClass {
    Slot* newest = nullptr;  // of the warm ones
    Slot* oldest = nullptr;
    Slot* cold = nullptr;
    char* fresh_next = nullptr;  // slots of the newest reservation never used so far, without guard
    char* fresh_end = nullptr;
    std::size_t slots = 0;  // all slots of this class
  };
  static constexpr std::size_t kClasses = 16;
  struct Piece;

  char* fresh_stack(SizeClass& size, std::uint8_t size_class);
  void reserve(SizeClass& size, std::uint8_t size_class);
  Slot& slot_of(const char* low) noexcept;
  void push_warm(SizeClass& size, Slot& slot) noexcept;
  void unlink_warm(SizeClass& size, Slot& slot) noexcept;
  Nanoseconds expiry(const Slot& slot) const noexcept;
  bool give_back_run(SizeClass& size, std::uint8_t size_class, Nanoseconds now, Piece& piece) noexcept;
  bool give_back_rest(Piece& piece) noexcept;

  std::size_t guard_bytes_;
  Nanoseconds idle_time_;
  Nanoseconds next_cooling_ = kForever;
  SizeClass classes_[kClasses];
  std::vector<Reservation> reservations_;  // by address
  std::size_t last_found_ = 0;             // index: neighbours are often released one after the other
  // For a stack larger than a piece: the range that is still to be given back, while its slot is cold.
  Slot* rest_of_ = nullptr;
  char* rest_low_ = nullptr;
  char* rest_high_ = nullptr;
  std::size_t in_use_ = 0;
  std::size_t warm_ = 0;
  std::size_t reserved_bytes_ = 0;
  const char* exhausted_ = nullptr;
};

}  // namespace aiofiber::runtime
