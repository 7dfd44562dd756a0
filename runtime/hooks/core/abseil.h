// SPDX-License-Identifier: Apache-2.0
//
// Which abseil the hooks are made for, and where it keeps the identity of a thread.
//
// abseil's locks wait in functions with C names that a program may replace (locks/abseil.cc). A name ends
// with abseil's inline namespace, so hooks made with the headers of one abseil do not act in another. The
// hooks include headers of abseil and are not linked with it. Without the headers they leave it alone:
// AIOFIBER_HAS_ABSEIL is 0.
#pragma once

#if __has_include(<absl/synchronization/internal/per_thread_sem.h>)
#include <absl/base/config.h>
#define AIOFIBER_HAS_ABSEIL 1
#define AIOFIBER_TEXT_OF_SYMBOL(symbol) #symbol
#define AIOFIBER_TEXT_OF(symbol) AIOFIBER_TEXT_OF_SYMBOL(symbol)
// The name in the symbol table, as a text.
#define AIOFIBER_ABSEIL_NAME(name) AIOFIBER_TEXT_OF(ABSL_INTERNAL_C_SYMBOL(name))
#else
#define AIOFIBER_HAS_ABSEIL 0
#endif

#if AIOFIBER_HAS_ABSEIL
#include <pthread.h>

#include <atomic>

namespace aiofiber::hooks {

// abseil keeps a thread's identity under this key. It has values per task. kNoKey: no abseil was seen yet.
inline constexpr pthread_key_t kNoKey = ~pthread_key_t{0};
inline constinit std::atomic<pthread_key_t> abseil_key{kNoKey};

}  // namespace aiofiber::hooks
#endif
