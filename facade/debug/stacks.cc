// SPDX-License-Identifier: Apache-2.0
//
// The facade of the runtime's stack settings, with asyncio's exceptions and durations.
#include "aiofiber/stacks.h"

#include <stdexcept>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/stack.h"

namespace aiofiber {

void set_stack_guard_size(std::size_t bytes) {
  try {
    runtime::StackPool::set_default_guard_bytes(bytes);
  } catch (const std::length_error& error) {
    throw ValueError(error.what());
  }
}

std::size_t stack_guard_size() noexcept { return runtime::StackPool::default_guard_bytes(); }

void set_stack_idle_time(Duration time) noexcept {
  runtime::StackPool::set_default_idle_time(time.nanoseconds());
}

Duration stack_idle_time() noexcept {
  return Duration(std::chrono::nanoseconds(runtime::StackPool::default_idle_time()));
}

}  // namespace aiofiber
