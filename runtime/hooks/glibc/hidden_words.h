// SPDX-License-Identifier: Apache-2.0
//
// Words that no header documents: in glibc's semaphores, condition variables and once controls, and in
// libstdc++'s guards.
//
// Each kind is tested when the hooks are loaded. A kind that fails the test, or is not tested yet, gives the
// answer that leaves more to libc. That may block the thread but is correct.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <cstdint>
#include <ctime>

namespace aiofiber::hooks {

struct KnownWords {
  bool semaphores = false;
  bool conditions = false;
  bool onces = false;
  bool guards = false;
};
// Written once, at load.
extern constinit KnownWords known_words;

// Whether the object is process-shared; true if not known.
bool is_shared(const sem_t* semaphore) noexcept;
bool is_shared(const pthread_cond_t* condition) noexcept;
// The clock of the deadlines; the condition variable must not be process-shared.
clockid_t clock_of(const pthread_cond_t* condition) noexcept;

// The state of a pthread_once_t or of the guard of a static; false if not known.
bool once_is_running(const pthread_once_t* control) noexcept;
bool once_is_done(const pthread_once_t* control) noexcept;
bool guard_is_running(const std::uint64_t* guard) noexcept;

// The bits of a guard. The Itanium C++ ABI leaves them to the implementation, except the first byte.
inline constexpr std::uint32_t kGuardDone = 1, kGuardRunning = 0x100, kGuardThreadsWait = 0x10000;
// Tests the functions that will be called for guards.
void check_guard_words(int (*acquire)(std::uint64_t*), void (*release)(std::uint64_t*),
                       void (*abort)(std::uint64_t*)) noexcept;

}  // namespace aiofiber::hooks
