// SPDX-License-Identifier: Apache-2.0
//
// pthread keys with values per task, for other files of the hooks.
#pragma once

#include <pthread.h>

namespace aiofiber::hooks {

// From now on each task has its own value of this key, at first null. Call it before a task uses the key.
// Threads: any.
void give_values_per_task(pthread_key_t key) noexcept;

}  // namespace aiofiber::hooks
