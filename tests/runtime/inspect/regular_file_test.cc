// SPDX-License-Identifier: Apache-2.0
//
// Files with names from untrusted sources: which are opened, and which are not touched.
#include "inspect/regular_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace aiofiber::runtime {
namespace {

// 0 when it can be opened; else errno.
int try_to_open(const std::string& path, std::uint64_t most = UINT64_MAX) {
  const int fd = open_regular_file(path, most);
  if (fd < 0) return errno;
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  char first = 0;
  EXPECT_EQ(::read(fd, &first, 1), 1);
  ::close(fd);
  return 0;
}

TEST(RegularFile, IsOpenedThroughLinksToo) {
  char pattern[] = "/tmp/aiofiber-regular-XXXXXX";
  const std::string folder = ::mkdtemp(pattern);
  std::ofstream(folder + "/file") << "text";
  std::filesystem::create_symlink("file", folder + "/link");
  std::filesystem::create_symlink("/dev/zero", folder + "/device");
  EXPECT_EQ(try_to_open(folder + "/file"), 0);
  EXPECT_EQ(try_to_open(folder + "/link"), 0);
  EXPECT_EQ(try_to_open("/proc/self/exe"), 0);
  EXPECT_EQ(try_to_open(folder + "/device"), EINVAL);
  EXPECT_EQ(try_to_open(folder + "/file", 4), 0);
  EXPECT_EQ(try_to_open(folder + "/file", 3), EFBIG);
  std::filesystem::remove_all(folder);
}

TEST(RegularFile, IsNothingElse) {
  char pattern[] = "/tmp/aiofiber-regular-XXXXXX";
  const std::string folder = ::mkdtemp(pattern);
  ASSERT_EQ(::mkfifo((folder + "/fifo").c_str(), 0600), 0);
  std::ofstream(folder + "/empty");
  for (const std::string& path :
       {folder + "/fifo", folder, std::string("/dev/zero"), std::string("/dev/null"),
        std::string("/proc/kmsg"), std::string("/proc/self/maps"), std::string("/sys/kernel/notes")}) {
    if (::access(path.c_str(), F_OK) != 0) continue;
    EXPECT_EQ(try_to_open(path), EINVAL) << path;
  }
  EXPECT_EQ(try_to_open(folder + "/empty"), ENODATA);
  EXPECT_EQ(try_to_open(folder + "/nothing"), ENOENT);
  EXPECT_EQ(try_to_open(""), ENOENT);
  std::filesystem::remove_all(folder);
}

TEST(ElfFile, IsNothingThatOnlyBecomesOne) {
  char pattern[] = "/tmp/aiofiber-regular-XXXXXX";
  const std::string folder = ::mkdtemp(pattern);
  std::ofstream(folder + "/compressed") << "\x1f\x8b" << std::string(100, 'x');
  std::ofstream(folder + "/short") << "\x7f"
                                   << "EL";
  for (const char* name : {"/compressed", "/short"}) {
    EXPECT_EQ(open_elf_file(folder + name), -1);
    EXPECT_EQ(errno, EINVAL) << name;
  }
  EXPECT_EQ(open_elf_file(folder + "/nothing"), -1);
  EXPECT_EQ(errno, ENOENT);
  const int fd = open_elf_file("/proc/self/exe");
  char magic[5] = "";
  EXPECT_EQ(::read(fd, magic, 4), 4) << "it is read from its beginning";
  EXPECT_STREQ(magic,
               "\x7f"
               "ELF");
  ::close(fd);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace aiofiber::runtime
