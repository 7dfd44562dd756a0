// SPDX-License-Identifier: Apache-2.0
//
// A snapshot of all tasks of a target: each task's record and a copy of its stack, consistent with each
// other.
//
// The target runs on meanwhile. A record counts its changes (`seq`, odd while it changes or its task is on
// the CPU). A copy is consistent if {record, stack, seq} were read in this order and both counts are the same
// even number. Suspended coroutines are followed link by link before the count is read again. A task that
// keeps changing is tried again, and in the end reported as being on the CPU. The coroutines of a task on the
// CPU are read twice, and taken if both readings agree.
// Different tasks are read at slightly different moments, unless the target is frozen (freeze.h) or a core.
//
// The snapshot does not trust the target: counts and sizes are limited to the readable memory and to a total.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/runtime/inspect/coroutine_walk.h"
#include "aiofiber/runtime/inspect/lock_owner.h"
#include "aiofiber/runtime/inspect/registry_abi.h"
#include "target.h"

namespace aiofiber::tool {

struct Address {
  std::uint64_t pc = 0;
  bool exact = false;  // the instruction itself, not the one after a call
  bool entry = false;  // the task's function, which is not on its stack
  bool coroutine =
      false;          // a suspended coroutine, which is on no stack: `pc` is the first address of its code
  bool runs = false;  // a coroutine that is not suspended but runs, and its calls are not known
  std::uint32_t line = 0;  // where the coroutine is suspended; 0: it has not started
  std::uint64_t file = 0;  // the address of the file's name
  auto operator<=>(const Address&) const = default;
  template <class Hash>
  friend Hash AbslHashValue(Hash hash, const Address& address) {
    return Hash::combine(std::move(hash), address.pc, address.exact, address.entry);
  }
};

struct TaskSnapshot {
  aiofiber_record record{};
  std::uint64_t record_address = 0;
  bool has_stack = false;  // it was copied; otherwise the task has none, was on the CPU, or was not requested
  std::vector<runtime::CoroutineCall> coroutines;  // suspended ones, innermost first
  // The newest part of the stack. Also empty when it was unwound at once (`walked`).
  std::vector<unsigned char> stack;
  bool walked = false;
  std::vector<Address> addresses;  // from unwinding
  std::uint64_t stack_address = 0;
  Registers registers;
  runtime::LockOwner owner;  // of the lock that it waits for
  bool on_cpu = false;       // running, or changing faster than it can be read
  bool exact_pc = false;     // registers.pc is the next instruction, not a return address
  bool truncated = false;    // the stack is larger than the copy
  // The record was unchanged after everything was read: all such tasks were in these states at the same
  // moment.
  bool steady = false;

  std::string name() const;
  // Whether both were in these states at the same moment. An owner of a lock may have been running then.
  bool seen_together(const TaskSnapshot& other) const { return steady && other.steady; }
  bool seen_with_owner(const TaskSnapshot& other) const { return steady && (other.steady || other.on_cpu); }
  std::uint64_t stack_used() const;  // bytes; 0 while it has no stack or runs
  // A task of coroutines, which has a stack only while it borrows one.
  bool is_stackless() const { return record.stack_high == 0 && record.state != AIOFIBER_NEW; }
  bool waits() const { return record.state == AIOFIBER_WAITING && !on_cpu; }
};

// The contents of a snapshot.
struct SnapshotWishes {
  static constexpr std::uint64_t kUsualBytes = std::uint64_t{1} << 30;

  // The tasks whose stacks are needed; empty: all.
  absl::AnyInvocable<bool(const TaskSnapshot&) const> stack_of;
  // Unwinds a stack that cannot be kept. Empty: such a stack is left out.
  absl::AnyInvocable<std::vector<Address>(const TaskSnapshot&) const> walk;
  // The memory for records, copies and addresses together.
  std::uint64_t most_bytes = kUsualBytes;
};

// A loop that has not read its clock for longer than any handle should take.
struct StandingLoop {
  static constexpr std::int64_t kLeastNs = 100'000'000;
  std::uint32_t tid = 0;
  std::int64_t stands_ns = 0;
  std::uint64_t task = 0;  // id of the running task; 0: a callback, or unknown
  BlockedThread blocked;   // its thread, in a system call
  // If that call waits as libc waits for a mutex: the mutex, and who holds it. Whether it is one, the stack
  // must tell. 0: no such wait.
  std::uint64_t mutex = 0;
  runtime::LockOwner mutex_owner;
  // The calls of its thread if no task runs, innermost first; empty: unknown.
  std::vector<Address> callback;
};

struct Snapshot {
  std::vector<StandingLoop> standing_loops;
  aiofiber_registry registry{};  // without its chunks
  std::uint64_t registry_address = 0;
  std::vector<TaskSnapshot> tasks;  // by id
  absl::flat_hash_map<std::uint64_t, std::size_t> by_id;
  absl::flat_hash_map<std::uint64_t, std::vector<std::size_t>> by_watcher;
  std::int64_t now_ns = 0;
  std::size_t retries = 0;  // tasks that moved while they were read
  // What the limit of memory left out.
  std::size_t chunks_left_out = 0;
  std::size_t stacks_left_out = 0;

  const TaskSnapshot* find(std::uint64_t id) const;
  // The tasks that `task` awaits through a gather, a group and so on, by id; empty when it awaits none so.
  std::vector<const TaskSnapshot*> watched_by(const TaskSnapshot& task) const;
  // The task that holds the lock of `task`; null if a thread holds it, or the owner has ended or is unknown.
  const TaskSnapshot* find_owner(const TaskSnapshot& task) const;
  // When a time limit ends the task's wait; nullopt: there is none, or it is unknown.
  std::optional<std::int64_t> limit_ns(const TaskSnapshot& task) const;
  // Tasks that began after the list was read and hold locks now.
  absl::flat_hash_set<std::uint64_t> younger;
};

// The address of the registry block. Errors: kNotAiofiber, kVersion.
std::uint64_t find_registry(Target& target);

// The registry block at the address, without its chunks. Errors: kVersion, kNotAiofiber; for a core also
// kCore.
aiofiber_registry read_registry(Target& target, std::uint64_t address);

// `threads`: those of a frozen process or of a core, otherwise empty.
Snapshot take_snapshot(Target& target, std::uint64_t registry_address, const SnapshotWishes& wishes,
                       const std::vector<ThreadRegisters>& threads);

}  // namespace aiofiber::tool
