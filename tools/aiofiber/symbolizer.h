// SPDX-License-Identifier: Apache-2.0
//
// From an address in the target to function, file and line, inlined calls included.
//
// What the runtime's own symbolizer does inside a process, for the modules of another. Each address is looked
// up once. Without debug information it says less: the symbol, or only module and offset.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "stack_walker.h"
#include "target.h"

namespace aiofiber::tool {

struct Frame {
  std::uint64_t address = 0;
  std::string function;      // for display; "??" when unknown
  std::string linkage_name;  // mangled; empty when unknown
  std::string file;          // empty when unknown
  int line = 0;              // 0 when unknown
  bool inlined = false;
  std::string module;  // path; empty when the address is in none
  std::uint64_t module_offset = 0;
  std::string build_id;  // of the module, in hexadecimal digits
};

class Symbolizer {
 public:
  explicit Symbolizer(Target& target) : target_(target) {}

  // INNERMOST (inlined) first, the function that has the stack frame last; at least one.
  const std::vector<Frame>& frames(const Address& address);
  // The text of a line without surrounding blanks; empty when it is not available.
  std::string source_line(const std::string& file, int line);

 private:
  struct CodeRange {
    Dwarf_Addr low, high;
    Dwarf_Off die;
  };
  std::vector<Frame> look_up(const Address& address);
  std::vector<Frame> look_up_debug_info(Dwfl_Module* module, std::uint64_t instruction, const Frame& common);
  bool find_unit(Dwfl_Module* module, std::uint64_t instruction, Dwarf_Die* unit, Dwarf_Addr* bias);
  std::vector<Dwarf_Die> find_calls(Dwarf_Die* unit, Dwarf_Addr address);
  static void add_ranges(Dwarf_Die* die, Dwarf_Off offset, std::vector<CodeRange>& ranges);
  static void add_functions(Dwarf_Die* parent, std::vector<CodeRange>& functions);
  static const CodeRange* find_range(const std::vector<CodeRange>& sorted, Dwarf_Addr address);

  Target& target_;
  std::map<Address, std::vector<Frame>> known_;
  // Our own indexes: dwarf_getscopes() walks the whole unit at each call, and clang writes no .debug_aranges.
  std::unordered_map<Dwfl_Module*, std::vector<CodeRange>> units_;
  std::unordered_map<void*, std::vector<CodeRange>> functions_;  // by unit
  std::unordered_map<std::string, std::vector<std::string>> sources_;
};

}  // namespace aiofiber::tool
