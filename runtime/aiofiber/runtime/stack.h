// SPDX-License-Identifier: Apache-2.0
//
// Stacks for fibers: large reservations cut into equal slots, each with a guard at its low end.
//
// A slot's pages are committed by the first touch. The first guards of a process are made by mprotect, each of which splits
// the mapping: gdb's gcore gives up a mapping at its first unreadable page, and would lose all stacks behind it. The others
// are MADV_GUARD_INSTALL where the kernel has it (Linux 6.13), which splits nothing, so a million stacks fit; else mprotect
// again, to vm.max_map_count (about 32,700 stacks), where acquire() throws StackError. No stack is without a guard.
//
// A stack that comes back is kept warm, last in first out. When more are idle than were in use lately,
// the oldest give their pages back and become cold: their address space and guard stay.
// One pool per scheduler; its thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "aiofiber/runtime/config.h"

namespace aiofiber::runtime {

// So many guards are by mprotect in any case: an eighth of the mappings that the default vm.max_map_count allows.
inline constexpr std::size_t kMprotectGuards = 4096;

// A slot: [low, high), the guard being its lowest bytes. high is 64-byte aligned.
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
  StackPool() = default;
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // The class of the smallest slot that holds `bytes` (0: the default size): sizes are powers of two
  // from kMinStackBytes to kMaxStackBytes. Throws std::length_error beyond that.
  static std::uint8_t size_class(std::size_t bytes);
  static std::size_t class_bytes(std::uint8_t size_class) noexcept;
  static std::size_t guard_bytes(std::uint8_t size_class) noexcept;

  // A stack of the class, with its guard in place. Throws StackError.
  Stack acquire(std::uint8_t size_class);
  void release(Stack stack) noexcept;
  // Why the last acquire() failed, until a stack comes back; null if it did not, or if
  // no stack is out that could come back.
  const char* exhausted() const noexcept { return exhausted_; }

  std::size_t stacks_in_use() const noexcept { return in_use_; }
  std::size_t stacks_warm() const noexcept;
  // Address space reserved so far.
  std::size_t reserved_bytes() const noexcept { return reserved_bytes_; }

  // For tests: how many of the process's next guards are by mprotect. Forgets that the kernel refused its own kind.
  static void set_mprotect_guards(std::size_t count) noexcept;

 private:
  struct Reservation {
    char* base;
    std::size_t bytes;
  };
  struct SizeClass {
    std::vector<char*> warm;         // touched slots, guard in place; capacity covers every slot there is
    std::vector<char*> cold;         // slots without pages, guard in place
    char* fresh_next = nullptr;      // untouched slots of the newest reservation, guard not yet installed
    char* fresh_end = nullptr;
    std::size_t slots = 0;           // all slots of this class
    std::size_t in_use = 0;
    std::size_t in_use_peak = 0;     // since the last trim: the hysteresis
    std::uint32_t releases = 0;      // since the last trim
  };
  static constexpr std::size_t kClasses = 16;

  char* fresh_slot(SizeClass& size, std::uint8_t size_class);
  void reserve(SizeClass& size, std::uint8_t size_class);
  void trim(SizeClass& size, std::uint8_t size_class) noexcept;

  SizeClass classes_[kClasses];
  std::vector<Reservation> reservations_;
  std::size_t in_use_ = 0;
  std::size_t reserved_bytes_ = 0;
  const char* exhausted_ = nullptr;
};

}  // namespace aiofiber::runtime
