// SPDX-License-Identifier: Apache-2.0
//
// A core file, the kernel's or gcore's: memory from its segments, modules from its notes.
//
// Kernels leave out pages that are also in files (code, constants). The modules' files supply those pages.
#include <elf.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "aiofiber/runtime/arch/arch.h"
#include "elf_file.h"
#include "failure.h"
#include "inspect/debug_file.h"
#include "inspect/utf8.h"
#include "target.h"

namespace aiofiber::tool {
namespace {

struct Segment {
  std::uint64_t address, bytes, offset;
};

const Dwfl_Callbacks* callbacks() {
  static char* debug_path = nullptr;
  static const Dwfl_Callbacks result{
      .find_elf = dwfl_build_id_find_elf,
      .find_debuginfo = runtime::find_debug_file,
      .section_address = dwfl_offline_section_address,
      .debuginfo_path = &debug_path,
  };
  return &result;
}

// The file is the first base, so it outlives the modules of the other base, which read from it.
class CoreTarget : private ElfFile, public Target {
 public:
  CoreTarget(const std::string& path, const std::string& executable) : ElfFile(path), path_(path) {
    check_file();
    read_segments();
    read_notes();
    if (!executable.empty() && access(executable.c_str(), R_OK) != 0) {
      throw Failure(Exit::kCore, "cannot read the executable " + executable + ": " + std::strerror(errno));
    }
    modules_.reset(dwfl_begin(callbacks()));
    if (!modules_) throw Failure(Exit::kInternal, "libdwfl: " + std::string(dwfl_errmsg(-1)));
    dwfl_report_begin(modules_.get());
    if (dwfl_core_file_report(modules_.get(), elf(), executable.empty() ? nullptr : executable.c_str()) < 0) {
      throw bad("its modules cannot be listed: " + std::string(dwfl_errmsg(-1)));
    }
    dwfl_report_end(modules_.get(), nullptr, nullptr);
    if (!executable.empty()) warn_of_a_stranger(executable);
    warn_of_missing_files();
  }

  void read_in_order(std::span<Range> ranges, std::size_t) override {
    for (Range& range : ranges) range.complete = read_one(range);
  }
  bool live() const override { return false; }
  pid_t pid() const override { return pid_; }
  std::string name() const override { return "core file " + path_; }
  std::optional<uid_t> owner() const override {
    struct stat status {};
    return fstat(fd(), &status) == 0 ? std::optional(status.st_uid) : std::nullopt;
  }
  std::string thread_name(std::uint32_t) const override { return {}; }
  std::vector<ThreadRegisters> threads() const override { return threads_; }
  std::int64_t now_ns(std::int64_t last_tick_ns) const override { return last_tick_ns; }

 private:
  Failure bad(const std::string& what) const { return {Exit::kCore, path_ + ": " + what}; }

  void check_file() {
    if (fd() < 0) {
      throw bad(errno == EINVAL ? "not a file" : errno == ENODATA ? "empty" : std::strerror(errno));
    }
    struct stat status {};
    if (fstat(fd(), &status) != 0) throw bad(std::strerror(errno));
    file_bytes_ = static_cast<std::uint64_t>(status.st_size);
    GElf_Ehdr header;
    if (elf_kind(elf()) != ELF_K_ELF || gelf_getehdr(elf(), &header) == nullptr) {
      throw bad("not a core file (it has no ELF header)");
    }
    if (header.e_type != ET_CORE) {
      throw bad("not a core file but a program or library: give the core first, then the executable");
    }
    if (header.e_machine != runtime::arch::kElfMachine) {
      throw bad(std::string("a core of another kind of machine than ") + runtime::arch::kName);
    }
  }

