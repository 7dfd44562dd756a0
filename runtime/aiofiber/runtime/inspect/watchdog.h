// SPDX-License-Identifier: Apache-2.0
//
// The watchdog: says who blocks a loop, while it does.
//
// One helper thread for the process looks at each watched scheduler's pulse a few times in the allowed time.
// A pulse that stands still although the loop does not sleep means that one task or callback has the thread:
// its stack is sampled (thread_sample.h) and reported. The loop itself does nothing for it. A loop that is
// idle is never reported, and not interrupted.
#pragma once

#include <string>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime::watchdog {

// What is done with a report, on the watchdog's thread; must not throw, nor watch or unwatch.
using Report = void (*)(const std::string& text) noexcept;

// Watches the scheduler, which runs or will run on the calling thread, until unwatch(). One that does not
// give its loop a turn for `allowed` ns is reported once, and again after twice the time, four times, ... The
// time in which its thread waited for a core does not count, where the kernel tells of it (schedstat). Again:
// the new limit. Throws std::system_error: no thread can be made.
void watch(const Scheduler& scheduler, Nanoseconds allowed, Report report);
// Afterwards nothing refers to the scheduler. Waits for a report that is being made. Not watched: no-op.
void unwatch(const Scheduler& scheduler) noexcept;

}  // namespace aiofiber::runtime::watchdog
