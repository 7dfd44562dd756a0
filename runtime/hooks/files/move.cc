// SPDX-License-Identifier: Apache-2.0
//
// Calls that move bytes inside the kernel: sendfile, splice, tee, vmsplice; copy_file_range on the offload
// pool.
//
// Only pipes have a flag for one call (SPLICE_F_NONBLOCK). For the socket at the other end, and for sendfile,
// O_NONBLOCK is set around the system call. On EAGAIN the task waits for the end that is not ready.
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <optional>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/fd_kind.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"

namespace aiofiber::hooks {

namespace {

using runtime::kReadable;
using runtime::kWritable;

// O_NONBLOCK around one call, on a descriptor that can block it; does nothing for files.
class NonblockEnd {
 public:
  explicit NonblockEnd(int fd) noexcept {
    const FdKind kind = classify_fd(fd);
    if (kind == FdKind::kUnknown || kind == FdKind::kFile || kind == FdKind::kDirect) return;
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) scope_.emplace(fd, flags);
  }

 private:
  std::optional<NonblockScope> scope_;
};

ssize_t send_file(int out, int in, off_t* position, std::size_t length) {
  BlockingCall call(out, kWritable, SO_SNDTIMEO);
  std::size_t sent = 0;
  for (;;) {
    ssize_t n;
    {
      const NonblockEnd nonblocking(out);
      n = real::sendfile(out, in, position, length - sent);
    }
    if (n > 0) {
      note_sent(out);
      sent += static_cast<std::size_t>(n);
    }
    if (n == 0 || sent >= length) return static_cast<ssize_t>(sent);
    if (n < 0 && !call.probe_again()) return call.end_with_error(sent);
  }
}

// Repeats move(), which must not block, while it returns EAGAIN.
template <class Move>
ssize_t between(int in, int out, Move move) {
  BlockingCall readable(in, kReadable, SO_RCVTIMEO);
  BlockingCall writable(out, kWritable, SO_SNDTIMEO);
  const int errno_at_start = errno;
  for (;;) {
    ssize_t n;
    {
      const NonblockEnd in_end(in);
      const NonblockEnd out_end(out);
      n = move();
    }
    if (n > 0) {
      note_received(in);
      note_sent(out);
    }
    if (n >= 0) return n;
    if (errno == EINTR) {
      errno = errno_at_start;
      continue;
    }
    if (errno != EAGAIN) return -1;
    // Both may have become ready meanwhile: then try again, in a later turn of the loop.
    if (!is_ready_now(in, POLLIN) ? !readable.wait() : !writable.wait()) return -1;
  }
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

ssize_t sendfile(int out, int in, off_t* position, size_t length) noexcept {
  if (refuses_to_send(out)) return -1;
  if (length == 0 || !acts()) return real::sendfile(out, in, position, length);
  return send_file(out, in, position, length);
}

ssize_t splice(int in, loff_t* in_position, int out, loff_t* out_position, size_t length, unsigned flags) {
  if (refuses_to_receive(in) || refuses_to_send(out)) return -1;
  if (length == 0 || (flags & SPLICE_F_NONBLOCK) != 0 || !acts())
    return real::splice(in, in_position, out, out_position, length, flags);
  return between(in, out, [&] {
    return real::splice(in, in_position, out, out_position, length, flags | SPLICE_F_NONBLOCK);
  });
}

ssize_t tee(int in, int out, size_t length, unsigned flags) {
  if (length == 0 || (flags & SPLICE_F_NONBLOCK) != 0 || !acts()) return real::tee(in, out, length, flags);
  return between(in, out, [&] { return real::tee(in, out, length, flags | SPLICE_F_NONBLOCK); });
}

ssize_t vmsplice(int fd, const iovec* pieces, size_t count, unsigned flags) {
  if (count == 0 || (flags & SPLICE_F_NONBLOCK) != 0 || !acts())
    return real::vmsplice(fd, pieces, count, flags);
  const int access = ::fcntl(fd, F_GETFL);
  if (access < 0) return -1;
  BlockingCall call(fd, (access & O_ACCMODE) == O_RDONLY ? kReadable : kWritable, 0);
  for (;;) {
    const ssize_t n = real::vmsplice(fd, pieces, count, flags | SPLICE_F_NONBLOCK);
    if (n >= 0) return n;
    if (!call.probe_again()) return -1;
  }
}

ssize_t copy_file_range(int in, loff_t* in_position, int out, loff_t* out_position, size_t length,
                        unsigned flags) {
  if (length == 0 || !acts()) return real::copy_file_range(in, in_position, out, out_position, length, flags);
  return on_pool_to_the_end(
      ssize_t{-1}, [&] { return real::copy_file_range(in, in_position, out, out_position, length, flags); });
}

#if __LP64__
ssize_t sendfile64(int out, int in, off64_t* position, size_t length) noexcept {
  return sendfile(out, in, position, length);
}
#endif

}  // extern "C"
