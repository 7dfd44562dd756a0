// SPDX-License-Identifier: Apache-2.0
//
// A file without a name, whose bytes depend on their place.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <string>

namespace aiofiber {

class TestFile {
 public:
  explicit TestFile(std::size_t bytes) : fd_(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {
    text_.reserve(bytes);
    for (std::size_t i = 0; i < bytes; ++i) text_ += static_cast<char>(i * 31 + i / 253);
    EXPECT_EQ(::pwrite(fd_, text_.data(), text_.size(), 0), static_cast<ssize_t>(bytes));
  }
  ~TestFile() { ::close(fd_); }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  int fd() const { return fd_; }
  const std::string& text() const { return text_; }
  off_t position() const { return ::lseek(fd_, 0, SEEK_CUR); }

 private:
  int fd_;
  std::string text_;
};

}  // namespace aiofiber
