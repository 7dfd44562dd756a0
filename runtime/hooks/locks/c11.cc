// SPDX-License-Identifier: Apache-2.0
//
// C11's threads: mtx_*, cnd_*, call_once, thrd_join, thrd_yield. (thrd_sleep: time.cc; tss_*: keys.cc.)
//
// In glibc they are the pthread calls under other names, on the same objects. But libc calls its internal
// functions for them, not the hooks. So each calls the pthread hook, in a task and elsewhere, and only its
// result is C11's. All must be hooked, not only those that wait: the release has to wake waiting tasks.
#include <pthread.h>
#include <sched.h>
#include <threads.h>

#include <cerrno>
#include <cstdint>

namespace {

static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && alignof(mtx_t) == alignof(pthread_mutex_t));
static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t) && alignof(cnd_t) == alignof(pthread_cond_t));
static_assert(sizeof(once_flag) == sizeof(pthread_once_t) && alignof(once_flag) == alignof(pthread_once_t));

pthread_mutex_t* pthread_kind(mtx_t* mutex) noexcept { return reinterpret_cast<pthread_mutex_t*>(mutex); }
pthread_cond_t* pthread_kind(cnd_t* condition) noexcept {
  return reinterpret_cast<pthread_cond_t*>(condition);
}

// As libc maps them: any other error is thrd_error.
int c11_result(int error) noexcept {
  switch (error) {
    case 0:
      return thrd_success;
    case EBUSY:
      return thrd_busy;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    default:
      return thrd_error;
  }
}

}  // namespace

extern "C" {

int mtx_lock(mtx_t* mutex) { return c11_result(pthread_mutex_lock(pthread_kind(mutex))); }
int mtx_trylock(mtx_t* mutex) { return c11_result(pthread_mutex_trylock(pthread_kind(mutex))); }
int mtx_timedlock(mtx_t* mutex, const timespec* time) {
  return c11_result(pthread_mutex_timedlock(pthread_kind(mutex), time));
}
int mtx_unlock(mtx_t* mutex) { return c11_result(pthread_mutex_unlock(pthread_kind(mutex))); }

int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return c11_result(pthread_cond_wait(pthread_kind(condition), pthread_kind(mutex)));
}
int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* time) {
  return c11_result(pthread_cond_timedwait(pthread_kind(condition), pthread_kind(mutex), time));
}
int cnd_signal(cnd_t* condition) { return c11_result(pthread_cond_signal(pthread_kind(condition))); }
int cnd_broadcast(cnd_t* condition) { return c11_result(pthread_cond_broadcast(pthread_kind(condition))); }

void call_once(once_flag* flag, void (*routine)()) {
  pthread_once(reinterpret_cast<pthread_once_t*>(flag), routine);
}

int thrd_join(thrd_t thread, int* result) {
  void* value = nullptr;
  const int error = pthread_join(thread, &value);
  if (error == 0 && result != nullptr) *result = static_cast<int>(reinterpret_cast<std::intptr_t>(value));
  return c11_result(error);
}

void thrd_yield() { sched_yield(); }

}  // extern "C"
