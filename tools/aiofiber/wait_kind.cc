// SPDX-License-Identifier: Apache-2.0
//
// One line a kind: whoever adds one to the registry adds its line here.
#include "wait_kind.h"

#include <iterator>

#include "aiofiber/runtime/registry_abi.h"

namespace aiofiber::tool {

const WaitKind& wait_kind(std::uint32_t kind) {
  static constexpr WaitKind kKinds[] = {
      {"none", "nothing", false},
      {"sleep", "the end of a sleep", false},
      {"fd", "a descriptor", false},
      {"task", "a task", false},
      {"future", "a future", false},
      {"offload", "work on a thread", false},
      {"other", "something", false},
      {"gather", "a gather", true},
      {"shield", "a shield", true},
      {"wait", "several futures", true},
      {"as_completed", "the next of several futures", true},
      {"task_group", "a task group", true},
      {"lock", "a lock", false},
      {"event", "an event", false},
      {"condition", "a condition", false},
      {"semaphore", "a semaphore", false},
      {"queue_get", "an item of a queue", false},
      {"queue_put", "room in a queue", false},
      {"thread", "a call on another thread", false},
  };
  static_assert(std::size(kKinds) == AIOFIBER_WAIT_THREAD + 1);
  return kKinds[kind < std::size(kKinds) ? kind : static_cast<std::uint32_t>(AIOFIBER_WAIT_OTHER)];
}

}  // namespace aiofiber::tool
