// SPDX-License-Identifier: Apache-2.0
//
// aiofiber in the race, through its public API, as a user writes it. See README.md for the measures.
#include <aiofiber/asyncio.h>

#include <optional>
#include <thread>
#include <vector>

#include "peer.h"

using namespace std::chrono_literals;
using asyncio::await;
using asyncio::create_task;
using asyncio::sleep;
using asyncio::Task;

namespace {

using Tasks = std::vector<Task<void>>;

template <class F>
Tasks start_tasks(long n, F fn) {
  Tasks tasks;
  tasks.reserve(static_cast<std::size_t>(n));
  for (long i = 0; i < n; ++i) tasks.push_back(create_task(fn));
  return tasks;
}
void await_all(Tasks& tasks) {
  for (auto& task : tasks) await(task);
}

void yield(long n) {
  const long times = peer::yields_of(n);
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    peer::FirstToEnd first;
    Tasks tasks = start_tasks(n, [&first, times] {
      await(sleep(0s));
      for (long i = 0; i < times; ++i) await(sleep(0s));
      first.ended();
    });
    await(sleep(0s));
    first.start();
    await_all(tasks);
    peer::print("yield", n, first.per(static_cast<double>(n * times)));
  }
}

void spawn(long n) {
  const long batches = peer::share(peer::kTasks, n);
  peer::measure("spawn", n, static_cast<double>(n * batches), [&] {
    for (long batch = 0; batch < batches; ++batch) {
      Tasks tasks = start_tasks(n, [] {});
      await_all(tasks);
    }
  });
}

void gather(long n) {
  const long batches = peer::share(peer::kTasks, n);
  peer::measure("gather", n, static_cast<double>(n * batches), [&] {
    for (long batch = 0; batch < batches; ++batch) {
      std::vector<Task<long>> tasks;
      tasks.reserve(static_cast<std::size_t>(n));
      for (long i = 0; i < n; ++i) tasks.push_back(create_task([i] { return i; }));
      peer::require(await(asyncio::gather(tasks)).back() == n - 1, "gather");
    }
  });
}

void wave(long n) {
  peer::measure("wave", n, static_cast<double>(n), [&] {
    Tasks tasks;
    for (long i = 0; i < n; ++i)
      tasks.push_back(create_task({.stack_size = peer::kStackBytes}, [] { await(sleep(0s)); }));
    await(asyncio::gather(tasks));
  });
}

void future(long pairs) {
  const long times = peer::share(peer::kRoundTrips, pairs);
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  peer::measure("future", pairs, static_cast<double>(pairs * times), [&] {
    Tasks tasks;
    for (long pair = 0; pair < pairs; ++pair) {
      struct Line {
        asyncio::Future<long> request, reply;
      };
      auto line = std::make_shared<Line>(Line{loop.create_future<long>(), loop.create_future<long>()});
      tasks.push_back(create_task([line, times, &loop] {
        for (long i = 0; i < times; ++i) {
          const long value = await(line->request);
          line->request = loop.create_future<long>();
          line->reply.set_result(value);
        }
      }));
      tasks.push_back(create_task([line, times, &loop] {
        for (long i = 0; i < times; ++i) {
          line->request.set_result(i);
          peer::require(await(line->reply) == i, "future");
          line->reply = loop.create_future<long>();
        }
      }));
    }
    await_all(tasks);
  });
}

// Pairs of tasks that hand over by two semaphores; `acquire` is how the first one waits.
template <class F>
void hand_over(const char* name, long pairs, long total, F acquire) {
  const long times = peer::share(total, pairs);
  peer::measure(name, pairs, 2.0 * static_cast<double>(pairs * times), [&] {
    Tasks tasks;
    for (long pair = 0; pair < pairs; ++pair) {
      struct Gates {
        asyncio::Semaphore there{0}, back{0};
      };
      auto gates = std::make_shared<Gates>();
      tasks.push_back(create_task([gates, times, acquire] {
        for (long i = 0; i < times; ++i) {
          gates->there.release();
          acquire(gates->back);
        }
      }));
      tasks.push_back(create_task([gates, times] {
        for (long i = 0; i < times; ++i) {
          await(gates->there.acquire());
          gates->back.release();
        }
      }));
    }
    await_all(tasks);
  });
}
void semaphore(long pairs) {
  hand_over("semaphore", pairs, peer::kRoundTrips, [](asyncio::Semaphore& gate) { await(gate.acquire()); });
}
void timed_semaphore(long pairs) {
  hand_over("timed_semaphore", pairs, peer::kTimedWaits,
            [](asyncio::Semaphore& gate) { await(asyncio::wait_for(gate.acquire(), 1000s)); });
}

void lock(long n) {
  const long times = peer::share(peer::kRoundTrips, n);
  peer::measure("lock", n, static_cast<double>(n * times), [&] {
    asyncio::Lock lock;
    Tasks tasks = start_tasks(n, [&lock, times] {
      for (long i = 0; i < times; ++i) {
        await(lock.acquire());
        await(sleep(0s));
        lock.release();
      }
    });
    await_all(tasks);
  });
}

