// SPDX-License-Identifier: Apache-2.0
//
// Settings of the hooks, for programs, and what they count.
//
// There are five settings: where hooks are off (Disable), what happens to a connection after a call on it was
// cut short (CutOff), whether stdio is hooked (enable_stdio), whether calls on files by name use the offload
// pool (set_files_on_pool), and which variables have a value per task (per_task). All of them may be used in
// a program without hooks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <type_traits>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/task_values.h"

// Returns null if stdio suspends tasks, else why not. Weak: itself null in a program without hooks.
extern "C" [[gnu::weak]] const char* aiofiber_enable_stdio() noexcept;
// Weak: null in a program without hooks.
extern "C" [[gnu::weak]] void aiofiber_set_files_on_pool(bool wanted) noexcept;

namespace aiofiber::hooks {

// While it lives, the hooked libc calls of the current task are libc's own and block the whole thread. It is
// for code that must not be suspended in the middle: code with a lock that another task of this thread may
// want, allocators, loggers. Scopes nest. Outside a task it does nothing. Lifetime: a local variable of the
// task; must be destroyed on the fiber that created it.
using Disable = runtime::HooksOff;

// What happens to a connection (a stream or seqpacket socket) when a wait on it is cut short: its task was
// cancelled, reached the limit of a wait_for, or lost its loop.
enum class AfterCutOff : std::uint8_t {
  // The default. A connection that this side opened is given up, so that the late answer is not taken for the
  // answer to the next question. It is shut down at once if something was sent since the last byte was
  // received, else at the next send. Later calls fail with EPIPE (no signal) or ECONNRESET. A connection from
  // accept() stays usable when it waited for bytes: a server waits for the next request. Both are shut down
  // when the wait was for room to send, because part of the message has been sent.
  kByRole,
  // The connection stays usable. For protocols in which each answer says which question it belongs to.
  kGoesOn,
  // The connection is shut down, whichever side opened it. For protocols in which the accepting side asks.
  kShutDown,
};

// While it lives, it sets the behaviour for waits of the current task, and of the tasks created in its scope
// as long as those live (wait_for(fn, ...) creates one). Scopes nest; the innermost counts. Outside a task it
// does nothing.
//
// AIOFIBER_CUT_OFF_GOES_ON in the environment sets kGoesOn for whole protocols: it lists peers' ports and
// paths of unix sockets, separated by colons (5672:389:/run/broker.sock). It applies where no scope says
// otherwise, but not to waits for room to send, because the program does not know how much of the message was
// sent.
// Lifetime: a local variable of the task; must be destroyed on the fiber that created it.
// Cancellation: never a cancellation point.
class CutOff {
 public:
  // Outside a task it does nothing.
  explicit CutOff(AfterCutOff then) noexcept : fiber_(runtime::current_fiber()) {
    if (fiber_ == nullptr) return;
    before_ = fiber_->after_cut_off;
    fiber_->after_cut_off = static_cast<std::uint8_t>(then);
  }
  ~CutOff() {
    if (fiber_ != nullptr) fiber_->after_cut_off = before_;
  }
  CutOff(const CutOff&) = delete;
  CutOff& operator=(const CutOff&) = delete;

