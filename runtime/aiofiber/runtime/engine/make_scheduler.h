// SPDX-License-Identifier: Apache-2.0
//
// make_scheduler() builds the usual scheduler: on the system's clock, over libev, with handlers for fork().
// It has its own file because the scheduler must not know which reactor it polls.
// Tests build theirs themselves, with a virtual clock or another reactor.
#pragma once

#include <memory>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime {

// `clock` must outlive the scheduler. Throws std::runtime_error when libev gets no descriptors.
std::unique_ptr<Scheduler> make_scheduler(Clock& clock = SteadyClock::instance());

}  // namespace aiofiber::runtime
