// SPDX-License-Identifier: Apache-2.0
//
// Where an exception was thrown: the return addresses at every `throw`, stored with the exception object.
//
// This library defines __cxa_throw. The dynamic linker prefers ours to libstdc++'s, also for throws inside
// libstdc++. Ours walks the stack with our unwinder, stores the addresses, puts a pointer to them into eight
// bytes of padding in the exception's header, and calls the real __cxa_throw. A destructor of ours frees them
// with the exception. `throw;`, rethrow_exception and copies of an exception_ptr keep the first trace.
//
// Invariants: a failure here never changes how an exception is thrown. The padding is used only if a check at
// the first throw has found it, and only while it is zero. So with another C++ runtime (libc++abi), or
// another library that uses the same bytes, exceptions have no trace.
//
// Linking: with the shared libstdc++ (the default) nothing is needed. A static one (-static-libstdc++,
// -static) has its own __cxa_throw; then there is no trace unless the program is linked with
// -Wl,--wrap=__cxa_throw too.
#pragma once

#include <aiofiber/runtime/inspect/call_list.h>
#include <aiofiber/runtime/inspect/unwind.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

namespace aiofiber::runtime {

// A trace holds the innermost calls. If the stack is deeper, it also holds the outermost ones, with a gap
// between.
inline constexpr std::size_t kThrowTraceInnermost = 48;
inline constexpr std::size_t kThrowTraceOutermost = 16;

// The calls from the throw outwards (call_list.h), coroutines that await the thrower included. Empty when the
// exception has no trace (foreign, made by make_exception_ptr and not recorded, or thrown while tracing was
// off). Valid as long as the exception is. Threads: any.
std::span<const std::uintptr_t> throw_trace(const std::exception_ptr& exception) noexcept;

// Records the calls from `thrower` outwards, for an exception of the calling thread that was made without a
// throw. Does nothing if it has a trace.
void record_throw(const std::exception_ptr& exception, const Registers& thrower) noexcept;

// The number of calls left out after the first kThrowTraceInnermost of throw_trace(); mostly 0.
std::size_t throw_trace_omitted(const std::exception_ptr& exception) noexcept;

// A place where an exception is rethrown on another stack: a task fails, and the task that awaits it
// rethrows. Each such place adds the stack of the rethrowing task.
struct RethrowSegment {
  static constexpr std::size_t kMaxFrames = 24;  // without coroutines
  static constexpr std::size_t kMaxWords = 3 * kMaxFrames;
  const RethrowSegment* before;  // the one added before this, or null
  const void* by;                // the rethrowing task: the one that awaits
  const void* from;     // the object that gave the exception; null: an object that passes it on, a gather
  std::uint32_t depth;  // the number of segments up to this one
  std::uint32_t count;
  // A list of calls, from the await outwards; the first `count` words are valid.
  std::uintptr_t calls[kMaxWords];
};

// Adds the calling stack, from the caller outwards, before `exception` is rethrown. An exception keeps at
// most 64 segments, and none if its runtime is unknown. About 5 ns a frame and one allocation. Threads: any.
void add_rethrow_segment(const std::exception_ptr& exception, const void* by, const void* from) noexcept;
// The segment added last, or null. Valid as long as the exception is.
const RethrowSegment* last_rethrow_segment(const std::exception_ptr& exception) noexcept;

// Installs the function that returns the bounds of the running stack, so that the recorder never walks beyond
// them. It is called at every throw, on the throwing thread, and must not throw. Default, also for null:
// thread_stack_bounds. Threads: any.
void set_stack_bounds_source(StackBounds (*bounds_of_current_stack)() noexcept) noexcept;

// Installs the function that returns the coroutines of the running fiber (aiofiber_record), 0: none. Called
// and replaced like the function above. Default, also for null: none.
void set_coroutines_source(std::uint64_t (*coroutines_of_current_fiber)() noexcept) noexcept;

// Turns the recording on (the default) or off for future throws. Threads: any.
void set_throw_tracing(bool enabled) noexcept;

}  // namespace aiofiber::runtime
