// SPDX-License-Identifier: Apache-2.0
//
// The three queues on virtual time: order, bounds, waiting, cancellation, shutdown.
//
// Labels: long
#include "aiofiber/queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

using testing::TestLoop;
using testing::wait_all_tasks_blocked;

template <class Body>
void in_loop(Body body) {
  TestLoop loop;
  loop.run_until_complete(body);
  loop.close();
}

template <class Q>
std::vector<int> drained(Q& queue) {
  for (int item : {2, 3, 1}) queue.put_nowait(item);
  std::vector<int> out;
  while (!queue.empty()) out.push_back(queue.get_nowait());
  return out;
}

TEST(Queue, GivesItemsInTheOrderOfItsKind) {
  Queue<int> fifo;
  PriorityQueue<int> priority;
  LifoQueue<int> lifo;
  EXPECT_EQ(drained(fifo), (std::vector{2, 3, 1}));
  EXPECT_EQ(drained(priority), (std::vector{1, 2, 3}));
  EXPECT_EQ(drained(lifo), (std::vector{1, 3, 2}));
}

TEST(Queue, SaysWhenItIsFullOrEmpty) {
  Queue<int> queue(1);
  EXPECT_THROW(queue.get_nowait(), QueueEmpty);
  queue.put_nowait(1);
  EXPECT_TRUE(queue.full());
  EXPECT_THROW(queue.put_nowait(2), QueueFull);
  Queue<int> unbounded;
  unbounded.put_nowait(1);
  EXPECT_FALSE(unbounded.full());
}

TEST(Queue, MovesItemsThatCannotBeCopied) {
  in_loop([] {
    Queue<std::unique_ptr<int>> queue(1);
    auto producer = create_task([&] {
      for (int i = 0; i < 3; ++i) await(queue.put(std::make_unique<int>(i)));
    });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(*await(queue.get()), i);
    await(producer);
  });
}

TEST(Queue, PrintsItemsAndWaiters) {
  in_loop([] {
    Queue<int> queue(2);
    queue.put_nowait(1);
    queue.put_nowait(2);
    auto putter = create_task([&] { await(queue.put(3)); });
    wait_all_tasks_blocked();
    EXPECT_EQ(repr(queue), "<Queue maxsize=2 _queue=[1, 2] _putters[1] tasks=2>");
    queue.get_nowait();
    await(putter);
  });
}

// CPython: test_queues.py QueueGetTests.test_get_cancelled_race
TEST(Queue, HandsAnItemToTheNextGetterWhenTheWokenOneIsCancelled) {
  in_loop([] {
    Queue<int> queue;
    auto a = create_task([&] { return await(queue.get()); });
    auto b = create_task([&] { return await(queue.get()); });
    wait_all_tasks_blocked();
    queue.put_nowait(5);
    a.cancel();
    EXPECT_EQ(await(b), 5);
    EXPECT_TRUE(a.cancelled());
  });
}

TEST(Queue, HandsRoomToTheNextPutterWhenTheWokenOneIsCancelled) {
  in_loop([] {
    Queue<int> queue(1);
    queue.put_nowait(0);
    auto a = create_task([&] { await(queue.put(1)); });
    auto b = create_task([&] { await(queue.put(2)); });
    wait_all_tasks_blocked();
    EXPECT_EQ(queue.get_nowait(), 0);
    a.cancel();
    await(b);
    EXPECT_EQ(queue.get_nowait(), 2);
  });
}

TEST(Queue, SendsAGetterBackWhenSomebodyWasFaster) {
  in_loop([] {
    Queue<int> queue;
    auto getter = create_task([&] { return await(queue.get()); });
    wait_all_tasks_blocked();
    queue.put_nowait(1);
    EXPECT_EQ(queue.get_nowait(), 1);
    wait_all_tasks_blocked();
    EXPECT_FALSE(getter.done());
    queue.put_nowait(2);
    EXPECT_EQ(await(getter), 2);
  });
}

TEST(Queue, JoinsWhenEveryItemIsDone) {
  in_loop([] {
    Queue<int> queue;
    await(queue.join());
    queue.put_nowait(1);
    auto joiner = create_task([&] { await(queue.join()); });
    wait_all_tasks_blocked();
    EXPECT_FALSE(joiner.done());
    queue.get_nowait();
    queue.task_done();
    queue.put_nowait(2);  // does not bind it again
    await(joiner);
    queue.task_done();
    EXPECT_THROW(queue.task_done(), ValueError);
  });
}

// CPython: test_queues.py _QueueShutdownTestMixin
TEST(Queue, ShutsDownForWaitersAndLetsTheRestBeTaken) {
  in_loop([] {
    Queue<int> queue(1);
    queue.put_nowait(1);
    auto putter = create_task([&] { await(queue.put(2)); });
    wait_all_tasks_blocked();
    queue.shutdown();
    EXPECT_THROW(await(putter), QueueShutDown);
    EXPECT_EQ(await(queue.get()), 1);
    EXPECT_THROW(await(queue.get()), QueueShutDown);
    EXPECT_THROW(queue.put_nowait(3), QueueShutDown);
  });
}

TEST(Queue, ShutsDownAtOnceAndReleasesJoin) {
  in_loop([] {
    Queue<int> queue;
    queue.put_nowait(1);
    queue.put_nowait(2);
    auto joiner = create_task([&] { await(queue.join()); });
    wait_all_tasks_blocked();
    queue.shutdown(true);
    await(joiner);
    EXPECT_THROW(queue.get_nowait(), QueueShutDown);
  });
}

}  // namespace
}  // namespace aiofiber
