// SPDX-License-Identifier: Apache-2.0
//
// wait_at_most(): a thread waits for a condition, with any Duration as the limit.
//
// std::condition_variable adds the limit to the current time. A huge limit overflows into the past, and the
// wait ends at once. wait_at_most() avoids this. Not for users.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "aiofiber/duration.h"

namespace aiofiber::detail {

// Blocks the thread until done(), for at most `timeout` of real time; nullopt: no limit. False: the limit
// passed first.
template <class Done>
bool wait_at_most(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  std::optional<Duration> timeout, Done done) {
  // The standard library adds the limit to the current time. A limit beyond its clock's range counts as no
  // limit.
  constexpr std::chrono::hours kLongest{24 * 365 * 100};
  if (!timeout || *timeout > Duration(kLongest)) {
    changed.wait(lock, done);
    return true;
  }
  return changed.wait_for(lock, std::max(std::chrono::nanoseconds(*timeout), std::chrono::nanoseconds(0)),
                          done);
}

}  // namespace aiofiber::detail
