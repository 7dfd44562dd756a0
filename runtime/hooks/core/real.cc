// SPDX-License-Identifier: Apache-2.0
//
// Finds libc's functions, and does what is needed once when the hooks are loaded.
#include "hooks/core/real.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "hooks/core/act.h"
#include "hooks/core/link_order.h"
#include "hooks/core/vforked_child.h"
#include "hooks/locks/lock_queue.h"
#include "hooks/stdio/stdio_switch.h"

extern "C" void* aiofiber_real_function(const char* name, const char* version) noexcept {
  using Finder = void* (*)(const char*, const char*);
  const auto next = reinterpret_cast<Finder>(::dlsym(RTLD_NEXT, "aiofiber_real_function"));
  if (next != nullptr) return next(name, version);
  void* symbol = version != nullptr ? ::dlvsym(RTLD_NEXT, name, version) : nullptr;
#if AIOFIBER_TSAN
  // ThreadSanitizer's own function has no version, and must see the call: a condition wait releases a mutex.
  Dl_info of_libc, of_first;
  void* const first = ::dlsym(RTLD_NEXT, name);
  if (symbol != nullptr && first != nullptr && ::dladdr(symbol, &of_libc) != 0 &&
      ::dladdr(first, &of_first) != 0 && of_libc.dli_fbase != of_first.dli_fbase)
    symbol = first;
#endif
  if (symbol == nullptr) symbol = ::dlsym(RTLD_NEXT, name);  // an architecture with one version only
  if (symbol == nullptr) {  // libc comes before the hooks (link_order.cc reports that)
    void* const libc = ::dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    if (libc != nullptr) symbol = version != nullptr ? ::dlvsym(libc, name, version) : ::dlsym(libc, name);
  }
  // RTLD_NEXT is relative to the caller of dlsym(). If the call became a jump, our caller would count as its
  // caller, and may be in another module.
  asm volatile("" : "+r"(symbol));
  return symbol;
}

namespace aiofiber::hooks::real {

void* resolve_symbol(const char* name, const char* version) noexcept {
  if (void* symbol = aiofiber_real_function(name, version)) return symbol;
  // write(2) is hooked here and may be the missing name. stdio does not use the hooked one.
  std::fprintf(stderr, "aiofiber hooks: libc has no function '%s' (fully static program?)\n", name);
  std::abort();
}

namespace {

// Each second name must belong to a name that has a pointer here.
#define SECOND_NAME(when, name, of) static_assert(std::is_class_v<decltype(real::of)>);
#include "hooks/core/hooked_names.inc"

[[gnu::constructor]] void load_hooks() noexcept {
#define HOOK(when, name, ...) name.resolve();
#define HOOK_OF_VERSION(when, name, version, ...) name.resolve();
#include "hooks/core/hooked_names.inc"
  const bool in_use = check_link_order();
  if (!stands_aside) {  // else the program's runtime is another one and is left alone
    runtime::Reactor::set_closes_are_reported(true);
    forget_lock_waiters_at_fork();
    note_process_at_fork();
  }
  if (in_use) enable_stdio_if_wanted();
}

// The registry may be in the program, which stays when this library is unloaded.
[[gnu::destructor]] void unload_hooks() noexcept {
  if (!stands_aside) runtime::forget_fork_handlers(&aiofiber_this_module);
}

}  // namespace
}  // namespace aiofiber::hooks::real
