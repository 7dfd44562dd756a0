// SPDX-License-Identifier: Apache-2.0
//
// setjmp, _setjmp and __sigsetjmp (sigsetjmp): a jmp_buf that several tasks fill is kept for each of them.
//
// A time limit by SIGALRM has its jmp_buf in a static, because the handler has to find it. So all tasks fill
// the same one. When a task fills a buffer that another task has filled, the old content is put aside for
// that task, and its jump uses it (jumps.cc). A buffer on the task's own stack is nobody else's and is left
// alone.
//
// A function around setjmp() is no choice, because it would have returned when the jump comes. These entries
// note the buffer and then jump to libc's function, which sees the caller's frame as if it had been called
// directly. They are written for x86-64; elsewhere setjmp is not taken, and the jump of a task to the content
// of another one is refused where that can be seen.
//
// Threads: each has its own table. A signal handler fills its buffers without a note.
#include "hooks/process/jump_buffers.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <unordered_map>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/shared_state/shared_state.h"
#include "hooks/core/act.h"
#include "hooks/core/locals.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// A task that has filled a buffer. An abandoned task leaves its entries behind, and another task may get its
// record, which is never unmapped. The id tells them apart.
struct Filler {
  runtime::Fiber* fiber;
  std::uint64_t id;
  bool operator==(const Filler&) const = default;
};
Filler filler_of(runtime::Fiber& fiber) noexcept { return {&fiber, fiber.id}; }

// The tasks of this thread that have filled a buffer last. Null: there are none.
using FilledBy = std::unordered_map<const __jmp_buf_tag*, Filler>;
constinit thread_local FilledBy* filled_by __attribute__((tls_model("initial-exec"))) = nullptr;

Locals::SavedJump* find_saved(Locals& locals, const __jmp_buf_tag* buffer) noexcept {
  const auto found = std::find_if(locals.saved_jumps.begin(), locals.saved_jumps.end(),
                                  [=](const Locals::SavedJump& saved) { return saved.buffer == buffer; });
  return found != locals.saved_jumps.end() ? &*found : nullptr;
}

}  // namespace

__jmp_buf_tag* jump_buffer_of_task(__jmp_buf_tag* buffer) noexcept {
  Locals* locals = find_locals();
  Locals::SavedJump* saved = locals != nullptr ? find_saved(*locals, buffer) : nullptr;
  if (saved == nullptr) return buffer;
  if (filled_by != nullptr) {
    const auto filled = filled_by->find(buffer);
    if (filled != filled_by->end() && filled->second == filler_of(*runtime::current_fiber())) return buffer;
  }
  return saved->content;
}

void forget_jump_buffers(Locals& locals) noexcept {
  if (filled_by == nullptr) return;
  const Filler self = filler_of(*runtime::current_fiber());
  for (const __jmp_buf_tag* buffer : locals.filled_buffers) {
    const auto entry = filled_by->find(buffer);
    if (entry != filled_by->end() && entry->second == self) filled_by->erase(entry);
  }
  if (!filled_by->empty()) return;
  delete filled_by;
  filled_by = nullptr;
}

}  // namespace aiofiber::hooks

#if AIOFIBER_ARCH_X86_64

namespace aiofiber::hooks {

namespace {

bool is_alive(const Filler& filler) noexcept {
  return filler.fiber->id == filler.id && filler.fiber->state != AIOFIBER_FREE;
}

void put_aside(Locals& locals, const __jmp_buf_tag* buffer) {
  runtime::shared_state::leave_out(buffer, sizeof(Locals::SavedJump::content));
  Locals::SavedJump* saved = find_saved(locals, buffer);
  if (saved == nullptr) saved = &locals.saved_jumps.emplace_back();
  saved->buffer = buffer;
  std::memcpy(saved->content, buffer, sizeof saved->content);
}

void note(runtime::Fiber& fiber, const __jmp_buf_tag* buffer) {
  if (filled_by == nullptr) filled_by = new FilledBy;
  const Filler self = filler_of(fiber);
  const auto known = filled_by->find(buffer);
  if (known != filled_by->end() && known->second == self) return;
  std::vector<const __jmp_buf_tag*>& filled = get_locals().filled_buffers;
  if (std::find(filled.begin(), filled.end(), buffer) == filled.end()) filled.push_back(buffer);
  if (known != filled_by->end()) {
    Locals* const others = is_alive(known->second) ? find_locals(*known->second.fiber) : nullptr;
    if (others != nullptr) put_aside(*others, buffer);
    known->second = self;
  } else {
    filled_by->emplace(buffer, self);
  }
}

void before_setjmp(const __jmp_buf_tag* buffer) noexcept {
  runtime::Fiber* const fiber = act();
  if (fiber == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(buffer);
  if (address >= fiber->stack_low && address < fiber->stack_high) return;
  const int saved_errno = errno;
  without_throwing([=] { note(*fiber, buffer); });
  errno = saved_errno;
}

// Each notes the buffer and gives libc's function. The entries below call them by these names.
[[gnu::used]] void* real_setjmp(const __jmp_buf_tag* buffer) noexcept asm("aiofiber_before_setjmp");
[[gnu::used]] void* real__setjmp(const __jmp_buf_tag* buffer) noexcept asm("aiofiber_before__setjmp");
[[gnu::used]] void* real___sigsetjmp(const __jmp_buf_tag* buffer) noexcept asm("aiofiber_before___sigsetjmp");

void* real_setjmp(const __jmp_buf_tag* buffer) noexcept {
  before_setjmp(buffer);
  return reinterpret_cast<void*>(real::setjmp.get());
}
void* real__setjmp(const __jmp_buf_tag* buffer) noexcept {
  before_setjmp(buffer);
  return reinterpret_cast<void*>(real::_setjmp.get());
}
void* real___sigsetjmp(const __jmp_buf_tag* buffer) noexcept {
  before_setjmp(buffer);
  return reinterpret_cast<void*>(real::__sigsetjmp.get());
}

}  // namespace

}  // namespace aiofiber::hooks

// The arguments are kept. The stack is as libc's function expects it: as at its own call.
#define AIOFIBER_SETJMP_ENTRY(name)        \
  asm(".text\n"                            \
      ".p2align 4\n"                       \
      ".globl " #name                      \
      "\n"                                 \
      ".type " #name ", @function\n" #name \
      ":\n"                                \
      ".cfi_startproc\n"                   \
      "endbr64\n"                          \
      "pushq %rdi\n"                       \
      ".cfi_adjust_cfa_offset 8\n"         \
      "pushq %rsi\n"                       \
      ".cfi_adjust_cfa_offset 8\n"         \
      "subq $8, %rsp\n"                    \
      ".cfi_adjust_cfa_offset 8\n"         \
      "call aiofiber_before_" #name        \
      "\n"                                 \
      "addq $8, %rsp\n"                    \
      ".cfi_adjust_cfa_offset -8\n"        \
      "popq %rsi\n"                        \
      ".cfi_adjust_cfa_offset -8\n"        \
      "popq %rdi\n"                        \
      ".cfi_adjust_cfa_offset -8\n"        \
      "jmp *%rax\n"                        \
      ".cfi_endproc\n"                     \
      ".size " #name ", .-" #name "\n")

AIOFIBER_SETJMP_ENTRY(setjmp);
AIOFIBER_SETJMP_ENTRY(_setjmp);
AIOFIBER_SETJMP_ENTRY(__sigsetjmp);

#undef AIOFIBER_SETJMP_ENTRY

#endif
