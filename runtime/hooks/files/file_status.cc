// SPDX-License-Identifier: Apache-2.0
//
// Queries about files by name: the stat family, access, readlink, realpath, extended attributes, file
// systems. They run on the offload pool if that is requested (files_on_pool.h).
//
// fstat, fstatfs and fgetxattr are not hooked: the file is open, so the answer is in memory, and programs
// call them often.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "aiofiber/runtime/arch/arch.h"
#include "hooks/core/fortify.h"
#include "hooks/core/real.h"
#include "hooks/files/files_on_pool.h"

using namespace aiofiber::hooks;

extern "C" {

int stat(const char* path, struct stat* status) noexcept {
  return by_pool([=] { return real::stat(path, status); });
}
int lstat(const char* path, struct stat* status) noexcept {
  return by_pool([=] { return real::lstat(path, status); });
}
int fstatat(int folder, const char* path, struct stat* status, int flags) noexcept {
  return by_pool([=] { return real::fstatat(folder, path, status, flags); });
}
int statx(int folder, const char* path, int flags, unsigned mask, struct statx* status) noexcept {
  return by_pool([=] { return real::statx(folder, path, flags, mask, status); });
}

int access(const char* path, int mode) noexcept {
  return by_pool([=] { return real::access(path, mode); });
}
int eaccess(const char* path, int mode) noexcept {
  return by_pool([=] { return real::eaccess(path, mode); });
}
int euidaccess(const char* path, int mode) noexcept { return eaccess(path, mode); }
int faccessat(int folder, const char* path, int mode, int flags) noexcept {
  return by_pool([=] { return real::faccessat(folder, path, mode, flags); });
}

ssize_t readlink(const char* path, char* buffer, size_t size) noexcept {
  return by_pool([=] { return real::readlink(path, buffer, size); });
}
ssize_t readlinkat(int folder, const char* path, char* buffer, size_t size) noexcept {
  return by_pool([=] { return real::readlinkat(folder, path, buffer, size); });
}
char* realpath(const char* path, char* resolved) noexcept {
  return by_pool<char*>(nullptr, [=] { return real::realpath(path, resolved); });
}
char* canonicalize_file_name(const char* path) noexcept {
  return by_pool<char*>(nullptr, [=] { return real::canonicalize_file_name(path); });
}

ssize_t __readlink_chk(const char* path, char* buffer, size_t size, size_t buffer_size) {
  if (size > buffer_size) __chk_fail();
  return readlink(path, buffer, size);
}
ssize_t __readlinkat_chk(int folder, const char* path, char* buffer, size_t size, size_t buffer_size) {
  if (size > buffer_size) __chk_fail();
  return readlinkat(folder, path, buffer, size);
}
char* __realpath_chk(const char* path, char* resolved, size_t resolved_size) {
  return by_pool<char*>(nullptr, [=] { return real::__realpath_chk(path, resolved, resolved_size); });
}

int statfs(const char* path, struct statfs* status) noexcept {
  return by_pool([=] { return real::statfs(path, status); });
}
int statvfs(const char* path, struct statvfs* status) noexcept {
  return by_pool([=] { return real::statvfs(path, status); });
}

ssize_t getxattr(const char* path, const char* name, void* value, size_t size) noexcept {
  return by_pool([=] { return real::getxattr(path, name, value, size); });
}
ssize_t lgetxattr(const char* path, const char* name, void* value, size_t size) noexcept {
  return by_pool([=] { return real::lgetxattr(path, name, value, size); });
}
ssize_t listxattr(const char* path, char* names, size_t size) noexcept {
  return by_pool([=] { return real::listxattr(path, names, size); });
}
ssize_t llistxattr(const char* path, char* names, size_t size) noexcept {
  return by_pool([=] { return real::llistxattr(path, names, size); });
}

#if __LP64__  // where off_t has 64 bits the longer names are the same functions
int stat64(const char* path, struct stat64* status) noexcept {
  return stat(path, reinterpret_cast<struct stat*>(status));
}
int lstat64(const char* path, struct stat64* status) noexcept {
  return lstat(path, reinterpret_cast<struct stat*>(status));
}
int fstatat64(int folder, const char* path, struct stat64* status, int flags) noexcept {
  return fstatat(folder, path, reinterpret_cast<struct stat*>(status), flags);
}
int statfs64(const char* path, struct statfs64* status) noexcept {
  return statfs(path, reinterpret_cast<struct statfs*>(status));
}
int statvfs64(const char* path, struct statvfs64* status) noexcept {
  return statvfs(path, reinterpret_cast<struct statvfs*>(status));
}
#endif

// stat, lstat and fstatat until glibc 2.33, for programs and libraries that were linked then.
#if AIOFIBER_ARCH_HAS_XSTAT
int __xstat(int version, const char* path, struct stat* status);
int __lxstat(int version, const char* path, struct stat* status);
int __fxstatat(int version, int folder, const char* path, struct stat* status, int flags);
int __xstat64(int version, const char* path, struct stat64* status);
int __lxstat64(int version, const char* path, struct stat64* status);
int __fxstatat64(int version, int folder, const char* path, struct stat64* status, int flags);

int __xstat(int version, const char* path, struct stat* status) {
  return by_pool([=] { return real::__xstat(version, path, status); });
}
int __lxstat(int version, const char* path, struct stat* status) {
  return by_pool([=] { return real::__lxstat(version, path, status); });
}
int __fxstatat(int version, int folder, const char* path, struct stat* status, int flags) {
  return by_pool([=] { return real::__fxstatat(version, folder, path, status, flags); });
}
int __xstat64(int version, const char* path, struct stat64* status) {
  return __xstat(version, path, reinterpret_cast<struct stat*>(status));
}
int __lxstat64(int version, const char* path, struct stat64* status) {
  return __lxstat(version, path, reinterpret_cast<struct stat*>(status));
}
int __fxstatat64(int version, int folder, const char* path, struct stat64* status, int flags) {
  return __fxstatat(version, folder, path, reinterpret_cast<struct stat*>(status), flags);
}
#endif

}  // extern "C"
