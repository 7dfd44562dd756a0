// SPDX-License-Identifier: Apache-2.0
//
// Merges two walks, of stack frames and of coroutines, by addresses on the stack.
#include "aiofiber/runtime/inspect/call_list.h"

#include <cstring>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

namespace {

// The coroutines of a fiber, one after the other.
class Coroutines {
 public:
  Coroutines(std::uint64_t newest, bool are_own) noexcept : walk_(newest), are_own_(are_own) { go_on(); }

  const CoroutineCall* front() const noexcept { return front_; }
  void go_on() noexcept {
    front_ = nullptr;
    while (front_ == nullptr && !walk_.wishes().empty()) {
      for (const CoroutineWalk::Wish& wish : walk_.wishes()) {
        if (read(wish)) continue;
        walk_.give_up();
        return;
      }
      front_ = walk_.go_on();
    }
  }

 private:
  bool read(const CoroutineWalk::Wish& wish) const noexcept {
    const auto* const at = reinterpret_cast<const void*>(wish.address);
    if (!are_own_) return sys::copy_own_memory(wish.into, at, wish.bytes) == static_cast<ssize_t>(wish.bytes);
    std::memcpy(wish.into, at, wish.bytes);
    return true;
  }

  CoroutineWalk walk_;
  const bool are_own_;
  const CoroutineCall* front_ = nullptr;
};

Call call_of(const CoroutineCall& coroutine) noexcept {
  if (coroutine.runs) return {coroutine.code, true};
  return {coroutine.code, true, reinterpret_cast<const char*>(coroutine.file), coroutine.line};
}

}  // namespace

void for_each_call(const CallSource& source, TakeCall take, void* argument) noexcept {
  Coroutines coroutines(source.coroutines, source.is_own);
  const bool has_frames = source.registers.pc != 0;
  const StackBounds bounds = source.bounds;
  const auto is_on_stack = [bounds](std::uint64_t address) {
    return address >= bounds.low && address < bounds.high;
  };
  Registers at = source.registers;
  while (at.pc != 0) {
    const CoroutineCall* next = coroutines.front();
    bool loop_follows = false;
    while (next != nullptr && is_on_stack(next->stack) && next->stack < at.sp) {
      loop_follows = next->on_loop;
      if (!next->runs && !take(call_of(*next), argument)) return;
      coroutines.go_on();
      next = coroutines.front();
    }
    if (loop_follows) return;
    std::uintptr_t address[1];
    unwind_onwards(at, bounds, address, source.copy);
    if (!take({address[0]}, argument)) return;
  }
  for (; coroutines.front() != nullptr; coroutines.go_on()) {
    const CoroutineCall& next = *coroutines.front();
    if (next.runs && has_frames) continue;
    if (!take(call_of(next), argument)) return;
  }
}

std::size_t list_calls(const CallSource& source, std::span<std::uintptr_t> out) noexcept {
  if (source.coroutines == 0) {
    return source.copy != nullptr ? unwind_copy(source.registers, source.bounds, source.copy, out)
                                  : unwind(source.registers, source.bounds, out);
  }
  struct List {
    std::span<std::uintptr_t> out;
    std::size_t used = 0;
  } list{out};
  const auto add = [](const Call& call, void* argument) noexcept {
    auto& its = *static_cast<List*>(argument);
    return append_call(call, its.out, its.used);
  };
  for_each_call(source, add, &list);
  return list.used;
}

}  // namespace aiofiber::runtime
