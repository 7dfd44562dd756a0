// SPDX-License-Identifier: Apache-2.0
//
// Files for reports: what may already exist under their name, and what happens to it.
#include "inspect/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace aiofiber::runtime {
namespace {

class OutputFile : public ::testing::Test {
 protected:
  OutputFile() {
    char pattern[] = "/tmp/aiofiber-output-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    umask_ = ::umask(0);
  }
  ~OutputFile() override {
    ::umask(umask_);
    std::filesystem::remove_all(folder_);
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  static std::string content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static unsigned permissions(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777u : ~0u;
  }
  // What is written through a fresh descriptor; the errno of opening when there is none.
  static int write_to(const std::string& path, OldContent old_content, const std::string& text,
                      unsigned mode = kOwnerOnly) {
    const int fd = open_output_file(path, old_content, mode);
    if (fd < 0) return errno;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
    return 0;
  }

 private:
  std::string folder_;
  mode_t umask_;
};

TEST_F(OutputFile, IsForItsOwnerAloneUnlessAskedOtherwise) {
  EXPECT_EQ(write_to(path("own"), OldContent::kReplace, "x"), 0);
  EXPECT_EQ(write_to(path("all"), OldContent::kReplace, "x", 0644), 0);
  EXPECT_EQ(permissions(path("own")), 0600u);
  EXPECT_EQ(permissions(path("all")), 0644u);
}

TEST_F(OutputFile, ReplacesOrKeepsWhatWasThere) {
  EXPECT_EQ(write_to(path("file"), OldContent::kReplace, "a long first text"), 0);
  EXPECT_EQ(write_to(path("file"), OldContent::kReplace, "second"), 0);
  EXPECT_EQ(content(path("file")), "second");
  EXPECT_EQ(write_to(path("file"), OldContent::kKeep, " third"), 0);
  EXPECT_EQ(content(path("file")), "second third");
}

TEST_F(OutputFile, FollowsNoSymbolicLink) {
  std::ofstream(path("precious")) << "precious";
  std::filesystem::create_symlink(path("precious"), path("link"));
  EXPECT_EQ(write_to(path("link"), OldContent::kReplace, "x"), ELOOP);
  EXPECT_EQ(write_to(path("link"), OldContent::kKeep, "x"), ELOOP);
  std::filesystem::create_symlink(path("nothing"), path("dangling"));
  EXPECT_EQ(write_to(path("dangling"), OldContent::kReplace, "x"), ELOOP);
  EXPECT_EQ(content(path("precious")), "precious");
  EXPECT_FALSE(std::filesystem::exists(path("nothing")));
  EXPECT_NE(output_file_error(ELOOP).find("symbolic link"), std::string::npos);
}

// Opening a FIFO only for writing would block the program until it has a reader.
TEST_F(OutputFile, WaitsForNoReaderOfAFifo) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(write_to(path("fifo"), OldContent::kReplace, "x"), ENXIO);
  const int reader = ::open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  EXPECT_EQ(write_to(path("fifo"), OldContent::kReplace, "text"), 0);
  char text[8] = "";
  EXPECT_EQ(::read(reader, text, sizeof text), 4);
  ::close(reader);
}

TEST_F(OutputFile, WritesToDevicesWithoutEmptyingThem) {
  EXPECT_EQ(write_to("/dev/null", OldContent::kReplace, "x"), 0);
}

TEST_F(OutputFile, SaysWhyThereIsNone) {
  EXPECT_EQ(write_to(path("no/such/folder"), OldContent::kReplace, "x"), ENOENT);
  EXPECT_EQ(write_to(path(""), OldContent::kReplace, "x"), EISDIR);
}

}  // namespace
}  // namespace aiofiber::runtime
