// SPDX-License-Identifier: Apache-2.0
//
// What processes and cores have in common: single reads, and the search for separate debug files.
#include "target.h"

#include <fcntl.h>

#include <cstring>

namespace aiofiber::tool {
namespace {

constexpr const char* kDebugFolder = "/usr/lib/debug";

std::string& debug_root() {
  static std::string root;
  return root;
}

std::string build_id_path(Dwfl_Module* module) {
  const unsigned char* bytes = nullptr;
  GElf_Addr address = 0;
  const int length = dwfl_module_build_id(module, &bytes, &address);
  if (length < 2) return {};
  constexpr char kDigits[] = "0123456789abcdef";
  std::string path = std::string(kDebugFolder) + "/.build-id/";
  for (int i = 0; i < length; ++i) {
    path += kDigits[bytes[i] >> 4];
    path += kDigits[bytes[i] & 15];
    if (i == 0) path += '/';
  }
  return path + ".debug";
}

}  // namespace

Target::~Target() = default;

Registers from_user(const user_regs_struct& r) {
  Registers registers;
  registers.values = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
                      r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip};
  return registers;
}

user_regs_struct to_user(const Registers& registers) {
  const auto& v = registers.values;
  user_regs_struct r{};
  r.rax = v[0], r.rdx = v[1], r.rcx = v[2], r.rbx = v[3], r.rsi = v[4], r.rdi = v[5], r.rbp = v[6],
  r.rsp = v[7];
  r.r8 = v[8], r.r9 = v[9], r.r10 = v[10], r.r11 = v[11], r.r12 = v[12], r.r13 = v[13], r.r14 = v[14],
  r.r15 = v[15];
  r.rip = v[16];
  return r;
}

bool Target::read(std::uint64_t address, void* into, std::size_t bytes) {
  std::vector<Range> ranges{{address, into, bytes, false}};
  read_in_order(ranges, 1);
  return ranges[0].complete;
}

void set_debug_root(const std::string& root) { debug_root() = root; }

int find_debug_file(Dwfl_Module* module, void**, const char* name, Dwarf_Addr, const char* file,
                    const char* debug_link, GElf_Word, char** found) {
  std::vector<std::string> candidates{build_id_path(module)};
  // Of a deleted executable, `file` is a link in /proc: the folder is that of the name it was started by.
  for (const char* path : {file, name}) {
    if (path == nullptr || debug_link == nullptr || *path != '/') continue;
    const std::string folder = std::string(path).substr(0, std::string(path).rfind('/') + 1);
    candidates.push_back(folder + debug_link);
    candidates.push_back(folder + ".debug/" + debug_link);
    candidates.push_back(kDebugFolder + folder + debug_link);
  }
  for (const std::string& root : {debug_root(), std::string()}) {
    for (const std::string& candidate : candidates) {
      if (candidate.empty() || (file != nullptr && candidate == file)) continue;
      const std::string path = root + candidate;
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      *found = strdup(path.c_str());
      return fd;
    }
  }
  return -1;
}

}  // namespace aiofiber::tool
