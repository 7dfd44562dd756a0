// SPDX-License-Identifier: Apache-2.0
//
// by_pool() runs calls on file names on the offload pool, if enabled (AIOFIBER_FILES_ON_POOL=1,
// hooks::set_files_on_pool()).
//
// On an idle disk such a call takes microseconds, less than a trip to the pool. On a busy disk, while a
// journal is written, it takes hundreds of milliseconds and stops all tasks of the thread. A cancelled task
// completes its call, as with fsync, so that the caller knows whether a file has its new name. Calls that
// only read are waited for too, because the answer is written to the caller's memory.
//
// A child of vfork shares the memory of its parent, so it looks like the task. Its process id tells it apart,
// and its calls do not go to the pool.
#pragma once

#include <atomic>

#include "aiofiber/runtime/engine/config.h"
#include "hooks/core/on_pool.h"

namespace aiofiber::hooks {

namespace detail {
extern constinit std::atomic<bool> files_on_pool;
bool may_go_to_pool() noexcept;
}  // namespace detail

inline bool goes_to_pool() noexcept {
  return AIOFIBER_UNLIKELY(detail::files_on_pool.load(std::memory_order_relaxed)) && detail::may_go_to_pool();
}

template <class R, class Call>
R by_pool(R failure, Call call) {
  return goes_to_pool() ? on_pool_to_the_end(failure, call) : call();
}
template <class Call>
auto by_pool(Call call) {
  return by_pool(decltype(call()){-1}, call);
}

}  // namespace aiofiber::hooks
