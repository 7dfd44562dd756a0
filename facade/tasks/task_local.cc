// SPDX-License-Identifier: Apache-2.0
//
// The values of TaskLocal variables: a list in the fiber's locals, and one for each thread.
// Tasks use few of them, so a list is an array with linear search.
#include "aiofiber/task_local.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/task_core.h"

namespace aiofiber::detail {

namespace {

struct Entry {
  const void* variable;
  void* value;
  void (*destroy)(void*);
};

class Entries {
 public:
  Entries() = default;
  Entries(const Entries&) = delete;
  Entries& operator=(const Entries&) = delete;
  ~Entries() { clear(); }
  // A destructor may use other variables, even make their values anew.
  void clear() noexcept {
    while (!entries_.empty()) {
      const Entry last = entries_.back();
      entries_.pop_back();
      last.destroy(last.value);
    }
  }
  void* find(const void* variable) const noexcept {
    for (const Entry& entry : entries_) {
      if (entry.variable == variable) return entry.value;
    }
    return nullptr;
  }
  void add(Entry entry) { entries_.push_back(entry); }
  void drop(const void* variable) noexcept {
    const auto place = std::find_if(entries_.begin(), entries_.end(),
                                    [=](const Entry& entry) { return entry.variable == variable; });
    if (place == entries_.end()) return;
    const Entry dropped = *place;
    entries_.erase(place);
    dropped.destroy(dropped.value);
  }

 private:
  std::vector<Entry> entries_;
};

void release_all(runtime::Fiber& fiber) noexcept;

struct TaskLocals : runtime::FiberLocals {
  TaskLocals() noexcept : FiberLocals{release_all, Until::kTaskEnds} {}
  Entries entries;
};

TaskLocals* find(runtime::Fiber& fiber) noexcept {
  return fiber.locals == nullptr ? nullptr : static_cast<TaskLocals*>(fiber.locals_of(release_all));
}

// The list stays where it is while destructors run, because they may look at other values.
void release_all(runtime::Fiber& fiber) noexcept {
  TaskLocals* const locals = find(fiber);
  locals->entries.clear();
  fiber.locals_of(release_all) = locals->next;
  delete locals;
}

Entries& of_thread() noexcept {
  thread_local Entries entries;
  return entries;
}

// Null in a task that has no value yet.
Entries* current() noexcept {
  const TaskCore* const task = current_task_core();
  if (task == nullptr) return &of_thread();
  TaskLocals* const locals = find(*task->fiber());
  return locals != nullptr ? &locals->entries : nullptr;
}

}  // namespace

void* find_task_local(const void* variable) noexcept {
  const Entries* const entries = current();
  return entries != nullptr ? entries->find(variable) : nullptr;
}

void keep_task_local(const void* variable, void* value, void (*destroy)(void*)) {
  Entries* entries = current();
  if (entries == nullptr) {
    auto* const made = new TaskLocals;
    entries = &made->entries;
    current_task_core()->fiber()->locals_of(release_all) = made;  // at the end of the list
  }
  entries->add({variable, value, destroy});
}

void drop_task_local(const void* variable) noexcept {
  if (Entries* const entries = current()) entries->drop(variable);
}

void end_task_locals(runtime::Fiber& fiber) noexcept {
  if (find(fiber) != nullptr) release_all(fiber);
}

}  // namespace aiofiber::detail
