// SPDX-License-Identifier: Apache-2.0
//
// The stack pointer in a jmp_buf of this libc, against the frames that filled it.
#include "hooks/glibc/jump_words.h"

#include <gtest/gtest.h>

#include <alloca.h>
#include <thread>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::hooks {
namespace {

__attribute__((noinline)) std::uintptr_t seen_below(std::size_t bytes) {
  jmp_buf buffer;
  volatile char* const room = static_cast<volatile char*>(alloca(bytes));
  room[0] = 0;
  const auto lowest = reinterpret_cast<std::uintptr_t>(room);
  if (setjmp(buffer) != 0) return 0;
  const std::uintptr_t seen = stack_pointer_of(buffer);
  EXPECT_LE(seen, lowest);
  EXPECT_GT(seen + 1024, lowest);
  return seen;
}

TEST(JumpWords, HaveTheStackPointerOfTheFrame) {
  if (AIOFIBER_ARCH_X86_64 == 0) GTEST_SKIP() << "the layout of this processor is not known";
  const std::uintptr_t near = seen_below(64);
  const std::uintptr_t far = seen_below(64 + 4096);
  EXPECT_EQ(near - far, 4096u);
}

TEST(JumpWords, AreReadWithTheGuardOfTheirThread) {
  if (AIOFIBER_ARCH_X86_64 == 0) GTEST_SKIP() << "the layout of this processor is not known";
  std::thread([] { EXPECT_NE(seen_below(64), 0u); }).join();
}

}  // namespace
}  // namespace aiofiber::hooks
