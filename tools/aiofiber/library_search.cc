// SPDX-License-Identifier: Apache-2.0
//
// The order: RPATH (of the module and of the modules that loaded it, unless it has a RUNPATH),
// LD_LIBRARY_PATH, RUNPATH, the cache of ldconfig, the default directories.
#include "library_search.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <limits.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "arch/elf.h"

namespace aiofiber::tool {
namespace {

// /etc/ld.so.cache in the layout of glibc 2.32 and later, also when it is appended to the older layout.
absl::flat_hash_map<std::string, std::string> read_loader_cache() {
  std::ifstream in("/etc/ld.so.cache", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  static constexpr char kMagic[] = "glibc-ld.so.cache1.1";
  struct Header {
    char magic[20];
    std::uint32_t count, string_bytes;
    std::uint32_t unused[5];
  };
  struct Entry {
    std::int32_t flags;
    std::uint32_t name, path, version;
    std::uint64_t capabilities;
  };
  static_assert(sizeof(Header) == 48 && sizeof(Entry) == 24);
  absl::flat_hash_map<std::string, std::string> paths;
  const std::size_t start = bytes.find(kMagic);
  if (start == std::string::npos || bytes.size() - start < sizeof(Header)) return paths;
  Header header;
  std::memcpy(&header, bytes.data() + start, sizeof header);
  const auto string_at = [&](std::uint32_t at) {
    return at < bytes.size() - start ? std::string(bytes.c_str() + start + at) : std::string();
  };
  for (std::uint32_t i = 0; i < header.count; ++i) {
    const std::size_t at = start + sizeof header + i * sizeof(Entry);
    if (at + sizeof(Entry) > bytes.size()) break;
    Entry entry;
    std::memcpy(&entry, bytes.data() + at, sizeof entry);
    if (!runtime::arch::is_own_cache_entry(entry.flags)) continue;
    if (entry.capabilities == 0) paths.emplace(string_at(entry.name), string_at(entry.path));
  }
  return paths;
}

std::vector<std::string> environment_paths() {
  std::vector<std::string> paths;
  const char* text = ::secure_getenv("LD_LIBRARY_PATH");
  if (text == nullptr) return paths;
  std::string path;
  for (const char* c = text;; ++c) {
    if (*c != ':' && *c != ';' && *c != '\0') {
      path += *c;
      continue;
    }
    if (!path.empty()) paths.push_back(path);
    path.clear();
    if (*c == '\0') return paths;
  }
}

std::string real_path(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

// Expands $ORIGIN and similar in a directory of a search path.
std::string expand(std::string directory, const std::string& module_path) {
  const std::string origin = module_path.substr(0, module_path.rfind('/'));
  const std::pair<const char*, std::string> tokens[] = {{"${ORIGIN}", origin},
                                                        {"$ORIGIN", origin},
                                                        {"${LIB}", runtime::arch::kLibraryFolder},
                                                        {"$LIB", runtime::arch::kLibraryFolder}};
  for (const auto& [token, value] : tokens) {
    for (std::size_t at; (at = directory.find(token)) != std::string::npos;)
      directory.replace(at, strlen(token), value);
  }
  return directory;
}

class Search {
 public:
  Closure run(const std::string& program) {
    const absl::Status status = add(real_path(program), program, {});
    if (!status.ok()) throw failure_of(status);
    for (std::size_t i = 0; i < closure_.modules.size(); ++i) {
      for (std::size_t n = 0; n < closure_.modules[i].needed.size(); ++n) {
        const std::string name = closure_.modules[i].needed[n];
        if (known_.insert(name).second) find(name, i);
      }
    }
    return std::move(closure_);
  }

 private:
  absl::Status add(const std::string& path, const std::string& shown, std::vector<std::string> inherited) {
    absl::StatusOr<ElfModule> module = read_elf_module(path, shown);
    if (!module.ok()) return module.status();
    if (!module->soname.empty()) known_.insert(module->soname);
    for (const std::string& directory : module->rpath) inherited.push_back(expand(directory, path));
    inherited_.push_back(std::move(inherited));
    closure_.modules.push_back(*std::move(module));
    return absl::OkStatus();
  }
  bool try_file(const std::string& path, std::size_t by) {
    if (access(path.c_str(), R_OK) != 0) return false;
    // An error may be a library for another machine: the loader also continues its search.
    return add(real_path(path), path, inherited_[by]).ok();
  }
  void find(const std::string& name, std::size_t by) {
    if (name.find('/') != std::string::npos) {
      if (!try_file(name, by)) closure_.missing.push_back(name);
      return;
    }
    std::vector<std::string> directories;
    if (closure_.modules[by].runpath.empty()) directories = inherited_[by];
    for (const std::string& directory : environment_) directories.push_back(directory);
    for (const std::string& directory : closure_.modules[by].runpath)
      directories.push_back(expand(directory, closure_.modules[by].path));
    for (const std::string& directory : directories) {
      if (try_file(directory + "/" + name, by)) return;
    }
    if (const auto cached = cache_.find(name); cached != cache_.end() && try_file(cached->second, by)) return;
    const std::string own = runtime::arch::kLibraryFolder;
    for (const std::string& directory :
         {"/" + own, "/usr/" + own, std::string("/lib64"), std::string("/usr/lib64"), std::string("/lib"),
          std::string("/usr/lib")}) {
      if (try_file(directory + "/" + name, by)) return;
    }
    closure_.missing.push_back(name);
  }

  Closure closure_;
  std::vector<std::vector<std::string>> inherited_;  // of each module: the RPATHs that lead to it
  absl::flat_hash_set<std::string> known_;
  const std::vector<std::string> environment_ = environment_paths();
  const absl::flat_hash_map<std::string, std::string> cache_ = read_loader_cache();
};

}  // namespace

Closure find_libraries(const std::string& program) { return Search().run(program); }

}  // namespace aiofiber::tool
