// SPDX-License-Identifier: Apache-2.0
//
// Tells each watcher of the switch.
#include "aiofiber/runtime/engine/switch_watch.h"

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/task_values.h"
#include "aiofiber/runtime/trace/trace.h"

namespace aiofiber::runtime {

constinit std::atomic<std::uint8_t> switch_watchers{0};

namespace {
constinit std::atomic<SwitchFunction> switch_function{nullptr};
}  // namespace

void set_watches(SwitchWatcher who, bool watches) noexcept {
  const auto bit = static_cast<std::uint8_t>(who);
  if (watches) {
    switch_watchers.fetch_or(bit, std::memory_order_relaxed);
  } else {
    switch_watchers.fetch_and(static_cast<std::uint8_t>(~bit), std::memory_order_relaxed);
  }
}

void set_switch_function(SwitchFunction function) noexcept {
  switch_function.store(function, std::memory_order_release);
  set_watches(SwitchWatcher::kSharedState, function != nullptr);
}

void watch_switch(const Fiber& from, const Fiber& to) noexcept {
  if (tracing()) trace_switch(from, to);
  if (watches(SwitchWatcher::kTaskValues)) switch_task_values(to);
  if (const SwitchFunction function = switch_function.load(std::memory_order_acquire)) function(from, to);
}

}  // namespace aiofiber::runtime
