// SPDX-License-Identifier: Apache-2.0
//
// The calls of a fiber: its stack frames, and its suspended coroutines between them.
//
// A list of calls is an array of words, newest call first. A stack frame is one word, its return address. A
// suspended coroutine is three words: a mark with the line, the first address of its code, and the address of
// the name of its file. No address has the mark's highest bit. So where no coroutines are, a list of calls is
// what unwind() writes.
//
// Nothing here allocates or takes a lock. Threads: any. Async-signal-safe as unwind().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aiofiber/runtime/inspect/coroutine_walk.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::runtime {

// Where the calls are found.
struct CallSource {
  Registers registers{};  // all zero: no stack frames are known
  StackBounds bounds{0, 0};
  std::uint64_t coroutines = 0;  // of the fiber's record
  const void* copy = nullptr;    // of the stack, from bounds.low on; null: the stack itself
  // The fiber is this thread's, and no signal has interrupted it: its coroutines are read directly. Otherwise
  // the kernel reads them, and they may be garbage.
  bool is_own = false;
};

// One call of a list.
struct Call {
  std::uintptr_t address = 0;  // a return address; of a coroutine, the first address of its code
  bool is_coroutine = false;
  // Of a coroutine: where it is suspended. Null and 0: it has not been suspended, or it runs and its stack
  // frame is not known.
  const char* file = nullptr;
  std::uint32_t line = 0;
};

// Writes the calls, newest first. Returns the number of words. A coroutine that runs is one of the stack
// frames and is not written twice. Frames of the loop that runs a fiber without a stack are left out.
std::size_t list_calls(const CallSource& source, std::span<std::uintptr_t> out) noexcept;

// Calls take(Call) for each of them, newest first, until it returns false. `argument` is passed on.
using TakeCall = bool (*)(const Call& call, void* argument) noexcept;
void for_each_call(const CallSource& source, TakeCall take, void* argument) noexcept;

// ---- lists

inline constexpr std::size_t kWordsOfCoroutine = 3;
inline constexpr std::uintptr_t kCoroutineMark = std::uintptr_t{1} << 63;

// Adds a call to the first `used` words of a list. False: there is no room.
inline bool append_call(const Call& call, std::span<std::uintptr_t> out, std::size_t& used) noexcept {
  if (out.size() - used < (call.is_coroutine ? kWordsOfCoroutine : 1)) return false;
  if (call.is_coroutine) {
    out[used++] = kCoroutineMark | call.line;
    out[used + 1] = reinterpret_cast<std::uintptr_t>(call.file);
  }
  out[used] = call.address;
  used += call.is_coroutine ? 2 : 1;
  return true;
}

// Takes the first call off a list. Precondition: the list is not empty.
inline Call next_call(std::span<const std::uintptr_t>& list) noexcept {
  Call call;
  if ((list[0] & kCoroutineMark) != 0 && list.size() >= kWordsOfCoroutine) {
    call = {list[1], true, reinterpret_cast<const char*>(list[2]),
            static_cast<std::uint32_t>(list[0] & ~kCoroutineMark)};
    list = list.subspan(kWordsOfCoroutine);
  } else {
    call.address = list[0];
    list = list.subspan(1);
  }
  return call;
}

}  // namespace aiofiber::runtime
