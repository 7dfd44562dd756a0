// SPDX-License-Identifier: Apache-2.0
//
// BlockingCall: the waiting part of one hooked call on one descriptor.
//
// The hook probes without blocking; on EAGAIN it calls wait(). Only then is the kernel asked what the
// program has set on the descriptor: O_NONBLOCK (then EAGAIN is the program's answer) and the socket's
// timeout. Nothing is remembered between calls, so dup, fork, descriptors that came from elsewhere and
// flags changed behind our back are right by construction.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/saturating.h"

namespace aiofiber::hooks {

class BlockingCall {
 public:
  // `events`: kReadable or kWritable. `timeout_option`: SO_RCVTIMEO, SO_SNDTIMEO or 0; it bounds the whole
  // call, however often it waits, as in the kernel.
  BlockingCall(int fd, unsigned events, int timeout_option) noexcept;

  // Call it with errno as the probe left it. True: probe again, errno is as before the call.
  // False: give up, errno says why: EAGAIN (O_NONBLOCK or timeout), EBADF (closed meanwhile), ECANCELED,
  // ENOMEM, ENOSPC, ELOOP. After the last four a connection is what cut_off.h says.
  bool wait();

  // What comes after a probe that failed, by its errno: EAGAIN waits, what a signal cut short is just probed
  // again (errno is as before the call), anything else is the answer. True and false as above.
  bool probe_again() {
    if (errno == EINTR) {
      errno = errno_at_start_;
      return true;
    }
    return errno == EAGAIN && wait();
  }

  // What a call returns that ends with an error: bytes that it has moved before are a success, with errno as
  // before the call.
  ssize_t end_with_error(std::size_t moved) const noexcept;

 private:
  bool read_settings() noexcept;

  const int fd_;
  const unsigned events_;
  const int timeout_option_;
  const int errno_at_start_;
  bool settings_read_ = false;
  runtime::Nanoseconds deadline_ = runtime::kForever;
};

// The socket's SO_RCVTIMEO or SO_SNDTIMEO in ns; kForever when there is none. errno is kept.
runtime::Nanoseconds socket_timeout(int fd, int option) noexcept;

// Now and `duration` from now, on the clock of the current task's loop. kForever stays kForever.
runtime::Nanoseconds loop_now() noexcept;
runtime::Nanoseconds deadline_after(runtime::Nanoseconds duration) noexcept;

inline constexpr runtime::Nanoseconds kSecond = 1'000'000'000;

// Whether libc takes it as a timeout; none at all is one. What it is in ns: none, and centuries, are
// kForever.
bool is_valid_timeout(const timespec* timeout) noexcept;
runtime::Nanoseconds to_nanoseconds(const timespec* timeout) noexcept;

// When `clock` will show `time`, on the loop's clock; now if that is past (time.cc).
runtime::Nanoseconds deadline_at(clockid_t clock, const timespec& time) noexcept;
// Whether a clock and a point in time are such as libc's *timed* and *clock* calls accept.
bool is_valid_time(clockid_t clock, const timespec* time) noexcept;

// How long a call with a signal mask of its own parks before it looks again under that mask: a signal that it
// lets in interrupts only the system call, which lasts no time. The next wake-up of a call that would park
// until `deadline`.
runtime::Nanoseconds next_look(runtime::Nanoseconds deadline, const sigset_t* mask) noexcept;

// What a wait is for, as a debugger is told (enum aiofiber_wait), and of which whole it is a part.
struct Purpose {
  std::uint32_t kind = AIOFIBER_WAIT_SLEEP;
  std::uint64_t arg = 0;  // of a sleep: its deadline is meant
  runtime::WholeWait whole = {};
};

// Suspends the current task until the deadline. False with errno ECANCELED or ENOMEM if it ended early.
bool sleep_until(runtime::Nanoseconds deadline, const Purpose& purpose = {});
// When a wait that begins now has begun, for WholeWait.
runtime::Nanoseconds wait_begins() noexcept;

// Trying again and again, ever less often, for what the kernel gives no descriptor to wait for.
class Backoff {
 public:
  // What it is that the caller looks for: see Purpose.
  Backoff(std::uint32_t kind, std::uint64_t arg, runtime::Nanoseconds deadline = runtime::kForever) noexcept
      : deadline_(deadline), purpose_{kind, arg, {wait_begins(), deadline}} {}
  // Suspends for 0.2 ms, then twice as long each time, up to 20 ms. False with errno ETIMEDOUT, ECANCELED or
  // ENOMEM.
  bool wait();

 private:
  const runtime::Nanoseconds deadline_;
  const Purpose purpose_;
  runtime::Nanoseconds pause_ = 200'000;
};

// O_NONBLOCK on the open file description for the duration of one system call that has no flag of its own
// for that. errno is kept. Another process or thread that uses the same description in that window can
// see EAGAIN: it is opened only where the kernel offers nothing better.
class NonblockScope {
 public:
  NonblockScope(int fd, int flags) noexcept;
  ~NonblockScope();
  NonblockScope(const NonblockScope&) = delete;
  NonblockScope& operator=(const NonblockScope&) = delete;

 private:
  int fd_;
  int flags_;
};

}  // namespace aiofiber::hooks
