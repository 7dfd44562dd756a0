// SPDX-License-Identifier: Apache-2.0
//
// libdw finds modules, compilation units (CU) and lines. Two indexes are our own:
//   - the functions of each CU that was looked at: dwarf_getscopes() walks the whole tree of a CU at each
//   call
//     (0.7 to 0.9 ms measured), the index does it once;
//   - the address ranges of a module's CUs, where .debug_aranges does not list them (clang writes none).
// Debug files are searched by build id and debug link in the usual places. elfutils' own search is not used,
// since it asks the network when $DEBUGINFOD_URLS is set.
#include <aiofiber/runtime/symbolize.h>
#include <aiofiber/runtime/unwind.h>

#include <cxxabi.h>
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>

namespace aiofiber::runtime {
namespace {

// ---- Finding debug files
// -----------------------------------------------------------------------------------------

constexpr const char* kDebugRoot = "/usr/lib/debug";

std::string build_id_path(Dwfl_Module* module) {
  const unsigned char* bits = nullptr;
  GElf_Addr address = 0;
  const int length = dwfl_module_build_id(module, &bits, &address);
  if (length < 2) return {};
  constexpr char kDigits[] = "0123456789abcdef";
  std::string path = std::string(kDebugRoot) + "/.build-id/";
  for (int i = 0; i < length; ++i) {
    path += kDigits[bits[i] >> 4];
    path += kDigits[bits[i] & 15];
    if (i == 0) path += '/';
  }
  return path + ".debug";
}

// libdwfl's callback: opens the file with the module's debug information, or returns -1.
int find_debug_file(Dwfl_Module* module, void**, const char*, Dwarf_Addr, const char* file,
                    const char* debug_link, GElf_Word, char** found) {
  std::vector<std::string> candidates{build_id_path(module)};
  if (file && debug_link) {
    const std::string path = file;
    const std::string folder = path.substr(0, path.rfind('/') + 1);
    candidates.push_back(folder + debug_link);
    candidates.push_back(folder + ".debug/" + debug_link);
    candidates.push_back(kDebugRoot + folder + debug_link);
  }
  for (const auto& candidate : candidates) {
    if (candidate.empty() || (file && candidate == file)) continue;
    const int fd = open(candidate.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    *found = strdup(candidate.c_str());
    return fd;
  }
  return -1;
}

// ---- Names
// ---------------------------------------------------------------------------------------------------------

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// The position behind the bracket that closes the one at `open`; the text's end when none does. Angle
// brackets count only as such when the text is inside some; operators with < or > in their name are not
// expected in brackets, and end the search early at worst.
std::size_t skip_brackets(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '>' && i > 0 && text[i - 1] == '-') continue;  // ->
    if (c == '(' || c == '<' || c == '{' || c == '[') ++depth;
    if (c == ')' || c == '>' || c == '}' || c == ']') --depth;
    if (depth == 0) return i + 1;
  }
  return text.size();
}

// The length of the operator's name that `text` begins with, `operator` included; 0 when it begins with none.
// `operator int` and its like are not covered: their names look like any other.
std::size_t operator_length(std::string_view text) {
  constexpr std::string_view kOperator = "operator";
  if (!text.starts_with(kOperator)) return 0;
  std::size_t length = kOperator.size();
  if (length < text.size() && is_name_character(text[length])) return 0;
  for (const std::string_view word :
       {"()", "[]", " new[]", " delete[]", " new", " delete", " co_await", "\"\" "}) {
    if (text.substr(length).starts_with(word)) return length + word.size();
  }
  if (length < text.size() && text[length] == ' ') return length + 1;  // a conversion
  while (length < text.size() && std::strchr("<>=-+*/%^&|~!,", text[length])) ++length;
  return length;
}

// ---- The symbolizer
// ------------------------------------------------------------------------------------------------

struct AddressRange {
  Dwarf_Addr low, high;
  Dwarf_Off die;
};

// The range that contains `address`: the last that begins at or before it, if it reaches so far.
const AddressRange* find_range(const std::vector<AddressRange>& sorted, Dwarf_Addr address) {
  auto after = std::upper_bound(sorted.begin(), sorted.end(), address,
                                [](Dwarf_Addr a, const AddressRange& range) { return a < range.low; });
  if (after == sorted.begin() || address >= std::prev(after)->high) return nullptr;
  return &*std::prev(after);
}

void add_ranges(Dwarf_Die* die, Dwarf_Off offset, std::vector<AddressRange>& ranges) {
  Dwarf_Addr base = 0, low = 0, high = 0;
  for (std::ptrdiff_t at = 0; (at = dwarf_ranges(die, at, &base, &low, &high)) > 0;) {
    ranges.push_back({low, high, offset});
  }
}

void sort_ranges(std::vector<AddressRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.low < b.low; });
}

