// SPDX-License-Identifier: Apache-2.0
//
// pthread keys with values per task, so that a task does not read, for example, another task's OpenSSL
// errors.
//
// Not all keys: many libraries also keep the value in a thread_local, and use a key only to notice the
// thread's end (allocators). They must not see a task as a thread. So a key has values per task only
// if the library that creates it is in a list of file names, or if AIOFIBER_TASK_KEYS says so: parts of file
// names separated by colons; `all`; or `none`. Other keys, and all keys outside tasks, are libc's.
//
// abseil's key always has them: its locks suspend a task only if each task has a value (locks/abseil.cc).
#include <dlfcn.h>
#include <pthread.h>

#include <limits.h>
#include <threads.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "hooks/core/abseil.h"
#include "hooks/core/act.h"
#include "hooks/core/locals.h"
#include "hooks/core/name_list.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// Libraries that use a key to keep state between the calls of one task, mostly errors.
constexpr std::string_view kLibrariesWithTaskKeys =
    "libcrypto.so:libssl.so:libxml2.so:libkrb5support.so:libldap:libmariadb.so:libmysqlclient";

struct Key {
  std::atomic<std::uint32_t> generation{0};          // odd: the key exists, with values per task
  std::atomic<void (*)(void*)> destructor{nullptr};  // of every key
};
constinit std::array<Key, PTHREAD_KEYS_MAX> task_keys;

bool lists(std::string_view list, std::string_view file) noexcept {
  for (NameList parts(list); const auto part = parts.next();) {
    if (file.find(*part) != std::string_view::npos) return true;
  }
  return false;
}

#if AIOFIBER_HAS_ABSEIL
// Whether a file is the library in which the hooks' abseil makes its key.
bool is_abseil(const char* file) noexcept {
  if (std::string_view(file).find("libabsl_base.so") == std::string_view::npos) return false;
  void* const library = ::dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return false;
  const bool found = ::dlsym(library, AIOFIBER_ABSEIL_NAME(AbslInternalSpinLockWake)) != nullptr;
  ::dlclose(library);
  return found;
}
#endif

// `maker`: as below. A static abseil is found at load instead (locks/abseil.cc).
bool is_made_by_abseil([[maybe_unused]] const void* maker) noexcept {
#if AIOFIBER_HAS_ABSEIL
  Dl_info info;
  return abseil_key.load(std::memory_order_relaxed) == kNoKey && ::dladdr(maker, &info) != 0 &&
         info.dli_fname != nullptr && is_abseil(info.dli_fname);
#else
  return false;
#endif
}

// `maker`: the return address of pthread_key_create().
bool is_for_tasks(const void* maker) noexcept {
  const char* setting = ::secure_getenv("AIOFIBER_TASK_KEYS");
  const std::string_view wanted = setting == nullptr ? kLibrariesWithTaskKeys : setting;
  if (wanted == "all") return true;
  if (wanted == "none") return false;
  Dl_info info;
  return ::dladdr(maker, &info) != 0 && info.dli_fname != nullptr && lists(wanted, info.dli_fname);
}

Key* find_task_key(pthread_key_t key) noexcept {
  if (runtime::current_fiber() == nullptr || stands_aside || key >= task_keys.size()) return nullptr;
  Key& found = task_keys[key];
  return (found.generation.load(std::memory_order_relaxed) & 1) != 0 ? &found : nullptr;
}

// `maker`: as above.
int create_key(const void* maker, pthread_key_t* key, void (*destructor)(void*)) noexcept {
  const bool by_abseil = is_made_by_abseil(maker);
  const bool for_tasks = by_abseil || is_for_tasks(maker);
  const int error = real::pthread_key_create(key, destructor);
  if (error != 0 || *key >= task_keys.size()) return error;
  task_keys[*key].destructor.store(destructor, std::memory_order_relaxed);
  if (for_tasks) give_values_per_task(*key);
#if AIOFIBER_HAS_ABSEIL
  if (by_abseil) abseil_key.store(*key, std::memory_order_release);
#endif
  return 0;
}

}  // namespace

void give_values_per_task(pthread_key_t key) noexcept {
  task_keys[key].generation.fetch_or(1, std::memory_order_release);
}

void destroy_key_values(Locals& locals) noexcept {
  // As at the end of a thread: destructors may set values again, so there are several rounds.
  for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS; ++round) {
    bool any = false;
    for (std::size_t i = 0; i < locals.keys.size(); ++i) {
      void* value = std::exchange(locals.keys[i].value, nullptr);
      const Key& key = task_keys[i];
      const auto destructor = key.destructor.load(std::memory_order_relaxed);
      if (value == nullptr || destructor == nullptr || locals.keys[i].generation != key.generation) continue;
      any = true;
      destructor(value);
    }
    if (!any) return;
  }
}

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) noexcept {
  return create_key(__builtin_return_address(0), key, destructor);
}

int pthread_key_delete(pthread_key_t key) noexcept {
  if (key < task_keys.size()) {
    std::atomic<std::uint32_t>& generation = task_keys[key].generation;
    if ((generation.load() & 1) != 0) generation.fetch_add(1);
  }
  return real::pthread_key_delete(key);
}

void* pthread_getspecific(pthread_key_t key) noexcept {
  const Key* task_key = find_task_key(key);
  if (AIOFIBER_LIKELY(task_key == nullptr)) return real::pthread_getspecific(key);
  const Locals* locals = find_locals();
  if (locals == nullptr || key >= locals->keys.size()) return nullptr;
  const Locals::KeyValue& stored = locals->keys[key];
  return stored.generation == task_key->generation.load(std::memory_order_relaxed) ? stored.value : nullptr;
}

int pthread_setspecific(pthread_key_t key, const void* value) noexcept {
  const Key* task_key = find_task_key(key);
  if (AIOFIBER_LIKELY(task_key == nullptr)) return real::pthread_setspecific(key, value);
  const int saved_errno = errno;
  const bool stored = without_throwing([&] {
    Locals& locals = get_locals();
    if (key >= locals.keys.size()) locals.keys.resize(key + 1);
    locals.keys[key] = {const_cast<void*>(value), task_key->generation.load(std::memory_order_relaxed)};
  });
  errno = saved_errno;
  return stored ? 0 : ENOMEM;
}

// C11's names for the same keys; libc calls its internal functions for them.
int tss_create(tss_t* key, tss_dtor_t destructor) {
  const int error = create_key(__builtin_return_address(0), key, destructor);
  return error == 0 ? thrd_success : error == ENOMEM ? thrd_nomem : thrd_error;
}
void tss_delete(tss_t key) { pthread_key_delete(key); }
void* tss_get(tss_t key) { return pthread_getspecific(key); }
int tss_set(tss_t key, void* value) {
  const int error = pthread_setspecific(key, value);
  return error == 0 ? thrd_success : error == ENOMEM ? thrd_nomem : thrd_error;
}

}  // extern "C"
