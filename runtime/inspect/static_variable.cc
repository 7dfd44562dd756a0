// SPDX-License-Identifier: Apache-2.0
//
// The symbols that fit a name, and the choice among them; the mappings and modules around an address.
#include "inspect/static_variable.h"

#include <absl/strings/str_cat.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <functional>
#include <system_error>
#include <vector>

#include "aiofiber/runtime/inspect/function_name.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "inspect/module_symbols.h"

namespace aiofiber::runtime {

namespace {

struct Candidate {
  std::string symbol, file, module;
  std::uintptr_t address = 0;
  std::size_t bytes = 0;
  unsigned char type = 0;
  bool local = false;
  bool as_spelled = false;
};

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// `chunk.0` or `chunk.1234`: g++'s name for a static in a function. `function.chunk`: clang's; a second one
// in the function is `function.chunk.1`.
bool is_static_in_function(std::string_view symbol, std::string_view name) {
  const std::size_t dot = symbol.rfind('.');
  if (dot == std::string_view::npos) return false;
  const bool numbered =
      dot + 1 < symbol.size() && symbol.find_first_not_of("0123456789", dot + 1) == std::string_view::npos;
  if (numbered) symbol.remove_suffix(symbol.size() - dot);
  if (symbol == name) return numbered;
  return symbol.size() > name.size() + 1 && symbol.ends_with(name) &&
         symbol[symbol.size() - name.size() - 1] == '.';
}

// A mangled name of C++, whose readable form is the name, or that of a static in a function: `f(int)::chunk`.
bool is_readable_as(const char* symbol, std::string_view name) {
  const std::size_t colons = name.rfind("::");
  const std::string_view last = colons == std::string_view::npos ? name : name.substr(colons + 2);
  if (std::string_view(symbol).find(last) == std::string_view::npos) return false;  // spares the demangling
  const std::string readable = demangle(symbol);
  if (readable == name) return true;
  return colons == std::string_view::npos && readable.find('(') != std::string::npos &&
         readable.ends_with(std::string(")::").append(name));
}

enum class Fit : unsigned char { kNot, kInSource, kAsSpelled };
std::string_view without_version(std::string_view symbol) { return symbol.substr(0, symbol.find('@')); }

Fit fit(const char* symbol, bool local, std::string_view name) {
  const std::string_view text = without_version(symbol);
  if (text == name) return Fit::kAsSpelled;
  const bool in_source =
      text.starts_with("_Z") ? is_readable_as(symbol, name) : local && is_static_in_function(text, name);
  return in_source ? Fit::kInSource : Fit::kNot;
}

std::vector<Candidate> find_candidates(std::string_view place, std::string_view name, bool& any_local) {
  std::vector<Candidate> found;
  char program[4096];
  const ssize_t length = ::readlink("/proc/self/exe", program, sizeof program);
  const std::string_view executable(program, length > 0 ? static_cast<std::size_t>(length) : 0);
  for_each_module_symbol([&](const ModuleSymbol& symbol) {
    any_local = any_local || (symbol.local && symbol.type == STT_OBJECT && executable == symbol.module);
    if (symbol.type != STT_OBJECT && symbol.type != STT_COMMON && symbol.type != STT_TLS &&
        symbol.type != STT_FUNC)
      return;
    const Fit how = fit(symbol.name, symbol.local, name);
    if (how == Fit::kNot) return;
    const std::string_view file = symbol.file != nullptr ? symbol.file : "";
    if (!place.empty() && base_name(file) != place && file != place && base_name(symbol.module) != place &&
        symbol.module != place)
      return;
    const auto same = [&](const Candidate& other) {
      return other.address == symbol.address && other.type == symbol.type;
    };
    if (std::any_of(found.begin(), found.end(), same)) return;
    found.push_back({symbol.name, std::string(file), symbol.module,
                     static_cast<std::uintptr_t>(symbol.address), static_cast<std::size_t>(symbol.bytes),
                     symbol.type, symbol.local, how == Fit::kAsSpelled});
  });
  return found;
}

// Of an exported variable there may be copies that nobody uses: a program has its own of a library's. The
// loader's choice is the one in use.
void keep_what_the_loader_binds(std::vector<Candidate>& found) {
  for (const Candidate& one : found) {
    if (one.local) continue;
    const std::string symbol(without_version(one.symbol));
    const auto bound = reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, symbol.c_str()));
    if (bound != one.address) continue;
    std::erase_if(found, [&](const Candidate& other) {
      return !other.local && other.address != bound && without_version(other.symbol) == symbol;
    });
    return;
  }
}

[[noreturn]] void refuse(int error, const std::string& why) {
  throw std::system_error(error, std::generic_category(), why);
}