void collect_functions(Dwarf_Die* parent, std::vector<AddressRange>& functions) {
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
        collect_functions(&child, functions);
        break;
      default:
        break;
    }
  } while (dwarf_siblingof(&child, &child) == 0);
}

// A path of the line table, which may be relative to the compilation's folder.
std::string absolute_path(Dwarf_Die* cu, const char* path) {
  if (!path) return {};
  Dwarf_Attribute attribute;
  if (*path == '/' || !dwarf_attr(cu, DW_AT_comp_dir, &attribute)) return path;
  const char* folder = dwarf_formstring(&attribute);
  return folder ? std::string(folder) + '/' + path : path;
}

int unsigned_attribute(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (!dwarf_attr(die, name, &attribute) || dwarf_formudata(&attribute, &value) != 0) return 0;
  return static_cast<int>(value);
}

struct FunctionName {
  std::string display;
  std::string linkage;
};
FunctionName name_of_die(Dwarf_Die* die);

// The qualified name of a function that has no linkage name (main, C, lambdas), by its enclosing scopes.
std::string qualified_name(Dwarf_Die* die) {
  const char* own = dwarf_diename(die);
  if (!own) return {};
  std::string name = own;
  Dwarf_Die origin = *die;
  Dwarf_Attribute attribute;
  for (const unsigned reference : {DW_AT_abstract_origin, DW_AT_specification}) {
    if (dwarf_attr(&origin, reference, &attribute)) dwarf_formref_die(&attribute, &origin);
  }
  Dwarf_Die* scopes = nullptr;
  const int count = dwarf_getscopes_die(&origin, &scopes);
  for (int i = 1; i < count; ++i) {
    const int tag = dwarf_tag(&scopes[i]);
    if (tag == DW_TAG_compile_unit || tag == DW_TAG_partial_unit) break;
    if (tag == DW_TAG_lexical_block) continue;
    if (tag == DW_TAG_subprogram) {  // may stand elsewhere than its namespace, and knows its own name
      name = name_of_die(&scopes[i]).display + "::" + name;
      break;
    }
    const char* scope = dwarf_diename(&scopes[i]);
    name = (scope ? scope : tag == DW_TAG_namespace ? "(anonymous namespace)" : "{lambda}") + ("::" + name);
  }
  std::free(scopes);
  return name;
}

FunctionName name_of_symbol(const char* symbol) {
  if (!symbol || !*symbol) return {"??", {}};
  return {display_name(demangle(symbol)), symbol};
}

FunctionName name_of_die(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (const unsigned kind : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (!dwarf_attr_integrate(die, kind, &attribute)) continue;
    if (const char* linkage = dwarf_formstring(&attribute)) return name_of_symbol(linkage);
  }
  return {qualified_name(die), {}};
}

// How many libraries were ever loaded and unloaded: changes with each dlopen() and dlclose().
std::uint64_t loader_generation() {
  std::uint64_t generation = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uint64_t*>(result) = info->dlpi_adds + info->dlpi_subs;
        return 1;
      },
      &generation);
  return generation;
}

class Symbolizer {
 public:
  Symbolizer() : dwfl_(dwfl_begin(callbacks())) { report(); }

  void report() {
    functions_.clear();
    units_.clear();
    cache_.clear();
    generation_ = loader_generation();
    if (!dwfl_) return;
    dwfl_report_begin(dwfl_);
    dwfl_linux_proc_report(dwfl_, getpid());
    dwfl_report_end(dwfl_, nullptr, nullptr);
  }

  const std::vector<SymbolizedFrame>& resolve(std::uintptr_t address, bool exact) {
    const std::uintptr_t instruction = exact ? address : address - 1;
    if (const auto known = cache_.find(instruction); known != cache_.end()) {
      for (auto& frame : known->second) {  // it may have been asked for as the other kind of address
        frame.module_offset += address - frame.address;
        frame.address = address;
      }
      return known->second;
    }
    if (loader_generation() != generation_) report();
    if (cache_.size() >= kMaxCached) cache_.clear();
    return cache_[instruction] = look_up(address, instruction);
  }

 private:
  static constexpr std::size_t kMaxCached = 65'536;
  static constexpr std::size_t kMaxInlined = 64;

  static const Dwfl_Callbacks* callbacks() {
    static char* debug_path = nullptr;
    static const Dwfl_Callbacks result{
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = find_debug_file,
        .section_address = dwfl_offline_section_address,
        .debuginfo_path = &debug_path,
    };
    return &result;
  }

