// SPDX-License-Identifier: Apache-2.0
//
// run_in_loop() runs the body of most facade tests as a task of a new loop on virtual time. Then it closes
// the loop, so tasks left pending are reported and unwound. after() and fail_after() are work to await.
#pragma once

#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace aiofiber {

template <class F>
void run_in_loop(F body) {
  testing::TestLoop loop;
  loop.run_until_complete(std::move(body));
  loop.close();
}

// Waits for the end of a task, and does not throw its error.
template <class T>
auto ended(const Task<T>& task) {
  return wait(std::vector{task});
}

inline int after(Duration delay, int value) {
  await(sleep(delay));
  return value;
}
inline int fail_after(Duration delay) {
  await(sleep(delay));
  throw ValueError("boom");
}

}  // namespace aiofiber
