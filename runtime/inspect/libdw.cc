// SPDX-License-Identifier: Apache-2.0
//
// Opens libdw, once. A failure for lack of descriptors or memory is not remembered: whoever asks next tries
// again.
#include "inspect/libdw.h"

#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "aiofiber/runtime/engine/static_program.h"

// A reference that does not need a definition, and does not make the linker search for one.
extern "C" __attribute__((weak)) const aiofiber::runtime::LibDw* aiofiber_linked_libdw() noexcept;

namespace aiofiber::runtime {
namespace {

constexpr char kLibrary[] = "libdw.so.1";  // its only name since elfutils 0.130

constinit std::atomic<const LibDw*> g_functions{nullptr};
constinit std::mutex g_opening;
constinit std::atomic<bool> g_is_hopeless{false};
const char* g_missing = nullptr;  // the first function that the library does not have; guarded by g_opening
std::string* g_trouble =
    nullptr;  // never destroyed, as reports are written to the very end; guarded by g_opening

// The loader's message ends with the text of the error.
bool may_pass(const std::string& trouble) {
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    char buffer[128];
    if (trouble.find(::strerror_r(error, buffer, sizeof buffer)) != std::string::npos) return true;
  }
  return false;
}

template <class Function>
void find(void* library, const char* name, Function& function) noexcept {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr && g_missing == nullptr) g_missing = name;
}

// With g_opening held.
const LibDw* open(std::string& trouble) {
  if (aiofiber_linked_libdw != nullptr) return aiofiber_linked_libdw();
  if (program_is_static()) {
    trouble =
        "this static program was linked without libdw. Link it with what `pkg-config --static --libs "
        "aiofiber` says, or with CMake's target aiofiber::libdw";
    return nullptr;
  }
  // Bound at once: the loader's work is not left for a look-up on a small stack.
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* const why = ::dlerror();
    trouble = std::string(why != nullptr ? why : kLibrary) + ". It is elfutils' (Debian: libdw1)";
    return nullptr;
  }
  static LibDw table;
  g_missing = nullptr;
#define AIOFIBER_LIBDW_FIND(name) find(library, #name, table.name);
  AIOFIBER_LIBDW_FUNCTIONS(AIOFIBER_LIBDW_FIND)
#undef AIOFIBER_LIBDW_FIND
  if (g_missing == nullptr) return &table;
  trouble = std::string(kLibrary) + " has no function " + g_missing + ". It is elfutils' (Debian: libdw1)";
  return nullptr;
}

}  // namespace

bool open_libdw() noexcept {
  if (g_functions.load(std::memory_order_acquire) != nullptr) return true;
  if (g_is_hopeless.load(std::memory_order_relaxed)) return false;
  const std::lock_guard lock(g_opening);
  if (g_functions.load(std::memory_order_relaxed) != nullptr) return true;
  try {
    std::string trouble;
    const LibDw* const functions = open(trouble);
    if (functions == nullptr && !may_pass(trouble)) g_is_hopeless.store(true, std::memory_order_relaxed);
    if (g_trouble == nullptr) g_trouble = new std::string;
    *g_trouble = std::move(trouble);
    g_functions.store(functions, std::memory_order_release);
    return functions != nullptr;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void hold_opening_of_libdw() noexcept { g_opening.lock(); }
void release_opening_of_libdw() noexcept { g_opening.unlock(); }

const LibDw& libdw() noexcept {
  const LibDw* functions = g_functions.load(std::memory_order_acquire);
  if (functions == nullptr) [[unlikely]] {
    open_libdw();
    functions = g_functions.load(std::memory_order_acquire);
  }
  return *functions;
}

std::string libdw_trouble() {
  const std::lock_guard lock(g_opening);
  return g_trouble != nullptr ? *g_trouble : std::string();
}

}  // namespace aiofiber::runtime
