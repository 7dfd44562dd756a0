// SPDX-License-Identifier: Apache-2.0
//
// The rule for an unknown processor: no frame has a caller.
//
// So a walk ends after its first frame. Usually there is not even one, because no function here returns
// registers.
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
