// SPDX-License-Identifier: Apache-2.0
//
// What ThreadSanitizer must know of the owners of an exception. An exception is counted: each exception_ptr
// and each handler owns it, and the last one that lets go destroys it. So all that any owner did comes before
// the destruction. But libstdc++ counts inside its shared library, where ThreadSanitizer sees nothing, and it
// would report a race between what() on one thread and the destruction on another. Here each owner says that
// it lets go. destroy_with_record() (throw_trace.cc) hears it: the C++ runtime calls that at the destruction.
#include "inspect/exception_owners.h"

#if AIOFIBER_TSAN

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <exception>

#define AIOFIBER_RELEASE "_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv"

namespace aiofiber::runtime {

void hear_exception_owners(void* object) noexcept { __tsan_acquire(object); }

namespace {

// The definition behind ours.
template <typename Function>
Function* next_definition(const char* name) noexcept {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// exception_ptr::_M_release(): the exception_ptr at `owner`, which is not null, lets go.
extern "C" void aiofiber_release_exception(void** owner) noexcept asm(AIOFIBER_RELEASE);
extern "C" void aiofiber_release_exception(void** owner) noexcept {
  static auto* const release = next_definition<void(void**)>(AIOFIBER_RELEASE);
  __tsan_release(*owner);
  release(owner);
}

// The end of a handler.
extern "C" void __cxa_end_catch() {
  static auto* const end_catch = next_definition<void()>("__cxa_end_catch");
  std::current_exception();  // the temporary lets go as above, for the handler too
  end_catch();
}

}  // namespace aiofiber::runtime

#endif
