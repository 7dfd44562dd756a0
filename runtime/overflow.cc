// SPDX-License-Identifier: Apache-2.0
//
// The SIGSEGV handler. It runs on the thread's alternate stack; what it prints first is made with
// write(2) alone, so that even a broken heap leaves the essential line. Symbolizing the newest frames
// comes last, because it allocates: if that fails the line above it is already out.
#include "aiofiber/runtime/overflow.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <span>
#include <string>

#include "aiofiber/runtime/fiber.h"
#include "aiofiber/runtime/stack.h"
#include "aiofiber/runtime/symbolize.h"
#include "aiofiber/runtime/syscall.h"
#include "aiofiber/runtime/unwind.h"

namespace aiofiber::runtime {

namespace {

constexpr std::size_t kAlternateStackBytes = 256 * 1024;  // libdw works on it
constexpr std::size_t kFramesShown = 12;

struct sigaction previous_action;

void print(const char* text) noexcept {
  // tidy-allow(syscall): on the signal stack, where only async-signal-safe calls are right
  const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(written);
}

Registers fault_registers(const void* context) noexcept {
#if defined(__x86_64__)
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto value = [&](int index) { return static_cast<std::uintptr_t>(registers[index]); };
  return {value(REG_RIP), value(REG_RSP), value(REG_RBP), value(REG_RBX)};
#else
  static_cast<void>(context);
  return {};
#endif
}

void print_frames(const Fiber& fiber, const void* context) {
  const std::size_t guard = StackPool::guard_bytes(fiber.size_class);
  std::uintptr_t addresses[kFramesShown];
  const std::size_t count =
      unwind(fault_registers(context), {fiber.stack_low + guard, fiber.stack_high}, std::span(addresses));
  for (std::size_t i = 0; i < count; ++i) {
    for (const SymbolizedFrame& frame : symbolize(addresses[i], i == 0)) {
      std::string line = "  in " + frame.function;
      if (!frame.file.empty()) line += " at " + frame.file + ":" + std::to_string(frame.line);
      print((line + "\n").c_str());
    }
  }
}

void on_fault(int signo, siginfo_t* info, void* context) {
  const Fiber* fiber = current_fiber();
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (fiber != nullptr && address >= fiber->stack_low &&
      address < fiber->stack_low + StackPool::guard_bytes(fiber->size_class)) {
    char name[sizeof fiber->name + 24];
    if (fiber->name[0] != '\0') {
      std::snprintf(name, sizeof name, "%s", fiber->name);
    } else {
      std::snprintf(name, sizeof name, "Task-%lu", static_cast<unsigned long>(fiber->name_number));
    }
    const std::size_t kib = fiber->stack().bytes() / 1024;
    char text[512];
    std::snprintf(
        text, sizeof text,
        "aiofiber: stack overflow in task '%s': its stack of %zu KiB [%#lx-%#lx) is used up, access at %#lx. "
        "Give the task a larger one: create_task({.stack_size = %zu * 1024}, ...)\nNewest frames first:\n",
        name, kib, static_cast<unsigned long>(fiber->stack_low),
        static_cast<unsigned long>(fiber->stack_high), static_cast<unsigned long>(address), kib * 4);
    print(text);
    print_frames(*fiber, context);
  }
  // Die of it, or give it to whoever was there before.
  ::sigaction(SIGSEGV, &previous_action, nullptr);
  if (info->si_code <= 0) ::raise(signo);  // sent by kill(): it does not come again by itself
}

// The alternate stack of a thread; freed with the thread.
class AlternateStack {
 public:
  AlternateStack() noexcept {
    thread_stack_bounds();  // may allocate the first time, which signal handlers must not
    // Somebody's is kept if symbolizing fits in it; a sanitizer's is too small for that.
    if (::sigaltstack(nullptr, &previous_) != 0) return;
    if ((previous_.ss_flags & SS_DISABLE) == 0 && previous_.ss_size >= kAlternateStackBytes) return;
    memory_ = sys::map_anonymous(kAlternateStackBytes);
    if (memory_ == MAP_FAILED) return;
    stack_t stack{};
    stack.ss_sp = memory_;
    stack.ss_size = kAlternateStackBytes;
    ::sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    if (memory_ == MAP_FAILED) return;
    ::sigaltstack(&previous_, nullptr);
    sys::unmap(memory_, kAlternateStackBytes);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  void* memory_ = MAP_FAILED;
  stack_t previous_{};  // comes back when the thread ends
};

}  // namespace

void install_overflow_handler() noexcept {
  static const thread_local AlternateStack alternate_stack;
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    return ::sigaction(SIGSEGV, &action, &previous_action) == 0;
  }();
  static_cast<void>(installed);
}

}  // namespace aiofiber::runtime
