// SPDX-License-Identifier: Apache-2.0
//
// The C++ names of Boost.Context's functions, which call the C names of the linked library.
extern "C" {
void jump_fcontext();
void make_fcontext();
void ontop_fcontext();
}

// A jump, so that arguments and results pass through as they are, and no frame is left on the stack that is
// switched away from.
#define PASS_ON(name, symbol)                                         \
  asm(".text\n.globl " symbol "\n.type " symbol ",@function\n" symbol \
      ":\n"                                                           \
      "  jmp " #name                                                  \
      "\n"                                                            \
      ".size " symbol ",.-" symbol)

PASS_ON(jump_fcontext, "_ZN5boost7context6detail13jump_fcontextEPvS2_");
PASS_ON(make_fcontext, "_ZN5boost7context6detail13make_fcontextEPvmPFvNS1_10transfer_tEE");
PASS_ON(ontop_fcontext, "_ZN5boost7context6detail14ontop_fcontextEPvS2_PFNS1_10transfer_tES3_E");
