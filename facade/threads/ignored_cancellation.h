// SPDX-License-Identifier: Apache-2.0
//
// Tasks that ignore their cancellation.
//
// A cancellation makes the waits of blocking code fail. Code that tries again for ever ignores that, and a
// clean-up that waits for its end would never end. So the clean-up asks whether only such tasks are left.
#pragma once

#include <functional>

#include "aiofiber/loop_core.h"

namespace aiofiber::detail {

// While it lives, it asks at each wait of a task that ignores its cancellation whether nothing else is left:
// each task ignores its cancellation, or waits for one that does. Then it calls `then`, in such a task;
// `then` must not throw. A loop has one at a time.
class IgnoredCancellations {
 public:
  enum class Among { kCancelled, kAll };  // the tasks that count
  IgnoredCancellations(LoopCore& loop, Among among, std::function<void()> then);
  ~IgnoredCancellations();
  IgnoredCancellations(const IgnoredCancellations&) = delete;
  IgnoredCancellations& operator=(const IgnoredCancellations&) = delete;

 private:
  static void at_wait(void* self) noexcept;
  bool are_all_that_is_left() const;

  LoopCore& loop_;
  const Among among_;
  const std::function<void()> then_;
};

}  // namespace aiofiber::detail
