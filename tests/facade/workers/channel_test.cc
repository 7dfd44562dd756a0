// SPDX-License-Identifier: Apache-2.0
//
// Channel: order, bounds, shutdown and cancellation in one loop; items between loops and threads; loops that
// close while their tasks wait.
// Labels: threads clang long
#include "aiofiber/channel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::TestLoop;
using testing::wait_all_tasks_blocked;

template <class Body>
void in_loop(Body body) {
  TestLoop loop;
  loop.run_until_complete(body);
  loop.close();
}

// ---- one loop ---------------------------------------------------------------------------------------------

TEST(Channel, GivesItemsInTheOrderInWhichTheyWerePut) {
  const Channel<int> channel(3);
  for (int item : {2, 3, 1}) channel.put_nowait(item);
  std::vector<int> out;
  while (!channel.empty()) out.push_back(channel.get_nowait());
  EXPECT_EQ(out, (std::vector{2, 3, 1}));
}

TEST(Channel, SaysWhenItIsFullOrEmpty) {
  const Channel<int> channel(1);
  EXPECT_THROW(channel.get_nowait(), QueueEmpty);
  channel.put_nowait(1);
  EXPECT_TRUE(channel.full());
  EXPECT_EQ(channel.qsize(), 1u);
  EXPECT_EQ(channel.maxsize(), 1);
  EXPECT_THROW(channel.put_nowait(2), QueueFull);
}

TEST(Channel, RefusesToBeMadeWithoutRoom) {
  EXPECT_THROW(Channel<int>(0), ValueError);
  EXPECT_THROW(Channel<int>(-1), ValueError);
}

TEST(Channel, IsSharedByItsCopies) {
  const Channel<int> channel(1);
  const Channel<int> copy = channel;  // NOLINT
  channel.put_nowait(7);
  EXPECT_EQ(copy.get_nowait(), 7);
  EXPECT_EQ(copy, channel);
  EXPECT_NE(copy, Channel<int>(1));
}

TEST(Channel, MovesItemsThatCannotBeCopied) {
  in_loop([] {
    const Channel<std::unique_ptr<int>> channel(1);
    auto producer = create_task([&] {
      for (int i = 0; i < 3; ++i) await(channel.put(std::make_unique<int>(i)));
    });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(*await(channel.get()), i);
    await(producer);
  });
}

TEST(Channel, WakesGettersInTheOrderInWhichTheyCame) {
  in_loop([] {
    const Channel<int> channel(8);
    std::vector<std::string> log;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i)
      tasks.push_back(create_task(
          [&, i] { log.push_back(std::to_string(i) + ":" + std::to_string(await(channel.get()))); }));
    wait_all_tasks_blocked();
    for (int item : {10, 11, 12}) channel.put_nowait(item);
    await(gather(tasks));
    EXPECT_EQ(log, (std::vector<std::string>{"0:10", "1:11", "2:12"}));
  });
}

TEST(Channel, LetsATaskThatWasWokenInVainWaitAtItsOldPlace) {
  in_loop([] {
    const Channel<int> channel(8);
    std::vector<int> order;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i)
      tasks.push_back(create_task([&, i] {
        await(channel.get());
        order.push_back(i);
      }));
    wait_all_tasks_blocked();
    channel.put_nowait(1);
    EXPECT_EQ(channel.get_nowait(), 1);  // faster than task 0
    wait_all_tasks_blocked();
    for (int item : {1, 2, 3}) channel.put_nowait(item);
    await(gather(tasks));
    EXPECT_EQ(order, (std::vector{0, 1, 2}));
  });
}

TEST(Channel, WakesPuttersInTheOrderInWhichTheyCame) {
  in_loop([] {
    const Channel<int> channel(1);
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(create_task([&, i] { await(channel.put(i)); }));
    std::vector<int> out;
    for (int i = 0; i < 4; ++i) {
      wait_all_tasks_blocked();
      out.push_back(await(channel.get()));
    }
    await(gather(tasks));
    EXPECT_EQ(out, (std::vector{0, 1, 2, 3}));
  });
}

