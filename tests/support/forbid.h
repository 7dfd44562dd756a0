// SPDX-License-Identifier: Apache-2.0
//
// A sandbox as in containers: from now on one system call fails with EPERM (seccomp(2)), also in programs
// that this process executes.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

namespace aiofiber::hooks_test {

// False: the name is not known here, or the kernel has no seccomp.
inline bool forbid_system_call(std::string_view name) {
  unsigned number = 0;
  if (name == "io_uring_setup") number = SYS_io_uring_setup;
  if (name == "io_uring_enter") number = SYS_io_uring_enter;
  if (number == 0) return false;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof filter / sizeof *filter, filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace aiofiber::hooks_test
