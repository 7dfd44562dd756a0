// SPDX-License-Identifier: Apache-2.0
//
// The two checks of x86-64 code.
//
// The search for the helper's call is a heuristic: it searches bytes, not instructions, and does not see a
// far helper. The check of a clean-up follows its instructions.
#include "arch/landing_pad.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>
#include <sys/types.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <string_view>

#include "aiofiber/runtime/engine/syscall.h"
#include "arch/x86_64/control_flow.h"
#include "inspect/call_frame.h"
#include "inspect/table_bytes.h"

// Of the C++ runtime; old ones do not export it.
extern "C" [[gnu::weak]] void __cxa_call_terminate(void*) noexcept;

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

// What a call leads to: directly, or by the linker's table of procedures (PLT).
struct Callee {
  std::uintptr_t function = 0;  // 0: not known
  std::string_view name;        // instead, of a procedure that is not yet bound; empty: not known
};

bool read_code(std::uintptr_t from, std::array<std::uint8_t, 16>& bytes) {
  const auto* const address = reinterpret_cast<const void*>(from);
  return sys::copy_own_memory(bytes.data(), address, bytes.size()) == static_cast<ssize_t>(bytes.size());
}

// The name of the procedure whose address the loader will store at `slot`: by the relocation with this
// number.
std::string_view name_of_unbound(std::uintptr_t slot, std::uint32_t number) {
  dl_find_object module{};
  if (::_dl_find_object(reinterpret_cast<void*>(slot), &module) != 0) return {};
  const ElfW(Rela)* relocations = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  std::size_t bytes = 0;
  const ElfW(Dyn)* entry = module.dlfo_link_map->l_ld;
  if (entry == nullptr) return {};  // linked statically
  for (; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_JMPREL) relocations = reinterpret_cast<const ElfW(Rela)*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_PLTRELSZ) bytes = entry->d_un.d_val;
  }
  if (relocations == nullptr || symbols == nullptr || names == nullptr) return {};
  if (number >= bytes / sizeof *relocations) return {};
  const ElfW(Rela)& relocation = relocations[number];
  if (module.dlfo_link_map->l_addr + relocation.r_offset != slot) return {};
  return names + symbols[ELF64_R_SYM(relocation.r_info)].st_name;
}

Callee callee_by_slot(std::uintptr_t slot) {
  std::array<std::uint8_t, 16> bytes{};
  if (!read_code(slot, bytes)) return {};
  std::uintptr_t bound = 0;
  std::memcpy(&bound, bytes.data(), sizeof bound);
  if (!read_code(bound, bytes)) return {};
  Code resolver(reinterpret_cast<std::uintptr_t>(bytes.data()));
  resolver.take_endbr();
  if (!resolver.take({0x68})) return {bound, {}};  // push the procedure's number
  return {0, name_of_unbound(slot, resolver.fixed<std::uint32_t>())};
}

Callee callee_of(std::uintptr_t target) {
  std::array<std::uint8_t, 16> bytes{};
  if (!read_code(target, bytes)) return {};
  Code entry(reinterpret_cast<std::uintptr_t>(bytes.data()));
  entry.take_endbr();
  entry.take({0xf2});
  if (!entry.take({0xff, 0x25})) return {target, {}};  // jmp *word(%rip)
  const auto distance = entry.fixed<std::int32_t>();
  const auto next = target + static_cast<std::uintptr_t>(entry.at() - bytes.data());
  return callee_by_slot(next + static_cast<std::uintptr_t>(std::intptr_t{distance}));
}

// Whether a call to `target` may be one of `function`. True if it is not known.
bool may_be_call_of(std::uintptr_t function, std::uintptr_t target) {
  if (target == function) return true;
  const Callee callee = callee_of(target);
  return callee.function == 0 || callee.function == function;
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

namespace {

// How a way through a clean-up goes on after a call.
enum class AfterCall { kNext, kTerminated, kUnwinding };

AfterCall after_call_of(const Callee& callee) {
  const auto is = [&callee](auto* function, std::string_view name) {
    return callee.function != 0 ? callee.function == reinterpret_cast<std::uintptr_t>(function)
                                : callee.name == name;
  };
  if (is(&std::terminate, "_ZSt9terminatev") || is(&__cxa_call_terminate, "__cxa_call_terminate"))
    return AfterCall::kTerminated;
  const bool is_unknown = callee.function == 0 && callee.name.empty();
  return is_unknown || is(&_Unwind_Resume, "_Unwind_Resume") ? AfterCall::kUnwinding : AfterCall::kNext;
}

// The ways through a clean-up that are still to follow.
class Ways {
 public:
  explicit Ways(std::uintptr_t first) { add(first); }
  // False: there is no more room.
  bool add(std::uintptr_t start) {
    if (std::find(starts_.begin(), starts_.begin() + count_, start) != starts_.begin() + count_) return true;
    if (count_ == starts_.size()) return false;
    starts_[count_++] = start;
    return true;
  }
  std::uintptr_t next() { return followed_ < count_ ? starts_[followed_++] : 0; }

 private:
  std::array<std::uintptr_t, 64> starts_{};
  std::size_t count_ = 0;
  std::size_t followed_ = 0;
};

}  // namespace

// Any call may return, and any branch may be taken. So if no way leads to _Unwind_Resume or out of the
// function, none does.
bool is_terminating_cleanup(std::uintptr_t landing_pad) {
  using Kind = arch::Control::Kind;
  const auto table = find_frame_table(landing_pad);
  if (!table) return false;
  bool terminates = false;
  Ways ways(landing_pad);
  for (std::uintptr_t at = ways.next(); at != 0;) {
    if (at < table->function || at >= table->function_end) return false;
    std::array<std::uint8_t, arch::kLongestInstruction> code{};
    std::memcpy(code.data(), reinterpret_cast<const void*>(at),
                std::min<std::size_t>(code.size(), table->function_end - at));
    const arch::Control control = arch::ControlReader(code.data(), at).read();
    if (control.kind == Kind::kUnknown) return false;
    at += control.length;
    bool way_ends = control.kind == Kind::kStops || control.kind == Kind::kJump;
    if (control.kind == Kind::kJump || control.kind == Kind::kBranch) {
      if (!ways.add(control.target)) return false;
    } else if (control.kind == Kind::kCall || control.kind == Kind::kCallBySlot) {
      const bool by_slot = control.kind == Kind::kCallBySlot;
      const AfterCall after =
          after_call_of(by_slot ? callee_by_slot(control.target) : callee_of(control.target));
      if (after == AfterCall::kUnwinding) return false;
      way_ends = after == AfterCall::kTerminated;
      terminates = terminates || way_ends;
    }
    if (way_ends) at = ways.next();
  }
  return terminates;
}

}  // namespace aiofiber::runtime
