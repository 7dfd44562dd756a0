// SPDX-License-Identifier: Apache-2.0
//
// std::cout and std::cerr for code that seldom writes to them.
//
// Who includes <iostream> makes each program that links the file initialise all streams and their locale
// before main(): a tenth of the start of a small program with libstdc++ 12. These functions do it when they
// are called. Threads: any.
#pragma once

#include <iosfwd>

namespace aiofiber::detail {

std::ostream& standard_output();
std::ostream& standard_error();

}  // namespace aiofiber::detail
