// SPDX-License-Identifier: Apache-2.0
//
// Files by their names, and their lengths: open, rename, unlink, mkdir, truncate and the like, on the offload
// pool if that is asked for (AIOFIBER_FILES_ON_POOL=1, hooks::set_files_on_pool()).
//
// On an idle disk they take microseconds, and a trip to the pool takes longer than that; on a busy one, while
// a journal is written, hundreds of milliseconds, which stop all tasks of the thread. As with fsync, a
// cancelled task makes its call to the end: nobody wants to guess whether a file has its new name.
//
// A child of vfork shares the memory of its parent, so it looks like the task: it is told by its id, and
// waits for nobody.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <string_view>

#include "hooks/act.h"
#include "hooks/on_pool.h"
#include "hooks/real.h"

namespace aiofiber::hooks {

namespace {

constinit std::atomic<bool> files_on_pool = false;

[[gnu::constructor]] void read_setting() noexcept {
  const char* const wanted = ::secure_getenv("AIOFIBER_FILES_ON_POOL");
  if (wanted != nullptr && std::string_view(wanted) == "1")
    files_on_pool.store(true, std::memory_order_relaxed);
}

bool goes_to_pool() noexcept {
  if (AIOFIBER_LIKELY(!files_on_pool.load(std::memory_order_relaxed))) return false;
  const runtime::Fiber* const fiber = act();
  return fiber != nullptr && static_cast<std::uint32_t>(::syscall(SYS_gettid)) == fiber->tid;
}

template <class Call>
int by_pool(Call call) {
  return goes_to_pool() ? on_pool_to_the_end(-1, call) : call();
}

// Only then is there a third argument.
bool has_mode(int flags) noexcept { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

void aiofiber_set_files_on_pool(bool wanted) noexcept {
  files_on_pool.store(wanted, std::memory_order_relaxed);
}

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (has_mode(flags)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return by_pool([=] { return real::open(path, flags, mode); });
}

int openat(int folder, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (has_mode(flags)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return by_pool([=] { return real::openat(folder, path, flags, mode); });
}

// What open and openat are called in a program that was compiled with -D_FORTIFY_SOURCE: libc's look whether
// a mode is missing.
int __open_2(const char* path, int flags) {
  return by_pool([=] { return real::__open_2(path, flags); });
}
int __openat_2(int folder, const char* path, int flags) {
  return by_pool([=] { return real::__openat_2(folder, path, flags); });
}

int creat(const char* path, mode_t mode) {
  return by_pool([=] { return real::creat(path, mode); });
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

int truncate(const char* path, off_t length) noexcept {
  return by_pool([=] { return real::truncate(path, length); });
}
int ftruncate(int fd, off_t length) noexcept {
  return by_pool([=] { return real::ftruncate(fd, length); });
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
#endif

}  // extern "C"
