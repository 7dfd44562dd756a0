// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a descriptor: suspend the current fiber until it is readable or writable.
//
// Any number of fibers may wait for one descriptor; each is told when it is ready and has to try its
// operation again (level-triggered, as poll(2)).
#pragma once

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::runtime {

struct FdWaitResult {
  unsigned events =
      0;  // kReadable | kWritable that are ready; kClosed: closed while we waited, or not to be watched
  int error = 0;  // with kClosed: EBADF, or why the kernel does not watch it (ENOMEM, ENOSPC of epoll_ctl(2))
  bool timed_out = false;
  bool interrupted = false;  // the task was cancelled; the cancellation is still to be raised

  bool ready() const noexcept { return (events & (kReadable | kWritable)) != 0; }
};

// Suspends the current fiber. `timeout` in ns; kForever: none; <= 0 looks only at the next poll.
// Precondition: called on a fiber. Throws std::system_error (EBADF), std::bad_alloc.
// `kind` and `arg`, `whole`: what a debugger is told instead, as for Parker::park(); kind 0: the descriptor.
FdWaitResult fd_wait(int fd, unsigned events, Nanoseconds timeout = kForever);
FdWaitResult fd_wait(int fd, unsigned events, Nanoseconds timeout, std::uint32_t kind, std::uint64_t arg,
                     const WholeWait& whole);

// To be called right before a descriptor is closed: whoever waits for it on this thread's loop is woken
// with kClosed. Returns how many. Does nothing on a thread without a loop.
std::size_t fd_closing(int fd) noexcept;

}  // namespace aiofiber::runtime
