// SPDX-License-Identifier: Apache-2.0
//
// Lengths and targets of x86-64 instructions, on any processor: some by hand, and, on x86-64, all those of
// libgcc as objdump sees them.
// Labels: long
#include "arch/x86_64/control_flow.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "aiofiber/runtime/arch/arch.h"

namespace aiofiber::runtime::arch {
namespace {

using Kind = Control::Kind;
using Code = std::vector<std::uint8_t>;

Control read(const Code& instruction, std::uintptr_t address) {
  std::array<std::uint8_t, kLongestInstruction> code{};
  std::copy(instruction.begin(), instruction.end(), code.begin());
  return ControlReader(code.data(), address).read();
}

void expect_next(const Code& instruction) {
  const Control control = read(instruction, 0x1000);
  EXPECT_EQ(control.kind, Kind::kNext);
  EXPECT_EQ(control.length, instruction.size());
}

TEST(ControlFlow, KnowsLengths) {
  expect_next({0xff, 0xd0});                                   // call *%rax
  expect_next({0x90});                                         // nop
  expect_next({0x41, 0x57});                                   // push %r15
  expect_next({0x48, 0x89, 0xe5});                             // mov %rsp,%rbp
  expect_next({0x48, 0x8b, 0x45, 0xf8});                       // mov -8(%rbp),%rax
  expect_next({0x48, 0x8d, 0x84, 0x24, 0x80, 0, 0, 0});        // lea 0x80(%rsp),%rax
  expect_next({0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0});        // mov 0x28,%rax
  expect_next({0x48, 0x8d, 0x05, 1, 2, 3, 4});                 // lea 0x4030201(%rip),%rax
  expect_next({0x64, 0x48, 0x2b, 0x04, 0x25, 0x28, 0, 0, 0});  // sub %fs:0x28,%rax
  expect_next({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8});           // movabs
  expect_next({0x66, 0xb8, 1, 2});                             // mov $0x201,%ax
  expect_next({0xc7, 0x44, 0x24, 0x08, 1, 0, 0, 0});           // movl $1,8(%rsp)
  expect_next({0x66, 0xc7, 0x44, 0x24, 0x08, 1, 0});           // movw $1,8(%rsp)
  expect_next({0xf7, 0xc7, 1, 0, 0, 0});                       // test $1,%edi
  expect_next({0xf7, 0xdf});                                   // neg %edi
  expect_next({0xf6, 0x45, 0xf0, 1});                          // testb $1,-16(%rbp)
  expect_next({0x0f, 0x11, 0x44, 0x24, 0x10});                 // movups %xmm0,16(%rsp)
  expect_next({0x66, 0x0f, 0x70, 0xc0, 0x1b});                 // pshufd $0x1b,%xmm0,%xmm0
  expect_next({0xf3, 0x0f, 0x1e, 0xfa});                       // endbr64
  expect_next({0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0});  // nopw
}

TEST(ControlFlow, KnowsTargets) {
  const auto expect = [](const Code& instruction, Kind kind, std::uintptr_t target) {
    const Control control = read(instruction, 0x1000);
    EXPECT_EQ(control.kind, kind);
    EXPECT_EQ(control.length, instruction.size());
    EXPECT_EQ(control.target, target);
  };
  expect({0xe8, 0x10, 0, 0, 0}, Kind::kCall, 0x1015);
  expect({0xe9, 0xfb, 0xff, 0xff, 0xff}, Kind::kJump, 0x1000);
  expect({0xeb, 0xfe}, Kind::kJump, 0x1000);
  expect({0x74, 0x10}, Kind::kBranch, 0x1012);
  expect({0x0f, 0x85, 0, 0xff, 0xff, 0xff}, Kind::kBranch, 0xf06);
  expect({0xff, 0x15, 0, 1, 0, 0}, Kind::kCallBySlot, 0x1106);
  expect({0x0f, 0x0b}, Kind::kStops, 0);
}

// Where control leaves the code that is read, nothing may be concluded.
TEST(ControlFlow, IsUnknownWhereControlLeaves) {
  EXPECT_EQ(read({0xc3}, 0).kind, Kind::kUnknown);              // ret
  EXPECT_EQ(read({0xff, 0xe0}, 0).kind, Kind::kUnknown);        // jmp *%rax
  EXPECT_EQ(read({0xc5, 0xf8, 0x77}, 0).kind, Kind::kUnknown);  // vzeroupper
}

#if AIOFIBER_ARCH_X86_64
TEST(ControlFlow, AgreesWithObjdump) {
  Dl_info library{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&_Unwind_Resume), &library), 0);
  // Lines of `  ADDRESS:<tab>BYTES<tab>TEXT`.
  const std::string command =
      std::string("objdump -d -w --section=.text '") + library.dli_fname + "' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> objdump(popen(command.c_str(), "r"), &pclose);
  ASSERT_NE(objdump, nullptr);
  std::array<char, 512> line;
  std::size_t known = 0, unknown = 0;
  while (fgets(line.data(), line.size(), objdump.get()) != nullptr) {
    char* after_address = nullptr;
    const std::uintptr_t address = std::strtoul(line.data(), &after_address, 16);
    std::string text(after_address);
    if (!text.starts_with(":\t") || text.find("(bad)") != std::string::npos) continue;
    const std::size_t end = text.find('\t', 2);
    if (end == std::string::npos) continue;
    std::istringstream bytes(text.substr(2, end - 2));
    Code instruction;
    for (unsigned byte; bytes >> std::hex >> byte;) instruction.push_back(static_cast<std::uint8_t>(byte));
    const Control control = read(instruction, address);
    if (control.kind == Kind::kUnknown) {
      ++unknown;
      continue;
    }
    ++known;
    ASSERT_EQ(control.length, instruction.size()) << line.data();
    if (control.kind == Kind::kJump || control.kind == Kind::kBranch || control.kind == Kind::kCall) {
      std::ostringstream target;
      target << ' ' << std::hex << control.target << ' ';
      ASSERT_NE(text.find(target.str()), std::string::npos) << line.data();
    }
  }
  if (known + unknown == 0) GTEST_SKIP() << "objdump is not installed (tools/setup check)";
  EXPECT_GT(known, 10'000u);
  EXPECT_LT(unknown, (known + unknown) / 10);
}
#endif

}  // namespace
}  // namespace aiofiber::runtime::arch
