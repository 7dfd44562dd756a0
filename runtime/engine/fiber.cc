// SPDX-License-Identifier: Apache-2.0
//
// A fiber's beginning: its record, its stack, its first context. The switch itself is in switch.h.
#include "aiofiber/runtime/engine/fiber.h"

#include <cxxabi.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstring>

#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/switch.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/trace/trace.h"
#include "inspect/utf8.h"

#if AIOFIBER_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if AIOFIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace aiofiber::runtime {

namespace ctx = boost::context::detail;

static_assert(sizeof(Fiber) <= kRecordStride && alignof(Fiber) <= kRecordAlignment);

constinit thread_local Fiber* current_fiber_slot = nullptr;
constinit thread_local Fiber* current_step_slot = nullptr;

ExceptionState* thread_exception_state() noexcept {
  return reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

StackBounds current_stack_bounds() noexcept {
  const Fiber* fiber = current_fiber();
  return fiber != nullptr ? fiber->bounds() : thread_stack_bounds();
}

bool on_current_stack(const void* object) noexcept {
#if AIOFIBER_ASAN
  void* fakes = __asan_get_current_fake_stack();
  if (fakes != nullptr &&
      __asan_addr_is_in_fake_stack(fakes, const_cast<void*>(object), nullptr, nullptr) != nullptr) {
    return true;
  }
#endif
  const auto address = reinterpret_cast<std::uintptr_t>(object);
  const StackBounds stack = current_stack_bounds();
  return address >= stack.low && address < stack.high;
}

namespace {
aiofiber_record unstable_record(std::uint64_t slot_seq) noexcept {
  aiofiber_record record{};
  record.seq = slot_seq | 1;
  return record;
}
}  // namespace

Fiber::Fiber(Scheduler& owner_scheduler, Entry entry_function, void* owner_object, std::uint8_t stack_class,
             std::uintptr_t user_entry, std::uint64_t slot_seq) noexcept
    : aiofiber_record(unstable_record(slot_seq)),
      Runnable(Kind::kFiber),
      size_class(stack_class),
      scheduler(&owner_scheduler),
      body(entry_function),
      owner(owner_object) {
  id = next_fiber_id();
  entry = user_entry;
  state = AIOFIBER_NEW;
}

Fiber::Fiber(Scheduler& owner_scheduler, Run step, void* owner_object, std::uint8_t stack_class,
             std::uintptr_t user_entry, std::uint64_t slot_seq) noexcept
    : Fiber(owner_scheduler, Entry{nullptr}, owner_object, stack_class, user_entry, slot_seq) {
  kind = Kind::kStackless;
  run = step;
}

void Fiber::begin_life() noexcept { __atomic_store_n(&seq, seq + 1, __ATOMIC_RELEASE); }

Fiber::Fiber() noexcept
    : aiofiber_record{},
      Runnable(Kind::kFiber),
      size_class(0),
      scheduler(nullptr),
      body(nullptr),
      owner(nullptr) {}

void Fiber::set_name(std::string_view text) noexcept {
  const std::string_view kept = cut_utf8(text, sizeof name - 1);
  std::memcpy(name, kept.data(), kept.size());
  name[kept.size()] = '\0';
  if (tracing()) trace_name(*this);
}

namespace {

// Boost's make_fcontext pushes a frame without call-frame information; this one says that the walk ends here.
void fiber_entry(ctx::transfer_t transfer) noexcept {
  asm volatile(AIOFIBER_ARCH_CFI_NO_CALLER);
  Fiber& self = *current_fiber();
  arrived(self, {transfer.fctx, transfer.data});
  // bind() stored the main function in wait_arg.
  reinterpret_cast<Fiber::Main>(self.wait_arg)(self);
  assertion_failed("a fiber's main function returned", __FILE__, __LINE__);
}

}  // namespace

void Fiber::bind(const Stack& stack, std::size_t slot_bytes, Main main_function) noexcept {
  stack_low = reinterpret_cast<std::uint64_t>(stack.low);
  stack_high = reinterpret_cast<std::uint64_t>(stack.high);
  // A fiber waits for nothing before it starts, so this field can carry its main function across the switch.
  wait_arg = reinterpret_cast<std::uint64_t>(main_function);
  // Slots are multiples of large powers of two. Without the stagger the hot frames of all fibers would
  // compete for the same few cache sets. The CPU's check of loads against stores would also confuse two
  // fibers that alternate.
  const std::size_t stagger = (stack_high / slot_bytes % 16) * kCacheLineBytes;
  fcontext = reinterpret_cast<std::uint64_t>(
      ctx::make_fcontext(stack.high - stagger, stack.bytes() - stagger, fiber_entry));
#if AIOFIBER_ASAN
  fake_stack = nullptr;  // of the stack that a stackless fiber borrowed before: it is freed
  asan_low = stack.low;
  asan_bytes = stack.bytes();
#endif
#if AIOFIBER_TSAN
  tsan_fiber = __tsan_create_fiber(0);
#endif
}

void Fiber::adopt_stack(Fiber& finished_fiber) noexcept {
  stack_low = finished_fiber.stack_low;
  stack_high = finished_fiber.stack_high;
#if AIOFIBER_ASAN
  asan_low = finished_fiber.asan_low;
  asan_bytes = finished_fiber.asan_bytes;
#endif
#if AIOFIBER_TSAN
  tsan_fiber = finished_fiber.tsan_fiber;
  finished_fiber.tsan_fiber = nullptr;
#endif
  __atomic_store_n(&seq, seq | 1, __ATOMIC_RELEASE);
  state = AIOFIBER_RUNNING;
  ++switches;
  if (switch_is_watched()) watch_switch(finished_fiber, *this);
  current_fiber_slot = this;
}

void Fiber::release_locals(bool body_ends) noexcept {
  using Until = FiberLocals::Until;
  for (FiberLocals* node = locals; node != nullptr;) {
    FiberLocals* const following = node->next;
    if (node->until == Until::kStackGoes) node->release(*this);
    node = following;
  }
  if (body_ends && keeps_values) locals->release(*this);
}

void Fiber::leave_stack() noexcept {
  release_sanitizer_state();
  __atomic_store_n(&seq, seq | 1, __ATOMIC_RELEASE);
  stack_low = stack_high = fcontext = 0;
  finished = false;
  __atomic_store_n(&seq, seq + 1, __ATOMIC_RELEASE);
}

void Fiber::release_sanitizer_state() noexcept {
#if AIOFIBER_TSAN
  if (tsan_fiber != nullptr) __tsan_destroy_fiber(tsan_fiber);
  tsan_fiber = nullptr;
#endif
}

}  // namespace aiofiber::runtime
