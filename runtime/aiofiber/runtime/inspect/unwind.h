// SPDX-License-Identifier: Apache-2.0
//
// Walks a native stack from a set of registers, without running the code that owns the stack.
//
// An unwinder needs few registers to follow code compiled with call-frame information (on x86-64 four). The
// rule that leads from one frame to the next depends only on the program counter. So it is interpreted once,
// compiled to eight bytes, and kept in a cache that all threads share.
//
// Invariants: nothing here allocates, takes a lock, or reads a stack outside the given bounds, whatever the
// stack contains. Every step goes strictly outwards, so every walk ends. The file knows nothing of fibers: a
// suspended fiber is a pointer to the block that Boost.Context's switch left on top of its stack.
//
// runtime/arch/ has each processor's step. For an unknown processor there are no frames, and no function
// reports an error. arch.h says where registers come from.
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
// their number. The walk ends at the outermost frame, at code without call-frame information, at a signal
// frame, or where the stack is corrupted. An `sp` outside the bounds gives one frame.
//
// Threads: any. Async-signal-safe (on a cache miss only if libgcc and glibc find unwind tables without a
// lock: gcc 12 with glibc 2.35, and newer). About 5 ns a frame; 60 to 100 ns when its address is new.
std::size_t unwind(const Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept;

// Like unwind(), but moves `registers` to the frame after the last one written. The next call continues from
// there; registers.pc is 0 if there is none. With a span of one it steps to the caller. `copy`: see
// unwind_copy(); null: the stack itself.
std::size_t unwind_onwards(Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out,
                           const void* copy = nullptr) noexcept;

// Like unwind(), on a copy of the stack: `copy` holds the bytes from bounds.low on. Registers and bounds are
// those of the original, which is not read.
std::size_t unwind_copy(const Registers& registers, StackBounds bounds, const void* copy,
                        std::span<std::uintptr_t> out) noexcept;

// Like unwind(), from a fault in a frame that does not fit into the stack. `sp` may be below the bounds; only
// the memory inside them is read. `probing`: see arch::FaultDetails.
std::size_t unwind_overflowed(const Registers& registers, std::uintptr_t probing, StackBounds bounds,
                              std::span<std::uintptr_t> out) noexcept;

// The stack of the calling OS thread, cached per thread. The first call of a thread may allocate and is not
// async-signal-safe. {0, 0} if the system does not report it.
StackBounds thread_stack_bounds() noexcept;

// Marks for throw_would_terminate(). A handler that cleans up and rethrows does not end an exception's way,
// but the tables do not show that. So before it comes a handler for one of these types, which are never
// thrown: PassesOn if the exception stays the same, PassesOnOther if a scope may replace it. The function
// must have no other handlers and must not be inlined into a function that has some: the frames beyond are
// read from its caller's tables.
struct PassesOn {};
struct PassesOnOther {};

// The thrown exception. Null type: unknown; handlers for certain types do not stop it.
struct Throw {
  const std::type_info* type = nullptr;
  // Returns the type of the exception that leaves a scope marked PassesOnOther when `thrown` enters the
  // scope. Called for each such scope, from inside outwards. Null: the type stays the same.
  const std::type_info* (*beyond_scope)(const std::type_info* thrown, void* argument) noexcept = nullptr;
  void* argument = nullptr;
};

// True if an exception thrown at the innermost frame would end in std::terminate() before a handler catches
// it: on the way is a noexcept function, a destructor, a cleanup during unwinding, or code that exceptions
// cannot pass. Handlers for other types are ignored. Also true if the stack has no handler of any kind, or if
// the walk cannot continue. False if the registers are unknown (all zero).
//
// Works on a suspended stack, by reading the tables that the compilers emit for the C++ runtime. It
// recognises noexcept functions in code of g++ and of clang, with one exception, which the tables do not
// show: in a noexcept function of g++, a call inside a try block with handlers only for certain types seems
// to let other exceptions pass. Calls notice_unloaded_code().
//
// The innermost frame counts too: step over noexcept functions that lead to the switch with unwind_onwards()
// first. Threads: any. About 25 ns a frame.
bool throw_would_terminate(const Registers& registers, StackBounds bounds, Throw what = {}) noexcept;

// True if an exception thrown at the innermost frame would reach the function at `catcher`, and no code would
// run before: no clean-up and no handler is on its way. Precondition: that function catches everything.
// Conditions as above.
bool nothing_runs_before(std::uintptr_t catcher, const Registers& registers, StackBounds bounds) noexcept;
// Whether an earlier call of these functions has found that an exception would run code in the frame of this
// call. A quick look before nothing_runs_before().
bool is_known_to_run_code(std::uintptr_t return_address) noexcept;

// Forgets all cached rules. Threads: any. Async-signal-safe.
void flush_unwind_cache() noexcept;

// Forgets all cached rules if a library was unloaded since the last call: other code may be at its addresses
// now. Call it before walks that must be correct after a dlclose(). It may take the loader's lock, like
// dl_iterate_phdr(3): do not call it in a signal handler. Threads: any. About 7 ns.
void notice_unloaded_code() noexcept;

}  // namespace aiofiber::runtime