TEST(Channel, LosesNoItemWhenAWokenGetterIsCancelled) {
  in_loop([] {
    const Channel<int> channel(1);
    auto first = create_task([&] { return await(channel.get()); });
    auto second = create_task([&] { return await(channel.get()); });
    wait_all_tasks_blocked();
    channel.put_nowait(5);
    first.cancel();
    EXPECT_EQ(await(second), 5);
    EXPECT_THROW(await(first), CancelledError);
  });
}

TEST(Channel, PassesRoomOnWhenAWokenPutterIsCancelled) {
  in_loop([] {
    const Channel<int> channel(1);
    channel.put_nowait(0);
    auto first = create_task([&] { await(channel.put(1)); });
    auto second = create_task([&] { await(channel.put(2)); });
    wait_all_tasks_blocked();
    EXPECT_EQ(channel.get_nowait(), 0);
    first.cancel();
    await(second);
    EXPECT_EQ(channel.get_nowait(), 2);
    EXPECT_THROW(await(first), CancelledError);
  });
}

TEST(Channel, DropsTheItemOfACancelledPut) {
  in_loop([] {
    const auto item = std::make_shared<int>(1);
    const Channel<std::shared_ptr<int>> channel(1);
    channel.put_nowait(nullptr);
    auto putter = create_task([&] { await(channel.put(item)); });
    wait_all_tasks_blocked();
    EXPECT_EQ(item.use_count(), 2);
    putter.cancel();
    wait_all_tasks_blocked();
    EXPECT_EQ(item.use_count(), 1);
    EXPECT_EQ(channel.qsize(), 1u);
  });
}

TEST(Channel, EndsAfterItsLastItemWhenItIsShutDown) {
  in_loop([] {
    const Channel<int> channel(2);
    channel.put_nowait(1);
    channel.shutdown();
    EXPECT_THROW(channel.put_nowait(2), QueueShutDown);
    EXPECT_THROW(await(channel.put(2)), QueueShutDown);
    EXPECT_EQ(await(channel.get()), 1);
    EXPECT_THROW(await(channel.get()), QueueShutDown);
    EXPECT_THROW(channel.get_nowait(), QueueShutDown);
  });
}

TEST(Channel, WakesAllWaitersWhenItIsShutDown) {
  in_loop([] {
    const Channel<int> empty(1), full(1);
    full.put_nowait(0);
    auto getter = create_task([&] { await(empty.get()); });
    auto putter = create_task([&] { await(full.put(1)); });
    wait_all_tasks_blocked();
    empty.shutdown();
    full.shutdown();
    EXPECT_THROW(await(getter), QueueShutDown);
    EXPECT_THROW(await(putter), QueueShutDown);
    EXPECT_EQ(full.get_nowait(), 0);
  });
}

TEST(Channel, DropsItsItemsWhenItIsShutDownAtOnce) {
  const auto item = std::make_shared<int>(1);
  const Channel<std::shared_ptr<int>> channel(2);
  channel.put_nowait(item);
  channel.shutdown(true);
  EXPECT_EQ(item.use_count(), 1);
  EXPECT_TRUE(channel.empty());
  EXPECT_THROW(channel.get_nowait(), QueueShutDown);
}

TEST(Channel, IsAwaitedByCoroutinesWithoutAStack) {
  in_loop([] {
    const Channel<int> channel(1);
    auto producer = create_task([](Channel<int> to) -> Coro<void> {
      for (int i = 0; i < 5; ++i) co_await to.put(i);
      to.shutdown();
    }(channel));
    auto consumer = create_task([](Channel<int> from) -> Coro<int> {
      int sum = 0;
      try {
        for (;;) sum += co_await from.get();
      } catch (const QueueShutDown&) {
        co_return sum;
      }
    }(channel));
    await(producer);
    EXPECT_EQ(await(consumer), 10);
  });
}

