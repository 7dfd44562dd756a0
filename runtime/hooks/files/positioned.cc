// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes at a position: pread, preadv, preadv2, pwrite, pwritev, pwritev2 with their 64-bit and
// fortified names.
//
// Only files can be read at a position: from the page cache at once, else by io_uring or on the offload pool.
// Writes at a position only copy, so they stay libc's, except for files with O_DIRECT. Position -1 of preadv2
// and pwritev2 means the descriptor's own position, also on pipes and sockets. Then they act as readv and
// writev, unless the caller asked not to wait.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "aiofiber/runtime/engine/network.h"
#include "hooks/core/act.h"
#include "hooks/core/fd_kind.h"
#include "hooks/core/fortify.h"
#include "hooks/core/iov_cursor.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"
#include "hooks/files/ring.h"

namespace aiofiber::hooks {

namespace {

// A short count can mean "the rest is not in memory"; a blocking pread would have read it.
ssize_t read_at(int fd, const iovec* pieces, int count, off_t position, int flags) {
  const int errno_at_start = errno;
  const std::size_t length = total_length(pieces, static_cast<std::size_t>(count));
  IovCursor rest(pieces, static_cast<std::size_t>(count));
  std::size_t received = 0;
  do {
    const auto from = position + static_cast<off_t>(received);
    const auto call = [&](int extra) {
      return uninterrupted([&] {
        return real::preadv2(fd, rest.pieces(), static_cast<int>(rest.count()), from, flags | extra);
      });
    };
    const bool direct = fd_kind(fd) == FdKind::kDirect;
    ssize_t n = direct ? -1 : call(RWF_NOWAIT);
    if (direct || (n < 0 && errno == EAGAIN)) {
      errno = errno_at_start;
      if (must_stay_here(rest.pieces(), rest.count())) {
        n = call(0);
      } else if (!ring_readv(fd, rest.pieces(), static_cast<int>(rest.count()), from, flags, n)) {
        n = on_pool(ssize_t{-1}, [&] { return call(0); });
      }
    } else if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
      n = call(0);  // tmpfs, procfs and so on have nothing to wait for
    }
    if (n < 0 && received == 0) return -1;
    errno = errno_at_start;
    if (n < 0) return static_cast<ssize_t>(received);
    if (n == 0) break;
    if (direct) return n;
    received += static_cast<std::size_t>(n);
    rest.advance(static_cast<std::size_t>(n));
  } while (received < length);
  return static_cast<ssize_t>(received);
}

// Only writes that bypass the page cache wait for the disk; all others are libc's.
bool write_waits(int fd, off_t position) {
  return position >= 0 && act() != nullptr && fd_kind(fd) == FdKind::kDirect && acts();
}

ssize_t write_at(int fd, const iovec* pieces, int count, off_t position, int flags) {
  ssize_t result = -1;
  const auto call = [=] { return real::pwritev2(fd, pieces, count, position, flags); };
  if (must_stay_here(pieces, static_cast<std::size_t>(count))) return uninterrupted(call);
  if (ring_writev(fd, pieces, count, position, flags, result)) return result;
  return on_pool_to_the_end(ssize_t{-1}, call);
}

// Shortens a write to what fits on a simulated disk. False with errno ENOSPC: nothing does.
bool clip_to_disk(int fd, off_t position, std::size_t& length) noexcept {
  if (AIOFIBER_LIKELY(runtime::current_network == nullptr) || position < 0 || length == 0) return true;
  runtime::Network* const network = act() != nullptr ? runtime::disk_network() : nullptr;
  if (network == nullptr) return true;
  length = network->disk_room(fd, position, length);
  if (length == 0) errno = ENOSPC;
  if (length > 0) network->disk_takes(fd, position, length);
  return length > 0;
}

bool is_trivial(const iovec* pieces, int count, off_t position) noexcept {
  return position < 0 || pieces == nullptr || count <= 0 || count > IOV_MAX ||
         total_length(pieces, static_cast<std::size_t>(count)) == 0;
}

// The same for pieces: if not all fit, `fitting` is the only one left, a part of the first.
bool clip_to_disk(int fd, off_t position, const iovec*& pieces, int& count, iovec& fitting) noexcept {
  if (AIOFIBER_LIKELY(runtime::current_network == nullptr) || is_trivial(pieces, count, position))
    return true;
  runtime::Network* const network = act() != nullptr ? runtime::disk_network() : nullptr;
  if (network == nullptr) return true;
  const std::size_t length = total_length(pieces, static_cast<std::size_t>(count));
  if (network->disk_room(fd, position, length) == length) {
    network->disk_takes(fd, position, length);
    return true;
  }
  while (pieces->iov_len == 0) ++pieces;
  fitting = *pieces;
  pieces = &fitting;
  count = 1;
  return clip_to_disk(fd, position, fitting.iov_len);
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

ssize_t pread(int fd, void* buffer, size_t length, off_t position) {
  if (length == 0 || position < 0 || !acts()) return real::pread(fd, buffer, length, position);
  const iovec piece{buffer, length};
  return read_at(fd, &piece, 1, position, 0);
}

ssize_t preadv(int fd, const iovec* pieces, int count, off_t position) {
  if (!acts() || is_trivial(pieces, count, position)) return real::preadv(fd, pieces, count, position);
  return read_at(fd, pieces, count, position, 0);
}

ssize_t preadv2(int fd, const iovec* pieces, int count, off_t position, int flags) {
  if (act() == nullptr || (flags & RWF_NOWAIT) != 0) return real::preadv2(fd, pieces, count, position, flags);
  if (position == -1 && flags == 0) return readv(fd, pieces, count);
  if (!acts() || is_trivial(pieces, count, position))
    return real::preadv2(fd, pieces, count, position, flags);
  return read_at(fd, pieces, count, position, flags);
}

ssize_t pwrite(int fd, const void* data, size_t length, off_t position) {
  if (!clip_to_disk(fd, position, length)) return -1;
  if (!write_waits(fd, position)) return real::pwrite(fd, data, length, position);
  const iovec piece{const_cast<void*>(data), length};
  return write_at(fd, &piece, 1, position, 0);
}

ssize_t pwritev(int fd, const iovec* pieces, int count, off_t position) {
  iovec fitting;
  if (!clip_to_disk(fd, position, pieces, count, fitting)) return -1;
  if (!write_waits(fd, position)) return real::pwritev(fd, pieces, count, position);
  return write_at(fd, pieces, count, position, 0);
}

ssize_t pwritev2(int fd, const iovec* pieces, int count, off_t position, int flags) {
  iovec fitting;
  if (!clip_to_disk(fd, position, pieces, count, fitting)) return -1;
  if (write_waits(fd, position)) return write_at(fd, pieces, count, position, flags);
  if (act() != nullptr && position == -1 && flags == 0) return writev(fd, pieces, count);
  return real::pwritev2(fd, pieces, count, position, flags);
}

ssize_t __pread_chk(int fd, void* buffer, size_t length, off_t position, size_t buffer_size) {
  if (length > buffer_size) __chk_fail();
  return pread(fd, buffer, length, position);
}

#if __LP64__  // where off_t has 64 bits the longer names are the same functions
ssize_t pread64(int fd, void* buffer, size_t length, off64_t position) {
  return pread(fd, buffer, length, position);
}
ssize_t __pread64(int fd, void* buffer, size_t length, off64_t position) {
  return pread(fd, buffer, length, position);
}
ssize_t pwrite64(int fd, const void* data, size_t length, off64_t position) {
  return pwrite(fd, data, length, position);
}
ssize_t __pwrite64(int fd, const void* data, size_t length, off64_t position) {
  return pwrite(fd, data, length, position);
}
ssize_t pwritev64(int fd, const iovec* pieces, int count, off64_t position) {
  return pwritev(fd, pieces, count, position);
}
ssize_t preadv64(int fd, const iovec* pieces, int count, off64_t position) {
  return preadv(fd, pieces, count, position);
}
ssize_t preadv64v2(int fd, const iovec* pieces, int count, off64_t position, int flags) {
  return preadv2(fd, pieces, count, position, flags);
}
ssize_t pwritev64v2(int fd, const iovec* pieces, int count, off64_t position, int flags) {
  return pwritev2(fd, pieces, count, position, flags);
}
ssize_t __pread64_chk(int fd, void* buffer, size_t length, off64_t position, size_t buffer_size) {
  return __pread_chk(fd, buffer, length, position, buffer_size);
}
#endif

}  // extern "C"
