// SPDX-License-Identifier: Apache-2.0
//
// Calls that make descriptors and never wait: socket, pipe, eventfd and so on. They call libc's function and
// tell debug mode which task made the descriptor (core/descriptor_notes.h).
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "aiofiber/runtime/engine/network.h"
#include "hooks/core/act.h"
#include "hooks/core/descriptor_notes.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// `result`: of a call that makes two descriptors.
int noted_pair(int result, const int* fds) noexcept {
  if (result == 0) {
    noted_opened(fds[0]);
    noted_opened(fds[1]);
  }
  return result;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int socket(int domain, int type, int protocol) noexcept {
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr) && act() != nullptr)
    return noted_opened(aiofiber::runtime::current_network->socket(domain, type, protocol));
  return noted_opened(real::socket(domain, type, protocol));
}
int socketpair(int domain, int type, int protocol, int fds[2]) noexcept {
  return noted_pair(real::socketpair(domain, type, protocol, fds), fds);
}
int pipe(int fds[2]) noexcept { return noted_pair(real::pipe(fds), fds); }
int pipe2(int fds[2], int flags) noexcept { return noted_pair(real::pipe2(fds, flags), fds); }

int epoll_create(int size) noexcept { return noted_opened(real::epoll_create(size)); }
int epoll_create1(int flags) noexcept { return noted_opened(real::epoll_create1(flags)); }
int eventfd(unsigned count, int flags) noexcept { return noted_opened(real::eventfd(count, flags)); }
int timerfd_create(clockid_t clock, int flags) noexcept {
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr) && act() != nullptr)
    return noted_opened(aiofiber::runtime::current_network->timer(clock, flags));
  return noted_opened(real::timerfd_create(clock, flags));
}
int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
  return noted_opened(real::signalfd(fd, mask, flags));
}
int inotify_init() noexcept { return noted_opened(real::inotify_init()); }
int inotify_init1(int flags) noexcept { return noted_opened(real::inotify_init1(flags)); }
int memfd_create(const char* name, unsigned flags) noexcept {
  return noted_opened(real::memfd_create(name, flags));
}

}  // extern "C"
