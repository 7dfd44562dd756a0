// SPDX-License-Identifier: Apache-2.0
//
// The symbol epoll_ctl is weak: a program may define its own.
#include "engine/epoll_refusals.h"

#include <dlfcn.h>

#include <atomic>
#include <cerrno>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

namespace {

using Control = int (*)(int, int, int, epoll_event*);

std::atomic<Control> next_control{nullptr};

// The next definition: libc's, or that of a library that also defines the name (a sanitizer, a preloaded
// one).
Control find_next() noexcept {
  auto found = reinterpret_cast<Control>(::dlsym(RTLD_NEXT, "epoll_ctl"));
  if (found == nullptr) found = sys::epoll_control;  // a static program
  next_control.store(found, std::memory_order_relaxed);
  return found;
}

// At load, because dlsym() must not be called in a signal handler.
[[gnu::constructor]] void load() noexcept { find_next(); }

int call_next(int epoll, int operation, int fd, epoll_event* event) noexcept {
  Control next = next_control.load(std::memory_order_relaxed);
  if (AIOFIBER_UNLIKELY(next == nullptr)) next = find_next();
  return next(epoll, operation, fd, event);
}

// libev handles these itself.
bool is_known_to_libev(int error) noexcept { return error == ENOENT || error == EEXIST || error == EPERM; }

// libev stops the watcher after this error.
constexpr int kRefused = ENOSPC;

}  // namespace

constinit thread_local EpollRefusals* EpollRefusals::current_ = nullptr;

int EpollRefusals::control(int epoll, int operation, int fd, epoll_event* event) noexcept {
  ++seen_;
  epoll_ = epoll;
  const Aside aside;  // the next function may be another one like this, of a runtime in a library
  const int result = sys::injected("libev's epoll_ctl") ? -1 : call_next(epoll, operation, fd, event);
  if (result != 0 && !is_known_to_libev(errno)) {
    refused_(who_, fd, errno);
    errno = kRefused;
  }
  return result;
}

}  // namespace aiofiber::runtime

using namespace aiofiber::runtime;

extern "C" __attribute__((weak, visibility("default"))) int epoll_ctl(int epoll, int operation, int fd,
                                                                      epoll_event* event) noexcept {
  // A program's runtime replaces that of preloaded hooks, but each copy of this function has its own next
  // one.
  EpollRefusals* const current = EpollRefusals::current();
  if (AIOFIBER_LIKELY(current == nullptr)) return call_next(epoll, operation, fd, event);
  return current->control(epoll, operation, fd, event);
}
