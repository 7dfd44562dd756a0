// SPDX-License-Identifier: Apache-2.0
//
// The watchdog reports which task or callback blocks a loop, while it blocks it.
//
// One helper thread per process reads each watched scheduler's pulse a few times in the allowed time. If the
// pulse stands still and the loop does not sleep, a task or a callback keeps the thread. Its stack is sampled
// (thread_sample.h) and reported. This costs the loop nothing. An idle loop is never reported or interrupted.
#pragma once

#include <string>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime::watchdog {

// Receives each report on the watchdog's thread. Must not throw, watch or unwatch.
using Report = void (*)(const std::string& text) noexcept;

// Watches the scheduler, which runs or will run on the calling thread, until unwatch(). Reports it when its
// loop gets no turn for `allowed` ns, and again after twice the time, four times, ... Time in which its
// thread waited for a core does not count if the kernel tells it (schedstat). A second call sets a new limit.
// Throws std::system_error if no thread can be created.
void watch(const Scheduler& scheduler, Nanoseconds allowed, Report report);
// Afterwards nothing refers to the scheduler. Waits for a report in progress. Does nothing if it is not
// watched.
void unwatch(const Scheduler& scheduler) noexcept;

}  // namespace aiofiber::runtime::watchdog
