// SPDX-License-Identifier: Apache-2.0
//
// The id of the process, noted at load and after each fork.
#include "hooks/core/vforked_child.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::hooks {

namespace {

constinit std::atomic<pid_t> noted_process{0};

void note_process() noexcept { noted_process.store(::getpid(), std::memory_order_relaxed); }

constinit runtime::ForkHandler note_forked_process{runtime::ForkStep::kRing, {.child = &note_process}};

}  // namespace

void note_process_at_fork() noexcept {
  note_process();
  runtime::at_fork(note_forked_process);
}

bool in_vforked_child() noexcept {
  if (runtime::Scheduler::current() == nullptr) return false;
  if (noted_process.load(std::memory_order_relaxed) == ::getpid()) return false;
  // A child of a plain clone(2), which is not noted, may have a loop of its own.
  const runtime::Fiber* const fiber = runtime::current_fiber_or_step();
  return fiber == nullptr || fiber->tid != static_cast<std::uint32_t>(::syscall(SYS_gettid));
}

}  // namespace aiofiber::hooks
