// SPDX-License-Identifier: Apache-2.0
//
// Regular files by io_uring: what is not in the page cache is asked of the kernel, and the task sleeps until
// it is there. A thread of the pool would sleep in its place, at the price of two switches and a wake-up a
// call.
//
// One ring a loop, made when a task first misses the page cache, gone with the loop. What the tasks of one
// pass ask for goes to the kernel in one system call; answers come through an eventfd that the reactor
// watches while there is something to wait for. The buffer is the kernel's until it has answered: a cancelled
// task that reads asks for the operation to be cancelled and waits for the answer. Writing and fsync are
// never cut short, nor refused to a cancelled task: the answer is waited for, and the cancellation comes at a
// wait that can fail. Threads: the loop's.
//
// Where the kernel, or a container, has no io_uring, where AIOFIBER_IO_URING=0, or where liburing was not
// there to build with, every call here gives false, and the pool it is.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

namespace aiofiber::hooks {

// As preadv2 and pwritev2 with a position. (Not at the descriptor's own: io_uring reads and moves that
// without the lock by which read(2) keeps two readers apart, and for O_DIRECT not at all.) Suspends. True:
// `result` is the call's, with errno set if it is -1. False: nothing was done. Precondition: called by a task
// that acts.
bool ring_readv(int fd, const iovec* pieces, int count, off_t position, int flags, ssize_t& result);
bool ring_writev(int fd, const iovec* pieces, int count, off_t position, int flags, ssize_t& result);
// As fsync, or fdatasync. The same otherwise.
bool ring_fsync(int fd, bool data_only, int& result);

}  // namespace aiofiber::hooks
