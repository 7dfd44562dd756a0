// SPDX-License-Identifier: Apache-2.0
//
// Pipes for the tests of the engine. They never block; their ends are closed with the object, or earlier.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace aiofiber::runtime {

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_NONBLOCK | O_CLOEXEC), 0); }
  ~Pipe() {
    close_reader();
    ::close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void put(char c) { EXPECT_EQ(::write(ends_[1], &c, 1), 1); }
  char take() {
    char c = '\0';
    EXPECT_EQ(::read(ends_[0], &c, 1), 1);
    return c;
  }
  void close_reader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

// A pipe that is readable: one byte is in it.
class FilledPipe : public Pipe {
 public:
  FilledPipe() { put('x'); }
};

}  // namespace aiofiber::runtime
