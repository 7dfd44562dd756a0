// SPDX-License-Identifier: Apache-2.0
//
// The search for the helper's call in x86-64 code.
//
// This is a heuristic: it searches bytes, not instructions, and does not see a far helper.
#include "arch/landing_pad.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "inspect/call_frame.h"
#include "inspect/table_bytes.h"

namespace aiofiber::runtime {
namespace {

// Machine code: a Bytes that knows a few instructions.
class Code : private Bytes {
 public:
  explicit Code(std::uintptr_t at) : Bytes(reinterpret_cast<const std::uint8_t*>(at)) {}

  bool take(std::initializer_list<std::uint8_t> wanted) {
    if (!std::equal(wanted.begin(), wanted.end(), at())) return false;
    skip(wanted.size());
    return true;
  }
  void take_endbr() { take({0xf3, 0x0f, 0x1e, 0xfa}); }

  // Takes a `call` with a displacement; returns its target, or 0.
  std::uintptr_t take_call() {
    if (!take({0xe8})) return 0;
    const auto distance = fixed<std::int32_t>();
    return reinterpret_cast<std::uintptr_t>(at()) + static_cast<std::uintptr_t>(std::intptr_t{distance});
  }
};

constexpr std::size_t kLandingPadBytes = 192;
constexpr std::size_t kHelperBytes = 16;
constexpr std::uintptr_t kPageMask = 4095;

// A byte that only looks like a call can lead anywhere: whether a short function may begin there and can be
// read. In code without debug information clang writes no table for its helper. Then a neighbour on the same
// page must have one.
bool may_be_function(std::uintptr_t target) {
  if (const auto table = find_frame_table(target)) return table->function == target;
  return (target & kPageMask) != 0 && (target & kPageMask) + kHelperBytes <= kPageMask &&
         (find_frame_table(target - 1) || find_frame_table(target + kHelperBytes));
}

// The first function that the helper at `target` calls, if it is a helper; else 0.
std::uintptr_t first_call_of_terminate_helper(std::uintptr_t target) {
  if (!may_be_function(target)) return 0;
  Code helper(target);
  helper.take_endbr();
  const bool pushes_rax = helper.take({0x50});
  if (!pushes_rax && !helper.take({0x55, 0x48, 0x89, 0xe5})) return 0;  // push %rbp; mov %rsp,%rbp
  const std::uintptr_t first = helper.take_call();
  return first != 0 && helper.take_call() != 0 ? first : 0;
}

}  // namespace

bool is_terminating_landing_pad(std::uintptr_t landing_pad, bool after_others) {
  std::uintptr_t end = landing_pad + kLandingPadBytes;
  if (!find_frame_table(end)) end = std::min(end, (landing_pad | kPageMask) - sizeof(std::int32_t));
  std::array<std::uintptr_t, 32> seen;
  std::size_t seen_count = 0;
  for (std::uintptr_t at = landing_pad; at < end && seen_count < seen.size(); ++at) {
    const std::uintptr_t target = Code(at).take_call();
    if (target == 0) continue;
    if (const std::uintptr_t begin_catch = first_call_of_terminate_helper(target)) {
      return after_others ||
             std::find(seen.begin(), seen.begin() + seen_count, begin_catch) == seen.begin() + seen_count;
    }
    seen[seen_count++] = target;
  }
  return false;
}

}  // namespace aiofiber::runtime
