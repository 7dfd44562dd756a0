// SPDX-License-Identifier: Apache-2.0
//
// A fiber: a stack that can be suspended, with everything that must be saved with it.
//
// The saved state is the Boost.Context frame, the exception state of the C++ runtime, and the sanitizers'
// data. Boost before 1.88 does not save the exception state, so a fiber suspended in a catch block would hand
// its exception to the next fiber. The fiber *is* its registry record: a debugger reads the state that the
// scheduler works with, not a copy.
//
// Knows nothing of queues, timers or tasks: the scheduler decides which fiber runs next.
// Threads: only the thread that runs the fiber's scheduler. Memory: a slot of a RecordSlab.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/runnable.h"
#include "aiofiber/runtime/engine/sanitizer_match.h"
#include "aiofiber/runtime/engine/stack.h"
#include "aiofiber/runtime/inspect/registry_abi.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::runtime {

class Fiber;
class Parker;
class Scheduler;

// The layout of __cxa_eh_globals in the Itanium C++ ABI: what "the current exception" means.
struct ExceptionState {
  void* caught_exceptions = nullptr;
  unsigned int uncaught_exceptions = 0;
};
// The exception state of the calling thread. Its address is constant for a thread: fetch it once per run.
ExceptionState* thread_exception_state() noexcept;

// Thrown through a suspended fiber when its loop closes, so that destructors run. It has no base class. If
// code swallows it, the next suspension throws it again.
struct ForcedUnwind {};

// Data that a layer above keeps for a fiber: a node of a list. A layer finds its own by its release function.
// release() takes the node out of the list, and frees it. It must not suspend.
struct FiberLocals {
  enum class Until : std::uint8_t {
    kStackGoes,  // released on the fiber when its body, or the call on its borrowed stack, has ended
    kTaskEnds,   // released by its layer before the body ends
    kFreed,      // told of the end of the body, and freed with the fiber's record
  };
  void (*release)(Fiber&) noexcept;
  Until until;
  FiberLocals* next = nullptr;
};

class Fiber : public aiofiber_record, public Runnable {
 public:
  using Entry = void (*)(Fiber&) noexcept;

  // A fiber that has not started: no stack, state NEW. `user_entry` is the address shown for it. The record
  // continues from `slot_seq`, the last sequence number of its slot, and is stable from begin_life() on.
  Fiber(Scheduler& owner_scheduler, Entry entry_function, void* owner_object, std::uint8_t stack_class,
        std::uintptr_t user_entry, std::uint64_t slot_seq) noexcept;
  // The same for a fiber without a stack: step(fiber) is called whenever it is resumed.
  Fiber(Scheduler& owner_scheduler, Run step, void* owner_object, std::uint8_t stack_class,
        std::uintptr_t user_entry, std::uint64_t slot_seq) noexcept;
  // The thread's own context, as the scheduler's hub: not in the registry.
  Fiber() noexcept;

  // Whether it has a stack. A stackless fiber has one while it borrows it.
  bool started() const noexcept { return stack_high != 0; }
  bool suspended() const noexcept { return state == AIOFIBER_READY || state == AIOFIBER_WAITING; }
  Stack stack() const noexcept {
    return {reinterpret_cast<char*>(stack_low), reinterpret_cast<char*>(stack_high), size_class};
  }
  StackBounds bounds() const noexcept { return {stack_low, stack_high}; }

  void begin_life() noexcept;

  // Whether it was interrupted; forgets it.
  bool take_interrupted() noexcept {
    const bool was = interrupted;
    interrupted = false;
    return was;
  }

  // Whether it goes on to wait although its waits have failed since its interruption. It has had a second or
  // two to end.
  static constexpr std::uint8_t kRefusedWaitsOfOneThatIgnores = 32;
  bool ignores_interruption() const noexcept { return refused_waits >= kRefusedWaitsOfOneThatIgnores; }

  // Copies the name into the record, cut to its size, for readers from outside.
  void set_name(std::string_view text) noexcept;
  void set_wait(std::uint32_t what, std::uint64_t arg, Nanoseconds since) noexcept {
    wait_kind = what;
    wait_arg = arg;
    wait_since_ns = since;
  }

  // Sets the time limit of the fiber's current work, for readers from outside: its waits end then or earlier.
  void shorten_limit(Nanoseconds until) noexcept {
    const auto limit = static_cast<std::uint64_t>(until > 0 ? until : 1);
    if (wait_limit == 0 || limit < wait_limit) wait_limit = limit;
  }

