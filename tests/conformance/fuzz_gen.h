// SPDX-License-Identifier: Apache-2.0
//
// The generator of random task programs. The same seed gives the same bytes as python/fuzz_gen.py, so a
// report needs only a seed number. python/fuzz_interp.py describes the language.
#pragma once

#include <cstdint>
#include <string>

namespace conf {

std::string generate_program(std::uint64_t seed);

}  // namespace conf
