// SPDX-License-Identifier: Apache-2.0
//
// Scenarios of queues and channels. Nothing that was put is lost or comes twice, whoever is cancelled.
// Labels: slow
#include <algorithm>
#include <numeric>

#include "explore/every.h"

namespace aiofiber::explored {
namespace {

// Gets items until the queue is shut down.
template <class Q>
void drain(Q& queue, std::vector<int>& got) {
  try {
    for (;;) got.push_back(await(queue.get()));
  } catch (const QueueShutDown&) {
  }
}

// The same without waiting: what is left.
template <class Q>
void take_rest(Q& queue, std::vector<int>& got) {
  try {
    for (;;) got.push_back(queue.get_nowait());
  } catch (const QueueEmpty&) {
  } catch (const QueueShutDown&) {
  }
}

void must_be_same(std::vector<int> put, std::vector<int> got) {
  std::sort(put.begin(), put.end());
  std::sort(got.begin(), got.end());
  must(put == got, "what was put is what was got");
}

std::vector<int> first_numbers(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// Puts a number and notes that it was put. put() of an item is over when it returns.
template <class Q>
void put_noted(Q& queue, int number, std::vector<int>& put) {
  await(queue.put(number));
  put.push_back(number);
}

template <class Q>
void two_consumers() {
  Q queue(1);
  std::vector<int> got;
  const auto consumer = [&] { drain(queue, got); };
  Crew crew({consumer, consumer});
  for (int i = 0; i < 4; ++i) await(queue.put(i));
  queue.shutdown();
  crew.join();
  take_rest(queue, got);
  must_be_same(first_numbers(4), got);
}

template <class Q>
void three_producers() {
  Q queue(1);
  std::vector<int> put;
  std::vector<int> got;
  const auto producer = [&](int number) {
    return [&, number] {
      put_noted(queue, number, put);
      put_noted(queue, number + 10, put);
    };
  };
  Crew crew({producer(0), producer(1), producer(2)});
  while (!crew.done()) {
    take_rest(queue, got);
    yield();
  }
  crew.join();
  take_rest(queue, got);
  must_be_same(put, got);
}

template <class Q>
void producers_and_consumers() {
  Q queue(2);
  std::vector<int> put;
  std::vector<int> got;
  const auto producer = [&](int number) {
    return [&, number] {
      try {
        for (int i = 0; i < 2; ++i) put_noted(queue, number + i, put);
      } catch (const QueueShutDown&) {
      }
    };
  };
  const auto consumer = [&] { drain(queue, got); };
  Crew crew({producer(0), consumer, producer(10), consumer});
  nap(1);
  queue.shutdown();
  crew.join();
  take_rest(queue, got);
  must_be_same(put, got);
}

template <class Q>
void get_with_time_limit() {
  Q queue(4);
  std::vector<int> got;
  const auto consumer = [&] {
    try {
      got.push_back(await(wait_for(queue.get(), 1ms)));
    } catch (const TimeoutError&) {
    }
  };
  Crew crew({consumer, consumer, consumer});
  nap(1);
  queue.put_nowait(0);
  queue.put_nowait(1);
  crew.join();
  take_rest(queue, got);
  // wait_for() drops the result if its limit comes between the end of get() and the return.
  must(got.size() <= 2, "no item comes twice");
}

const Scenario kQueues[] = {
    {"QueueOfOne",
     [] {
       Queue<int> queue(1);
       std::vector<int> got;
       Crew crew({[&] { drain(queue, got); }});
       await(queue.put(0));
       queue.shutdown();
       crew.join();
       take_rest(queue, got);
       must_be_same({0}, got);
     },
     true},
    {"QueueAndTwoConsumers", two_consumers<Queue<int>>},
    {"QueueAndThreeProducers", three_producers<Queue<int>>},
    {"QueueProducersAndConsumers", producers_and_consumers<Queue<int>>},
    {"QueueGetAndTimeout", get_with_time_limit<Queue<int>>},
    {"QueuePutAndTimeout",
     [] {
       Queue<int> queue(1);
       std::vector<int> put;
       std::vector<int> got;
       const auto producer = [&](int number) {
         return [&, number] {
           try {
             await(timeout(2ms, [&] { put_noted(queue, number, put); }));
           } catch (const TimeoutError&) {
             if (time_limit) throw;
           }
         };
       };
       Crew crew({producer(0), producer(1), producer(2)});
       nap(1);
       take_rest(queue, got);
       nap(1);
       take_rest(queue, got);
       crew.join();
       take_rest(queue, got);
       must_be_same(put, got);
     }},
    {"QueueJoin",
     [] {
       Queue<int> queue;
       int done = 0;
       const auto consumer = [&] {
         try {
           for (;;) {
             await(queue.get());
             queue.task_done();
             ++done;
             yield();
           }
         } catch (const QueueShutDown&) {
         }
       };
       Crew crew({consumer, consumer});
       for (int i = 0; i < 3; ++i) await(queue.put(i));
       await(queue.join());
       must(done == 3, "join() waits for all");
       queue.shutdown();
       crew.join();
     }},
    {"QueueShutDownAtOnce",
     [] {
       Queue<int> queue(1);
       std::vector<int> got;
       const auto consumer = [&] { drain(queue, got); };
       const auto producer = [&] {
         try {
           for (int i = 0; i < 4; ++i) await(queue.put(i));
         } catch (const QueueShutDown&) {
         }
       };
       Crew crew({producer, consumer, producer, consumer});
       yield();
       queue.shutdown(true);
       crew.join();
       must(queue.empty(), "nothing is left");
     }},
    {"QueueGetNowaitAgainstWaiters",
     [] {
       Queue<int> queue;
       std::vector<int> got;
       const auto consumer = [&] { drain(queue, got); };
       const auto thief = [&] {
         for (int i = 0; i < 3; ++i) {
           try {
             got.push_back(queue.get_nowait());
           } catch (const QueueEmpty&) {
           } catch (const QueueShutDown&) {
           }
           yield();
         }
       };
       Crew crew({consumer, thief, consumer});
       for (int i = 0; i < 4; ++i) {
         queue.put_nowait(i);
         yield();
       }
       queue.shutdown();
       crew.join();
       take_rest(queue, got);
       must_be_same(first_numbers(4), got);
     }},
    {"PriorityQueueInOrder",
     [] {
       PriorityQueue<int> queue;
       for (const int number : {2, 0, 3, 1}) queue.put_nowait(number);
       queue.shutdown();
       std::vector<int> got;
       const auto consumer = [&] { drain(queue, got); };
       all({consumer, consumer});
       take_rest(queue, got);
       must(got == first_numbers(4), "the smallest first");
     }},
    {"PriorityQueueProducersAndConsumers", producers_and_consumers<PriorityQueue<int>>},
    {"LifoQueueAndThreeProducers", three_producers<LifoQueue<int>>},
    {"QueueOfCoroutines",
     [] {
       Queue<int> queue(1);
       std::vector<int> got;
       const auto consume = [&]() -> Coro<void> {
         try {
           for (;;) got.push_back(co_await queue.get());
         } catch (const QueueShutDown&) {
         }
       };
       const auto consumer = [&] { await(create_task(consume())); };
       Crew crew({consumer, consumer});
       for (int i = 0; i < 3; ++i) await(queue.put(i));
       queue.shutdown();
       crew.join();
       take_rest(queue, got);
       must_be_same(first_numbers(3), got);
     }},
    {"QueueAndLock",
     [] {
       Queue<int> queue(1);
       Lock lock;
       int inside = 0;
       std::vector<int> got;
       const auto consumer = [&] {
         try {
           for (;;) {
             const std::unique_lock guard(lock);
             const Inside here(inside);
             got.push_back(await(queue.get()));
           }
         } catch (const QueueShutDown&) {
         }
       };
       Crew crew({consumer, consumer});
       for (int i = 0; i < 3; ++i) await(queue.put(i));
       queue.shutdown();
       crew.join();
       take_rest(queue, got);
       must_be_same(first_numbers(3), got);
       must(!lock.locked(), "the lock is free");
     }},
    {"ChannelAndTwoConsumers", two_consumers<Channel<int>>},
    {"ChannelAndThreeProducers", three_producers<Channel<int>>},
    {"ChannelProducersAndConsumers", producers_and_consumers<Channel<int>>},
    {"ChannelGetAndTimeout", get_with_time_limit<Channel<int>>},
};

INSTANTIATE_TEST_SUITE_P(Queues, Explored, ::testing::ValuesIn(kQueues), name_of_scenario);

}  // namespace
}  // namespace aiofiber::explored
