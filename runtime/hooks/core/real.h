// SPDX-License-Identifier: Apache-2.0
//
// libc's own functions, under the names that the hooks have taken.
//
// Each is a pointer that resolves itself with dlsym(RTLD_NEXT) when it is first called, so a call before any
// constructor has run is correct. All of them are resolved when the library is loaded, because dlsym() may
// allocate, and a signal handler or a vforked child must not allocate. Threads: any. Two threads that resolve
// the same name store the same value.
#pragma once

#include <dirent.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <resolv.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <utime.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <ctime>

#include "aiofiber/runtime/arch/arch.h"
#include "hooks/core/abseil.h"

// The definition of `name` after the hooks of this module; null: there is none. Exported: a program that
// contains the hooks may also have them preloaded. Then it asks the preloaded ones, so that its calls pass
// only one set of hooks. `version` as below.
extern "C" void* aiofiber_real_function(const char* name, const char* version) noexcept;

namespace aiofiber::hooks::real {

// The next definition of `name` after the hooks' own. If there is none, writes a message and aborts.
// `version`: the symbol version to take, null for the default one.
void* resolve_symbol(const char* name, const char* version) noexcept;

template <class Signature>
class Function;

template <class R, class... A>
class Function<R(A...)> {
 public:
  constexpr explicit Function(const char* name, const char* version = nullptr) noexcept
      : name_(name), version_(version) {}

  R operator()(A... arguments) { return get()(arguments...); }
  R (*get() noexcept)(A...) {
    const Pointer function = function_.load(std::memory_order_relaxed);
    return __builtin_expect(function == nullptr, 0) ? resolve() : function;
  }
  R (*resolve() noexcept)(A...) {
    auto function = reinterpret_cast<Pointer>(resolve_symbol(name_, version_));
    function_.store(function, std::memory_order_relaxed);
    return function;
  }

 private:
  using Pointer = R (*)(A...);
  const char* name_;
  const char* version_;
  std::atomic<Pointer> function_{nullptr};
};

#define HOOK(when, name, ...) inline constinit Function<__VA_ARGS__> name{#name};
#define HOOK_OF_VERSION(when, name, version, ...) inline constinit Function<__VA_ARGS__> name{#name, version};
#include "hooks/core/hooked_names.inc"

}  // namespace aiofiber::hooks::real
