// SPDX-License-Identifier: Apache-2.0
//
// Finding libc's functions, and what is done once when the hooks are loaded.
#include "hooks/real.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "aiofiber/runtime/reactor.h"

namespace aiofiber::hooks::real {

void* resolve_symbol(const char* name) noexcept {
  void* symbol = ::dlsym(RTLD_NEXT, name);
  if (symbol != nullptr) return symbol;
  // write(2) is hooked here, and may be the very name that is missing: stdio does not go through it.
  std::fprintf(stderr, "aiofiber hooks: libc has no function '%s' (fully static program?)\n", name);
  std::abort();
}

namespace {

template <class... Functions>
void resolve_all(Functions&... functions) noexcept {
  (static_cast<void>(functions.resolve()), ...);
}

[[gnu::constructor]] void load_hooks() noexcept {
  resolve_all(read, write, readv, writev, recv, recvfrom, recvmsg, send, sendto, sendmsg, connect, accept,
              accept4, poll, ppoll, select, sleep, usleep, nanosleep, clock_nanosleep, getaddrinfo,
              getnameinfo, close, dup2, dup3, fclose, pclose, close_range, closefrom);
  runtime::Reactor::set_closes_are_reported(true);
}

}  // namespace
}  // namespace aiofiber::hooks::real
