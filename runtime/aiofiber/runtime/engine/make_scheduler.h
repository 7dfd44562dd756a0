// SPDX-License-Identifier: Apache-2.0
//
// Puts the usual parts together: a scheduler on the system's clock, over libev, that knows about fork().
// Here because the scheduler itself must not know which reactor it polls.
// Tests put the parts together themselves, with a virtual clock or another reactor.
#pragma once

#include <memory>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime {

// `clock` must outlive the scheduler. Throws std::runtime_error when libev gets no descriptors.
std::unique_ptr<Scheduler> make_scheduler(Clock& clock = SteadyClock::instance());

}  // namespace aiofiber::runtime
