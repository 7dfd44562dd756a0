// SPDX-License-Identifier: Apache-2.0
//
// One libdwfl session for this process; answers are cached by address.
#include <aiofiber/runtime/inspect/symbolize.h>

#include <absl/strings/str_cat.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "inspect/debug_file.h"
#include "inspect/debug_info.h"
#include "inspect/libdw.h"
#include "inspect/module_symbols.h"
#include "inspect/process_modules.h"
#include "inspect/symbolize_lock.h"

namespace aiofiber::runtime {
namespace {

// The number of loads and unloads of libraries: changes with each dlopen() and dlclose().
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

// The start in memory of the module that contains the address; 0: none.
std::uintptr_t loaded_at(std::uintptr_t address) {
  struct Search {
    std::uintptr_t address, start = 0;
  } search{address};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        Search& wanted = *static_cast<Search*>(argument);
        std::uintptr_t first = 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          const std::uintptr_t low = info->dlpi_addr + segment.p_vaddr;
          if (first == 0) first = low;
          if (wanted.address >= low && wanted.address - low < segment.p_memsz) wanted.start = first;
        }
        return wanted.start != 0 ? 1 : 0;
      },
      &search);
  return search.start;
}

class Symbolizer {
 public:
  // Before each look-up that is not answered from the cache. libdw may be there only now.
  void prepare() {
    if (dwfl_ == nullptr && open_libdw()) {
      dwfl_ = libdw().dwfl_begin(callbacks());
      report();
    }
    if (loader_generation() != generation_) report();
  }

  const std::vector<SymbolizedFrame>& resolve(std::uintptr_t address, bool exact) {
    if (dwfl_ == nullptr) cache_.clear();  // answers without libdw
    if (loader_generation() != generation_) report();
    const std::uintptr_t instruction = exact ? address : address - 1;
    if (const auto known = cache_.find(instruction); known != cache_.end()) {
      for (auto& frame : known->second) {  // it may have been requested as the other kind of address
        frame.module_offset += address - frame.address;
        frame.address = address;
      }
      return known->second;
    }
    prepare();
    if (cache_.size() >= kMaxCached) cache_.clear();
    return cache_[instruction] = look_up(address, instruction);
  }

  std::string variable(std::uintptr_t address) {
    prepare();
    // libdwfl knows only the part of a module that is in the file, not the zero-initialised variables.
    const std::uintptr_t start = loaded_at(address);
    Dwfl_Module* module = dwfl_ && start != 0 ? libdw().dwfl_addrmodule(dwfl_, start) : nullptr;
    GElf_Off offset = 0;
    GElf_Sym symbol{};
    const char* name =
        module ? libdw().dwfl_module_addrinfo(module, address, &offset, &symbol, nullptr, nullptr, nullptr)
               : nullptr;
    if (name == nullptr || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || offset >= symbol.st_size) return {};
    std::string text = name_of_symbol(name).display;
    if (offset != 0) absl::StrAppend(&text, "+0x", absl::Hex(offset));
    return text;
  }

  void for_each_symbol(const std::function<void(const ModuleSymbol&)>& visit) {
    prepare();
    if (dwfl_)
      libdw().dwfl_getmodules(dwfl_, &visit_module, const_cast<void*>(static_cast<const void*>(&visit)), 0);
  }

  std::string variable_file(std::uintptr_t address) {
    prepare();
    const std::uintptr_t start = loaded_at(address);
    Dwfl_Module* module = dwfl_ && start != 0 ? libdw().dwfl_addrmodule(dwfl_, start) : nullptr;
    return module != nullptr ? DebugInfo::file_of_variable(module, address) : std::string();
  }

  std::vector<DataSymbol> variables(std::uintptr_t address) {
    prepare();
    std::vector<DataSymbol> found;
    const std::uintptr_t start = loaded_at(address);
    Dwfl_Module* module = dwfl_ && start != 0 ? libdw().dwfl_addrmodule(dwfl_, start) : nullptr;
    const int count = module ? libdw().dwfl_module_getsymtab(module) : 0;
    std::string file;
    for (int i = 1; i < count; ++i) {
      GElf_Sym symbol{};
      GElf_Addr at = 0;
      const char* name = libdw().dwfl_module_getsym_info(module, i, &symbol, &at, nullptr, nullptr, nullptr);
      if (name == nullptr) continue;
      if (GELF_ST_TYPE(symbol.st_info) == STT_FILE) file = name;
      if (GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || symbol.st_size == 0 || symbol.st_shndx == SHN_UNDEF)
        continue;
      const FunctionName names = name_of_symbol(name);
      const bool local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL;
      found.push_back({at, symbol.st_size, names.display, name, local ? file : std::string()});
    }
    std::sort(found.begin(), found.end(),
              [](const DataSymbol& a, const DataSymbol& b) { return a.address < b.address; });
    return found;
  }

 private:
  // Reads the list of modules, and forgets the answers from the old list.
  void report() {
    debug_info_.clear();
    cache_.clear();
    generation_ = loader_generation();
    if (!dwfl_) return;
    libdw().dwfl_report_begin(dwfl_);
    report_process_modules(dwfl_, getpid());
    libdw().dwfl_report_end(dwfl_, nullptr, nullptr);
  }

