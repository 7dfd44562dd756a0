// SPDX-License-Identifier: Apache-2.0
//
// Makes a program and an aiofiber that disagree about sanitizers a link error that says what to do.
//
// The switch between stacks tells AddressSanitizer and ThreadSanitizer what it does, in builds of aiofiber
// for them only: the notes have members in Fiber, and the others would pay for them at each switch. Without
// the notes a sanitizer takes another stack for a corrupted one: false reports, and an abort at the first
// throw. So each build defines a symbol, and every translation unit that sees a Fiber refers to the one of
// its own flags. What the linker then misses is named as what is to be done. Programs export it, so the
// loader says the same of a plugin that they open.
//
// A translation unit that includes none of these headers refers to nothing: check_sanitizers() looks when a
// loop is made.
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

// One a program and mode: translation units of another mode have a variable of their own.
template <const char* Mark>
struct [[gnu::visibility("hidden")]] SanitizerMatch {
  [[gnu::used, gnu::visibility("hidden")]] static inline const char* const mark = Mark;
};
template struct SanitizerMatch<&AIOFIBER_SANITIZER_MARK>;

// Prints one line to stderr, once a process, when the process has a sanitizer that this build of aiofiber
// tells nothing. Threads: any.
void check_sanitizers() noexcept;

}  // namespace aiofiber::runtime
