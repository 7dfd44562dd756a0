// SPDX-License-Identifier: Apache-2.0
//
// The two indexes, and the names of functions that have no linkage name.
#include "inspect/debug_info.h"

#include <dwarf.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "aiofiber/runtime/inspect/function_name.h"
#include "inspect/libdw.h"

namespace aiofiber::runtime {
namespace {

constexpr std::size_t kMaxInlined = 64;

// The range that contains `address`: the last one that begins at or before it, if it is long enough.
const CodeRange* find_range(const std::vector<CodeRange>& sorted, Dwarf_Addr address) {
  auto after = std::upper_bound(sorted.begin(), sorted.end(), address,
                                [](Dwarf_Addr a, const CodeRange& range) { return a < range.low; });
  if (after == sorted.begin() || address >= std::prev(after)->high) return nullptr;
  return &*std::prev(after);
}

void add_ranges(Dwarf_Die* die, Dwarf_Off offset, std::vector<CodeRange>& ranges) {
  Dwarf_Addr base = 0, low = 0, high = 0;
  for (std::ptrdiff_t at = 0; (at = libdw().dwarf_ranges(die, at, &base, &low, &high)) > 0;) {
    ranges.push_back({low, high, offset});
  }
}

void sort_ranges(std::vector<CodeRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.low < b.low; });
}

void collect_functions(Dwarf_Die* parent, std::vector<CodeRange>& functions) {
  Dwarf_Die child;
  if (libdw().dwarf_child(parent, &child) != 0) return;
  do {
    switch (libdw().dwarf_tag(&child)) {
      case DW_TAG_subprogram:
        add_ranges(&child, libdw().dwarf_dieoffset(&child), functions);
        [[fallthrough]];
      case DW_TAG_namespace:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
      case DW_TAG_union_type:
      case DW_TAG_lexical_block:
      case DW_TAG_module:
        collect_functions(&child, functions);
        break;
      default:
        break;
    }
  } while (libdw().dwarf_siblingof(&child, &child) == 0);
}

// A path of the line table. It may be relative to the compilation's folder.
std::string absolute_path(Dwarf_Die* unit, const char* path) {
  if (!path) return {};
  Dwarf_Attribute attribute;
  std::filesystem::path whole = path;
  if (whole.is_relative() && libdw().dwarf_attr(unit, DW_AT_comp_dir, &attribute)) {
    if (const char* folder = libdw().dwarf_formstring(&attribute)) whole = folder / whole;
  }
  return whole.lexically_normal();
}

int unsigned_attribute(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (!libdw().dwarf_attr(die, name, &attribute) || libdw().dwarf_formudata(&attribute, &value) != 0)
    return 0;
  return static_cast<int>(value);
}

FunctionName name_of_die(Dwarf_Die* die);

// The qualified name of a function without a linkage name (main, C, lambdas), from its enclosing scopes.
std::string qualified_name(Dwarf_Die* die) {
  const char* own = libdw().dwarf_diename(die);
  if (!own) return {};
  std::string name = own;
  Dwarf_Die origin = *die;
  Dwarf_Attribute attribute;
  for (const unsigned reference : {DW_AT_abstract_origin, DW_AT_specification}) {
    if (libdw().dwarf_attr(&origin, reference, &attribute)) libdw().dwarf_formref_die(&attribute, &origin);
  }
  Dwarf_Die* scopes = nullptr;
  const int count = libdw().dwarf_getscopes_die(&origin, &scopes);
  for (int i = 1; i < count; ++i) {
    const int tag = libdw().dwarf_tag(&scopes[i]);
    if (tag == DW_TAG_compile_unit || tag == DW_TAG_partial_unit) break;
    if (tag == DW_TAG_lexical_block) continue;
    if (tag == DW_TAG_subprogram) {  // may stand outside its namespace; has its own name
      name = name_of_die(&scopes[i]).display + "::" + name;
      break;
    }
    const char* scope = libdw().dwarf_diename(&scopes[i]);
    name = (scope ? scope : tag == DW_TAG_namespace ? "(anonymous namespace)" : "{lambda}") + ("::" + name);
  }
  std::free(scopes);
  return name;
}

