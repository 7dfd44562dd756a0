// SPDX-License-Identifier: Apache-2.0
//
// The last owner of an exception destroys it, after all that the other owners did with it. The exception's
// count sees to that. ThreadSanitizer does not see the count, so it has to be told; for everything else, this
// file is empty.
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
