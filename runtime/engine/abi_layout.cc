// SPDX-License-Identifier: Apache-2.0
//
// The runtime's mark.
#include "aiofiber/runtime/engine/abi_layout.h"

namespace aiofiber::runtime {

constinit const AbiMark abi_mark = compiled_abi(AIOFIBER_VERSION);

}  // namespace aiofiber::runtime
