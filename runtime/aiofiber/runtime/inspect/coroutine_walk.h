// SPDX-License-Identifier: Apache-2.0
//
// From a fiber's record to its suspended coroutines, newest first.
//
// A walk says which memory it needs next, and its user reads that: directly, through the kernel, from another
// process, or from a core. So one walk serves all readers, and a reader of many tasks reads for all of them
// at once. The memory may change or be garbage: the walk follows at most kMost links, and ends at the first
// that cannot be read. Whether all was read at one moment is for the user to check (sequence lock).
//
// Knows only the layout of registry_abi.h. Allocates nothing. Async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

// A coroutine, and where it is suspended. All are addresses in the program.
struct CoroutineCall {
  std::uint64_t code = 0;   // the first instruction of its code
  std::uint64_t file = 0;   // of the NUL-terminated name of a source file; 0: it has not been suspended yet
  std::uint32_t line = 0;   // in that file
  bool runs = false;        // `file` and `line` are old
  bool on_loop = false;     // see AIOFIBER_COROUTINES_ON_LOOP
  std::uint64_t stack = 0;  // of its aiofiber_coroutines, without flags
  bool operator==(const CoroutineCall&) const = default;
};

class CoroutineWalk {
 public:
  static constexpr std::size_t kMost = 4096;

  // `newest`: the record's `coroutines`.
  explicit CoroutineWalk(std::uint64_t newest) noexcept { ask(newest, next_chain_); }
  CoroutineWalk(const CoroutineWalk&) = delete;
  CoroutineWalk& operator=(const CoroutineWalk&) = delete;

  struct Wish {
    std::uint64_t address;
    void* into;
    std::size_t bytes;
  };
  static constexpr std::size_t kMostWishes = 3;
  // The memory to read next; empty: the walk has ended.
  std::span<const Wish> wishes() const noexcept { return {wishes_, count_}; }
  // All wishes were fulfilled. Returns the next coroutine; null: it is not known yet.
  const CoroutineCall* go_on() noexcept {
    const bool found = knows_coroutine_ && code_ != 0;  // one that has ended has no code
    if (found) {
      const bool placed = place_.line != 0;
      call_ = {code_,
               placed ? place_.file : 0,
               placed ? place_.line : 0,
               is_innermost_ && (chain_.stack & AIOFIBER_COROUTINE_RUNS) != 0,
               (chain_.stack & AIOFIBER_COROUTINES_ON_LOOP) != 0,
               chain_.stack & ~AIOFIBER_COROUTINES_FLAGS};
    }
    is_innermost_ = is_innermost_ && !knows_coroutine_;
    knows_coroutine_ = false;
    count_ = 0;
    if (++steps_ > kMost) return nullptr;
    if (next_is_ == Next::kChain) {
      chain_ = next_chain_;
      is_innermost_ = true;
      ask_for_next(chain_.innermost);
    } else if (next_is_ == Next::kCoroutine) {
      const aiofiber_coroutine coroutine = next_coroutine_;
      knows_coroutine_ = true;
      code_ = 0;
      place_ = {};
      ask(coroutine.frame, code_);
      ask(coroutine.place, place_);
      ask_for_next(coroutine.caller);
    }
    return found ? &call_ : nullptr;
  }
  // A wish could not be fulfilled.
  void give_up() noexcept { count_ = 0; }

 private:
  enum class Next { kNone, kChain, kCoroutine };

  template <class T>
  void ask(std::uint64_t address, T& into) noexcept {
    if (address != 0) wishes_[count_++] = {address, &into, sizeof into};
  }
  // The coroutine at the address; without one, the next chain.
  void ask_for_next(std::uint64_t coroutine) noexcept {
    if (coroutine != 0) {
      next_is_ = Next::kCoroutine;
      ask(coroutine, next_coroutine_);
    } else if (chain_.outer != 0) {
      next_is_ = Next::kChain;
      ask(chain_.outer, next_chain_);
    } else {
      next_is_ = Next::kNone;
    }
  }

  Wish wishes_[kMostWishes];
  std::size_t count_ = 0;
  std::size_t steps_ = 0;
  Next next_is_ = Next::kChain;
  bool is_innermost_ = true;
  bool knows_coroutine_ = false;  // code_ and place_ are those of one
  aiofiber_coroutines chain_{};
  aiofiber_coroutines next_chain_{};
  aiofiber_coroutine next_coroutine_{};
  std::uint64_t code_ = 0;
  aiofiber_place place_{};
  CoroutineCall call_;
};

}  // namespace aiofiber::runtime
