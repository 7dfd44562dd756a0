// SPDX-License-Identifier: Apache-2.0
//
// Semaphores of <aiofiber.h>.
#include "aiofiber/semaphore.h"

#include <cstdint>
#include <limits>
#include <memory>

#include "aiofiber/await.h"
#include "aiofiber/wait_for.h"
#include "c/call.h"
#include "c/handles.h"

namespace aiofiber::detail {

namespace {

int find_semaphore(aiofiber_semaphore handle, CSemaphore*& semaphore) {
  const LoopHere here;
  if (here.loop == nullptr) return here.error;
  return CHandles::of(*here.loop).find(handle, semaphore);
}

int acquire(aiofiber_semaphore handle, std::optional<Duration> limit) {
  const SuspendingTask here;
  if (here.error != 0) return here.error;
  CSemaphore* semaphore = nullptr;
  if (const int error = CHandles::of(here.task->loop()).find(handle, semaphore); error != 0) return error;
  if (semaphore->locked()) {
    if (limit && *limit <= Duration()) return AIOFIBER_TIMED_OUT;
    if (const int error = refuse_wait(*here.task); error != 0) return error;
    if (limit) {
      await(wait_for(semaphore->acquire(), *limit));
      return 0;
    }
  }
  await(semaphore->acquire());
  return 0;
}

}  // namespace

}  // namespace aiofiber::detail

using namespace aiofiber::detail;

int aiofiber_semaphore_create(int64_t units, aiofiber_semaphore* semaphore) noexcept {
  return c_call([&]() -> int {
    if (semaphore == nullptr) return AIOFIBER_INVALID;
    *semaphore = {};
    const LoopHere here;
    if (here.error != 0) return here.error;
    if (units < 0) return AIOFIBER_INVALID;
    *semaphore = CHandles::of(*here.loop).add(std::make_unique<CSemaphore>(units));
    return 0;
  });
}

int aiofiber_semaphore_acquire(aiofiber_semaphore semaphore) noexcept {
  return c_call([&]() -> int { return acquire(semaphore, std::nullopt); });
}

int aiofiber_semaphore_acquire_for(aiofiber_semaphore semaphore, double seconds) noexcept {
  return c_call([&]() -> int {
    aiofiber::Duration limit;
    if (const int error = to_duration(seconds, limit); error != 0) return error;
    return acquire(semaphore, limit);
  });
}

int aiofiber_semaphore_release(aiofiber_semaphore semaphore) noexcept {
  return c_call([&]() -> int {
    CSemaphore* found = nullptr;
    if (const int error = find_semaphore(semaphore, found); error != 0) return error;
    if (found->units() == std::numeric_limits<std::int64_t>::max()) return AIOFIBER_OVERFLOW;
    found->release();
    return 0;
  });
}

int aiofiber_semaphore_destroy(aiofiber_semaphore semaphore) noexcept {
  return c_call([&]() -> int {
    CSemaphore* found = nullptr;
    if (const int error = find_semaphore(semaphore, found); error != 0) return error;
    if (found->has_waiters()) return AIOFIBER_BUSY;
    CHandles::of(*LoopHere().loop).end(semaphore);
    return 0;
  });
}
