// SPDX-License-Identifier: Apache-2.0
//
// A program with a chain of calls as long as those of big programs together: more functions than a recursive
// search has stack for. The last one waits, and a variable is set by the function before the chain.
#include <unistd.h>

#include "aiofiber/runtime/arch/arch.h"

#if AIOFIBER_ARCH_X86_64
extern "C" {
int set_before_chain;
void chain_0();
int wait_at_end() { return static_cast<int>(::sleep(0)); }
}

// idle_0 calls idle_1, and so on. The last function of one chain waits, of the other does not.
#define CHAIN(name, last)                                                                      \
  asm(".altmacro\n.macro " name "_link this, next\n" name "_\\this:\n call " name              \
      "_\\next\n ret\n"                                                                        \
      ".type " name "_\\this, @function\n.size " name "_\\this, . - " name                     \
      "_\\this\n.endm\n"                                                                       \
      ".set at, 0\n.rept 60000\n " name "_link %at, %(at + 1)\n .set at, at + 1\n.endr\n" name \
      "_60000: jmp " last                                                                      \
      "\n"                                                                                     \
      ".type " name "_60000, @function\n.size " name "_60000, . - " name "_60000\n")
asm(".text");
CHAIN("chain", "wait_at_end");
CHAIN("idle", "idle_60000");
#endif

#if AIOFIBER_ARCH_X86_64
extern "C" __attribute__((noinline)) int begin_chain(int number) {
  set_before_chain = number;
  chain_0();
  return set_before_chain;
}
#endif

int main(int argc, char**) {
#if AIOFIBER_ARCH_X86_64
  if (argc > 1) return begin_chain(argc);
#endif
  return argc;
}
