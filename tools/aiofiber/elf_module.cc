// SPDX-License-Identifier: Apache-2.0
//
// Reads program headers, not sections: the loader uses only the former, and strip may have removed the
// latter.
#include "elf_module.h"

#include <absl/strings/str_cat.h>
#include <errno.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "arch/call_code.h"
#include "arch/elf.h"
#include "blocking_calls.h"
#include "elf_file.h"

namespace aiofiber::tool {
namespace {

std::vector<std::string> split_paths(const std::string& text) {
  std::vector<std::string> paths;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    if (end > at) paths.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return paths;
}

// What the reader throws, from any depth. It leaves read_elf_module() as a Status.
struct Damaged {
  const char* what;
};

class Reader {
 public:
  Reader(Elf* elf, std::uint64_t file_bytes) : elf_(elf), bytes_(file_bytes) {}

  ElfModule read(const std::string& path) {
    module_.path = path;
    read_segments();
    for (const GElf_Phdr& segment : segments_) {
      if (segment.p_type == PT_DYNAMIC) read_dynamic(segment);
      if (segment.p_type == PT_NOTE) read_notes(segment);
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0) find_direct_calls(segment);
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) find_known_types(segment);
    }
    if (!module_.import_slots.empty()) read_call_sites();
    return std::move(module_);
  }

 private:
  using Entries = absl::flat_hash_map<std::int64_t, std::uint64_t>;  // of the dynamic section

  [[noreturn]] static void damaged(const char* what) { throw Damaged{what}; }

