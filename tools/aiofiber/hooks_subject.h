// SPDX-License-Identifier: Apache-2.0
//
// The subject of `aiofiber hooks --check`: the modules of a program as the loader would load them, or the
// modules of a process, with the findings in each.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "elf_module.h"
#include "shared_calls.h"
#include "shared_variables.h"

namespace aiofiber::tool {

// The most certain first.
enum class Certainty {
  kByName,    // a library with a known problem
  kBypassed,  // a hooked name that is bound to another function in this process
  kDirect,    // the code makes the system call itself
  kImported,  // the function is imported; whether a task ever calls it is unknown
  kUnknown,   // imported, and it depends on the arguments
};

// The kind of call that blocks, the worst first: tasks wait for sockets and locks often, for others rarely.
enum class Rank { kSocketOrLock, kOther, kFile, kUnknown };

struct Finding {
  std::string function;
  Certainty certainty;
  bool sometimes = false;  // it rarely blocks: shown with --verbose
  std::string advice;
  Rank rank = Rank::kOther;
};

struct CheckedModule {
  ElfModule elf;
  bool is_libc = false;   // libc's parts and the loader: their calls are not checked
  bool is_hooks = false;  // libaiofiber_hooks.so
  bool is_own = false;    // a library that only aiofiber needs: not checked
  // In a process: the program does not need it, so dlopen() or LD_PRELOAD loaded it.
  bool opened_late = false;
  std::vector<Finding> findings;
  int hooked_imports = 0;
  // What tasks would share.
  std::vector<SharedVariable> shared_variables;
  std::vector<SharedCalls> shared_calls;
};

enum class HooksPlace { kNone, kAct, kBehindLibc };

struct Subject {
  std::string name;
  pid_t pid = 0;
  std::vector<CheckedModule> modules;
  std::vector<std::string> missing;
  HooksPlace hooks = HooksPlace::kNone;
  std::string hooks_module;
  bool stdio_suspends = false;  // in a process: it is switched on
};

// Errors: those of read_elf_module() and, for a process, of open_process().
Subject check_program(const std::string& path);
Subject check_process(pid_t pid);

}  // namespace aiofiber::tool
