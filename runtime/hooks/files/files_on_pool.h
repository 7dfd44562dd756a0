// SPDX-License-Identifier: Apache-2.0
//
// by_pool(): what concerns a file by its name goes to the offload pool, if that is asked for
// (AIOFIBER_FILES_ON_POOL=1, hooks::set_files_on_pool()).
//
// On an idle disk such calls take microseconds, and a trip to the pool takes longer than that; on a busy one,
// while a journal is written, hundreds of milliseconds, which stop all tasks of the thread. As with fsync, a
// cancelled task makes its call to the end: nobody wants to guess whether a file has its new name, and what
// only looks is waited for too, as the answer is written to the caller's memory.
//
// A child of vfork shares the memory of its parent, so it looks like the task: it is told by its id, and
// waits for nobody.
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