FunctionName name_of_die(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (const unsigned kind : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (!libdw().dwarf_attr_integrate(die, kind, &attribute)) continue;
    if (const char* linkage = libdw().dwarf_formstring(&attribute)) return name_of_symbol(linkage);
  }
  return {abridge(qualified_name(die)), {}};
}

void index_units(Dwarf* debug, std::vector<CodeRange>& units) {
  std::size_t header_size = 0;
  Dwarf_Off next = 0;
  for (Dwarf_Off at = 0; libdw().dwarf_nextcu(debug, at, &next, &header_size, nullptr, nullptr, nullptr) == 0;
       at = next) {
    Dwarf_Die unit;
    if (libdw().dwarf_offdie(debug, at + header_size, &unit)) add_ranges(&unit, at + header_size, units);
  }
  sort_ranges(units);
}

// The variable at the address, among the entries of a unit and of its namespaces.
bool find_variable(Dwarf_Die* parent, Dwarf_Addr address, Dwarf_Die* found) {
  Dwarf_Die child;
  if (libdw().dwarf_child(parent, &child) != 0) return false;
  do {
    const int tag = libdw().dwarf_tag(&child);
    if (tag == DW_TAG_namespace && find_variable(&child, address, found)) return true;
    Dwarf_Attribute location;
    Dwarf_Op* operations = nullptr;
    std::size_t count = 0;
    if (tag != DW_TAG_variable || !libdw().dwarf_attr(&child, DW_AT_location, &location) ||
        libdw().dwarf_getlocation(&location, &operations, &count) != 0 || count != 1 ||
        operations[0].atom != DW_OP_addr || operations[0].number != address)
      continue;
    *found = child;
    return true;
  } while (libdw().dwarf_siblingof(&child, &child) == 0);
  return false;
}

// Moves `die` to the child that contains the address: a block or an inlined call.
bool descend(Dwarf_Die* die, Dwarf_Addr address) {
  Dwarf_Die child;
  if (libdw().dwarf_child(die, &child) != 0) return false;
  do {
    const int tag = libdw().dwarf_tag(&child);
    if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) continue;
    if (libdw().dwarf_haspc(&child, address) <= 0) continue;
    *die = child;
    return true;
  } while (libdw().dwarf_siblingof(&child, &child) == 0);
  return false;
}

// Removes the suffix that compilers give to copies and parts of a C function. (In C++ names demangling puts
// it in brackets, which display_name() drops.)
std::string without_copy(std::string name) {
  for (const char* made : {".cold", ".part.", ".constprop.", ".isra.", ".lto_priv.", ".llvm."}) {
    if (const std::size_t at = name.find(made); at != 0 && at != std::string::npos) name.resize(at);
  }
  return name;
}

}  // namespace

FunctionName name_of_symbol(const char* symbol) {
  if (!symbol || !*symbol) return {"??", {}};
  if (const std::string coroutine = coroutine_of_actor(symbol); !coroutine.empty())
    return {abridge(display_name(demangle(coroutine.c_str()))), coroutine};
  const std::string name = demangle(symbol);
  return {name == symbol ? without_copy(name) : abridge(display_name(name)), symbol};
}

std::vector<DebugFrame> DebugInfo::look_up(Dwfl_Module* module, std::uint64_t instruction) {
  std::vector<DebugFrame> frames = find_frames(module, instruction);
  if (frames.empty()) frames.emplace_back();
  FunctionName& name = frames.back().name;
  if (!name.linkage.empty()) return frames;
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* const symbol_name =
      libdw().dwfl_module_addrinfo(module, instruction, &offset, &symbol, nullptr, nullptr, nullptr);
  FunctionName by_symbol = name_of_symbol(symbol_name);
  // clang -g1 gives the name without its scopes, and g++ a coroutine's without its template arguments.
  const bool is_coroutine = symbol_name != nullptr && !coroutine_of_actor(symbol_name).empty();
  if (name.display.empty() || is_coroutine || by_symbol.display.ends_with("::" + name.display))
    name.display = std::move(by_symbol.display);
  name.linkage = std::move(by_symbol.linkage);
  return frames;
}

