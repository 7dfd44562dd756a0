// SPDX-License-Identifier: Apache-2.0
//
// The libev backend of the reactor (http://software.schmorp.de/pkg/libev.html): epoll, an eventfd to be
// woken by, signals. libev keeps no timers of ours but the one that bounds a sleep.
// Whoever wants a loop calls make_scheduler(); only that and the backend's own tests need this header.
#pragma once

#include <memory>

#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::runtime {

// Throws std::runtime_error when the system has no descriptors left for it.
std::unique_ptr<Reactor> make_libev_reactor();

}  // namespace aiofiber::runtime
