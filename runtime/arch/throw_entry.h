// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give to record where exceptions are thrown: __cxa_throw, by that name and as
// __wrap___cxa_throw.
//
// It takes the thrower's registers as they are at the call, asks capture_throw(), and goes on to `real` with
// the same object and type and the given destructor. It leaves by a jump, so that no frame of ours stands
// between the thrower and the C++ runtime. An architecture may leave __cxa_throw alone: then no throw has a
// trace.
#pragma once

#include <typeinfo>

#include "aiofiber/runtime/arch/arch.h"

extern "C" void __wrap___cxa_throw(void* object, std::type_info* type, void (*destructor)(void*));

namespace aiofiber::runtime {

using Destructor = void (*)(void*);
using ThrowFunction = void (*)(void*, std::type_info*, Destructor);

// How a throw goes on.
struct ThrowContinuation {
  Destructor destructor;
  ThrowFunction real;  // the C++ runtime's __cxa_throw
};

// Records the stack of the thrower, where that is wanted (throw_trace.cc). Hidden: each copy of the runtime
// in a process has to go on to what is behind it, not behind the program's.
__attribute__((visibility("hidden"))) ThrowContinuation capture_throw(void* object, Destructor destructor,
                                                                      const Registers& thrower) noexcept;

}  // namespace aiofiber::runtime
