// SPDX-License-Identifier: Apache-2.0
//
// Finds the calls that the hooks do not reach. A program shows its imports. A process also shows how the
// loader bound them: the slots of imported functions contain the addresses that will be called.
#include "hooks_subject.h"

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <sstream>
#include <string_view>

#include "blocking_calls.h"
#include "inspect/process_modules.h"
#include "known_libraries.h"
#include "library_search.h"
#include "target.h"

namespace aiofiber::tool {
namespace {

bool is_part_of_libc(const std::string& name) {
  static const char* const kParts[] = {"libc.so.",   "ld-linux",   "libpthread.so.", "libdl.so.",
                                       "librt.so.",  "libm.so.",   "libresolv.so.",  "libnss_",
                                       "libanl.so.", "libmvec.so."};
  return std::any_of(std::begin(kParts), std::end(kParts),
                     [&](const char* part) { return name.starts_with(part); });
}

bool imports_any(const ElfModule& elf, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const char* name) { return elf.imports.count(name) != 0; });
}

// A library that opens its FILEs by name reads configuration and data, which takes a short time. A library
// that makes FILEs from descriptors or commands, or gets them from its caller, may wait long.
bool opens_files_by_name_only(const ElfModule& elf) {
  return imports_any(elf, {"fopen", "fopen64"}) &&
         !imports_any(elf, {"fdopen", "popen", "stdin", "freopen", "freopen64"});
}

// For a call that aiofiber's own code makes too: without symbols, other callers cannot be excluded.
void doubt_without_symbols(const ElfModule& elf, Finding& finding) {
  if (!elf.has_runtime || elf.has_symbols) return;
  finding.certainty = Certainty::kUnknown;
  finding.rank = Rank::kUnknown;
  finding.advice +=
      " (aiofiber's own code in it does; whether anything else does could be seen if it had its symbols)";
}

Finding finding_of_import(const ElfModule& elf, const std::string& name, const BlockingCall& call) {
  const bool unknown = call.blocks == Blocks::kUnknown;
  Finding finding{name, unknown ? Certainty::kUnknown : Certainty::kImported,
                  call.blocks == Blocks::kSometimes, call.advice,
                  unknown                             ? Rank::kUnknown
                  : call.waits_for == WaitsFor::kLock ? Rank::kSocketOrLock
                  : call.waits_for == WaitsFor::kFile ? Rank::kFile
                                                      : Rank::kOther};
  const bool reads_files = call.waits_for == WaitsFor::kFile;
  if (const char* why = why_it_does_not_block(elf, name, reads_files)) {
    finding.sometimes = true;
    finding.advice = why;
  } else if (reads_files && !finding.sometimes && opens_files_by_name_only(elf)) {
    finding.sometimes = true;
    finding.advice =
        "opens its FILEs by name only, so it reads configuration or data; blocks on a FIFO or a device";
  } else if (is_called_by_aiofiber(name)) {
    doubt_without_symbols(elf, finding);
  }
  return finding;
}

std::string in_places(int places) { return absl::StrCat(places, places == 1 ? " place" : " places"); }

void add_direct_calls(CheckedModule& module, const ElfModule& elf) {
  absl::btree_map<std::string, int> by_name;
  for (const auto& [number, places] : elf.direct_calls) {
    if (const char* name = find_blocking_system_call(number)) by_name[name] += places;
  }
  for (const auto& [name, places] : by_name) {
    module.findings.push_back(
        {name, Certainty::kDirect, false,
         "a system call instruction in its code (" + in_places(places) + ") passes by the hooks: to_thread()",
         Rank::kSocketOrLock});
  }
}

// A call of syscall() with a visible number before it is judged by that number.
void add_numbered_calls(CheckedModule& module, const ElfModule& elf) {
  absl::btree_map<std::string, int> by_name;
  for (const auto& [call, places] : elf.numbered_calls) {
    if (call.number < 0) continue;
    if (const char* name = find_blocking_system_call(call.number, call.operation))
      by_name["syscall(" + std::string(name) + ")"] += places;
  }
  for (const auto& [name, places] : by_name) {
    const char* const why = why_it_does_not_block(elf, name, false);
    const std::string advice =
        name == "syscall(futex)"
            ? "waits on a bare futex (" + in_places(places) +
                  "): use a pthread lock (std::mutex), an asyncio one, or to_thread()"
            : "a system call by its number (" + in_places(places) + ") passes by the hooks: to_thread()";
    module.findings.push_back(
        {name, Certainty::kDirect, why != nullptr, why != nullptr ? why : advice, Rank::kSocketOrLock});
    doubt_without_symbols(elf, module.findings.back());
  }
}

bool has_only_known_numbers(const ElfModule& elf) {
  return !elf.numbered_calls.empty() && elf.numbered_calls.begin()->first.number >= 0;  // -1 comes first
}

