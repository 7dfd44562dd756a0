// SPDX-License-Identifier: Apache-2.0
//
// Checks that the program calls the hooks. They work only if they come first in the loader's order of
// symbols. A link line can change that order without any error: then calls block the thread without a
// message. So the order is checked once, when the hooks are loaded. A problem is reported in one line on
// stderr with the remedy. AIOFIBER_HOOKS_QUIET=1 silences it.
//
// A library opened with RTLD_DEEPBIND bypasses the hooks. This shows only in a process that has it
// (`aiofiber hooks --check PID`).
#include "hooks/core/link_order.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/inspect/registry_abi.h"
#include "hooks/core/abi_match.h"
#include "hooks/core/abseil.h"

extern "C" aiofiber_registry aiofiber_debug_registry;

namespace aiofiber::hooks {

namespace {

constexpr const char* kHookedNames[] = {
#define HOOKED_NAME(when, name) name,
#include "hooks/core/hooked_names.inc"
};

bool contains(const dl_phdr_info& module, const void* address) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = module.dlpi_phdr[i];
    const std::uintptr_t start = module.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && at >= start && at - start < segment.p_memsz) return true;
  }
  return false;
}

// The module that contains these hooks.
struct OwnModule {
  OwnModule() noexcept {
    dl_iterate_phdr(
        [](dl_phdr_info* module, std::size_t, void* self) {
          if (!contains(*module, &kHookedNames)) return 0;
          static_cast<OwnModule*>(self)->info = *module;
          return 1;
        },
        this);
  }
  bool has(const void* address) const noexcept { return contains(info, address); }
  dl_phdr_info info{};
};

// The registry that a module's note leads to; null if it has no note.
const void* registry_of(const dl_phdr_info& module) noexcept {
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = module.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE || segment.p_align == 8) continue;
    const auto* at = reinterpret_cast<const char*>(module.dlpi_addr + segment.p_vaddr);
    const char* const end = at + segment.p_memsz;
    while (end - at >= static_cast<std::ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const char* const name = at + sizeof note;
      const char* const content = name + ((note.n_namesz + 3u) & ~3u);
      if (note.n_namesz == sizeof "aiofiber" && std::memcmp(name, "aiofiber", sizeof "aiofiber") == 0) {
        std::int64_t distance;
        std::memcpy(&distance, content, sizeof distance);
        return content + distance;
      }
      at = content + ((note.n_descsz + 3u) & ~3u);
    }
  }
  return nullptr;
}

// Whether the program has its own runtime, which these hooks do not use: then they see none of its tasks.
bool program_has_another_runtime() noexcept {
  bool another = false;
  dl_iterate_phdr(
      [](dl_phdr_info* program, std::size_t, void* result) {  // the first module is the program
        const void* registry = registry_of(*program);
        *static_cast<bool*>(result) = registry != nullptr && registry != &aiofiber_debug_registry;
        return 1;
      },
      &another);
  return another;
}

void warn_of_names(const OwnModule& own) {
  constexpr int kMostShown = 3;
  std::string names;
  const void* first = nullptr;
  int count = 0;
  for (const char* name : kHookedNames) {
    const void* symbol = dlsym(RTLD_DEFAULT, name);
    if (symbol == nullptr || own.has(symbol)) continue;  // null: in no library, so only the program calls it
    if (count++ == 0) first = symbol;
    if (count <= kMostShown) names += (count > 1 ? ", " : "") + std::string(name);
  }
  if (count == 0) return;
  Dl_info where{};
  const char* file =
      dladdr(first, &where) != 0 && where.dli_fname != nullptr ? where.dli_fname : "another library";
  std::fprintf(
      stderr,
      "aiofiber hooks: %d of %zu names (%s%s) are %s's: calls of them block the thread. Link the hooks "
      "before "
      "every other library, and export their names from the program (the target aiofiber::hooks does), or "
      "set LD_PRELOAD=libaiofiber_hooks.so. AIOFIBER_HOOKS_QUIET=1 silences this.\n",
      count, std::size(kHookedNames), names.c_str(), count > kMostShown ? ", ..." : "", file);
}

}  // namespace

bool check_link_order() {
  const char* quiet = ::secure_getenv("AIOFIBER_HOOKS_QUIET");
  const bool warns = quiet == nullptr || *quiet == '\0' || std::strcmp(quiet, "0") == 0;
  const OwnModule own;
  const void* leader = dlsym(RTLD_DEFAULT, "aiofiber_real_function");
  if (leader != nullptr && !own.has(leader))
    return false;  // another copy of the hooks comes first and makes the check
  if (!match_runtime(warns)) return false;
  if (program_has_another_runtime()) {
    if (warns)
      std::fputs(
          "aiofiber hooks: the program has an aiofiber runtime of its own and does not export it, so its "
          "tasks "
          "are "
          "unknown to the preloaded hooks: nothing suspends. Link the program through the target "
          "aiofiber::runtime, or "
          "with "
          "-Wl,--export-dynamic-symbol='*8aiofiber7runtime*',--export-dynamic-symbol=aiofiber_debug_registry."
          " "
          "AIOFIBER_HOOKS_QUIET=1 silences this.\n",
          stderr);
    return false;
  }
  if (warns) warn_of_names(own);
  return true;
}

}  // namespace aiofiber::hooks
