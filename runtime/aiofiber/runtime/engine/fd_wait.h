// SPDX-License-Identifier: Apache-2.0
//
// fd_wait() suspends the current fiber until a descriptor is readable or writable.
//
// Any number of fibers may wait for one descriptor. Each is woken when the descriptor is ready, and must try
// its operation again (level-triggered, as poll(2)).
#pragma once

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::runtime {

struct FdWaitResult {
  // kReadable | kWritable that are ready; kClosed: closed while we waited, or not to be watched.
  unsigned events = 0;
  int error = 0;  // with kClosed: EBADF, or why the kernel does not watch it (ENOMEM, ENOSPC of epoll_ctl(2))
  bool timed_out = false;
  bool interrupted = false;  // the task was cancelled; the cancellation is still to be raised
  bool alarm = false;        // the task's alarm ended it: Wake::kAlarm

  bool ready() const noexcept { return (events & (kReadable | kWritable)) != 0; }
};

// Suspends the current fiber. `timeout` in ns; kForever: no timeout; <= 0: only one look, at the next poll.
// Precondition: called on a fiber. Throws std::system_error (EBADF), std::bad_alloc. `kind`, `arg` and
// `whole` are what a debugger shows, as for Parker::park(); kind 0: the descriptor.
FdWaitResult fd_wait(int fd, unsigned events, Nanoseconds timeout = kForever);
FdWaitResult fd_wait(int fd, unsigned events, Nanoseconds timeout, std::uint32_t kind, std::uint64_t arg,
                     const WholeWait& whole);
// The same up to a time on the loop's clock.
FdWaitResult fd_wait_until(int fd, unsigned events, Nanoseconds deadline, const WholeWait& whole);

// Call it right before a descriptor is closed: all fibers of this thread's loop that wait for it wake with
// kClosed. Returns their number. Does nothing on a thread without a loop.
std::size_t fd_closing(int fd) noexcept;

}  // namespace aiofiber::runtime
