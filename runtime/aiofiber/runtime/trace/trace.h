// SPDX-License-Identifier: Apache-2.0
//
// The timeline: a file for Perfetto and chrome://tracing that shows when each loop and task did what.
//
// The scheduler calls the functions below at each switch, wake and poll. While nothing is traced, each is one
// load and a branch that is never taken. While tracing, it puts 40 bytes into a ring of its thread (no lock,
// no allocation after the first), and a writer thread turns the rings into text. Its clock is the CPU's
// counter if that can be trusted (Stamps, clock.h). A full ring drops the newest events and counts them; the
// file says how many are missing, and where.
//
// Of a fiber it knows only the registry record. Times are of CLOCK_MONOTONIC, also under a virtual clock.
//
// The search for shared state (runtime/shared_state) watches the switches too. Both are behind the same
// branch, so that a switch that nobody watches makes one test.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

// Who watches the scheduler's events: bits.
inline constexpr std::uint8_t kTimelineWatches = 1;
inline constexpr std::uint8_t kSwitchWatcherWatches = 2;
extern constinit std::atomic<std::uint8_t> watchers;
inline bool tracing() noexcept { return AIOFIBER_UNLIKELY(watchers.load(std::memory_order_relaxed) != 0); }

// Called at each switch of fibers, before it, on the stack that is left. Null: nobody. Threads: any may set
// it; it is called by each thread that runs a loop.
using SwitchWatcher = void (*)(const aiofiber_record& from, const aiofiber_record& to) noexcept;
void set_switch_watcher(SwitchWatcher watcher) noexcept;

// ---- events: to be called only while tracing(), by the thread that runs the loop

// The CPU switches from one fiber to another; a record without a stack is the loop itself. `from.state` says
// why the fiber leaves: READY or WAITING, or RUNNING when its body has ended.
void trace_switch(const aiofiber_record& from, const aiofiber_record& to) noexcept;
// `waker` created `woken` or made it ready; nullptr: the loop did.
void trace_wake(const aiofiber_record& woken, const aiofiber_record* waker) noexcept;
// The name has changed.
void trace_name(const aiofiber_record& record) noexcept;
// What the loop does on its own stack; kLeave: run() ends.
enum class LoopMark : std::uint8_t { kPollBegin, kPollEnd, kCallbackBegin, kCallbackEnd, kLeave };
void trace_loop(LoopMark mark) noexcept;

// Traces a user's callback, however it ends.
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

// From now on all loops of the process write to the file, which is replaced. "%p" in its name stands for the
// process id. `events_per_thread` is the size of rings created from now on, at least 16, rounded up to a
// power of two. `permissions` apply to a new file. stop_trace() or exit() ends the file. If the process dies
// otherwise, the file lacks its end and the last tenth of a second; viewers accept that. A forked child does
// not trace until it calls this itself. Never suspends.
// Errors: std::system_error: the file cannot be opened, also if it is a symbolic link; no thread can be
// created; EBUSY: a trace is already being written.
void start_trace(const std::string& path, std::size_t events_per_thread = kTraceEventsPerThread,
                 unsigned permissions = 0600);

// Ends the file. Returns how many events were lost. Does nothing when nothing is traced.
std::uint64_t stop_trace() noexcept;

// Once per process: calls start_trace() with the value of AIOFIBER_TRACE, if it is set and the program is not
// privileged (secure_getenv(3)). An error goes to stderr.
void start_trace_from_environment() noexcept;

}  // namespace aiofiber::runtime
