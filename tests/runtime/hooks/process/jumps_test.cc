// SPDX-License-Identifier: Apache-2.0
//
// Jumps in fibers: those of the own stack work, those to another one end the program with a report. And a
// static jmp_buf that all tasks fill.
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <string>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/arch/arch.h"
#include "hooks/glibc/jump_words.h"
#include "support/fibers.h"

// Its declaration is in headers of -D_FORTIFY_SOURCE only.
extern "C" [[noreturn]] void __longjmp_chk(__jmp_buf_tag*, int) noexcept;

// Reports leave out the frames of aiofiber.
namespace app {

jmp_buf of_the_first;

__attribute__((noinline)) void wait_in_the_first() {
  ::usleep(5000);
  asm volatile("" ::: "memory");  // no tail call: the frame is looked for
}

__attribute__((noinline)) void jump_from_the_second() { longjmp(of_the_first, 1); }

}  // namespace app

namespace aiofiber::hooks_test {
namespace {

// As a program that was compiled for x86-64 and glibc; elsewhere jumps are libc's.
constexpr bool kKnown = AIOFIBER_ARCH_X86_64 == 1;

// ---- as C code has it: a static buffer, a function that gives up from deep inside

jmp_buf parse_failed;
int depth_reached;

__attribute__((noinline)) void parse(int depth) {
  depth_reached = depth;
  if (depth >= 5) longjmp(parse_failed, 7);
  if (depth >= 0) parse(depth + 1);
  depth_reached = -1;  // no tail call
}

int try_to_parse() {
  const int error = setjmp(parse_failed);
  if (error == 0) parse(0);
  return error;
}

TEST(Jump, OnTheOwnStackGoesOnAsBefore) {
  EXPECT_EQ(try_to_parse(), 7);
  Fibers fibers;
  int error = 0;
  fibers.spawn([&] { error = try_to_parse(); });
  fibers.run();
  EXPECT_EQ(error, 7);
  EXPECT_EQ(depth_reached, 5);
}

TEST(Jump, GivesOneForZero) {
  Fibers fibers;
  fibers.spawn([] {
    jmp_buf own;
    const int value = setjmp(own);
    if (value == 0) longjmp(own, 0);
    EXPECT_EQ(value, 1);
  });
  fibers.run();
}

TEST(Jump, RestoresTheSignalMaskThatSigsetjmpSaved) {
  Fibers fibers;
  fibers.spawn([] {
    sigset_t usr1, seen;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigjmp_buf own;
    if (sigsetjmp(own, 1) == 0) {
      ::pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
      siglongjmp(own, 1);
    }
    ::pthread_sigmask(SIG_BLOCK, nullptr, &seen);
    EXPECT_EQ(sigismember(&seen, SIGUSR1), 0);
  });
  fibers.run();
}

// Tasks that fill one static buffer, each suspended between setjmp and longjmp.
TEST(Jump, WithAStaticBufferOfManyTasksReturnsToItsOwnTask) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static sigjmp_buf shared;
  Fibers fibers;
  constexpr int kTasks = 25;
  std::array<int, kTasks> returned{};
  for (int i = 0; i < kTasks; ++i) {
    fibers.spawn([&returned, i] {
      const int own = i + 1;
      const int value = sigsetjmp(shared, 1);
      if (value == 0) {
        ::usleep(1000 * static_cast<useconds_t>(1 + i % 3));
        siglongjmp(shared, own);
      }
      returned[static_cast<std::size_t>(own - 1)] = value;
    });
  }
  fibers.run();
  for (int i = 0; i < kTasks; ++i) EXPECT_EQ(returned[static_cast<std::size_t>(i)], i + 1);
}

TEST(Jump, WithAStaticBufferUsesWhatTheTaskFilledLast) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static jmp_buf shared;
  Fibers fibers;
  std::string way;
  fibers.spawn([&] {
    static int round;
    for (round = 0; round < 3; ++round) {
      if (setjmp(shared) == 0) {
        ::usleep(2000);
        longjmp(shared, 1);
      }
      way += static_cast<char>('0' + round);
    }
  });
  fibers.spawn([&] {
    static int round;
    for (round = 0; round < 10; ++round) {
      if (setjmp(shared) == 0) ::usleep(500);
    }
  });
  fibers.run();
  EXPECT_EQ(way, "012");
}

