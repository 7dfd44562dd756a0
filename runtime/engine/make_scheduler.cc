// SPDX-License-Identifier: Apache-2.0
//
// See the header.
#include "aiofiber/runtime/engine/make_scheduler.h"

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/reactor_libev.h"
#include "aiofiber/runtime/engine/sanitizer_match.h"
#include "aiofiber/runtime/trace/trace.h"

namespace aiofiber::runtime {

std::unique_ptr<Scheduler> make_scheduler(Clock& clock) {
  check_sanitizers();
  install_fork_handler();
  start_trace_from_environment();
  return std::make_unique<Scheduler>(clock, make_libev_reactor());
}

}  // namespace aiofiber::runtime
