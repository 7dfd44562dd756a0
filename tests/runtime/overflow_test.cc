// SPDX-License-Identifier: Apache-2.0
//
// Stack overflow: the process dies of SIGSEGV, and says before that which task it was and what to do.
#include <aiofiber/runtime/make_scheduler.h>

#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace aiofiber::runtime {
namespace {

AIOFIBER_NOINLINE int recurse(int depth) {
  if (depth < 0) return 0;  // never: the stack ends before the integers do
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  const int deeper = recurse(depth + 1);
  return deeper + frame[0];
}

void overflow(Fiber&) noexcept { recurse(0); }

void run_overflow(std::size_t mprotect_guards) {
  StackPool::set_mprotect_guards(mprotect_guards);
  const auto scheduler = make_scheduler();
  Fiber& fiber = scheduler->create_fiber(overflow, nullptr, 64 * 1024, 0);
  fiber.set_name("deep");
  scheduler->make_ready(fiber);
  scheduler->run();
}

void run_wild_store() {
  const auto scheduler = make_scheduler();
  const auto store = [](Fiber&) noexcept {
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
  };
  scheduler->make_ready(scheduler->create_fiber(store, nullptr, 0, 0));
  scheduler->run();
}

// Under a sanitizer its own handler has the last word, and the exit is another.
#if AIOFIBER_ASAN || AIOFIBER_TSAN
#define EXPECT_SEGFAULT(statement, text) EXPECT_DEATH(statement, text)
#else
#define EXPECT_SEGFAULT(statement, text) EXPECT_EXIT(statement, testing::KilledBySignal(SIGSEGV), text)
#endif

TEST(StackOverflowDeathTest, NamesTheTaskItsStackAndTheRemedy) {
  for (const std::size_t mprotect_guards : {std::size_t{0}, std::size_t{1}}) {
    EXPECT_SEGFAULT(run_overflow(mprotect_guards),
                    "stack overflow in task 'deep': its stack of 64 KiB.*stack_size = 256 \\* 1024");
  }
}

TEST(StackOverflowDeathTest, ShowsTheNewestFrames) {
  EXPECT_SEGFAULT(run_overflow(1), "Newest frames first:\n.*recurse.*overflow_test.cc");
}

TEST(StackOverflowDeathTest, AnotherFaultIsNotCalledAnOverflow) {
  if (AIOFIBER_ASAN || AIOFIBER_TSAN) GTEST_SKIP() << "the sanitizer prints its own report";
  EXPECT_SEGFAULT(run_wild_store(), "^$");
}

}  // namespace
}  // namespace aiofiber::runtime
