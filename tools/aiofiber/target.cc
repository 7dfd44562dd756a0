// SPDX-License-Identifier: Apache-2.0
//
// The common part of processes and cores: single reads.
#include "target.h"

namespace aiofiber::tool {

Target::~Target() = default;

bool Target::read(std::uint64_t address, void* into, std::size_t bytes) {
  Range range{address, into, bytes, false};
  read_in_order({&range, 1}, 1);
  return range.complete;
}

}  // namespace aiofiber::tool
