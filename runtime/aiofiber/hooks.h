// SPDX-License-Identifier: Apache-2.0
//
// hooks::Disable: for as long as it lives, the hooked libc calls of the current task are libc's own.
//
// For code that must not be suspended in the middle: it holds a lock that another task of this thread may
// want, or it is part of an allocator or a logger. Such a call then blocks the whole thread, as it would
// in any program. Harmless where no hooks are linked.
#pragma once

#include "aiofiber/runtime/fiber.h"

namespace aiofiber::hooks {

// Scopes nest. Outside a task it does nothing.
// Lifetime: a local of the task; must be destroyed on the fiber that made it.
using Disable = runtime::HooksOff;

}  // namespace aiofiber::hooks
