// SPDX-License-Identifier: Apache-2.0
//
// Calls that change a descriptor's settings: setsockopt and ioctl. They call libc's function, or ask the
// network of a simulated machine; what the hooks know of settings becomes void (core/known_settings.h).
// fcntl, which also locks files, is in files/file_locks.cc.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdarg>

#include "aiofiber/runtime/engine/network.h"
#include "hooks/core/act.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// The kernel has two numbers for each option, for two sizes of time_t.
bool is_time_limit(int level, int option) noexcept {
  if (level != SOL_SOCKET) return false;
  if (option == SO_RCVTIMEO || option == SO_SNDTIMEO) return true;
#if defined(SO_RCVTIMEO_OLD)
  if (option == SO_RCVTIMEO_OLD || option == SO_SNDTIMEO_OLD) return true;
#endif
#if defined(SO_RCVTIMEO_NEW)
  if (option == SO_RCVTIMEO_NEW || option == SO_SNDTIMEO_NEW) return true;
#endif
  return false;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int setsockopt(int fd, int level, int option, const void* value, socklen_t length) noexcept {
  const known_settings::Change change(is_time_limit(level, option));
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr) && act() != nullptr)
    return aiofiber::runtime::current_network->set_option(fd, level, option, value, length);
  return real::setsockopt(fd, level, option, value, length);
}

// All requests have at most one argument, a pointer or a number.
int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const known_settings::Change change(request == FIONBIO);
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr) && act() != nullptr) {
    const int done = aiofiber::runtime::current_network->control(fd, request, argument);
    if (done != aiofiber::runtime::Network::kIsNone) return done;
  }
  return real::ioctl(fd, request, argument);
}

}  // extern "C"