CheckedModule examine(ElfModule elf, Stdio stdio) {
  CheckedModule module;
  module.is_libc = is_part_of_libc(elf.name());
  module.is_hooks = elf.name().starts_with("libaiofiber_hooks.so");
  if (!module.is_libc && !module.is_hooks) {
    if (!elf.dynamic) {
      module.findings.push_back(
          {"(everything)", Certainty::kDirect, false,
           "fully static: libc is inside and its calls cannot be taken; link it dynamically",
           Rank::kSocketOrLock});
    }
    for (const KnownUse& use : known_uses(elf))
      module.findings.push_back({use.name, Certainty::kByName, false, use.advice, Rank::kSocketOrLock});
    for (const std::string& name : elf.imports) {
      const BlockingCall* call = find_blocking_call(name, stdio);
      if (call == nullptr && is_hooked(name)) ++module.hooked_imports;
      if (call == nullptr || elf.own_imports.count(name) != 0) continue;
      if (name == "syscall" && has_only_known_numbers(elf)) continue;
      module.findings.push_back(finding_of_import(elf, name, *call));
    }
    if (elf.dynamic) {
      add_direct_calls(module, elf);
      add_numbered_calls(module, elf);
    }
  }
  module.elf = std::move(elf);
  return module;
}

// ---- modules that only aiofiber needs

bool is_called(const CheckedModule& module, const std::string& name) {
  return module.elf.soname == name || module.elf.path.ends_with("/" + name.substr(name.rfind('/') + 1));
}

bool needs(const CheckedModule& who, const CheckedModule& what) {
  return std::any_of(who.elf.needed.begin(), who.elf.needed.end(),
                     [&](const std::string& name) { return is_called(what, name); });
}

// The program that contains aiofiber also calls the library itself.
bool uses_for_itself(const CheckedModule& who, const OwnLibrary& own) {
  const std::string_view begin = own.imports;
  return !begin.empty() && who.elf.has_symbols &&
         std::any_of(who.elf.imports.begin(), who.elf.imports.end(), [&](const std::string& name) {
           return name.starts_with(begin) && who.elf.own_imports.count(name) == 0;
         });
}

// Whether only aiofiber needs the module, directly or through other modules that only aiofiber needs.
bool is_there_for_aiofiber(const CheckedModule& module, const std::vector<CheckedModule>& modules) {
  const OwnLibrary* const own = find_own_library(module.elf.name());
  bool needed = false;
  for (const CheckedModule& other : modules) {
    if (&other == &module || !needs(other, module)) continue;
    needed = true;
    const bool by_aiofiber =
        own != nullptr && (other.is_hooks || (other.elf.has_runtime && !uses_for_itself(other, *own)));
    if (!other.is_own && !by_aiofiber) return false;
  }
  return needed || (own != nullptr && own->is_opened);
}

void leave_out_own_libraries(std::vector<CheckedModule>& modules) {
  for (bool changed = true; changed;) {
    changed = false;
    for (CheckedModule& module : modules) {
      if (module.is_own || module.is_libc || module.elf.has_runtime ||
          !is_there_for_aiofiber(module, modules))
        continue;
      module.is_own = changed = true;
      module.findings.clear();
      module.hooked_imports = 0;
    }
  }
}

// ---- what tasks would share

bool is_library_of_language(const CheckedModule& module) {
  const std::string name = module.elf.name();
  return module.is_libc || name.starts_with("libstdc++.so.") || name.starts_with("libgcc_s.so.");
}

// The names of all functions that may wait because their library makes calls that wait, or needs one that
// does.
absl::flat_hash_set<std::string> exports_that_wait(const std::vector<CheckedModule>& modules) {
  std::vector<const CheckedModule*> waiting, others;
  for (const CheckedModule& module : modules) {
    if (is_library_of_language(module) || module.is_own || module.is_hooks) continue;
    const bool waits = std::any_of(module.elf.imports.begin(), module.elf.imports.end(), is_wait);
    (waits ? waiting : others).push_back(&module);
  }
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    const auto needing = std::stable_partition(others.begin(), others.end(), [&](const CheckedModule* other) {
      return !needs(*other, *waiting[i]);
    });
    waiting.insert(waiting.end(), needing, others.end());
    others.erase(needing, others.end());
  }
  absl::flat_hash_set<std::string> names;
  for (const CheckedModule* module : waiting)
    names.insert(module->elf.exports.begin(), module->elf.exports.end());
  return names;
}

