// SPDX-License-Identifier: Apache-2.0
//
// The cache of Rows (call_frame.h), the walk over a stack by them, and the question whether a throw would get
// through it.
//
// Stack memory may be poisoned for the sanitizers, or be written to by its owner's thread, when a walk is
// wrong or racing; all reads of it go through read_word(), which is not instrumented.
#include <aiofiber/runtime/inspect/unwind.h>

#include <link.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <bit>

#include "arch/x86_64/context_layout.h"
#include "inspect/call_frame.h"
#include "inspect/exception_table.h"

#if defined(__x86_64__) && defined(__LP64__)

namespace aiofiber::runtime {
namespace {

#define AIOFIBER_NOT_SANITIZED __attribute__((no_sanitize("address", "thread", "undefined")))

// The cache is shared by all threads without locks. A slot holds a row and `check` = key ^ mix(row). The two
// words are written and read separately; a reader that meets halves of two different writes computes a key
// that is not its own, but for an accident of 1 in 2^47, and takes it for a miss. No other memory depends on
// them, so relaxed order is enough.
struct CacheSlot {
  std::atomic<std::uint64_t> check{0};
  std::atomic<std::uint64_t> row{0};
};
constexpr unsigned kCacheBits = 12;
constinit std::array<CacheSlot, std::size_t{1} << kCacheBits> g_cache{};
constinit std::atomic<std::uint64_t> g_generation{0};  // bits 48..63 of the keys; changed to flush the cache
constinit std::atomic<std::uint64_t> g_unloaded{0};  // how many libraries had been unloaded at the last look

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

// How the step from a frame to its caller went.
enum class Step { kCaller, kOutermost, kNoTable, kUnsupported, kCorrupted };

// A walk over one stack. Reads are confined to the given bounds and, a red zone apart, to what lies above the
// first frame's rsp.
class Walk {
 public:
  // `displacement`: of the memory that is read, when that is a copy of the stack.
  explicit Walk(const Registers& registers, StackBounds bounds, std::uintptr_t displacement = 0)
      : registers_(registers), displacement_(displacement) {
    constexpr std::uintptr_t kRedZone = 128;
    const std::uintptr_t rsp = registers.rsp;
    if (rsp < bounds.low || rsp >= bounds.high || bounds.high - rsp < sizeof(std::uintptr_t)) return;
    low_ = rsp - bounds.low > kRedZone ? rsp - kRedZone : bounds.low;
    last_ = bounds.high - sizeof(std::uintptr_t);
  }
  // From a fault in a frame that reaches below the bounds.
  Walk(const Registers& registers, std::uintptr_t r11, StackBounds bounds) : Walk(registers, bounds) {
    r11_ = r11;
    if (registers.rsp >= bounds.low) return;
    low_ = bounds.low;
    last_ = bounds.high - sizeof(std::uintptr_t);
  }

  const Registers& registers() const { return registers_; }

  [[gnu::always_inline]] Step step() {
    const Row row = find_row(registers_.rip, generation_);
    std::uintptr_t cfa = static_cast<std::uintptr_t>(row.offset());
    switch (row.rule()) {
      case CfaRule::kRsp:
        cfa += registers_.rsp;
        break;
      case CfaRule::kRbp:
        cfa += registers_.rbp;
        break;
      case CfaRule::kRbx:
        cfa += registers_.rbx;
        break;
      case CfaRule::kR11:
        cfa += r11_;
        break;
      case CfaRule::kRbpDeref:
        if (!load(cfa + registers_.rbp, cfa)) return Step::kCorrupted;
        break;
      case CfaRule::kOutermost:
        return Step::kOutermost;
      case CfaRule::kNoTable:
        return Step::kNoTable;
      default:
        return Step::kUnsupported;
    }
    std::uintptr_t caller = 0;
    if (cfa <= registers_.rsp || !load(cfa - 8, caller)) return Step::kCorrupted;
    if (!restore(row.rbp, cfa, registers_.rbp) || !restore(row.rbx, cfa, registers_.rbx))
      return Step::kCorrupted;
    registers_.rip = caller;
    registers_.rsp = cfa;
    return caller != 0 ? Step::kCaller : Step::kOutermost;
  }

 private:
  bool load(std::uintptr_t address, std::uintptr_t& value) const {
    if (address < low_ || address > last_ || address % sizeof address != 0) return false;
    value = read_word(address + displacement_);
    return true;
  }

