// SPDX-License-Identifier: Apache-2.0
//
// A parker and a waiter of the reactor, on the waiting fiber's stack.
#include "aiofiber/runtime/engine/fd_wait.h"

#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime {

namespace {

// Unlinks itself from the reactor, however the wait ends.
struct FiberFdWaiter : FdWaiter {
  FiberFdWaiter(int descriptor, unsigned wanted_events) noexcept
      : FdWaiter(descriptor, wanted_events, [](FdWaiter& waiter, unsigned events) noexcept {
          auto& self = static_cast<FiberFdWaiter&>(waiter);
          self.seen |= events;
          self.parker.unpark();
        }) {}
  ~FiberFdWaiter() {
    if (linked()) unlink();
  }
  FiberFdWaiter(const FiberFdWaiter&) = delete;
  FiberFdWaiter& operator=(const FiberFdWaiter&) = delete;

  Parker parker;
  unsigned seen = 0;
};

// `kind` 0: the descriptor. `whole.since` 0: this is the whole wait.
FdWaitResult wait_for(int fd, unsigned events, Nanoseconds deadline, std::uint32_t kind, std::uint64_t arg,
                      const WholeWait& whole) {
  Scheduler& scheduler = *current_fiber()->scheduler;
  FiberFdWaiter waiter(fd, events);
  waiter.waiting = current_fiber();
  scheduler.reactor().add(waiter);
  if (kind == 0) {
    kind = AIOFIBER_WAIT_FD;
    arg = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(fd)) << 32) | events;
  }
  FdWaitResult result;
  switch (waiter.parker.park(kind, arg, deadline, {whole.since, whole.since != 0 ? whole.until : deadline})) {
    case Wake::kTimedOut:
      result.timed_out = true;
      break;
    case Wake::kInterrupted:
      result.interrupted = true;
      break;
    case Wake::kAlarm:
      result.alarm = true;
      break;
    case Wake::kUnparked:
    case Wake::kNone:
      break;
  }
  result.events = waiter.seen;
  result.error = waiter.failure;
  return result;
}

}  // namespace

FdWaitResult fd_wait(int fd, unsigned events, Nanoseconds timeout) {
  return fd_wait(fd, events, timeout, 0, 0, {});
}

FdWaitResult fd_wait(int fd, unsigned events, Nanoseconds timeout, std::uint32_t kind, std::uint64_t arg,
                     const WholeWait& whole) {
  const Nanoseconds deadline =
      timeout == kForever ? kForever : deadline_after(current_fiber()->scheduler->now(), timeout);
  return wait_for(fd, events, deadline, kind, arg, whole);
}

FdWaitResult fd_wait_until(int fd, unsigned events, Nanoseconds deadline, const WholeWait& whole) {
  return wait_for(fd, events, deadline, 0, 0, whole);
}

std::size_t fd_closing(int fd) noexcept {
  Reactor::note_close(fd);
  Scheduler* scheduler = Scheduler::current();
  return scheduler != nullptr ? scheduler->reactor().fd_closing(fd) : 0;
}

}  // namespace aiofiber::runtime
