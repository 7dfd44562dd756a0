// SPDX-License-Identifier: Apache-2.0
//
// Locals: what libc keeps per thread or process and each task needs for itself.
//
// They are the results of gethostbyname, getpwnam and so on, which libc returns in static memory, the values
// of pthread keys (keys.cc), the alarm (task_alarm.h), and a look-up that runs. Created when a task first
// needs them, freed when its fiber ends (Fiber::locals). Threads: the fiber's only.
#pragma once

#include <grp.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>

#include <csetjmp>
#include <cstdint>
#include <memory>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/inspect/descriptor_use.h"
#include "hooks/core/task_alarm.h"

namespace aiofiber::hooks {

// A result with the memory that its pointers point into.
template <class Entry>
struct StoredEntry {
  Entry entry{};
  std::unique_ptr<char[]> memory;
};

struct Locals : runtime::FiberLocals {
  Locals() noexcept;

  StoredEntry<hostent> host;
  StoredEntry<passwd> user;
  StoredEntry<group> user_group;

  struct KeyValue {
    void* value = nullptr;
    std::uint32_t generation = 0;  // of the key when it was set; differs after the key was deleted
  };
  std::vector<KeyValue> keys;  // by pthread_key_t

  // jmp_bufs of the program that are not on the task's stack (process/jump_buffers.cc).
  struct SavedJump {
    const __jmp_buf_tag* buffer;
    jmp_buf content;  // what this task had put there, before another task did
  };
  std::vector<SavedJump> saved_jumps;
  std::vector<const __jmp_buf_tag*> filled_buffers;  // those that this task has filled

  runtime::descriptor_use::Recent recent_descriptors;  // in debug mode

  std::unique_ptr<TaskAlarm, TaskAlarm::End> alarm;  // null: the task has never set one

  // The task's look-up of a name. An alarm's handler may jump out of it; then it is left at the next one.
  runtime::DetachedCall::Owner<runtime::DetachedCall> look_up;
};

// The locals of the current task; null when it has none yet, or outside a task.
Locals* find_locals() noexcept;
// The same of any task of this thread.
Locals* find_locals(runtime::Fiber& fiber) noexcept;
// The same, created if needed. Precondition: in a task. Throws std::bad_alloc.
Locals& get_locals();

// Calls the keys' destructors for the values that the task has set (keys.cc).
void destroy_key_values(Locals& locals) noexcept;
// Forgets which jmp_bufs the current task has filled (process/jump_buffers.cc).
void forget_jump_buffers(Locals& locals) noexcept;

// From now on each task has its own value of this key, at first null (keys.cc). Call it before a task uses
// the key. Any thread.
void give_values_per_task(pthread_key_t key) noexcept;

}  // namespace aiofiber::hooks
