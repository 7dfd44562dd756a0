// SPDX-License-Identifier: Apache-2.0
//
// The SIGSEGV handler. It detects the end of a stack by the address of the access and by the stack pointer: a
// frame may skip the guard, and a stray pointer may hit it.
//
// It runs on the thread's alternate stack. The first lines are printed with write(2) alone, so they appear
// even if the heap is broken. Symbolizing the newest frames comes last, because it allocates: if it fails,
// those lines are already printed.
#include "aiofiber/runtime/engine/overflow.h"

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/engine/stack.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "inspect/symbolize_lock.h"

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

// Prints piece by piece, so no buffer has to hold the longest text.
template <class... Values>
void print_format(const char* format, Values... values) noexcept {
  char text[320];
  std::snprintf(text, sizeof text, format, values...);
  print(text);
}

// Where a fault happened.
struct Fault : arch::FaultDetails {
  Registers registers{};
  std::uintptr_t address = 0;
};

Fault describe(const siginfo_t& info, const void* context) noexcept {
  return {arch::fault_details(info.si_code, context), arch::interrupted_registers(context),
          reinterpret_cast<std::uintptr_t>(info.si_addr)};
}

void print_frames(const Fiber& fiber, const Fault& fault) {
  std::uintptr_t addresses[kFramesShown];
  const std::size_t count =
      unwind_overflowed(fault.registers, fault.probing, fiber.bounds(), std::span(addresses));
  // A look-up of names, as of a traceback for the log, may be what has used the stack up.
  if (this_thread_symbolizes()) {
    for (const std::uintptr_t address : std::span(addresses).first(count)) {
      print_format("  in ?? [%#lx]\n", static_cast<unsigned long>(address));
    }
    return print("  Names are missing: the stack ended in a look-up of names.\n");
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (const SymbolizedFrame& frame : symbolize(addresses[i], i == 0)) {
      std::string line = "  in " + frame.function;
      if (!frame.file.empty()) line += " at " + frame.file + ":" + std::to_string(frame.line);
      print((line + "\n").c_str());
    }
  }
  if (const std::string why = missing_names(); !why.empty()) print(("  " + why + "\n").c_str());
}

bool on_alternate_stack(std::uintptr_t sp) noexcept {
  stack_t stack{};
  if (::sigaltstack(nullptr, &stack) != 0 || (stack.ss_flags & SS_DISABLE) != 0) return false;
  const auto low = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  return sp >= low && sp - low < stack.ss_size;
}

// How a fault relates to the running fiber's stack.
enum class Verdict {
  kUnrelated,
  kUsedUp,   // the stack ends at the access
  kSkipped,  // a frame extends beyond the end, and perhaps beyond the guard
  kNoFrame,  // there was no room for the frame of a signal handler
  kStray,    // an access to the guard, far from the stack pointer
};

Verdict judge(const Fiber& fiber, const Fault& fault) noexcept {
  // Code accesses its frames at and above the stack pointer, and in the ABI's red zone below it;
  // -fstack-check touches the stack some pages ahead.
  constexpr std::uintptr_t kProbedAhead = 32 * 1024;
  const StackPool& pool = fiber.scheduler->stacks();
  const std::uintptr_t sp = fault.registers.sp;
  const std::uintptr_t guard_low = fiber.stack_low - pool.guard_bytes();
  const bool in_guard = fault.address >= guard_low && fault.address < fiber.stack_low;
  if (!arch::kTellsInterruptedRegisters) return in_guard ? Verdict::kUsedUp : Verdict::kUnrelated;
  if (sp >= fiber.stack_low && sp < fiber.stack_high) {
    if (in_guard) return sp - fault.address <= kProbedAhead ? Verdict::kUsedUp : Verdict::kStray;
    // If the kernel cannot call a handler, it ends the process. It reports that as a fault without an
    // address.
    const std::uintptr_t signal_frame = ::getauxval(AT_MINSIGSTKSZ) + 1024;
    const bool no_room = sp - fiber.stack_low < std::max<std::uintptr_t>(signal_frame, 4096);
    return fault.by_the_kernel && fault.address == 0 && no_room ? Verdict::kNoFrame : Verdict::kUnrelated;
  }
  if (sp >= guard_low && sp < fiber.stack_low) return Verdict::kUsedUp;
  if (on_alternate_stack(sp)) return Verdict::kUnrelated;
  // Only fibers run on these stacks, so a stack pointer on another task's stack has overflowed into it.
  if (pool.owns(sp)) return Verdict::kSkipped;
  const bool in_frame = fault.address + arch::kRedZoneBytes >= sp && fault.address < fiber.stack_low;
  return sp < fiber.stack_low && in_frame ? Verdict::kSkipped : Verdict::kUnrelated;
}

