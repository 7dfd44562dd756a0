// SPDX-License-Identifier: Apache-2.0
//
// What is looked at: the memory and the modules (executable, libraries) of a process or of a core file.
//
// The two differ only here. Nothing is ever written to a target and no code runs in it. Addresses are those
// of the target. Errors: Failure, with what to do about it.
#pragma once

#include <elfutils/libdwfl.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arch/dwarf_registers.h"

namespace aiofiber::tool {

using Registers = runtime::arch::DwarfRegisters;

// The registers of a stopped thread, and which one it is.
struct ThreadRegisters {
  pid_t tid = 0;
  Registers registers;
};

// A thread that is blocked in a system call.
struct BlockedThread {
  std::string call;  // "read"; empty: it is not blocked in any, or that cannot be seen
  std::uint64_t sp = 0, pc = 0;
  bool operator==(const BlockedThread&) const = default;
};

struct Range {
  std::uint64_t address = 0;
  void* into = nullptr;
  std::size_t bytes = 0;
  bool complete = false;  // set by read_in_order(): all of it was there
};

class Target {
 public:
  virtual ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // All of the ranges, each strictly after the one before it: what a sequence lock needs. `together` ranges
  // at a time belong together; a range that is not there costs none of the others.
  // Errors: kNoProcess when a live target has ended meanwhile, kPermission when it may not be read.
  virtual void read_in_order(std::vector<Range>& ranges, std::size_t together) = 0;
  bool read(std::uint64_t address, void* into, std::size_t bytes);

  // It runs and changes while it is read.
  virtual bool live() const = 0;
  // 0 for a core whose process is unknown.
  virtual pid_t pid() const = 0;
  // "process 4711", "core file x".
  virtual std::string name() const = 0;
  // The user that the process, or the core file, belongs to; nullopt when that is not known.
  virtual std::optional<uid_t> owner() const = 0;
  // The id here of the thread that the target calls `tid`: another one when the target lives in a PID
  // namespace of its own.
  virtual std::uint32_t thread_id(std::uint32_t tid) { return tid; }
  // The name of a thread, given its id here; empty when it is not known.
  virtual std::string thread_name(std::uint32_t tid) const = 0;
  // What the thread (its id here) is blocked in.
  virtual BlockedThread blocked_thread(std::uint32_t) const { return {}; }
  // The time of the loops' clock, given when a loop last read it.
  virtual std::int64_t now_ns(std::int64_t last_tick_ns) const = 0;

  // The lowest address of [low, high) that was ever used, as far as memory tells: the begin of its first page
  // that is in memory or swapped out. high if there is none; 0 when that is not known, as of a core.
  virtual std::uint64_t lowest_used(std::uint64_t, std::uint64_t) const { return 0; }

  // The threads of a core, with their registers; none of a process (see freeze.h).
  virtual std::vector<ThreadRegisters> threads() const { return {}; }

  Dwfl* modules() const { return modules_.get(); }

 protected:
  Target() = default;
  struct EndDwfl {
    void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
  };
  std::unique_ptr<Dwfl, EndDwfl> modules_;
};

// Errors: kNoProcess, kPermission.
std::unique_ptr<Target> open_process(pid_t pid);
// `executable` may be empty: then the path that the core names. Errors: kCore.
std::unique_ptr<Target> open_core(const std::string& core, const std::string& executable);

}  // namespace aiofiber::tool
