// SPDX-License-Identifier: Apache-2.0
//
// Who wants to know of each switch between fibers: the timeline, the values of variables per task, and the
// search for shared state.
//
// A switch tests one byte. While nobody watches, that is one load and a branch that is never taken, however
// many kinds of watchers there are. A new kind is a bit here and a line in watch_switch().
#pragma once

#include <atomic>
#include <cstdint>

#include "aiofiber/runtime/engine/config.h"

struct aiofiber_record;

namespace aiofiber::runtime {

class Fiber;

enum class SwitchWatcher : std::uint8_t { kTrace = 1, kTaskValues = 2, kSharedState = 4 };

extern constinit std::atomic<std::uint8_t> switch_watchers;  // bits
inline bool switch_is_watched() noexcept {
  return AIOFIBER_UNLIKELY(switch_watchers.load(std::memory_order_relaxed) != 0);
}
inline bool watches(SwitchWatcher who) noexcept {
  return AIOFIBER_UNLIKELY(
      (switch_watchers.load(std::memory_order_relaxed) & static_cast<std::uint8_t>(who)) != 0);
}
// Any thread. Other threads may see it late, as they see any relaxed store.
void set_watches(SwitchWatcher who, bool watches) noexcept;

// The function of kSharedState, which belongs to a floor above; null: nobody. It is called last, on the stack
// that is left, so that the variables have their values of the next task. Any thread.
using SwitchFunction = void (*)(const aiofiber_record& from, const aiofiber_record& to) noexcept;
void set_switch_function(SwitchFunction function) noexcept;

// The CPU goes from one fiber to another; a fiber without a scheduler is the loop itself. Also at the
// beginning and the end of a step of a stackless fiber, and when a new fiber takes over the stack of one that
// has ended. To be called only while switch_is_watched(), by the thread that runs the loop.
void watch_switch(const Fiber& from, const Fiber& to) noexcept;

}  // namespace aiofiber::runtime
