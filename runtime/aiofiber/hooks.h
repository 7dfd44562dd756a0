// SPDX-License-Identifier: Apache-2.0
//
// What a program says to the hooks.
//
// Two things: where they are not to act (Disable), and whether they take stdio too (enable_stdio). Both may be
// said in a program without hooks.
#pragma once

#include <cstdio>

#include "aiofiber/runtime/fiber.h"

// Null: stdio suspends tasks. Else why it does not. Weak: null itself in a program without hooks.
extern "C" [[gnu::weak]] const char* aiofiber_enable_stdio() noexcept;

namespace aiofiber::hooks {

// For as long as it lives, the hooked libc calls of the current task are libc's own: for code that must not be
// suspended in the middle, because it holds a lock that another task of this thread may want, or is part of an allocator
// or a logger. Such a call then blocks the whole thread, as it would in any program. Scopes nest. Outside a task it does nothing.
// Lifetime: a local of the task; must be destroyed on the fiber that made it.
using Disable = runtime::HooksOff;

// From now on stdio suspends tasks: fgets, fread, fscanf, fprintf, fflush and the like on a FILE over a socket, a pipe or
// a terminal, but for stdin, stdout and stderr, which never do. The same as AIOFIBER_STDIO=1 in the environment.
// It replaces operations inside libc, so it looks first whether libc is as it must be, and tries afterwards. True: it is
// on, maybe since earlier. False: something is not as expected, stdio is libc's own as before, and a line on
// stderr says why. Threads: any, at any time. Does not suspend. See runtime/hooks/README.md.
inline bool enable_stdio() noexcept {
  const char* refusal = aiofiber_enable_stdio != nullptr
                            ? aiofiber_enable_stdio()
                            : "the program has no hooks: link the target aiofiber::hooks, or preload libaiofiber_hooks.so";
  if (refusal != nullptr) std::fprintf(stderr, "aiofiber hooks: stdio goes on blocking the thread: %s\n", refusal);
  return refusal == nullptr;
}

}  // namespace aiofiber::hooks
