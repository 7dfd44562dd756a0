// SPDX-License-Identifier: Apache-2.0
//
// The cache of Rows (frame_rule.h), the stack walk that uses them, and the check whether a throw gets through
// a stack.
//
// A walk may be wrong, or race with the stack's owner, so the memory that it reads may be poisoned for the
// sanitizers or change meanwhile. All reads go through read_word(), which is not instrumented.
#include <aiofiber/runtime/inspect/unwind.h>

#include <link.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <bit>

#include "arch/frame_rule.h"
#include "inspect/call_frame.h"
#include "inspect/exception_table.h"

namespace aiofiber::runtime {
namespace {

#define AIOFIBER_NOT_SANITIZED __attribute__((no_sanitize("address", "thread", "undefined")))

// All threads share the cache without locks. A slot holds a row and `check` = key ^ mix(row). The two words
// are written and read separately. A reader that sees halves of two different writes computes a key that is
// not its own (except by chance, 1 in 2^47) and treats it as a miss. No other memory depends on the words, so
// relaxed order is enough.
struct CacheSlot {
  std::atomic<std::uint64_t> check{0};
  std::atomic<std::uint64_t> row{0};
};
constexpr unsigned kCacheBits = 12;
constinit std::array<CacheSlot, std::size_t{1} << kCacheBits> g_cache{};
constinit std::atomic<std::uint64_t> g_generation{0};  // bits 48..63 of the keys; changed to flush the cache
constinit std::atomic<std::uint64_t> g_unloaded{0};    // the number of unloaded libraries at the last check

std::uint64_t mix(std::uint64_t value) { return value * 0x9e3779b97f4a7c15u; }

[[gnu::noinline]] Row fill_cache(CacheSlot& slot, std::uint64_t key, std::uintptr_t return_address) {
  const Row row = compile_row(return_address);
  const auto bits = std::bit_cast<std::uint64_t>(row);
  slot.check.store(key ^ mix(bits), std::memory_order_relaxed);
  slot.row.store(bits, std::memory_order_relaxed);
  return row;
}

[[gnu::always_inline]] inline Row find_row(std::uintptr_t return_address, std::uint64_t generation) {
  const std::uint64_t key = return_address ^ generation;
  CacheSlot& slot = g_cache[mix(key) >> (64 - kCacheBits)];
  const std::uint64_t bits = slot.row.load(std::memory_order_relaxed);
  if (slot.check.load(std::memory_order_relaxed) == (key ^ mix(bits))) [[likely]]
    return std::bit_cast<Row>(bits);
  return fill_cache(slot, key, return_address);
}

AIOFIBER_NOT_SANITIZED inline std::uintptr_t read_word(std::uintptr_t address) {
  return *reinterpret_cast<const volatile std::uintptr_t*>(address);
}

// A walk over one stack. It reads only inside the given bounds, and only above the first frame's sp or in the
// red zone below it.
class Walk {
 public:
  // `displacement`: from the stack to the copy that is read; 0: no copy.
  explicit Walk(const Registers& registers, StackBounds bounds, std::uintptr_t displacement = 0)
      : registers_(registers), displacement_(displacement) {
    const std::uintptr_t sp = registers.sp;
    if (sp < bounds.low || sp >= bounds.high || bounds.high - sp < sizeof(std::uintptr_t)) return;
    low_ = sp - bounds.low > arch::kRedZoneBytes ? sp - arch::kRedZoneBytes : bounds.low;
    last_ = bounds.high - sizeof(std::uintptr_t);
  }
  // A walk from a fault in a frame that reaches below the bounds.
  Walk(const Registers& registers, std::uintptr_t probing, StackBounds bounds) : Walk(registers, bounds) {
    probing_ = probing;
    if (registers.sp >= bounds.low) return;
    low_ = bounds.low;
    last_ = bounds.high - sizeof(std::uintptr_t);
  }

  const Registers& registers() const { return registers_; }

  [[gnu::always_inline]] Step step() {
    return step_by(find_row(registers_.pc, generation_), registers_, probing_, *this);
  }

