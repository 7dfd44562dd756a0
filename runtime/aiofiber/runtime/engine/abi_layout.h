// SPDX-License-Identifier: Apache-2.0
//
// The mark of the runtime whose headers are compiled here: a hash over the sizes and offsets of what the
// hooks use of it. Compiled into the runtime, it is that runtime's mark (abi.h). Compiled into the hooks, it
// is the mark that they expect.
//
// Invariant: everything that a hook reads or writes directly in a runtime's object is in the list below.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/engine/abi.h"
#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/registry.h"

namespace aiofiber::runtime {

// FNV-1a over the numbers, in this order.
constexpr std::uint64_t hash_of_layout() noexcept {
// The standard leaves offsetof of such classes to the implementation; gcc and clang have it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  constexpr std::size_t kNumbers[] = {sizeof(Fiber),
                                      offsetof(Fiber, scheduler),
                                      offsetof(Fiber, parker),
                                      offsetof(Fiber, locals),
                                      offsetof(Fiber, hooks_off),
                                      offsetof(Fiber, size_class),  // the flags follow it
                                      offsetof(Fiber, tid),
                                      offsetof(Fiber, after_cut_off),
                                      kRecordStride,
                                      kRecordsPerChunk,
                                      sizeof(FiberLocals),
                                      offsetof(FiberLocals, until),
                                      offsetof(FiberLocals, next),
                                      sizeof(Runnable),
                                      sizeof(Timer),
                                      sizeof(Parker),
                                      sizeof(FdWaiter),
                                      offsetof(FdWaiter, fd),
                                      offsetof(FdWaiter, ready),
                                      sizeof(Reactor),
                                      sizeof(Scheduler),
                                      sizeof(OffloadPool),
                                      sizeof(OffloadPool::Work),
                                      sizeof(ForkHandler)};
#pragma GCC diagnostic pop
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::size_t number : kNumbers) hash = (hash ^ number) * 0x100000001b3u;
  return hash;
}

// `version` is cut to the mark's size.
constexpr AbiMark compiled_abi(const char* version) noexcept {
  AbiMark mark{{}, hash_of_layout()};
  for (std::size_t i = 0; i + 1 < sizeof mark.version && version[i] != 0; ++i) mark.version[i] = version[i];
  return mark;
}

}  // namespace aiofiber::runtime
