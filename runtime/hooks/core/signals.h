// SPDX-License-Identifier: Apache-2.0
//
// Whether this thread runs a signal handler. Then hooks are off, because a handler must not be suspended in
// the middle of the interrupted code.
// Knows only handlers that were installed through the hooked sigaction() and signal().
#pragma once

#include <signal.h>

#include <cstdint>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::hooks {

// The number of nested handlers that run on this thread.
extern constinit thread_local int signal_depth __attribute__((tls_model("initial-exec")));
inline bool in_signal_handler() noexcept { return signal_depth != 0; }

// How many handlers of the process's signals have run to their end, in any thread.
std::uint32_t handler_runs() noexcept;

// The action that the program has set: sa_sigaction is its own handler.
struct ::sigaction program_action(int signo) noexcept;

// One run of a handler, on the thread's list of them. It ends with its scope, or when the handler leaves by a
// jump (process/jumps.cc): then leave() ends it.
class HandlerRun {
 public:
  // `mask`: of a task's alarm (task_alarm.h): the signal mask to restore when a jump ends the run. Null: the
  // kernel runs the handler.
  AIOFIBER_ALWAYS_INLINE explicit HandlerRun(const sigset_t* mask) noexcept
      : position_(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0))), mask_(mask) {
    begin();
  }
  ~HandlerRun() { end(); }
  HandlerRun(const HandlerRun&) = delete;
  HandlerRun& operator=(const HandlerRun&) = delete;

  // A jump of this thread will continue at `stack_pointer`: ends the runs that it leaves. `stack`: the bounds
  // of the current stack; a handler outside of them runs on the alternate signal stack.
  static void leave(std::uintptr_t stack_pointer, runtime::StackBounds stack) noexcept;
  // Whether the innermost handler of this thread is that of a task's alarm: it has interrupted a hook, and no
  // other code.
  static bool is_of_alarm() noexcept;

 private:
  void begin() noexcept;
  void end() noexcept;

  const std::uintptr_t position_;
  const sigset_t* const mask_;
  HandlerRun* outer_ = nullptr;
  runtime::Fiber* fiber_ = nullptr;
  std::uint16_t hooks_off_before_ = 0;
};

}  // namespace aiofiber::hooks
