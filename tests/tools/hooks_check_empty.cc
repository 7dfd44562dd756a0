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
// would say.
asm(R"(
  .text
  .zero 16
  .long syscall@GOTPCREL - 4
  .zero 16
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
