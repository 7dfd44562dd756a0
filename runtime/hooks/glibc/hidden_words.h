// SPDX-License-Identifier: Apache-2.0
//
// Words inside glibc's semaphores, condition variables, once controls and libstdc++'s guards whose meaning no
// header tells.
//
// Each kind is tried when the hooks are loaded. One that is not as expected, or not tried yet, gives the
// answer with which the hooks leave more to libc: it may block the thread then, and is right.
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

// Whether processes share it; true if that is not known.
bool is_shared(const sem_t* semaphore) noexcept;
bool is_shared(const pthread_cond_t* condition) noexcept;
// The clock of its deadlines, of one that is not shared.
clockid_t clock_of(const pthread_cond_t* condition) noexcept;

// Of pthread_once_t and the guard of a static; false if that is not known.
bool once_is_running(const pthread_once_t* control) noexcept;
bool once_is_done(const pthread_once_t* control) noexcept;
bool guard_is_running(const std::uint64_t* guard) noexcept;

// The bits of a guard. The Itanium C++ ABI leaves them to the implementation, but for the first byte.
inline constexpr std::uint32_t kGuardDone = 1, kGuardRunning = 0x100, kGuardThreadsWait = 0x10000;
// Tries the functions that are called for guards from now on.
void check_guard_words(int (*acquire)(std::uint64_t*), void (*release)(std::uint64_t*),
                       void (*abort)(std::uint64_t*)) noexcept;

}  // namespace aiofiber::hooks
