// SPDX-License-Identifier: Apache-2.0
//
// Calls that wait for the disk: fsync and fdatasync by io_uring if available, similar calls and the
// reservation of space on the offload pool. They are never cut short or refused to a cancelled task
// (on_pool.h).
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "aiofiber/runtime/engine/network.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/files/ring.h"

namespace aiofiber::hooks {

namespace {

// A sync on a simulated disk takes simulated time. It is not cut short either: a cancellation comes at the
// next wait.
int simulated_sync(runtime::Network& network, int fd) {
  const int saved_errno = errno;
  if (::fcntl(fd, F_GETFD) < 0) return -1;
  runtime::Fiber& fiber = *runtime::current_fiber();
  const runtime::Nanoseconds deadline = deadline_after(network.sync_length());
  bool cancelled = false;
  while (!fiber.unwinding && loop_now() < deadline) {
    cancelled |= fiber.take_interrupted();
    sleep_until(deadline);
  }
  fiber.interrupted |= cancelled;
  const int result = network.end_sync(fd);
  if (result == 0) errno = saved_errno;
  return result;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int fsync(int fd) {
  if (!acts()) return real::fsync(fd);
  if (aiofiber::runtime::Network* const network = aiofiber::runtime::disk_network())
    return simulated_sync(*network, fd);
  int result = -1;
  if (ring_fsync(fd, false, result)) return result;
  return on_pool_to_the_end(-1, [=] { return real::fsync(fd); });
}

int fdatasync(int fd) {
  if (!acts()) return real::fdatasync(fd);
  if (aiofiber::runtime::Network* const network = aiofiber::runtime::disk_network())
    return simulated_sync(*network, fd);
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