// The locals of the hooks and the copies of variables are nodes of one list (Fiber::locals).
TEST(Jump, WithAStaticBufferBesideAVariablePerTask) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static int variable;
  static sigjmp_buf shared;
  hooks::per_task(&variable);
  Fibers fibers;
  constexpr int kTasks = 3;
  std::array<int, kTasks> returned{};
  for (int i = 0; i < kTasks; ++i) {
    fibers.spawn([&returned, i] {
      variable = i;
      if (sigsetjmp(shared, 1) == 0) {
        ::usleep(1000);
        siglongjmp(shared, 1);
      }
      returned[static_cast<std::size_t>(variable)] = variable + 1;
    });
  }
  fibers.run();
  for (int i = 0; i < kTasks; ++i) EXPECT_EQ(returned[static_cast<std::size_t>(i)], i + 1);
}

// The record of an abandoned task is free, or another task's. Its entry must not be followed.
TEST(Jump, WithABufferThatAnAbandonedTaskHasFilled) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static jmp_buf shared;
  {
    Fibers fibers;
    runtime::Fiber& refuses_to_end = fibers.spawn([] {
      if (setjmp(shared) != 0) ADD_FAILURE();
      for (;;) {
        try {
          ::sleep(1000);
        } catch (...) {
        }
      }
    });
    fibers.spawn([&] {
      ::usleep(1000);
      fibers.scheduler().stop();
    });
    fibers.scheduler().run();
    EXPECT_FALSE(fibers.scheduler().unwind(refuses_to_end));
  }
  Fibers fibers;
  int value = 0;
  fibers.spawn([&] {
    value = setjmp(shared);
    if (value == 0) {
      ::usleep(1000);
      longjmp(shared, 3);
    }
  });
  fibers.run();
  EXPECT_EQ(value, 3);
}

#if !AIOFIBER_ASAN  // it takes such a jump for an error of its own
// As coroutine libraries do.
TEST(Jump, GoesToAStackThatTheProgramMadeItself) {
  static jmp_buf inside, back;
  static ucontext_t outer, own;
  static char memory[64 * 1024];
  static bool was_inside;
  was_inside = false;
  Fibers fibers;
  fibers.spawn([] {
    ::getcontext(&own);
    own.uc_stack.ss_sp = memory;
    own.uc_stack.ss_size = sizeof memory;
    ::makecontext(
        &own,
        [] {
          if (setjmp(inside) == 0) ::swapcontext(&own, &outer);
          was_inside = true;
          longjmp(back, 1);
        },
        0);
    ::swapcontext(&outer, &own);
    if (setjmp(back) == 0) longjmp(inside, 1);
  });
  fibers.run();
  EXPECT_TRUE(was_inside);
}
#endif

// ---- to another stack

using app::jump_from_the_second;
using app::of_the_first;
using app::wait_in_the_first;

void jump_across(void (*jump)()) {
  Fibers fibers;
  fibers
      .spawn([] {
        if (setjmp(of_the_first) == 0) wait_in_the_first();
      })
      .set_name("first");
  fibers.spawn([=] { jump(); }).set_name("second");
  fibers.run();
}

TEST(JumpToAnotherStack, IsRefusedWithBothTasksAndBothStacks) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  EXPECT_EXIT(jump_across(jump_from_the_second), testing::KilledBySignal(SIGABRT),
              "a longjmp to another task's stack is refused(.|\n)*"
              "from task 'second' to the stack of task 'first'(.|\n)*of_the_first(.|\n)*"
              "The jump of task 'second'(.|\n)*jump_from_the_second(.|\n)*"
              "The stack of task 'first'(.|\n)*wait_in_the_first");
}

TEST(JumpToAnotherStack, IsRefusedUnderAllItsNames) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  constexpr void (*kJumps[])() = {[] { _longjmp(of_the_first, 1); }, [] { siglongjmp(of_the_first, 1); },
                                  [] { __longjmp_chk(of_the_first, 1); }};
  for (const auto jump : kJumps)
    EXPECT_EXIT(jump_across(jump), testing::KilledBySignal(SIGABRT), "from task 'second'");
}