void queue(long capacity) {
  peer::measure("queue", capacity, peer::kItems, [&] {
    asyncio::Queue<long> queue(static_cast<std::size_t>(capacity));
    long sum = 0;
    auto producer = create_task([&] {
      for (long i = 0; i < peer::kItems; ++i) await(queue.put(i));
    });
    auto consumer = create_task([&] {
      for (long i = 0; i < peer::kItems; ++i) sum += await(queue.get());
    });
    await(producer);
    await(consumer);
    peer::require(sum == peer::kItems * (peer::kItems - 1) / 2, "queue");
  });
}

void wait_for(long n) {
  const long times = peer::share(peer::kTimedWaits, n);
  peer::measure("wait_for", n, static_cast<double>(n * times), [&] {
    Tasks tasks = start_tasks(n, [times] {
      for (long i = 0; i < times; ++i) await(asyncio::wait_for([] { await(sleep(0s)); }, 1000s));
    });
    await_all(tasks);
  });
}

void timers(long n) {
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    std::vector<asyncio::TimerHandle> handles;
    handles.reserve(static_cast<std::size_t>(n));
    const peer::CpuWatch start;
    for (long i = 0; i < n; ++i) handles.push_back(loop.call_later(1000s, [] {}));
    peer::print("timer_start", n, start.per(static_cast<double>(n)));
    const peer::CpuWatch cancel;
    for (auto& handle : handles) handle.cancel();
    handles.clear();
    await(sleep(0s));
    await(sleep(0s));
    peer::print("timer_cancel", n, cancel.per(static_cast<double>(n)));
  }
}

void cancel(const char* name, long n, long frames) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    Tasks tasks = start_tasks(n, [frames] {
      auto leaf = [] { await(sleep(1000s)); };
      peer::through_frames(frames, leaf);
    });
    await(sleep(0s));
    await(sleep(0s));
    const peer::CpuWatch watch;
    for (auto& task : tasks) task.cancel();
    await(asyncio::wait(tasks));
    peer::print(name, n, watch.per(static_cast<double>(n)));
    peer::require(std::all_of(tasks.begin(), tasks.end(), [](auto& task) { return task.cancelled(); }), name);
  }
}
void cancel_1(long n) { cancel("cancel_1", n, 1); }
void cancel_10(long n) { cancel("cancel_10", n, 10); }

// The tasks of both measures below. Until all sleep; the caller decides whether they wake.
Tasks fall_asleep(peer::Sleepers& sleepers, long n) {
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  const auto when = loop.time() + std::chrono::nanoseconds(static_cast<long>(sleepers.until_deadline()));
  Tasks tasks;
  tasks.reserve(static_cast<std::size_t>(n));
  long asleep = 0;
  for (long i = 0; i < n; ++i) {
    tasks.push_back(create_task({.stack_size = peer::kStackBytes}, [&asleep, &loop, when] {
      ++asleep;
      await(sleep(when - loop.time()));
    }));
  }
  while (asleep < n) await(sleep(0s));
  sleepers.all_sleep();
  return tasks;
}
void sleepers(long n) {
  peer::Sleepers sleepers(n, true);
  Tasks tasks = fall_asleep(sleepers, n);
  await_all(tasks);
  sleepers.all_ended();
}
void memory(long n) {
  peer::Sleepers sleepers(n, false);
  const Tasks tasks = fall_asleep(sleepers, n);
  std::_Exit(0);
}

void post(long producers) {
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  const long each = peer::kPosts / producers, all = each * producers;
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    long seen = 0;
    auto done = loop.create_future<void>();
    std::vector<std::thread> threads;
    const double start = peer::wall_time();
    for (long i = 0; i < producers; ++i) {
      threads.emplace_back([&] {
        for (long k = 0; k < each; ++k) {
          loop.call_soon_threadsafe([&] {
            if (++seen == all) done.set_result();
          });
        }
      });
    }
    await(done);
    peer::print("post", producers, (peer::wall_time() - start) / static_cast<double>(all));
    for (auto& thread : threads) thread.join();
  }
}

void idle_call(long n) {
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    auto done = loop.create_future<void>();
    std::thread caller([&] {
      const double start = peer::wall_time();
      for (long i = 0; i < peer::kCallsToIdleLoop; ++i)
        peer::require(asyncio::run_coroutine_threadsafe([i] { return i; }, loop).result() == i, "idle_call");
      peer::print("idle_call", n, (peer::wall_time() - start) / peer::kCallsToIdleLoop);
      loop.call_soon_threadsafe([&] { done.set_result(); });
    });
    await(done);
    caller.join();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return asyncio::run([&] {
    return peer::run(argc, argv,
                     {{"yield", yield},
                      {"spawn", spawn},
                      {"gather", gather},
                      {"wave", wave},
                      {"future", future},
                      {"semaphore", semaphore},
                      {"lock", lock},
                      {"queue", queue},
                      {"timed_semaphore", timed_semaphore},
                      {"wait_for", wait_for},
                      {"timers", timers},
                      {"cancel_1", cancel_1},
                      {"cancel_10", cancel_10},
                      {"sleepers", sleepers},
                      {"memory", memory},
                      {"post", post},
                      {"idle_call", idle_call}});
  });
}