TEST(Channel, LosesNoItemWhenACoroutineIsCancelled) {
  in_loop([] {
    const Channel<int> channel(1);
    const auto take = [](Channel<int> from) -> Coro<int> { co_return co_await from.get(); };
    auto first = create_task(take(channel));
    auto second = create_task(take(channel));
    wait_all_tasks_blocked();
    channel.put_nowait(5);
    first.cancel();
    EXPECT_EQ(await(second), 5);
    EXPECT_TRUE(first.cancelled());
  });
}

TEST(Channel, RefusesToWaitOutsideATask) {
  const Channel<int> channel(1);
  EXPECT_THROW(await(channel.get()), RuntimeError);
  EXPECT_THROW(await(channel.put(1)), RuntimeError);
  EXPECT_TRUE(channel.empty());
}

TEST(Channel, ShowsItsStateAsText) {
  in_loop([] {
    const Channel<int> channel(2);
    EXPECT_EQ(repr(channel), "<Channel maxsize=2 qsize=0>");
    auto getter = create_task([&] { return await(channel.get()); });
    wait_all_tasks_blocked();
    EXPECT_EQ(repr(channel), "<Channel maxsize=2 qsize=0 _getters[1]>");
    channel.shutdown();
    EXPECT_EQ(repr(channel), "<Channel maxsize=2 qsize=0 shutdown>");
    EXPECT_THROW(await(getter), QueueShutDown);
  });
}

TEST(Channel, ShowsWaitingTasksToDebuggers) {
  in_loop([] {
    const Channel<int> channel(1);
    auto getter = create_task([&] { return await(channel.get()); });
    wait_all_tasks_blocked();
    EXPECT_EQ(getter.state().task()->fiber()->wait_kind, AIOFIBER_WAIT_QUEUE_GET);
    channel.put_nowait(1);
    await(getter);
    channel.put_nowait(1);
    auto putter = create_task([&] { await(channel.put(2)); });
    wait_all_tasks_blocked();
    EXPECT_EQ(putter.state().task()->fiber()->wait_kind, AIOFIBER_WAIT_QUEUE_PUT);
    channel.get_nowait();
    await(putter);
  });
}

// ---- loops that close -------------------------------------------------------------------------------------

TEST(Channel, ForgetsTheTasksOfALoopThatCloses) {
  set_log_sink([](LogLevel, std::string_view) {});
  const Channel<int> channel(1);
  {
    EventLoop loop;
    loop.create_task([&] { await(channel.get()); }).detach();
    loop.create_task([](Channel<int> from) -> Coro<void> { co_await from.get(); }(channel)).detach();
    loop.run_until_complete([] { await(sleep(0s)); });
    EXPECT_EQ(repr(channel), "<Channel maxsize=1 qsize=0 _getters[2]>");
    loop.close();
  }
  set_log_sink(nullptr);
  EXPECT_EQ(repr(channel), "<Channel maxsize=1 qsize=0>");
  channel.put_nowait(1);
  EXPECT_EQ(channel.get_nowait(), 1);
}

TEST(Channel, GivesTheWakeUpOfAClosingLoopToAnother) {
  set_log_sink([](LogLevel, std::string_view) {});
  const Channel<int> channel(1);
  EventLoop closing, other;
  closing.create_task([&] { await(channel.get()); }).detach();
  closing.run_until_complete([] { await(sleep(0s)); });
  auto getter = other.create_task([&] { return await(channel.get()); });
  other.run_until_complete([] { await(sleep(0s)); });
  channel.put_nowait(3);  // wakes the task of the first loop, which does not run
  closing.close();
  EXPECT_EQ(other.run_until_complete(getter), 3);
  other.close();
  set_log_sink(nullptr);
}

TEST(Channel, PassesOverATaskThatCouldNotBeUnwound) {
  set_log_sink([](LogLevel, std::string_view) {});
  const Channel<int> channel(1);
  {
    EventLoop loop;
    loop.create_task([&]() noexcept { await(channel.get()); }).detach();
    loop.run_until_complete([] { await(sleep(0s)); });
    loop.close();
  }
  EventLoop other;
  auto getter = other.create_task([&] { return await(channel.get()); });
  other.run_until_complete([] { await(sleep(0s)); });
  channel.put_nowait(4);
  EXPECT_EQ(other.run_until_complete(getter), 4);
  other.close();
  set_log_sink(nullptr);
}

