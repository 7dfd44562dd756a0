// SPDX-License-Identifier: Apache-2.0
//
// The table of hints.
#include "hooks/core/fd_kind.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// A descriptor beyond the table is classified in every call.
constexpr std::size_t kTableSize = 65536;
constinit std::atomic<FdKind> kinds[kTableSize];

std::atomic<FdKind>* slot(int fd) noexcept {
  return fd >= 0 && static_cast<std::size_t>(fd) < kTableSize ? &kinds[fd] : nullptr;
}

// The kind is asked again before each write, so the flags are not cached.
FdKind file_kind(int fd) noexcept {
  const std::atomic<FdKind>* entry = slot(fd);
  if (entry != nullptr && entry->load(std::memory_order_relaxed) == FdKind::kFile) return FdKind::kFile;
  const int flags = real::fcntl64(fd, F_GETFL, nullptr);
  return flags >= 0 && (flags & O_DIRECT) != 0 ? FdKind::kDirect : FdKind::kFile;
}

FdKind kind_from_stat(int fd) noexcept {
  struct stat status;
  if (::fstat(fd, &status) != 0) return FdKind::kUnknown;
  if (S_ISSOCK(status.st_mode)) return FdKind::kSocket;
  if (S_ISDIR(status.st_mode)) return FdKind::kFile;
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return file_kind(fd);
  if (!poll_first_is_forced()) return FdKind::kNowait;
  return S_ISFIFO(status.st_mode) ? FdKind::kPipe : FdKind::kPollFirst;
}

}  // namespace

bool poll_first_is_forced() noexcept {
  static const bool forced = [] {
    const char* value = ::secure_getenv("AIOFIBER_HOOKS_POLL_FIRST");
    return value != nullptr && value[0] == '1';
  }();
  return forced;
}

void set_fd_kind(int fd, FdKind kind) noexcept {
  if (std::atomic<FdKind>* entry = slot(fd)) entry->store(kind, std::memory_order_relaxed);
}

FdKind classify_fd(int fd) noexcept {
  const int saved_errno = errno;
  const FdKind kind = kind_from_stat(fd);
  errno = saved_errno;
  set_fd_kind(fd, kind);
  return kind;
}

FdKind fd_kind(int fd) noexcept {
  if (std::atomic<FdKind>* entry = slot(fd)) {
    const FdKind hint = entry->load(std::memory_order_relaxed);
    if (hint != FdKind::kUnknown) return hint;
  }
  return classify_fd(fd);
}

void flags_of_fd_change(int fd) noexcept {
  std::atomic<FdKind>* entry = slot(fd);
  if (entry == nullptr) return;
  const FdKind kind = entry->load(std::memory_order_relaxed);
  if (kind == FdKind::kFile || kind == FdKind::kDirect)
    entry->store(FdKind::kUnknown, std::memory_order_relaxed);
}

FdKind kind_without_nowait(int fd) noexcept {
  struct stat status;
  const FdKind kind =
      ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) ? FdKind::kPipe : FdKind::kPollFirst;
  set_fd_kind(fd, kind);
  return kind;
}

}  // namespace aiofiber::hooks
