// SPDX-License-Identifier: Apache-2.0
//
// Regular files by io_uring: the kernel reads data that is not in the page cache while the task sleeps. A
// pool thread would need two switches and a wake-up per call.
//
// One ring per loop, created when a task first misses the page cache, destroyed with the loop. One system
// call submits the requests of one pass. Answers come through an eventfd, which the reactor watches while
// requests are pending. The kernel uses the buffer until it has answered, so a cancelled task that reads
// cancels the request and waits for the answer. Writing and fsync are never cut short or refused to a
// cancelled task: the task waits for the answer, and the cancellation comes at a wait that can fail. Threads:
// the loop's.
//
// Every call returns false if the kernel or a container forbids io_uring, if AIOFIBER_IO_URING=0, or if
// liburing was missing in the build. Then the caller uses the pool.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

namespace aiofiber::hooks {

// As preadv2 and pwritev2 with a position. (Not at the descriptor's own position: io_uring moves it without
// the lock with which read(2) separates two readers, and for O_DIRECT does not move it.) Suspends. True:
// `result` is the call's, with errno set if it is -1. False: nothing was done. Precondition: called by a task
// that acts.
bool ring_readv(int fd, const iovec* pieces, int count, off_t position, int flags, ssize_t& result);
bool ring_writev(int fd, const iovec* pieces, int count, off_t position, int flags, ssize_t& result);
// As fsync or fdatasync; the rest as above.
bool ring_fsync(int fd, bool data_only, int& result);

}  // namespace aiofiber::hooks
