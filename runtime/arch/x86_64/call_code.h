// SPDX-License-Identifier: Apache-2.0
//
// Calls, jumps and system calls in x86-64 code.
//
// The search looks at bytes, not instructions, because an instruction can begin at any byte. Bytes that only
// look like a call count too, so no real call is missed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arch/call_code.h"

namespace aiofiber::runtime::arch {

// Visits every four bytes as a displacement; its target is relative to the byte after it.
template <class Found>
void for_each_displacement(const unsigned char* code, std::size_t size, std::uint64_t address, Found found) {
  for (std::size_t at = 2; at + 4 <= size; ++at) {
    std::int32_t displacement;
    std::memcpy(&displacement, code + at, sizeof displacement);
    found(at, address + at + 4 + static_cast<std::uint64_t>(std::int64_t{displacement}));
  }
}

// A jump with a displacement of one byte, as the last call of a function to one near it may be.
template <class Found>
void for_each_short_jump(const unsigned char* code, std::size_t size, std::uint64_t address, Found found) {
  constexpr unsigned char kJump = 0xeb;
  for (std::size_t at = 1; at < size; ++at) {
    const auto distance = static_cast<std::int8_t>(code[at]);
    if (code[at - 1] == kJump)
      found(at, address + at + 1 + static_cast<std::uint64_t>(std::int64_t{distance}));
  }
}

// A relative call or jump, conditional ones included.
inline bool is_branch(const unsigned char* at) {
  const unsigned char last = at[-1];
  return last == 0xe8 || last == 0xe9 || (at[-2] == 0x0f && (last & 0xf0) == 0x80);
}

// A memory operand relative to the next instruction: a call through a slot, or an address that is taken.
// Other bytes may match by chance.
inline bool is_operand(const unsigned char* at) { return (at[-1] & 0xc7) == 0x05; }

// An opcode of one byte, with the operand in memory. `digit`: the middle of the byte behind it, which is a
// part of the opcode for some. `word_prefix`: the instruction is of 16 bits.
inline MemoryUse use_by_opcode(unsigned char opcode, unsigned digit, bool word_prefix) {
  constexpr MemoryUse kReads{.reads = true}, kWrites{.writes = true}, kChanges{.reads = true, .writes = true};
  const auto with = [](MemoryUse use, unsigned bytes_after) {
    use.bytes_after = bytes_after;
    return use;
  };
  const unsigned full = word_prefix ? 2 : 4;
  if (opcode < 0x40 && (opcode & 7) < 4) {  // add, or, ... cmp
    return (opcode & 2) != 0 || opcode >= 0x38 ? kReads : kChanges;
  }
  switch (opcode) {
    case 0x88:
    case 0x89:
    case 0x8f:
      return kWrites;
    case 0xc6:
      return with(kWrites, 1);
    case 0xc7:
      return with(kWrites, full);
    case 0x8d:
      return {.takes_address = true};
    case 0x80:
    case 0x83:
      return with(digit == 7 ? kReads : kChanges, 1);
    case 0x81:
      return with(digit == 7 ? kReads : kChanges, full);
    case 0x69:
      return with(kReads, full);
    case 0x6b:
      return with(kReads, 1);
    case 0x86:
    case 0x87:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return kChanges;
    case 0xc0:
    case 0xc1:
      return with(kChanges, 1);
    case 0xf6:
      return digit < 2 ? with(kReads, 1) : digit < 4 ? kChanges : kReads;
    case 0xf7:
      return digit < 2 ? with(kReads, full) : digit < 4 ? kChanges : kReads;
    case 0xfe:
    case 0xff:
      return digit < 2 ? kChanges : kReads;
    case 0xd9:
    case 0xdd:
      return digit == 2 || digit == 3 ? kWrites : kReads;
    case 0xdb:
      return digit >= 1 && digit != 5 ? kWrites : kReads;
    default:
      return kReads;
  }
}

// The same for an opcode of two bytes, 0x0f and this one.
inline MemoryUse use_by_second_byte(unsigned char opcode, bool scalar_prefix) {
  if ((opcode & 0xf0) == 0x90) return {.writes = true};  // set by a condition
  switch (opcode) {
    case 0x10:
    case 0x28:
    case 0x6f:
      return {.reads = true, .is_wide = true};
    case 0x11:
    case 0x29:
    case 0x7f:
      return {.writes = true, .is_wide = true};
    case 0x13:
    case 0x17:
    case 0x2b:
    case 0xd6:
    case 0xe7:
      return {.writes = true};
    case 0x7e:
      return scalar_prefix ? MemoryUse{.reads = true} : MemoryUse{.writes = true};
    case 0xb0:
    case 0xb1:
    case 0xc0:
    case 0xc1:
      return {.reads = true, .writes = true};
    default:
      return {.reads = true};
  }
}

// By the bytes before the displacement. An unknown instruction counts as one that reads. The caller has
// at least five bytes before `at`.
inline MemoryUse use_of_memory(const unsigned char* at) {
  const unsigned char opcode = at[-2];
  const unsigned digit = (at[-1] >> 3) & 7;
  const auto is_rex = [](unsigned char byte) { return (byte & 0xf0) == 0x40; };
  if (at[-3] == 0x0f) return use_by_second_byte(opcode, at[-4] == 0xf3 || (is_rex(at[-4]) && at[-5] == 0xf3));
  const bool word_prefix = at[-3] == 0x66 || (is_rex(at[-3]) && at[-4] == 0x66);
  return use_by_opcode(opcode, digit, word_prefix);
}

inline bool is_jump_through_slot(const unsigned char* at) { return at[-2] == 0xff && at[-1] == 0x25; }
inline bool is_call_through_slot(const unsigned char* at) { return at[-2] == 0xff && at[-1] == 0x15; }

// A stub is a jump through the slot, perhaps after a `bnd` and an `endbr64`.
inline std::size_t stub_begin(const unsigned char* code, std::size_t index) {
  static constexpr unsigned char kEndbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  std::size_t at = index - 2;
  if (at >= 1 && code[at - 1] == 0xf2) --at;
  if (at >= sizeof kEndbr64 && std::memcmp(code + at - sizeof kEndbr64, kEndbr64, sizeof kEndbr64) == 0)
    at -= sizeof kEndbr64;
  return at;
}

// By `test eax, eax` and `jne`, near or short. Else the code that follows makes it, or it is not seen: index.
inline std::size_t where_true_goes(const unsigned char* code, std::size_t size, std::size_t index) {
  constexpr std::size_t kNear = 24;
  for (std::size_t at = index; at + 8 <= size && at < index + kNear; ++at) {
    if (code[at] != 0x85 || code[at + 1] != 0xc0) continue;
    std::size_t next = at + 3;
    std::int64_t distance = 0;
    if (code[at + 2] == 0x75) {
      distance = static_cast<std::int8_t>(code[next++]);
    } else if (code[at + 2] == 0x0f && code[at + 3] == 0x85) {
      std::int32_t displacement;
      std::memcpy(&displacement, code + at + 4, sizeof displacement);
      distance = displacement;
      next = at + 8;
    }
    const std::int64_t target = static_cast<std::int64_t>(next) + distance;
    return distance != 0 && target >= 0 ? static_cast<std::size_t>(target) : index;
  }
  return index;
}

inline bool is_jump_back(const unsigned char* code, std::size_t size, std::size_t index) {
  if (index + 5 > size) return false;
  const bool is_short = code[index] == 0xeb, is_near = code[index] == 0xe9;
  return (is_short && (code[index + 1] & 0x80) != 0) || (is_near && (code[index + 4] & 0x80) != 0);
}

// Looks for the nearest `mov register, value`.
inline int set_before(const unsigned char* code, std::size_t index, Argument argument) {
  constexpr unsigned char kSetEdi = 0xbf, kClearEdi = 0xff, kSetEdx = 0xba, kClearEdx = 0xd2;
  const unsigned char set = argument == Argument::kFirst ? kSetEdi : kSetEdx;
  const unsigned char cleared = argument == Argument::kFirst ? kClearEdi : kClearEdx;
  constexpr std::size_t kNear = 48;
  constexpr std::uint32_t kLargest = 1000;
  for (std::size_t back = 2; back <= kNear && back <= index; ++back) {
    const unsigned char* const byte = code + index - back;
    const bool wide = back < index && (byte[-1] & 0xf0) == 0x40;  // a prefix: another register
    if (wide) continue;
    if (byte[0] == 0x31 && byte[1] == cleared) return 0;  // xor with itself
    std::uint32_t value;
    if (back < 1 + sizeof value || byte[0] != set) continue;
    std::memcpy(&value, byte + 1, sizeof value);
    if (value < kLargest) return static_cast<int>(value);
  }
  return -1;
}

// Whether the bytes of a `syscall` are part of another instruction's number: of a distance, or of the number
// that a register is set to. Such a number is small, so a byte of zeros or ones ends it. No instruction that
// follows a system call looks like that.
inline bool is_in_number(const unsigned char* at) {
  constexpr std::int32_t kSmall = 1 << 24;
  for (const unsigned char* begin : {at, at - 1}) {
    std::int32_t number;
    std::memcpy(&number, begin, sizeof number);
    if (number < -kSmall || number >= kSmall) continue;
    const bool sets_register = (begin[-1] & 0xf8) == 0xb8;
    if (is_operand(begin) || is_branch(begin) || sets_register) return true;
  }
  return false;
}

// `syscall` after a nearby `mov eax, N` that sets its number. False matches are rare: they need both
// instructions, in this order and close together, and a number that exists.
template <class Found>
void for_each_system_call(const unsigned char* code, std::size_t size, Found found) {
  constexpr std::size_t kNear = 24, kMove = 5;
  constexpr std::uint32_t kNumbers = 500;
  for (std::size_t at = kMove; at + 4 < size; ++at) {
    if (code[at] != 0x0f || code[at + 1] != 0x05 || is_in_number(code + at)) continue;
    for (std::size_t back = kMove; back <= kNear && back <= at; ++back) {
      if (code[at - back] != 0xb8) continue;
      std::uint32_t number;
      std::memcpy(&number, code + at - back + 1, sizeof number);
      if (number >= kNumbers) continue;
      found(static_cast<int>(number));
      break;
    }
  }
}

}  // namespace aiofiber::runtime::arch
