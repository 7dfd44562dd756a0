// SPDX-License-Identifier: Apache-2.0
//
// O_PATH refers to the file without opening it. Then /proc/self/fd opens exactly the file that was checked.
#include "inspect/regular_file.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

namespace {

// Returns 0, or the errno that says why it must not be read.
int refusal(int fd, std::uint64_t most) noexcept {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  if (static_cast<std::uint64_t>(status.st_size) > most) return EFBIG;
  struct statfs system {};
  if (::fstatfs(fd, &system) != 0) return errno;
  constexpr std::array<std::uint64_t, 7> kNoPlaceForFiles{
      PROC_SUPER_MAGIC, SYSFS_MAGIC,         DEBUGFS_MAGIC, TRACEFS_MAGIC,
      SECURITYFS_MAGIC, CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC};
  const auto kind = static_cast<std::uint32_t>(system.f_type);
  const auto end = kNoPlaceForFiles.end();
  if (std::find(kNoPlaceForFiles.begin(), end, kind) != end) return EINVAL;
  return status.st_size <= 0 ? ENODATA : 0;
}

}  // namespace

int open_regular_file(const std::string& path, std::uint64_t most) noexcept {
  const int held = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (held < 0) return -1;
  int error = refusal(held, most);
  int fd = -1;
  if (error == 0) {
    char again[32] = "/proc/self/fd/";
    std::to_chars(again + 14, again + sizeof again - 1, held);
    fd = ::open(again, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);  // another process may hold a lease
    error = errno;
  }
  sys::close(held);
  if (fd < 0) errno = error;
  return fd;
}

int open_elf_file(const std::string& path) noexcept {
  const int fd = open_regular_file(path);
  char magic[SELFMAG];
  if (fd < 0 || (sys::read_all(fd, magic, sizeof magic) == sizeof magic &&
                 std::memcmp(magic, ELFMAG, SELFMAG) == 0 && ::lseek(fd, 0, SEEK_SET) == 0))
    return fd;
  sys::close(fd);
  errno = EINVAL;
  return -1;
}

}  // namespace aiofiber::runtime