  // The word at `address`; false if it may not be read.
  bool load(std::uintptr_t address, std::uintptr_t& value) const {
    if (address < low_ || address > last_ || address % sizeof address != 0) return false;
    value = read_word(address + displacement_);
    return true;
  }

 private:
  Registers registers_;
  std::uintptr_t probing_ = 0;  // for the first frame, if known: no other frame can be found by it
  std::uint64_t generation_ = g_generation.load(std::memory_order_relaxed);
  const std::uintptr_t displacement_;
  std::uintptr_t low_ = 1;  // nothing is readable until the bounds are known to be good
  std::uintptr_t last_ = 0;
};

}  // namespace

std::size_t unwind_onwards(Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out,
                           const void* copy) noexcept {
  Walk walk(registers, bounds, copy != nullptr ? reinterpret_cast<std::uintptr_t>(copy) - bounds.low : 0);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().pc != 0) {
    out[count++] = walk.registers().pc;
    if (walk.step() != Step::kCaller) {
      registers = Registers{};
      return count;
    }
  }
  registers = walk.registers();
  return count;
}

std::size_t unwind(const Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept {
  Registers current = registers;
  return unwind_onwards(current, bounds, out);
}

std::size_t unwind_copy(const Registers& registers, StackBounds bounds, const void* copy,
                        std::span<std::uintptr_t> out) noexcept {
  Registers current = registers;
  return unwind_onwards(current, bounds, out, copy);
}

std::size_t unwind_overflowed(const Registers& registers, std::uintptr_t probing, StackBounds bounds,
                              std::span<std::uintptr_t> out) noexcept {
  Walk walk(registers, probing, bounds);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().pc != 0) {
    out[count++] = walk.registers().pc;
    if (walk.step() != Step::kCaller) break;
  }
  return count;
}

bool throw_would_terminate(const Registers& registers, StackBounds bounds, Throw what) noexcept {
  if (registers.pc == 0) return false;
  notice_unloaded_code();
  Walk walk(registers, bounds);
  bool may_be_caught = false;
  for (;;) {
    const std::uintptr_t instruction = walk.registers().pc - 1;
    if (const auto table = find_frame_table(instruction)) {
      switch (fate_in_frame(*table, instruction, what.type)) {
        case Fate::kPasses:
          break;
        case Fate::kMayCatch:
          may_be_caught = true;
          break;
        case Fate::kCatches:
          return false;
        case Fate::kTerminates:
          return true;
        case Fate::kPassesOn:
          break;
        case Fate::kPassesOnOther:
          if (what.beyond_scope != nullptr) what.type = what.beyond_scope(what.type, what.argument);
          break;
      }
    }
    switch (walk.step()) {
      case Step::kCaller:
        break;
      case Step::kOutermost:
        return !may_be_caught;
      default:
        return true;
    }
  }
}

void flush_unwind_cache() noexcept {
  g_generation.fetch_add(std::uint64_t{1} << 48, std::memory_order_relaxed);
}

void notice_unloaded_code() noexcept {
  std::uint64_t unloaded = 0;
  const auto look = [](dl_phdr_info* info, std::size_t, void* result) {
    *static_cast<std::uint64_t*>(result) = info->dlpi_subs;
    return 1;  // each module reports the same numbers
  };
  dl_iterate_phdr(look, &unloaded);
  if (g_unloaded.load(std::memory_order_relaxed) == unloaded) return;
  flush_unwind_cache();
  g_unloaded.store(unloaded, std::memory_order_relaxed);
}

StackBounds thread_stack_bounds() noexcept {
  constinit thread_local StackBounds bounds{0, 0};
  if (bounds.high == 0) [[unlikely]] {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return bounds;
    void* low = nullptr;
    std::size_t size = 0;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
      bounds.low = reinterpret_cast<std::uintptr_t>(low);
      bounds.high = bounds.low + size;
    }
    pthread_attr_destroy(&attributes);
  }
  return bounds;
}

}  // namespace aiofiber::runtime
