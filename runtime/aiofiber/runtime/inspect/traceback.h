// SPDX-License-Identifier: Apache-2.0
//
// Stacks for readers: the program's own frames, and how they print.
//
// Raw addresses become frames here, without those of aiofiber itself and of the standard library's call
// machinery; the text has the look of a Python traceback. Everything that shows a stack goes through this
// file. Threads: any. Not async-signal-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/symbolize.h"

namespace aiofiber::runtime {

// Return addresses, newest first, to the program's frames, OLDEST first; of a callback
// those since its loop began to run. Reads debug information: keep hooks off meanwhile (HooksOff). Cached,
// see symbolize().
std::vector<SymbolizedFrame> program_frames(std::span<const std::uintptr_t> addresses);

// The same of the stack of a fiber that began with the function at `entry`, 0 if that is not known. A
// function that ends in a call is not on the stack while that waits, so where there is nothing else of the
// program's own, it comes first all the same, if it is the program's own. Of no addresses, of a fiber that
// never ran, it comes whatever it is.
std::vector<SymbolizedFrame> fiber_frames(std::span<const std::uintptr_t> addresses, std::uintptr_t entry);

// Lines `  File "F", line N, in FUNCTION` and the source's text below, each ended by a newline. A frame
// without debug information shows its module, the offset in it and the module's build id, by which it can be
// looked up elsewhere. What repeats more than three times in a row is counted instead.
std::string format_frames(std::span<const SymbolizedFrame> frames);

}  // namespace aiofiber::runtime
