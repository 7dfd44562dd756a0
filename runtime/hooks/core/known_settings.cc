// SPDX-License-Identifier: Apache-2.0
//
// The table: half a megabyte of address space, of which a program touches what it uses.
#include "hooks/core/known_settings.h"

namespace aiofiber::hooks::known_settings::detail {

constinit std::atomic<std::uint64_t> entries[kDescriptors];
constinit std::atomic<std::uint64_t> age{1};

}  // namespace aiofiber::hooks::known_settings::detail
