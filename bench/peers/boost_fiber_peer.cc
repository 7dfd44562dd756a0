// SPDX-License-Identifier: Apache-2.0
//
// Boost.Fiber in the race, with pooled stacks of 64 KiB, its fastest allocator. It has no cancellation and no
// time limit around a call, so it takes no part there. Its semaphore is a mutex and a condition variable, as
// its users make one. See README.md for the measures.
#include <boost/context/fixedsize_stack.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <boost/fiber/all.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "peer.h"

namespace fibers = boost::fibers;
using boost::this_fiber::yield;

namespace {

using Fibers = std::vector<fibers::fiber>;

boost::context::pooled_fixedsize_stack& pool() {
  static boost::context::pooled_fixedsize_stack stacks(peer::kStackBytes);
  return stacks;
}

template <class F>
fibers::fiber start_fiber(F fn) {
  return fibers::fiber(fibers::launch::post, std::allocator_arg, pool(), std::move(fn));
}
template <class F>
Fibers start_fibers(long n, F fn) {
  Fibers result;
  result.reserve(static_cast<std::size_t>(n));
  for (long i = 0; i < n; ++i) result.push_back(start_fiber(fn));
  return result;
}
void join_all(Fibers& all) {
  for (auto& fiber : all) fiber.join();
}

void yields(long n) {
  const long times = peer::yields_of(n);
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    peer::FirstToEnd first;
    Fibers all = start_fibers(n, [&first, times] {
      yield();
      for (long i = 0; i < times; ++i) yield();
      first.ended();
    });
    yield();
    first.start();
    join_all(all);
    peer::print("yield", n, first.per(static_cast<double>(n * times)));
  }
}

void spawn(long n) {
  const long batches = peer::share(peer::kTasks, n);
  peer::measure("spawn", n, static_cast<double>(n * batches), [&] {
    for (long batch = 0; batch < batches; ++batch) {
      Fibers all = start_fibers(n, [] {});
      join_all(all);
    }
  });
}

void gather(long n) {
  const long batches = peer::share(peer::kTasks, n);
  peer::measure("gather", n, static_cast<double>(n * batches), [&] {
    for (long batch = 0; batch < batches; ++batch) {
      std::vector<fibers::future<long>> results;
      results.reserve(static_cast<std::size_t>(n));
      for (long i = 0; i < n; ++i)
        results.push_back(fibers::async(fibers::launch::post, std::allocator_arg, pool(), [i] { return i; }));
      long sum = 0;
      for (auto& result : results) sum += result.get();
      peer::require(sum == n * (n - 1) / 2, "gather");
    }
  });
}

void wave(long n) {
  peer::measure("wave", n, static_cast<double>(n), [&] {
    Fibers all = start_fibers(n, [] { yield(); });
    join_all(all);
  });
}

void future(long pairs) {
  const long times = peer::share(peer::kRoundTrips, pairs);
  peer::measure("future", pairs, static_cast<double>(pairs * times), [&] {
    Fibers all;
    for (long pair = 0; pair < pairs; ++pair) {
      struct Line {
        std::unique_ptr<fibers::promise<long>> request = std::make_unique<fibers::promise<long>>();
        std::unique_ptr<fibers::promise<long>> reply = std::make_unique<fibers::promise<long>>();
      };
      auto line = std::make_shared<Line>();
      all.push_back(start_fiber([line, times] {
        for (long i = 0; i < times; ++i) {
          const long value = line->request->get_future().get();
          line->request = std::make_unique<fibers::promise<long>>();
          line->reply->set_value(value);
        }
      }));
      all.push_back(start_fiber([line, times] {
        for (long i = 0; i < times; ++i) {
          auto reply = line->reply->get_future();
          line->request->set_value(i);
          peer::require(reply.get() == i, "future");
          line->reply = std::make_unique<fibers::promise<long>>();
        }
      }));
    }
    join_all(all);
  });
}

class Semaphore {
 public:
  void release() {
    std::unique_lock lock(mutex_);
    ++permits_;
    changed_.notify_one();
  }
  void acquire() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return permits_ > 0; });
    --permits_;
  }
  bool acquire_for(std::chrono::seconds limit) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, limit, [this] { return permits_ > 0; })) return false;
    --permits_;
    return true;
  }

 private:
  fibers::mutex mutex_;
  fibers::condition_variable changed_;
  long permits_ = 0;
};

