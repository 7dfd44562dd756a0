// SPDX-License-Identifier: Apache-2.0
//
// read and write on anything: sockets, pipes, eventfd, terminals, files.
//
// The probe depends on the kind of the descriptor (fd_kind.h). Regular files are read from the page cache at
// once, else on the offload pool. They are written directly, because buffered writes only copy. O_DIRECT
// always waits for the disk.
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/fd_kind.h"
#include "hooks/core/fortify.h"
#include "hooks/core/iov_cursor.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"
#include "hooks/net/net.h"

namespace aiofiber::hooks {

namespace {

using runtime::kReadable;
using runtime::kWritable;

// The number of pieces for the system call. No successful call has more than IOV_MAX.
int piece_count(const IovCursor& rest) noexcept {
  return static_cast<int>(std::min<std::size_t>(rest.count(), INT_MAX));
}

msghdr message_of(const IovCursor& rest) noexcept {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(rest.pieces());
  message.msg_iovlen = rest.count();
  return message;
}

bool is_ready(int fd, short events) noexcept {
  if (is_ready_now(fd, events)) return true;
  errno = EAGAIN;
  return false;
}

// The kernel refused the flag, or the hint was stale: chooses another probe. Returns true to try again.
bool probe_differently(int fd, FdKind kind) noexcept {
  if (errno == ENOTSOCK && kind == FdKind::kSocket) return classify_fd(fd) != FdKind::kSocket;
  if ((errno == EOPNOTSUPP || errno == ENOSYS) && kind == FdKind::kNowait) {
    const FdKind now = classify_fd(fd);
    if (now == FdKind::kNowait) kind_without_nowait(fd);
    return now != FdKind::kUnknown;
  }
  return false;
}

// ---- reading

ssize_t probe_read(FdKind kind, int fd, const IovCursor& rest) noexcept {
  switch (kind) {
    case FdKind::kSocket: {
      if (runtime::Network* const network = runtime::message_network();
          AIOFIBER_UNLIKELY(network != nullptr) && !network->before_receive(fd, 0))
        return -1;
      if (rest.count() == 1) {  // the kernel copies less for it
        const iovec& only = *rest.pieces();
        return real::recvfrom(fd, only.iov_base, only.iov_len, MSG_DONTWAIT, nullptr, nullptr);
      }
      msghdr message = message_of(rest);
      return real::recvmsg(fd, &message, MSG_DONTWAIT);
    }
    case FdKind::kPipe:
    case FdKind::kPollFirst:
      return is_ready(fd, POLLIN) ? real::readv(fd, rest.pieces(), piece_count(rest)) : -1;
    default:
      return real::preadv2(fd, rest.pieces(), piece_count(rest), -1, RWF_NOWAIT);
  }
}

// The data is not in memory, so a pool thread waits for the disk. io_uring is no choice: the file position
// moves under a lock that only read(2) takes.
ssize_t read_file_offloaded(int fd, const IovCursor& rest) {
  ssize_t result = -1;
  const auto call = [&] {
    return uninterrupted([&] { return real::readv(fd, rest.pieces(), piece_count(rest)); });
  };
  if (runtime::current_fiber()->unwinding || must_stay_here(rest.pieces(), rest.count())) return call();
  const bool done = without_throwing([&] { result = runtime::offload(call); });
  calls_since_turn = 0;
  return done ? result : -1;
}

ssize_t read_all_kinds(int fd, const iovec* pieces, int count) {
  const std::size_t length = total_length(pieces, static_cast<std::size_t>(count));
  IovCursor rest(pieces, static_cast<std::size_t>(count));
  BlockingCall call(fd, kReadable, SO_RCVTIMEO);  // only sockets have a timeout
  const int errno_at_start = errno;
  if (!call.wait_if_drained()) return -1;
  std::size_t received = 0;
  for (;;) {
    const FdKind kind = fd_kind(fd);
    if (kind == FdKind::kUnknown) return real::readv(fd, pieces, count);
    if (kind == FdKind::kDirect) {
      if (classify_fd(fd) != kind) continue;  // the number was reused
      return read_file_offloaded(fd, rest);
    }
    ssize_t n = probe_read(kind, fd, rest);
    if (n < 0) {
      if (errno == EINTR || probe_differently(fd, kind)) {
        errno = errno_at_start;
        continue;
      }
      if (kind == FdKind::kFile && (errno == EAGAIN || errno == EOPNOTSUPP || errno == ENOSYS)) {
        if (classify_fd(fd) != FdKind::kFile) continue;  // the number was reused
        // EOPNOTSUPP: tmpfs, procfs and so on have nothing to wait for.
        n = errno == EAGAIN ? read_file_offloaded(fd, rest)
                            : real::readv(fd, rest.pieces(), piece_count(rest));
        if (n >= 0) errno = errno_at_start;
      } else if (errno == EAGAIN) {
        if (call.wait()) continue;
        return -1;
      }
    }
    if (n < 0) return call.end_with_error(received);
    if (kind == FdKind::kSocket) {
      if (n > 0) note_received(fd);
      known_settings::note_read(fd, static_cast<std::size_t>(n), length);
    }
    received += static_cast<std::size_t>(n);
    rest.advance(static_cast<std::size_t>(n));
    // A short count from a file can mean "the rest is not in memory"; read(2) would have read it.
    if (kind != FdKind::kFile || n == 0 || received >= length) return static_cast<ssize_t>(received);
  }
}

// ---- writing

// Bypasses the page cache, so it waits for the disk.
ssize_t write_file_offloaded(int fd, const IovCursor& rest) {
  const auto call = [&] { return real::writev(fd, rest.pieces(), piece_count(rest)); };
  return must_stay_here(rest.pieces(), rest.count()) ? uninterrupted(call)
                                                     : on_pool_to_the_end(ssize_t{-1}, call);
}

ssize_t write_piecewise_after_poll(FdKind kind, int fd, const IovCursor& rest) noexcept {
  if (!is_ready(fd, POLLOUT)) return -1;
  if (kind == FdKind::kPipe) {
    // A writable pipe takes PIPE_BUF bytes without blocking; more is not guaranteed.
    const iovec& first = *rest.pieces();
    return real::write(fd, first.iov_base, std::min<std::size_t>(first.iov_len, PIPE_BUF));
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return -1;
  const NonblockScope nonblocking(fd, flags);
  return real::writev(fd, rest.pieces(), piece_count(rest));
}

// On a simulated disk: a short write of the first piece, if not all of them fit.
ssize_t write_what_fits(runtime::Network& network, int fd, const IovCursor& rest) noexcept {
  const std::size_t length = total_length(rest.pieces(), rest.count());
  const std::size_t room = network.disk_room(fd, -1, length);
  if (room >= length) {
    network.disk_takes(fd, -1, length);
    return real::writev(fd, rest.pieces(), piece_count(rest));
  }
  if (room == 0) {
    errno = ENOSPC;
    return -1;
  }
  const iovec* piece = rest.pieces();
  while (piece->iov_len == 0) ++piece;
  const std::size_t fitting = std::min(piece->iov_len, room);
  network.disk_takes(fd, -1, fitting);
  return real::write(fd, piece->iov_base, fitting);
}

ssize_t probe_write(FdKind kind, int fd, const IovCursor& rest, std::size_t sent) noexcept {
  switch (kind) {
    case FdKind::kSocket: {
      const bool is_simulated = runtime::current_network != nullptr;
      const int flags = MSG_DONTWAIT | (sent > 0 || is_simulated ? MSG_NOSIGNAL : 0);
      if (rest.count() == 1) {
        const iovec& only = *rest.pieces();
        return real::sendto(fd, only.iov_base, only.iov_len, flags, nullptr, 0);
      }
      const msghdr message = message_of(rest);
      return real::sendmsg(fd, &message, flags);
    }
    case FdKind::kPipe:
    case FdKind::kPollFirst:
      return write_piecewise_after_poll(kind, fd, rest);
    case FdKind::kFile:
      if (runtime::Network* const network = runtime::disk_network(); AIOFIBER_UNLIKELY(network != nullptr))
        return write_what_fits(*network, fd, rest);
      return real::writev(fd, rest.pieces(), piece_count(rest));
    default:
      return real::pwritev2(fd, rest.pieces(), piece_count(rest), -1, RWF_NOWAIT);
  }
}

ssize_t write_all_kinds(int fd, const iovec* pieces, int count) {
  const std::size_t length = total_length(pieces, static_cast<std::size_t>(count));
  IovCursor rest(pieces, static_cast<std::size_t>(count));
  BlockingCall call(fd, kWritable, SO_SNDTIMEO);  // only sockets have a timeout
  const int errno_at_start = errno;
  std::size_t sent = 0;
  if (fd_kind(fd) == FdKind::kSocket) {
    take_part();
    ssize_t by_network;
    if (AIOFIBER_UNLIKELY(runtime::current_network != nullptr) &&
        transmit_by_network(fd, message_of(rest), 0, by_network))
      return by_network;
  }
  for (;;) {
    FdKind kind = fd_kind(fd);
    if (kind == FdKind::kFile || kind == FdKind::kDirect)
      kind = classify_fd(fd);  // a write is not a probe, so the kind must be certain
    if (kind == FdKind::kDirect) return write_file_offloaded(fd, rest);
    if (kind == FdKind::kUnknown)
      return sent > 0 ? static_cast<ssize_t>(sent) : real::writev(fd, pieces, count);
    const ssize_t n = probe_write(kind, fd, rest, sent);
    if (n >= 0) {
      if (kind == FdKind::kSocket) note_sent(fd);
      sent += static_cast<std::size_t>(n);
      if (sent >= length || kind == FdKind::kFile) return static_cast<ssize_t>(sent);
      rest.advance(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR || probe_differently(fd, kind)) {
      errno = errno_at_start;
      continue;
    }
    if (errno == EAGAIN && call.wait()) continue;
    const ssize_t result = call.end_with_error(sent);
    return kind == FdKind::kSocket ? raise_sigpipe_if_simulated(0, result) : result;
  }
}

// Nothing is written, which is an empty message to a simulated socket of datagrams, as on Linux (not by
// writev(), which does not reach the socket then).
ssize_t write_nothing(int fd, const void* data) {
  iovec piece;
  ssize_t by_network;
  return transmit_by_network(fd, runtime::as_message(piece, data, 0, nullptr, 0), 0, by_network)
             ? by_network
             : real::write(fd, data, 0);
}

// Lengths for which the kernel does not look at the data. It handles them itself, errors included.
bool is_trivial(const iovec* pieces, int count) noexcept {
  return count <= 0 || count > IOV_MAX || pieces == nullptr ||
         total_length(pieces, static_cast<std::size_t>(count)) == 0;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

ssize_t read(int fd, void* buffer, size_t length) {
  if (refuses_to_receive(fd)) return -1;
  if (length == 0 || !acts()) return real::read(fd, buffer, length);
  const iovec piece{buffer, length};
  return read_all_kinds(fd, &piece, 1);
}

ssize_t readv(int fd, const iovec* pieces, int count) {
  if (refuses_to_receive(fd)) return -1;
  if (!acts() || is_trivial(pieces, count)) return real::readv(fd, pieces, count);
  return read_all_kinds(fd, pieces, count);
}

ssize_t write(int fd, const void* data, size_t length) {
  if (refuses_to_send(fd)) return -1;
  if (act() == nullptr) return real::write(fd, data, length);
  if (length == 0) return write_nothing(fd, data);
  const iovec piece{const_cast<void*>(data), length};
  return write_all_kinds(fd, &piece, 1);
}

ssize_t writev(int fd, const iovec* pieces, int count) {
  if (refuses_to_send(fd)) return -1;
  if (act() == nullptr || is_trivial(pieces, count)) return real::writev(fd, pieces, count);
  return write_all_kinds(fd, pieces, count);
}

// The name of read in programs compiled with -D_FORTIFY_SOURCE.
ssize_t __read_chk(int fd, void* buffer, size_t length, size_t buffer_size) {
  if (length > buffer_size) __chk_fail();
  return read(fd, buffer, length);
}

}  // extern "C"
