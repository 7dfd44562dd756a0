// SPDX-License-Identifier: Apache-2.0
//
// A program that does nothing, with all of aiofiber in it. The same source also makes a program that blocks
// in each way in which aiofiber's own code blocks.
#if defined(HOOKS_CHECK_BLOCKS)
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/arch/arch.h"

#if AIOFIBER_ARCH_X86_64
// Bytes in the code that are no instruction, and are by chance as far from syscall's slot as a call of it
// would say. Then code with the bytes of `syscall` in distances and numbers, each after what could set the
// number of the system call.
asm(R"(
  .text
  .zero 16
  .long syscall@GOTPCREL - 4
  .zero 16
  movl $1, %eax
  .byte 0x48, 0x8d, 0x1d, 0x0f, 0x05, 0x32, 0x00    # lea: the low bytes of a distance
  movl $1, %eax
  .byte 0x48, 0x8d, 0x1d, 0x40, 0x0f, 0x05, 0x00    # lea: the middle ones
  movl $1, %eax
  .byte 0xe8, 0x0f, 0x05, 0xf2, 0xff                # call
  movl $1, %eax
  .byte 0x0f, 0x84, 0x0f, 0x05, 0x00, 0x00          # je
  movl $1, %eax
  .byte 0xba, 0x0f, 0x05, 0x00, 0x00                # mov to a register
)");
#endif

int main(int argc, char**) {
  if (argc > 1) aiofiber::run([] {});
#if defined(HOOKS_CHECK_BLOCKS)
  char line[80];
  int word = 0;
  if (argc > 3) return static_cast<int>(::syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0));
  if (argc > 2) return ::fgets(line, sizeof line, stdin) == nullptr;
#endif
  return 0;
}