  static int visit_module(Dwfl_Module* module, void**, const char* path, Dwarf_Addr, void* argument) {
    const auto& visit = *static_cast<const std::function<void(const ModuleSymbol&)>*>(argument);
    const char* file = nullptr;
    const int count = libdw().dwfl_module_getsymtab(module);
    for (int i = 1; i < count; ++i) {
      GElf_Sym symbol{};
      GElf_Addr address = 0;
      GElf_Word section = 0;
      const char* name =
          libdw().dwfl_module_getsym_info(module, i, &symbol, &address, &section, nullptr, nullptr);
      const unsigned char type = GELF_ST_TYPE(symbol.st_info);
      if (name == nullptr || *name == '\0') continue;
      if (type == STT_FILE) file = name;
      if (type == STT_FILE || section == SHN_UNDEF) continue;
      const bool local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL;
      visit({path, local ? file : nullptr, name, address, symbol.st_size, type, local});
    }
    return DWARF_CB_OK;
  }

  static constexpr std::size_t kMaxCached = 65'536;

  static const Dwfl_Callbacks* callbacks() {
    static char* debug_path = nullptr;
    static const Dwfl_Callbacks result{
        .find_elf = libdw().dwfl_linux_proc_find_elf,
        .find_debuginfo = find_debug_file,
        .section_address = libdw().dwfl_offline_section_address,
        .debuginfo_path = &debug_path,
    };
    return &result;
  }

  std::vector<SymbolizedFrame> look_up(std::uintptr_t address, std::uintptr_t instruction) {
    SymbolizedFrame frame;
    frame.address = address;
    frame.function = "??";
    Dwfl_Module* module = dwfl_ ? libdw().dwfl_addrmodule(dwfl_, instruction) : nullptr;
    Dwarf_Addr start = 0, end = 0;
    const char* path =
        module ? libdw().dwfl_module_info(module, nullptr, &start, &end, nullptr, nullptr, nullptr, nullptr)
               : nullptr;
    if (!module || instruction < start || instruction >= end) {  // libdwfl adds the next page to a module
      describe_by_loader(instruction, frame);
      return {frame};
    }
    frame.module = path ? path : "";
    frame.module_offset = address - start;
    frame.build_id = build_id(module);

    std::vector<SymbolizedFrame> frames;
    for (DebugFrame& found : debug_info_.look_up(module, instruction)) {
      frame.function = std::move(found.name.display);
      frame.linkage_name = std::move(found.name.linkage);
      frame.file = std::move(found.file);
      frame.line = found.line;
      frame.inlined = found.inlined;
      frames.push_back(frame);
    }
    if (frames.size() == 1 && frames[0].file.empty() && frames[0].linkage_name.empty())
      describe_by_loader(instruction, frames[0]);
    return frames;
  }

  // Uses the dynamic linker's symbols, for memory that libdw does not know.
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

  Dwfl* dwfl_ = nullptr;  // null until libdw is open
  std::uint64_t generation_ = 0;
  DebugInfo debug_info_;
  std::unordered_map<std::uintptr_t, std::vector<SymbolizedFrame>> cache_;
};

std::mutex g_names_mutex;
std::atomic<pthread_t> g_names_owner{};  // of g_names_mutex; 0: nobody

class LookUp {
 public:
  LookUp() {
    g_names_mutex.lock();
    g_names_owner.store(pthread_self(), std::memory_order_relaxed);
  }
  ~LookUp() {
    g_names_owner.store(0, std::memory_order_relaxed);
    g_names_mutex.unlock();
  }
  LookUp(const LookUp&) = delete;
  LookUp& operator=(const LookUp&) = delete;
};

// Never destroyed: traces are printed until the very end of a program. Guarded by g_names_mutex.
Symbolizer& symbolizer() {
  static auto* instance = new Symbolizer;
  return *instance;
}

}  // namespace

std::vector<SymbolizedFrame> symbolize(std::uintptr_t address, bool exact) {
  const LookUp lock;
  return symbolizer().resolve(address, exact);
}

bool this_thread_symbolizes() noexcept {
  return g_names_owner.load(std::memory_order_relaxed) == pthread_self();
}

bool prepare_symbols() noexcept { return open_libdw(); }

std::string missing_names() {
  const std::string trouble = libdw_trouble();
  return trouble.empty() ? trouble : "Names and lines are missing: " + trouble + '.';
}

void for_each_module_symbol(const std::function<void(const ModuleSymbol&)>& visit) {
  const LookUp lock;
  symbolizer().for_each_symbol(visit);
}

std::vector<DataSymbol> data_symbols(std::uintptr_t address) {
  const LookUp lock;
  return symbolizer().variables(address);
}

std::string file_of_variable(std::uintptr_t address) {
  const LookUp lock;
  return symbolizer().variable_file(address);
}

std::string data_symbol(std::uintptr_t address) {
  const LookUp lock;
  return symbolizer().variable(address);
}

}  // namespace aiofiber::runtime