// The offset of `address` in the thread's own thread_locals, as a module's: true.
bool is_thread_local(std::uintptr_t address) {
  return dl_iterate_phdr(
             [](dl_phdr_info* module, std::size_t, void* argument) {
               const auto at = *static_cast<const std::uintptr_t*>(argument);
               const auto start = reinterpret_cast<std::uintptr_t>(module->dlpi_tls_data);
               for (int i = 0; start != 0 && i < module->dlpi_phnum; ++i) {
                 const ElfW(Phdr)& segment = module->dlpi_phdr[i];
                 if (segment.p_type == PT_TLS && at >= start && at - start < segment.p_memsz) return 1;
               }
               return 0;
             },
             &address) != 0;
}

}  // namespace

StaticVariable find_static_variable(std::string_view full_name) {
  std::size_t colon = full_name.rfind(':');
  while (colon != std::string_view::npos && colon > 0 && full_name[colon - 1] == ':')
    colon = colon > 1 ? full_name.rfind(':', colon - 2) : std::string_view::npos;
  const std::string shown(full_name);
  const std::string_view place = colon == std::string_view::npos ? "" : full_name.substr(0, colon);
  const std::string_view name = colon == std::string_view::npos ? full_name : full_name.substr(colon + 1);
  if (name.empty()) refuse(ENOENT, absl::StrCat("'", shown, "' is not the name of a variable"));
  bool any_local = false;
  std::vector<Candidate> found = find_candidates(place, name, any_local);
  keep_what_the_loader_binds(found);
  // A function of the same name does not count beside variables.
  const auto is_function = [](const Candidate& one) { return one.type == STT_FUNC; };
  if (!std::all_of(found.begin(), found.end(), is_function)) std::erase_if(found, is_function);
  // In one file, the symbol's own spelling tells a global from the statics in functions.
  const auto as_spelled = [](const Candidate& one) { return one.as_spelled; };
  if (!place.empty() && std::count_if(found.begin(), found.end(), as_spelled) == 1)
    std::erase_if(found, std::not_fn(as_spelled));
  if (const std::string why = missing_names(); found.empty() && !why.empty())
    refuse(ENOENT, absl::StrCat("the variable '", shown, "' cannot be looked up. ", why));
  if (found.empty())
    refuse(ENOENT, absl::StrCat("there is no variable '", shown, "' in the program or its libraries",
                                any_local ? ""
                                          : ". The program has no full symbol table (it is stripped), so "
                                            "only exported names are known of it"));
  if (found.size() > 1) {
    std::string list;
    for (const Candidate& one : found)
      absl::StrAppend(&list, list.empty() ? "" : "; ", one.symbol, " (", one.bytes, " bytes, ",
                      one.file.empty() ? "" : absl::StrCat(one.file, ", "), one.module, ")");
    refuse(ENOTUNIQ, absl::StrCat(found.size(), " variables have the name '", shown, "': ", list,
                                  ". Write FILE:NAME, MODULE:NAME or one of these symbols"));
  }
  const Candidate& only = found.front();
  if (only.type == STT_TLS)
    refuse(ENOTSUP, absl::StrCat("'", shown, "' is a thread_local: each thread has one of its own"));
  if (only.type == STT_FUNC) refuse(EFAULT, absl::StrCat("'", shown, "' is a function"));
  if (only.bytes == 0) refuse(EFAULT, absl::StrCat("the symbol '", shown, "' does not say its size"));
  return {only.address, only.bytes};
}

MemoryRefusal refuse_as_variable(const void* begin, std::size_t bytes) {
  const auto low = reinterpret_cast<std::uintptr_t>(begin);
  if (is_thread_local(low)) return {ENOTSUP, "it is a thread_local: each thread has one of its own"};
  std::ifstream maps("/proc/self/maps");
  if (!maps) return {};
  maps.exceptions(std::ios::badbit);  // bad_alloc leaves it
  const std::uintptr_t high = low + bytes;
  if (high < low) return {EFAULT, "there is no memory"};
  std::uintptr_t next = low;
  for (std::string line; next < high && std::getline(maps, line);) {
    unsigned long long from = 0, to = 0;
    char rights[8] = "";
    if (std::sscanf(line.c_str(), "%llx-%llx %7s", &from, &to, rights) != 3 || to <= next) continue;
    if (from > next) break;
    if (rights[0] != 'r' || rights[1] != 'w') return {EFAULT, "its memory cannot be written"};
    if (rights[3] == 's') return {EFAULT, "its memory is shared with other processes"};
    if (line.ends_with("[stack]")) return {EINVAL, "it is a local variable"};
    next = static_cast<std::uintptr_t>(to);
  }
  if (next < high) return {EFAULT, "there is no memory"};
  return {};
}

void keep_module_loaded(const void* address) noexcept {
  Dl_info info;
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return;
  // The handle is kept. The program itself is not found by its name, and is never unloaded.
  static_cast<void>(::dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE));
}

}  // namespace aiofiber::runtime
