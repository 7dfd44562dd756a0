// SPDX-License-Identifier: Apache-2.0
//
// The tests of undocumented words at load: this libc and libstdc++ pass them, a different one fails. A kind
// that has not passed gives the safe answers.
#include "hooks/glibc/hidden_words.h"

#include <gtest/gtest.h>

#include <cxxabi.h>

namespace aiofiber::hooks {
namespace {

class HiddenWords : public testing::Test {
 protected:
  void TearDown() override { known_words = kept_; }
  const KnownWords kept_ = known_words;
};

TEST_F(HiddenWords, AreKnownOfThisLibc) {
  EXPECT_TRUE(known_words.semaphores);
  EXPECT_TRUE(known_words.conditions);
  EXPECT_TRUE(known_words.onces);
  EXPECT_TRUE(known_words.guards);
}

TEST_F(HiddenWords, OfASemaphore) {
  sem_t own, shared;
  ASSERT_EQ(::sem_init(&own, 0, 1), 0);
  ASSERT_EQ(::sem_init(&shared, 1, 1), 0);
  EXPECT_FALSE(is_shared(&own));
  EXPECT_TRUE(is_shared(&shared));
  known_words = {};
  EXPECT_TRUE(is_shared(&own)) << "so it is looked at now and then";
}

TEST_F(HiddenWords, OfACondition) {
  pthread_cond_t plain = PTHREAD_COND_INITIALIZER, monotonic;
  pthread_condattr_t attributes;
  ::pthread_condattr_init(&attributes);
  ASSERT_EQ(::pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), 0);
  ASSERT_EQ(::pthread_cond_init(&monotonic, &attributes), 0);
  EXPECT_FALSE(is_shared(&plain));
  EXPECT_FALSE(is_shared(&monotonic));
  EXPECT_EQ(clock_of(&plain), CLOCK_REALTIME);
  EXPECT_EQ(clock_of(&monotonic), CLOCK_MONOTONIC);
  known_words = {};
  EXPECT_TRUE(is_shared(&plain)) << "so it is left to libc";
  ::pthread_cond_destroy(&monotonic);
  ::pthread_condattr_destroy(&attributes);
}

pthread_once_t once = PTHREAD_ONCE_INIT;
bool ran_inside = false, was_done_inside = true;

TEST_F(HiddenWords, OfAOnce) {
  EXPECT_FALSE(once_is_running(&once));
  EXPECT_FALSE(once_is_done(&once));
  ::pthread_once(&once, [] {
    ran_inside = once_is_running(&once);
    was_done_inside = once_is_done(&once);
  });
  EXPECT_TRUE(ran_inside);
  EXPECT_FALSE(was_done_inside);
  EXPECT_FALSE(once_is_running(&once));
  EXPECT_TRUE(once_is_done(&once));
}

TEST_F(HiddenWords, OfAGuard) {
  alignas(8) std::uint64_t guard = 0;
  auto* const libstdcxx = reinterpret_cast<__cxxabiv1::__guard*>(&guard);
  EXPECT_FALSE(guard_is_running(&guard));
  ASSERT_EQ(__cxxabiv1::__cxa_guard_acquire(libstdcxx), 1);
  EXPECT_TRUE(guard_is_running(&guard));
  __cxxabiv1::__cxa_guard_release(libstdcxx);
  EXPECT_FALSE(guard_is_running(&guard));
  EXPECT_EQ(__cxxabiv1::__cxa_guard_acquire(libstdcxx), 0);
}

// A C++ runtime that marks "running" with another bit.
TEST_F(HiddenWords, AreNotKnownOfAnotherRuntime) {
  const auto acquire = [](std::uint64_t* guard) { return *guard = 0x200, 1; };
  const auto release = [](std::uint64_t* guard) { *guard = 1; };
  const auto abort = [](std::uint64_t* guard) { *guard = 0; };
  check_guard_words(acquire, release, abort);
  EXPECT_FALSE(known_words.guards);
  const std::uint64_t running = kGuardRunning;
  EXPECT_FALSE(guard_is_running(&running));
}

}  // namespace
}  // namespace aiofiber::hooks
