// SPDX-License-Identifier: Apache-2.0
//
// Locks on files: flock, lockf, and fcntl with F_SETLKW or F_OFD_SETLKW.
//
// The kernel does not report when a lock becomes free, so the call tries again, at most every 20 ms. On a
// pool thread it would be first in the kernel's queue. But it could not be cancelled, and 64 such calls would
// leave no thread for the task that has to release the lock. The price: no EDEADLK from F_SETLKW.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/descriptor_notes.h"
#include "hooks/core/fd_kind.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"

namespace aiofiber::hooks {

namespace {

// Calls attempt() until it fails for another reason than a taken lock, or succeeds.
template <class Attempt>
int obtain(int fd, Attempt attempt) {
  const int errno_at_start = errno;
  Backoff backoff(AIOFIBER_WAIT_FILE_LOCK, static_cast<std::uint64_t>(static_cast<unsigned>(fd)) << 32);
  for (;;) {
    const int result = uninterrupted(attempt);  // network file systems may return EINTR
    if (result == 0) {
      errno = errno_at_start;
      return 0;
    }
    if (errno != EAGAIN && errno != EACCES) return result;
    if (!backoff.wait()) return -1;
  }
}

int control(int fd, int command, void* argument) {
  if (command == F_SETFL) {
    flags_of_fd_change(fd);
    const known_settings::Change change(true);
    return real::fcntl64(fd, command, argument);
  }
  const bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
  const bool tries = command == F_SETLK || command == F_OFD_SETLK;
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
    const int made = real::fcntl64(fd, command, argument);
    note_duplicate(fd, made);
    return noted_opened(made);
  }
  if (!waits && !tries) return real::fcntl64(fd, command, argument);
  if (!acts()) return real::fcntl64(fd, command, argument);
  if (tries) return uninterrupted([=] { return real::fcntl64(fd, command, argument); });
  const int attempt = command == F_SETLKW ? F_SETLK : F_OFD_SETLK;
  return obtain(fd, [&] { return real::fcntl64(fd, attempt, argument); });
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int flock(int fd, int operation) noexcept {
  if (!acts()) return real::flock(fd, operation);
  if ((operation & (LOCK_NB | LOCK_UN)) != 0)
    return uninterrupted([=] { return real::flock(fd, operation); });
  return obtain(fd, [=] { return real::flock(fd, operation | LOCK_NB); });
}

int lockf(int fd, int command, off_t length) {
  if (!acts() || command != F_LOCK) return real::lockf(fd, command, length);
  return obtain(fd, [=] { return real::lockf(fd, F_TLOCK, length); });
}

// The command decides whether there is a third argument, and its type. It is passed on as a pointer,
// unchanged.
int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return control(fd, command, argument);
}

#if __LP64__
// Another name of the function. It is an alias, because a variadic function cannot pass its arguments on.
int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));
int __fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));
int lockf64(int fd, int command, off64_t length) { return lockf(fd, command, length); }
#endif

}  // extern "C"
