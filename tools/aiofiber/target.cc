// SPDX-License-Identifier: Apache-2.0
//
// The common part of processes and cores: single reads, and the layout of registers.
#include "target.h"

namespace aiofiber::tool {

Target::~Target() = default;

Registers from_user(const user_regs_struct& r) {
  Registers registers;
  registers.values = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
                      r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip};
  return registers;
}

user_regs_struct to_user(const Registers& registers) {
  const auto& v = registers.values;
  user_regs_struct r{};
  r.rax = v[0], r.rdx = v[1], r.rcx = v[2], r.rbx = v[3], r.rsi = v[4], r.rdi = v[5], r.rbp = v[6],
  r.rsp = v[7];
  r.r8 = v[8], r.r9 = v[9], r.r10 = v[10], r.r11 = v[11], r.r12 = v[12], r.r13 = v[13], r.r14 = v[14],
  r.r15 = v[15];
  r.rip = v[16];
  return r;
}

bool Target::read(std::uint64_t address, void* into, std::size_t bytes) {
  std::vector<Range> ranges{{address, into, bytes, false}};
  read_in_order(ranges, 1);
  return ranges[0].complete;
}

}  // namespace aiofiber::tool
