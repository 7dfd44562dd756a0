// SPDX-License-Identifier: Apache-2.0
//
// Parker: the one primitive that runtime and hooks suspend a fiber on.
//
// A parker belongs to one wait of one fiber and lives on that fiber's stack. It has its own wake flag, so a
// wake before the park is not lost, and a late wake of another wait cannot end this one. The first of
// unpark(), the deadline and interrupt() decides; the others do nothing.
// A cancellation throws nothing into the caller's frames, because they may be C. A wait that is cut short
// returns kInterrupted, and later waits do so too (Fiber::interrupted) until the facade has raised the error.
// Threads: the loop's only (another thread posts a Runnable that unparks).
#pragma once

#include <cstdint>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/timer_heap.h"

namespace aiofiber::runtime {

enum class Wake : std::uint8_t {
  kNone,         // not yet
  kUnparked,     // what it waited for happened
  kTimedOut,     // the deadline came first
  kInterrupted,  // the task was cancelled first
  kAlarm,        // the task's alarm came first; only if Fiber::alarm_ends_wait was set
};

// For debuggers: the whole of a call that waits in several pieces. When the first piece began (0: now), and
// when the call will end by itself.
struct WholeWait {
  Nanoseconds since = 0;
  Nanoseconds until = kForever;
};

class Parker {
 public:
  // Precondition: called on a fiber.
  Parker() noexcept : Parker(*current_fiber()) {}
  // For a fiber without a stack, whose step calls begin_sleep().
  explicit Parker(Fiber& fiber) noexcept : fiber_(fiber), timer_(*this) {}
  ~Parker();
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  // True: the caller of park() throws when the wait is cut short. Code that interrupts it or unwinds its
  // fiber must first check that this is possible there.
  bool throws_when_interrupted = false;

  // Suspends the fiber until woken, at most until `deadline` (ns of the scheduler's clock). `kind` and `arg`
  // tell a debugger what it waits for (enum aiofiber_wait). May be called once. Returns kInterrupted at once
  // while an earlier interruption has not been raised. If the fiber keeps waiting, each further wait lasts a
  // little longer before it returns kInterrupted; its event can end it. Always returns kInterrupted at once
  // when the loop is closing. Throws std::bad_alloc (no room for the timer).
  Wake park(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline = kForever) {
    return park(kind, arg, deadline, {0, deadline});
  }
  Wake park(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole);
  // A sleep of a stackless fiber, in two halves: the step that begins it returns after the first one, and the
  // next step calls the second one. Between them the parker must not move. begin_sleep() throws
  // std::bad_alloc.
  void begin_sleep(Nanoseconds deadline);
  void end_sleep() noexcept;
  // Arms the deadline before park(), for a caller that depends on the order of events.
  void arm(Nanoseconds deadline);

  void unpark() noexcept { wake(Wake::kUnparked); }
  // True if this ends the wait; false if it has already ended.
  bool interrupt() noexcept { return wake(Wake::kInterrupted); }
  // The same for the task's alarm, which ends only waits that are prepared for it.
  bool alarm() noexcept { return fiber_.alarm_ends_wait && wake(Wake::kAlarm); }

  // While parked: the limit of the code around the wait has changed, in ns of the loop's clock; 0: none.
  void set_limit(std::uint64_t limit) noexcept;

  Fiber& fiber() const noexcept { return fiber_; }

 private:
  struct Deadline : Timer {
    explicit Deadline(Parker& owner) noexcept
        : Timer(Kind::kInternal,
                [](Runnable& node) { static_cast<Deadline&>(node).parker.wake(Wake::kTimedOut); }),
          parker(owner) {}
    Parker& parker;
  };

  bool wake(Wake reason) noexcept;
  Wake refuse(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole);
  Wake suspend(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole);
  void enter() noexcept;
  void leave() noexcept;

  Fiber& fiber_;
  Deadline timer_;
  Wake reason_ = Wake::kNone;
  bool parked_ = false;
  // Valid while parked.
  std::uint64_t limit_around_;  // of the code around the wait
  Nanoseconds own_limit_;       // of the wait itself; kForever: none
};

// Sets the time limit of the fiber's current work, for readers from outside, whether or not it waits. 0:
// none. Its loop's thread.
void set_limit(Fiber& fiber, std::uint64_t limit) noexcept;

// Whether the current fiber's loop is closing: then a wait ends with an error at once, and nothing suspends
// any more. Does not return to a fiber that waits again and again; its loop abandons it. For a caller that
// makes no parker.
bool refused_by_closing_loop();

// Suspends for one pass: every other ready node runs first. When the loop is closing it returns at once.
void yield_now();

}  // namespace aiofiber::runtime
