// SPDX-License-Identifier: Apache-2.0
//
// Stack overflow: the process ends by SIGSEGV, and first prints the task and the remedy.
#include <aiofiber/runtime/engine/make_scheduler.h>
#include <aiofiber/runtime/inspect/symbolize.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

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

void run_as_deep(Fiber::Entry body) {
  const auto scheduler = make_scheduler();
  Fiber& fiber = scheduler->create_fiber(body, nullptr, 64 * 1024, 0);
  fiber.set_name("deep");
  scheduler->make_ready(fiber);
  scheduler->run();
}

void run_overflow(std::size_t mprotect_guards) {
  StackPool::set_mprotect_guards(mprotect_guards);
  run_as_deep(overflow);
}

// A frame of which only the far end is used, which lies in the guard or behind it.
template <std::size_t kBytes>
AIOFIBER_NOINLINE char use_far_end() {
  volatile char frame[kBytes];
  frame[0] = 'x';
  return frame[0];
}
template <std::size_t kBytes>
void large_frame(Fiber& fiber) noexcept {
  fiber.finished = use_far_end<kBytes>() == 0;  // false, but not the last thing that it does: it has a frame
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

// As deep as a look-up of names goes, it is the first to meet the end of the stack, in the middle of its
// work.
AIOFIBER_NOINLINE std::size_t look_up_at_each_depth(std::uintptr_t address) {
  const std::size_t found = symbolize(address).size();
  return address == 0 ? found : found + look_up_at_each_depth(address + 1);
}
void look_up_names(Fiber& fiber) noexcept {
  alarm(60);  // not to wait for ever, if the report does
  fiber.finished = look_up_at_each_depth(reinterpret_cast<std::uintptr_t>(&run_as_deep)) == 0;
}
TEST(StackOverflowDeathTest, InALookUpOfNamesDoesWithoutThem) {
  EXPECT_SEGFAULT(run_as_deep(look_up_names),
                  "stack overflow in task 'deep'.*\nNewest frames first:\n  in \\?\\? \\[0x[0-9a-f]+\\]\n"
                  ".*the stack ended in a look-up of names");
}

// The guard is 64 KiB, so this needs no help from the compiler.
TEST(StackOverflowDeathTest, IsNoticedWhenAFrameSkipsPages) {
  EXPECT_SEGFAULT(run_as_deep(large_frame<120 * 1024>),
                  "stack overflow in task 'deep'.*\nNewest frames first:\n.*use_far_end");
}

#if !AIOFIBER_ASAN && !AIOFIBER_TSAN
// How a 64 KiB stack's neighbours would see it: with two slots below the running one mapped and writable.
void run_large_frame_above_neighbours(Fiber::Entry body) {
  const auto scheduler = make_scheduler();
  const auto wait = [](Fiber& fiber) noexcept {
    fiber.state = AIOFIBER_READY;
    fiber.scheduler->make_ready(fiber);
    fiber.scheduler->suspend();
  };
  for (int i = 0; i < 40; ++i) scheduler->make_ready(scheduler->create_fiber(wait, nullptr, 64 * 1024, 0));
  Fiber& fiber = scheduler->create_fiber(body, nullptr, 64 * 1024, 0);
  fiber.set_name("deep");
  scheduler->make_ready(fiber);
  scheduler->run();
}

#if AIOFIBER_STACK_CLASH_PROTECTION
TEST(StackOverflowDeathTest, IsNoticedByAFrameLargerThanTheGuardAndShowsWhoCalled) {
  for (const Fiber::Entry body :
       {large_frame<144 * 1024>, large_frame<200 * 1024>, large_frame<(1 << 20)>, large_frame<(8 << 20)>}) {
    EXPECT_SEGFAULT(run_large_frame_above_neighbours(body),
                    "stack overflow in task 'deep'.*\nNewest frames first:\n.*use_far_end.*\n.*large_frame");
  }
}
#endif

// Where the compiler does not help: a stack pointer in a neighbour's slot. And code may switch to a stack of
// its own inside a task, as another coroutine library does.
#if AIOFIBER_ARCH_AARCH64
extern "C" void fault_three_slots_below();
extern "C" void fault_on(char*);
asm(R"(
fault_three_slots_below:
  .cfi_startproc
  sub sp, sp, 0x60, lsl 12
  mov x0, 0
  str w0, [x0]
  .cfi_endproc
fault_on:
  .cfi_startproc
  mov sp, x0
  mov x0, 0
  str w0, [x0]
  .cfi_endproc
)");
#else
AIOFIBER_NOINLINE __attribute__((naked)) void fault_three_slots_below() {
  asm("lea -0x60000(%rsp), %rsp\n  xor %eax, %eax\n  movl $1, (%rax)");
}
AIOFIBER_NOINLINE __attribute__((naked)) void fault_on(char*) {
  asm("mov %rdi, %rsp\n  xor %eax, %eax\n  movl $1, (%rax)");
}
#endif

TEST(StackOverflowDeathTest, IsNoticedByTheStackPointerWhereverTheFaultIs) {
  EXPECT_SEGFAULT(
      run_large_frame_above_neighbours([](Fiber&) noexcept { fault_three_slots_below(); }),
      "stack overflow in task 'deep'.*is used up, the stack pointer is 3.. KiB away.*access at 0\\. ");
}

TEST(StackOverflowDeathTest, LeavesNoRoomForASignalHandler) {
  struct Pusher {
    AIOFIBER_NOINLINE static void at_the_end(const char* low) {
      volatile char frame[256];
      frame[0] = 'x';
      frame[1] = 'x';
      // Until less than a signal's frame is left.
      if (const_cast<const char*>(&frame[0]) - low > 1024) {
        at_the_end(low);
      } else {
        ::raise(SIGUSR1);
      }
      frame[1] = frame[0];
    }
  };
  std::signal(SIGUSR1, [](int) {});
  ::raise(SIGUSR1);  // bound now: the linker needs more stack than a signal
  EXPECT_SEGFAULT(run_as_deep([](Fiber& fiber) noexcept {
                    Pusher::at_the_end(reinterpret_cast<const char*>(fiber.stack_low));
                  }),
                  "stack overflow in task 'deep'.*no room left for the frame of a signal handler");
}

TEST(StackOverflowDeathTest, IsNotWhatAStrayPointerIntoTheGuardIs) {
  const auto stray = [](Fiber& fiber) noexcept {
    *reinterpret_cast<volatile char*>(fiber.stack_low - 100) = 'x';
  };
  EXPECT_SEGFAULT(run_as_deep(stray), "stray access in task 'deep': its stack of 64 KiB.*has 6. KiB left");
}

TEST(StackOverflowDeathTest, IsNotAFaultOnAStackOfTheProgramsOwn) {
  EXPECT_SEGFAULT(
      run_as_deep([](Fiber&) noexcept { fault_on(static_cast<char*>(std::malloc(8192)) + 8192); }), "^$");
}

TEST(StackOverflowDeathTest, IsNotAFaultInAHandlerOnTheAlternateStack) {
  struct sigaction action {};
  action.sa_handler = [](int) {
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
  };
  action.sa_flags = SA_ONSTACK;
  ::sigaction(SIGUSR2, &action, nullptr);
  EXPECT_SEGFAULT(run_as_deep([](Fiber&) noexcept { ::raise(SIGUSR2); }), "^$");
}

TEST(StackOverflowDeathTest, OfTheAlternateStackMeetsAGuardToo) {
  struct sigaction action {};
  action.sa_handler = [](int) { recurse(0); };
  action.sa_flags = SA_ONSTACK;
  ::sigaction(SIGUSR2, &action, nullptr);
  EXPECT_SEGFAULT(run_as_deep([](Fiber&) noexcept { ::raise(SIGUSR2); }), "");
}
#endif

TEST(StackOverflowDeathTest, AnotherFaultIsNotCalledAnOverflow) {
  if (AIOFIBER_ASAN || AIOFIBER_TSAN) GTEST_SKIP() << "the sanitizer prints its own report";
  EXPECT_SEGFAULT(run_wild_store(), "^$");
}

}  // namespace
}  // namespace aiofiber::runtime
