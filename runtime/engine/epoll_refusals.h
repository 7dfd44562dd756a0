// SPDX-License-Identifier: Apache-2.0
//
// Records which descriptors the kernel refuses to watch while libev polls, and why.
//
// libev adds watchers to epoll when it polls. It ends the process if a descriptor was closed by another
// thread or can never be watched (ELOOP: an epoll of epolls that is too deep; EINVAL). After other errors it
// stops the watcher and does not report the error. An earlier check does not help, because the close may come
// after it. So the runtime defines epoll_ctl, which a program's libev finds before libc's. While a reactor
// polls, it notes refusals and returns an error that libev survives; else it calls libc's. It does not work
// if something else in the program defines epoll_ctl, or if libev was already bound to libc's (a runtime in a
// library opened by dlopen()). seen() tells that; then the reactor checks descriptors before it polls.
// Threads: an object is used by one at a time.
#pragma once

#include <sys/epoll.h>

#include <cstddef>

namespace aiofiber::runtime {

class EpollRefusals {
 public:
  using Refused = void (*)(void* who, int fd, int error) noexcept;
  EpollRefusals(Refused refused, void* who) noexcept : refused_(refused), who_(who) {}

  // While it lives, this thread's epoll_ctl calls are handled as libev's.
  class Watch {
   public:
    explicit Watch(EpollRefusals& refusals) noexcept : outer_(current_) { current_ = &refusals; }
    ~Watch() { current_ = outer_; }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    EpollRefusals* outer_;
  };

  // While it lives, they are not, although libev is on the stack.
  class Aside {
   public:
    Aside() noexcept : outer_(current_) { current_ = nullptr; }
    ~Aside() { current_ = outer_; }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;

   private:
    EpollRefusals* outer_;
  };

  // How many calls came here. None after libev must have made one: libev calls another definition.
  std::size_t seen() const noexcept { return seen_; }
  // The epoll descriptor of the last call; -1: none came.
  int epoll() const noexcept { return epoll_; }

  // The object whose Watch lives; null: none.
  static EpollRefusals* current() noexcept { return current_; }
  // As epoll_ctl(2), for libev.
  int control(int epoll, int operation, int fd, epoll_event* event) noexcept;

 private:
  static constinit thread_local EpollRefusals* current_;

  const Refused refused_;
  void* const who_;
  std::size_t seen_ = 0;
  int epoll_ = -1;
};

}  // namespace aiofiber::runtime
