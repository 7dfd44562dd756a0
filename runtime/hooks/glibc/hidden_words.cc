// SPDX-License-Identifier: Apache-2.0
//
// Reads the words, and tests each kind: makes an object, changes it so that the word must change, and reads
// it.
#include "hooks/glibc/hidden_words.h"

#include <cstring>

#include "hooks/core/real.h"

namespace aiofiber::hooks {

constinit KnownWords known_words;

namespace {

// The first word is the value; the next one says whether the semaphore is process-shared.
bool semaphore_is_shared(const sem_t* semaphore) noexcept {
  int shared;
  std::memcpy(&shared, semaphore->__size + sizeof(std::uint64_t), sizeof shared);
  return shared != 0;
}

bool semaphores_are_as_expected() noexcept {
  for (const int shared : {0, 1}) {
    sem_t semaphore;
    if (::sem_init(&semaphore, shared, 3) != 0) return false;
    const bool seen = semaphore_is_shared(&semaphore);
    ::sem_destroy(&semaphore);
    if (seen != (shared == 1)) return false;
  }
  return true;
}

constexpr unsigned kConditionShared = 1, kConditionMonotonic = 2;
unsigned condition_bits(const pthread_cond_t* condition) noexcept {
  return condition->__data.__wrefs & (kConditionShared | kConditionMonotonic);
}

bool conditions_are_as_expected() noexcept {
  for (unsigned wanted = 0; wanted <= (kConditionShared | kConditionMonotonic); ++wanted) {
    pthread_condattr_t attributes;
    pthread_cond_t condition;
    ::pthread_condattr_init(&attributes);
    ::pthread_condattr_setpshared(
        &attributes, (wanted & kConditionShared) != 0 ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE);
    ::pthread_condattr_setclock(&attributes,
                                (wanted & kConditionMonotonic) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME);
    const bool made = ::pthread_cond_init(&condition, &attributes) == 0;
    const unsigned seen = made ? condition_bits(&condition) : ~wanted;
    if (made) ::pthread_cond_destroy(&condition);
    ::pthread_condattr_destroy(&attributes);
    if (seen != wanted) return false;
  }
  return true;
}

constexpr int kOnceRunning = 1, kOnceDone = 2;
int once_bits(const pthread_once_t* control) noexcept {
  return __atomic_load_n(control, __ATOMIC_ACQUIRE) & (kOnceRunning | kOnceDone);
}

constinit pthread_once_t tried_once = PTHREAD_ONCE_INIT;
constinit int bits_inside = -1;

bool onces_are_as_expected() noexcept {
  if (once_bits(&tried_once) != 0) return false;
  const int error = real::pthread_once(&tried_once, [] { bits_inside = once_bits(&tried_once); });
  return error == 0 && bits_inside == kOnceRunning && (once_bits(&tried_once) & kOnceDone) != 0;
}

std::uint32_t guard_bits(const std::uint64_t* guard) noexcept {
  return __atomic_load_n(reinterpret_cast<const std::uint32_t*>(guard), __ATOMIC_ACQUIRE) &
         (kGuardRunning | kGuardDone);
}

[[gnu::constructor]] void check_hidden_words() noexcept {
  known_words.semaphores = semaphores_are_as_expected();
  known_words.conditions = conditions_are_as_expected();
  known_words.onces = onces_are_as_expected();
}

}  // namespace

bool is_shared(const sem_t* semaphore) noexcept {
  return !known_words.semaphores || semaphore_is_shared(semaphore);
}

bool is_shared(const pthread_cond_t* condition) noexcept {
  return !known_words.conditions || (condition_bits(condition) & kConditionShared) != 0;
}
clockid_t clock_of(const pthread_cond_t* condition) noexcept {
  return (condition_bits(condition) & kConditionMonotonic) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

bool once_is_running(const pthread_once_t* control) noexcept {
  return known_words.onces && once_bits(control) == kOnceRunning;
}
bool once_is_done(const pthread_once_t* control) noexcept {
  return known_words.onces && (once_bits(control) & kOnceDone) != 0;
}

bool guard_is_running(const std::uint64_t* guard) noexcept {
  return known_words.guards && guard_bits(guard) == kGuardRunning;
}

void check_guard_words(int (*acquire)(std::uint64_t*), void (*release)(std::uint64_t*),
                       void (*abort)(std::uint64_t*)) noexcept {
  std::uint64_t guard = 0;
  bool expected = acquire(&guard) == 1 && guard_bits(&guard) == kGuardRunning;
  abort(&guard);
  expected = expected && guard_bits(&guard) == 0 && acquire(&guard) == 1;
  release(&guard);
  known_words.guards = expected && guard_bits(&guard) == kGuardDone;
}

}  // namespace aiofiber::hooks
