// SPDX-License-Identifier: Apache-2.0
//
// Walking a native stack from a set of registers, without running the code that owns the stack.
//
// The idea: an unwinder needs few registers to follow code compiled with call-frame information (on x86-64
// four). The rule that leads from one frame to the next depends on the program counter alone, so it is
// interpreted once, compiled to eight bytes, and kept in a cache that all threads share.
//
// Invariants: nothing here allocates, takes a lock, or reads a stack outside the bounds it was given,
// whatever the stack contains; every step goes strictly outwards, so every walk ends. It knows nothing of
// fibers: a suspended one is a pointer to the block that Boost.Context's switch left on top of its stack.
//
// How a processor steps is in runtime/arch/. Where it is not known there are no frames, and all functions say
// so quietly. Where registers come from: arch.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <typeinfo>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime {

// The stack's memory, [low, high). Every read of the walker stays inside.
struct StackBounds {
  std::uintptr_t low, high;
};

// Walks from `registers` outwards and writes return addresses, newest first; out[0] is registers.pc. Returns
// how many were written. The walk ends at the outermost frame, at code without call-frame information, at a
// signal frame, or where the stack is corrupted; an `sp` outside the bounds gives one frame.
//
// Threads: any. Async-signal-safe (on a cache miss too where libgcc and glibc find unwind tables without a
// lock: gcc 12 with glibc 2.35, and newer). About 5 ns a frame, 60 to 100 ns when its address is met for the
// first time.
std::size_t unwind(const Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept;

// As unwind(), and moves `registers` to the frame after the last one written, so that the next call goes on
// from there; registers.pc is 0 once there is none. With a span of one it steps to the caller.
std::size_t unwind_onwards(Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept;

// As unwind(), over a copy of the stack that stands elsewhere: `copy` is where the byte of bounds.low is now.
// Registers and bounds are those of the original, whose memory is not touched.
std::size_t unwind_copy(const Registers& registers, StackBounds bounds, const void* copy,
                        std::span<std::uintptr_t> out) noexcept;

// As unwind(), from a fault in a frame that does not fit into the stack: `sp` may lie below the bounds, which
// alone are read. `probing`: see arch::FaultDetails.
std::size_t unwind_overflowed(const Registers& registers, std::uintptr_t probing, StackBounds bounds,
                              std::span<std::uintptr_t> out) noexcept;

// The stack of the calling OS thread, cached per thread. The first call of a thread may allocate and is not
// async-signal-safe. {0, 0} when the system does not tell.
StackBounds thread_stack_bounds() noexcept;

// Marks for throw_would_terminate(). A handler that cleans up and throws on what it caught is no end of an
// exception's way, but the tables do not show it. So a handler for one of these types, which nobody throws,
// stands before it: PassesOn where the exception stays the same, PassesOnOther where a scope may put another
// in its place. The function must have no other handlers and must not be inlined into one that has: what is
// beyond is read from its caller's tables.
struct PassesOn {};
struct PassesOnOther {};

// What is thrown. Of null type: something unknown, which handlers for certain types do not stop.
struct Throw {
  const std::type_info* type = nullptr;
  // The type of what leaves a scope marked PassesOnOther which `thrown` enters; called for each such scope,
  // from inside outwards. Null: the same.
  const std::type_info* (*beyond_scope)(const std::type_info* thrown, void* argument) noexcept = nullptr;
  void* argument = nullptr;
};

// True when an exception thrown at the innermost frame would end in std::terminate() before it reaches a
// handler that catches it: there is a noexcept function, a destructor, or a clean-up during unwinding
// on the way, or code that exceptions cannot pass. A handler for other types is passed by. Also true
// when no handler of any kind is found on the whole stack, or when the walk cannot tell how it goes on; false
// when the registers are unknown (all zero).
//
// Works on a suspended stack, by reading the tables that the compilers emit for the C++ runtime. A noexcept
// function is recognised in code of g++ and of clang, with one exception that the tables do not show: in a
// noexcept function of g++, a call inside a try block whose handlers are all for certain types looks as if it
// let other exceptions pass. Calls notice_unloaded_code().
//
// The innermost frame counts too: functions that lead to the switch and are noexcept themselves must be
// stepped over with unwind_onwards() first. Threads: any. About 25 ns a frame.
bool throw_would_terminate(const Registers& registers, StackBounds bounds, Throw what = {}) noexcept;

// Forgets all cached rules. Threads: any. Async-signal-safe.
void flush_unwind_cache() noexcept;

// Forgets them if a library was unloaded since the last call: other code may stand at its addresses now. To
// be called before walks that must be right after a dlclose(), where the caller may take the loader's lock,
// as dl_iterate_phdr(3) does: not in a signal handler. Threads: any. About 7 ns.
void notice_unloaded_code() noexcept;

}  // namespace aiofiber::runtime
