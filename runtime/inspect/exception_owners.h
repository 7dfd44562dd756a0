// SPDX-License-Identifier: Apache-2.0
//
// The last owner of an exception destroys it after all that the other owners did. The processor knows, by
// the exception's count; ThreadSanitizer has to be told.
#pragma once

#include <aiofiber/runtime/engine/config.h>

namespace aiofiber::runtime {

// Called by the last owner of a thrown exception, before it destroys `object`.
#if AIOFIBER_TSAN
void hear_exception_owners(void* object) noexcept;
#else
inline void hear_exception_owners(void*) noexcept {}
#endif

}  // namespace aiofiber::runtime