  std::vector<SymbolizedFrame> look_up(std::uintptr_t address, std::uintptr_t instruction) {
    SymbolizedFrame frame;
    frame.address = address;
    frame.function = "??";
    Dwfl_Module* module = dwfl_ ? dwfl_addrmodule(dwfl_, instruction) : nullptr;
    Dwarf_Addr start = 0, end = 0;
    const char* path =
        module ? dwfl_module_info(module, nullptr, &start, &end, nullptr, nullptr, nullptr, nullptr)
               : nullptr;
    if (!module || instruction < start || instruction >= end) {  // libdwfl counts the page behind to a module
      describe_by_loader(instruction, frame);
      return {frame};
    }
    frame.module = path ? path : "";
    frame.module_offset = address - start;

    auto frames = look_up_debug_info(module, instruction, frame);
    if (!frames.empty() && !frames.back().linkage_name.empty()) return frames;
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char* name = dwfl_module_addrinfo(module, instruction, &offset, &symbol, nullptr, nullptr, nullptr);
    const FunctionName by_symbol = name_of_symbol(name);
    if (frames.empty()) {
      frame.function = by_symbol.display;
      frame.linkage_name = by_symbol.linkage;
      if (by_symbol.linkage.empty()) describe_by_loader(instruction, frame);
      return {frame};
    }
    if (frames.back().function.empty()) frames.back().function = by_symbol.display;
    frames.back().linkage_name = by_symbol.linkage;
    return frames;
  }

  // What the dynamic linker knows, for memory that libdw does not.
  static void describe_by_loader(std::uintptr_t instruction, SymbolizedFrame& frame) {
    Dl_info info{};
    if (dladdr(reinterpret_cast<void*>(instruction), &info) == 0) return;
    if (frame.module.empty() && info.dli_fname) {
      frame.module = info.dli_fname;
      frame.module_offset = frame.address - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
    }
    if (!info.dli_sname) return;
    const FunctionName name = name_of_symbol(info.dli_sname);
    frame.function = name.display;
    frame.linkage_name = name.linkage;
  }

  // Empty when no debug information covers the address.
  std::vector<SymbolizedFrame> look_up_debug_info(Dwfl_Module* module, std::uintptr_t instruction,
                                                  const SymbolizedFrame& common) {
    Dwarf_Addr bias = 0;
    Dwarf_Die unit;
    if (!find_unit(module, instruction, &unit, &bias)) return {};
    const Dwarf_Addr address = instruction - bias;
    // The function, then the inlined calls around the address, from the outside inwards.
    const std::vector<Dwarf_Die> calls = find_calls(&unit, address);
    if (calls.empty()) return {};  // a line without a function would be that of some neighbour

    SymbolizedFrame frame = common;
    if (Dwarf_Line* line = dwarf_getsrc_die(&unit, address)) {
      frame.file = absolute_path(&unit, dwarf_linesrc(line, nullptr, nullptr));
      dwarf_lineno(line, &frame.line);
    }
    Dwarf_Files* files = nullptr;
    dwarf_getsrcfiles(&unit, &files, nullptr);
    std::vector<SymbolizedFrame> frames;
    for (std::size_t i = calls.size(); i-- > 0;) {
      Dwarf_Die die = calls[i];
      const FunctionName name = name_of_die(&die);
      frame.function = name.display;
      frame.linkage_name = name.linkage;
      frame.inlined = i > 0;
      frames.push_back(frame);
      if (!frame.inlined) break;
      // Where the caller calls it.
      const auto file = static_cast<std::size_t>(unsigned_attribute(&die, DW_AT_call_file));
      frame.file = files ? absolute_path(&unit, dwarf_filesrc(files, file, nullptr, nullptr)) : std::string();
      frame.line = unsigned_attribute(&die, DW_AT_call_line);
    }
    return frames;
  }

  bool find_unit(Dwfl_Module* module, std::uintptr_t instruction, Dwarf_Die* unit, Dwarf_Addr* bias) {
    if (Dwarf_Die* found = dwfl_module_addrdie(module, instruction, bias)) {
      *unit = *found;
      return true;
    }
    Dwarf* debug = dwfl_module_getdwarf(module, bias);
    if (!debug) return false;
    const auto [entry, fresh] = units_.try_emplace(module);
    if (fresh) index_units(debug, entry->second);
    const AddressRange* range = find_range(entry->second, instruction - *bias);
    return range && dwarf_offdie(debug, range->die, unit) != nullptr;
  }

