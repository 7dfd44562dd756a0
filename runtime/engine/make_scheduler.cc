// SPDX-License-Identifier: Apache-2.0
//
// Builds the scheduler, after the sanitizer check and the at-fork registration, and starts a trace, or a
// search for shared state, if one is wanted.
#include "aiofiber/runtime/engine/make_scheduler.h"

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/reactor_libev.h"
#include "aiofiber/runtime/engine/sanitizer_match.h"
#include "aiofiber/runtime/shared_state/shared_state.h"
#include "aiofiber/runtime/trace/trace.h"
#include "inspect/libdw.h"

namespace aiofiber::runtime {

namespace {
constinit ForkHandler forget_scheduler{ForkStep::kScheduler, {.child = &Scheduler::forget_after_fork}};
constinit ForkHandler hold_libdw{ForkStep::kLibdw,
                                 {.prepare = &hold_opening_of_libdw,
                                  .parent = &release_opening_of_libdw,
                                  .child = &release_opening_of_libdw}};
}  // namespace

std::unique_ptr<Scheduler> make_scheduler(Clock& clock) {
  check_sanitizers();
  at_fork(forget_scheduler);
  at_fork(hold_libdw);
  start_trace_from_environment();
  shared_state::start_from_environment();
  return std::make_unique<Scheduler>(clock, make_libev_reactor());
}

}  // namespace aiofiber::runtime
