// SPDX-License-Identifier: Apache-2.0
//
// The error that ends the command: a message with a remedy, and an exit code that a script can test.
#pragma once

#include <stdexcept>
#include <string>

namespace aiofiber::tool {

enum class Exit : int {
  kOk = 0,
  kInternal = 1,     // a bug of this command, no memory, or output that cannot be written
  kUsage = 2,        // the command line
  kNoProcess = 3,    // no such process, or it ended while it was read
  kNotAiofiber = 4,  // it has no aiofiber runtime
  kVersion = 5,      // its runtime is of a version or machine that this command does not know
  kPermission = 6,   // access is not permitted
  kCore = 7,         // the core file (program, trace) is of another kind, damaged, or of another executable
};

class Failure : public std::runtime_error {
 public:
  Failure(Exit exit_code, const std::string& message) : std::runtime_error(message), code(exit_code) {}
  Exit code;
};

}  // namespace aiofiber::tool
