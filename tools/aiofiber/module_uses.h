// SPDX-License-Identifier: Apache-2.0
//
// What each function of a module does with static variables, and what it calls.
//
// The search looks at machine code without a disassembler: each use of a variable is a displacement to its
// address, and each call one to a function. Bytes that match by chance count too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "call_sites.h"

namespace aiofiber::tool {

// A function or a variable of the symbol table.
struct Symbol {
  CodeRange range;
  std::string name;
  std::string file;           // empty: not known
  bool is_own = false;        // of aiofiber, or of the compiler
  bool is_aiofibers = false;  // a function that no code of the user is inlined into
  bool is_guarded = false;    // a static variable of a function, which __cxa_guard_acquire() guards
  bool has_values = false;    // a variable that is not all zeros in the file
};

// What a function does with variables, in the order of its code.
struct FunctionUses {
  struct Event {
    enum class Kind { kReads, kWrites, kChanges, kTakesAddress, kCalls, kImports };
    std::uint64_t place;
    Kind kind;
    std::size_t index;         // of the variable, the function, or the import
    std::uint64_t offset = 0;  // in the variable: of a field
  };
  std::vector<Event> events;
  std::vector<CodeRange> makes;  // the code under the guards of its static variables, as far as it is seen
};

// Of a variable: no call.
inline bool is_use(FunctionUses::Event::Kind kind) {
  return kind != FunctionUses::Event::Kind::kCalls && kind != FunctionUses::Event::Kind::kImports;
}

// A module's code, reduced to uses and calls.
struct ModuleUses {
  std::vector<Symbol> functions, variables;
  std::vector<std::string> imports;
  std::vector<FunctionUses> uses;  // of each function

  // The name of the function or import that the event calls.
  const std::string& callee(const FunctionUses::Event& event) const {
    return event.kind == FunctionUses::Event::Kind::kImports ? imports[event.index]
                                                             : functions[event.index].name;
  }
};

// Both kinds of symbols sorted by address. Empty if the processor's code is not known.
ModuleUses read_uses(const std::vector<Code>& code, const CallSites& sites, std::vector<Symbol> functions,
                     std::vector<Symbol> variables);

}  // namespace aiofiber::tool
