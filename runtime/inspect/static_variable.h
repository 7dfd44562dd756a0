// SPDX-License-Identifier: Apache-2.0
//
// Which memory is a variable of the program: found by name, and whether a range of memory can be one.
//
// Names come from the symbol tables of all loaded modules. Exported names are in every module; names of
// static variables, also those in functions, only where the file or its debug file has a full table.
// Threads: any. Not async-signal-safe; keep hooks off meanwhile (HooksOff).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace aiofiber::runtime {

struct StaticVariable {
  std::uintptr_t address = 0;
  std::size_t bytes = 0;
};

// The variable that the source calls `name`: `cache`, `app::cache`; for a static in a function, its own name.
// The symbol's own spelling (`cache.0`) works too, and is what to write if a function has several. `FILE:` or
// `MODULE:` before it chooses among several: `http.c:cache`, `libfoo.so.1:cache`. Of an exported name, the
// variable that the loader binds is taken.
// Errors: std::system_error. ENOENT: there is none. ENOTUNIQ: there are several. ENOTSUP: a thread_local.
// EFAULT: a function, or a symbol without a size.
StaticVariable find_static_variable(std::string_view name);

// Why a range of memory cannot be a variable that is written.
struct MemoryRefusal {
  int error = 0;  // 0: it can
  std::string why = {};
};
// Without /proc, only thread_locals of the calling thread are found.
MemoryRefusal refuse_as_variable(const void* begin, std::size_t bytes);

// The module that contains the address is not unloaded any more. Nothing, if there is none.
void keep_module_loaded(const void* address) noexcept;

}  // namespace aiofiber::runtime
