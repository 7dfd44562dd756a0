// SPDX-License-Identifier: Apache-2.0
//
// The variables of a module that its tasks would share without knowing it.
//
// A function that runs in one place at a time may set a static variable, make a call that waits, and use the
// variable again. In tasks, another one may have changed it meanwhile. The search finds such functions in
// machine code: each use of a variable is a displacement to its address, and each call one to a function. The
// order of the addresses stands for the order in time. So it is a guess, which a person must judge; the most
// suspicious come first.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <string>
#include <vector>

#include "call_sites.h"

namespace aiofiber::tool {

// A function or a variable of the symbol table.
struct Symbol {
  CodeRange range;
  std::string name;
  std::string file;     // empty: not known
  bool is_own = false;  // of aiofiber, or of the compiler
};

// What a function does with variables, in the order of its code.
struct FunctionUses {
  struct Event {
    enum class Kind { kReads, kWrites, kChanges, kTakesAddress, kCalls, kImports };
    std::uint64_t place;
    Kind kind;
    std::size_t index;  // of the variable, the function, or the import
  };
  std::vector<Event> events;
};

// A module's code, reduced to uses and calls.
struct ModuleUses {
  std::vector<Symbol> functions, variables;
  std::vector<std::string> imports;
  std::vector<FunctionUses> uses;  // of each function
};

// Both kinds of symbols sorted by address. Empty if the processor's code is not known.
ModuleUses read_uses(const std::vector<Code>& code, const CallSites& sites, std::vector<Symbol> functions,
                     std::vector<Symbol> variables);

struct SharedVariable {
  std::string name;
  std::string file;
  std::uint64_t size = 0;
  enum class How {
    kAcrossWait,         // a function sets it, makes a call that waits, and uses it
    kReadAcrossWait,     // a function reads it, makes a call that waits, and sets it
    kAddressAcrossWait,  // a function takes its address and then makes a call that waits
    kByFunctions,        // a function sets it, and another one that waits uses it
  } how = How::kAcrossWait;
  std::string function;  // that sets it
  std::string call;      // that waits, made there
  std::string used_in;   // kByFunctions: the other function
};

// `waits`: whether a call of this import can suspend a task. The most suspicious first.
std::vector<SharedVariable> find_shared_variables(const ModuleUses& uses,
                                                  absl::FunctionRef<bool(const std::string&)> waits);

// Whether a call of a function of libc or abseil suspends a task, or would block the thread: those that wait
// for something, not those that only might (a lock, a page of a file).
bool is_wait(const std::string& name);

}  // namespace aiofiber::tool
