// SPDX-License-Identifier: Apache-2.0
//
// The symbol of this build, and the check for sanitizers in translation units without aiofiber's headers.
#include "aiofiber/runtime/engine/sanitizer_match.h"

#include <atomic>
#include <cstdio>

extern "C" constexpr char AIOFIBER_SANITIZER_MARK = 1;

// The init function of each sanitizer's library; null in a program without it.
extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();
// It has another meaning in a program that is instrumented for the search for shared state.
extern "C" __attribute__((weak)) const char aiofiber_instrumented;

namespace aiofiber::runtime {

namespace {

void report(const char* sanitizer, const char* option, const char* else_do) noexcept {
  std::fprintf(stderr,
               "aiofiber: this program runs under %s, which its aiofiber was not built for: it takes a "
               "task's stack for a "
               "corrupted one. Expect false reports, and an abort at the first throw. Build aiofiber with "
               "-DAIOFIBER_SANITIZE=%s, and link with that.%s\n",
               sanitizer, option, else_do);
}

}  // namespace

void check_sanitizers() noexcept {
  static constinit std::atomic<bool> looked{false};
  if (looked.exchange(true, std::memory_order_relaxed)) return;
  if (!AIOFIBER_ASAN && &__asan_init != nullptr) report("AddressSanitizer", "address", "");
  if (!AIOFIBER_TSAN && &__tsan_init != nullptr && &aiofiber_instrumented == nullptr)
    report("ThreadSanitizer", "thread",
           " Or, if it was compiled for the search for shared state: link aiofiber::instrumented, and leave "
           "-fsanitize=thread out of the options of the link.");
}

}  // namespace aiofiber::runtime
