// SPDX-License-Identifier: Apache-2.0
//
// fork(): the child has the forking thread only, and must not touch the parent's epoll set.
//
// In the child no loop is running any more and no fiber is current, so the child goes on as a plain
// thread on whatever stack it was forked from; using the parent's loop there is a RuntimeError of the
// facade, a fresh loop works.
#pragma once

#include <cstdint>

namespace aiofiber::runtime {

// Installs the handlers, once per process. Called by the scheduler.
void install_fork_handler() noexcept;
// Grows by one in each forked child: a loop remembers the value of its birth and refuses another one.
std::uint32_t fork_generation() noexcept;

}  // namespace aiofiber::runtime
