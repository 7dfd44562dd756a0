// SPDX-License-Identifier: Apache-2.0
//
// Reading folders: opendir, readdir and so on, on the offload pool if enabled (files_on_pool.h).
//
// libc reads entries in blocks of some thousand bytes and returns them one by one, so most calls of readdir
// need no system call. Two positions tell which call does: the kernel's, after the last entry of the block,
// and that of the last returned entry. If they are equal, the block is used up.
// Calls that walk folders inside libc (scandir, nftw, fts_read, glob) are not hooked, as they call the caller
// back.
#include <dirent.h>
#include <unistd.h>

#include <cerrno>

#include "hooks/core/real.h"
#include "hooks/files/files_on_pool.h"

namespace aiofiber::hooks {

namespace {

// errno is kept.
bool reads_next_block(DIR* folder) noexcept {
  const int saved_errno = errno;
  const off_t block_end = ::lseek(::dirfd(folder), 0, SEEK_CUR);
  const bool used_up = block_end < 0 || block_end == ::telldir(folder);
  errno = saved_errno;
  return used_up;
}

// Returns its error and does not change errno.
int read_entry(DIR* folder, dirent* entry, dirent** result) {
  if (!goes_to_pool() || !reads_next_block(folder)) return real::readdir_r(folder, entry, result);
  return on_pool_to_the_end(-1, [=] { return real::readdir_r(folder, entry, result); });
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

DIR* opendir(const char* path) {
  return by_pool<DIR*>(nullptr, [=] { return real::opendir(path); });
}

dirent* readdir(DIR* folder) {
  if (!goes_to_pool() || !reads_next_block(folder)) return real::readdir(folder);
  return on_pool_to_the_end<dirent*>(nullptr, [=] { return real::readdir(folder); });
}

int readdir_r(DIR* folder, dirent* entry, dirent** result) { return read_entry(folder, entry, result); }

ssize_t getdents64(int fd, void* buffer, size_t size) noexcept {
  return by_pool([=] { return real::getdents64(fd, buffer, size); });
}

#if __LP64__  // where off_t has 64 bits the longer names are the same functions
dirent64* readdir64(DIR* folder) { return reinterpret_cast<dirent64*>(readdir(folder)); }
int readdir64_r(DIR* folder, dirent64* entry, dirent64** result) {
  return read_entry(folder, reinterpret_cast<dirent*>(entry), reinterpret_cast<dirent**>(result));
}
#endif

}  // extern "C"
