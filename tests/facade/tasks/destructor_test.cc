// SPDX-License-Identifier: Apache-2.0
//
// Each form of await() in a destructor that is inlined into its caller: a cancellation is kept back, because
// it could not leave the destructor. g++ then removes what shows in the tables that exceptions end there, if
// a variable with a destructor is in between.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// A destructor that is inlined even where the compiler would not do it.
template <class F>
struct AtExit {
  F fn;
  __attribute__((always_inline)) ~AtExit() { fn(); }
};
template <class F>
AtExit(F) -> AtExit<F>;

Future<int> done_later() {
  auto future = get_running_loop().create_future<int>();
  get_running_loop().call_later(1s, [future] {
    if (!future.done()) future.set_result(1);
  });
  return future;
}
Coro<> sleep_in_coroutine() { co_await sleep(1s); }

// Cancels a task while it waits in fn(), which its destructor calls. True if fn() ended as if nothing had
// happened, and the cancellation was raised afterwards.
#define IN_DESTRUCTOR(statement)                                                                         \
  [] {                                                                                                 \
    bool ended_normally = false, was_cancelled = false;                                                \
    run_in_loop([&] {                                                                                  \
      auto task = create_task([&] {                                                                    \
        {                                                                                              \
          const AtExit at_exit{[&]() __attribute__((always_inline)) {                                  \
            statement;                                                                                 \
            ended_normally = true;                                                                     \
          }};                                                                                          \
        }                                                                                              \
        await(sleep(1h));                                                                              \
      });                                                                                                \
  await(sleep(0s));                                                                                      \
  task.cancel();                                                                                         \
  await(ended(task));                                                                                    \
  was_cancelled = task.cancelled();                                                                      \
  });                                                                                                  \
  return ended_normally && was_cancelled;                                                                \
  }                                                                                                      \
  ()

TEST(AwaitInADestructor, KeepsBackTheCancellation) {
  EXPECT_TRUE(IN_DESTRUCTOR(await(sleep(1s))));
  EXPECT_TRUE(IN_DESTRUCTOR(auto future = done_later(); await(future)));
  EXPECT_TRUE(IN_DESTRUCTOR(await(done_later())));
  EXPECT_TRUE(IN_DESTRUCTOR(await(create_task([] { await(sleep(1s)); }))));
  EXPECT_TRUE(IN_DESTRUCTOR(await(gather(sleep(1s), sleep(2s)))));
  EXPECT_TRUE(IN_DESTRUCTOR(await([] { await(sleep(1s)); })));
  EXPECT_TRUE(IN_DESTRUCTOR(auto named = sleep(1s); await(named)));
  EXPECT_TRUE(IN_DESTRUCTOR(await(wait_for(sleep(1s), 2s))));
  EXPECT_TRUE(IN_DESTRUCTOR(await(shield(sleep(1s)))));
  EXPECT_TRUE(IN_DESTRUCTOR(await(sleep_in_coroutine())));
  EXPECT_TRUE(IN_DESTRUCTOR(await(sleep_in_coroutine)));
  EXPECT_TRUE(IN_DESTRUCTOR(auto named = sleep_in_coroutine(); await(named)));
  EXPECT_TRUE(IN_DESTRUCTOR(await(task_group([](TaskGroup& group) { group.create_task(sleep(1s)); }))));
  EXPECT_TRUE(IN_DESTRUCTOR(await(timeout(2s, [] { await(sleep(1s)); }))));
}

}  // namespace
}  // namespace aiofiber
