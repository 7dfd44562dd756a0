// SPDX-License-Identifier: Apache-2.0
//
// The rule for a processor of which nothing is known: no frame has a caller.
//
// So a walk ends after its first frame, if it is given registers at all: none of the functions that tell
// registers knows any.
#pragma once

#include "arch/frame_rule.h"

namespace aiofiber::runtime {

struct Row {
  std::uint64_t unused = 0;
};

template <class Memory>
inline Step step_by(Row, Registers&, std::uintptr_t, const Memory&) {
  return Step::kNoTable;
}

}  // namespace aiofiber::runtime
