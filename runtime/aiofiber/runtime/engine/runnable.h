// SPDX-License-Identifier: Apache-2.0
//
// Runnable: an element of the ready queue. The node is embedded in the object that it runs, so making
// something ready never allocates.
//
// The kind tells the scheduler on which stack the node may run. So the scheduler knows whether it can switch
// straight to the next fiber or must return to the loop's own stack first.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

struct Runnable {
  enum class Kind : std::uint8_t {
    kFiber,      // a Fiber to resume: the scheduler switches to it
    kStackless,  // a Fiber without a stack: its next step runs on the loop's own stack
    kInternal,   // a few instructions of the runtime that never throw and never run user code: any stack will
                 // do
    kCallback,   // user code outside any task: only on the loop's stack, where await() is refused
  };

  using Run = void (*)(Runnable&);

  explicit Runnable(Kind kind_of_node, Run run_function = nullptr) noexcept
      : run(run_function), kind(kind_of_node) {}

  Runnable* next = nullptr;  // owned by the queue that holds the node
  Run run;                   // null for fibers
  Kind kind;
  bool queued = false;  // in the ready queue (a node is in at most one place)
};

}  // namespace aiofiber::runtime
