// SPDX-License-Identifier: Apache-2.0
//
// The runtime on a processor that runtime/arch/ does not know (arch/other). Fibers switch and exceptions
// pass. Functions for frames, traces and registers return that there are none.
#include <gtest/gtest.h>

#include <array>
#include <exception>
#include <stdexcept>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "aiofiber/runtime/inspect/unwind.h"

static_assert(AIOFIBER_ARCH_X86_64 == 0);

namespace aiofiber::runtime {
namespace {

struct Turns {
  int left = 100;
  int taken = 0;
  int caught = 0;
};

void take_turns(Fiber& self) noexcept {
  auto& turns = *static_cast<Turns*>(self.owner);
  while (turns.left-- > 0) {
    ++turns.taken;
    self.scheduler->yield();
    try {
      throw std::runtime_error("in a fiber");
    } catch (const std::exception&) {
      turns.caught += throw_trace(std::current_exception()).empty() ? 1 : 0;
    }
  }
  self.scheduler->stop();
}

TEST(ArchOther, SwitchesFibersThatThrow) {
  Turns turns;
  const auto scheduler = make_scheduler();
  scheduler->make_ready(scheduler->create_fiber(take_turns, &turns, 0, 0));
  scheduler->make_ready(scheduler->create_fiber(take_turns, &turns, 0, 0));
  scheduler->run();
  EXPECT_EQ(turns.taken, 100);
  EXPECT_GE(turns.caught, 99);  // the other fiber may be in its last turn
}

TEST(ArchOther, HasNoFrames) {
  std::array<std::uintptr_t, 8> frames;
  EXPECT_EQ(current_registers().pc, 0u);
  EXPECT_EQ(saved_registers(&frames).pc, 0u);
  EXPECT_EQ(arch::interrupted_registers(nullptr).pc, 0u);
  EXPECT_EQ(unwind(current_registers(), thread_stack_bounds(), frames), 0u);
  EXPECT_FALSE(throw_would_terminate(current_registers(), thread_stack_bounds()));
  // A program counter from another source gives one frame.
  const auto here = reinterpret_cast<std::uintptr_t>(&take_turns) + 1;
  EXPECT_EQ(unwind({here, thread_stack_bounds().high - 64}, thread_stack_bounds(), frames), 1u);
  EXPECT_EQ(frames[0], here);
}

TEST(ArchOther, SaysSoToReadersFromOutside) {
  const auto scheduler = make_scheduler();
  EXPECT_EQ(aiofiber_debug_registry.arch, 0);
  EXPECT_EQ(aiofiber_debug_registry.ctx_layout, 0u);
}

TEST(ArchOther, TellsTheTimeByTheSystemsClock) {
  const auto stamp = static_cast<Nanoseconds>(Stamps::now());
  const Nanoseconds time = SteadyClock::instance().now();
  EXPECT_LE(stamp, time);
  EXPECT_GT(stamp, time - 1'000'000'000'000);
}

}  // namespace
}  // namespace aiofiber::runtime
