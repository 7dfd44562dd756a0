// SPDX-License-Identifier: Apache-2.0
//
// Lists the writable parts of the loaded modules, and what in them is a variable of the program.
#include "shared_state/watched_memory.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "aiofiber/runtime/inspect/symbolize.h"
#include "shared_state/known_pages.h"
#include "shared_state/raw_bytes.h"

namespace aiofiber::runtime::shared_state {

namespace {

using Pieces = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;

struct Module {
  std::string path;
  Pieces data;
};

constexpr std::uintptr_t page_below(std::uintptr_t address) { return address & ~(kPageBytes - 1); }
constexpr std::uintptr_t page_above(std::uintptr_t address) { return page_below(address + kPageBytes - 1); }

std::string program_path() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

std::vector<Module> loaded_modules() {
  std::vector<Module> modules;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        auto& found = *static_cast<std::vector<Module>*>(result);
        Module module{found.empty() ? program_path() : info->dlpi_name, {}};
        std::uintptr_t constant_low = 0, constant_high = 0;  // what the loader has made read-only
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_GNU_RELRO) continue;
          constant_low = page_below(info->dlpi_addr + segment.p_vaddr);
          constant_high = page_below(info->dlpi_addr + segment.p_vaddr + segment.p_memsz);
        }
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
          const std::uintptr_t low = info->dlpi_addr + segment.p_vaddr, high = low + segment.p_memsz;
          if (page_below(low) < constant_low) module.data.emplace_back(low, std::min(high, constant_low));
          if (const std::uintptr_t after = std::max(low, constant_high); after < high)
            module.data.emplace_back(after, high);
        }
        found.push_back(std::move(module));
        return 0;
      },
      &modules);
  return modules;
}

bool is_system(const std::string& path) {
  for (const char* folder : {"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/"}) {
    if (path.starts_with(folder)) return true;
  }
  return path.empty() || path[0] != '/' || path.find("libaiofiber_hooks") != std::string::npos;
}

bool is_wanted(const Module& module, bool is_program, std::span<const std::string> wanted) {
  if (wanted.empty()) return is_program || !is_system(module.path);
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const std::string& part) { return module.path.find(part) != std::string::npos; });
}

// Whether a variable is aiofiber's or the standard library's: by its linkage name. The variables that libc
// exports are in the program if the program uses them. Of these only getopt's results are a task's.
bool is_library_variable(std::string_view name) {
  if (name.starts_with("_ZGV") || name.starts_with("DW.ref.")) return true;  // the compiler's
  if (name.starts_with("_ZZ")) name.remove_prefix(2);
  for (const std::string_view prefix : {"_ZN8aiofiber",  "_ZNK8aiofiber",
                                        "ZN8aiofiber",   "ZNK8aiofiber",
                                        "N8aiofiber",    "NK8aiofiber",
                                        "aiofiber_",     "_ZSt",
                                        "ZSt",           "St",
                                        "_ZNSt",         "_ZNKSt",
                                        "ZNSt",          "ZNKSt",
                                        "NSt",           "NKSt",
                                        "_ZTV",          "_ZTI",
                                        "_ZTS",          "_ZTT",
                                        "_ZN9__gnu_cxx", "_ZN10__cxxabiv1",
                                        "__asan",        "__odr_asan",
                                        "__tsan",        "__sanitizer",
                                        "__ubsan"}) {
    if (name.starts_with(prefix)) return true;
  }
  for (const std::string_view own : {"stdin",
                                     "stdout",
                                     "stderr",
                                     "environ",
                                     "__environ",
                                     "_environ",
                                     "program_invocation_name",
                                     "program_invocation_short_name",
                                     "__progname",
                                     "__progname_full",
                                     "timezone",
                                     "__timezone",
                                     "daylight",
                                     "__daylight",
                                     "tzname",
                                     "__tzname",
                                     "completed.0",
                                     "__dso_handle",
                                     "_DYNAMIC",
                                     "_GLOBAL_OFFSET_TABLE_"}) {
    if (name.substr(0, name.find('@')) == own) return true;
  }
  return false;
}

// The compiler numbers the statics of functions: `place.0`. The linker adds versions: `optarg@GLIBC_2.2.5`.
std::string plain_name(std::string name) {
  name = name.substr(0, name.find('@'));
  const std::size_t dot = name.rfind('.');
  const bool numbered = dot != std::string::npos && dot > 0 && dot + 1 < name.size() &&
                        name.find_first_not_of("0123456789", dot + 1) == std::string::npos;
  return numbered ? name.substr(0, dot) : name;
}

}  // namespace

