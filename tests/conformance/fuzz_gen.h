// SPDX-License-Identifier: Apache-2.0
//
// The generator of random task programs: the same seed gives the same bytes as python/fuzz_gen.py, so a seed
// number is all that a report needs. The language is described in python/fuzz_interp.py.
#pragma once

#include <cstdint>
#include <string>

namespace conf {

std::string generate_program(std::uint64_t seed);

}  // namespace conf
