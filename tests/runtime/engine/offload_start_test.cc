// SPDX-License-Identifier: Apache-2.0
//
// Who must know that no thread of a pool is starting can wait for it.
// Labels: threads
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <thread>

#include "aiofiber/runtime/engine/offload.h"

namespace {

std::atomic<bool> may_start{false};
std::atomic<bool> has_started{false};

}  // namespace

// A pool's thread calls it before anything else, so here a start takes as long as a test wants.
extern "C" int pthread_setname_np(pthread_t, const char*) noexcept {
  may_start.wait(false);
  has_started.store(true);
  return 0;
}

namespace aiofiber::runtime {
namespace {

struct Empty final : OffloadPool::Work {
  void run() noexcept override {}
};

TEST(OffloadStart, IsWaitedFor) {
  OffloadPool::await_starts();  // there is none
  OffloadPool pool(2);
  Empty work;
  pool.submit(work);
  EXPECT_TRUE(pool.withdraw(work));
  EXPECT_EQ(OffloadPool::works_in_flight(), 0u);
  std::atomic<bool> is_waiting{false};
  std::thread releases([&] {
    is_waiting.wait(false);
    may_start.store(true);
    may_start.notify_all();
  });
  is_waiting.store(true);
  is_waiting.notify_all();
  OffloadPool::await_starts();
  EXPECT_TRUE(has_started.load());
  releases.join();
  pool.shutdown(true);
  EXPECT_EQ(OffloadPool::threads_alive(), 0u);
}

}  // namespace
}  // namespace aiofiber::runtime