  bool restore(std::int16_t place, std::uintptr_t cfa, std::uintptr_t& value) const {
    switch (place) {
      case Row::kSame:
        return true;
      case Row::kAtRbp:
        return load(value, value);
      case Row::kLost:
        value = 0;
        return true;
      default:
        return load(cfa + static_cast<std::uintptr_t>(std::intptr_t{place}), value);
    }
  }

  Registers registers_;
  std::uintptr_t r11_ = 0;  // of the first frame, if known: no other can be found by it
  std::uint64_t generation_ = g_generation.load(std::memory_order_relaxed);
  const std::uintptr_t displacement_;
  std::uintptr_t low_ = 1;  // nothing is readable until the bounds are known to be good
  std::uintptr_t last_ = 0;
};

}  // namespace

std::size_t unwind_onwards(Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept {
  Walk walk(registers, bounds);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().rip != 0) {
    out[count++] = walk.registers().rip;
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
  Walk walk(registers, bounds, reinterpret_cast<std::uintptr_t>(copy) - bounds.low);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().rip != 0) {
    out[count++] = walk.registers().rip;
    if (walk.step() != Step::kCaller) break;
  }
  return count;
}

std::size_t unwind_overflowed(const Registers& registers, std::uintptr_t r11, StackBounds bounds,
                              std::span<std::uintptr_t> out) noexcept {
  Walk walk(registers, r11, bounds);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().rip != 0) {
    out[count++] = walk.registers().rip;
    if (walk.step() != Step::kCaller) break;
  }
  return count;
}

AIOFIBER_NOT_SANITIZED Registers saved_registers(const void* fcontext) noexcept {
  const FcontextLayout layout = fcontext_layout();
  if (layout.rip == 0 || !fcontext) return Registers{};
  const auto block = reinterpret_cast<std::uintptr_t>(fcontext);
  return Registers{.rip = read_word(block + layout.rip),
                   .rsp = block + layout.rip + sizeof(std::uintptr_t),
                   .rbp = read_word(block + layout.rbp),
                   .rbx = read_word(block + layout.rbx)};
}

bool throw_would_terminate(const Registers& registers, StackBounds bounds, Throw what) noexcept {
  if (registers.rip == 0) return false;
  notice_unloaded_code();
  Walk walk(registers, bounds);
  bool may_be_caught = false;
  for (;;) {
    const std::uintptr_t instruction = walk.registers().rip - 1;
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
    return 1;  // each module tells the same
  };
  dl_iterate_phdr(look, &unloaded);
  if (g_unloaded.load(std::memory_order_relaxed) == unloaded) return;
  flush_unwind_cache();
  g_unloaded.store(unloaded, std::memory_order_relaxed);
}

}  // namespace aiofiber::runtime

// The result's address is in rdi.
asm(R"(
.text
.p2align 4
.globl aiofiber_current_registers
.type aiofiber_current_registers,@function
aiofiber_current_registers:
  .cfi_startproc
  endbr64
  movq %rdi, %rax
  movq (%rsp), %rcx
  movq %rcx, (%rax)
  leaq 8(%rsp), %rcx
  movq %rcx, 8(%rax)
  movq %rbp, 16(%rax)
  movq %rbx, 24(%rax)
  ret
  .cfi_endproc
.size aiofiber_current_registers,.-aiofiber_current_registers

)");

#else  // an architecture whose frames we do not know

namespace aiofiber::runtime {

std::size_t unwind_onwards(Registers& registers, StackBounds, std::span<std::uintptr_t>) noexcept {
  registers = Registers{};
  return 0;
}
std::size_t unwind(const Registers&, StackBounds, std::span<std::uintptr_t>) noexcept { return 0; }
std::size_t unwind_copy(const Registers&, StackBounds, const void*, std::span<std::uintptr_t>) noexcept {
  return 0;
}
std::size_t unwind_overflowed(const Registers&, std::uintptr_t, StackBounds,
                              std::span<std::uintptr_t>) noexcept {
  return 0;
}
Registers saved_registers(const void*) noexcept { return Registers{}; }
Registers current_registers() noexcept { return Registers{}; }
bool throw_would_terminate(const Registers&, StackBounds, Throw) noexcept { return false; }
void flush_unwind_cache() noexcept {}
void notice_unloaded_code() noexcept {}

}  // namespace aiofiber::runtime

#endif

namespace aiofiber::runtime {

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
