// SPDX-License-Identifier: Apache-2.0
//
// The mark of the runtime whose headers are compiled here: a hash over the sizes and places of what hooks see of it.
// Whoever includes this needs AIOFIBER_VERSION, the version as a string.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/abi.h"
#include "aiofiber/runtime/fiber.h"
#include "aiofiber/runtime/offload.h"
#include "aiofiber/runtime/parker.h"
#include "aiofiber/runtime/reactor.h"
#include "aiofiber/runtime/registry.h"
#include "aiofiber/runtime/scheduler.h"

namespace aiofiber::runtime {

// FNV-1a over the numbers, in this order.
constexpr std::uint64_t hash_of_layout() noexcept {
// The standard leaves offsetof of such classes to the implementation; gcc and clang have it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  constexpr std::size_t kNumbers[] = {
      sizeof(Fiber), offsetof(Fiber, scheduler), offsetof(Fiber, parker), offsetof(Fiber, locals),
      offsetof(Fiber, hooks_off), offsetof(Fiber, unwinding), offsetof(Fiber, interrupted), offsetof(Fiber, tid),
      kRecordStride, kRecordsPerChunk, sizeof(Runnable), sizeof(Timer), sizeof(Parker), sizeof(FdWaiter),
      offsetof(FdWaiter, fd), offsetof(FdWaiter, ready), sizeof(Reactor), sizeof(Scheduler), sizeof(OffloadPool),
      sizeof(OffloadPool::Work)};
#pragma GCC diagnostic pop
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::size_t number : kNumbers) hash = (hash ^ number) * 0x100000001b3u;
  return hash;
}

inline constexpr AbiMark kCompiledAbi{AIOFIBER_VERSION, hash_of_layout()};

}  // namespace aiofiber::runtime
