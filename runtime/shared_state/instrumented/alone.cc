// SPDX-License-Identifier: Apache-2.0
//
// Looks for a name that only the library of a sanitizer has. The compilers link one if -fsanitize= is among
// the options of the link: a Makefile that gives the options of the compiler to the linker, too.
//
// gcc links shared libraries, and clang archives. The linker refuses clang's ThreadSanitizer, because it has
// the names of callbacks.cc once more; the others are found here.
#include "shared_state/instrumented/alone.h"

#include <stdlib.h>

#include <cstddef>

#include "aiofiber/runtime/engine/syscall.h"

extern "C" {
__attribute__((weak)) void __asan_init();
__attribute__((weak)) void __hwasan_init();
__attribute__((weak)) void __lsan_init();
__attribute__((weak)) void __msan_init();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);  // not __tsan_init(), which is ours
}

namespace aiofiber::runtime::shared_state {

namespace {

// Ready-made, because the library that is one too many has taken the functions of strings, and is not ready.
template <std::size_t kBytes>
[[noreturn]] void refuse(const char (&text)[kBytes]) noexcept {
  sys::write_all(2, text, kBytes - 1);
  ::_Exit(1);  // without what would run at an exit(): nothing has started
}

}  // namespace

#define AIOFIBER_REFUSE(library, option)                                                                 \
  refuse("aiofiber: this program links both aiofiber::instrumented and " library                         \
         ", which cannot be in one program: to search for shared state, leave -fsanitize=" option        \
         " out of the options of the link, or put -fno-sanitize=" option " behind them; to use " library \
         ", link a program of its own without aiofiber::instrumented.\n")

void insist_on_being_alone() noexcept {
  if (&__tsan_create_fiber != nullptr) AIOFIBER_REFUSE("ThreadSanitizer", "thread");
  if (&__asan_init != nullptr) AIOFIBER_REFUSE("AddressSanitizer", "address");
  if (&__hwasan_init != nullptr) AIOFIBER_REFUSE("HWAddressSanitizer", "hwaddress");
  if (&__msan_init != nullptr) AIOFIBER_REFUSE("MemorySanitizer", "memory");
  if (&__lsan_init != nullptr) AIOFIBER_REFUSE("LeakSanitizer", "leak");
}

}  // namespace aiofiber::runtime::shared_state