std::vector<DebugFrame> DebugInfo::find_frames(Dwfl_Module* module, std::uint64_t instruction) {
  Dwarf_Addr bias = 0;
  Dwarf_Die unit;
  if (!find_unit(module, instruction, &unit, &bias)) return {};
  const Dwarf_Addr address = instruction - bias;
  // The function, then the inlined calls around the address, from the outside inwards.
  const std::vector<Dwarf_Die> calls = find_calls(&unit, address);

  DebugFrame frame;
  if (Dwarf_Line* line = libdw().dwarf_getsrc_die(&unit, address)) {
    frame.file = absolute_path(&unit, libdw().dwarf_linesrc(line, nullptr, nullptr));
    libdw().dwarf_lineno(line, &frame.line);
  }
  Dwarf_Files* files = nullptr;
  libdw().dwarf_getsrcfiles(&unit, &files, nullptr);
  std::vector<DebugFrame> frames;
  // Compilers leave entries out: clang -g1 for functions without inlined calls, g++ for functions that it
  // found equal.
  if (calls.empty() && !frame.file.empty()) frames.push_back(frame);
  for (std::size_t i = calls.size(); i-- > 0;) {
    Dwarf_Die die = calls[i];
    frame.name = name_of_die(&die);
    frame.inlined = i > 0;
    frames.push_back(frame);
    if (!frame.inlined) break;
    // The place of the call.
    const auto file = static_cast<std::size_t>(unsigned_attribute(&die, DW_AT_call_file));
    frame.file =
        files ? absolute_path(&unit, libdw().dwarf_filesrc(files, file, nullptr, nullptr)) : std::string();
    frame.line = unsigned_attribute(&die, DW_AT_call_line);
  }
  return frames;
}

bool DebugInfo::find_unit(Dwfl_Module* module, std::uint64_t instruction, Dwarf_Die* unit, Dwarf_Addr* bias) {
  // libdwfl counts a gap between two ranges of a unit as part of the unit, but it may belong to a unit that
  // .debug_aranges does not list.
  Dwarf_Die* const found = libdw().dwfl_module_addrdie(module, instruction, bias);
  if (found != nullptr && libdw().dwarf_haspc(found, instruction - *bias) > 0) {
    *unit = *found;
    return true;
  }
  Dwarf* debug = libdw().dwfl_module_getdwarf(module, bias);
  if (!debug) return false;
  const auto [entry, fresh] = units_.try_emplace(module);
  if (fresh) index_units(debug, entry->second);
  const CodeRange* range = find_range(entry->second, instruction - *bias);
  return range && libdw().dwarf_offdie(debug, range->die, unit) != nullptr;
}

// The function around the address, then the inlined calls, from the outside inwards.
std::vector<Dwarf_Die> DebugInfo::find_calls(Dwarf_Die* unit, Dwarf_Addr address) {
  const auto [entry, fresh] = functions_.try_emplace(unit->addr);
  if (fresh) {
    collect_functions(unit, entry->second);
    sort_ranges(entry->second);
  }
  const CodeRange* range = find_range(entry->second, address);
  Dwarf_Die die;
  if (!range || !libdw().dwarf_offdie(libdw().dwarf_cu_getdwarf(unit->cu), range->die, &die)) return {};
  std::vector<Dwarf_Die> calls{die};
  while (calls.size() < kMaxInlined && descend(&die, address)) {
    if (libdw().dwarf_tag(&die) == DW_TAG_inlined_subroutine) calls.push_back(die);
  }
  return calls;
}

std::string DebugInfo::file_of_variable(Dwfl_Module* module, std::uint64_t address) {
  Dwarf_Addr bias = 0;
  Dwarf* const debug = libdw().dwfl_module_getdwarf(module, &bias);
  if (debug == nullptr) return {};
  std::size_t header_size = 0;
  Dwarf_Off next = 0;
  for (Dwarf_Off at = 0; libdw().dwarf_nextcu(debug, at, &next, &header_size, nullptr, nullptr, nullptr) == 0;
       at = next) {
    Dwarf_Die unit, variable;
    if (!libdw().dwarf_offdie(debug, at + header_size, &unit) ||
        !find_variable(&unit, address - bias, &variable))
      continue;
    return absolute_path(&unit, libdw().dwarf_diename(&unit));
  }
  return {};
}

void DebugInfo::clear() {
  units_.clear();
  functions_.clear();
}

}  // namespace aiofiber::runtime
