// SPDX-License-Identifier: Apache-2.0
//
// All tasks of a target at one look: each one's record and a copy of its stack, consistent with each other.
//
// The target runs on meanwhile. A record counts its changes (`seq`, odd while it changes or its task is on
// the CPU), so a copy is right when {record, stack, seq} were read in this order and both counts are the same
// even number. What keeps moving is tried again, and in the end reported as being on the CPU.
// Different tasks are seen at slightly different moments, unless the target is frozen (freeze.h) or a core.
//
// What the target says of itself is not believed: counts and sizes are bounded by what can be read, and by a
// sum.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "aiofiber/runtime/inspect/lock_owner.h"
#include "aiofiber/runtime/inspect/registry_abi.h"
#include "target.h"

namespace aiofiber::tool {

struct Address {
  std::uint64_t pc = 0;
  bool exact = false;  // the instruction itself, not the one behind a call
  bool entry = false;  // of the function that the task begins with, which is not on its stack
  auto operator<=>(const Address&) const = default;
};

struct TaskSnapshot {
  aiofiber_record record{};
  std::uint64_t record_address = 0;
  bool has_stack = false;  // it was copied; else the task has none, was on the CPU, or was not asked for
  // The newest part of the stack. Empty too when it was walked at once (`walked`).
  std::vector<unsigned char> stack;
  bool walked = false;
  std::vector<Address> addresses;  // of the walk
  std::uint64_t stack_address = 0;
  Registers registers;
  runtime::LockOwner owner;  // of the lock that it waits for
  bool on_cpu = false;       // running, or changing faster than it can be read
  bool exact_pc = false;     // registers.pc is the next instruction, not a return address
  bool truncated = false;    // more of the stack than is copied
  // It was still the same when all had been read: tasks of which that is so were so at the same moment.
  bool steady = false;

  std::string name() const;
  // Whether there was a moment at which both were as they are here. An owner of a lock may have been running
  // then.
  bool seen_together(const TaskSnapshot& other) const { return steady && other.steady; }
  bool seen_with_owner(const TaskSnapshot& other) const { return steady && (other.steady || other.on_cpu); }
  std::uint64_t stack_used() const;  // bytes; 0 while it has no stack or runs
  bool waits() const { return record.state == AIOFIBER_WAITING && !on_cpu; }
};

// What is to be copied.
struct SnapshotWishes {
  static constexpr std::uint64_t kUsualBytes = std::uint64_t{1} << 30;

  // The tasks whose stacks are of interest; empty: all.
  std::function<bool(const TaskSnapshot&)> stack_of;
  // Reads the addresses of a stack that cannot be kept. Empty: such a stack is left out.
  std::function<std::vector<Address>(const TaskSnapshot&)> walk;
  // Of memory, for records, copies and addresses together.
  std::uint64_t most_bytes = kUsualBytes;
};

// A loop that has not come back to look at its clock for longer than any handle should take.
struct StandingLoop {
  static constexpr std::int64_t kLeastNs = 100'000'000;
  std::uint32_t tid = 0;
  std::int64_t stands_ns = 0;
  std::uint64_t task = 0;   // id of the one that runs; 0: a callback, or that is not known
  std::string system_call;  // that its thread is blocked in, as "read"; empty: none
  // The calls of its thread if no task runs, innermost first; empty: not to be seen.
  std::vector<Address> callback;
};

struct Snapshot {
  std::vector<StandingLoop> standing_loops;
  aiofiber_registry registry{};  // without its chunks
  std::uint64_t registry_address = 0;
  std::vector<TaskSnapshot> tasks;  // by id
  std::map<std::uint64_t, std::size_t> by_id;
  std::int64_t now_ns = 0;
  std::size_t retries = 0;  // tasks that moved while they were read
  // What the bound of memory left out.
  std::size_t chunks_left_out = 0;
  std::size_t stacks_left_out = 0;

  const TaskSnapshot* find(std::uint64_t id) const;
  // The task that has the lock that `task` waits for; null when that is a thread, has ended, or is not known.
  const TaskSnapshot* find_owner(const TaskSnapshot& task) const;
  // When a time limit ends what the task waits for; nullopt: there is none, or it is not told.
  std::optional<std::int64_t> limit_ns(const TaskSnapshot& task) const;
  // Tasks that began after the list was read and have locks by now.
  std::set<std::uint64_t> younger;
};

// The address of the registry block. Errors: kNotAiofiber, kVersion.
std::uint64_t find_registry(Target& target);

// The registry block there, without its chunks. Errors: kVersion, kNotAiofiber; of a core also kCore.
aiofiber_registry read_registry(Target& target, std::uint64_t address);

// `threads`: those of a frozen process or of a core, else empty.
Snapshot take_snapshot(Target& target, std::uint64_t registry_address, const SnapshotWishes& wishes,
                       const std::vector<ThreadRegisters>& threads);

}  // namespace aiofiber::tool
