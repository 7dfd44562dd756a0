// SPDX-License-Identifier: Apache-2.0
//
// The libev backend of the reactor (http://software.schmorp.de/pkg/libev.html): epoll, an eventfd for wake(),
// signals. Its only timer bounds the sleep.
// To create a loop, call make_scheduler(). Only make_scheduler and the backend's own tests need this header.
#pragma once

#include <memory>

#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::runtime {

// Throws std::runtime_error when the system has no descriptors left.
std::unique_ptr<Reactor> make_libev_reactor();

}  // namespace aiofiber::runtime
