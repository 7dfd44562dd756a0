// SPDX-License-Identifier: Apache-2.0
//
// The results of simulated system calls, in the form that the kernel gives them.
//
// A call that fails returns -1 with errno. Times are split into seconds and nanoseconds. Threads: the
// simulation's.
#pragma once

#include <time.h>

#include <cerrno>

#include "aiofiber/runtime/engine/clock.h"

namespace aiofiber::testing::detail {

inline constexpr runtime::Nanoseconds kSecond = 1'000'000'000;

inline int fail(int error) noexcept {
  errno = error;
  return -1;
}

inline timespec to_timespec(runtime::Nanoseconds time) noexcept { return {time / kSecond, time % kSecond}; }

}  // namespace aiofiber::testing::detail
