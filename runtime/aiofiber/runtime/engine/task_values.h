// SPDX-License-Identifier: Apache-2.0
//
// Variables of the program that have a value per task, although their code does not know it: an old library's
// static buffer, or a global that is set, used by a call and set back.
//
// The memory of the variable holds the value of whatever runs now. The switch between fibers saves it to a
// block of the task that leaves, and copies in the block of the task that comes (switch_watch.h). Code
// outside tasks (callbacks, code before and after run()) has a value of its own, the outside value.
//
// One thread at a time can use them, because the variable is in one place: the thread of the first loop that
// runs. While it runs, a loop on another thread is refused: its run(), and its new tasks. A thread can
// promise that its loop does not use the variables (set_task_values_here()); its tasks then have no values.
// Other threads and the offload pool see whatever value is there.
//
// Public as hooks::per_task() and, for C, in <aiofiber/per_task.h>.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/runtime/engine/switch_watch.h"

extern "C" {
struct aiofiber_per_task_entry;
void aiofiber_per_task_entries(aiofiber_per_task_entry* const*, aiofiber_per_task_entry* const*);
}

namespace aiofiber::runtime {

// The first value of a new task, and what becomes of the last one. Tasks that exist at the registration begin
// with the value of that moment, and their values are not released.
struct TaskVariableOptions {
  // The value that the variable has at the registration. Else the creator's, when the task is created.
  bool from_registration = false;
  // Changes the first value of a new task in place; called by the creator when the task is created. It must
  // not throw, suspend, register variables or create tasks. `value` is a copy, not the variable itself.
  void (*init)(void* value, std::size_t bytes, void* argument) = nullptr;
  // Called when the task has ended, with its last value: on the task, in the variable itself; if the task
  // never ran or could not be unwound, elsewhere with a copy. It must not throw or suspend. Only with `init`:
  // a copied value may own nothing.
  void (*release)(void* value, std::size_t bytes, void* argument) = nullptr;
  void* argument = nullptr;

  bool operator==(const TaskVariableOptions&) const = default;
};

// All variables together, because each byte is copied twice at a switch.
inline constexpr std::size_t kMostTaskValueBytes = std::size_t{1} << 20;

// From now on the bytes have a value per task. For good: the module that contains them stays loaded; memory
// that is in no module must stay allocated. The same call again does nothing. `name`: for messages; empty:
// the symbol is looked up when a message needs it.
// Threads: while a loop runs, only its own. Does not suspend.
// Errors: std::system_error, and nothing is changed. EINVAL: null, no bytes, a local variable, `release`
// without `init`. ENOTSUP: a thread_local. EFAULT: memory that cannot be written, is shared with other
// processes, or is not there. EEXIST: overlaps another variable, or other options. E2BIG: more than
// kMostTaskValueBytes. EBUSY: another thread runs a loop. EDEADLK: called by an `init`. std::bad_alloc.
void add_task_variable(void* begin, std::size_t bytes, std::string_view name = {},
                       const TaskVariableOptions& options = {});
// The same for the variable with this name (static_variable.h). More errors: ENOENT: there is none. ENOTUNIQ:
// there are several; the text lists them. EFAULT, ENOTSUP also for names of functions and thread_locals.
void add_task_variable_named(std::string_view name, const TaskVariableOptions& options = {});

struct TaskVariable {
  std::string name;
  void* address;
  std::size_t bytes;
};
// In the order of registration. Any thread.
std::vector<TaskVariable> task_variables();

// Whether loops of the calling thread take part; they do unless told otherwise. False promises that their
// tasks do not use the variables. Errors: std::system_error EBUSY: a loop runs on this thread.
void set_task_values_here(bool wanted);

// Whether some of the bytes are in a variable, and the running task has values: then the memory holds other
// values while the task is suspended, so no other thread, and not the kernel, may use it for the task
// meanwhile. Only the loop's thread.
AIOFIBER_NOINLINE bool overlaps_task_variable(const void* begin, std::size_t bytes) noexcept;
// The same for the pointers that an object consists of, for example a lambda with copies of its arguments.
AIOFIBER_NOINLINE bool leads_to_task_variable(const void* object, std::size_t bytes) noexcept;

// ---- for the scheduler

struct FiberLocals;

// Whether this thread does not take part (set_task_values_here()); its new fibers get that as their flag.
extern constinit thread_local bool no_task_values_here __attribute__((tls_model("initial-exec")));

// The values of a new fiber; null: no variable is registered, or the thread does not take part. Errors:
// std::bad_alloc; std::system_error EBUSY: a loop of another thread runs; EDEADLK: called by an `init`.
AIOFIBER_NOINLINE FiberLocals* make_task_values();
void drop_task_values(FiberLocals* values) noexcept;

// The values of the fiber, which has them (Fiber::keeps_values), when its record is freed.
AIOFIBER_NOINLINE void free_task_values(Fiber& fiber) noexcept;

// A switch: the variables get the values of `to`; for the loop itself, those of the step that it runs, or the
// outside values.
void switch_task_values(const Fiber& to) noexcept;

// While it lives, the calling thread runs a loop. Errors: std::system_error EBUSY, as above.
class TaskValuesOfLoop {
 public:
  TaskValuesOfLoop();
  ~TaskValuesOfLoop();
  TaskValuesOfLoop(const TaskValuesOfLoop&) = delete;
  TaskValuesOfLoop& operator=(const TaskValuesOfLoop&) = delete;

 private:
  bool entered_ = false;
};

// The same while a closing loop unwinds a fiber, perhaps in a task of another loop of the thread. If another
// thread runs a loop, the fiber finds the values of that one, and a line on stderr says so.
class TaskValuesOfUnwinding {
 public:
  TaskValuesOfUnwinding() noexcept;
  ~TaskValuesOfUnwinding();
  TaskValuesOfUnwinding(const TaskValuesOfUnwinding&) = delete;
  TaskValuesOfUnwinding& operator=(const TaskValuesOfUnwinding&) = delete;

 private:
  FiberLocals* before_ = nullptr;
  bool entered_ = false;
};

}  // namespace aiofiber::runtime