WatchedMemory::WatchedMemory(Arena& arena, std::span<const std::string> modules,
                             std::span<const std::string> ignored, bool with_heap)
    : arena_(arena), with_heap_(with_heap) {
  bool is_program = true;
  for (const Module& module : loaded_modules()) {
    if (is_wanted(module, std::exchange(is_program, false), modules))
      add_module(module.path, module.data, ignored);
  }
  std::sort(variables_.begin(), variables_.end(),
            [](const Variable& a, const Variable& b) { return a.address < b.address; });
  pages_ = static_cast<Page*>(arena_.allocate(page_count_ * sizeof(Page)));
  auto* shadows = static_cast<char*>(arena_.allocate(bytes()));
  if (pages_ == nullptr || shadows == nullptr) throw std::bad_alloc();
  for (const Range& range : ranges_) {
    for (std::uintptr_t at = range.low; at < range.high; at += kPageBytes) {
      const std::size_t index = range.first_page + (at - range.low) / kPageBytes;
      Page& page = *new (&pages_[index]) Page();
      page.memory = reinterpret_cast<char*>(at);
      page.shadow = shadows + index * kPageBytes;
      page.known = with_heap_ ? make_known_page(at) : nullptr;
      if (page.known == nullptr) continue;
      page.known->page = &page;
      page.known->kind.store(PageKind::kStatic, std::memory_order_relaxed);
    }
  }
  for (const auto& [address, size] : excluded_) exclude(address, size);
  for (Page& page : pages()) page.ignored = page.excluded.all();
}

WatchedMemory::~WatchedMemory() {
  for (; heap_ != nullptr; heap_ = heap_->next_of_heap) heap_->known->page = nullptr;
  for (const Page& page : pages()) {
    if (page.known == nullptr) continue;
    page.known->page = nullptr;
    page.known->kind.store(PageKind::kUnknown, std::memory_order_relaxed);
  }
}

void WatchedMemory::add_module(const std::string& path,
                               std::span<const std::pair<std::uintptr_t, std::uintptr_t>> data,
                               std::span<const std::string> ignored) {
  std::vector<DataSymbol> symbols;
  if (!data.empty()) symbols = data_symbols(data[0].first);
  for (const auto& [low, high] : data) {
    const std::uintptr_t first = page_below(low), end = page_above(high);
    ranges_.push_back({first, end, page_count_});
    page_count_ += (end - first) / kPageBytes;
    // What is no variable is excluded. Without symbols, all of the module's data is watched.
    std::uintptr_t known = first;
    for (const DataSymbol& symbol : symbols) {
      const std::uintptr_t begin = symbol.address, after = begin + symbol.size;
      if (begin < low || after > high || begin < known) continue;
      const std::string name = plain_name(symbol.name);
      if (is_library_variable(symbol.linkage_name) ||
          std::find(ignored.begin(), ignored.end(), name) != ignored.end())
        continue;
      if (begin > known) excluded_.emplace_back(known, begin - known);
      known = after;
      variables_.push_back({begin, symbol.size, name, symbol.file, path});
    }
    if (symbols.empty()) {
      excluded_.emplace_back(first, low - first);
      known = high;
      variables_.push_back({low, high - low, {}, {}, path});
    }
    if (end > known) excluded_.emplace_back(known, end - known);
  }
}

void WatchedMemory::exclude(std::uintptr_t address, std::size_t bytes) noexcept {
  for (const std::uintptr_t end = address + bytes; address < end;) {
    const std::uintptr_t next = std::min(end, page_below(address) + kPageBytes);
    if (Page* const page = find(address)) {
      const std::uintptr_t base = page_below(address);
      page->excluded.add(address - base, next - base);
      page->ignored = page->excluded.all();
    }
    address = next;
  }
}

Page* WatchedMemory::find(std::uintptr_t address) noexcept {
  if (!with_heap_) return find_static(address);
  KnownPage* const known = known_page(address);
  if (known == nullptr || known->kind.load(std::memory_order_relaxed) == PageKind::kUnknown) return nullptr;
  return known->page != nullptr ? known->page : make_heap_page(address, *known);
}

// The first use of a page of the heap.
Page* WatchedMemory::make_heap_page(std::uintptr_t address, KnownPage& known) noexcept {
  if (arena_.is_full()) return nullptr;
  Page* const page = arena_.make<Page>();
  auto* const shadow = static_cast<char*>(arena_.allocate(kPageBytes));
  if (page == nullptr || shadow == nullptr) return nullptr;
  page->memory = reinterpret_cast<char*>(page_below(address));
  page->shadow = shadow;
  copy_bytes(shadow, page->memory, kPageBytes);
  page->is_heap = true;
  page->known = &known;
  page->next_of_heap = std::exchange(heap_, page);
  return known.page = page;
}

Page* WatchedMemory::find_static(std::uintptr_t address) noexcept {
  for (const Range& range : ranges_) {
    if (address >= range.low && address < range.high)
      return &pages_[range.first_page + (address - range.low) / kPageBytes];
  }
  return nullptr;
}

const Variable* WatchedMemory::variable_at(std::uintptr_t address) const noexcept {
  const auto after = std::upper_bound(variables_.begin(), variables_.end(), address,
                                      [](std::uintptr_t at, const Variable& v) { return at < v.address; });
  if (after == variables_.begin()) return nullptr;
  const Variable& found = *(after - 1);
  return address - found.address < found.size ? &found : nullptr;
}

}  // namespace aiofiber::runtime::shared_state
