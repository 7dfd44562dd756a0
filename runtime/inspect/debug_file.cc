// SPDX-License-Identifier: Apache-2.0
//
// Searches in this order: by build id, beside the file, in its .debug folder, below /usr/lib/debug.
#include "inspect/debug_file.h"

#include <cstring>
#include <vector>

#include "inspect/libdw.h"
#include "inspect/regular_file.h"

namespace aiofiber::runtime {
namespace {

constexpr const char* kDebugFolder = "/usr/lib/debug";

std::string& debug_root() {
  static auto* root = new std::string;  // never destroyed: traces are printed until the very end of a program
  return *root;
}

// The build id that libdwfl already knows: it asks for the path while it opens the module.
std::string known_build_id(Dwfl_Module* module) {
  const unsigned char* bytes = nullptr;
  GElf_Addr address = 0;
  const int length = libdw().dwfl_module_build_id(module, &bytes, &address);
  std::string digits;
  for (int i = 0; i < length; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    digits += kDigits[bytes[i] >> 4];
    digits += kDigits[bytes[i] & 15];
  }
  return digits;
}

std::string build_id_path(Dwfl_Module* module) {
  const std::string id = known_build_id(module);
  if (id.size() < 4) return {};
  return std::string(kDebugFolder) + "/.build-id/" + id.substr(0, 2) + '/' + id.substr(2) + ".debug";
}

}  // namespace

std::string build_id(Dwfl_Module* module) {
  GElf_Addr unused = 0;
  libdw().dwfl_module_getelf(module, &unused);  // only then the build id is known
  return known_build_id(module);
}

void set_debug_root(const std::string& root) { debug_root() = root; }

int find_debug_file(Dwfl_Module* module, void**, const char* name, Dwarf_Addr, const char* file,
                    const char* debug_link, GElf_Word, char** found) {
  std::vector<std::string> candidates{build_id_path(module)};
  // For a deleted executable, `file` is a link in /proc: take the folder of the name it was started by.
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
      const int fd = open_elf_file(path);
      if (fd < 0) continue;
      *found = strdup(path.c_str());
      return fd;
    }
  }
  return -1;
}

}  // namespace aiofiber::runtime
