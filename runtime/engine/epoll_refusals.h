// SPDX-License-Identifier: Apache-2.0
//
// Which descriptors the kernel refuses to watch while libev polls, and why.
//
// libev tells the kernel of its watchers when it polls, and it is an assertion of its own that the
// descriptors are open then: when another thread has closed one it ends the process, and so it does for one
// that the kernel never watches (ELOOP: an epoll of epolls that is too deep; EINVAL). Of other errors it
// stops the watcher without saying which it was. No look beforehand helps, since the close may come behind
// the look. So the runtime has an epoll_ctl of its own, which a program's libev finds before libc's. While a
// reactor polls, it notes what was refused and tells libev of an error that it does not die of; else it is
// libc's. Not where something else of the program defines epoll_ctl, or libev was bound to libc's before (a
// runtime in a library that dlopen() has brought): seen() says so, and descriptors are looked at beforehand
// as well as it goes. Threads: an object is used by one at a time.
#pragma once

#include <sys/epoll.h>

#include <cstddef>

namespace aiofiber::runtime {

class EpollRefusals {
 public:
  using Refused = void (*)(void* who, int fd, int error) noexcept;
  EpollRefusals(Refused refused, void* who) noexcept : refused_(refused), who_(who) {}

  // While it lives, this thread's calls of epoll_ctl are libev's.
  class Watch {
   public:
    explicit Watch(EpollRefusals& refusals) noexcept : outer_(current_) { current_ = &refusals; }
    ~Watch() { current_ = outer_; }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    EpollRefusals* outer_;
  };

  // While it lives, they are not, though libev is further down on the stack.
  class Aside {
   public:
    Aside() noexcept : outer_(current_) { current_ = nullptr; }
    ~Aside() { current_ = outer_; }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;

   private:
    EpollRefusals* outer_;
  };

  // How many calls came here: none though libev must have made one means that libev's go past.
  std::size_t seen() const noexcept { return seen_; }

  // The one whose Watch lives; null: none.
  static EpollRefusals* current() noexcept { return current_; }
  // As epoll_ctl(2), for libev.
  int control(int epoll, int operation, int fd, epoll_event* event) noexcept;

 private:
  static constinit thread_local EpollRefusals* current_;

  const Refused refused_;
  void* const who_;
  std::size_t seen_ = 0;
};

}  // namespace aiofiber::runtime
