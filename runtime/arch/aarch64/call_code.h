// SPDX-License-Identifier: Apache-2.0
//
// Calls, jumps and system calls in AArch64 code.
//
// An address is made by two instructions: `adrp` sets a register to a page, and a load, a store or an `add`
// has the place in the page. So the search follows, from each `adrp` on, what it knows of the registers. A
// displacement's index is that of the instruction that has its last part.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "arch/aarch64/instruction.h"
#include "arch/call_code.h"

namespace aiofiber::runtime::arch {

// What the code before an instruction has put into registers: addresses, as far as they are known. Not across
// calls and the ends of functions. A jump to a place between keeps what was known before that place: that is
// how compilers use an `adrp` for several accesses.
class KnownAddresses {
 public:
  bool is_known(unsigned reg) const { return (known_ >> reg & 1) != 0; }
  std::uint64_t operator[](unsigned reg) const { return values_[reg]; }
  void set(unsigned reg, std::uint64_t value) {
    values_[reg] = value;
    known_ |= std::uint32_t{1} << reg;
  }
  // After an instruction that is no `adrp`, `adr` or `add`.
  void forget_what_changes(Instruction code) {
    if (known_ == 0) return;
    if (code.is_indirect_branch() && !code.is_call_by(code.base())) known_ = 0;
    if (code.is_call() || code.is_call_by(code.base())) known_ &= ~kNotKeptByCalls;
    for (std::uint32_t left = known_; left != 0; left &= left - 1) {
      const auto reg = static_cast<unsigned>(__builtin_ctz(left));
      if (code.changes(reg)) known_ &= ~(std::uint32_t{1} << reg);
    }
  }

