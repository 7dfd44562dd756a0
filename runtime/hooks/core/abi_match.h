// SPDX-License-Identifier: Apache-2.0
//
// Whether the hooks were made for the runtime that they met. Preloaded ones, or a shared library of another
// build, need not be: then they must not touch its fibers, and stand aside for good.
//
// Threads: asked by the constructor that loads the hooks, before there is a second one.
#pragma once

namespace aiofiber::hooks {

// Asked once, at load. False: `stands_aside` (act.h) is set from now on, and a line on stderr says so if
// `warns`.
bool match_runtime(bool warns);

}  // namespace aiofiber::hooks
