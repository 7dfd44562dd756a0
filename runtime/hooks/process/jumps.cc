// SPDX-License-Identifier: Apache-2.0
//
// longjmp, _longjmp, siglongjmp, __longjmp_chk: a jump stays on its own stack.
//
// Each task has its own stack, and a jump to that of another task would make two tasks run on one stack. A
// jump cannot return an error. So it is reported, with both stacks, and the program is aborted. (The usual
// reason, a static jmp_buf that all tasks share, is mended by jump_buffers.cc.) Refused are the stacks that
// aiofiber knows: another task's, that of a task that has ended, and in a task the thread's own. A program
// that makes stacks itself may jump between them as before. A jump out of a signal handler ends the handler's
// run, so that hooks act again (core/signals.h).
//
// Threads: any. In handlers too: the report then allocates, as that of a stack overflow does.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "hooks/core/act.h"
#include "hooks/core/real.h"
#include "hooks/core/signals.h"
#include "hooks/glibc/jump_words.h"
#include "hooks/process/jump_buffers.h"

namespace aiofiber::hooks {

namespace {

constexpr std::size_t kMostWords = 128;

// The stack on which a refused jump would continue.
struct Target {
  enum class Kind { kMayJump, kTask, kThread, kEndedTask } kind = Kind::kMayJump;
  std::uint64_t task = 0;  // its id
};

std::uint64_t task_on_stack(std::uintptr_t address) noexcept {
  std::uint64_t id = 0;
  runtime::RecordSlab::for_each([&](const aiofiber_record& record) {
    if (__atomic_load_n(&record.state, __ATOMIC_RELAXED) == AIOFIBER_FREE) return;
    if (address >= __atomic_load_n(&record.stack_low, __ATOMIC_RELAXED) &&
        address < __atomic_load_n(&record.stack_high, __ATOMIC_RELAXED))
      id = __atomic_load_n(&record.id, __ATOMIC_RELAXED);
  });
  return id;
}

bool is_in(std::uintptr_t address, runtime::StackBounds stack) noexcept {
  return address >= stack.low && address < stack.high;
}

// The bounds of the running stack. On a plain thread, asking for them may allocate, which a handler must not:
// then they are empty, and no task's stack contains a frame of the thread.
runtime::StackBounds running_stack() noexcept {
  if (const runtime::Fiber* fiber = runtime::current_fiber()) return fiber->bounds();
  return in_signal_handler() ? runtime::StackBounds{0, 0} : runtime::thread_stack_bounds();
}

Target target_outside(std::uintptr_t stack_pointer) noexcept {
  using enum Target::Kind;
  if (const std::uint64_t task = task_on_stack(stack_pointer)) return {kTask, task};
  const runtime::Fiber* fiber = runtime::current_fiber();
  if (fiber != nullptr && is_in(stack_pointer, runtime::thread_stack_bounds())) return {kThread};
  const runtime::Scheduler* scheduler = runtime::Scheduler::current();
  if (scheduler != nullptr && scheduler->owns_stack(stack_pointer)) return {kEndedTask};
  return {kMayJump};
}

void print(std::string_view text) noexcept {
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t n = real::write(STDERR_FILENO, text.data() + written, text.size() - written);
    if (n <= 0) return;
    written += static_cast<std::size_t>(n);
  }
}

std::string quoted_name(const aiofiber_record& record) { return "task '" + runtime::task_name(record) + "'"; }

std::string jumper() {
  if (const runtime::Fiber* fiber = runtime::current_fiber_or_step()) return quoted_name(*fiber);
  return "code outside of tasks";
}

void report(const __jmp_buf_tag* buffer, const Target& target, std::span<const std::uintptr_t> calls) {
  const auto tasks = runtime::snapshot_tasks();
  const runtime::TaskSnapshot* other = nullptr;
  if (target.kind == Target::Kind::kTask) other = runtime::TaskIndex(tasks).find(target.task);
  const std::string who = jumper();
  const std::string whose = other != nullptr                          ? quoted_name(other->record)
                            : target.kind == Target::Kind::kThread    ? "the thread, outside of tasks"
                            : target.kind == Target::Kind::kEndedTask ? "a task that has ended"
                                                                      : "another task";
  const auto address = reinterpret_cast<std::uintptr_t>(buffer);
  std::string name = runtime::data_symbol(address);
  if (!name.empty()) name = " '" + name + "'";
  print("It would go from " + who + " to the stack of " + whose + ", where the jmp_buf" + name +
        " was filled. A jump can only leave calls of its own stack, and each task has its own.\n");
  print("The jump of " + who + ":\n" + runtime::format_frames(runtime::program_frames(calls)));
  if (other == nullptr) return;
  print("The stack of " + whose + ":\n" +
        runtime::format_frames(runtime::fiber_frames(other->stack, other->record.entry)));
}

[[noreturn, gnu::noinline]] void refuse(const __jmp_buf_tag* buffer, const Target& target) noexcept {
  const runtime::HooksOff hooks_off;
  // If the report hangs in a lock that the interrupted code holds, the process ends all the same.
  if (in_signal_handler()) {
    constexpr unsigned kSecondsForTheReport = 10;
    struct ::sigaction ends {};
    ends.sa_handler = SIG_DFL;
    real::sigaction(SIGALRM, &ends, nullptr);
    sigset_t alarm_signal;
    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    ::pthread_sigmask(SIG_UNBLOCK, &alarm_signal, nullptr);
    ::alarm(kSecondsForTheReport);
  }
  print("aiofiber hooks: a longjmp to another task's stack is refused, and the program is aborted.\n");
  std::array<std::uintptr_t, kMostWords> calls;
  const std::size_t count = runtime::list_current_calls(calls);
  try {
    report(buffer, target, std::span(calls).first(count));
  } catch (...) {
    print("There is no memory to say more.\n");
  }
  std::abort();
}

// What comes before each jump. Returns the buffer to jump with.
__jmp_buf_tag* before_jump(__jmp_buf_tag* buffer) noexcept {
  if (stands_aside) return buffer;
  buffer = jump_buffer_of_task(buffer);
  const std::uintptr_t stack_pointer = stack_pointer_of(buffer);
  if (stack_pointer == 0) return buffer;  // not known
  const runtime::StackBounds stack = running_stack();
  if (!is_in(stack_pointer, stack)) {
    const Target target = target_outside(stack_pointer);
    if (target.kind != Target::Kind::kMayJump) refuse(buffer, target);
  }
  if (in_signal_handler()) HandlerRun::leave(stack_pointer, stack);
  return buffer;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

void longjmp(__jmp_buf_tag* buffer, int value) noexcept {
  real::longjmp(before_jump(buffer), value);
  __builtin_unreachable();
}

void _longjmp(__jmp_buf_tag* buffer, int value) noexcept { longjmp(buffer, value); }

void siglongjmp(__jmp_buf_tag* buffer, int value) noexcept { longjmp(buffer, value); }

// The name of all of them in programs compiled with -D_FORTIFY_SOURCE: also checks that the target is an
// outer frame.
[[noreturn]] void __longjmp_chk(__jmp_buf_tag* buffer, int value) noexcept {
  real::__longjmp_chk(before_jump(buffer), value);
  __builtin_unreachable();
}

}  // extern "C"
