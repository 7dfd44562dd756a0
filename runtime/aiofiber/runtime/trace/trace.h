// SPDX-License-Identifier: Apache-2.0
//
// The timeline: what every loop and every task did when, as a file that Perfetto and chrome://tracing open.
//
// The scheduler calls the hooks below at each switch, wake and poll. While nothing is traced a hook is one
// load and a branch that is never taken; else it puts 40 bytes into a ring of its own thread (no lock, no
// allocation after the first), and a writer thread turns the rings into text. Its time is the CPU's counter
// where that can be trusted (Stamps, clock.h). A ring that is full drops the newest events and counts them:
// the file says how many are missing, and where.
//
// Knows of fibers what the registry knows: records. Times are of CLOCK_MONOTONIC, also under a virtual clock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

extern constinit std::atomic<bool> trace_is_on;
inline bool tracing() noexcept { return AIOFIBER_UNLIKELY(trace_is_on.load(std::memory_order_relaxed)); }

// ---- hooks: to be called while tracing() only, by the thread that runs the loop

// The CPU goes from one to the other; a record without a stack is the loop itself. `from.state` tells why it
// leaves: READY or WAITING, or RUNNING when its body has ended.
void trace_switch(const aiofiber_record& from, const aiofiber_record& to) noexcept;
// `woken` was created, or made ready, by `waker` (nullptr: by the loop).
void trace_wake(const aiofiber_record& woken, const aiofiber_record* waker) noexcept;
// The name has changed.
void trace_name(const aiofiber_record& record) noexcept;
// What the loop does on its own stack; kLeave: run() ends.
enum class LoopMark : std::uint8_t { kPollBegin, kPollEnd, kCallbackBegin, kCallbackEnd, kLeave };
void trace_loop(LoopMark mark) noexcept;

// A user's callback, however it ends.
class TracedCallback {
 public:
  TracedCallback() noexcept {
    if (tracing()) trace_loop(LoopMark::kCallbackBegin);
  }
  ~TracedCallback() {
    if (tracing()) trace_loop(LoopMark::kCallbackEnd);
  }
  TracedCallback(const TracedCallback&) = delete;
  TracedCallback& operator=(const TracedCallback&) = delete;
};

// ---- on and off. Threads: any

inline constexpr std::size_t kTraceEventsPerThread = 1 << 15;

// From now on all loops of the process write to the file, which is replaced; "%p" in its name stands for the
// process's id. `events_per_thread`, at least 16, rounded up to a power of two: the size of the rings that
// are made from now on. The file is ended by stop_trace() or by exit(); of a process that dies otherwise it
// lacks the end and the last tenth of a second, which viewers accept. A forked child does not trace until it
// asks for it. `permissions`: of a file that is made. Errors: std::system_error: the file cannot be opened,
// as when it is a symbolic link; no thread can be made, or (EBUSY) a trace is being written already. Never
// suspends.
void start_trace(const std::string& path, std::size_t events_per_thread = kTraceEventsPerThread,
                 unsigned permissions = 0600);

// Ends the file. Returns how many events were lost. Does nothing when nothing is traced.
std::uint64_t stop_trace() noexcept;

// Once a process: start_trace() with the value of AIOFIBER_TRACE, if it is set and the program is not
// privileged (secure_getenv(3)). An error goes to stderr.
void start_trace_from_environment() noexcept;

}  // namespace aiofiber::runtime