  // The place of the node with this release function; it holds null, at the end of the list, if there is
  // none.
  FiberLocals*& locals_of(void (*release)(Fiber&) noexcept) noexcept {
    FiberLocals** at = &locals;
    while (*at != nullptr && (*at)->release != release) at = &(*at)->next;
    return *at;
  }
  // Releases what ends now: with the stack, or with the body.
  AIOFIBER_NOINLINE void release_locals(bool body_ends) noexcept;

  // Binds a stack and prepares the first switch into main_function(fiber), which must not return.
  // `slot_bytes` is the distance to the neighbour stacks.
  using Main = void (*)(Fiber&) noexcept;
  void bind(const Stack& stack, std::size_t slot_bytes, Main main_function) noexcept;
  // Takes over a finished fiber's stack without leaving it: the caller is already running on it.
  void adopt_stack(Fiber& finished) noexcept;
  // Forgets the stack: a stackless fiber has given it back.
  void leave_stack() noexcept;

  // ---- written by the scheduler and by the parker. The small fields come first: they fill up the last word
  // of Runnable.
  std::uint8_t size_class;
  bool unwinding : 1 = false;  // its loop is closing: every suspension throws ForcedUnwind
  bool finished : 1 = false;   // its body has returned: the stack and the record await recycling
  // A runtime wait was cut short by a cancellation that is still to be raised.
  bool interrupted : 1 = false;
  bool keeps_values : 1 = false;    // the first of `locals` is its values (task_values.h)
  bool without_values : 1 = false;  // created by a thread that does not take part (task_values.h)
  // For the hooks, about the task's own alarm: it is due, and its handler has not run; it ends the fiber's
  // wait; its handler must not run yet.
  bool alarm_due : 1 = false;
  bool alarm_ends_wait : 1 = false;
  bool alarm_later : 1 = false;
  std::uint16_t hooks_off = 0;     // > 0: hooked libc calls go to libc
  std::uint8_t refused_waits = 0;  // waits refused one after the other; slows down a fiber that spins
  std::uint8_t after_cut_off = 0;  // hooks::AfterCutOff, inherited by the fibers that it creates
  Scheduler* scheduler;
  Entry body;
  void* owner;                    // the creator's object: the facade's task
  Parker* parker = nullptr;       // the wait's parker; null when it waits for an object of the facade
  ExceptionState exceptions;      // valid while suspended
  FiberLocals* locals = nullptr;  // a list
#if AIOFIBER_ASAN
  void* fake_stack = nullptr;
  const void* asan_low = nullptr;
  std::size_t asan_bytes = 0;
#endif
#if AIOFIBER_TSAN
  void* tsan_fiber = nullptr;
#endif

 private:
  void release_sanitizer_state() noexcept;
  friend class Scheduler;
};

// The fiber that runs on this thread; null in plain threads, in loop callbacks and outside a loop. Reading it
// is one initial-exec TLS load, because the hooks read it on every call.
extern constinit thread_local Fiber* current_fiber_slot __attribute__((tls_model("initial-exec")));
inline Fiber* current_fiber() noexcept { return current_fiber_slot; }

// The stackless fiber whose step runs on this thread's loop; null outside steps. While a step runs another
// fiber at once (Scheduler::run_now), current_fiber() is that one.
extern constinit thread_local Fiber* current_step_slot __attribute__((tls_model("initial-exec")));
// The fiber for which code runs now, with or without a stack.
inline Fiber* current_fiber_or_step() noexcept {
  Fiber* const fiber = current_fiber_slot;
  return fiber != nullptr ? fiber : current_step_slot;
}

// During its lifetime, hooked libc calls of the current fiber are libc's own. Symbolizing needs it to read
// files. It does nothing outside fibers. Construct and destroy it on the same fiber; scopes nest.
class HooksOff {
 public:
  HooksOff() noexcept : fiber_(current_fiber()) {
    if (fiber_ != nullptr) ++fiber_->hooks_off;
  }
  ~HooksOff() {
    if (fiber_ != nullptr) --fiber_->hooks_off;
  }
  HooksOff(const HooksOff&) = delete;
  HooksOff& operator=(const HooksOff&) = delete;

 private:
  Fiber* fiber_;
};

// The bounds of the running stack: the current fiber's, else the thread's.
StackBounds current_stack_bounds() noexcept;

// The coroutines of the fiber for which code runs now (aiofiber_record); 0: none.
inline std::uint64_t current_coroutines() noexcept {
  const Fiber* const fiber = current_fiber_or_step();
  return fiber != nullptr ? fiber->coroutines : 0;
}

// Whether an object is a local variable on the running stack. Includes variables that AddressSanitizer keeps
// elsewhere (detect_stack_use_after_return).
bool on_current_stack(const void* object) noexcept;

}  // namespace aiofiber::runtime
