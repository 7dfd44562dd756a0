// SPDX-License-Identifier: Apache-2.0
//
// A library with one call of each kind that the check distinguishes: hooked, past the hooks, and without
// libc.
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "aiofiber/runtime/arch/arch.h"

// An abseil that the hooks do not know. Weak, because there is no such library.
namespace absl::lts_19990101 {
struct Mutex {
  [[gnu::weak]] void Lock();
};
}  // namespace absl::lts_19990101

extern "C" {

void blocker_lock(absl::lts_19990101::Mutex* mutex) { mutex->Lock(); }

ssize_t blocker_receive(int fd, char* byte) { return ::recv(fd, byte, 1, 0); }

int blocker_wait_for_signal(const sigset_t* signals) {
  int signal = 0;
  return ::sigwait(signals, &signal);
}

char* blocker_read_line(char* line, int length, FILE* file) { return ::fgets(line, length, file); }
char* blocker_ask(char* line) { return ::scanf("%7s", line) == 1 ? line : nullptr; }

#if AIOFIBER_ARCH_X86_64
long blocker_read_directly(int fd, char* byte) {
  long result;
  asm volatile("movl $0, %%eax; syscall"
               : "=a"(result)
               : "D"(fd), "S"(byte), "d"(1L)
               : "rcx", "r11", "memory");
  return result;
}
#endif

}  // extern "C"
