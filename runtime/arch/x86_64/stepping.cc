// SPDX-License-Identifier: Apache-2.0
//
// Stepping by the trap flag, and the size and direction of an access from the first bytes of its instruction.
//
// This is no disassembler. It reads prefixes and the opcode, and tells the width of the operand and whether
// the instruction only stores. The processor says by the fault whether it wanted to write.
#include "arch/stepping.h"

#include <signal.h>
#include <ucontext.h>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime::arch {

namespace {

constexpr greg_t kTrapFlag = 0x100;
constexpr greg_t kWriteFault = 2;  // in the error code of a page fault

const greg_t* registers(const void* context) noexcept {
  return static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
}
greg_t* registers(void* context) noexcept { return static_cast<ucontext_t*>(context)->uc_mcontext.gregs; }

struct Instruction {
  bool operand16 = false, repeats = false, f2 = false, f3 = false, wide = false;
  std::size_t vector_bytes = 0;  // of a VEX or EVEX instruction
  int map = 0;                   // 0: one byte; 1: 0F; 2: 0F 38; 3: 0F 3A
  int pp = 0;                    // the prefix that a VEX instruction contains: 1 66, 2 F3, 3 F2
  std::uint8_t opcode = 0, modrm = 0;
};

Instruction read_instruction(const std::uint8_t* at) noexcept {
  Instruction found;
  for (bool prefix = true; prefix;) {
    switch (*at) {
      case 0x66:
        found.operand16 = true;
        ++at;
        break;
      case 0xF2:
        found.f2 = found.repeats = true;
        ++at;
        break;
      case 0xF3:
        found.f3 = found.repeats = true;
        ++at;
        break;
      case 0xF0:
      case 0x2E:
      case 0x36:
      case 0x3E:
      case 0x26:
      case 0x64:
      case 0x65:
      case 0x67:
        ++at;
        break;
      default:
        prefix = false;
    }
  }
  if ((*at & 0xF0) == 0x40) found.wide = (*at++ & 8) != 0;
  if (*at == 0xC5) {
    found.map = 1;
    found.vector_bytes = (at[1] & 4) != 0 ? 32 : 16;
    found.pp = at[1] & 3;
    at += 2;
  } else if (*at == 0xC4) {
    found.map = at[1] & 0x1F;
    found.vector_bytes = (at[2] & 4) != 0 ? 32 : 16;
    found.wide = (at[2] & 0x80) != 0;
    found.pp = at[2] & 3;
    at += 3;
  } else if (*at == 0x62) {
    found.map = at[1] & 7;
    found.wide = (at[2] & 0x80) != 0;
    found.pp = at[2] & 3;
    found.vector_bytes = std::size_t{16} << ((at[3] >> 5) & 3);
    at += 4;
  } else if (*at == 0x0F) {
    ++at;
    found.map = 1;
    if (*at == 0x38 || *at == 0x3A) found.map = *at++ == 0x38 ? 2 : 3;
  }
  found.opcode = at[0];
  found.modrm = at[1];
  return found;
}

std::size_t integer_bytes(const Instruction& code) noexcept { return code.wide ? 8 : code.operand16 ? 2 : 4; }

// The width of the operand in memory.
std::size_t operand_bytes(const Instruction& code) noexcept {
  const std::uint8_t op = code.opcode;
  if (code.map == 0) {
    if (op == 0x63) return 4;                                                      // movslq
    if (op == 0xFF && ((code.modrm >> 3) & 7) >= 2) return 8;                      // call, jmp, push
    if (op == 0x8F || (op >= 0x50 && op <= 0x5F) || op == 0xE8) return 8;          // pop, push, call
    if (op >= 0xD8 && op <= 0xDF) return op == 0xDB ? 10 : (op & 4) != 0 ? 8 : 4;  // x87
    const bool byte = (op & 1) == 0 && (op <= 0x3C || (op >= 0x80 && op <= 0x8A) || op >= 0xA0);
    return byte ? 1 : integer_bytes(code);
  }
  if (code.map == 1) {
    if (op == 0xB6 || op == 0xBE || (op & 0xF0) == 0x90 || op == 0xB0 || op == 0xC0) return 1;
    if (op == 0xB7 || op == 0xBF) return 2;
    const bool integer = (op >= 0x40 && op <= 0x4F) || op == 0xA3 || op == 0xAB || op == 0xB3 || op == 0xAF ||
                         op == 0xB1 || op == 0xC1 || op == 0xBA || op == 0xC3;
    if (integer && code.vector_bytes == 0) return integer_bytes(code);
    if (op == 0xC7) return 8;                                                              // cmpxchg8b
    if (op == 0x6E || (op == 0x7E && !code.f3 && code.pp != 2)) return code.wide ? 8 : 4;  // movd, movq
    if (op == 0xD6 || op == 0x7E || op == 0x12 || op == 0x13 || op == 0x16 || op == 0x17) return 8;
    const bool scalar_op = op == 0x10 || op == 0x11 || (op >= 0x51 && op <= 0x5F) || op == 0x2A ||
                           op == 0x2C || op == 0x2D || op == 0x2E || op == 0x2F;
    if (op == 0x2A) return code.wide ? 8 : 4;  // an integer becomes a floating-point number
    if (op == 0x2E || op == 0x2F) return code.operand16 || code.pp == 1 ? 8 : 4;
    if (scalar_op && (code.f3 || code.pp == 2)) return 4;
    if (scalar_op && (code.f2 || code.pp == 3)) return 8;
    return code.vector_bytes != 0 ? code.vector_bytes : 16;
  }
  return code.vector_bytes != 0 ? code.vector_bytes : 8;
}

bool only_stores(const Instruction& code) noexcept {
  const std::uint8_t op = code.opcode;
  if (code.map == 0)
    return op == 0x88 || op == 0x89 || op == 0xC6 || op == 0xC7 || op == 0xA2 || op == 0xA3 || op == 0x8F ||
           op == 0xA4 || op == 0xA5 || op == 0xAA || op == 0xAB || op == 0xD9 || op == 0xDD || op == 0xDB;
  if (code.map == 1)
    return op == 0x11 || op == 0x13 || op == 0x17 || op == 0x29 || op == 0x2B || op == 0x7E || op == 0x7F ||
           op == 0xC3 || op == 0xD6 || op == 0xE7 || (op & 0xF0) == 0x90;
  return false;
}

}  // namespace

