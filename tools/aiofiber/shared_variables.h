// SPDX-License-Identifier: Apache-2.0
//
// The variables of a module that its tasks would share without knowing it.
//
// A function that runs in one place at a time may set a static variable, make a call that waits, and use the
// variable again. In tasks, another one may have changed it meanwhile. The order of the addresses of a
// function's code stands for the order in time. So it is a guess, which a person must judge; the most
// suspicious come first.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <string>
#include <vector>

#include "module_uses.h"

namespace aiofiber::tool {

struct SharedVariable {
  std::string name;
  std::string file;
  std::uint64_t size = 0;
  enum class How {
    kAcrossWait,         // a function sets it, makes a call that waits, and uses it
    kReadAcrossWait,     // a function reads it, makes a call that waits, and sets it
    kAddressAcrossWait,  // a function takes its address and then makes a call that waits
    kByFunctions,        // a function sets it, and another one that waits uses it
    kFarAcrossWait,      // as kAcrossWait, but functions do both that are called by those that it calls
    kMadeOnce,           // as one of the first three, but it is set only under its guard
    kAddressOfTable,  // as kAddressAcrossWait, but it has values in the file, and nothing is seen to set it
  } how = How::kAcrossWait;
  bool is_suspicious() const { return how < How::kByFunctions; }
  int calls_between = 0;  // from the function that waits to those that do it, before the wait and after it
  std::string function;   // that sets it
  std::string call;       // that waits, made there
  std::string used_in;    // kByFunctions: the other function
};

// `waits`: whether a call of this import, or hooked function of the module, can suspend a task. The most
// suspicious first.
std::vector<SharedVariable> find_shared_variables(const ModuleUses& uses,
                                                  absl::FunctionRef<bool(const std::string&)> waits);

}  // namespace aiofiber::tool