  const char* raw(std::uint64_t offset, std::uint64_t bytes, const char* what) {
    if (offset > bytes_ || bytes > bytes_ - offset) damaged(what);
    const Elf_Data* data = elf_getdata_rawchunk(elf_, static_cast<std::int64_t>(offset), bytes, ELF_T_BYTE);
    if (data == nullptr) damaged(what);
    return static_cast<const char*>(data->d_buf);
  }
  // Converts an address of the dynamic section to an offset in the file.
  std::uint64_t offset_of(std::uint64_t address, const char* what) const {
    for (const GElf_Phdr& segment : segments_) {
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
          address - segment.p_vaddr < segment.p_filesz)
        return address - segment.p_vaddr + segment.p_offset;
    }
    damaged(what);
  }

  void read_segments() {
    std::size_t count = 0;
    if (elf_getphdrnum(elf_, &count) != 0 || count == 0) damaged("the table of segments");
    bool first = true;
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf_, static_cast<int>(i), &segment) == nullptr) damaged("the table of segments");
      if (segment.p_type == PT_LOAD) {
        if (segment.p_offset > bytes_ || segment.p_filesz > bytes_ - segment.p_offset) damaged("a segment");
        if (std::exchange(first, false)) module_.first_address = segment.p_vaddr & ~std::uint64_t{0xfff};
      }
      segments_.push_back(segment);
    }
  }

  void read_dynamic(const GElf_Phdr& segment) {
    module_.dynamic = true;
    Entries entries;
    std::vector<std::uint64_t> needed;
    const char* data = raw(segment.p_offset, segment.p_filesz, "the dynamic section");
    for (std::size_t at = 0; at + sizeof(Elf64_Dyn) <= segment.p_filesz; at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      std::memcpy(&entry, data + at, sizeof entry);
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_NEEDED) needed.push_back(entry.d_un.d_val);
      entries[entry.d_tag] = entry.d_un.d_val;
    }
    if (entries.count(DT_STRTAB) == 0 || entries.count(DT_SYMTAB) == 0) return;
    strings_bytes_ = entries[DT_STRSZ];
    strings_ = raw(offset_of(entries[DT_STRTAB], "the names"), strings_bytes_, "the names");
    for (const std::uint64_t name : needed) module_.needed.push_back(string_at(name));
    if (entries.count(DT_SONAME) != 0) module_.soname = string_at(entries[DT_SONAME]);
    if (entries.count(DT_RPATH) != 0) module_.rpath = split_paths(string_at(entries[DT_RPATH]));
    if (entries.count(DT_RUNPATH) != 0) module_.runpath = split_paths(string_at(entries[DT_RUNPATH]));
    const std::uint64_t symbols = offset_of(entries[DT_SYMTAB], "the symbols");
    const std::uint64_t room = bytes_ > symbols ? (bytes_ - symbols) / sizeof(Elf64_Sym) : 0;
    const std::uint64_t count =
        std::max(count_symbols(entries), std::min(last_symbol_of_relocations(entries) + 1, room));
    read_symbols(raw(symbols, count * sizeof(Elf64_Sym), "the symbols"), count);
    for_each_relocation(entries, [this](const Elf64_Rela& entry) { read_relocation(entry); });
  }

  // No entry has the number of symbols: the hash tables give it. But a program that exports nothing may have
  // a GNU table that knows no symbol at all.
  std::uint64_t count_symbols(Entries& entries) {
    // Of the GNU table: buckets, first hashed symbol, words of the Bloom filter, shift.
    std::uint32_t header[4];
    if (entries.count(DT_GNU_HASH) == 0) {
      if (entries.count(DT_HASH) == 0) return 0;
      std::memcpy(header, raw(offset_of(entries[DT_HASH], "the symbols"), 8, "the symbols"), 8);
      return header[1];
    }
    std::uint64_t at = offset_of(entries[DT_GNU_HASH], "the symbols");
    std::memcpy(header, raw(at, sizeof header, "the symbols"), sizeof header);
    at += sizeof header + header[2] * std::uint64_t{8};
    const char* buckets = raw(at, header[0] * std::uint64_t{4}, "the symbols");
    std::uint32_t last = 0;
    for (std::uint32_t i = 0; i < header[0]; ++i) {
      std::uint32_t symbol;
      std::memcpy(&symbol, buckets + i * sizeof symbol, sizeof symbol);
      last = std::max(last, symbol);
    }
    if (last < header[1]) return header[1];  // nothing is exported
    at += header[0] * std::uint64_t{4};
    for (std::uint32_t hash = 0; (hash & 1) == 0; ++last) {  // the lowest bit ends a chain
      std::memcpy(&hash, raw(at + (last - header[1]) * std::uint64_t{4}, 4, "the symbols"), 4);
    }
    return last;
  }

  std::uint64_t last_symbol_of_relocations(Entries& entries) {
    std::uint64_t last = 0;
    for_each_relocation(entries, [&](const Elf64_Rela& entry) {
      last = std::max<std::uint64_t>(last, ELF64_R_SYM(entry.r_info));
    });
    return last;
  }

  std::string string_at(std::uint64_t at) const {
    if (at >= strings_bytes_) damaged("a name");
    return {strings_ + at, strnlen(strings_ + at, strings_bytes_ - at)};
  }

  void read_symbols(const char* data, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, data + i * sizeof symbol, sizeof symbol);
      names_.emplace_back();
      if (symbol.st_name == 0 || symbol.st_name >= strings_bytes_) continue;
      std::string name = string_at(symbol.st_name);
      if (symbol.st_shndx == SHN_UNDEF) {
        module_.imports.insert(name);
        names_.back() = std::move(name);
      } else {
        if (name == "aiofiber_real_function") module_.has_hooks = true;
        if (name == "aiofiber_stdio_state") module_.stdio_state = symbol.st_value;
        module_.exports.push_back(std::move(name));
      }
    }
  }

  template <class Found>
  void for_each_relocation(Entries& entries, Found found) {
    const auto visit = [&](std::uint64_t address, std::uint64_t bytes) {
      const char* data = raw(offset_of(address, "a relocation"), bytes, "a relocation");
      for (std::size_t at = 0; at + sizeof(Elf64_Rela) <= bytes; at += sizeof(Elf64_Rela)) {
        Elf64_Rela entry;
        std::memcpy(&entry, data + at, sizeof entry);
        found(entry);
      }
    };
    if (entries.count(DT_RELA) != 0) visit(entries[DT_RELA], entries[DT_RELASZ]);
    if (entries.count(DT_JMPREL) != 0 && entries[DT_PLTREL] == DT_RELA)
      visit(entries[DT_JMPREL], entries[DT_PLTRELSZ]);
  }

  void read_relocation(const Elf64_Rela& entry) {
    const std::uint64_t symbol = ELF64_R_SYM(entry.r_info);
    if (symbol == 0 || symbol >= names_.size() || names_[symbol].empty()) return;
    const runtime::arch::SlotKind kind = runtime::arch::slot_kind(ELF64_R_TYPE(entry.r_info));
    if (kind == runtime::arch::SlotKind::kData) used_by_data_.insert(names_[symbol]);
    if (kind != runtime::arch::SlotKind::kImport) return;
    module_.import_slots.push_back({entry.r_offset, names_[symbol]});
  }

  void read_notes(const GElf_Phdr& segment) {
    static constexpr char kOwner[] = "aiofiber";
    const std::string notes(raw(segment.p_offset, segment.p_filesz, "a note"), segment.p_filesz);
    if (notes.find(std::string(kOwner, sizeof kOwner)) != std::string::npos) module_.has_runtime = true;
  }

  void find_direct_calls(const GElf_Phdr& segment) {
    const auto* code =
        reinterpret_cast<const unsigned char*>(raw(segment.p_offset, segment.p_filesz, "code"));
    code_.push_back({segment.p_vaddr, code, segment.p_filesz});
    runtime::arch::for_each_system_call(code, segment.p_filesz,
                                        [&](int number) { ++module_.direct_calls[number]; });
  }

  // The name of a type description stays in the file, stripped or not. It is a separate string, while modules
  // that import a symbol of the type have the name with a prefix.
  void find_known_types(const GElf_Phdr& segment) {
    const std::string_view bytes(raw(segment.p_offset, segment.p_filesz, "a segment"), segment.p_filesz);
    // In two parts, so that this command does not contain the string.
    const auto describes = [&](const char* scope, const char* type) {
      const std::string text = std::string(scope) + type + '\0';
      std::size_t at = bytes.find(text);
      while (at != std::string_view::npos && at > 0 && is_letter(bytes[at - 1]))
        at = bytes.find(text, at + 1);
      return at != std::string_view::npos;
    };
    for (const char* scope : {"N5boost4asio6detail", "N4asio6detail"})
      module_.has_asio |= describes(scope, "13epoll_reactorE");
    module_.has_grpc |= describes("N9grpc_core", "7ExecCtxE");
  }

  // The ranges of the functions, and which of them are aiofiber's. Templates and inline functions (weak
  // symbols) count as the user's, because user code may be inlined into them.
  void read_functions() {
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf_, section)) != nullptr;) {
      GElf_Shdr header;
      if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_SYMTAB || header.sh_entsize == 0)
        continue;
      Elf_Data* const data = elf_getdata(section, nullptr);
      if (data == nullptr) continue;
      module_.has_symbols = true;
      GElf_Sym symbol;
      std::string file;
      for (int i = 0; gelf_getsym(data, i, &symbol) != nullptr; ++i) {
        const char* const name = elf_strptr(elf_, header.sh_link, symbol.st_name);
        const int type = GELF_ST_TYPE(symbol.st_info);
        if (type == STT_FILE) file = name != nullptr ? name : "";
        if ((type != STT_FUNC && type != STT_OBJECT) || symbol.st_size == 0 || symbol.st_shndx == SHN_UNDEF)
          continue;
        const CodeRange range{symbol.st_value, symbol.st_value + symbol.st_size};
        if (name != nullptr) {
          // Linked by hand: a program exports what its libraries call, but not this name.
          module_.has_hooks |= type == STT_FUNC && std::strcmp(name, "aiofiber_real_function") == 0;
          Symbol named{range, name, GELF_ST_BIND(symbol.st_info) == STB_LOCAL ? file : "",
                       is_of_others(name)};
          named.is_aiofibers = GELF_ST_BIND(symbol.st_info) != STB_WEAK && is_aiofibers(name);
          if (type == STT_FUNC) {
            named_functions_.push_back(std::move(named));
          } else if (is_writable(range)) {
            named.has_values = !named.is_own && has_values(range);
            variables_.push_back(std::move(named));
          }
        }
        if (type != STT_FUNC) continue;
        functions_.push_back(range);
        if (name != nullptr && GELF_ST_BIND(symbol.st_info) != STB_WEAK && is_aiofibers(name))
          own_functions_.push_back(range);
      }
    }
    mark_guarded();
    for (std::vector<Symbol>* const symbols : {&named_functions_, &variables_}) {
      std::stable_sort(symbols->begin(), symbols->end(),
                       [](const Symbol& a, const Symbol& b) { return a.range < b.range; });
    }
    std::sort(functions_.begin(), functions_.end());
    std::sort(own_functions_.begin(), own_functions_.end());
  }
  // Whether the file has something else than zeros for the variable.
  bool has_values(const CodeRange& range) {
    for (const GElf_Phdr& segment : segments_) {
      if (segment.p_type != PT_LOAD || range.first < segment.p_vaddr ||
          range.second > segment.p_vaddr + segment.p_filesz)
        continue;
      const std::uint64_t size = range.second - range.first;
      const char* const bytes = raw(range.first - segment.p_vaddr + segment.p_offset, size, "a segment");
      return std::any_of(bytes, bytes + size, [](char byte) { return byte != 0; });
    }
    return false;
  }
  // _ZGVZ4userE4name guards _ZZ4userE4name.
  void mark_guarded() {
    absl::flat_hash_set<std::string_view> guarded;
    constexpr std::string_view kGuard = "_ZGV", kPlain = "_Z", kOfFunction = "_ZZ";
    for (const Symbol& symbol : variables_) {
      const std::string_view name = symbol.name;
      if (name.starts_with(kGuard)) guarded.insert(name.substr(kGuard.size()));
    }
    for (Symbol& symbol : variables_) {
      const std::string_view name = symbol.name;
      symbol.is_guarded = name.starts_with(kOfFunction) && guarded.contains(name.substr(kPlain.size()));
    }
  }
  // Whether the program can change it at any time: not a table that the loader fills and then protects.
  bool is_writable(const CodeRange& range) const {
    bool writable = false;
    for (const GElf_Phdr& segment : segments_) {
      const bool inside = range.first >= segment.p_vaddr && range.second <= segment.p_vaddr + segment.p_memsz;
      if (inside && segment.p_type == PT_GNU_RELRO) return false;
      writable |= inside && segment.p_type == PT_LOAD && (segment.p_flags & PF_W) != 0;
    }
    return writable;
  }
  // aiofiber's, the compiler's and the C++ library's; pointers of libc that do not change.
  static bool is_of_others(std::string_view name) {
    for (const char* prefix :
         {"_ZGV", "_ZSt", "_ZNSt", "_ZZNSt", "__", "completed.", "stdin", "stdout", "stderr"}) {
      if (name.starts_with(prefix)) return true;
    }
    return is_aiofibers(name);
  }

  // A copy or a part made by the compiler (name.cold) is local, but may belong to a weak function. It counts
  // as ours if no other code can name the function.
  static bool is_aiofibers(std::string_view name) {
    if (name.find('.') != std::string_view::npos)
      return is_in_anonymous_namespace(name) || is_last_words(name);
    if (is_hooked(std::string(name))) return true;
    for (const char* prefix :
         {"_ZN8aiofiber", "_ZNK8aiofiber", "_ZZN8aiofiber", "_ZZNK8aiofiber", "aiofiber_"}) {
      if (name.starts_with(prefix)) return true;
    }
    return is_last_words(name);
  }

  // What abseil writes to stderr before it ends the process. It comes with our texts.
  static bool is_last_words(std::string_view name) {
    return name.starts_with("_ZN4absl") && name.find("raw_logging_internal") != std::string_view::npos;
  }

  static bool is_letter(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  }

  // _ZN8aiofiber7runtime12_GLOBAL__N_1...: lengths and names.
  static bool is_in_anonymous_namespace(std::string_view name) {
    constexpr std::string_view kBegin = "_ZN", kOurs = "8aiofiber", kAnonymous = "12_GLOBAL__N_1";
    if (!name.starts_with(kBegin) || !name.substr(kBegin.size()).starts_with(kOurs)) return false;
    name.remove_prefix(kBegin.size());
    while (!name.starts_with(kAnonymous)) {
      std::size_t length = 0, digits = 0;
      for (; digits < name.size() && digits < 4 && name[digits] >= '0' && name[digits] <= '9'; ++digits)
        length = 10 * length + static_cast<std::size_t>(name[digits] - '0');
      if (digits == 0 || digits + length >= name.size()) return false;
      name.remove_prefix(digits + length);
    }
    return true;
  }

  // In our code, or in a function of a header (std::atomic's wait) that only our code uses.
  bool is_own(const CallSites& sites, std::uint64_t place) {
    if (contains(own_functions_, place)) return true;
    const CodeRange* const function = find_range(functions_, place);
    if (function == nullptr || own_functions_.empty()) return false;
    const auto [known, is_new] = users_.try_emplace(function->first);
    std::vector<std::uint64_t>& users = known->second;
    if (is_new) users = sites.users_of(function->first);
    return !users.empty() && std::all_of(users.begin(), users.end(), [&](std::uint64_t user) {
      return contains(own_functions_, user) || (user >= function->first && user < function->second);
    });
  }

  void read_call_sites() {
    read_functions();
    const CallSites sites(code_, module_.import_slots, functions_);
    for (const auto& [name, places] : sites.places()) {
      if (is_hooked(name)) continue;
      std::vector<std::uint64_t> others;  // users that are not aiofiber
      std::copy_if(places.begin(), places.end(), std::back_inserter(others),
                   [&](std::uint64_t place) { return !module_.has_runtime || !is_own(sites, place); });
      if (others.empty() && used_by_data_.count(name) == 0) module_.own_imports.insert(name);
      if (name != "syscall") continue;
      for (const std::uint64_t place : others) {
        const CallSites::SystemCall call = sites.system_call_at(place);
        ++module_.numbered_calls[{call.number, call.operation}];
      }
    }
    module_.uses = read_uses(code_, sites, std::move(named_functions_), std::move(variables_));
  }

  Elf* const elf_;
  const std::uint64_t bytes_;
  ElfModule module_;
  std::vector<GElf_Phdr> segments_;
  const char* strings_ = nullptr;
  std::uint64_t strings_bytes_ = 0;
  std::vector<std::string> names_;  // of the undefined symbols, by their number
  absl::flat_hash_set<std::string> used_by_data_;
  std::vector<Code> code_;
  std::vector<CodeRange> functions_, own_functions_;
  std::vector<Symbol> named_functions_, variables_;
  absl::flat_hash_map<std::uint64_t, std::vector<std::uint64_t>> users_;  // of functions, by their address
};

}  // namespace

