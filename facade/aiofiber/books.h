// SPDX-License-Identifier: Apache-2.0
//
// Books: what a program holds at one moment, to be compared with what it holds later.
//
// A test that leaves something behind is found by two of them. <aiofiber/gtest.h> does it after each test.
// What cannot be seen: a Handle that is kept although it has run or its loop is closed, and plain memory. For
// memory there is AddressSanitizer.
#pragma once

#include <cstddef>
#include <string>

#include "aiofiber/event_loop.h"

namespace aiofiber::testing {

// What a process, and one loop that lives on, hold at a moment.
struct Books {
  std::size_t fibers = 0;  // of all loops of the process, tasks that are not done
  // Open ones, and closed ones to which a future or task refers.
  std::size_t loops = 0;
  // Open in the process, without those that are kept to read debug information.
  std::size_t descriptors = 0;
  std::size_t threads = 0;      // of the process, without those that the library keeps for later calls
  std::size_t stack_bytes = 0;  // addresses reserved for stacks by all loops
  // Of one loop that lives on.
  std::size_t futures = 0;  // futures, tasks and so on that refer to it
  std::size_t handles = 0;  // callbacks that are ready
  std::size_t timers = 0;   // callbacks that wait for their time

  // Counts. `loop`: one that lives longer than the test, or null; it must not be running on another thread.
  // Reads /proc, which takes some 0.1 ms. Threads: any.
  // Errors: std::runtime_error: /proc cannot be read.
  static Books now(EventLoop* loop = nullptr);
  // What there is more now than there was before: "2 descriptors, 1 thread"; empty: nothing.
  std::string added_since(const Books& before) const;
};

}  // namespace aiofiber::testing