TEST(JumpToAnotherStack, IsRefusedInASignalHandler) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  const auto raise_it = [] {
    ::signal(SIGUSR1, [](int) { siglongjmp(of_the_first, 1); });
    ::raise(SIGUSR1);
  };
  EXPECT_EXIT(jump_across(raise_it), testing::KilledBySignal(SIGABRT), "from task 'second'");
}

TEST(JumpToAnotherStack, IsRefusedFromATaskToTheThread) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  const auto jump_out = [] {
    Fibers fibers;
    fibers.spawn([] { longjmp(of_the_first, 1); }).set_name("inside");
    if (setjmp(of_the_first) == 0) fibers.run();
  };
  EXPECT_EXIT(jump_out(), testing::KilledBySignal(SIGABRT),
              "from task 'inside' to the stack of the thread, outside of tasks");
}

TEST(JumpToAnotherStack, IsRefusedFromTheThreadToATask) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  const auto jump_in = [] {
    Fibers fibers;
    struct Callback : runtime::Runnable {
      Callback() : Runnable(Kind::kCallback, [](Runnable&) { longjmp(of_the_first, 1); }) {}
    } callback;
    fibers
        .spawn([&] {
          if (setjmp(of_the_first) == 0) {
            fibers.scheduler().make_ready(callback);
            wait_in_the_first();
          }
        })
        .set_name("first");
    fibers.run();
  };
  EXPECT_EXIT(jump_in(), testing::KilledBySignal(SIGABRT),
              "from code outside of tasks to the stack of task 'first'");
}

TEST(JumpToAnotherStack, IsRefusedToATaskThatHasEnded) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  const auto jump_back = [] {
    Fibers fibers;
    fibers.spawn([] {
      ::usleep(1000);
      longjmp(of_the_first, 1);
    });
    fibers.spawn([] {
      if (setjmp(of_the_first) != 0) ADD_FAILURE();
    });
    fibers.run();
  };
  EXPECT_EXIT(jump_back(), testing::KilledBySignal(SIGABRT), "to the stack of a task that has ended");
}

// ---- out of a handler

TEST(JumpOutOfAHandler, LetsTheHooksActAgain) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static sigjmp_buf interrupted;
  ::signal(SIGUSR1, [](int) { siglongjmp(interrupted, 1); });
  Fibers fibers;
  Ticker ticker(fibers);
  fibers.spawn([&] {
    if (sigsetjmp(interrupted, 1) == 0) ::raise(SIGUSR1);
    EXPECT_EQ(runtime::current_fiber()->hooks_off, 0u);
    ticker.wait_for_turns();
    ticker.stop();
  });
  fibers.run();
  ::signal(SIGUSR1, SIG_DFL);
}

TEST(JumpOutOfAHandler, WithinItLeavesTheHooksOff) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static bool off_after_the_jump;
  off_after_the_jump = false;
  ::signal(SIGUSR1, [](int) {
    jmp_buf own;
    if (setjmp(own) == 0) longjmp(own, 1);
    off_after_the_jump = runtime::current_fiber()->hooks_off > 0;
  });
  Fibers fibers;
  fibers.spawn([] { ::raise(SIGUSR1); });
  fibers.run();
  EXPECT_TRUE(off_after_the_jump);
  ::signal(SIGUSR1, SIG_DFL);
}

TEST(JumpOutOfAHandler, OnTheAlternateStackToo) {
  if (!kKnown) GTEST_SKIP() << "jumps are libc's here";
  static sigjmp_buf interrupted;
  struct sigaction action {};
  action.sa_handler = [](int) { siglongjmp(interrupted, 1); };
  action.sa_flags = SA_ONSTACK;
  ::sigaction(SIGUSR1, &action, nullptr);
  static char memory[64 * 1024];
  stack_t stack{}, before{};
  stack.ss_sp = memory;
  stack.ss_size = sizeof memory;
  ::sigaltstack(&stack, &before);
  Fibers fibers;
  fibers.spawn([&] {
    if (sigsetjmp(interrupted, 1) == 0) ::raise(SIGUSR1);
    EXPECT_EQ(runtime::current_fiber()->hooks_off, 0u);
  });
  fibers.run();
  ::sigaltstack(&before, nullptr);
  ::signal(SIGUSR1, SIG_DFL);
}

}  // namespace
}  // namespace aiofiber::hooks_test
