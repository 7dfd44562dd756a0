// SPDX-License-Identifier: Apache-2.0
//
// While one of these lives, only the nodes of simulations have a network: the process's other code has none.
//
// That other code is threads, loops of their own, the test itself and a task that switched its hooks off. The
// first refusal of a closure is told in the log. Not in the trace: when a thread calls is nobody's to repeat.
#pragma once

namespace aiofiber::testing::detail {

class ClosedNetwork {
 public:
  ClosedNetwork();
  ~ClosedNetwork();
  ClosedNetwork(const ClosedNetwork&) = delete;
  ClosedNetwork& operator=(const ClosedNetwork&) = delete;
};

}  // namespace aiofiber::testing::detail
