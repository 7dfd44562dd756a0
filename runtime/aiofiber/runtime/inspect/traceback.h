// SPDX-License-Identifier: Apache-2.0
//
// Stacks as text: the program's own frames in the format of a Python traceback.
//
// Turns raw addresses into frames, and leaves out aiofiber's frames and the standard library's code for
// calls. Everything that shows a stack uses this file. Threads: any. Not async-signal-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/call_list.h"
#include "aiofiber/runtime/inspect/symbolize.h"

namespace aiofiber::runtime {

// The calls of the code that runs now, as list_calls(): of its fiber, else of the thread. Inlined, so that
// the list begins with the caller. Async-signal-safe.
AIOFIBER_ALWAYS_INLINE std::size_t list_current_calls(std::span<std::uintptr_t> out) noexcept {
  return list_calls({current_registers(), current_stack_bounds(), current_coroutines(), nullptr, true}, out);
}

// Takes a list of calls, newest first. Returns the program's frames, OLDEST first; for a callback only those
// since its loop began to run. A suspended coroutine is a frame at its co_await. Reads debug information:
// keep hooks off meanwhile (HooksOff). Cached, see symbolize().
std::vector<SymbolizedFrame> program_frames(std::span<const std::uintptr_t> calls);

// The same for the calls of a fiber that began with the function at `entry` (0: not known). A function that
// ends in a tail call is not on the stack. So if no other frame is the program's own, `entry` is added as the
// first frame, provided that it is the program's own. Without calls (a fiber that never ran) it is always
// added.
std::vector<SymbolizedFrame> fiber_frames(std::span<const std::uintptr_t> calls, std::uintptr_t entry);

// Lines `  File "F", line N, in FUNCTION` with the source text below, each ended by a newline. A frame
// without debug information shows its module, the offset in it and the module's build id, for a look-up
// elsewhere. Frames that repeat more than three times in a row are counted instead. The last line says so
// when names are missing because libdw cannot be loaded.
std::string format_frames(std::span<const SymbolizedFrame> frames);
// The same without this last line, for reports of many stacks, and the line alone (empty: nothing to say).
std::string format_frames_only(std::span<const SymbolizedFrame> frames);
std::string missing_names_line();

}  // namespace aiofiber::runtime
