// SPDX-License-Identifier: Apache-2.0
//
// Modules, units, functions, inlined calls, lines: libdw finds them, two indexes of our own make it quick.
#include "symbolizer.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "function_name.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kMostInlined = 64;

std::string absolute_path(Dwarf_Die* unit, const char* path) {
  if (path == nullptr) return {};
  Dwarf_Attribute attribute;
  std::filesystem::path whole = path;
  if (whole.is_relative() && dwarf_attr(unit, DW_AT_comp_dir, &attribute) != nullptr) {
    const char* folder = dwarf_formstring(&attribute);
    if (folder != nullptr) whole = folder / whole;
  }
  return whole.lexically_normal();
}

std::size_t unsigned_attribute(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) return 0;
  return value;
}

std::string linkage_name(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (const unsigned kind : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(die, kind, &attribute) == nullptr) continue;
    if (const char* linkage = dwarf_formstring(&attribute)) return linkage;
  }
  return {};
}

// Of a function without a linkage name (main, C, lambdas): by its enclosing scopes.
std::string qualified_name(Dwarf_Die* die) {
  const char* own = dwarf_diename(die);
  if (own == nullptr) return "??";
  std::string name = own;
  Dwarf_Die origin = *die;
  Dwarf_Attribute attribute;
  for (const unsigned reference : {DW_AT_abstract_origin, DW_AT_specification}) {
    if (dwarf_attr(&origin, reference, &attribute) != nullptr) dwarf_formref_die(&attribute, &origin);
  }
  Dwarf_Die* scopes = nullptr;
  const int count = dwarf_getscopes_die(&origin, &scopes);
  for (int i = 1; i < count; ++i) {
    const int tag = dwarf_tag(&scopes[i]);
    if (tag == DW_TAG_compile_unit || tag == DW_TAG_partial_unit) break;
    if (tag == DW_TAG_lexical_block) continue;
    if (tag == DW_TAG_subprogram) {  // its own scopes are those of its declaration
      const std::string linkage = linkage_name(&scopes[i]);
      name = (linkage.empty() ? qualified_name(&scopes[i]) : display_name(demangle(linkage.c_str()))) +
             "::" + name;
      break;
    }
    const char* scope = dwarf_diename(&scopes[i]);
    const char* unnamed = tag == DW_TAG_namespace ? "(anonymous namespace)" : "{lambda}";
    name = std::string(scope != nullptr ? scope : unnamed) + "::" + name;
  }
  std::free(scopes);
  return name;
}

void set_name(Frame& frame, const char* symbol) {
  const bool known = symbol != nullptr && *symbol != '\0';
  frame.function = known ? display_name(demangle(symbol)) : "??";
  frame.linkage_name = known ? symbol : "";
}

void set_name(Frame& frame, Dwarf_Die* die) {
  const std::string linkage = linkage_name(die);
  if (!linkage.empty()) return set_name(frame, linkage.c_str());
  frame.function = qualified_name(die);
  frame.linkage_name.clear();
}

std::string build_id(Dwfl_Module* module) {
  const unsigned char* bytes = nullptr;
  GElf_Addr address = 0;
  std::string text;
  const int length = dwfl_module_build_id(module, &bytes, &address);
  for (int i = 0; i < length; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

// Moves `die` to its child, a block or an inlined call, that contains the address.
bool descend(Dwarf_Die* die, Dwarf_Addr address) {
  Dwarf_Die child;
  if (dwarf_child(die, &child) != 0) return false;
  do {
    const int tag = dwarf_tag(&child);
    if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) continue;
    if (dwarf_haspc(&child, address) <= 0) continue;
    *die = child;
    return true;
  } while (dwarf_siblingof(&child, &child) == 0);
  return false;
}

}  // namespace

const std::vector<Frame>& Symbolizer::frames(const Address& address) {
  const auto [entry, fresh] = known_.try_emplace(address);
  if (fresh) entry->second = look_up(address);
  return entry->second;
}

std::vector<Frame> Symbolizer::look_up(const Address& address) {
  const std::uint64_t instruction = address.exact ? address.pc : address.pc - 1;
  Frame frame;
  frame.address = address.pc;
  frame.function = "??";
  Dwfl_Module* module = dwfl_addrmodule(target_.modules(), instruction);
  Dwarf_Addr start = 0, end = 0;
  const char* path =
      module == nullptr ? nullptr
                        : dwfl_module_info(module, nullptr, &start, &end, nullptr, nullptr, nullptr, nullptr);
  if (path == nullptr || instruction < start || instruction >= end) return {frame};
  frame.module = path;
  frame.module_offset = address.pc - start;
  GElf_Addr unused = 0;
  dwfl_module_getelf(module, &unused);  // the build id is known only then
  frame.build_id = build_id(module);
  std::vector<Frame> frames = look_up_debug_info(module, instruction, frame);
  if (!frames.empty() && !frames.back().linkage_name.empty()) return frames;
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* name = dwfl_module_addrinfo(module, instruction, &offset, &symbol, nullptr, nullptr, nullptr);
  if (frames.empty()) {
    set_name(frame, name);
    return {frame};
  }
  frames.back().linkage_name = name != nullptr ? name : "";
  return frames;
}

