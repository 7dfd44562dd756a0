// SPDX-License-Identifier: Apache-2.0
//
// Every task of the process as text: state, name, what it waits for, stack; whatever thread it belongs to.
//
// Works from the registry's records alone, as a debugger in another process would: the tasks of other threads
// go on running, and each is copied between two looks at its sequence lock. No lock of a loop is taken, so a
// loop that hangs is no obstacle. Threads: any. Not async-signal-safe.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "aiofiber/runtime/inspect/lock_owner.h"
#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

struct TaskSnapshot {
  aiofiber_record record{};
  std::vector<std::uintptr_t>
      stack;                // return addresses, newest first; empty if it has none, or would not hold still
  std::string system_call;  // of one that runs: the call that it is blocked in
};

// All tasks that exist, by loop thread and id. A task that switches all the time may come without its stack.
std::vector<TaskSnapshot> snapshot_tasks();

// Finds tasks among many, which must outlive it.
class TaskIndex {
 public:
  // Implicit: a list of tasks will do wherever an index is asked for.
  TaskIndex(const std::vector<TaskSnapshot>& tasks);
  const TaskSnapshot* find(std::uint64_t id) const;
  // Those that are waited for through that gather and the like, by loop thread and id.
  const std::vector<const TaskSnapshot*>& watched_by(std::uint64_t watcher) const;

 private:
  std::unordered_map<std::uint64_t, const TaskSnapshot*> by_id_;
  std::unordered_map<std::uint64_t, std::vector<const TaskSnapshot*>> by_watcher_;
};

// Who has the lock that `record` waits for, as of now; not known() when it waits for something else.
LockOwner lock_owner(const aiofiber_record& record);
// What `record` waits for, as `sleep, 1.5 s left`, `fd 3 = socket:[77]`, `task 'x'`, `gather of 'a', 'b'`,
// `lock at 0x7f..., held by task 'x'`; `all` gives the names. Empty when it does not wait.
std::string describe_wait(const aiofiber_record& record, const TaskIndex& all);
std::string task_name(const aiofiber_record& record);

// The text. Many tasks with the same stack are shown once, with their number and some names.
std::string format_task_dump();

}  // namespace aiofiber::runtime
