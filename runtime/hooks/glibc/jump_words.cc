// SPDX-License-Identifier: Apache-2.0
//
// Reads the word, and tests it: fills a buffer, and compares the word with the frame that filled it.
#include "hooks/glibc/jump_words.h"

#include <pthread.h>

#include <bit>
#include <cstring>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::hooks {

namespace {

constexpr bool kProcessorIsKnown = AIOFIBER_ARCH_X86_64 == 1;
// sysdeps/x86_64/jmpbuf-offsets.h and pointer_guard.h, tcb-offsets.sym.
constexpr std::size_t kStackPointerWord = 6;
constexpr std::size_t kGuardInThread = 0x30;
constexpr int kTurn = 17;

// Written once, at load.
constinit bool layout_is_known = false;

std::uintptr_t read_stack_pointer(const __jmp_buf_tag* buffer) noexcept {
  std::uintptr_t word, guard;
  std::memcpy(&word, reinterpret_cast<const char*>(buffer) + kStackPointerWord * sizeof word, sizeof word);
  // pthread_t is the address of the thread's control block.
  std::memcpy(&guard, reinterpret_cast<const char*>(::pthread_self()) + kGuardInThread, sizeof guard);
  return std::rotr(word, kTurn) ^ guard;
}

// The stack pointer of this frame is a little below the frame's address.
[[gnu::noinline]] bool is_as_expected() noexcept {
  constexpr std::uintptr_t kMostFrameBytes = 4096;
  jmp_buf buffer;
  if (_setjmp(buffer) != 0) return false;
  const std::uintptr_t seen = read_stack_pointer(buffer);
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return seen <= frame && frame - seen < kMostFrameBytes && seen % sizeof seen == 0;
}

[[gnu::constructor]] void check_jump_words() noexcept {
  if constexpr (kProcessorIsKnown) layout_is_known = is_as_expected();
}

}  // namespace

std::uintptr_t stack_pointer_of(const __jmp_buf_tag* buffer) noexcept {
  return layout_is_known ? read_stack_pointer(buffer) : 0;
}

}  // namespace aiofiber::hooks
