// SPDX-License-Identifier: Apache-2.0
//
// The command line that repeats a run, and the environment's seed.
//
// The two belong together: what the first one prints, the second one reads. Both look at the process, so they
// work wherever the test was started.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace aiofiber::testing::detail {

// "AIOFIBER_SEED=42 ./program --option": this process's own command, quoted for a shell.
std::string repro_command(std::uint64_t seed);
// AIOFIBER_SEED, decimal or 0x...; absent: not set. Errors: ValueError, it is no number.
std::optional<std::uint64_t> seed_of_environment();

}  // namespace aiofiber::testing::detail
