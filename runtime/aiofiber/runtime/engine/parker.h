// SPDX-License-Identifier: Apache-2.0
//
// Parker: why a fiber sleeps. The one primitive that runtime and hooks suspend on.
//
// A parker belongs to one wait of one fiber and lives on that fiber's stack. It carries its own wake
// flag, so a wake that comes before the park is not lost, and a stale wake of another wait cannot end
// this one. The first of unpark(), the deadline and interrupt() decides; the others do nothing.
// Nothing here throws into the caller's frames for a cancellation, because those may be C: a wait that
// is cut short says so, and keeps saying so (Fiber::interrupted) until the facade has raised the error.
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
};

// For a debugger, of a call that waits in several pieces, to look in between: when the first piece began (0:
// now), and when the whole will end by itself.
struct WholeWait {
  Nanoseconds since = 0;
  Nanoseconds until = kForever;
};

class Parker {
 public:
  // Precondition: called on a fiber.
  Parker() noexcept : fiber_(*current_fiber()), timer_(*this) {}
  ~Parker();
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  // The caller of park() throws when the wait was cut short, instead of telling its own caller: who
  // interrupts it or unwinds its fiber asks first whether that is possible there.
  bool throws_when_interrupted = false;

  // Suspends the fiber until woken, at most until `deadline` (ns of the scheduler's clock). `kind` and
  // `arg` tell a debugger what it waits for (enum aiofiber_wait). May be called once.
  // While an earlier interruption is still to be raised the wait is refused: kInterrupted at once. A fiber
  // that waits on and on all the same is let wait, a little longer each time, before it is refused; what
  // happens meanwhile ends the wait as ever. kInterrupted at once, always, when the loop is closing. Throws
  // std::bad_alloc (no room for the timer).
  Wake park(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline = kForever) {
    return park(kind, arg, deadline, {0, deadline});
  }
  Wake park(std::uint32_t kind, std::uint64_t arg, Nanoseconds deadline, const WholeWait& whole);
  // Arms the deadline before park(), for a caller that must look at the order of events.
  void arm(Nanoseconds deadline);

  void unpark() noexcept { wake(Wake::kUnparked); }
  // True if this ends the wait; false if it was over already.
  bool interrupt() noexcept { return wake(Wake::kInterrupted); }

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

  Fiber& fiber_;
  Deadline timer_;
  Wake reason_ = Wake::kNone;
  bool parked_ = false;
};

// Suspends for one pass: every other ready node runs first. When the loop is closing it returns at once.
void yield_now();

}  // namespace aiofiber::runtime
