// SPDX-License-Identifier: Apache-2.0
//
// A waiter for a readable descriptor that counts its notifications: what a reactor told it, and how often.
#pragma once

#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::runtime {

struct CountingWaiter : FdWaiter {
  explicit CountingWaiter(int descriptor) : FdWaiter(descriptor, kReadable, on_ready) {}
  ~CountingWaiter() {
    if (linked()) unlink();
  }
  static void on_ready(FdWaiter& waiter, unsigned events) noexcept {
    auto& self = static_cast<CountingWaiter&>(waiter);
    self.seen |= events;
    ++self.times;
  }
  unsigned seen = 0;
  int times = 0;
};

}  // namespace aiofiber::runtime
