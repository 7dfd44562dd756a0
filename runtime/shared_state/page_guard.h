// SPDX-License-Identifier: Apache-2.0
//
// Watches the accesses of the running task to watched pages, by page protection and signals.
//
// An access to a protected page raises SIGSEGV. The handler notes it, opens the page, and lets the processor
// run this one instruction; the SIGTRAP after it closes the page again. A system call whose arguments lie in
// a protected page would fail with EFAULT. So while pages are protected, Linux's syscall user dispatch turns
// each system call of the thread into a SIGSYS. The handler opens what the call needs, makes it, and notes
// what the kernel read and wrote for the task.
//
// Other faults go to the handler that was there before (engine/overflow). The handlers allocate nothing and
// touch variables of the runtime only in a page of their own; if code that they call touches a protected
// page, a nested fault opens it meanwhile.
//
// Threads: watch() and open() are called by the one thread that is watched. Any thread may fault.
#pragma once

#include <cstdint>
#include <span>

#include "aiofiber/runtime/engine/fiber.h"
#include "shared_state/history.h"
#include "shared_state/outputs.h"
#include "shared_state/watched_memory.h"

namespace aiofiber::runtime::shared_state {

class PageGuard {
 public:
  PageGuard(Arena& arena, WatchedMemory& memory, History& history) noexcept;
  ~PageGuard();
  PageGuard(const PageGuard&) = delete;
  PageGuard& operator=(const PageGuard&) = delete;

  // Installs the handlers, on the thread that will be watched. Null: it works. Otherwise what is missing.
  const char* install() noexcept;

  // The running task is being suspended. The pages stay as they are, but the dirty ones are opened; until
  // watch() or open(), an access to a closed page opens it and is not noted.
  void pause() noexcept;
  // Gives the pages the access that they `want`, for the task that runs next. `only_calls`: they want all;
  // only what the kernel reads and writes is noted. Does nothing if it is not installed.
  void watch(Task& task, bool only_calls) noexcept;
  // Opens all pages.
  void open() noexcept;
  // In a forked child: opens everything, for good. Async-signal-safe.
  void leave_child() noexcept;
  // What the task has given to the kernel since watch(), as far as its calls were looked at.
  std::span<const Output> outputs() const noexcept;
  // The accesses and calls that were looked at so far.
  std::uint64_t effort() const noexcept;

  struct State;

 private:
  State& state_;
};

}  // namespace aiofiber::runtime::shared_state
