// SPDX-License-Identifier: Apache-2.0
//
// An older kernel, or a sandbox as in containers: from now on system calls fail, or some uses of them
// (seccomp(2)), also in programs that this process executes.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <string_view>
#include <vector>

namespace aiofiber::hooks_test {

// What can be forbidden: a system call, or its use with a value or a bit in an argument.
struct Forbidden {
  enum Use { ANY, VALUE, BIT };
  std::string_view name;
  unsigned number;
  int error;  // what the call gives then
  Use use = ANY;
  unsigned argument = 0;
  unsigned value = 0;
};

inline constexpr Forbidden kForbidden[] = {
    {"io_uring_setup", SYS_io_uring_setup, EPERM},                          // Docker's rules
    {"io_uring_enter", SYS_io_uring_enter, EPERM},                          // the same
    {"process_vm_readv", SYS_process_vm_readv, EPERM},                      // Docker's rules before Linux 4.8
    {"pidfd_open", SYS_pidfd_open, ENOSYS},                                 // Linux before 5.3
    {"clone3", SYS_clone3, ENOSYS},                                         // Linux before 5.3
    {"close_range", SYS_close_range, ENOSYS},                               // Linux before 5.9
    {"epoll_pwait2", SYS_epoll_pwait2, ENOSYS},                             // Linux before 5.11
    {"madv_guard_install", SYS_madvise, EINVAL, Forbidden::VALUE, 2, 102},  // Linux before 6.13
    {"rwf_nowait", SYS_preadv2, EOPNOTSUPP, Forbidden::BIT, 5, RWF_NOWAIT},  // Linux before 4.14
    {"rwf_nowait", SYS_pwritev2, EOPNOTSUPP, Forbidden::BIT, 5, RWF_NOWAIT},
};

// False: the name is not known, or the kernel has no seccomp.
inline bool forbid(std::string_view name) {
  std::vector<sock_filter> filter;
  for (const Forbidden& rule : kForbidden) {
    if (rule.name != name) continue;
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    const unsigned char other_call = rule.use == Forbidden::ANY ? 1 : 3;  // steps to skip
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule.number, 0, other_call));
    if (rule.use != Forbidden::ANY) {
      const auto place =
          static_cast<unsigned>(offsetof(seccomp_data, args)) + 8 * rule.argument;  // its low half
      const auto test = static_cast<unsigned short>(rule.use == Forbidden::BIT ? BPF_JSET : BPF_JEQ);
      filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, place));
      filter.push_back(BPF_JUMP(static_cast<unsigned short>(BPF_JMP | BPF_K | test), rule.value, 0, 1));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(rule.error)));
  }
  if (filter.empty()) return false;
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace aiofiber::hooks_test
