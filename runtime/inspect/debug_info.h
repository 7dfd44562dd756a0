// SPDX-License-Identifier: Apache-2.0
//
// Looks up an address in a module's debug information: function, file and line, inlined calls included. Falls
// back to the symbol table.
//
// libdw finds compilation units and lines. Two indexes are our own:
//   - the functions of each unit that was looked at: dwarf_getscopes() walks the whole tree of a unit at each
//     call (0.7 to 0.9 ms measured), the index does it once;
//   - the address ranges of a module's units, where .debug_aranges does not list them (clang writes none).
// Used by the runtime for its own process, and by the aiofiber command for others.
// Threads: one at a time, libdw is not thread-safe.
#pragma once

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace aiofiber::runtime {

struct FunctionName {
  std::string display;  // "??" when unknown
  std::string linkage;  // mangled; empty when unknown
};
FunctionName name_of_symbol(const char* symbol);

struct DebugFrame {
  FunctionName name;
  std::string file;  // empty when unknown
  int line = 0;      // 0 when unknown. In an outer frame: the line of the call that was inlined
  bool inlined = false;
};

// Addresses [low, high) belong to the entry at `die`.
struct CodeRange {
  Dwarf_Addr low, high;
  Dwarf_Off die;
};

class DebugInfo {
 public:
  // INNERMOST (inlined) first, the function with the stack frame last; at least one.
  std::vector<DebugFrame> look_up(Dwfl_Module* module, std::uint64_t instruction);
  // The source file of a static variable outside functions; empty when it is not known. Reads all units.
  static std::string file_of_variable(Dwfl_Module* module, std::uint64_t address);
  // Call it when the modules have changed.
  void clear();

 private:
  std::vector<DebugFrame> find_frames(Dwfl_Module* module, std::uint64_t instruction);
  bool find_unit(Dwfl_Module* module, std::uint64_t instruction, Dwarf_Die* unit, Dwarf_Addr* bias);
  std::vector<Dwarf_Die> find_calls(Dwarf_Die* unit, Dwarf_Addr address);

  std::unordered_map<Dwfl_Module*, std::vector<CodeRange>> units_;
  std::unordered_map<void*, std::vector<CodeRange>> functions_;  // by unit
};

}  // namespace aiofiber::runtime
