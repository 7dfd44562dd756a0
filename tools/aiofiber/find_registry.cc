// SPDX-License-Identifier: Apache-2.0
//
// From a target to its registry block: the ELF note "aiofiber" of a module.
//
// The note is read from the target's own memory first, so no symbols and no files are needed. Some cores
// leave out that page; then the note is read from the module's file. A process can hold several runtimes:
// preloaded hooks bring a runtime, and the program's own replaces it. The registry that counts fibers is the
// one in use.
#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "aiofiber/runtime/inspect/registry_abi.h"
#include "failure.h"
#include "snapshot.h"

namespace aiofiber::tool {
namespace {

constexpr char kOwner[] = "aiofiber";
constexpr std::size_t kMostHeaders = 256;
constexpr std::size_t kMostNoteBytes = 1 << 20;

std::size_t aligned(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// The registry's address, from the bytes of a segment of notes at `address`.
std::optional<std::uint64_t> find_in_notes(const unsigned char* notes, std::size_t bytes,
                                           std::size_t alignment, std::uint64_t address) {
  Elf64_Nhdr header;
  for (std::size_t at = 0; at + sizeof header <= bytes;) {
    std::memcpy(&header, notes + at, sizeof header);
    const std::size_t name_at = at + sizeof header;
    const std::size_t description_at = aligned(name_at + header.n_namesz, alignment);
    const std::size_t end = description_at + header.n_descsz;
    if (end > bytes || end < at) return std::nullopt;
    if (header.n_namesz == sizeof kOwner && header.n_descsz == 8 && header.n_type == 1 &&
        std::memcmp(notes + name_at, kOwner, sizeof kOwner) == 0) {
      std::int64_t distance = 0;
      std::memcpy(&distance, notes + description_at, sizeof distance);
      return address + description_at + static_cast<std::uint64_t>(distance);
    }
    at = aligned(end, alignment);
  }
  return std::nullopt;
}

// When a loop of the registry last ran; 0: none has ever run, or there is no registry.
std::uint64_t last_use(Target& target, std::uint64_t address) {
  aiofiber_registry head{};
  constexpr std::size_t kBytes = offsetof(aiofiber_registry, chunks);
  if (!target.read(address, &head, kBytes) ||
      std::memcmp(head.magic, AIOFIBER_REGISTRY_MAGIC, sizeof head.magic) != 0 || head.chunk_count == 0) {
    return 0;
  }
  return std::max<std::uint64_t>(head.last_tick_ns, 1);
}

struct Search {
  Target& target;
  std::optional<std::uint64_t> found;  // the one that was used last
  std::uint64_t used = 0;
};

std::optional<std::uint64_t> find_in_memory(Target& target, std::uint64_t start) {
  Elf64_Ehdr header{};
  if (!target.read(start, &header, sizeof header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum == 0 || header.e_phnum > kMostHeaders) {
    return std::nullopt;
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (!target.read(start + header.e_phoff, segments.data(), segments.size() * sizeof(Elf64_Phdr))) {
    return std::nullopt;
  }
  std::optional<std::uint64_t> bias;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD && segment.p_offset == 0) bias = start - segment.p_vaddr;
  }
  for (const Elf64_Phdr& segment : segments) {
    if (!bias || segment.p_type != PT_NOTE || segment.p_filesz > kMostNoteBytes) continue;
    std::vector<unsigned char> notes(segment.p_filesz);
    const std::uint64_t address = *bias + segment.p_vaddr;
    if (!target.read(address, notes.data(), notes.size())) continue;
    const auto found = find_in_notes(notes.data(), notes.size(), segment.p_align == 8 ? 8 : 4, address);
    if (found) return found;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> find_in_file(Dwfl_Module* module) {
  GElf_Addr bias = 0;
  Elf* elf = dwfl_module_getelf(module, &bias);
  std::size_t count = 0;
  if (elf == nullptr || elf_getphdrnum(elf, &count) != 0) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf, static_cast<int>(i), &segment) == nullptr || segment.p_type != PT_NOTE) continue;
    const Elf_Data* data =
        elf_getdata_rawchunk(elf, static_cast<std::int64_t>(segment.p_offset), segment.p_filesz, ELF_T_BYTE);
    if (data == nullptr) continue;
    const auto found = find_in_notes(static_cast<const unsigned char*>(data->d_buf), data->d_size,
                                     segment.p_align == 8 ? 8 : 4, bias + segment.p_vaddr);
    if (found) return found;
  }
  return std::nullopt;
}

int search_module(Dwfl_Module* module, void**, const char* name, Dwarf_Addr start, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  if (name != nullptr && *name == '[') return DWARF_CB_OK;  // the kernel's page
  auto found = find_in_memory(search.target, start);
  if (!found && !search.target.live()) found = find_in_file(module);
  if (!found) return DWARF_CB_OK;
  const std::uint64_t used = last_use(search.target, *found);
  if (!search.found || used > search.used) search.found = found;
  search.used = std::max(search.used, used);
  return DWARF_CB_OK;
}

// A Failure must not cross libdwfl's C frames.
int search_module_safely(Dwfl_Module* module, void** user, const char* name, Dwarf_Addr start,
                         void* argument) {
  auto& pair = *static_cast<std::pair<Search, std::optional<Failure>>*>(argument);
  try {
    return search_module(module, user, name, start, &pair.first);
  } catch (const Failure& failure) {
    pair.second = failure;
    return DWARF_CB_ABORT;
  }
}

}  // namespace

std::uint64_t find_registry(Target& target) {
  std::pair<Search, std::optional<Failure>> search{{target, std::nullopt, 0}, std::nullopt};
  dwfl_getmodules(target.modules(), search_module_safely, &search, 0);
  if (search.second) throw *search.second;
  if (!search.first.found) {
    throw Failure(Exit::kNotAiofiber, target.live()
                                          ? target.name() +
                                                " is not an aiofiber program: none of its modules has the "
                                                "runtime's note"
                                          : target.name() +
                                                ": no aiofiber runtime found in it. If the program is one, "
                                                "give its executable behind the core");
  }
  return *search.first.found;
}

}  // namespace aiofiber::tool
