// SPDX-License-Identifier: Apache-2.0
//
// The registry block as an external reader sees it. Every fiber of the process is in it, in its current
// state, with a context that can be unwound. A reused slot continues its count.
#include <aiofiber/runtime/engine/make_scheduler.h>
#include <aiofiber/runtime/engine/parker.h>
#include <aiofiber/runtime/inspect/registry.h>
#include <aiofiber/runtime/inspect/unwind.h>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace aiofiber::runtime {
namespace {

std::optional<aiofiber_record> find(std::uint64_t id) {
  std::optional<aiofiber_record> found;
  RecordSlab::for_each([&](const aiofiber_record& record) {
    if (record.id == id && record.state != AIOFIBER_FREE) found = record;
  });
  return found;
}

// The fibers of these tests share one parker: the first waits on it, others look and end the wait.
struct Shared {
  Parker* parker = nullptr;
  std::optional<aiofiber_record> seen;
  std::uint64_t id = 0;
};

void wait(Fiber& fiber) noexcept {
  auto& shared = *static_cast<Shared*>(fiber.owner);
  shared.id = fiber.id;
  Parker parker;
  shared.parker = &parker;
  parker.park(AIOFIBER_WAIT_OTHER, 4711);
  fiber.scheduler->stop();
}

void look(Fiber& fiber) noexcept {
  auto& shared = *static_cast<Shared*>(fiber.owner);
  shared.seen = find(shared.id);
  shared.parker->unpark();
}

void end(Fiber& fiber) noexcept { fiber.scheduler->stop(); }

TEST(Registry, DescribesItself) {
  const auto scheduler = make_scheduler();
  EXPECT_STREQ(aiofiber_debug_registry.magic, AIOFIBER_REGISTRY_MAGIC);
  EXPECT_EQ(aiofiber_debug_registry.size, sizeof(aiofiber_registry));
  EXPECT_EQ(aiofiber_debug_registry.record_size, sizeof(aiofiber_record));
  EXPECT_GE(aiofiber_debug_registry.record_stride, sizeof(Fiber));
  EXPECT_EQ(aiofiber_debug_registry.arch, arch::kElfMachine);
  EXPECT_EQ(aiofiber_debug_registry.ctx_layout > 0, AIOFIBER_ARCH_X86_64 == 1 || AIOFIBER_ARCH_AARCH64 == 1);
}

TEST(Registry, ShowsAFiberThatHasNotStarted) {
  const auto scheduler = make_scheduler();
  Fiber& fiber = scheduler->create_fiber(end, nullptr, 0, 0x1234);
  fiber.set_name("a name that is much longer than the thirty-one letters of a record");
  const auto record = find(fiber.id);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->state, static_cast<std::uint32_t>(AIOFIBER_NEW));
  EXPECT_EQ(record->entry, 0x1234u);
  EXPECT_EQ(record->stack_low, 0u);
  EXPECT_EQ(record->seq % 2, 0u);
  EXPECT_EQ(std::string(record->name), "a name that is much longer than");
  scheduler->destroy_unstarted(fiber);
}

TEST(Registry, ShowsWhatAFiberWaitsForAndWhere) {
  Shared shared;
  const auto scheduler = make_scheduler();
  scheduler->make_ready(scheduler->create_fiber(wait, &shared, 0, 0));
  scheduler->make_ready(scheduler->create_fiber(look, &shared, 0, 0));
  scheduler->run();
  ASSERT_TRUE(shared.seen);
  const aiofiber_record& record = *shared.seen;
  EXPECT_EQ(record.state, static_cast<std::uint32_t>(AIOFIBER_WAITING));
  EXPECT_EQ(record.wait_kind, static_cast<std::uint32_t>(AIOFIBER_WAIT_OTHER));
  EXPECT_EQ(record.wait_arg, 4711u);
  EXPECT_EQ(record.seq % 2, 0u);
  EXPECT_EQ(record.switches, 1u);
  EXPECT_EQ(record.tid, static_cast<std::uint32_t>(::syscall(SYS_gettid)));
  EXPECT_GT(record.fcontext, record.stack_low);
  EXPECT_LT(record.fcontext + aiofiber_debug_registry.ctx_layout, record.stack_high);
}

// What a reader from outside does by ctx_layout is what the unwinder does inside.
TEST(Registry, LeadsToTheReturnAddressOfASuspendedFiber) {
  struct Walk {
    Shared shared;
    std::uintptr_t by_layout = 0;
    std::uintptr_t by_unwinder = 0;
  } walk;
  const auto scheduler = make_scheduler();
  scheduler->make_ready(scheduler->create_fiber(wait, &walk.shared, 0, 0));
  const auto compare = [](Fiber& fiber) noexcept {
    auto& w = *static_cast<Walk*>(fiber.owner);
    const auto record = find(w.shared.id);
    if (record) {
      const auto* context = reinterpret_cast<const char*>(record->fcontext);
      std::memcpy(&w.by_layout, context + aiofiber_debug_registry.ctx_layout, sizeof w.by_layout);
      w.by_unwinder = saved_registers(context).pc;
    }
    w.shared.parker->unpark();
  };
  scheduler->make_ready(scheduler->create_fiber(compare, &walk, 0, 0));
  scheduler->run();
  EXPECT_NE(walk.by_layout, 0u);
  EXPECT_EQ(walk.by_layout, walk.by_unwinder);
}

TEST(Registry, ASlotThatIsUsedAgainGoesOnCounting) {
  const auto scheduler = make_scheduler();
  Fiber& first = scheduler->create_fiber(end, nullptr, 0, 0);
  const void* const slot = &first;
  const std::uint64_t first_id = first.id;
  const std::uint64_t first_seq = first.seq;
  scheduler->make_ready(first);
  scheduler->run();
  EXPECT_FALSE(find(first_id));
  Fiber& second = scheduler->create_fiber(end, nullptr, 0, 0);
  EXPECT_EQ(&second, slot);
  EXPECT_GT(second.id, first_id);
  EXPECT_GT(second.seq, first_seq);
  EXPECT_EQ(second.seq % 2, 0u);
  scheduler->destroy_unstarted(second);
}

TEST(Registry, AFreedFiberIsNotShown) {
  const auto scheduler = make_scheduler();
  Fiber& fiber = scheduler->create_fiber(end, nullptr, 0, 0);
  const std::uint64_t id = fiber.id;
  scheduler->destroy_unstarted(fiber);
  EXPECT_FALSE(find(id));
}

}  // namespace
}  // namespace aiofiber::runtime
