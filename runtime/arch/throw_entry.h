// SPDX-License-Identifier: Apache-2.0
//
// What an architecture must give to record where exceptions are thrown: definitions of __cxa_throw and of
// __wrap___cxa_throw.
//
// They read the thrower's registers at the call and call capture_throw(). Then they jump to `real` with the
// same object and type and the returned destructor. The jump leaves no frame of ours between the thrower and
// the C++ runtime. An architecture may leave __cxa_throw alone: then throws have no trace.
#pragma once

#include <typeinfo>

#include "aiofiber/runtime/arch/arch.h"

extern "C" void __wrap___cxa_throw(void* object, std::type_info* type, void (*destructor)(void*));

namespace aiofiber::runtime {

using Destructor = void (*)(void*);
using ThrowFunction = void (*)(void*, std::type_info*, Destructor);

// How to continue a throw.
struct ThrowContinuation {
  Destructor destructor;
  ThrowFunction real;  // the C++ runtime's __cxa_throw
};

// Records the thrower's stack if recording is on (throw_trace.cc). Hidden: each copy of the runtime in a
// process must continue with the next __cxa_throw after its own, not after the program's.
__attribute__((visibility("hidden"))) ThrowContinuation capture_throw(void* object, Destructor destructor,
                                                                      const Registers& thrower) noexcept;

}  // namespace aiofiber::runtime
