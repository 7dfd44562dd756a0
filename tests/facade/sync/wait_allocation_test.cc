// SPDX-License-Identifier: Apache-2.0
//
// Waits for locks, semaphores, events, conditions, barriers and queues allocate nothing: not when they begin,
// nor when they are woken, limited in time or cancelled. Each scenario runs once to make what is made once
// and kept (stacks, coroutine frames, arrays that have grown), and is counted when it runs again.
//
// Labels: long
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace {

thread_local bool counting = false;
thread_local long allocations = 0;

[[gnu::noinline]] void* allocate(std::size_t bytes) {
  if (counting) ++allocations;
  if (void* const block = std::malloc(bytes)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void release(void* block) noexcept { std::free(block); }

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// Two tasks of one kind that run in turn with the test. Their rounds after the first are counted.
class Rounds {
 public:
  static constexpr int kRounds = 40;
  static constexpr int kFirstCounted = 20;

  // Called by each task at the beginning of each round; false: the rounds are over.
  bool next(int& round) {
    if (round == kFirstCounted) counting = true;
    if (round == kRounds) counting = false;
    return round++ < kRounds;
  }
};

// How many allocations the counted rounds of the tasks made.
long allocations_of(std::vector<std::function<void(Rounds&)>> tasks) {
  allocations = 0;
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    Rounds rounds;
    std::vector<Task<>> running;
    for (const auto& function : tasks) running.push_back(create_task([&] { function(rounds); }));
    for (Task<>& task : running) await(task);
  });
  counting = false;
  loop.close();
  return allocations;
}

TEST(AWait, ForASemaphoreAllocatesNothing) {
  Semaphore there(0), back(0);
  EXPECT_EQ(allocations_of({[&](Rounds& rounds) {
                              for (int i = 0; rounds.next(i);) {
                                there.release();
                                await(back.acquire());
                              }
                            },
                            [&](Rounds&) {
                              for (int i = 0; i < Rounds::kRounds; ++i) {
                                await(there.acquire());
                                back.release();
                              }
                            }}),
            0);
}

TEST(AWait, WithATimeLimitAllocatesNothing) {
  if (AIOFIBER_ASAN) GTEST_SKIP() << "memory of timers is not used again";
  Semaphore there(0), back(0);
  EXPECT_EQ(allocations_of({[&](Rounds& rounds) {
                              for (int i = 0; rounds.next(i);) {
                                there.release();
                                await(wait_for(back.acquire(), 1h));
                              }
                            },
                            [&](Rounds&) {
                              for (int i = 0; i < Rounds::kRounds; ++i) {
                                await(there.acquire());
                                back.release();
                              }
                            }}),
            0);
}

TEST(AWait, ForALockAllocatesNothing) {
  Lock lock;
  const auto hold = [&](Rounds& rounds) {
    for (int i = 0; rounds.next(i);) {
      await(lock.acquire());
      await(sleep(0s));
      lock.release();
    }
  };
  EXPECT_EQ(allocations_of({hold, hold, hold}), 0);
}

TEST(AWait, AfterAWakeUpInVainAllocatesNothing) {
  Lock lock;
  EXPECT_EQ(allocations_of({[&](Rounds& rounds) {
                              for (int i = 0; rounds.next(i);) {
                                await(lock.acquire());
                                await(sleep(0s));
                                lock.release();
                                if (lock.try_lock()) {
                                  await(sleep(0s));
                                  lock.release();
                                }
                              }
                            },
                            [&](Rounds&) {
                              for (int i = 0; i < Rounds::kRounds; ++i) {
                                await(lock.acquire());
                                lock.release();
                              }
                            }}),
            0);
}

TEST(AWait, ForAnEventAllocatesNothing) {
  Event there, back;
  EXPECT_EQ(allocations_of({[&](Rounds& rounds) {
                              for (int i = 0; rounds.next(i);) {
                                there.set();
                                await(back.wait());
                                back.clear();
                              }
                            },
                            [&](Rounds&) {
                              for (int i = 0; i < Rounds::kRounds; ++i) {
                                await(there.wait());
                                there.clear();
                                back.set();
                              }
                            }}),
            0);
}

TEST(AWait, ForAConditionAllocatesNothing) {
  Condition condition;
  int turn = 0;
  const auto take_turns = [&](Rounds& rounds, int own) {
    for (int i = 0; rounds.next(i);) {
      await(condition.acquire());
      while (turn != own) await(condition.wait());
      turn = 1 - own;
      condition.notify_all();
      condition.release();
    }
  };
  EXPECT_EQ(allocations_of({[&](Rounds& rounds) { take_turns(rounds, 0); },
                            [&](Rounds& rounds) { take_turns(rounds, 1); }}),
            0);
}

TEST(AWait, ForABarrierAllocatesNothing) {
  Barrier barrier(3);
  const auto meet = [&](Rounds& rounds) {
    for (int i = 0; rounds.next(i);) await(barrier.wait());
  };
  EXPECT_EQ(allocations_of({meet, meet, meet}), 0);
}

TEST(AWait, ForAQueueAllocatesNothing) {
  for (const int size : {1, 3}) {
    Queue<int> queue(size);
    EXPECT_EQ(allocations_of({[&](Rounds& rounds) {
                                for (int i = 0; rounds.next(i);) {
                                  await(queue.put(i));
                                  await(queue.put(i));
                                }
                                await(queue.join());
                              },
                              [&](Rounds&) {
                                for (int i = 0; i < 2 * Rounds::kRounds; ++i) {
                                  await(queue.get());
                                  queue.task_done();
                                }
                              }}),
              0);
  }
}

TEST(AWait, OfACoroAllocatesNothing) {
  if (AIOFIBER_ASAN) GTEST_SKIP() << "memory of coroutine frames is not used again";
  Queue<int> queue(1);
  Lock lock;
  Semaphore semaphore(1);
  const auto put = [&](Rounds& rounds) -> Coro<> {
    for (int i = 0; rounds.next(i);) {
      co_await queue.put(i);
      co_await lock.acquire();
      co_await semaphore.acquire();
      co_await sleep(0s);
      semaphore.release();
      lock.release();
    }
  };
  const auto get = [&]() -> Coro<> {
    for (int i = 0; i < Rounds::kRounds; ++i) {
      co_await queue.get();
      co_await lock.acquire();
      co_await semaphore.acquire();
      semaphore.release();
      lock.release();
    }
  };
  allocations = 0;
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    Rounds rounds;
    auto first = create_task([&]() -> Coro<> { return put(rounds); });
    auto second = create_task(get);
    await(first);
    await(second);
  });
  counting = false;
  loop.close();
  EXPECT_EQ(allocations, 0);
}

