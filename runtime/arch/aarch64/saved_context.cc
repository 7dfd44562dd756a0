// SPDX-License-Identifier: Apache-2.0
//
// The layout of the block that a suspended context leaves on its stack.
//
// A self-test finds the layout, because it may differ between releases of Boost.Context. The test suspends
// once with known registers and looks for them in the block. Boost 1.74 saves d8 to d15, x19 to x30, and the
// address to continue at, which is x30 again.
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/context_names.h"

// Boost.Context, declared here so that only fiber.cc includes its headers.
extern "C" void* make_fcontext(void* stack_top, std::size_t size,
                               void (*entry)()) __asm__(AIOFIBER_MAKE_FCONTEXT);

namespace aiofiber::runtime {
namespace {

// Byte offsets in the block; sp will be the next multiple of 16 after pc. `pc` is 0 if unknown.
struct alignas(std::uint64_t) FcontextLayout {
  std::uint16_t pc = 0, fp = 0, lr = 0;
  std::uint16_t tested = 0;  // a flag
  std::uintptr_t size() const noexcept {
    return (std::uintptr_t{pc} + sizeof(std::uintptr_t) + 15) / 16 * 16;
  }
};

constexpr std::uintptr_t kProbeFp = 0x7a0f1be25bb0b002;

// Filled by the assembly below, which has the offsets as numbers.
struct FcontextProbe {
  std::uintptr_t fcontext = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t pc = 0;
  std::array<std::uintptr_t, 32> block{};
};
static_assert(offsetof(FcontextProbe, block) == 24);

extern "C" void aiofiber_fcontext_probe(void* helper, FcontextProbe* probe) noexcept;
extern "C" void aiofiber_fcontext_probe_entry();

// Suspends once with known registers and looks for them in the block.
FcontextLayout test_fcontext_layout() noexcept {
  alignas(16) std::array<unsigned char, 1024> stack;
  FcontextProbe probe;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler fits on this stack
  void* helper = make_fcontext(stack.data() + stack.size(), stack.size(), aiofiber_fcontext_probe_entry);
  aiofiber_fcontext_probe(helper, &probe);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  FcontextLayout layout{.tested = 1};
  // The block ends where the stack was before the jump.
  const std::size_t words = (probe.sp - probe.fcontext) / sizeof(std::uintptr_t);
  if (probe.sp <= probe.fcontext || words > probe.block.size()) return layout;
  const auto end = probe.block.begin() + static_cast<std::ptrdiff_t>(words);
  const auto offset_of = [&](auto at) {
    return static_cast<std::uint16_t>(static_cast<std::size_t>(at - probe.block.begin()) * sizeof *at);
  };
  // x29 is followed by x30. The address to continue at is the last of its copies.
  const auto fp = std::find(probe.block.begin(), end, kProbeFp);
  auto pc = end;
  for (auto at = probe.block.begin(); at != end; ++at) {
    if (*at == probe.pc) pc = at;
  }
  if (fp == end || pc == end || fp + 1 >= pc || fp[1] != probe.pc) return layout;
  FcontextLayout found{.pc = offset_of(pc), .fp = offset_of(fp), .lr = offset_of(fp + 1), .tested = 1};
  return probe.fcontext + found.size() == probe.sp ? found : layout;
}

constinit std::atomic<FcontextLayout> g_fcontext_layout{};
static_assert(std::atomic<FcontextLayout>::is_always_lock_free);

// Tested at the first call, by any thread.
FcontextLayout fcontext_layout() noexcept {
  FcontextLayout layout = g_fcontext_layout.load(std::memory_order_relaxed);
  if (layout.tested == 0) [[unlikely]] {
    layout = test_fcontext_layout();  // several threads may run this at once: they get the same result
    g_fcontext_layout.store(layout, std::memory_order_relaxed);
  }
  return layout;
}

}  // namespace

// The stack may be poisoned for the sanitizers.
__attribute__((no_sanitize("address", "thread", "undefined"))) Registers saved_registers(
    const void* fcontext) noexcept {
  const FcontextLayout layout = fcontext_layout();
  if (layout.pc == 0 || !fcontext) return Registers{};
  const auto* block = static_cast<const volatile char*>(fcontext);
  const auto word = [block](std::uint16_t offset)
      __attribute__((no_sanitize("address", "thread", "undefined"))) {
    return *reinterpret_cast<const volatile std::uintptr_t*>(block + offset);
  };
  Registers registers{.pc = word(layout.pc),
                      .sp = reinterpret_cast<std::uintptr_t>(fcontext) + layout.size(),
                      .fp = word(layout.fp),
                      .lr = word(layout.lr)};
  // A context that has not begun is at its entry's first instruction, and x30 is not that address.
  if (registers.lr != registers.pc) {
    ++registers.pc;
  } else {
    registers.lr = 0;
  }
  return registers;
}

std::uint32_t arch::saved_pc_offset() noexcept { return fcontext_layout().pc; }

}  // namespace aiofiber::runtime

// The two sides of the test. The calls go through the global offset table: resolving a symbol lazily needs
// more stack than there is. `hint #34` is `bti c`.
#define AIOFIBER_LOAD_JUMP_FCONTEXT          \
  "  adrp x16, :got:" AIOFIBER_JUMP_FCONTEXT \
  "\n"                                       \
  "  ldr x16, [x16, :got_lo12:" AIOFIBER_JUMP_FCONTEXT "]\n"

asm(R"(
.text
.p2align 4
.hidden aiofiber_fcontext_probe
.globl aiofiber_fcontext_probe
.type aiofiber_fcontext_probe,@function
aiofiber_fcontext_probe:
  .cfi_startproc
  hint #34
  stp x29, x30, [sp, -16]!
  .cfi_def_cfa_offset 16
  .cfi_offset x29, -16
  .cfi_offset x30, -8
  mov x9, sp
  adr x10, 1f
  stp x9, x10, [x1, 8]
  ldr x29, 2f
)" AIOFIBER_LOAD_JUMP_FCONTEXT R"(
  blr x16
1:
  ldp x29, x30, [sp], 16
  .cfi_restore x30
  .cfi_restore x29
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
.p2align 3
2:
  .quad 0x7a0f1be25bb0b002
.size aiofiber_fcontext_probe,.-aiofiber_fcontext_probe

.p2align 4
.hidden aiofiber_fcontext_probe_entry
.globl aiofiber_fcontext_probe_entry
.type aiofiber_fcontext_probe_entry,@function
aiofiber_fcontext_probe_entry:
  .cfi_startproc
  .cfi_undefined x30
  hint #34
  str x0, [x1], 24
  mov x9, x0
  mov w10, 32
1:
  ldr x11, [x9], 8
  str x11, [x1], 8
  subs w10, w10, 1
  b.ne 1b
  mov x1, xzr
)" AIOFIBER_LOAD_JUMP_FCONTEXT R"(
  blr x16
  brk 1
  .cfi_endproc
.size aiofiber_fcontext_probe_entry,.-aiofiber_fcontext_probe_entry
)");
