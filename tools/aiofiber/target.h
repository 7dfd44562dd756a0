// SPDX-License-Identifier: Apache-2.0
//
// The target of an inspection: the memory and the modules (executable, libraries) of a process or of a core
// file.
//
// Only this interface differs between the two. The tool never writes to a target and runs no code in it.
// Addresses are those of the target. Errors: Failure, with a remedy.
#pragma once

#include <elfutils/libdwfl.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arch/dwarf_registers.h"

namespace aiofiber::tool {

using Registers = runtime::arch::DwarfRegisters;

// The registers of a stopped thread, and its id.
struct ThreadRegisters {
  pid_t tid = 0;
  Registers registers;
};

// A thread that is blocked in a system call.
struct BlockedThread {
  std::string call;  // "read"; empty: it is not blocked in any, or that cannot be seen
  long number = -1;
  std::array<std::uint64_t, 6> arguments{};
  bool takes_fd = false;            // the first argument is a descriptor
  std::string file;                 // behind that descriptor; empty: unknown
  bool is_uninterruptible = false;  // no signal ends the wait, as for a disk
  std::uint64_t sp = 0, pc = 0;
  bool operator==(const BlockedThread&) const = default;
};

struct Range {
  std::uint64_t address = 0;
  void* into = nullptr;
  std::size_t bytes = 0;
  bool complete = false;  // set by read_in_order(): the whole range was read
};

class Target {
 public:
  virtual ~Target();
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // Reads all ranges, each strictly after the one before it, as a sequence lock needs. `together` ranges form
  // a group. A missing range does not affect the other groups.
  // Errors: kNoProcess when a live target has ended meanwhile, kPermission when reading is not permitted.
  virtual void read_in_order(std::span<Range> ranges, std::size_t together) = 0;
  bool read(std::uint64_t address, void* into, std::size_t bytes);

  // The target runs and changes while it is read.
  virtual bool live() const = 0;
  // 0 for a core whose process is unknown.
  virtual pid_t pid() const = 0;
  // "process 4711", "core file x".
  virtual std::string name() const = 0;
  // The user that owns the process or the core file; nullopt when unknown.
  virtual std::optional<uid_t> owner() const = 0;
  // The id here of the thread that the target calls `tid`: a different one if the target is in its own PID
  // namespace.
  virtual std::uint32_t thread_id(std::uint32_t tid) { return tid; }
  // The name of a thread, given its id here; empty when unknown.
  virtual std::string thread_name(std::uint32_t tid) const = 0;
  // The system call in which the thread (its id here) is blocked.
  virtual BlockedThread blocked_thread(std::uint32_t) const { return {}; }
  // The time of the loops' clock, given when a loop last read it.
  virtual std::int64_t now_ns(std::int64_t last_tick_ns) const = 0;

  // The lowest address of [low, high) that was ever used, as far as memory shows: the begin of its first page
  // in memory or in swap. high if there is none; 0 when unknown, as for a core.
  virtual std::uint64_t lowest_used(std::uint64_t, std::uint64_t) const { return 0; }

  // The threads of a core, with their registers; empty for a process (see freeze.h).
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
// `executable` may be empty: then the path in the core is used. Errors: kCore.
std::unique_ptr<Target> open_core(const std::string& core, const std::string& executable);

}  // namespace aiofiber::tool