  static void index_units(Dwarf* debug, std::vector<AddressRange>& units) {
    std::size_t header_size = 0;
    Dwarf_Off next = 0;
    for (Dwarf_Off at = 0; dwarf_nextcu(debug, at, &next, &header_size, nullptr, nullptr, nullptr) == 0;
         at = next) {
      Dwarf_Die unit;
      if (dwarf_offdie(debug, at + header_size, &unit)) add_ranges(&unit, at + header_size, units);
    }
    sort_ranges(units);
  }

  std::vector<Dwarf_Die> find_calls(Dwarf_Die* unit, Dwarf_Addr address) {
    const auto [entry, fresh] = functions_.try_emplace(unit->addr);
    if (fresh) {
      collect_functions(unit, entry->second);
      sort_ranges(entry->second);
    }
    const AddressRange* range = find_range(entry->second, address);
    Dwarf_Die die;
    if (!range || !dwarf_offdie(dwarf_cu_getdwarf(unit->cu), range->die, &die)) return {};
    std::vector<Dwarf_Die> calls{die};
    while (calls.size() < kMaxInlined && descend(&die, address)) {
      if (dwarf_tag(&die) == DW_TAG_inlined_subroutine) calls.push_back(die);
    }
    return calls;
  }

  // Moves `die` to its child, a block or an inlined call, that contains the address.
  static bool descend(Dwarf_Die* die, Dwarf_Addr address) {
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

  Dwfl* dwfl_;
  std::uint64_t generation_ = 0;
  std::unordered_map<Dwfl_Module*, std::vector<AddressRange>> units_;
  std::unordered_map<void*, std::vector<AddressRange>> functions_;  // by CU
  std::unordered_map<std::uintptr_t, std::vector<SymbolizedFrame>> cache_;
};

std::mutex g_mutex;

// Never destroyed: traces are printed to the very end of a program. Guarded by g_mutex.
Symbolizer& symbolizer() {
  static auto* instance = new Symbolizer;
  return *instance;
}

}  // namespace

std::vector<SymbolizedFrame> symbolize(std::uintptr_t address, bool exact) {
  const std::lock_guard lock(g_mutex);
  return symbolizer().resolve(address, exact);
}

void refresh_modules() {
  const std::lock_guard lock(g_mutex);
  symbolizer().report();
  flush_unwind_cache();
}

std::string source_line(const std::string& file, int line) {
  constexpr std::size_t kMaxFiles = 64;
  static auto* files = new std::unordered_map<std::string, std::vector<std::string>>;
  static auto* mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  if (files->size() >= kMaxFiles && !files->contains(file)) files->clear();
  const auto [entry, fresh] = files->try_emplace(file);
  if (fresh) {
    std::ifstream in(file);
    for (std::string text; std::getline(in, text);) entry->second.push_back(text);
  }
  if (line < 1 || static_cast<std::size_t>(line) > entry->second.size()) return {};
  const std::string& text = entry->second[static_cast<std::size_t>(line) - 1];
  constexpr const char* kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string demangle(const char* mangled) {
  if (!mangled) return {};
  // Anything else could be taken for a type: "f" is float.
  if (std::strncmp(mangled, "_Z", 2) != 0) return mangled;
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 && name ? name.get() : mangled;
}

std::string display_name(const std::string& demangled) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)";
  const std::string_view text = demangled;
  std::string name;
  bool after_parameters = false;  // what follows, up to the next ::, are qualifiers
  bool in_conversion = false;     // the blanks in `operator unsigned int` are part of the name
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const bool starts_word = i == 0 || !is_name_character(text[i - 1]);
    if (after_parameters) {
      if (c == '(' || c == '[') {  // noexcept(...), [clone .cold]
        i = skip_brackets(text, i);
      } else if (text.substr(i).starts_with("::")) {
        after_parameters = false;
      } else {
        ++i;
      }
    } else if (const std::size_t length = starts_word ? operator_length(text.substr(i)) : 0; length > 0) {
      name += text.substr(i, length);
      in_conversion = text.substr(i, length) == "operator ";
      i += length;
      if (text.substr(i).starts_with(" <")) ++i;  // operator<< <char>: a blank before template arguments
    } else if (text.substr(i).starts_with(kAnonymous)) {
      name += kAnonymous;
      i += kAnonymous.size();
    } else if (c == '(') {
      i = skip_brackets(text, i);
      after_parameters = !name.empty();
      in_conversion = false;
    } else if (c == '<' || c == '{' || c == '[') {
      const std::size_t end = skip_brackets(text, i);
      name += text.substr(i, end - i);
      i = end;
    } else if (c == ' ' && !in_conversion) {  // before it stood the return type
      name.clear();
      ++i;
    } else {
      name += c;
      ++i;
    }
  }
  return name.empty() ? demangled : name;
}

}  // namespace aiofiber::runtime
