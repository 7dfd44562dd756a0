// SPDX-License-Identifier: Apache-2.0
//
// The raw jump from one stack to another on AArch64: a plain call of Boost.Context's jump_fcontext.
//
// jump_fcontext leaves by a `ret`, so calls and returns stay paired in the CPU's return predictor. (On x86-64
// it leaves by a jump, so it is entered by a jump there.) It saves d8 to d15 and x19 to x30, which the
// procedure call standard asks of a function, but not FPCR: a rounding mode is the thread's, not the task's.
#pragma once

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/context_names.h"

namespace aiofiber::runtime {

// boost::context::detail::transfer_t (for fiber.cc and stack.cc only): the context that left, and its data.
struct Transfer {
  void* context;
  void* data;
};

// Boost's own C++ name is not used: sources that also include its headers would declare it twice.
extern "C" Transfer aiofiber_jump_fcontext(void* to, void* data) __asm__(AIOFIBER_JUMP_FCONTEXT);

AIOFIBER_ALWAYS_INLINE Transfer jump_to(void* to, void* data) { return aiofiber_jump_fcontext(to, data); }

}  // namespace aiofiber::runtime
