// SPDX-License-Identifier: Apache-2.0
//
// The rules of an unknown processor: there are none.
#include "arch/frame_rule.h"

namespace aiofiber::runtime {

Row compile_row(std::uintptr_t) { return {}; }

}  // namespace aiofiber::runtime