 private:
  static constexpr std::uint32_t kNotKeptByCalls = 0x4007ffff;  // x0 to x18, x30
  std::array<std::uint64_t, 32> values_{};
  std::uint32_t known_ = 0;
};

// Whether the next use of an address that was just computed into `reg` is an access to it. Then the access
// counts, and not the computation.
inline bool is_accessed_next(const unsigned char* code, std::size_t size, std::size_t index, unsigned reg) {
  constexpr std::size_t kNear = 6 * sizeof(Instruction);
  for (std::size_t at = index + sizeof(Instruction); at + 4 <= size && at <= index + kNear;
       at += sizeof(Instruction)) {
    const Instruction next = Instruction::at(code + at);
    if (next.is_load_or_store()) {
      const bool stores_it = !next.loads() && next.destination() == reg;
      if (!next.is_load_of_literal() && next.base() == reg) return !stores_it;
      if (stores_it) return false;
    }
    if (next.is_direct_branch() || next.is_indirect_branch() || next.changes(reg)) return false;
  }
  return false;
}

// Whether the load at the index is a part of a stub: adrp x16; ldr x17, [x16, ...]; add x16, ...; br x17.
inline bool is_load_of_stub(const unsigned char* at) {
  const Instruction load = Instruction::at(at);
  if (!load.is_load_of_word()) return false;
  const unsigned to = load.destination();
  return Instruction::at(at + 4).is_jump_by(to) || Instruction::at(at + 8).is_jump_by(to);
}

template <class Found>
void for_each_displacement(const unsigned char* code, std::size_t size, std::uint64_t address, Found found) {
  constexpr std::size_t kLongestStub = 12;
  KnownAddresses known;
  std::size_t in_stub = 0;  // up to here
  for (std::size_t at = 0; at + sizeof(Instruction) <= size; at += sizeof(Instruction)) {
    const Instruction next = Instruction::at(code + at);
    const std::uint64_t own = address + at;
    if (next.is_direct_branch()) found(at, own + static_cast<std::uint64_t>(next.branch_distance()));
    if (next.is_page_address()) {
      known.set(next.destination(), next.page_address(own));
      continue;
    }
    if (at + kLongestStub <= size) {  // what is found here is looked at with what follows
      if (next.is_address()) {
        const std::uint64_t target = own + static_cast<std::uint64_t>(next.address_distance());
        found(at, target);
        known.set(next.destination(), target);
        continue;
      }
      if (next.is_add_of_number() && known.is_known(next.base())) {
        const std::uint64_t target = known[next.base()] + next.added_number();
        if (at >= in_stub && !is_accessed_next(code, size, at, next.destination())) found(at, target);
        known.set(next.destination(), target);
        continue;
      }
      if (next.is_load_of_literal()) {
        found(at, own + static_cast<std::uint64_t>(next.branch_distance()));
      } else if (next.is_load_or_store() && known.is_known(next.base()) &&
                 next.base() != Instruction::kZero) {
        if (is_load_of_stub(code + at)) in_stub = at + kLongestStub;
        found(at, known[next.base()] + static_cast<std::uint64_t>(next.access_offset()));
      }
    }
    known.forget_what_changes(next);
  }
}

// No jump is shorter than others.
template <class Found>
void for_each_short_jump(const unsigned char*, std::size_t, std::uint64_t, Found) {}

inline bool is_branch(const unsigned char* at) { return Instruction::at(at).is_direct_branch(); }

inline bool is_operand(const unsigned char* at) {
  const Instruction code = Instruction::at(at);
  return code.is_load_or_store() || code.is_address() || code.is_add_of_number();
}

inline MemoryUse use_of_memory(const unsigned char* at) {
  const Instruction code = Instruction::at(at);
  if (!code.is_load_or_store()) return {.takes_address = true};
  if (code.is_load_of_literal()) return {.reads = true};
  if (code.is_atomic() || code.is_compare_and_swap()) return {.reads = true, .writes = true};
  const bool loads = code.loads();
  const bool is_wide = !code.is_exclusive() && code.access_bytes() > 8;
  return {.reads = loads, .writes = !loads, .is_wide = is_wide};
}

inline bool is_jump_through_slot(const unsigned char* at) { return is_load_of_stub(at); }
inline bool is_call_through_slot(const unsigned char* at) {
  const Instruction load = Instruction::at(at);
  return load.is_load_of_word() && Instruction::at(at + 4).is_call_by(load.destination());
}

// A stub is `adrp` and the load, perhaps after a `bti c`.
inline std::size_t stub_begin(const unsigned char* code, std::size_t index) {
  std::size_t at = index;
  if (at >= 4 && Instruction::at(code + at - 4).is_page_address()) at -= 4;
  if (at >= 4 && Instruction::at(code + at - 4).is_bti()) at -= 4;
  return at;
}

// By `cbnz w0`, or `cmp w0, 0` and `b.ne`. Else the code that follows makes it, or it is not seen: index.
inline std::size_t where_true_goes(const unsigned char* code, std::size_t size, std::size_t index) {
  constexpr std::size_t kNear = 24;
  constexpr std::uint32_t kCompareW0 = 0x7100001f;
  bool compared = false;
  for (std::size_t at = index; at + 4 <= size && at < index + kNear; at += sizeof(Instruction)) {
    const Instruction next = Instruction::at(code + at);
    const bool goes_if_true =
        (next.is_compare_branch() && next.destination() == 0 && (next.code >> 24 & 1) != 0) ||
        (compared && next.is_conditional() && (next.code & 15) == 1);
    if (goes_if_true) {
      const std::int64_t target = static_cast<std::int64_t>(at) + next.branch_distance();
      return target >= 0 ? static_cast<std::size_t>(target) : index;
    }
    if (next.is_direct_branch() || next.is_indirect_branch()) return index;
    compared = next.code == kCompareW0;
  }
  return index;
}

inline bool is_jump_back(const unsigned char* code, std::size_t size, std::size_t index) {
  if (index + 4 > size) return false;
  const Instruction next = Instruction::at(code + index);
  return next.is_jump() && next.branch_distance() < 0;
}

// Looks for the nearest `mov`, back to the begin of the code that certainly runs before.
inline int set_before(const unsigned char* code, std::size_t index, Argument argument) {
  const unsigned reg = argument == Argument::kFirst ? 0 : 2;
  constexpr std::size_t kNear = 64;
  constexpr std::uint32_t kLargest = 1000;
  for (std::size_t back = 4; back <= kNear && back <= index; back += sizeof(Instruction)) {
    const Instruction before = Instruction::at(code + index - back);
    std::uint32_t number = 0;
    if (before.sets_to_number(reg, number)) return number < kLargest ? static_cast<int>(number) : -1;
    if (before.is_call() || before.is_indirect_branch() || before.changes(reg)) return -1;
  }
  return -1;
}

// `svc 0` after a nearby `mov` that sets x8.
template <class Found>
void for_each_system_call(const unsigned char* code, std::size_t size, Found found) {
  constexpr std::size_t kNear = 48;
  constexpr std::uint32_t kNumbers = 500;
  constexpr unsigned kNumberRegister = 8;
  for (std::size_t at = 0; at + 4 <= size; at += sizeof(Instruction)) {
    if (!Instruction::at(code + at).is_system_call()) continue;
    for (std::size_t back = 4; back <= kNear && back <= at; back += sizeof(Instruction)) {
      std::uint32_t number = 0;
      if (!Instruction::at(code + at - back).sets_to_number(kNumberRegister, number)) continue;
      if (number < kNumbers) found(static_cast<int>(number));
      break;
    }
  }
}

}  // namespace aiofiber::runtime::arch