  void read_segments() {
    std::size_t count = 0;
    std::uint64_t end_of_all = 0;
    if (elf_getphdrnum(elf(), &count) != 0) throw bad("damaged: its segments cannot be read");
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf(), static_cast<int>(i), &segment) == nullptr) {
        throw bad("truncated: it ends within its table of segments");
      }
      if (segment.p_filesz > 0) end_of_all = std::max(end_of_all, segment.p_offset + segment.p_filesz);
      if (segment.p_type != PT_LOAD || segment.p_filesz == 0) continue;
      segments_.push_back({segment.p_vaddr, segment.p_filesz, segment.p_offset});
    }
    if (segments_.empty()) throw bad("damaged: it holds no memory");
    std::sort(segments_.begin(), segments_.end(),
              [](const Segment& a, const Segment& b) { return a.address < b.address; });
    if (end_of_all > file_bytes_) {
      std::fprintf(stderr,
                   "aiofiber: warning: %s is truncated (%llu of %llu bytes; ulimit -c, a full disk?): "
                   "tasks or stacks may be missing\n",
                   path_.c_str(), static_cast<unsigned long long>(file_bytes_),
                   static_cast<unsigned long long>(end_of_all));
    }
  }

  // libdwfl uses the executable only if its build id is in the core, and otherwise ignores it silently.
  void warn_of_a_stranger(const std::string& executable) const {
    ElfFile file(executable);
    if (elf_kind(file.elf()) != ELF_K_ELF) {
      throw Failure(Exit::kCore, executable + ": not an executable (it has no ELF header)");
    }
    const void* build_id = nullptr;
    const ssize_t bytes = dwelf_elf_gnu_build_id(file.elf(), &build_id);
    const std::string_view wanted(static_cast<const char*>(build_id),
                                  bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    if (!wanted.empty() && !has_module(wanted)) {
      std::fprintf(
          stderr,
          "aiofiber: warning: %s is not the program of this core, at least not the build that was running "
          "(its build id is none of the core's): it is not used\n",
          executable.c_str());
    }
  }

  bool has_module(std::string_view build_id) const {
    struct Search {
      std::string_view wanted;
      bool found = false;
    } search{build_id};
    const auto look = [](Dwfl_Module* module, void**, const char*, Dwarf_Addr, void* argument) -> int {
      auto& its = *static_cast<Search*>(argument);
      const unsigned char* bits = nullptr;
      GElf_Addr address = 0;
      const int length = dwfl_module_build_id(module, &bits, &address);
      its.found = length > 0 && its.wanted == std::string_view(reinterpret_cast<const char*>(bits),
                                                               static_cast<std::size_t>(length));
      return its.found ? DWARF_CB_ABORT : DWARF_CB_OK;
    };
    dwfl_getmodules(modules_.get(), look, &search, 0);
    return search.found;
  }

  // For a module without its file, a core has no names and no unwind tables.
  void warn_of_missing_files() const {
    std::string missing;
    const auto look = [](Dwfl_Module* module, void**, const char* name, Dwarf_Addr, void* argument) -> int {
      GElf_Addr bias = 0;
      if (dwfl_module_getelf(module, &bias) == nullptr) {
        auto& names = *static_cast<std::string*>(argument);
        names += (names.empty() ? "" : ", ") + std::string(name);
      }
      return DWARF_CB_OK;
    };
    dwfl_getmodules(modules_.get(), look, &missing, 0);
    if (!missing.empty()) {
      std::fprintf(
          stderr,
          "aiofiber: warning: not found, or of another build than in the core: %s; stacks end there. An "
          "executable that has moved can be given behind the core\n",
          runtime::printable(missing).c_str());
    }
  }

  // The process's id, and the registers of its threads.
  void read_notes() {
    std::size_t count = 0;
    elf_getphdrnum(elf(), &count);
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf(), static_cast<int>(i), &segment) == nullptr || segment.p_type != PT_NOTE)
        continue;
      Elf_Data* data = elf_getdata_rawchunk(elf(), static_cast<std::int64_t>(segment.p_offset),
                                            segment.p_filesz, ELF_T_NHDR);
      std::size_t name_at = 0, at = 0, description_at = 0;
      GElf_Nhdr note;
      while (data != nullptr && (at = gelf_getnote(data, at, &note, &name_at, &description_at)) > 0) {
        const char* description = static_cast<char*>(data->d_buf) + description_at;
        elf_prpsinfo info{};
        elf_prstatus status{};
        if (note.n_type == NT_PRPSINFO && note.n_descsz >= sizeof info) {
          std::memcpy(&info, description, sizeof info);
          pid_ = info.pr_pid;
        } else if (note.n_type == NT_PRSTATUS && note.n_descsz >= sizeof status) {
          std::memcpy(&status, description, sizeof status);
          user_regs_struct registers;
          static_assert(sizeof registers == sizeof status.pr_reg);
          std::memcpy(&registers, &status.pr_reg, sizeof registers);
          threads_.push_back({status.pr_pid, runtime::arch::from_user(registers)});
        }
      }
    }
  }

  bool read_one(const Range& range) {
    auto* into = static_cast<char*>(range.into);
    std::uint64_t address = range.address;
    std::size_t left = range.bytes;
    while (left > 0) {  // adjacent segments are one range of memory
      const std::size_t got = read_from_segment(address, into, left);
      if (got == 0) return read_from_module(address, into, left);
      address += got;
      into += got;
      left -= got;
    }
    return true;
  }

  std::size_t read_from_segment(std::uint64_t address, void* into, std::size_t bytes) const {
    auto after = std::upper_bound(segments_.begin(), segments_.end(), address,
                                  [](std::uint64_t a, const Segment& s) { return a < s.address; });
    if (after == segments_.begin()) return 0;
    const Segment& segment = *std::prev(after);
    const std::uint64_t skipped = address - segment.address;
    if (skipped >= segment.bytes) return 0;
    const std::size_t wanted = std::min<std::uint64_t>(bytes, segment.bytes - skipped);
    const ssize_t got = pread(fd(), into, wanted, static_cast<off_t>(segment.offset + skipped));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }

  // Bytes that are in a module's file and were never written.
  bool read_from_module(std::uint64_t address, void* into, std::size_t bytes) const {
    Dwfl_Module* module = dwfl_addrmodule(modules_.get(), address);
    GElf_Addr bias = 0;
    Elf* elf = module != nullptr ? dwfl_module_getelf(module, &bias) : nullptr;
    std::size_t count = 0;
    if (elf == nullptr || elf_getphdrnum(elf, &count) != 0) return false;
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf, static_cast<int>(i), &segment) == nullptr || segment.p_type != PT_LOAD) continue;
      const std::uint64_t start = segment.p_vaddr + bias;
      if ((segment.p_flags & PF_W) != 0 || address < start || address + bytes > start + segment.p_filesz) {
        continue;
      }
      Elf_Data* data = elf_getdata_rawchunk(
          elf, static_cast<std::int64_t>(segment.p_offset + address - start), bytes, ELF_T_BYTE);
      if (data == nullptr) return false;
      std::memcpy(into, data->d_buf, bytes);
      return true;
    }
    return false;
  }

  const std::string path_;
  std::uint64_t file_bytes_ = 0;
  std::vector<Segment> segments_;
  pid_t pid_ = 0;
  std::vector<ThreadRegisters> threads_;
};

}  // namespace

std::unique_ptr<Target> open_core(const std::string& core, const std::string& executable) {
  return std::make_unique<CoreTarget>(core, executable);
}

}  // namespace aiofiber::tool