MemoryAccess memory_access(const void* context) noexcept {
  const greg_t* const values = registers(context);
  const Instruction code = read_instruction(reinterpret_cast<const std::uint8_t*>(values[REG_RIP]));
  MemoryAccess access;
  access.writes = (values[REG_ERR] & kWriteFault) != 0;
  access.reads = !access.writes || !only_stores(code);
  access.constant = code.map == 0 && (code.opcode == 0xC6 || code.opcode == 0xC7);
  access.bytes = operand_bytes(code);
  const bool string = code.map == 0 && ((code.opcode >= 0xA4 && code.opcode <= 0xA7) ||
                                        (code.opcode >= 0xAA && code.opcode <= 0xAF));
  if (string) access.bytes = (code.opcode & 1) == 0 ? 1 : integer_bytes(code);
  if (string && code.repeats) {
    access.repeated = true;
    constexpr greg_t kBackwards = 0x400;
    if ((values[REG_EFL] & kBackwards) == 0) access.bytes *= static_cast<std::size_t>(values[REG_RCX]);
  }
  return access;
}

void set_stepping(void* context, bool on) noexcept {
  greg_t& flags = registers(context)[REG_EFL];
  flags = on ? flags | kTrapFlag : flags & ~kTrapFlag;
}

RefusedCall refused_call(const void* context) noexcept {
  const greg_t* const values = registers(context);
  RefusedCall call;
  const int order[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
  for (std::size_t i = 0; i < 6; ++i) call.arguments[i] = static_cast<std::uintptr_t>(values[order[i]]);
  return call;
}

void answer_call(void* context, std::intptr_t result) noexcept { registers(context)[REG_RAX] = result; }

void repeat_call(void* context, std::intptr_t number) noexcept {
  constexpr greg_t kBytesOfSyscall = 2;
  registers(context)[REG_RAX] = number;
  registers(context)[REG_RIP] -= kBytesOfSyscall;
}

std::intptr_t raw_call(std::intptr_t number, const RefusedCall& call) noexcept {
  std::intptr_t result;
  register std::uintptr_t fourth asm("r10") = call.arguments[3];
  register std::uintptr_t fifth asm("r8") = call.arguments[4];
  register std::uintptr_t sixth asm("r9") = call.arguments[5];
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(call.arguments[0]), "S"(call.arguments[1]), "d"(call.arguments[2]),
                 "r"(fourth), "r"(fifth), "r"(sixth)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace aiofiber::runtime::arch
