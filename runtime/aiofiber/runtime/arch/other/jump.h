// SPDX-License-Identifier: Apache-2.0
//
// The raw jump from one stack to another, by a plain call of Boost.Context's jump_fcontext.
//
// Boost has it for every processor that Linux runs on, so fibers switch there. It is a little slower than a
// jump without a call: see x86_64/jump.h.
#pragma once

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/context_names.h"

namespace aiofiber::runtime {

// boost::context::detail::transfer_t, which only fiber.cc and stack.cc know: who left, and what it passed on.
struct Transfer {
  void* context;
  void* data;
};

// Not by Boost's own name in C++: sources that include its headers too would declare it twice.
extern "C" Transfer aiofiber_jump_fcontext(void* to, void* data) __asm__(AIOFIBER_JUMP_FCONTEXT);

AIOFIBER_ALWAYS_INLINE Transfer jump_to(void* to, void* data) { return aiofiber_jump_fcontext(to, data); }

}  // namespace aiofiber::runtime