void print_verdict(const Fiber& fiber, const Fault& fault, Verdict verdict) noexcept {
  print(verdict == Verdict::kStray ? "aiofiber: stray access in task '"
                                   : "aiofiber: stack overflow in task '");
  if (fiber.name[0] != '\0') {
    print(fiber.name);
  } else {
    print_format("Task-%lu", static_cast<unsigned long>(fiber.name_number));
  }
  const std::size_t kib = fiber.stack().bytes() / 1024;
  const auto low = static_cast<unsigned long>(fiber.stack_low);
  const auto high = static_cast<unsigned long>(fiber.stack_high);
  const auto address = static_cast<unsigned long>(fault.address);
  const auto sp = static_cast<unsigned long>(fault.registers.sp);
  print_format("': its stack of %zu KiB [%#lx-%#lx) ", kib, low, high);
  switch (verdict) {
    case Verdict::kUnrelated:
    case Verdict::kUsedUp:
      print_format("is used up, access at %#lx.", address);
      break;
    case Verdict::kSkipped:
      print_format(
          "is used up, the stack pointer is %lu KiB away from it, access at %#lx. A frame larger than the "
          "guard skipped it "
          "(or the code runs on a stack that is not aiofiber's).",
          (sp < low ? low - sp : sp - high) / 1024, address);
      break;
    case Verdict::kNoFrame:
      print("has no room left for the frame of a signal handler.");
      break;
    case Verdict::kStray:
      print_format(
          "has %lu KiB left, access at %#lx in the guard below: an index below an array, or a pointer to a "
          "frame that is gone.",
          (sp - low) / 1024, address);
      break;
  }
  if (verdict != Verdict::kStray) {
    // Four times as large, and large enough for the frame that did not fit.
    const std::size_t wanted = sp < low ? (high - sp) / 1024 : 0;
    print_format(" Give the task a larger one: create_task({.stack_size = %zu * 1024}, ...)",
                 std::max(kib * 4, std::bit_ceil(wanted)));
  }
  print("\nNewest frames first:\n");
}

void on_fault(int signo, siginfo_t* info, void* context) {
  const HooksOff hooks_off;  // calls from here must not suspend the task that has no stack left
  const Fiber* fiber = current_fiber();
  const Fault fault = describe(*info, context);
  const Verdict verdict = fiber != nullptr && info->si_code > 0 ? judge(*fiber, fault) : Verdict::kUnrelated;
  if (verdict != Verdict::kUnrelated) {
    print_verdict(*fiber, fault, verdict);
    print_frames(*fiber, fault);
  }
  // Dies of the signal, or leaves it to the previous handler.
  ::sigaction(SIGSEGV, &previous_action, nullptr);
  if (info->si_code <= 0 || fault.by_the_kernel) ::raise(signo);  // it does not come again by itself
}

// The alternate stack of a thread; freed with the thread.
class AlternateStack {
 public:
  AlternateStack() noexcept {
    thread_stack_bounds();  // may allocate the first time, which signal handlers must not
    // An existing alternate stack is kept if it is large enough for symbolizing; a sanitizer's is too small.
    if (::sigaltstack(nullptr, &previous_) != 0) return;
    if ((previous_.ss_flags & SS_DISABLE) == 0 && previous_.ss_size >= kAlternateStackBytes) return;
    memory_ = sys::map_anonymous(kMappedBytes);
    if (memory_ == MAP_FAILED) return;
    // Handlers may overflow too. Without the guard that goes unnoticed, but is no worse than without this
    // stack.
    sys::protect(memory_, kMinGuardBytes, PROT_NONE);
    stack_t stack{};
    stack.ss_sp = static_cast<char*>(memory_) + kMinGuardBytes;
    stack.ss_size = kAlternateStackBytes;
    ::sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    if (memory_ == MAP_FAILED) return;
    ::sigaltstack(&previous_, nullptr);
    sys::unmap(memory_, kMappedBytes);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  static constexpr std::size_t kMappedBytes = kMinGuardBytes + kAlternateStackBytes;
  void* memory_ = MAP_FAILED;
  stack_t previous_{};  // restored when the thread ends
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