// Of modules with symbols: a program, and libraries that were built beside it. The others are not the user's
// to mend.
void find_what_is_shared(std::vector<CheckedModule>& modules) {
  const absl::flat_hash_set<std::string> waiting = exports_that_wait(modules);
  for (CheckedModule& module : modules) {
    const ElfModule& elf = module.elf;
    if (is_library_of_language(module) || module.is_own || module.is_hooks || !elf.has_symbols) continue;
    module.shared_variables = find_shared_variables(
        elf.uses, [&](const std::string& import) { return is_wait(import) || waiting.contains(import); });
    module.shared_calls = find_shared_calls(
        elf.uses,
        [&](const char* name) { return elf.imports.count(name) != 0 && elf.own_imports.count(name) == 0; },
        [&](const char* name) {  // a program has a copy of it
          return elf.imports.count(name) != 0 ||
                 std::find(elf.exports.begin(), elf.exports.end(), name) != elf.exports.end();
        });
  }
}

// gRPC's types are in several of its libraries; only one line reports them.
void say_once_what_is_known_by_name(std::vector<CheckedModule>& modules) {
  absl::flat_hash_set<std::string> said;
  for (CheckedModule& module : modules) {
    std::erase_if(module.findings, [&](const Finding& finding) {
      return finding.certainty == Certainty::kByName && !said.insert(finding.function).second;
    });
  }
}

void find_hooks(Subject& subject) {
  bool behind_libc = false;
  for (const CheckedModule& module : subject.modules) {
    if (module.elf.has_hooks) {
      subject.hooks = behind_libc ? HooksPlace::kBehindLibc : HooksPlace::kAct;
      subject.hooks_module = module.elf.name();
      return;
    }
    behind_libc |= module.elf.name().starts_with("libc.so.");
  }
}

// ---- processes

struct Mapping {
  std::uint64_t start = 0, end = 0;
  std::string range, path;
};

std::vector<Mapping> read_mappings(pid_t pid) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/maps"));
  std::vector<Mapping> mappings;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string permissions, offset, device, inode;
    Mapping mapping;
    words >> mapping.range >> permissions >> offset >> device >> inode >> std::ws;
    std::getline(words, mapping.path);
    if (mapping.path.empty() || mapping.path[0] != '/') continue;
    const std::size_t dash = mapping.range.find('-');
    if (absl::SimpleHexAtoi(mapping.range.substr(0, dash), &mapping.start) &&
        absl::SimpleHexAtoi(mapping.range.substr(dash + 1), &mapping.end)) {
      mappings.push_back(std::move(mapping));
    }
  }
  return mappings;
}

// A path at which the file of a mapping can be read, even if it is deleted or in another mount namespace.
std::string file_of(const Mapping& mapping, pid_t pid) {
  const std::string proc = absl::StrCat("/proc/", pid, "/");
  if (mapping.path.ends_with(" (deleted)")) return proc + "map_files/" + mapping.range;
  return proc + "root" + mapping.path;
}

class ProcessCheck {
 public:
  explicit ProcessCheck(pid_t pid) : target_(open_process(pid)), mappings_(read_mappings(pid)) {
    subject_.pid = pid;
    subject_.name = target_->name();
    read_elves();
    for (auto& [path, elf] : elves_) subject_.stdio_suspends |= says_stdio_suspends(path, elf);
    const Stdio stdio = subject_.stdio_suspends ? Stdio::kSuspends : Stdio::kBlocks;
    for (auto& [path, elf] : elves_) subject_.modules.push_back(examine(std::move(elf), stdio));
    elves_.clear();
  }

  Subject run() {
    order_and_mark();
    leave_out_own_libraries(subject_.modules);
    find_what_is_shared(subject_.modules);
    say_once_what_is_known_by_name(subject_.modules);
    mark_what_is_seen();
    find_hooks(subject_);
    const bool hooked = std::any_of(subject_.modules.begin(), subject_.modules.end(),
                                    [](const CheckedModule& module) { return module.elf.has_hooks; });
    if (hooked) {
      for (CheckedModule& module : subject_.modules) find_bypasses(module);
    }
    return std::move(subject_);
  }

 private:
  void read_elves() {
    std::ifstream maps(absl::StrCat("/proc/", subject_.pid, "/maps"));
    absl::flat_hash_set<std::uint64_t> begins;
    for (const runtime::ProcessModule& module : runtime::read_modules(maps)) begins.insert(module.low);
    for (const Mapping& mapping : mappings_) {
      if (begins.count(mapping.start) == 0 || starts_.count(mapping.path) != 0) continue;
      starts_[mapping.path] = mapping.start;
      add(mapping);
    }
  }
  void add(const Mapping& mapping) {
    absl::StatusOr<ElfModule> elf = read_elf_module(file_of(mapping, subject_.pid), mapping.path);
    if (!elf.ok()) {
      subject_.missing.push_back(mapping.path);  // mapped, but its file cannot be read any more
      return;
    }
    elf->path = mapping.path;
    elves_.emplace_back(mapping.path, *std::move(elf));
  }
  bool says_stdio_suspends(const std::string& path, const ElfModule& elf) {
    int state = 0;
    const std::uint64_t address = starts_[path] - elf.first_address + elf.stdio_state;
    return elf.stdio_state != 0 && target_->read(address, &state, sizeof state) && state == 1;
  }

