// SPDX-License-Identifier: Apache-2.0
//
// Root regions for stacks that may still run, copies for stacks that will not.
//
// LeakSanitizer reads /proc/self/maps again for each root region, so only few are used: running loops and
// abandoned fibers. At the end there may be many suspended fibers. Those of the exiting
// thread are not resumed any more, so LeakSanitizer gets copies. Those of other threads may be, so their
// stacks become regions.
#include "engine/leak_roots.h"

#if AIOFIBER_ASAN

#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/registry.h"

namespace aiofiber::runtime {

namespace {

// Parts of a stack are poisoned.
__attribute__((no_sanitize("address"))) std::uint64_t word_at(std::uintptr_t address) noexcept {
  return *reinterpret_cast<const volatile std::uint64_t*>(address);
}

// Visits the fake frames that a stack's words point to. A frame may be visited more than once.
template <class Visit>
void for_each_fake_frame(void* fakes, const StackBounds& stack, Visit visit) noexcept {
  if (fakes == nullptr) return;
  std::uintptr_t last = 0;
  for (std::uintptr_t at = stack.low; at < stack.high; at += sizeof(std::uint64_t)) {
    void* low = nullptr;
    void* high = nullptr;
    if (__asan_addr_is_in_fake_stack(fakes, reinterpret_cast<void*>(word_at(at)), &low, &high) == nullptr)
      continue;
    const StackBounds frame{reinterpret_cast<std::uintptr_t>(low), reinterpret_cast<std::uintptr_t>(high)};
    if (std::exchange(last, frame.low) != frame.low) visit(frame);
  }
}

// The live part of a suspended fiber's stack, including the saved registers.
StackBounds live_part(const Fiber& fiber) noexcept { return {fiber.fcontext, fiber.stack_high}; }

void add_region(const StackBounds& part) noexcept {
  __lsan_register_root_region(reinterpret_cast<const void*>(part.low), part.high - part.low);
}

// Copies the memory into a block that counts as no leak, so what it points to is no leak either.
void show_copy(const StackBounds& part) noexcept {
  auto* to = static_cast<std::uint64_t*>(std::calloc(part.high - part.low, 1));
  if (to == nullptr) return;
  __lsan_ignore_object(to);
  for (std::uintptr_t at = part.low; at < part.high; at += sizeof(std::uint64_t)) *to++ = word_at(at);
}

void show_suspended() noexcept {
  const auto own_thread = static_cast<std::uint32_t>(::gettid());
  RecordSlab::for_each([own_thread](const aiofiber_record& record) {
    if (record.state == AIOFIBER_FREE) return;
    const Fiber& fiber = static_cast<const Fiber&>(record);
    // Pointers that only the record holds: an exception that is being handled, the fiber's local objects.
    const auto begin = reinterpret_cast<std::uintptr_t>(&fiber);
    show_copy({begin, begin + sizeof fiber});
    if (!fiber.started()) return;
    if (fiber.tid != own_thread) {
      add_region(fiber.bounds());
    } else if (fiber.suspended()) {
      show_copy(live_part(fiber));
      for_each_fake_frame(fiber.fake_stack, live_part(fiber), show_copy);
    }
  });
}

}  // namespace

void keep_abandoned(const Fiber& fiber) noexcept {
  add_region(live_part(fiber));
  for_each_fake_frame(fiber.fake_stack, live_part(fiber), add_region);
  __lsan_ignore_object(fiber.exceptions.caught_exceptions);
  for (const FiberLocals* node = fiber.locals; node != nullptr; node = node->next) __lsan_ignore_object(node);
  __lsan_ignore_object(fiber.owner);
}

void watch_suspended_at_exit() noexcept {
  // LeakSanitizer registered its check before anything else, so its check runs last.
  [[maybe_unused]] static const int registered = std::atexit(show_suspended);
}

ThreadStackRoot::ThreadStackRoot() noexcept {
  const StackBounds stack = thread_stack_bounds();
  add(stack);
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (here < stack.low || here >= stack.high) return;
  for_each_fake_frame(__asan_get_current_fake_stack(), {here, stack.high},
                      [this](const StackBounds& frame) { add(frame); });
}

void ThreadStackRoot::add(const StackBounds& part) noexcept {
  const auto end = parts_.begin() + static_cast<std::ptrdiff_t>(count_);
  const auto is_same = [&](const StackBounds& other) { return other.low == part.low; };
  if (count_ == parts_.size() || std::any_of(parts_.begin(), end, is_same)) return;
  parts_[count_++] = part;
  add_region(part);
}

ThreadStackRoot::~ThreadStackRoot() {
  while (count_ > 0) {
    const StackBounds& part = parts_[--count_];
    __lsan_unregister_root_region(reinterpret_cast<const void*>(part.low), part.high - part.low);
  }
}

}  // namespace aiofiber::runtime

#endif
