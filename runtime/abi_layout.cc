// SPDX-License-Identifier: Apache-2.0
//
// The mark itself.
#include "aiofiber/runtime/abi_layout.h"

namespace aiofiber::runtime {

const AbiMark abi_mark = kCompiledAbi;

}  // namespace aiofiber::runtime
