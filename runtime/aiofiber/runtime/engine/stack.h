// SPDX-License-Identifier: Apache-2.0
//
// Stacks for fibers: large reservations cut into equal slots, each a guard and above it a stack.
//
// A slot's pages are committed by the first touch. The guard is a region, not a page, so that a frame which
// skips some kilobytes without touching them still meets it. The first guards of a process are made by
// mprotect, each of which splits the mapping: gdb's gcore gives up a mapping at its first unreadable page,
// and would lose all stacks behind it. The others are MADV_GUARD_INSTALL where the kernel has it (Linux
// 6.13), which splits nothing, so a million stacks fit; else mprotect again, to vm.max_map_count (about
// 32,700 stacks), where acquire() throws StackError. No stack is without a guard.
//
// A stack that comes back is kept warm, last in first out, so those that nobody needs are the oldest. One
// that was idle for the pool's idle time gives its pages back and becomes cold: its address space and its
// guard stay. That is done by cool(), a bounded piece at a time, whole runs of neighbours by one call.
// One pool per scheduler; its thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// So many guards are by mprotect in any case: an eighth of the mappings that the default vm.max_map_count
// allows.
inline constexpr std::size_t kMprotectGuards = 4096;

// [low, high): all of it is the fiber's, the guard lies below. high is 64-byte aligned.
struct Stack {
  char* low = nullptr;
  char* high = nullptr;
  std::uint8_t size_class = 0;

  std::size_t bytes() const noexcept { return static_cast<std::size_t>(high - low); }
  explicit operator bool() const noexcept { return low != nullptr; }
};

// A stack could not be had; what() names the limit that was hit and what to raise. A std::bad_alloc, so
// that code that survives a lack of memory survives a lack of stacks.
class StackError : public std::bad_alloc {
 public:
  explicit StackError(const char* message) noexcept : message_(message) {}
  const char* what() const noexcept override { return message_; }

 private:
  const char* message_;  // a literal
};

class StackPool {
 public:
  // With the settings of the process, see below, as they are now.
  StackPool() noexcept;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // The class of the smallest stack that holds `bytes` (0: the default size): sizes are powers of two
  // from kMinStackBytes to kMaxStackBytes, the guard not counted. Throws std::length_error beyond that.
  static std::uint8_t size_class(std::size_t bytes);
  static std::size_t class_bytes(std::uint8_t size_class) noexcept;

  // Settings of the process, for the pools that are made from now on. Any thread.
  // The guard below each stack, rounded up to whole pages; std::length_error unless it is
  // kMinGuardBytes to kMaxGuardBytes.
  static void set_default_guard_bytes(std::size_t bytes);
  static std::size_t default_guard_bytes() noexcept;
  // How long a stack stays idle before it gives its memory back; 0: not at all, kForever: it never does.
  static void set_default_idle_time(Nanoseconds time) noexcept;
  static Nanoseconds default_idle_time() noexcept;

  std::size_t guard_bytes() const noexcept { return guard_bytes_; }
  // From one stack of the class to the next.
  std::size_t slot_bytes(std::uint8_t size_class) const noexcept {
    return guard_bytes_ + class_bytes(size_class);
  }

  // A stack of the class, with its guard in place. Throws StackError.
  Stack acquire(std::uint8_t size_class);
  // `now` is when it became idle, on the clock that cool() is told the time of.
  void release(Stack stack, Nanoseconds now) noexcept;
  // Why the last acquire() failed, until a stack comes back; null if it did not, or if
  // no stack is out that could come back.
  const char* exhausted() const noexcept { return exhausted_; }

  // From when on cool() has something to do; kForever while there is nothing to wait for.
  Nanoseconds next_cooling() const noexcept { return next_cooling_; }
  // Gives back memory that was idle for the idle time, at most kPieceStacks stacks, kPieceCalls system
  // calls and kPieceBytes of addresses. If more is to be given back, next_cooling() stays in the past.
  void cool(Nanoseconds now) noexcept;
  static constexpr std::size_t kPieceStacks = 64;
  static constexpr std::size_t kPieceCalls = 8;
  static constexpr std::size_t kPieceBytes = std::size_t{32} << 20;

  // For debug mode: whether a stack was ever used to within a quarter of its end since that quarter was
  // forgotten, which gives its memory back; it must not be in use then. Seen by what is in memory
  // (mincore(2), 1 us): not what was swapped out, and of large stacks the quarter's first MiB.
  static bool last_quarter_used(const Stack& stack) noexcept;
  static void forget_last_quarter(const Stack& stack) noexcept;

  // Whether an address is in one of the pool's slots, guards included. Async-signal-safe on its thread.
  bool owns(std::uintptr_t address) const noexcept;

  std::size_t stacks_in_use() const noexcept { return in_use_; }
  std::size_t stacks_warm() const noexcept { return warm_; }
  // Address space reserved so far.
  std::size_t reserved_bytes() const noexcept { return reserved_bytes_; }

  // For tests: how many of the process's next guards are by mprotect. Forgets that the kernel refused its own
  // kind.
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
    // One a slot, and one at either end that is never idle. In pages of their own, whose zeros are
    // State::kOut: those of slots that never come back are not touched.
    Slot* slots;
    std::size_t slots_bytes;
  };
  struct SizeClass {
    Slot* newest = nullptr;  // of the warm ones
    Slot* oldest = nullptr;
    Slot* cold = nullptr;
    char* fresh_next = nullptr;  // untouched slots of the newest reservation, guard not yet installed
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
  std::size_t last_found_ = 0;             // in it: neighbours come back one after the other
  // Of a stack larger than a piece: what has still to be given back, while its slot is cold.
  Slot* rest_of_ = nullptr;
  char* rest_low_ = nullptr;
  char* rest_high_ = nullptr;
  std::size_t in_use_ = 0;
  std::size_t warm_ = 0;
  std::size_t reserved_bytes_ = 0;
  const char* exhausted_ = nullptr;
};

}  // namespace aiofiber::runtime
