// SPDX-License-Identifier: Apache-2.0
//
// 100 tasks and 4 threads, 10^6 operations on one absl::Mutex with Conditions: nothing is lost. Real time: a
// second or two of work. Compiled twice, as abseil_test.cc.
// Labels: threads slow
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

// A short queue. Each operation waits for room or for an item, so that nearly all of them suspend.
// ThreadSanitizer does not see the locks of an abseil that was built without it. So the words are atomic, and
// the conditions are bools, which abseil reads. But a change is several steps and would be lost without the
// lock.
class Queue {
 public:
  void put(std::uint64_t item, bool with_time_limit) {
    if (with_time_limit) {
      while (!mutex_.LockWhenWithTimeout(absl::Condition(&has_room_), absl::Microseconds(50))) {
        ++timeouts_;
        mutex_.Unlock();
      }
    } else {
      mutex_.LockWhen(absl::Condition(&has_room_));
    }
    const int at = size_.load(std::memory_order_relaxed);
    items_[at].store(item, std::memory_order_relaxed);
    set_size(at + 1);
    mutex_.Unlock();
  }
  std::uint64_t take() {
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&has_item_));
    const int at = size_.load(std::memory_order_relaxed) - 1;
    // Sometimes other tasks and threads run into the lock.
    if (runtime::current_fiber() != nullptr && ++taken_ % 16 == 0) runtime::yield_now();
    const std::uint64_t item = items_[at].exchange(0, std::memory_order_relaxed);
    EXPECT_NE(item, 0u);
    set_size(at);
    return item;
  }
  int size() const { return size_; }
  int timeouts() const { return timeouts_; }

 private:
  static constexpr int kRoom = 3;
  void set_size(int size) {
    size_.store(size, std::memory_order_relaxed);
    __atomic_store_n(&has_room_, size < kRoom, __ATOMIC_RELAXED);
    __atomic_store_n(&has_item_, size > 0, __ATOMIC_RELAXED);
  }

  absl::Mutex mutex_;
  bool has_room_ = true, has_item_ = false;
  std::atomic<int> size_{0}, timeouts_{0}, taken_{0};
  std::atomic<std::uint64_t> items_[kRoom]{};
};

TEST(AbseilMutex, LosesNothingInAMillionOperationsOfTasksAndThreads) {
  constexpr int kTasks = 100, kThreads = 4, kLoops = 2, kOperations = 1'000'000;
  constexpr std::uint64_t kEach = kOperations / (kTasks + kThreads) + 1;
  Queue queue;
  std::atomic<std::uint64_t> put_in{0}, taken_out{0}, operations{0}, suspensions{0};
  // Half of them put, half of them take, all of them as often.
  const auto work = [&](int index) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < kEach; ++i) {
      if (index % 2 == 0) {
        const std::uint64_t item = static_cast<std::uint64_t>(index) * kEach + i + 1;
        queue.put(item, index % 8 == 0);
        sum += item;
      } else {
        sum += queue.take();
      }
    }
    (index % 2 == 0 ? put_in : taken_out) += sum;
    operations += kEach;
    if (const runtime::Fiber* fiber = runtime::current_fiber()) suspensions += fiber->switches;
  };
  std::vector<std::thread> threads;
  for (int index = kTasks; index < kTasks + kThreads; ++index) threads.emplace_back(work, index);
  for (int loop = 0; loop < kLoops; ++loop) {
    threads.emplace_back([&, loop] {
      Fibers fibers;
      for (int index = loop * kTasks / kLoops; index < (loop + 1) * kTasks / kLoops; ++index)
        fibers.spawn([&, index] { work(index); });
      fibers.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(operations, std::uint64_t{kOperations});
  EXPECT_EQ(put_in, taken_out);
  EXPECT_EQ(queue.size(), 0);
  EXPECT_GT(suspensions, std::uint64_t{kOperations / 10});
  std::printf("%llu suspensions, %d timeouts\n", static_cast<unsigned long long>(suspensions.load()),
              queue.timeouts());
}

}  // namespace
}  // namespace aiofiber::hooks_test
