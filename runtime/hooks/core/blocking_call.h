// SPDX-License-Identifier: Apache-2.0
//
// BlockingCall: the waiting part of one hooked call on one descriptor.
//
// The hook probes without blocking; on EAGAIN it calls wait(). Only then it asks the kernel for the program's
// settings: O_NONBLOCK (then EAGAIN is the result) and the socket's timeout. A descriptor that is known to
// block without a limit is asked only if the wait lasts (known_settings.h).
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "hooks/core/task_alarm.h"

namespace aiofiber::hooks {

class BlockingCall {
 public:
  // `events`: kReadable or kWritable. `timeout_option`: SO_RCVTIMEO, SO_SNDTIMEO or 0; it bounds the whole
  // call, not each wait, as in the kernel.
  BlockingCall(int fd, unsigned events, int timeout_option) noexcept;

  // For a hook that reads, before its first probe: waits if the last read has drained the descriptor, because
  // the probe would be in vain. True: probe, whatever has ended the wait. False with errno EBADF: it was
  // closed meanwhile.
  bool wait_if_drained();

  // Call it with errno from the probe. True: probe again, errno is as before the call. False: give up, errno
  // says why: EAGAIN (O_NONBLOCK or timeout), EBADF (closed meanwhile), EINTR (an alarm, whose handler has
  // run then), ECANCELED, ENOMEM, ENOSPC, ELOOP. cut_off.h says what the last four do to a connection. The
  // handler may jump away: the caller's frames must have nothing to destroy.
  bool wait();

  // Call it after a probe that failed. On EAGAIN it waits; after EINTR the caller probes again (errno is as
  // before the call); any other errno is the result. True and false as above.
  bool probe_again() {
    if (errno == EINTR) {
      errno = errno_at_start_;
      return true;
    }
    return errno == EAGAIN && wait();
  }

  // The result of a call that ends with an error. If it has moved bytes, it succeeds, with errno as before
  // the call.
  ssize_t end_with_error(std::size_t moved) const noexcept;

 private:
  bool read_settings() noexcept;
  runtime::FdWaitResult wait_until_asked();

  const int fd_;
  const unsigned events_;
  const int timeout_option_;
  const int errno_at_start_;
  bool settings_read_ = false;
  bool must_ask_ = false;           // the call has waited as long as it relies on what is known
  runtime::Nanoseconds began_ = 0;  // to wait; from then the time limit counts. 0: not yet
  runtime::Nanoseconds deadline_ = runtime::kForever;
};

// Whether it is a stream socket. errno is kept only then.
bool is_stream_socket(int fd) noexcept;

// The socket's SO_RCVTIMEO or SO_SNDTIMEO in ns; kForever when there is none. errno is kept.
runtime::Nanoseconds socket_timeout(int fd, int option) noexcept;

// Now, and `duration` from now, on the clock of the current task's loop. kForever stays kForever.
runtime::Nanoseconds loop_now() noexcept;
runtime::Nanoseconds deadline_after(runtime::Nanoseconds duration) noexcept;

inline constexpr runtime::Nanoseconds kSecond = 1'000'000'000;

// Whether libc accepts the timeout; null is accepted. Also its length in ns: kForever for null and for
// centuries.
bool is_valid_timeout(const timespec* timeout) noexcept;
runtime::Nanoseconds to_nanoseconds(const timespec* timeout) noexcept;

// The time on the loop's clock when `clock` will show `time`; now if that is past (time.cc).
runtime::Nanoseconds deadline_at(clockid_t clock, const timespec& time) noexcept;
// Whether libc's *timed* and *clock* calls accept this clock and time.
bool is_valid_time(clockid_t clock, const timespec* time) noexcept;

// How often a call that signals of the process end looks whether one has come.
inline constexpr runtime::Nanoseconds kMaskedLookInterval = 50'000'000;
// The next wake-up of a call with its own signal mask that would park until `deadline`. It must look again
// under that mask, because a signal that the mask lets in can interrupt only the short system call.
runtime::Nanoseconds next_look(runtime::Nanoseconds deadline, const sigset_t* mask) noexcept;

// What a debugger shows as the reason of a wait (enum aiofiber_wait), and the whole call that the wait is
// part of.
struct Purpose {
  std::uint32_t kind = AIOFIBER_WAIT_SLEEP;
  std::uint64_t arg = 0;  // for a sleep: its deadline
  runtime::WholeWait whole = {};
  bool ends_at_alarm = true;
  AfterAlarm after_alarm = AfterAlarm::kFails;
};

// Suspends the current task until the deadline. False with errno EINTR, ECANCELED or ENOMEM if it ended
// early. An alarm's handler may jump away: the caller's frames must have nothing to destroy.
bool sleep_until(runtime::Nanoseconds deadline, const Purpose& purpose = {});
// The start time of a wait that begins now, for WholeWait.
runtime::Nanoseconds wait_begins() noexcept;

// Retries with growing pauses, for events without a descriptor to wait for.
class Backoff {
 public:
  // `kind`, `arg` and `ends_at_alarm`: see Purpose.
  Backoff(std::uint32_t kind, std::uint64_t arg, runtime::Nanoseconds deadline = runtime::kForever,
          bool ends_at_alarm = true) noexcept
      : deadline_(deadline),
        purpose_{kind, arg, {wait_begins(), deadline}, ends_at_alarm, AfterAlarm::kMayGoOn} {}
  // Suspends for 0.2 ms, then twice as long each time, up to 20 ms. False with errno ETIMEDOUT, EINTR,
  // ECANCELED or ENOMEM.
  bool wait();

 private:
  const runtime::Nanoseconds deadline_;
  const Purpose purpose_;
  runtime::Nanoseconds pause_ = 200'000;
};

// Sets O_NONBLOCK on the open file description for one system call that has no flag for it. errno is kept.
// Another process or thread that uses the same description meanwhile can see EAGAIN, so this is used only
// where the kernel offers nothing better.
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
