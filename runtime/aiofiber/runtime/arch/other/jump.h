// SPDX-License-Identifier: Apache-2.0
//
// The raw jump from one stack to another, by a plain call of Boost.Context's jump_fcontext.
//
// Boost has jump_fcontext for every processor that Linux runs on, so fibers switch there. The call is a
// little slower than a jump without a call: see x86_64/jump.h.
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
