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
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <optional>

#include "arch/frame_rule.h"
#include "arch/landing_pad.h"
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

// Remembers the answer to a question about a place in the code. One word for an answer, so readers and
// writers need no order.
class KnownAnswers {
 public:
  std::optional<bool> find(std::uintptr_t place, std::uint64_t generation) const {
    const std::uint64_t key = place ^ generation;
    const std::uint64_t known = slots_[slot(key)].load(std::memory_order_relaxed);
    if (known == key) return false;
    return known == (key | kYes) ? std::optional(true) : std::nullopt;
  }
  void add(std::uintptr_t place, std::uint64_t generation, bool answer) {
    const std::uint64_t key = place ^ generation;
    slots_[slot(key)].store(answer ? key | kYes : key, std::memory_order_relaxed);
  }

 private:
  static constexpr unsigned kBits = 11;
  static constexpr std::uint64_t kYes = std::uint64_t{1} << 47;  // no address of a program has it
  static std::size_t slot(std::uint64_t key) { return mix(key) >> (64 - kBits); }
  std::array<std::atomic<std::uint64_t>, std::size_t{1} << kBits> slots_{};
};
constinit KnownAnswers g_known_calls;  // would code of the frame run if an exception passed (not kNothing)?
constinit KnownAnswers g_known_cleanups;  // does it end the program?

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

  // Whether an exception passes the frame without running any code there.
  bool nothing_runs_here() const {
    if (const auto runs = g_known_calls.find(registers_.pc, generation_)) return !*runs;
    const auto table = find_frame_table(registers_.pc - 1);
    const bool nothing = table && fate_in_frame(*table, registers_.pc - 1, nullptr) == Fate::kNothing;
    g_known_calls.add(registers_.pc, generation_, !nothing);
    return nothing;
  }
  // Whether the clean-up at this address ends the program.
  bool terminates(std::uintptr_t cleanup) const {
    if (const auto known = g_known_cleanups.find(cleanup, generation_)) return *known;
    const bool answer = is_terminating_cleanup(cleanup);
    g_known_cleanups.add(cleanup, generation_, answer);
    return answer;
  }
  // Whether it is the frame of this function, which is small.
  bool is_in(std::uintptr_t function) const {
    constexpr std::uintptr_t kMostBytes = 4096;
    if (registers_.pc - function > kMostBytes) return false;  // no need to search
    const auto table = find_frame_table(registers_.pc - 1);
    return table && table->function == function;
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
    if (const auto table = walk.nothing_runs_here() ? std::nullopt : find_frame_table(instruction)) {
      std::uintptr_t cleanup = 0;
      switch (fate_in_frame(*table, instruction, what.type, &cleanup)) {
        case Fate::kNothing:
          break;
        case Fate::kPasses:
          if (cleanup != 0 && walk.terminates(cleanup)) return true;
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

bool nothing_runs_before(std::uintptr_t catcher, const Registers& registers, StackBounds bounds) noexcept {
  notice_unloaded_code();
  Walk walk(registers, bounds);
  while (walk.registers().pc != 0 && walk.nothing_runs_here()) {
    if (walk.step() != Step::kCaller) return false;
  }
  return walk.registers().pc != 0 && walk.is_in(catcher);
}

bool is_known_to_run_code(std::uintptr_t return_address) noexcept {
  return g_known_calls.find(return_address, g_generation.load(std::memory_order_relaxed)).value_or(false);
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

namespace {

// The stack of the main thread, as pthread_getattr_np() tells it, which reads /proc/self/maps for that: a
// tenth of the time in which a small program starts. The kernel puts the name of the program's file at the
// end of the stack (fs/binfmt_elf.c, fs/exec.c), before a zero word. {0, 0}: this is not that stack, or its
// limit is not known.
__attribute__((noinline)) StackBounds main_stack_bounds() noexcept {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto* const name = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  const auto page = ::getauxval(AT_PAGESZ);
  rlimit limit{};
  // Less than the kernel leaves below this stack, so that no other stack counts as a part of it.
  constexpr rlim_t kGap = rlim_t{128} << 20;
  if (name == nullptr || page == 0 || ::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur > kGap)
    return {0, 0};
  const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(name) + std::strlen(name) + 1 + sizeof(void*);
  const std::uintptr_t high = (end + page - 1) / page * page;
  const std::uintptr_t low = high - limit.rlim_cur / page * page;
  return here >= low && here < high ? StackBounds{low, high} : StackBounds{0, 0};
}

}  // namespace

StackBounds thread_stack_bounds() noexcept {
  constinit thread_local StackBounds bounds{0, 0};
  if (bounds.high == 0) [[unlikely]] {
    if (::getpid() == static_cast<pid_t>(::syscall(SYS_gettid))) bounds = main_stack_bounds();
    if (bounds.high != 0) return bounds;
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
