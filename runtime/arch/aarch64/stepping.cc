// SPDX-License-Identifier: Apache-2.0
//
// AArch64 cannot step (kCanStep): a program has no flag that stops itself after one instruction. Nothing here
// is called.
#include "arch/stepping.h"

namespace aiofiber::runtime::arch {

MemoryAccess memory_access(const void*) noexcept { return {}; }
void set_stepping(void*, bool) noexcept {}
RefusedCall refused_call(const void*) noexcept { return {}; }
void answer_call(void*, std::intptr_t) noexcept {}
void repeat_call(void*, std::intptr_t) noexcept {}
std::intptr_t raw_call(std::intptr_t, const RefusedCall&) noexcept { return -1; }

}  // namespace aiofiber::runtime::arch
