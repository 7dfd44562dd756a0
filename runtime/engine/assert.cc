// SPDX-License-Identifier: Apache-2.0
//
// Uses write(2) alone, because the heap or stdio may be broken.
#include "aiofiber/runtime/engine/assert.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace aiofiber::runtime {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  char text[512];
  const int length =
      std::snprintf(text, sizeof text, "aiofiber: broken invariant: %s (%s:%d)\n", expression, file, line);
  if (length > 0) {
    // tidy-allow(syscall): a broken invariant is reported even when a test makes calls fail
    const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
    static_cast<void>(written);
  }
  std::abort();
}

}  // namespace aiofiber::runtime