 private:
  runtime::Fiber* fiber_;
  std::uint8_t before_ = 0;
};

// Makes stdio suspend tasks: fgets, fread, fscanf, fprintf, fflush and so on, on a FILE over a socket, a pipe
// or a terminal. stdin, stdout and stderr never suspend. Same as AIOFIBER_STDIO=1 in the environment. It
// replaces operations inside libc, so it checks libc before and tests the result afterwards. Returns true if
// it is on, also if it was on before. Returns false if a check failed: stdio is unchanged, and a line on
// stderr says why.
// Threads: any, at any time. Does not suspend. See runtime/hooks/README.md.
inline bool enable_stdio() noexcept {
  const char* refusal =
      aiofiber_enable_stdio != nullptr
          ? aiofiber_enable_stdio()
          : "the program has no hooks: link the target aiofiber::hooks, or preload libaiofiber_hooks.so";
  if (refusal != nullptr)
    std::fprintf(stderr, "aiofiber hooks: stdio goes on blocking the thread: %s\n", refusal);
  return refusal == nullptr;
}

// Makes calls on files by name (open, rename, unlink, mkdir, truncate, chmod, stat, opendir, readdir, fopen,
// mkstemp and so on: runtime/hooks/README.md lists all) run on the offload pool when a task calls them. Then
// a busy disk delays only that task. Off by default, as each trip costs some ten microseconds; same as
// AIOFIBER_FILES_ON_POOL=1 in the environment. Such a call is never cut short: a cancellation comes at the
// task's next wait. Returns false if the program has no hooks. Threads: any, at any time. Does not suspend.
inline bool set_files_on_pool(bool wanted) noexcept {
  if (aiofiber_set_files_on_pool == nullptr) return false;
  aiofiber_set_files_on_pool(wanted);
  return true;
}

// Gives variables a value per task, although the code that uses them does not know it: a library's static
// buffer, a global that is set around a call, the state of an iterator in the style of strtok(). A switch
// between tasks saves the bytes and copies in those of the next task. Code outside tasks has a value of its
// own. A new task begins with the value that its creator has at that moment; PerTaskOptions has the other
// ways. Tasks that exist begin with the value of the registration.
//
// It is for good: the module with the variable stays loaded, and memory that is in no module must stay
// allocated. In all 1 MiB at most, because each switch copies all of it: runtime/hooks/README.md, "State per
// task", has the price, and what to use in code that you write anew.
//
// A variable is in one place, so one thread at a time can have it: that of the first loop that runs. A loop
// on another thread is refused meanwhile (std::system_error, EBUSY, from its run() and create_task()), unless
// set_per_task_on_this_thread(false) promised there that it does not use the variables. A thread without a
// loop sees whichever value is there.
//
// Threads: any while no loop runs; then the one of the only loop. Does not suspend. Not in a signal handler.
// Errors: std::system_error with a text that says which variable and why. EINVAL: null, no bytes, a local
// variable, `release` without `init`; ENOTSUP: a thread_local; EFAULT: memory that cannot be written, or is
// shared with other processes; EEXIST: overlaps another one, or the same with other options; E2BIG; EBUSY:
// another thread runs a loop; EDEADLK: in an `init`. std::bad_alloc. After an error nothing has changed.
using PerTaskOptions = runtime::TaskVariableOptions;

// The bytes [begin, begin + size). `name`: for messages.
inline void per_task(void* begin, std::size_t size, const PerTaskOptions& options = {},
                     std::string_view name = {}) {
  runtime::add_task_variable(begin, size, name, options);
}

// A variable: `per_task(&variable)`. An array may be given by its name.
template <class Variable>
void per_task(Variable&& variable, const PerTaskOptions& options = {}) {
  using Given = std::remove_cvref_t<Variable>;
  constexpr bool is_array = std::is_array_v<std::remove_reference_t<Variable>>;
  static_assert(is_array || std::is_pointer_v<Given>,
                "give the address of the variable: per_task(&variable)");
  if constexpr (is_array || std::is_pointer_v<Given>) {
    using Object =
        std::conditional_t<is_array, std::remove_reference_t<Variable>, std::remove_pointer_t<Given>>;
    static_assert(std::is_object_v<Object>, "give the size of the memory: per_task(begin, size)");
    static_assert(!std::is_const_v<std::remove_all_extents_t<Object>>, "a constant needs no value per task");
    if constexpr (std::is_object_v<Object>) {
      const volatile void* begin;
      if constexpr (is_array) {
        begin = &variable;
      } else {
        begin = variable;
      }
      runtime::add_task_variable(const_cast<void*>(begin), sizeof(Object), {}, options);
    }
  }
}

// A variable that only its own source can see, by its name: `optarg`, `chunk`, `app::cache`; a static in a
// function by its own name. `http.c:chunk` or `libfoo.so.1:chunk` if there are several. The names come from
// the symbol tables: of a stripped module, only exported ones are known.
// More errors: ENOENT: there is none; ENOTUNIQ: there are several, which the text lists.
inline void per_task_symbol(std::string_view name, const PerTaskOptions& options = {}) {
  runtime::add_task_variable_named(name, options);
}

// A variable of which each task has its own value.
using PerTaskVariable = runtime::TaskVariable;
// What is registered, in that order.
inline std::vector<PerTaskVariable> per_task_variables() { return runtime::task_variables(); }

// False promises that the loops of the calling thread run no code that uses the variables; their tasks have
// no values then. Errors: std::system_error EBUSY: a loop runs on this thread.
inline void set_per_task_on_this_thread(bool wanted) { runtime::set_task_values_here(wanted); }

// How many waits for a descriptor have ended because somebody closed it meanwhile, in the process so far.
// Code with one thread never does that, so each is worth a look: debug mode reports who closed it and who
// waited. Threads: any. Does not suspend.
inline std::uint64_t waits_ended_by_close() noexcept { return runtime::Reactor::waits_ended_by_close(); }

}  // namespace aiofiber::hooks
