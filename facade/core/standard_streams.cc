// SPDX-License-Identifier: Apache-2.0
//
// The objects by their linkage names, because only <iostream> declares them.
#include "core/standard_streams.h"

#include <ostream>

namespace aiofiber::detail {

extern std::ostream cout_object __asm__("_ZSt4cout");
extern std::ostream cerr_object __asm__("_ZSt4cerr");

namespace {

void initialize_streams() { static const std::ios_base::Init initialized; }

}  // namespace

std::ostream& standard_output() {
  initialize_streams();
  return cout_object;
}

std::ostream& standard_error() {
  initialize_streams();
  return cerr_object;
}

}  // namespace aiofiber::detail