template <class F>
void hand_over(const char* name, long pairs, long total, F acquire) {
  const long times = peer::share(total, pairs);
  peer::measure(name, pairs, 2.0 * static_cast<double>(pairs * times), [&] {
    Fibers all;
    for (long pair = 0; pair < pairs; ++pair) {
      struct Gates {
        Semaphore there, back;
      };
      auto gates = std::make_shared<Gates>();
      all.push_back(start_fiber([gates, times, acquire] {
        for (long i = 0; i < times; ++i) {
          gates->there.release();
          acquire(gates->back);
        }
      }));
      all.push_back(start_fiber([gates, times] {
        for (long i = 0; i < times; ++i) {
          gates->there.acquire();
          gates->back.release();
        }
      }));
    }
    join_all(all);
  });
}
void semaphore(long pairs) {
  hand_over("semaphore", pairs, peer::kRoundTrips, [](Semaphore& gate) { gate.acquire(); });
}
void timed_semaphore(long pairs) {
  hand_over("timed_semaphore", pairs, peer::kTimedWaits,
            [](Semaphore& gate) { gate.acquire_for(std::chrono::seconds(1000)); });
}

void lock(long n) {
  const long times = peer::share(peer::kRoundTrips, n);
  peer::measure("lock", n, static_cast<double>(n * times), [&] {
    fibers::mutex mutex;
    Fibers all = start_fibers(n, [&mutex, times] {
      for (long i = 0; i < times; ++i) {
        const std::scoped_lock held(mutex);
        yield();
      }
    });
    join_all(all);
  });
}

// buffered_channel takes a power of two, and holds one item less. One of 2 holds one item.
void queue(long capacity) {
  peer::measure("queue", capacity, peer::kItems, [&] {
    fibers::buffered_channel<long> channel(static_cast<std::size_t>(std::max(2L, capacity)));
    long sum = 0;
    auto producer = start_fiber([&] {
      for (long i = 0; i < peer::kItems; ++i) channel.push(i);
    });
    auto consumer = start_fiber([&] {
      for (long i = 0; i < peer::kItems; ++i) sum += channel.value_pop();
    });
    producer.join();
    consumer.join();
    peer::require(sum == peer::kItems * (peer::kItems - 1) / 2, "queue");
  });
}

// Not the pool, which writes a link into the lowest page of each free stack: that page would count.
Fibers fall_asleep(peer::Sleepers& sleepers, long n) {
  const auto when = std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(static_cast<std::int64_t>(sleepers.deadline())));
  Fibers all;
  all.reserve(static_cast<std::size_t>(n));
  long asleep = 0;
  for (long i = 0; i < n; ++i) {
    all.emplace_back(fibers::launch::post, std::allocator_arg,
                     boost::context::fixedsize_stack(peer::kStackBytes), [&asleep, when] {
                       ++asleep;
                       boost::this_fiber::sleep_until(when);
                     });
  }
  while (asleep < n) yield();
  sleepers.all_sleep();
  return all;
}
void sleepers(long n) {
  peer::Sleepers sleepers(n, true);
  Fibers all = fall_asleep(sleepers, n);
  join_all(all);
  sleepers.all_ended();
}
void memory(long n) {
  peer::Sleepers sleepers(n, false);
  const Fibers all = fall_asleep(sleepers, n);
  std::_Exit(0);
}

// A number through a channel; the loop of aiofiber is handed a function.
void post(long producers) {
  const long each = peer::kPosts / producers, all = each * producers;
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    fibers::buffered_channel<long> channel(1024);
    std::vector<std::thread> threads;
    const double start = peer::wall_time();
    for (long i = 0; i < producers; ++i) {
      threads.emplace_back([&] {
        for (long k = 0; k < each; ++k) channel.push(k);
      });
    }
    for (long i = 0; i < all; ++i) channel.value_pop();
    peer::print("post", producers, (peer::wall_time() - start) / static_cast<double>(all));
    for (auto& thread : threads) thread.join();
  }
}

void idle_call(long n) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    fibers::buffered_channel<fibers::promise<long>*> requests(64);
    std::thread caller([&] {
      const double start = peer::wall_time();
      for (long i = 0; i < peer::kCallsToIdleLoop; ++i) {
        fibers::promise<long> reply;
        auto result = reply.get_future();
        requests.push(&reply);
        peer::require(result.get() == 1, "idle_call");
      }
      peer::print("idle_call", n, (peer::wall_time() - start) / peer::kCallsToIdleLoop);
      requests.close();
    });
    fibers::promise<long>* reply = nullptr;
    while (requests.pop(reply) == fibers::channel_op_status::success) reply->set_value(1);
    caller.join();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return peer::run(argc, argv,
                   {{"yield", yields},
                    {"spawn", spawn},
                    {"gather", gather},
                    {"wave", wave},
                    {"future", future},
                    {"semaphore", semaphore},
                    {"lock", lock},
                    {"queue", queue},
                    {"timed_semaphore", timed_semaphore},
                    {"sleepers", sleepers},
                    {"memory", memory},
                    {"post", post},
                    {"idle_call", idle_call}});
}
