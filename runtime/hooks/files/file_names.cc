// SPDX-License-Identifier: Apache-2.0
//
// File operations by name, and changes of length and attributes: open, rename, unlink, mkdir, truncate, chmod
// and others, on the offload pool if that is requested (files_on_pool.h).
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <string_view>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/network.h"
#include "hooks/core/act.h"
#include "hooks/core/descriptor_notes.h"
#include "hooks/core/real.h"
#include "hooks/core/vforked_child.h"
#include "hooks/files/files_on_pool.h"

namespace aiofiber::hooks {

namespace detail {

constinit std::atomic<bool> files_on_pool = false;

bool may_go_to_pool() noexcept { return act() != nullptr && !in_vforked_child(); }

}  // namespace detail

namespace {

[[gnu::constructor]] void read_setting() noexcept {
  const char* const wanted = ::secure_getenv("AIOFIBER_FILES_ON_POOL");
  if (wanted != nullptr && std::string_view(wanted) == "1")
    detail::files_on_pool.store(true, std::memory_order_relaxed);
}

// Whether the call has a third argument.
bool has_mode(int flags) noexcept { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

void aiofiber_set_files_on_pool(bool wanted) noexcept {
  detail::files_on_pool.store(wanted, std::memory_order_relaxed);
}

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (has_mode(flags)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  if (aiofiber::runtime::Network* const network = aiofiber::runtime::current_network;
      AIOFIBER_UNLIKELY(network != nullptr) && act() != nullptr) {
    const int opened = network->open(path, flags);
    if (opened != aiofiber::runtime::Network::kIsNone) return noted_opened(opened);
  }
  return noted_opened(by_pool([=] { return real::open(path, flags, mode); }));
}

int openat(int folder, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (has_mode(flags)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return noted_opened(by_pool([=] { return real::openat(folder, path, flags, mode); }));
}

// open and openat in programs compiled with -D_FORTIFY_SOURCE: libc's versions check whether a mode is
// missing.
int __open_2(const char* path, int flags) {
  return noted_opened(by_pool([=] { return real::__open_2(path, flags); }));
}
int __openat_2(int folder, const char* path, int flags) {
  return noted_opened(by_pool([=] { return real::__openat_2(folder, path, flags); }));
}

int creat(const char* path, mode_t mode) {
  return noted_opened(by_pool([=] { return real::creat(path, mode); }));
}

int rename(const char* from, const char* to) noexcept {
  return by_pool([=] { return real::rename(from, to); });
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return by_pool([=] { return real::renameat(from_folder, from, to_folder, to); });
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  return by_pool([=] { return real::renameat2(from_folder, from, to_folder, to, flags); });
}

int unlink(const char* path) noexcept {
  return by_pool([=] { return real::unlink(path); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return by_pool([=] { return real::unlinkat(folder, path, flags); });
}
int remove(const char* path) noexcept {
  return by_pool([=] { return real::remove(path); });
}
int rmdir(const char* path) noexcept {
  return by_pool([=] { return real::rmdir(path); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  return by_pool([=] { return real::mkdir(path, mode); });
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return by_pool([=] { return real::mkdirat(folder, path, mode); });
}

int link(const char* from, const char* to) noexcept {
  return by_pool([=] { return real::link(from, to); });
}
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return by_pool([=] { return real::linkat(from_folder, from, to_folder, to, flags); });
}
int symlink(const char* target, const char* path) noexcept {
  return by_pool([=] { return real::symlink(target, path); });
}
int symlinkat(const char* target, int folder, const char* path) noexcept {
  return by_pool([=] { return real::symlinkat(target, folder, path); });
}

int mkfifo(const char* path, mode_t mode) noexcept {
  return by_pool([=] { return real::mkfifo(path, mode); });
}
int mkfifoat(int folder, const char* path, mode_t mode) noexcept {
  return by_pool([=] { return real::mkfifoat(folder, path, mode); });
}
int mknod(const char* path, mode_t mode, dev_t device) noexcept {
  return by_pool([=] { return real::mknod(path, mode, device); });
}
int mknodat(int folder, const char* path, mode_t mode, dev_t device) noexcept {
  return by_pool([=] { return real::mknodat(folder, path, mode, device); });
}

int truncate(const char* path, off_t length) noexcept {
  return by_pool([=] { return real::truncate(path, length); });
}
int ftruncate(int fd, off_t length) noexcept {
  return by_pool([=] { return real::ftruncate(fd, length); });
}

// ---- advice: it looks up where the file is on the disk, and may begin to write what is in memory
// Returns its error and does not change errno.
int posix_fadvise(int fd, off_t from, off_t length, int advice) noexcept {
  return by_pool([=] { return real::posix_fadvise(fd, from, length, advice); });
}
ssize_t readahead(int fd, off64_t from, std::size_t count) noexcept {
  return by_pool([=] { return real::readahead(fd, from, count); });
}

// ---- attributes

int chmod(const char* path, mode_t mode) noexcept {
  return by_pool([=] { return real::chmod(path, mode); });
}
int fchmod(int fd, mode_t mode) noexcept {
  return by_pool([=] { return real::fchmod(fd, mode); });
}
int lchmod(const char* path, mode_t mode) noexcept {
  return by_pool([=] { return real::lchmod(path, mode); });
}
int fchmodat(int folder, const char* path, mode_t mode, int flags) noexcept {
  return by_pool([=] { return real::fchmodat(folder, path, mode, flags); });
}

int chown(const char* path, uid_t owner, gid_t group) noexcept {
  return by_pool([=] { return real::chown(path, owner, group); });
}
int fchown(int fd, uid_t owner, gid_t group) noexcept {
  return by_pool([=] { return real::fchown(fd, owner, group); });
}
int lchown(const char* path, uid_t owner, gid_t group) noexcept {
  return by_pool([=] { return real::lchown(path, owner, group); });
}
int fchownat(int folder, const char* path, uid_t owner, gid_t group, int flags) noexcept {
  return by_pool([=] { return real::fchownat(folder, path, owner, group, flags); });
}

int utime(const char* path, const utimbuf* times) noexcept {
  return by_pool([=] { return real::utime(path, times); });
}
int utimes(const char* path, const timeval* times) noexcept {
  return by_pool([=] { return real::utimes(path, times); });
}
int lutimes(const char* path, const timeval* times) noexcept {
  return by_pool([=] { return real::lutimes(path, times); });
}
int futimes(int fd, const timeval* times) noexcept {
  return by_pool([=] { return real::futimes(fd, times); });
}
int futimesat(int folder, const char* path, const timeval* times) noexcept {
  return by_pool([=] { return real::futimesat(folder, path, times); });
}
int utimensat(int folder, const char* path, const timespec* times, int flags) noexcept {
  return by_pool([=] { return real::utimensat(folder, path, times, flags); });
}
int futimens(int fd, const timespec* times) noexcept {
  return by_pool([=] { return real::futimens(fd, times); });
}

int setxattr(const char* path, const char* name, const void* value, size_t size, int flags) noexcept {
  return by_pool([=] { return real::setxattr(path, name, value, size, flags); });
}
int lsetxattr(const char* path, const char* name, const void* value, size_t size, int flags) noexcept {
  return by_pool([=] { return real::lsetxattr(path, name, value, size, flags); });
}
int fsetxattr(int fd, const char* name, const void* value, size_t size, int flags) noexcept {
  return by_pool([=] { return real::fsetxattr(fd, name, value, size, flags); });
}
int removexattr(const char* path, const char* name) noexcept {
  return by_pool([=] { return real::removexattr(path, name); });
}
int lremovexattr(const char* path, const char* name) noexcept {
  return by_pool([=] { return real::lremovexattr(path, name); });
}
int fremovexattr(int fd, const char* name) noexcept {
  return by_pool([=] { return real::fremovexattr(fd, name); });
}

#if __LP64__  // where off_t has 64 bits the longer names are the same functions
int open64(const char* path, int flags, ...) __attribute__((nonnull(1), alias("open")));
int __open(const char* path, int flags, ...) __attribute__((nonnull(1), alias("open")));
int __open64(const char* path, int flags, ...) __attribute__((nonnull(1), alias("open")));
int openat64(int folder, const char* path, int flags, ...) __attribute__((nonnull(2), alias("openat")));
int __open64_2(const char* path, int flags) { return __open_2(path, flags); }
int __openat64_2(int folder, const char* path, int flags) { return __openat_2(folder, path, flags); }
int creat64(const char* path, mode_t mode) { return creat(path, mode); }
int truncate64(const char* path, off64_t length) noexcept { return truncate(path, length); }
int ftruncate64(int fd, off64_t length) noexcept { return ftruncate(fd, length); }
int posix_fadvise64(int fd, off64_t from, off64_t length, int advice) noexcept {
  return posix_fadvise(fd, from, length, advice);
}
#endif

// What mknod and mknodat were until glibc 2.33, in programs and libraries that were linked then.
#if AIOFIBER_ARCH_HAS_XSTAT
int __xmknod(int version, const char* path, mode_t mode, dev_t* device);
int __xmknodat(int version, int folder, const char* path, mode_t mode, dev_t* device);
int __xmknod(int version, const char* path, mode_t mode, dev_t* device) {
  return by_pool([=] { return real::__xmknod(version, path, mode, device); });
}
int __xmknodat(int version, int folder, const char* path, mode_t mode, dev_t* device) {
  return by_pool([=] { return real::__xmknodat(version, folder, path, mode, device); });
}
#endif

}  // extern "C"
