// SPDX-License-Identifier: Apache-2.0
//
// Holds a descriptor of the process during the wait.
#include "aiofiber/runtime/engine/child_wait.h"

#include <absl/strings/str_cat.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

namespace {

class PidDescriptor {
 public:
  explicit PidDescriptor(pid_t pid) : fd_(sys::pidfd_open(pid)) {
    if (fd_ < 0)
      throw std::system_error(errno, std::generic_category(), absl::StrCat("cannot wait for process ", pid));
  }
  ~PidDescriptor() {
    const HooksOff hooks_off;  // an exception may be leaving here, so this is no place to suspend
    fd_closing(fd_);
    sys::close(fd_);
  }
  PidDescriptor(const PidDescriptor&) = delete;
  PidDescriptor& operator=(const PidDescriptor&) = delete;
  int fd() const noexcept { return fd_; }

 private:
  const int fd_;
};

}  // namespace

FdWaitResult child_wait(pid_t pid, Nanoseconds timeout) {
  const PidDescriptor child(pid);
  return fd_wait(child.fd(), kReadable, timeout, AIOFIBER_WAIT_PROCESS, static_cast<std::uint64_t>(pid), {});
}

}  // namespace aiofiber::runtime
