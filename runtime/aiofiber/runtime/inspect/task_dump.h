// SPDX-License-Identifier: Apache-2.0
//
// Every task of the process as text, on all threads: state, name, what it waits for, stack.
//
// Uses only the registry's records, as a debugger in another process would. The tasks of other threads keep
// running; each is copied under its sequence lock. No lock of a loop is taken, so a loop may hang. Threads:
// any. Not async-signal-safe.
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
  std::vector<std::uintptr_t> stack;  // a list of calls (call_list.h); empty: none, or they kept changing
  std::string system_call;            // for a running task: the system call in which it is blocked
};

// Returns all tasks that exist, by loop thread and id. A task that switches often may have no stack here.
std::vector<TaskSnapshot> snapshot_tasks();

// Finds tasks in a list. The list must outlive the index.
class TaskIndex {
 public:
  // Implicit: a list of tasks may be passed as an index.
  TaskIndex(const std::vector<TaskSnapshot>& tasks);
  const TaskSnapshot* find(std::uint64_t id) const;
  // The tasks that a gather or similar object waits for, by loop thread and id.
  const std::vector<const TaskSnapshot*>& watched_by(std::uint64_t watcher) const;

 private:
  std::unordered_map<std::uint64_t, const TaskSnapshot*> by_id_;
  std::unordered_map<std::uint64_t, std::vector<const TaskSnapshot*>> by_watcher_;
};

// The current owner of the lock that `record` waits for; not known() if it waits for no lock.
LockOwner lock_owner(const aiofiber_record& record);
// What `record` waits for, as `sleep, 1.5 s left`, `fd 3 = socket:[77]`, `task 'x'`, `gather of 'a', 'b'`,
// `lock at 0x7f..., held by thread 7 'x'`; names come from `all`. Empty when it does not wait.
std::string describe_wait(const aiofiber_record& record, const TaskIndex& all);
std::string task_name(const aiofiber_record& record);

// The text of the dump. Tasks with the same stack are shown once, with their number and some names.
std::string format_task_dump();

}  // namespace aiofiber::runtime
