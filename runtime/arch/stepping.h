// SPDX-License-Identifier: Apache-2.0
//
// What a signal handler needs to watch the accesses of the code that it interrupted: which memory the
// instruction reads or writes, how to run one instruction and come back, and how to answer a system call in
// its place. For runtime/shared_state.
//
// `context` is a signal handler's third argument. Everything here is async-signal-safe. On a processor
// without it kCanStep is false, and nothing else is called.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {

inline constexpr bool kCanStep = AIOFIBER_ARCH_X86_64 != 0;

// The access to memory that faulted.
struct MemoryAccess {
  std::size_t bytes = 1;
  bool writes = false;
  bool reads = false;     // an instruction that adds to memory reads and writes
  bool constant = false;  // it stores a number that is part of the instruction
  // A string instruction, which accesses `bytes` from the fault on, one element after the other. Not to be
  // stepped: each element would be a step.
  bool repeated = false;
};
// Of the instruction at the context's program counter. An unknown instruction reads (and, if the fault was a
// write, writes) 8 bytes.
MemoryAccess memory_access(const void* context) noexcept;

// From now on each instruction of the interrupted code is followed by a SIGTRAP, until it is switched off.
void set_stepping(void* context, bool on) noexcept;

// A system call that Linux's syscall user dispatch refused with a SIGSYS.
struct RefusedCall {
  std::uintptr_t arguments[6];
};
RefusedCall refused_call(const void* context) noexcept;
// The call's result; the interrupted code continues after it.
void answer_call(void* context, std::intptr_t result) noexcept;
// The interrupted code makes the call again.
void repeat_call(void* context, std::intptr_t number) noexcept;

// Makes a system call without libc: negative results are errors.
std::intptr_t raw_call(std::intptr_t number, const RefusedCall& call) noexcept;

}  // namespace aiofiber::runtime::arch
