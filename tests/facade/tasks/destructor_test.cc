// SPDX-License-Identifier: Apache-2.0
//
// Each form of await() in a destructor that is inlined into its caller: a cancellation is kept back, because
// it could not leave the destructor. g++ then removes what shows in the tables that exceptions end there, if
// a variable with a destructor is in between; without optimisation, it writes a clean-up that ends in
// std::terminate(). So the test is also built with -O0.
// Labels: clang long
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

Future<int> done_later() {
  auto future = get_running_loop().create_future<int>();
  get_running_loop().call_later(1s, [future] {
    if (!future.done()) future.set_result(1);
  });
  return future;
}
Coro<> sleep_in_coroutine() { co_await sleep(1s); }

// Cancels a task while a destructor waits. True if the destructor went on as if nothing had happened, and the
// cancellation was raised afterwards.
template <class AtExit>
bool keeps_back() {
  bool went_on = false, was_cancelled = false;
  run_in_loop([&] {
    auto task = create_task([&] {
      { const AtExit at_exit{went_on}; }
      await(sleep(1h));
    });
    await(sleep(0s));
    task.cancel();
    await(ended(task));
    was_cancelled = task.cancelled();
  });
  return went_on && was_cancelled;
}
#define EXPECT_KEPT_BACK(...)                          \
  do {                                                 \
    struct AtExit {                                    \
      bool& went_on;                                   \
      __attribute__((always_inline)) ~AtExit() {       \
        __VA_ARGS__;                                   \
        went_on = true;                                \
      }                                                \
    };                                                 \
    EXPECT_TRUE(keeps_back<AtExit>()) << #__VA_ARGS__; \
  } while (false)

TEST(AwaitInADestructor, KeepsBackTheCancellation) {
  EXPECT_KEPT_BACK(await(sleep(1s)));
  EXPECT_KEPT_BACK(auto future = done_later(); await(future));
  EXPECT_KEPT_BACK(await(done_later()));
  EXPECT_KEPT_BACK(await(create_task([] { await(sleep(1s)); })));
  EXPECT_KEPT_BACK(await(gather(sleep(1s), sleep(2s))));
  EXPECT_KEPT_BACK(await([] { await(sleep(1s)); }));
  EXPECT_KEPT_BACK(auto named = sleep(1s); await(named));
  EXPECT_KEPT_BACK(await(wait_for(sleep(1s), 2s)));
  EXPECT_KEPT_BACK(await(shield(sleep(1s))));
  EXPECT_KEPT_BACK(await(sleep_in_coroutine()));
  EXPECT_KEPT_BACK(await(sleep_in_coroutine));
  EXPECT_KEPT_BACK(auto named = sleep_in_coroutine(); await(named));
  EXPECT_KEPT_BACK(await(task_group([](TaskGroup& group) { group.create_task(sleep(1s)); })));
  EXPECT_KEPT_BACK(await(timeout(2s, [] { await(sleep(1s)); })));
}

}  // namespace
}  // namespace aiofiber
