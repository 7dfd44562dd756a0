// SPDX-License-Identifier: Apache-2.0
//
// What the search of AArch64's code finds in code that is written for it: calls, accesses, addresses that are
// taken, the stubs of a linkage table, and system calls. The code is never run.
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "arch/call_code.h"

extern "C" {
extern const unsigned char code_begin[], code_accesses[], code_taken[], code_calls[], code_stub[], code_end[];
extern int code_words[4];
int code_words[4];
}

// The names are global: the linker makes one entry of its table of addresses for all local ones.
asm(R"(
.text
.p2align 2
.globl code_begin, code_accesses, code_taken, code_calls, code_stub, code_end
.type code_begin,@function
code_begin:
code_accesses:
  adrp x0, code_words
  add x0, x0, :lo12:code_words
  ldr w1, [x0]
  str w1, [x0, 4]
  adrp x2, code_words + 8
  ldr w3, [x2, :lo12:code_words + 8]
  adrp x4, code_words
  add x4, x4, :lo12:code_words
  stp x1, x2, [x4]
code_taken:
  adrp x0, code_words
  add x0, x0, :lo12:code_words
  mov w2, 128
  mov w0, 98
code_calls:
  bl code_stub
  cbnz w0, code_accesses
  b code_accesses
  mov x8, 64
  svc 0
  nop
code_stub:
  hint 34
  adrp x16, code_words
  ldr x17, [x16, :lo12:code_words]
  add x16, x16, :lo12:code_words
  br x17
  nop
  nop
  nop
  ret
code_end:
.size code_begin,.-code_begin
)");

namespace aiofiber::runtime::arch {
namespace {

std::uint64_t address(const void* of) { return reinterpret_cast<std::uint64_t>(of); }
std::size_t size() { return static_cast<std::size_t>(code_end - code_begin); }
std::size_t index_of(const unsigned char* place) { return static_cast<std::size_t>(place - code_begin); }

// Index and target.
std::vector<std::pair<std::size_t, std::uint64_t>> found() {
  std::vector<std::pair<std::size_t, std::uint64_t>> all;
  for_each_displacement(code_begin, size(), address(code_begin),
                        [&](std::size_t at, std::uint64_t target) { all.emplace_back(at, target); });
  return all;
}

// The uses of the words between two places, by the word's number.
std::multimap<std::uint64_t, MemoryUse> uses(const unsigned char* begin, const unsigned char* end) {
  std::multimap<std::uint64_t, MemoryUse> all;
  for (const auto& [at, target] : found()) {
    if (at < index_of(begin) || at >= index_of(end) || !is_operand(code_begin + at)) continue;
    all.emplace((target - address(code_words)) / sizeof(int), use_of_memory(code_begin + at));
  }
  return all;
}

TEST(AArch64Code, HasItsAccessesByTheAddressThatWasComputedBefore) {
  const auto all = uses(code_accesses, code_taken);
  ASSERT_EQ(all.size(), 4u);
  const auto reads = all.begin();
  EXPECT_EQ(reads->first, 0u);
  EXPECT_TRUE(reads->second.reads && !reads->second.writes && !reads->second.takes_address);
  const auto pair = std::next(reads);
  EXPECT_EQ(pair->first, 0u);
  EXPECT_TRUE(pair->second.writes && !pair->second.reads && pair->second.is_wide);
  EXPECT_TRUE(all.find(1)->second.writes && !all.find(1)->second.is_wide);
  EXPECT_TRUE(all.find(2)->second.reads);
}

TEST(AArch64Code, TakesAnAddressThatItDoesNotAccess) {
  const auto all = uses(code_taken, code_calls);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all.begin()->first, 0u);
  EXPECT_TRUE(all.begin()->second.takes_address);
}

TEST(AArch64Code, HasCallsAndTheNumbersThatAreSetBefore) {
  const std::size_t call = index_of(code_calls);
  std::size_t calls = 0;
  for (const auto& [at, target] : found())
    calls += target == address(code_stub) && is_branch(code_begin + at);
  EXPECT_EQ(calls, 1u);
  EXPECT_EQ(set_before(code_begin, call, Argument::kFirst), 98);
  EXPECT_EQ(set_before(code_begin, call, Argument::kThird), 128);
  EXPECT_EQ(where_true_goes(code_begin, size(), call + 4), index_of(code_accesses));
  EXPECT_TRUE(is_jump_back(code_begin, size(), call + 8));
  EXPECT_FALSE(is_jump_back(code_begin, size(), call));
}

TEST(AArch64Code, HasStubsThatBeginWithALandingPlace) {
  std::vector<std::size_t> stubs;
  for (const auto& [at, target] : found()) {
    if (at > index_of(code_stub) && target == address(code_words)) stubs.push_back(at);
  }
  ASSERT_EQ(stubs.size(), 1u) << "the load, and not the addition behind it";
  EXPECT_TRUE(is_jump_through_slot(code_begin + stubs[0]));
  EXPECT_EQ(stub_begin(code_begin, stubs[0]), index_of(code_stub));
}

TEST(AArch64Code, MakesSystemCallsByTheirNumbers) {
  std::vector<int> numbers;
  for_each_system_call(code_begin, size(), [&](int number) { numbers.push_back(number); });
  EXPECT_EQ(numbers, std::vector<int>{64});
}

}  // namespace
}  // namespace aiofiber::runtime::arch
