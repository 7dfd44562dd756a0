// SPDX-License-Identifier: Apache-2.0
//
// __cxa_throw is not replaced. A program linked with --wrap=__cxa_throw still throws as usual.
#include "arch/throw_entry.h"

extern "C" void __wrap___cxa_throw(void* object, std::type_info* type, void (*destructor)(void*)) {
  const auto [kept, real] = aiofiber::runtime::capture_throw(object, destructor, {});
  real(object, type, kept);
}
