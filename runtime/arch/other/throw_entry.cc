// SPDX-License-Identifier: Apache-2.0
//
// __cxa_throw is left alone. A program that is linked with --wrap=__cxa_throw all the same throws as ever.
#include "arch/throw_entry.h"

extern "C" void __wrap___cxa_throw(void* object, std::type_info* type, void (*destructor)(void*)) {
  const auto [kept, real] = aiofiber::runtime::capture_throw(object, destructor, {});
  real(object, type, kept);
}
