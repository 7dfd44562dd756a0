// SPDX-License-Identifier: Apache-2.0
//
// One pthread_atfork(3) child handler for the whole runtime.
#include "aiofiber/runtime/engine/at_fork.h"

#include <pthread.h>

#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::runtime {

namespace {
std::uint32_t generation = 0;  // written only in a child, which has one thread
}

std::uint32_t fork_generation() noexcept { return generation; }

void install_fork_handler() noexcept {
  static const int installed = ::pthread_atfork(nullptr, nullptr, [] {
    ++generation;
    Scheduler::forget_after_fork();
  });
  static_cast<void>(installed);
}

}  // namespace aiofiber::runtime