std::string ElfModule::name() const { return soname.empty() ? path.substr(path.rfind('/') + 1) : soname; }

absl::StatusOr<ElfModule> read_elf_module(const std::string& path, const std::string& shown) {
  const auto unusable = [&](const char* why) { return absl::InvalidArgumentError(absl::StrCat(shown, why)); };
  const auto cut_off = [&](const char* what) {
    return absl::DataLossError(absl::StrCat(shown, " is damaged or cut off: ", what, " is not all there"));
  };
  ElfFile file(path);
  if (file.fd() < 0 && errno == EINVAL)
    return unusable(" is not a file: give a program, a shared library or the id of a process");
  if (file.fd() < 0 && errno != ENODATA) {
    const int error = errno;
    return absl::Status(error == EACCES ? absl::StatusCode::kPermissionDenied : absl::StatusCode::kNotFound,
                        absl::StrCat("cannot open ", shown, ": ", std::strerror(error)));
  }
  struct stat status {};
  unsigned char identification[EI_NIDENT] = {};
  const bool whole = file.fd() >= 0 && fstat(file.fd(), &status) == 0 &&
                     pread(file.fd(), identification, sizeof identification, 0) == EI_NIDENT;
  if (!whole || std::memcmp(identification, ELFMAG, SELFMAG) != 0)
    return unusable(" is not an ELF file: give the program itself, not a script that starts it");
  if (identification[EI_CLASS] != ELFCLASS64 || identification[EI_DATA] != ELFDATA2LSB) {
    return unusable(
        " is a program for another kind of machine (32 bits, or big-endian): aiofiber runs on 64-bit "
        "little-endian ones only");
  }
  GElf_Ehdr header;
  if (file.elf() == nullptr || gelf_getehdr(file.elf(), &header) == nullptr) return cut_off("its ELF header");
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    return unusable(" is neither a program nor a shared library (an object file or a core?)");
  try {
    return Reader(file.elf(), static_cast<std::uint64_t>(status.st_size)).read(path);
  } catch (const Damaged& damaged) {
    return cut_off(damaged.what);
  }
}

Failure failure_of(const absl::Status& status) {
  return {absl::IsPermissionDenied(status) ? Exit::kPermission : Exit::kCore,
          std::string(status.message().data(), status.message().size())};
}

}  // namespace aiofiber::tool
