// SPDX-License-Identifier: Apache-2.0
//
// The search for the helper's call in AArch64 code.
//
// This is a heuristic: it does not see a far helper.
#include "arch/landing_pad.h"

#include <cxxabi.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <exception>

#include "aiofiber/runtime/engine/syscall.h"
#include "arch/aarch64/instruction.h"
#include "inspect/call_frame.h"

namespace aiofiber::runtime {
namespace {

using arch::Instruction;

constexpr std::size_t kLandingPadBytes = 192;
constexpr std::size_t kHelperBytes = 16;
constexpr std::uintptr_t kPageMask = 4095;  // of the smallest pages that there are

Instruction instruction_at(std::uintptr_t address) {
  return Instruction::at(reinterpret_cast<const unsigned char*>(address));
}

// The target of a `bl`; 0: it is another instruction.
std::uintptr_t target_of_call(std::uintptr_t at) {
  const Instruction code = instruction_at(at);
  return code.is_call() ? at + static_cast<std::uintptr_t>(code.branch_distance()) : 0;
}

// Whether a short function may begin at the target of what looks like a call, and can be read. In code
// without debug information clang writes no table for its helper. Then a neighbour on the same page must have
// one.
bool may_be_function(std::uintptr_t target) {
  if (const auto table = find_frame_table(target)) return table->function == target;
  return (target & kPageMask) != 0 && (target & kPageMask) + kHelperBytes <= kPageMask &&
         (find_frame_table(target - 1) || find_frame_table(target + kHelperBytes));
}

template <class Value>
bool copy(std::uintptr_t from, Value& to) {
  return sys::copy_own_memory(&to, reinterpret_cast<const void*>(from), sizeof to) ==
         static_cast<ssize_t>(sizeof to);
}

// Whether a call to `target` may be one of `function`: directly, or by the linker's table of procedures. With
// lazy binding a table does not name the function before its first call. True if it cannot be read.
bool may_be_call_of(std::uintptr_t function, std::uintptr_t target) {
  if (target == function) return true;
  std::array<Instruction, 4> stub;
  if (!copy(target, stub)) return true;
  const std::size_t first = stub[0].is_bti() ? 1 : 0;
  const Instruction page = stub[first], load = stub[first + 1];
  if (!page.is_page_address() || !load.is_load_of_word() || load.base() != page.destination()) return false;
  std::uintptr_t bound = 0;
  if (!copy(page.page_address(target + first * sizeof page) + load.load_offset(), bound)) return true;
  std::array<Instruction, 2> resolver;
  if (bound == function || !copy(bound, resolver)) return true;
  return resolver[resolver[0].is_bti() ? 1 : 0].code == Instruction::kBeginOfResolver;
}

// The first function that the helper at `target` calls, if it is a helper; else 0.
std::uintptr_t first_call_of_terminate_helper(std::uintptr_t target) {
  constexpr std::uint32_t kPushLr = 0xf81f0ffe, kPushFrame = 0xa9bf7bfd, kSetFrame = 0x910003fd;
  if (!may_be_function(target)) return 0;
  std::uintptr_t at = target;
  const auto take = [&at](std::uint32_t code) {
    const bool is_there = instruction_at(at).code == code;
    if (is_there) at += sizeof(Instruction);
    return is_there;
  };
  if (!take(Instruction::kSignLr)) take(Instruction::kBtiCall);
  if (!take(kPushLr)) {
    if (!take(kPushFrame)) return 0;
    take(kSetFrame);
  }
  const std::uintptr_t first = target_of_call(at), second = target_of_call(at + sizeof(Instruction));
  if (first == 0 || second == 0) return 0;
  const bool calls_both = may_be_call_of(reinterpret_cast<std::uintptr_t>(&abi::__cxa_begin_catch), first) &&
                          may_be_call_of(reinterpret_cast<std::uintptr_t>(&std::terminate), second);
  return calls_both ? first : 0;
}

}  // namespace

bool is_terminating_landing_pad(std::uintptr_t landing_pad, bool after_others) {
  const auto table = find_frame_table(landing_pad);
  if (!table) return false;
  const std::uintptr_t end = std::min(landing_pad + kLandingPadBytes, table->function_end);
  std::array<std::uintptr_t, 32> seen;
  std::size_t seen_count = 0;
  for (std::uintptr_t at = landing_pad; at < end && seen_count < seen.size(); at += sizeof(Instruction)) {
    const std::uintptr_t target = target_of_call(at);
    if (target == 0) continue;
    if (const std::uintptr_t begin_catch = first_call_of_terminate_helper(target)) {
      return after_others ||
             std::find(seen.begin(), seen.begin() + seen_count, begin_catch) == seen.begin() + seen_count;
    }
    seen[seen_count++] = target;
  }
  return false;
}

// The ways through a clean-up are not followed here: it counts as one that goes on unwinding. So code that
// g++ compiled for AArch64 without optimisation may end in std::terminate where an optimised one is
// abandoned.
bool is_terminating_cleanup(std::uintptr_t) { return false; }

}  // namespace aiofiber::runtime
