// SPDX-License-Identifier: Apache-2.0
//
// Exceptions and fibers: each has its own, and a suspended one is unwound when its loop closes.
// Labels: threads
#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "support/fiber_loop.h"
#include "support/pipe.h"

namespace aiofiber::runtime {
namespace {

// ---- exceptions

TEST(Exceptions, AFiberSuspendedInACatchBlockRethrowsItsOwn) {
  Loop loop;
  Log log;
  for (const char* name : {"a", "b", "c"}) {
    loop.spawn([&log, name] {
      try {
        try {
          throw std::runtime_error(name);
        } catch (...) {
          yield_now();
          yield_now();
          throw;
        }
      } catch (const std::runtime_error& error) {
        log.emplace_back(error.what());
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b", "c"}));
}

TEST(Exceptions, AFreshFiberOnATakenOverStackHasNone) {
  Loop loop;
  int uncaught = -1;
  bool has_current = true;
  loop.spawn([&] {
    loop.spawn([&] {
      uncaught = std::uncaught_exceptions();
      has_current = std::current_exception() != nullptr;
    });
    try {
      throw 1;
    } catch (int) {
      yield_now();
    }
  });
  loop.run();
  EXPECT_EQ(uncaught, 0);
  EXPECT_FALSE(has_current);
}

TEST(Exceptions, TheLoopsOwnAreUntouchedByItsFibers) {
  Loop loop;
  for (int i = 0; i < 2; ++i) {
    loop.spawn([] {
      try {
        throw std::runtime_error("fiber");
      } catch (...) {
        yield_now();
      }
    });
  }
  std::string after;
  try {
    throw std::logic_error("main");
  } catch (...) {
    loop.run();
    try {
      throw;
    } catch (const std::exception& error) {
      after = error.what();
    }
  }
  EXPECT_EQ(after, "main");
}

TEST(Exceptions, AFiberMaySuspendInADestructorDuringUnwinding) {
  struct Yields {
    ~Yields() { yield_now(); }
  };
  Loop loop;
  Log log;
  for (const char* name : {"a", "b"}) {
    loop.spawn([&log, name] {
      try {
        const Yields yields;
        throw std::runtime_error(name);
      } catch (const std::runtime_error& error) {
        log.emplace_back(error.what());
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      }
    });
  }
  loop.run();
  EXPECT_EQ(log, (Log{"a", "b"}));
}

// ---- closing

struct SetsOnDestruction {
  bool& flag;
  ~SetsOnDestruction() { flag = true; }
};

TEST(Unwind, RunsTheDestructorsOfASuspendedFiber) {
  Loop loop;
  bool destroyed = false;
  bool went_on = false;
  Fiber& fiber = loop.spawn([&] {
    const SetsOnDestruction guard{destroyed};
    sleep_until_woken();
    went_on = true;
  });
  loop.run_until_stuck();
  EXPECT_FALSE(destroyed);
  EXPECT_TRUE(loop.unwind(fiber));
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(went_on);
}

TEST(Unwind, EndsARuntimeWaitAsInterrupted) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  Fiber& fiber = loop.spawn([&] {
    result = fd_wait(pipe.reader(), kReadable);
    if (current_fiber()->unwinding) throw ForcedUnwind();
  });
  loop.run_until_stuck();
  EXPECT_TRUE(loop.unwind(fiber));
  EXPECT_TRUE(result.interrupted);
}

TEST(Unwind, LeavesTheCallersExceptionAlone) {
  Loop loop;
  Fiber& fiber = loop.spawn([] {
    try {
      throw std::runtime_error("fiber");
    } catch (...) {
      sleep_until_woken();
    }
  });
  loop.run_until_stuck();
  std::string message;
  try {
    throw std::runtime_error("closing");
  } catch (...) {
    EXPECT_TRUE(loop.unwind(fiber));
    try {
      throw;
    } catch (const std::exception& error) {
      message = error.what();
    }
  }
  EXPECT_EQ(message, "closing");
}

AIOFIBER_NOINLINE void sleep_in_noexcept() noexcept {
  sleep_until_woken();
  asm volatile("");
}

TEST(Unwind, AbandonsAFiberThatNoExceptionCanLeave) {
  Loop loop;
  bool destroyed = false;
  Fiber& fiber = loop.spawn([&] {
    const SetsOnDestruction guard{destroyed};
    sleep_in_noexcept();
  });
  loop.run_until_stuck();
  EXPECT_FALSE(loop.unwind(fiber));
  EXPECT_FALSE(destroyed);
}

}  // namespace
}  // namespace aiofiber::runtime
