// SPDX-License-Identifier: Apache-2.0
//
// Descriptor: owns a file descriptor that the facade made, and closes it.
//
// Closing tells the reactor first, because the kernel would forget a watch of the number, and suspends
// nothing: the owner may be a destructor. Threads: one at a time.
#pragma once

#include <cerrno>
#include <utility>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::detail {

class Descriptor {
 public:
  Descriptor() noexcept = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~Descriptor() { reset(); }

  int fd() const noexcept { return fd_; }  // -1: none
  // Gives it away.
  int release() noexcept { return std::exchange(fd_, -1); }
  // Closes it and takes over another. Keeps errno.
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old < 0) return;
    const int saved_errno = errno;
    const runtime::HooksOff hooks_off;
    runtime::fd_closing(old);
    runtime::sys::close(old);
    errno = saved_errno;
  }

 private:
  int fd_ = -1;
};

}  // namespace aiofiber::detail
