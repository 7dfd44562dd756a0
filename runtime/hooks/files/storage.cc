// SPDX-License-Identifier: Apache-2.0
//
// Calls that wait for the disk: fsync and fdatasync by io_uring if available, similar calls and the
// reservation of space on the offload pool. They are never cut short or refused to a cancelled task
// (on_pool.h).
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hooks/core/act.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/files/ring.h"

using namespace aiofiber::hooks;

extern "C" {

int fsync(int fd) {
  if (!acts()) return real::fsync(fd);
  int result = -1;
  if (ring_fsync(fd, false, result)) return result;
  return on_pool_to_the_end(-1, [=] { return real::fsync(fd); });
}

int fdatasync(int fd) {
  if (!acts()) return real::fdatasync(fd);
  int result = -1;
  if (ring_fsync(fd, true, result)) return result;
  return on_pool_to_the_end(-1, [=] { return real::fdatasync(fd); });
}

void sync() noexcept {
  if (!acts()) return real::sync();
  on_pool_to_the_end(-1, [] {
    real::sync();
    return 0;
  });
}

int syncfs(int fd) noexcept {
  if (!acts()) return real::syncfs(fd);
  return on_pool_to_the_end(-1, [=] { return real::syncfs(fd); });
}

int sync_file_range(int fd, off64_t from, off64_t length, unsigned flags) {
  if (!acts()) return real::sync_file_range(fd, from, length, flags);
  return on_pool_to_the_end(-1, [=] { return real::sync_file_range(fd, from, length, flags); });
}

int msync(void* address, size_t length, int flags) {
  if ((flags & MS_SYNC) == 0 || !acts()) return real::msync(address, length, flags);
  return on_pool_to_the_end(-1, [=] { return real::msync(address, length, flags); });
}

int fallocate(int fd, int mode, off_t from, off_t length) {
  if (!acts()) return real::fallocate(fd, mode, from, length);
  return on_pool_to_the_end(-1, [=] { return real::fallocate(fd, mode, from, length); });
}

// Returns its error and does not change errno.
int posix_fallocate(int fd, off_t from, off_t length) {
  if (!acts()) return real::posix_fallocate(fd, from, length);
  const int saved_errno = errno;
  const int failed = on_pool_to_the_end(-1, [=] {
    errno = real::posix_fallocate(fd, from, length);
    return errno == 0 ? 0 : -1;
  });
  const int result = failed != 0 ? errno : 0;
  errno = saved_errno;
  return result;
}

#if __LP64__
int fallocate64(int fd, int mode, off64_t from, off64_t length) { return fallocate(fd, mode, from, length); }
int posix_fallocate64(int fd, off64_t from, off64_t length) { return posix_fallocate(fd, from, length); }
#endif

}  // extern "C"
