// SPDX-License-Identifier: Apache-2.0
//
// timeout(): when a cancellation becomes a TimeoutError, and when it does not.
#include <gtest/gtest.h>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

TEST(Timeout, GivesTheBodysValue) {
  run_in_loop([] {
    int there = 0;
    EXPECT_EQ(await(timeout(1s, [] { return 4; })), 4);
    int& same = await(timeout(std::nullopt, [&]() -> int& { return there; }));
    EXPECT_EQ(&same, &there);
  });
}

// CPython: test_timeouts.py TimeoutTests.test_timeout_basic
TEST(Timeout, CancelsTheBodyAndThrowsTimeoutError) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    const TimePoint start = loop.time();
    bool cancelled_inside = false;
    EXPECT_THROW(await(timeout(1s,
                               [&](Timeout& scope) {
                                 try {
                                   await(sleep(10s));
                                 } catch (const CancelledError&) {
                                   cancelled_inside = true;
                                   EXPECT_TRUE(scope.expired());
                                   throw;
                                 }
                               })),
                 TimeoutError);
    EXPECT_TRUE(cancelled_inside);
    EXPECT_EQ(loop.time() - start, 1s);
    EXPECT_EQ(current_task()->cancelling(), 0);
  });
}

TEST(Timeout, LetsAForeignCancellationPass) {
  run_in_loop([] {
    Task<> task = create_task([] { await(timeout(5s, [] { await(sleep(10s)); })); });
    await(sleep(1s));
    task.cancel("foreign");
    EXPECT_THROW(await(task), CancelledError);
  });
}

TEST(Timeout, LetsAForeignCancellationWinATie) {
  run_in_loop([] {
    Task<> task = create_task([] { await(timeout(1s, [] { await(sleep(10s)); })); });
    await(sleep(0s));
    get_running_loop().call_later(1s, [=]() mutable { task.cancel("foreign"); });
    EXPECT_THROW(await(task), CancelledError);
    EXPECT_EQ(task.cancelling(), 1);
  });
}

TEST(Timeout, LetsAnotherErrorPass) {
  run_in_loop([] {
    EXPECT_THROW(await(timeout(1s,
                               [] {
                                 try {
                                   await(sleep(10s));
                                 } catch (const CancelledError&) {
                                   throw ValueError("other");
                                 }
                               })),
                 ValueError);
  });
}

TEST(Timeout, EndsNormallyWhenTheBodySwallowsTheCancellation) {
  run_in_loop([] {
    EXPECT_EQ(await(timeout(1s,
                            [] {
                              try {
                                await(sleep(10s));
                              } catch (const CancelledError&) {
                              }
                              await(sleep(1s));
                              return 1;
                            })),
              1);
  });
}

TEST(Timeout, ExpiresTheOuterOfTwoScopes) {
  run_in_loop([] {
    bool inner_expired = true;
    EXPECT_THROW(await(timeout(1s,
                               [&] {
                                 await(timeout(5s, [&](Timeout& inner) {
                                   try {
                                     await(sleep(10s));
                                   } catch (...) {
                                     inner_expired = inner.expired();
                                     throw;
                                   }
                                 }));
                               })),
                 TimeoutError);
    EXPECT_FALSE(inner_expired);
  });
}

TEST(Timeout, CanBeMoved) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    await(timeout(1s, [&](Timeout& scope) {
      scope.reschedule(loop.time() + 20s);
      await(sleep(10s));
      scope.reschedule(std::nullopt);
      await(sleep(60s));
      EXPECT_EQ(repr(scope), "<Timeout [active] when=None>");
    }));
  });
}

TEST(Timeout, OfZeroExpiresAtTheFirstSuspension) {
  run_in_loop([] {
    await(timeout(0s, [] {}));
    EXPECT_THROW(await(timeout(0s, [] { await(sleep(0s)); })), TimeoutError);
  });
}

}  // namespace
}  // namespace aiofiber
