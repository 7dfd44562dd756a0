// SPDX-License-Identifier: Apache-2.0
//
// Settings of the hooks, for programs, and what they count.
//
// There are four settings: where hooks are off (Disable), what happens to a connection after a call on it was
// cut short (CutOff), whether stdio is hooked (enable_stdio), and whether calls on files by name use the
// offload pool (set_files_on_pool). All of them may be used in a program without hooks.
#pragma once

#include <cstdint>
#include <cstdio>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/reactor.h"

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

// How many waits for a descriptor have ended because somebody closed it meanwhile, in the process so far.
// Code with one thread never does that, so each is worth a look: debug mode reports who closed it and who
// waited. Threads: any. Does not suspend.
inline std::uint64_t waits_ended_by_close() noexcept { return runtime::Reactor::waits_ended_by_close(); }

}  // namespace aiofiber::hooks
