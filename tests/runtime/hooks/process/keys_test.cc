// SPDX-License-Identifier: Apache-2.0
//
// Values of pthread keys for each task (AIOFIBER_TASK_KEYS=all): each task has its own value, and the key's
// destructor gets it when the task ends. Other keys stay per thread.
#include <pthread.h>
#include <stdlib.h>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

int destroyed = 0;

TEST(TaskKeys, GiveEachTaskItsOwnValueAndDestroyIt) {
  ::setenv("AIOFIBER_TASK_KEYS", "all", 1);
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void*) { ++destroyed; }), 0);
  ::unsetenv("AIOFIBER_TASK_KEYS");
  int values[3] = {};
  pthread_setspecific(key, &destroyed);  // the thread's own
  Fibers fibers;
  for (int& value : values) {
    fibers.spawn([&] {
      EXPECT_EQ(pthread_getspecific(key), nullptr);
      EXPECT_EQ(pthread_setspecific(key, &value), 0);
      sleep_ms(2);
      EXPECT_EQ(pthread_getspecific(key), &value);
    });
  }
  fibers.run();
  EXPECT_EQ(destroyed, 3);
  EXPECT_EQ(pthread_getspecific(key), &destroyed);
  pthread_setspecific(key, nullptr);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST(TaskKeys, AreNotMadeForLibrariesThatDoNotAsk) {
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, nullptr), 0);
  int value = 0;
  Fibers fibers;
  fibers.spawn([&] { EXPECT_EQ(pthread_setspecific(key, &value), 0); });
  fibers.run();
  EXPECT_EQ(pthread_getspecific(key), &value);
  pthread_key_delete(key);
}

}  // namespace
}  // namespace aiofiber::hooks_test
