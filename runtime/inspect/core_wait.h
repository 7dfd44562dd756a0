// SPDX-License-Identifier: Apache-2.0
//
// How long a thread has waited for a core, from looks at the kernel's counters now and then.
//
// The kernel counts a wait only when it is over. So a thread that can run, and did not run for all of the
// time since the last look, may be in a wait that is not counted yet. It gets the benefit of the doubt: that
// time counts as a wait until the kernel tells the truth. The looks may be far apart, because the thread that
// looks may have to wait for a core, too.
#pragma once

#include <sys/types.h>

#include "aiofiber/runtime/engine/clock.h"

namespace aiofiber::runtime {

// Of a thread, since its start. Both times are 0 where the kernel does not tell them.
struct CoreUse {
  Nanoseconds ran = 0;
  Nanoseconds waited = 0;  // for a core, in waits that are over
  bool runnable = false;   // it runs, or waits for a core
};

// Of a thread of this process.
CoreUse core_use(pid_t tid);

// True if a thread that was seen twice waited for a core all the time between.
inline bool waits_for_core(const CoreUse& before, const CoreUse& now) noexcept {
  return now.runnable && now.ran == before.ran && now.ran != 0;
}

class CoreWait {
 public:
  // Forgets what was before.
  void start(const CoreUse& use, Nanoseconds now) noexcept;
  // The time since start() in which the thread waited for a core, or may have. `now` was read before `use`:
  // then a wait that begins between the two counts too early, and never too late.
  Nanoseconds look(const CoreUse& use, Nanoseconds now) noexcept;

 private:
  CoreUse last_;
  Nanoseconds looked_at_ = 0;
  Nanoseconds over_ = 0;  // waits that are over
  Nanoseconds open_ = 0;  // the wait that may be going on
};

}  // namespace aiofiber::runtime
