// SPDX-License-Identifier: Apache-2.0
//
// The layout of the block that a suspended context leaves on its stack.
//
// A self-test finds the layout, because it differs between releases of Boost.Context (1.81 saves one word
// more than 1.74). The test suspends once with known registers and looks for them in the block.
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

// Byte offsets in the block; rsp will be the address after rip. `rip` is 0 if unknown.
struct alignas(std::uint64_t) FcontextLayout {
  std::uint16_t rip = 0, rbp = 0, rbx = 0;
  std::uint16_t tested = 0;  // a flag
};

constexpr std::uintptr_t kProbeRbx = 0x7a0f1be25bb0b001, kProbeRbp = 0x7a0f1be25bb0b002;

// Filled by the assembly below, which has the offsets as numbers.
struct FcontextProbe {
  std::uintptr_t fcontext = 0;
  std::uintptr_t rsp = 0;
  std::uintptr_t rip = 0;
  std::array<std::uintptr_t, 16> block{};
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
  const auto offset_of = [&](std::uintptr_t value) {
    const auto at = std::find(probe.block.begin(), probe.block.end(), value) - probe.block.begin();
    return static_cast<std::uint16_t>(static_cast<std::size_t>(at) * sizeof value);
  };
  const std::uint16_t rip = offset_of(probe.rip), rbp = offset_of(kProbeRbp), rbx = offset_of(kProbeRbx);
  const bool understood = rip < sizeof probe.block && rbp < rip && rbx < rip && rip != 0 &&
                          probe.fcontext + rip + sizeof(std::uintptr_t) == probe.rsp;
  if (understood) {
    layout.rip = rip;
    layout.rbp = rbp;
    layout.rbx = rbx;
  }
  return layout;
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
  if (layout.rip == 0 || !fcontext) return Registers{};
  const auto* block = static_cast<const volatile char*>(fcontext);
  const auto word = [block](std::uint16_t offset)
      __attribute__((no_sanitize("address", "thread", "undefined"))) {
    return *reinterpret_cast<const volatile std::uintptr_t*>(block + offset);
  };
  return Registers{.pc = word(layout.rip),
                   .sp = reinterpret_cast<std::uintptr_t>(fcontext) + layout.rip + sizeof(std::uintptr_t),
                   .rbp = word(layout.rbp),
                   .rbx = word(layout.rbx)};
}

std::uint32_t arch::saved_pc_offset() noexcept { return fcontext_layout().rip; }

}  // namespace aiofiber::runtime

// The two sides of the test. The calls go through the global offset table: resolving a symbol lazily needs
// more stack than there is.
asm(R"(
.text
.p2align 4
.hidden aiofiber_fcontext_probe
.globl aiofiber_fcontext_probe
.type aiofiber_fcontext_probe,@function
aiofiber_fcontext_probe:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  movabsq $0x7a0f1be25bb0b001, %rbx
  movabsq $0x7a0f1be25bb0b002, %rbp
  leaq 1f(%rip), %rax
  movq %rsp, 8(%rsi)
  movq %rax, 16(%rsi)
  call *)" AIOFIBER_JUMP_FCONTEXT R"(@GOTPCREL(%rip)
1:
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbp
  ret
  .cfi_endproc
.size aiofiber_fcontext_probe,.-aiofiber_fcontext_probe

.p2align 4
.hidden aiofiber_fcontext_probe_entry
.globl aiofiber_fcontext_probe_entry
.type aiofiber_fcontext_probe_entry,@function
aiofiber_fcontext_probe_entry:
  .cfi_startproc
  .cfi_undefined %rip
  endbr64
  movq %rdi, (%rsi)
  movq %rdi, %rax
  leaq 24(%rsi), %rdi
  movq %rax, %rsi
  movl $16, %ecx
  cld
  rep movsq
  movq %rax, %rdi
  xorl %esi, %esi
  call *)" AIOFIBER_JUMP_FCONTEXT R"(@GOTPCREL(%rip)
  hlt
  .cfi_endproc
.size aiofiber_fcontext_probe_entry,.-aiofiber_fcontext_probe_entry
)");