std::vector<Frame> Symbolizer::look_up_debug_info(Dwfl_Module* module, std::uint64_t instruction,
                                                  const Frame& common) {
  Dwarf_Addr bias = 0;
  Dwarf_Die unit;
  if (!find_unit(module, instruction, &unit, &bias)) return {};
  const Dwarf_Addr address = instruction - bias;
  const std::vector<Dwarf_Die> calls = find_calls(&unit, address);
  if (calls.empty()) return {};  // a line without a function would be that of some neighbour
  Frame frame = common;
  if (Dwarf_Line* line = dwarf_getsrc_die(&unit, address)) {
    frame.file = absolute_path(&unit, dwarf_linesrc(line, nullptr, nullptr));
    dwarf_lineno(line, &frame.line);
  }
  Dwarf_Files* files = nullptr;
  dwarf_getsrcfiles(&unit, &files, nullptr);
  std::vector<Frame> frames;
  for (std::size_t i = calls.size(); i-- > 0;) {
    Dwarf_Die die = calls[i];
    set_name(frame, &die);
    frame.inlined = i > 0;
    frames.push_back(frame);
    if (!frame.inlined) break;
    const std::size_t file = unsigned_attribute(&die, DW_AT_call_file);  // where the caller calls it
    frame.file = files != nullptr ? absolute_path(&unit, dwarf_filesrc(files, file, nullptr, nullptr)) : "";
    frame.line = static_cast<int>(unsigned_attribute(&die, DW_AT_call_line));
  }
  return frames;
}

bool Symbolizer::find_unit(Dwfl_Module* module, std::uint64_t instruction, Dwarf_Die* unit,
                           Dwarf_Addr* bias) {
  if (Dwarf_Die* found = dwfl_module_addrdie(module, instruction, bias)) {
    *unit = *found;
    return true;
  }
  Dwarf* debug = dwfl_module_getdwarf(module, bias);
  if (debug == nullptr) return false;
  const auto [entry, fresh] = units_.try_emplace(module);
  if (fresh) {
    std::size_t header_size = 0;
    Dwarf_Off next = 0;
    for (Dwarf_Off at = 0; dwarf_nextcu(debug, at, &next, &header_size, nullptr, nullptr, nullptr) == 0;
         at = next) {
      Dwarf_Die die;
      if (dwarf_offdie(debug, at + header_size, &die) != nullptr)
        add_ranges(&die, at + header_size, entry->second);
    }
    std::sort(entry->second.begin(), entry->second.end(), [](auto& a, auto& b) { return a.low < b.low; });
  }
  const CodeRange* range = find_range(entry->second, instruction - *bias);
  return range != nullptr && dwarf_offdie(debug, range->die, unit) != nullptr;
}

// The function around the address, then the inlined calls, from the outside inwards.
std::vector<Dwarf_Die> Symbolizer::find_calls(Dwarf_Die* unit, Dwarf_Addr address) {
  const auto [entry, fresh] = functions_.try_emplace(unit->addr);
  if (fresh) {
    add_functions(unit, entry->second);
    std::sort(entry->second.begin(), entry->second.end(), [](auto& a, auto& b) { return a.low < b.low; });
  }
  const CodeRange* range = find_range(entry->second, address);
  Dwarf_Die die;
  if (range == nullptr || dwarf_offdie(dwarf_cu_getdwarf(unit->cu), range->die, &die) == nullptr) return {};
  std::vector<Dwarf_Die> calls{die};
  while (calls.size() < kMostInlined && descend(&die, address)) {
    if (dwarf_tag(&die) == DW_TAG_inlined_subroutine) calls.push_back(die);
  }
  return calls;
}

void Symbolizer::add_ranges(Dwarf_Die* die, Dwarf_Off offset, std::vector<CodeRange>& ranges) {
  Dwarf_Addr base = 0, low = 0, high = 0;
  for (std::ptrdiff_t at = 0; (at = dwarf_ranges(die, at, &base, &low, &high)) > 0;) {
    ranges.push_back({low, high, offset});
  }
}

void Symbolizer::add_functions(Dwarf_Die* parent, std::vector<CodeRange>& functions) {
  Dwarf_Die child;
  if (dwarf_child(parent, &child) != 0) return;
  do {
    switch (dwarf_tag(&child)) {
      case DW_TAG_subprogram:
        add_ranges(&child, dwarf_dieoffset(&child), functions);
        [[fallthrough]];
      case DW_TAG_namespace:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
      case DW_TAG_union_type:
      case DW_TAG_lexical_block:
      case DW_TAG_module:
        add_functions(&child, functions);
        break;
      default:
        break;
    }
  } while (dwarf_siblingof(&child, &child) == 0);
}

// The last range that begins at or before the address, if it reaches so far.
const Symbolizer::CodeRange* Symbolizer::find_range(const std::vector<CodeRange>& sorted,
                                                    Dwarf_Addr address) {
  auto after = std::upper_bound(sorted.begin(), sorted.end(), address,
                                [](Dwarf_Addr a, const CodeRange& range) { return a < range.low; });
  if (after == sorted.begin() || address >= std::prev(after)->high) return nullptr;
  return &*std::prev(after);
}

std::string Symbolizer::source_line(const std::string& file, int line) {
  const auto [entry, fresh] = sources_.try_emplace(file);
  if (fresh) {
    std::ifstream in(file);
    for (std::string text; std::getline(in, text);) entry->second.push_back(text);
  }
  if (line < 1 || static_cast<std::size_t>(line) > entry->second.size()) return {};
  const std::string& text = entry->second[static_cast<std::size_t>(line) - 1];
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace aiofiber::tool
