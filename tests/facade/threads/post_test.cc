// SPDX-License-Identifier: Apache-2.0
//
// call_soon_threadsafe() of several threads: order, sizes, handles that outlive their thread, and memory that
// is used again.
// Labels: threads long
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/post_pool.h"

namespace aiofiber {
namespace {

// Counts its copies that exist.
class Counted {
 public:
  explicit Counted(std::atomic<int>& alive) : alive_(&alive) { ++*alive_; }
  Counted(const Counted& other) noexcept : alive_(other.alive_) { ++*alive_; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --*alive_; }

 private:
  std::atomic<int>* alive_;
};

// Posts one callable of that size that checks its contents.
template <std::size_t Bytes>
void post_filled(EventLoop& loop, int value, int& right) {
  std::array<unsigned char, Bytes> contents;
  contents.fill(static_cast<unsigned char>(value));
  loop.call_soon_threadsafe([contents, value, &right] {
    for (const unsigned char byte : contents) {
      if (byte != static_cast<unsigned char>(value)) return;
    }
    ++right;
  });
}

TEST(Posts, OfEachThreadKeepTheirOrderWithCallablesOfAllSizes) {
  constexpr int kThreads = 3;
  constexpr int kRounds = 2000;
  EventLoop loop;
  int right = 0;
  std::array<int, kThreads> last{};
  bool ordered = true;
  int running = kThreads;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kRounds; ++i) {
        post_filled<1>(loop, i, right);
        post_filled<64>(loop, i, right);
        if (i % 10 == 0) post_filled<400>(loop, i, right);
        if (i % 10 == 5) post_filled<1000>(loop, i, right);  // too large for the pool
        loop.call_soon_threadsafe([&, t, i] { ordered = ordered && std::exchange(last[t], i) == i - 1; });
      }
      loop.call_soon_threadsafe([&] {
        if (--running == 0) loop.stop();
      });
    });
  }
  loop.run_forever();
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(ordered);
  EXPECT_EQ(right, kThreads * (2 * kRounds + kRounds / 5));
  loop.close();
}

TEST(Posts, OfAThreadThatHasEndedRunAndTheirHandlesStayValid) {
  EventLoop loop;
  std::atomic<int> alive = 0;
  int ran = 0;
  std::vector<Handle> handles;
  std::thread([&] {
    for (int i = 0; i < 200; ++i)
      handles.push_back(loop.call_soon_threadsafe([counted = Counted(alive), &ran] { ++ran; }));
  }).join();
  for (std::size_t i = 0; i < handles.size(); i += 2) handles[i].cancel();
  EXPECT_EQ(alive, 100);
  loop.call_soon([&] { loop.stop(); });
  loop.run_forever();
  EXPECT_EQ(ran, 100);
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(handles[0].cancelled());
  EXPECT_FALSE(handles[1].cancelled());
  std::thread([dropped = std::move(handles)]() mutable { dropped.clear(); }).join();
  loop.close();
}

TEST(Posts, WithTheirHandlesDroppedOnTheOtherThreadAreFreedOnce) {
  EventLoop loop;
  std::atomic<int> alive = 0;
  std::thread thread([&] {
    std::vector<Handle> kept;
    for (int i = 0; i < 5000; ++i) {
      kept.push_back(loop.call_soon_threadsafe([counted = Counted(alive)] {}));
      if (kept.size() == 50) kept.clear();
      if (i % 7 == 0 && !kept.empty()) kept.back().cancelled();
    }
    loop.call_soon_threadsafe([&] { loop.stop(); });
  });
  loop.run_forever();
  thread.join();
  EXPECT_EQ(alive, 0);
  loop.close();
}

TEST(Posts, InFlightAreDestroyedByAClosingLoop) {
  EventLoop loop;
  std::atomic<int> alive = 0;
  std::thread([&] {
    for (int i = 0; i < 100; ++i) loop.call_soon_threadsafe([counted = Counted(alive)] {});
  }).join();
  EXPECT_EQ(alive, 100);
  loop.close();
  EXPECT_EQ(alive, 0);
}

TEST(Posts, OfAnEndingThreadsDestructorsRun) {
  static EventLoop* target = nullptr;
  static int ran = 0;
  struct AtEnd {
    ~AtEnd() {
      for (int i = 0; i < 3; ++i) target->call_soon_threadsafe([] { ++ran; });
    }
  };
  EventLoop loop;
  target = &loop;
  std::thread([] {
    thread_local const AtEnd at_end;  // before the pool's own part, and destroyed after it
    static_cast<void>(at_end);
    target->call_soon_threadsafe([] { ++ran; });
  }).join();
  loop.call_soon([&] { loop.stop(); });
  loop.run_forever();
  EXPECT_EQ(ran, 4);
  loop.close();
}

TEST(PostPool, UsesMemoryAgainThatAnotherThreadHasFreed) {
  if (AIOFIBER_ASAN) GTEST_SKIP() << "nothing is used again";
  std::thread([] {
    std::vector<void*> first;
    for (int i = 0; i < 500; ++i) first.push_back(detail::PostPool::allocate(120));
    std::thread([&] {
      for (void* block : first) detail::PostPool::release(block);
    }).join();
    int again = 0;
    std::vector<void*> second;
    for (int i = 0; i < 500; ++i) {
      second.push_back(detail::PostPool::allocate(120));
      again += std::find(first.begin(), first.end(), second.back()) != first.end() ? 1 : 0;
    }
    EXPECT_GT(again, 400);
    for (void* block : second) detail::PostPool::release(block);
  }).join();
}

TEST(PostPool, SaysThatItsThreadIsFarAheadOnceAChunk) {
  if (AIOFIBER_ASAN) GTEST_SKIP() << "there are no chunks";
  std::thread([] {
    std::vector<void*> blocks;
    while (blocks.size() < 10'000 && !detail::PostPool::far_ahead())
      blocks.push_back(detail::PostPool::allocate(120));
    EXPECT_GT(blocks.size(), 1000u);
    EXPECT_LT(blocks.size(), 3000u);
    EXPECT_FALSE(detail::PostPool::far_ahead());
    for (void* block : blocks) detail::PostPool::release(block);
  }).join();
}

}  // namespace
}  // namespace aiofiber
