// SPDX-License-Identifier: Apache-2.0
//
// Brings libc_names.cc into a program that uses a Simulation.
//
// The linker leaves out an archive's file that nobody names. So a program that uses no Simulation keeps
// libc's clock_gettime() and so on.
#pragma once

namespace aiofiber::testing::detail {

void keep_libc_names() noexcept;

}  // namespace aiofiber::testing::detail
