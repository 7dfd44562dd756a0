// SPDX-License-Identifier: Apache-2.0
//
// Finds the tables. libc exports one by name. The others are in the same region and are recognized by two
// functions that all of them share: _IO_file_read and _IO_file_write.
#include "hooks/glibc/stdio_tables.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace aiofiber::hooks {

namespace {

struct KnownSlot {
  StdioSlot slot;
  const char* name;
};
// The functions in _IO_file_jumps that libc exports.
constexpr KnownSlot kKnownSlots[] = {
    {StdioSlot::kFinish, "_IO_file_finish"},
    {StdioSlot::kOverflow, "_IO_file_overflow"},
    {StdioSlot::kUnderflow, "_IO_file_underflow"},
    {StdioSlot::kUflow, "_IO_default_uflow"},
    {StdioSlot::kPbackfail, "_IO_default_pbackfail"},
    {StdioSlot::kXsputn, "_IO_file_xsputn"},
    {StdioSlot::kSeekoff, "_IO_file_seekoff"},
    {StdioSlot::kSetbuf, "_IO_file_setbuf"},
    {StdioSlot::kSync, "_IO_file_sync"},
    {StdioSlot::kDoallocate, "_IO_file_doallocate"},
    {StdioSlot::kRead, "_IO_file_read"},
    {StdioSlot::kWrite, "_IO_file_write"},
    {StdioSlot::kSeek, "_IO_file_seek"},
    {StdioSlot::kClose, "_IO_file_close"},
    {StdioSlot::kStat, "_IO_file_stat"},
};

constexpr unsigned index_of(StdioSlot slot) { return static_cast<unsigned>(slot); }

struct Region {
  const void* within;  // in: an address of the module
  char* low = nullptr;
  char* high = nullptr;
  const char* code_low = nullptr;
  const char* code_high = nullptr;
};

// The pages that the loader makes read-only, and the code, of the module that has `within` in those pages.
int find_region(dl_phdr_info* module, std::size_t, void* argument) {
  auto& region = *static_cast<Region*>(argument);
  const auto at = reinterpret_cast<std::uintptr_t>(region.within);
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = module->dlpi_phdr[i];
    const std::uintptr_t low = module->dlpi_addr + segment.p_vaddr;
    const std::uintptr_t high = low + segment.p_memsz;
    if (segment.p_type == PT_GNU_RELRO && at >= low && at < high) {
      // Rounded as the loader does: a page that is shared with writable data stays writable.
      region.low = reinterpret_cast<char*>(low & ~(page - 1));
      region.high = reinterpret_cast<char*>(high & ~(page - 1));
    }
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0) {
      region.code_low = reinterpret_cast<const char*>(low);
      region.code_high = reinterpret_cast<const char*>(high);
    }
  }
  return region.low != nullptr ? 1 : 0;
}

}  // namespace

const void* table_of(const std::FILE* file) noexcept {
  const void* table;
  std::memcpy(&table, file + 1, sizeof table);
  return table;
}

WidePointers* wide_pointers(std::FILE* file) noexcept {
  return file->_mode > 0 ? reinterpret_cast<WidePointers*>(file->_wide_data) : nullptr;
}

void* StdioTables::get(unsigned table, unsigned slot) const noexcept { return tables_[table][slot]; }

const char* StdioTables::check_table(void* const* table) const noexcept {
  if (table[0] != nullptr || table[1] != nullptr)
    return "a table of FILE operations does not begin as expected";
  for (unsigned slot = index_of(StdioSlot::kFinish); slot < kStdioSlots; ++slot) {
    const char* const function = static_cast<const char*>(table[slot]);
    if (function < code_low_ || function >= code_high_)
      return "a table of FILE operations holds something that is not libc's code (replaced by another "
             "library?)";
  }
  return nullptr;
}

const char* StdioTables::find() noexcept {
  void* const libc = ::dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
  if (libc == nullptr) return "there is no shared glibc in this process";
  plain_ = ::dlsym(libc, "_IO_file_jumps");
  const void* const wide = ::dlsym(libc, "_IO_wfile_jumps");
  if (plain_ == nullptr || wide == nullptr) return "libc does not export its tables of FILE operations";
  Region region{plain_};
  ::dl_iterate_phdr(find_region, &region);
  if (region.low == nullptr || region.code_low == nullptr)
    return "libc's tables of FILE operations are not in its read-only data";
  low_ = region.low;
  high_ = region.high;
  code_low_ = region.code_low;
  code_high_ = region.code_high;

  auto* const first = static_cast<void* const*>(plain_);
  for (const KnownSlot& known : kKnownSlots) {
    if (::dlsym(libc, known.name) != first[index_of(known.slot)])
      return "the FILE operations of this glibc are not in the order that is known";
  }
  void* const read = first[index_of(StdioSlot::kRead)];
  void* const write = first[index_of(StdioSlot::kWrite)];
  auto* const end = reinterpret_cast<void* const*>(high_) - (kStdioSlots - index_of(StdioSlot::kRead));
  bool has_plain = false, has_wide = false;
  for (auto* at = reinterpret_cast<void* const*>(low_) + index_of(StdioSlot::kRead); at <= end; ++at) {
    if (at[0] != read || at[1] != write) continue;
    void* const* const table = at - index_of(StdioSlot::kRead);
    if (const char* refusal = check_table(table)) return refusal;
    if (count_ == kMostStdioTables) return "this glibc has more tables of FILE operations than are known";
    tables_[count_++] = table;
    has_plain |= table == plain_;
    has_wide |= table == wide;
  }
  return has_plain && has_wide ? nullptr : "not all tables of FILE operations were found";
}

bool StdioTables::replace(void* const (*replacement)[kStdioSlots]) const noexcept {
  const auto bytes = static_cast<std::size_t>(high_ - low_);
  if (::mprotect(low_, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  for (unsigned table = 0; table < count_; ++table) {
    for (unsigned slot = 0; slot < kStdioSlots; ++slot) {
      if (replacement[table][slot] == nullptr) continue;
      __atomic_store_n(const_cast<void**>(&tables_[table][slot]), replacement[table][slot], __ATOMIC_RELEASE);
    }
  }
  return ::mprotect(low_, bytes, PROT_READ) == 0;
}

}  // namespace aiofiber::hooks
