// SPDX-License-Identifier: Apache-2.0
//
// What `aiofiber hooks --check` looks at: the modules of a program as the loader would bring them in, or
// those that a process has, with what was found in each.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "elf_module.h"

namespace aiofiber::tool {

// The surest first.
enum class Certainty {
  kByName,    // a library that is known for it
  kBypassed,  // a hooked name, bound in this process to another function than the hooks'
  kDirect,    // the code makes the system call itself
  kImported,  // the function is imported; whether a task ever calls it is not known
  kUnknown,   // imported, and it depends on the arguments
};

// What it is that blocks, the worst first: it is what a task waits for all day, or but once at the start.
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
  bool is_libc = false;   // libc's parts and the loader: what they call is the hooks' business or nobody's
  bool is_hooks = false;  // libaiofiber_hooks.so
  bool is_own = false;    // a library that is there for aiofiber only: not looked at
  bool opened_late =
      false;  // of a process: not needed by the program, so dlopen() or LD_PRELOAD brought it in
  std::vector<Finding> findings;
  int hooked_imports = 0;
};

enum class HooksPlace { kNone, kAct, kBehindLibc };

struct Subject {
  std::string name;
  pid_t pid = 0;
  std::vector<CheckedModule> modules;
  std::vector<std::string> missing;
  HooksPlace hooks = HooksPlace::kNone;
  std::string hooks_module;
  bool stdio_suspends = false;  // of a process: it is switched on
};

// Errors: those of read_elf_module() and, of a process, of open_process().
Subject check_program(const std::string& path);
Subject check_process(pid_t pid);

}  // namespace aiofiber::tool