// ---- threads ----------------------------------------------------------------------------------------------

TEST(Channel, CarriesItemsFromAPlainThreadToALoop) {
  const Channel<int> channel(1'000);
  std::thread thread([channel] {
    for (int i = 0; i < 1'000; ++i) channel.put_nowait(i);
    channel.shutdown();
  });
  const int sum = run([&] {
    int result = 0;
    try {
      for (;;) result += await(channel.get());
    } catch (const QueueShutDown&) {
      return result;
    }
  });
  thread.join();
  EXPECT_EQ(sum, 499'500);
}

TEST(Channel, KeepsTheOrderOfEachProducerBetweenTwoLoops) {
  const Channel<int> channel(4);
  std::thread thread([channel] {
    run([&] {
      for (int i = 0; i < 5'000; ++i) await(channel.put(i));
      channel.shutdown();
    });
  });
  bool ordered = true;
  int count = 0;
  run([&] {
    try {
      for (;; ++count) ordered &= await(channel.get()) == count;
    } catch (const QueueShutDown&) {
    }
  });
  thread.join();
  EXPECT_TRUE(ordered);
  EXPECT_EQ(count, 5'000);
}

TEST(Channel, DeliversEachItemOnceBetweenManyTasksOfManyLoops) {
  constexpr int kLoops = 4;
  constexpr int kItems = 2'000;  // of each producer
  const Channel<int> channel(3);
  std::atomic<int> producers = 2 * kLoops;
  std::atomic<long> sum = 0;
  std::atomic<int> count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kLoops; ++t) {
    threads.emplace_back([&] {
      run([&] {
        const auto produce = [&] {
          for (int i = 1; i <= kItems; ++i) await(channel.put(i));
          if (--producers == 0) channel.shutdown();
        };
        const auto consume = [&] {
          try {
            for (;;) {
              sum += await(channel.get());
              ++count;
            }
          } catch (const QueueShutDown&) {
          }
        };
        await(gather(produce, consume, produce, consume));
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count.load(), 2 * kLoops * kItems);
  EXPECT_EQ(sum.load(), 2L * kLoops * kItems * (kItems + 1) / 2);
}

TEST(Channel, LosesNoItemWhileTasksOfOtherLoopsAreCancelled) {
  constexpr int kItems = 2'000;
  const Channel<int> channel(2);
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      run([&] {
        // Gets with a limit that often passes at the moment of the wake-up.
        for (bool open = true; open;) {
          auto getter = create_task([&] {
            await(channel.get());
            ++taken;
          });
          await(sleep(0s));
          getter.cancel();
          try {
            await(getter);
          } catch (const CancelledError&) {
          } catch (const QueueShutDown&) {
            open = false;
          }
        }
      });
    });
  }
  run([&] {
    for (int i = 0; i < kItems; ++i) await(channel.put(i));
    channel.shutdown();
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), kItems);
}

TEST(Channel, SurvivesLoopsThatCloseWhileOthersPut) {
  set_log_sink([](LogLevel, std::string_view) {});
  const Channel<int> channel(1);
  std::atomic<bool> stop = false;
  std::thread putter([&] {
    while (!stop) {
      try {
        channel.put_nowait(1);
      } catch (const QueueFull&) {
        std::this_thread::yield();
      }
    }
  });
  for (int round = 0; round < 200; ++round) {
    EventLoop loop;
    for (int i = 0; i < 3; ++i)
      loop.create_task([&] {
            for (;;) await(channel.get());
          })
          .detach();
    loop.run_until_complete([] { await(sleep(0s)); });
    loop.close();
  }
  stop = true;
  putter.join();
  set_log_sink(nullptr);
  EXPECT_EQ(repr(channel).find("_getters"), std::string::npos);
}

}  // namespace
}  // namespace aiofiber
