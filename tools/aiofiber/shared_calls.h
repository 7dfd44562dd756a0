// SPDX-License-Identifier: Apache-2.0
//
// The functions of libc with a state that all tasks share: a result in a static buffer, a setting of the
// process, a timer, a stream.
#pragma once

#include <absl/functional/function_ref.h>

#include <string>
#include <vector>

#include "module_uses.h"

namespace aiofiber::tool {

// Functions that share something, what to do, and which of the module's functions call them, as far as its
// code can be searched.
struct SharedCalls {
  std::vector<std::string> names;
  const char* advice;
  std::vector<std::string> callers;
};

// `imports`: whether the module's own code uses a function of this name. `has_variable`: whether the module
// uses libc's variable of this name. The most dangerous first.
std::vector<SharedCalls> find_shared_calls(const ModuleUses& uses,
                                           absl::FunctionRef<bool(const char*)> imports,
                                           absl::FunctionRef<bool(const char*)> has_variable);

}  // namespace aiofiber::tool
