// SPDX-License-Identifier: Apache-2.0
//
// What happens to an exception in a frame, read from the function's exception table (LSDA) before a throw.
//
// g++'s tables say where nothing may pass. clang's do not, so the code of its handlers is checked. Code that
// wants to raise a cancellation in a frame asks here whether that would end the program.
#pragma once

#include <cstdint>
#include <typeinfo>

#include "inspect/call_frame.h"

namespace aiofiber::runtime {

enum class Fate {
  kNothing,        // no code of the frame runs
  kPasses,         // at most clean-ups run here
  kMayCatch,       // a handler for certain types; the exception's type is not known
  kCatches,        // a handler for everything, or for the exception's type
  kTerminates,     // std::terminate()
  kPassesOn,       // the handler is marked: it rethrows what it caught (PassesOn)
  kPassesOnOther,  // marked as a handler that may throw something else instead (PassesOnOther)
};

// What happens to an exception of type `thrown` (null: unknown) that arrives at `instruction` of the function
// that `table` describes. `cleanup`: if not null, set to the code of a clean-up without a handler, of which
// the table does not say how it ends; it should go on unwinding (is_terminating_cleanup()). Else set to 0.
Fate fate_in_frame(const FrameTable& table, std::uintptr_t instruction, const std::type_info* thrown,
                   std::uintptr_t* cleanup = nullptr);

}  // namespace aiofiber::runtime
