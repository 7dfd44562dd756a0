// SPDX-License-Identifier: Apache-2.0
//
// Compares the marks. A runtime that is older than the mark has none. Then the mark found is this library's
// own, but the registry, which every runtime exports, is the program's.
#include "hooks/core/abi_match.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "aiofiber/runtime/engine/abi_layout.h"
#include "hooks/core/act.h"

namespace aiofiber::hooks {

namespace {

const void* module_of(const void* address) noexcept {
  Dl_info info{};
  return ::dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

}  // namespace

bool match_runtime(bool warns) {
  const runtime::AbiMark& found = runtime::abi_mark;
  constexpr runtime::AbiMark own = runtime::compiled_abi(AIOFIBER_VERSION);
  const bool marked = module_of(&found) == module_of(&aiofiber_debug_registry);
  if (marked && found == own) return true;
  stands_aside = true;
  if (warns) {
    const bool same_number = marked && std::strcmp(found.version, own.version) == 0;
    std::fprintf(
        stderr,
        "aiofiber hooks: these hooks are of aiofiber %s, the program's runtime is of %s%s: they stand aside, "
        "and "
        "calls block the thread. Use the libaiofiber_hooks.so that belongs to the program's aiofiber. "
        "AIOFIBER_HOOKS_QUIET=1 silences this.\n",
        own.version, marked ? found.version : "an older one", same_number ? ", built otherwise" : "");
  }
  return false;
}

}  // namespace aiofiber::hooks
