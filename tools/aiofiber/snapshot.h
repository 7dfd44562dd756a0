// SPDX-License-Identifier: Apache-2.0
//
// All tasks of a target at one look: each one's record and a copy of its stack, consistent with each other.
//
// The target runs on meanwhile. A record counts its changes (`seq`, odd while it changes or its task is on
// the CPU), so a copy is right when {record, stack, seq} were read in this order and both counts are the same
// even number. What keeps moving is tried again, and in the end reported as being on the CPU.
// Different tasks are seen at slightly different moments, unless the target is frozen (freeze.h) or a core.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "aiofiber/runtime/lock_owner.h"
#include "aiofiber/runtime/registry_abi.h"
#include "target.h"

namespace aiofiber::tool {

struct TaskSnapshot {
  aiofiber_record record{};
  std::uint64_t record_address = 0;
  // The newest part of the stack; empty: it has none, or it was on the CPU.
  std::vector<unsigned char> stack;
  std::uint64_t stack_address = 0;
  Registers registers;
  runtime::LockOwner owner;  // of the lock that it waits for
  bool on_cpu = false;     // running, or changing faster than it can be read
  bool exact_pc = false;   // registers.rip is the next instruction, not a return address
  bool truncated = false;  // more of the stack than is copied

  std::string name() const;
  std::uint64_t stack_used() const;  // bytes; 0 while it has no stack or runs
};

struct Snapshot {
  aiofiber_registry registry{};  // without its chunks
  std::uint64_t registry_address = 0;
  std::vector<TaskSnapshot> tasks;  // by id
  std::map<std::uint64_t, std::size_t> by_id;
  std::int64_t now_ns = 0;
  std::size_t retries = 0;  // tasks that moved while they were read

  const TaskSnapshot* find(std::uint64_t id) const;
  // The task that has the lock that `task` waits for; null when that is a thread, has ended, or is not known.
  const TaskSnapshot* find_owner(const TaskSnapshot& task) const;
};

// The address of the registry block. Errors: kNotAiofiber, kVersion.
std::uint64_t find_registry(Target& target);

// `with_stacks` false: records alone. `threads`: those of a frozen process or of a core, else empty.
Snapshot take_snapshot(Target& target, std::uint64_t registry_address, bool with_stacks,
                       const std::vector<ThreadRegisters>& threads);

}  // namespace aiofiber::tool
