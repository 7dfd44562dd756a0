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

void* resolve_symbol(const char* name, const char* version) noexcept {
  void* symbol = version != nullptr ? ::dlvsym(RTLD_NEXT, name, version) : nullptr;
  if (symbol == nullptr) symbol = ::dlsym(RTLD_NEXT, name);  // an architecture with one version only
  if (symbol != nullptr) return symbol;
  // write(2) is hooked here, and may be the very name that is missing: stdio does not go through it.
  std::fprintf(stderr, "aiofiber hooks: libc has no function '%s' (fully static program?)\n", name);
  std::abort();
}

namespace {

[[gnu::constructor]] void load_hooks() noexcept {
#define FUNCTION(name, ...) name.resolve();
#define VERSIONED_FUNCTION(name, version, ...) name.resolve();
#include "hooks/libc_functions.inc"
#undef FUNCTION
#undef VERSIONED_FUNCTION
  runtime::Reactor::set_closes_are_reported(true);
}

}  // namespace
}  // namespace aiofiber::hooks::real