  // The program first, then the libraries that it needs. Modules that no other needs were opened later or
  // preloaded.
  void order_and_mark() {
    std::vector<CheckedModule> rest = std::move(subject_.modules);
    subject_.modules.clear();
    char link[4096];
    const std::string exe = absl::StrCat("/proc/", subject_.pid, "/exe");
    const ssize_t length = readlink(exe.c_str(), link, sizeof link);
    const std::string program(link, length > 0 ? static_cast<std::size_t>(length) : 0);
    const auto take = [&](auto wanted) {
      const auto found = std::find_if(rest.begin(), rest.end(), wanted);
      if (found == rest.end()) return;
      subject_.modules.push_back(std::move(*found));
      rest.erase(found);
    };
    take([&](const CheckedModule& module) { return module.elf.path == program; });
    // Preloaded hooks come directly after the program.
    take([&](const CheckedModule& module) { return module.is_hooks && !is_needed(module, rest); });
    for (std::size_t i = 0; i < subject_.modules.size(); ++i) {
      const std::vector<std::string> needed = subject_.modules[i].elf.needed;
      for (const std::string& name : needed)
        take([&](const CheckedModule& module) { return is_called(module, name); });
    }
    for (CheckedModule& module : rest) {
      module.opened_late = !module.is_libc;
      subject_.modules.push_back(std::move(module));
    }
  }
  // The libraries that dlopen() has opened so far are among the modules.
  void mark_what_is_seen() {
    for (CheckedModule& module : subject_.modules) {
      for (Finding& finding : module.findings) {
        if (finding.function != "dlopen") continue;
        finding.sometimes = true;
        finding.advice = "what it has opened so far is looked at here";
      }
    }
  }
  bool is_needed(const CheckedModule& module, const std::vector<CheckedModule>& rest) const {
    const auto needs_it = [&](const CheckedModule& other) { return needs(other, module); };
    return std::any_of(rest.begin(), rest.end(), needs_it) ||
           std::any_of(subject_.modules.begin(), subject_.modules.end(), needs_it);
  }

  const Mapping* mapping_at(std::uint64_t address) const {
    for (const Mapping& mapping : mappings_) {
      if (address >= mapping.start && address < mapping.end) return &mapping;
    }
    return nullptr;
  }

  // A slot that still points into its own module was never called: the loader will look the name up at the
  // first call.
  void find_bypasses(CheckedModule& module) {
    if (module.is_libc || module.is_hooks) return;
    const std::uint64_t bias = starts_[module.elf.path] - module.elf.first_address;
    for (const ImportSlot& slot : module.elf.import_slots) {
      std::uint64_t address = 0;
      if (!is_hooked(slot.name) || !target_->read(bias + slot.address, &address, sizeof address)) continue;
      const Mapping* mapping = mapping_at(address);
      if (mapping == nullptr || mapping->path == module.elf.path || has_hooks(mapping->path)) continue;
      if (!is_part_of_libc(mapping->path.substr(mapping->path.rfind('/') + 1))) continue;
      module.findings.push_back(
          {slot.name, Certainty::kBypassed, false,
           "RTLD_DEEPBIND (open it without), or the order of the link line, gives it libc's function",
           Rank::kSocketOrLock});
    }
  }
  bool has_hooks(const std::string& path) const {
    return std::any_of(subject_.modules.begin(), subject_.modules.end(), [&](const CheckedModule& module) {
      return module.elf.has_hooks && module.elf.path == path;
    });
  }

  const std::unique_ptr<Target> target_;
  const std::vector<Mapping> mappings_;
  absl::flat_hash_map<std::string, std::uint64_t> starts_;  // of each module's file: where it begins
  std::vector<std::pair<std::string, ElfModule>> elves_;    // by path, until they are examined
  Subject subject_;
};

}  // namespace

Subject check_program(const std::string& path) {
  Closure closure = find_libraries(path);
  Subject subject;
  subject.name = path;
  subject.missing = std::move(closure.missing);
  for (ElfModule& elf : closure.modules) subject.modules.push_back(examine(std::move(elf), Stdio::kBlocks));
  leave_out_own_libraries(subject.modules);
  find_what_is_shared(subject.modules);
  say_once_what_is_known_by_name(subject.modules);
  find_hooks(subject);
  return subject;
}

Subject check_process(pid_t pid) { return ProcessCheck(pid).run(); }

}  // namespace aiofiber::tool