// What the cancelled task then throws is not counted.
TEST(AWait, ThatIsCancelledOrWokenAllocatesNothingForThat) {
  Lock lock;
  Event event;
  Queue<int> queue(1);
  Semaphore semaphore(0);
  Condition condition;
  testing::TestLoop loop;
  loop.run_until_complete([&] {
    await(lock.acquire());
    const auto wait_in_all_ways = [&] {
      return std::vector<Task<>>{create_task([&] { await(lock.acquire()); }),
                                 create_task([&] { await(event.wait()); }),
                                 create_task([&] { await(queue.get()); }),
                                 create_task([&] { await(semaphore.acquire()); }), create_task([&] {
                                   await(condition.acquire());
                                   try {
                                     await(condition.wait());
                                   } catch (...) {
                                     condition.release();
                                     throw;
                                   }
                                   condition.release();
                                 })};
    };
    std::vector<Task<>> cancelled = wait_in_all_ways();
    await(sleep(1ms));
    allocations = 0;
    counting = true;
    for (const Task<>& task : cancelled) task.cancel();
    counting = false;
    EXPECT_EQ(allocations, 0);
    await(wait(cancelled));
    for (const Task<>& task : cancelled) EXPECT_TRUE(task.cancelled());

    std::vector<Task<>> woken = wait_in_all_ways();
    await(sleep(1ms));
    await(condition.acquire());
    counting = true;
    lock.release();
    event.set();
    semaphore.release();
    condition.notify();
    counting = false;
    EXPECT_EQ(allocations, 0);
    queue.put_nowait(1);
    condition.release();
    for (Task<>& task : woken) await(task);
  });
  loop.close();
}

}  // namespace
}  // namespace aiofiber
