// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <aiofiber/runtime/engine/config.h>

namespace aiofiber::runtime {

// Called by the last owner of a thrown exception, before it destroys `object`: what the other owners did
// comes before. Only ThreadSanitizer has to be told.
#if AIOFIBER_TSAN
void hear_exception_owners(void* object) noexcept;
#else
inline void hear_exception_owners(void*) noexcept {}
#endif

}  // namespace aiofiber::runtime
