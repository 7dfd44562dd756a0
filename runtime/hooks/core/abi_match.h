// SPDX-License-Identifier: Apache-2.0
//
// Whether the hooks were made for the runtime in use. Preloaded hooks, or a shared library of another build,
// may not be. Then they must not touch its fibers, and stay off for good.
//
// Threads: called by the constructor that loads the hooks, before there is a second thread.
#pragma once

namespace aiofiber::hooks {

// Called once, at load. False: `stands_aside` (act.h) is set, and a line on stderr says so if `warns`.
bool match_runtime(bool warns);

}  // namespace aiofiber::hooks
