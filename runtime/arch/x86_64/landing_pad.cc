// SPDX-License-Identifier: Apache-2.0
//
// The search for the helper's call in x86-64 code.
//
// This is a heuristic: it searches bytes, not instructions, and does not see a far helper.
#include "arch/landing_pad.h"

#include <cxxabi.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <initializer_list>

#include "aiofiber/runtime/engine/syscall.h"
#include "inspect/call_frame.h"
#include "inspect/table_bytes.h"

namespace aiofiber::runtime {
namespace {

// Machine code: a Bytes that knows a few instructions.
class Code : private Bytes {
 public:
  using Bytes::at;
  using Bytes::fixed;

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
constexpr std::size_t kCallBytes = 5;
constexpr std::uintptr_t kPageMask = 4095;

// A byte that only looks like a call can lead anywhere: whether a short function may begin there and can be
// read. In code without debug information clang writes no table for its helper. Then a neighbour on the same
// page must have one.
bool may_be_function(std::uintptr_t target) {
  if (const auto table = find_frame_table(target)) return table->function == target;
  return (target & kPageMask) != 0 && (target & kPageMask) + kHelperBytes <= kPageMask &&
         (find_frame_table(target - 1) || find_frame_table(target + kHelperBytes));
}

// Whether a call to `target` may be one of `function`: directly, or by the linker's table of procedures. With
// lazy binding a table does not name the function before its first call. True if it cannot be read.
bool may_be_call_of(std::uintptr_t function, std::uintptr_t target) {
  if (target == function) return true;
  std::array<std::uint8_t, 16> bytes{};
  const auto read = [&bytes](std::uintptr_t from) {
    const auto* const address = reinterpret_cast<const void*>(from);
    return sys::copy_own_memory(bytes.data(), address, bytes.size()) == static_cast<ssize_t>(bytes.size());
  };
  if (!read(target)) return true;
  Code entry(reinterpret_cast<std::uintptr_t>(bytes.data()));
  entry.take_endbr();
  entry.take({0xf2});
  if (!entry.take({0xff, 0x25})) return false;  // jmp *word(%rip)
  const auto distance = entry.fixed<std::int32_t>();
  const auto next = target + static_cast<std::uintptr_t>(entry.at() - bytes.data());
  if (!read(next + static_cast<std::uintptr_t>(std::intptr_t{distance}))) return true;
  std::uintptr_t bound = 0;
  std::memcpy(&bound, bytes.data(), sizeof bound);
  if (bound == function || !read(bound)) return true;
  Code resolver(reinterpret_cast<std::uintptr_t>(bytes.data()));
  resolver.take_endbr();
  return resolver.take({0x68});  // push the procedure's number
}

// The first function that the helper at `target` calls, if it is a helper; else 0.
std::uintptr_t first_call_of_terminate_helper(std::uintptr_t target) {
  if (!may_be_function(target)) return 0;
  Code helper(target);
  helper.take_endbr();
  const bool pushes_rax = helper.take({0x50});
  if (!pushes_rax && !helper.take({0x55, 0x48, 0x89, 0xe5})) return 0;  // push %rbp; mov %rsp,%rbp
  const std::uintptr_t first = helper.take_call();
  const std::uintptr_t second = first != 0 ? helper.take_call() : 0;
  if (second == 0) return 0;
  const bool calls_both = may_be_call_of(reinterpret_cast<std::uintptr_t>(&abi::__cxa_begin_catch), first) &&
                          may_be_call_of(reinterpret_cast<std::uintptr_t>(&std::terminate), second);
  return calls_both ? first : 0;
}

}  // namespace

bool is_terminating_landing_pad(std::uintptr_t landing_pad, bool after_others) {
  const auto table = find_frame_table(landing_pad);
  if (!table) return false;
  const std::uintptr_t end = std::min(landing_pad + kLandingPadBytes, table->function_end - kCallBytes + 1);
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
