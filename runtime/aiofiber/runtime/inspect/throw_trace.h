// SPDX-License-Identifier: Apache-2.0
//
// Where an exception was thrown: the return addresses at every `throw`, kept on the exception object.
//
// The idea: this library defines __cxa_throw, which the dynamic linker then prefers to libstdc++'s, for
// throws inside libstdc++ as well. It walks the stack with our own unwinder, stores the addresses, hangs them
// into eight bytes of padding of the exception's header, and goes on to the real __cxa_throw. A destructor of
// ours frees them together with the exception. `throw;`, rethrow_exception and copies of an exception_ptr
// keep the first trace.
//
// Invariants: an exception is thrown as it would be without us, whatever fails here. The padding is used only
// after a check at the first throw that it is where we think, and only while it is zero: a program whose C++
// runtime differs (libc++abi), or another library that uses the same bytes, gives exceptions without a trace.
//
// Linking: with the shared libstdc++ (the default) nothing is to be done. A static one (-static-libstdc++,
// -static) defines
// __cxa_throw too and keeps it, so exceptions have no trace then, unless the program is linked with
// -Wl,--wrap=__cxa_throw as well.
#pragma once

#include <aiofiber/runtime/inspect/unwind.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

namespace aiofiber::runtime {

// A trace holds the innermost frames, and of a deeper stack the outermost as well, with a gap between the
// two.
inline constexpr std::size_t kThrowTraceInnermost = 48;
inline constexpr std::size_t kThrowTraceOutermost = 16;

// Return addresses from the throw outwards, newest first; empty when the exception carries none (foreign,
// made by make_exception_ptr, or thrown while tracing was off). Valid as long as the exception is. Threads:
// any.
std::span<const std::uintptr_t> throw_trace(const std::exception_ptr& exception) noexcept;

// How many frames were left out behind the first kThrowTraceInnermost of throw_trace(); mostly 0.
std::size_t throw_trace_omitted(const std::exception_ptr& exception) noexcept;

// An exception that is thrown on through a place where no C++ frame leads from the throw: a task that fails,
// and the task that awaits it. Each such place adds the stack of the one who rethrows.
struct RethrowSegment {
  static constexpr std::size_t kMaxFrames = 24;
  const RethrowSegment* before;  // the one added before this, or null
  const void* by;                // whoever rethrows: the awaiting task
  const void* from;              // what it got the exception from; null: something that hands on, a gather
  std::uint32_t depth;           // how many there are with this one
  std::uint32_t count;
  std::uintptr_t addresses[kMaxFrames];  // newest first, from the await outwards; the first `count` are there
};

// Adds the calling stack, which is walked from the caller outwards, before `exception` is rethrown. An
// exception keeps at most 64 segments; one whose runtime is unknown keeps none. About 5 ns a frame and one
// allocation. Threads: any.
void add_rethrow_segment(const std::exception_ptr& exception, const void* by, const void* from) noexcept;
// The segment that was added last, or null. Valid as long as the exception is.
const RethrowSegment* last_rethrow_segment(const std::exception_ptr& exception) noexcept;

// Installs the function that tells where the running stack ends, so that the recorder never walks beyond it.
// It is called at every throw, on the throwing thread, and must not throw. Default, also for null:
// thread_stack_bounds. Threads: any.
void set_stack_bounds_source(StackBounds (*bounds_of_current_stack)() noexcept) noexcept;

// Turns the recording on (the default) or off for throws to come. Threads: any.
void set_throw_tracing(bool enabled) noexcept;

}  // namespace aiofiber::runtime
