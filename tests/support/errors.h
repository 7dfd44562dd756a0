// SPDX-License-Identifier: Apache-2.0
//
// What a call throws.
#pragma once

#include <exception>
#include <string>
#include <system_error>

namespace aiofiber {

// The text of an E; another exception shows as one.
template <class E, class F>
std::string thrown(F call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another: ") + error.what();
  }
  return "nothing";
}

// The errno of a std::system_error; 0: nothing was thrown.
template <class F>
int errno_of(F call) {
  try {
    call();
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

}  // namespace aiofiber
