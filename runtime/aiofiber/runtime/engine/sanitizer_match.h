// SPDX-License-Identifier: Apache-2.0
//
// A link error with a remedy if a program and its aiofiber were built with different sanitizers.
//
// In sanitizer builds of aiofiber, each switch of stacks notifies AddressSanitizer or ThreadSanitizer. Other
// builds do not: the notes need members in Fiber and cost time at each switch. Without the notes a sanitizer
// reports false errors and aborts at the first throw. So each build defines a symbol, and every translation
// unit that sees a Fiber refers to the symbol of its own flags. The missing symbol's name is the remedy.
// Programs export the symbol, so the loader gives the same message for a plugin.
//
// A translation unit that includes none of these headers refers to no symbol. For it check_sanitizers() looks
// when a loop is made.
#pragma once

#include "aiofiber/runtime/engine/config.h"

#if AIOFIBER_ASAN
#define AIOFIBER_SANITIZER_MARK aiofiber_has_to_be_built_with_AIOFIBER_SANITIZE_address_as_this_program_is
#elif AIOFIBER_TSAN
#define AIOFIBER_SANITIZER_MARK aiofiber_has_to_be_built_with_AIOFIBER_SANITIZE_thread_as_this_program_is
#else
#define AIOFIBER_SANITIZER_MARK aiofiber_has_to_be_built_without_AIOFIBER_SANITIZE_as_this_program_is
#endif

extern "C" const char AIOFIBER_SANITIZER_MARK;

namespace aiofiber::runtime {

// One per program and mode: translation units of another mode have a variable of their own.
template <const char* Mark>
struct [[gnu::visibility("hidden")]] SanitizerMatch {
  [[gnu::used, gnu::visibility("hidden")]] static inline const char* const mark = Mark;
};
template struct SanitizerMatch<&AIOFIBER_SANITIZER_MARK>;

// Prints one line to stderr, once per process, if the process has a sanitizer that this build of aiofiber
// does not notify. Threads: any.
void check_sanitizers() noexcept;

}  // namespace aiofiber::runtime
