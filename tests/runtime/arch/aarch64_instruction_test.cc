// SPDX-License-Identifier: Apache-2.0
//
// The fields of AArch64's instructions, on any processor. The codes are those of GNU's assembler.
//
// Labels: long
#include <gtest/gtest.h>

#include <cstdint>

#include "arch/aarch64/instruction.h"

namespace aiofiber::runtime::arch {
namespace {

TEST(AArch64Instruction, KnowsBranchesAndTheirDistances) {
  EXPECT_TRUE((Instruction{0x97ffffff}.is_call()));  // bl .-4
  EXPECT_EQ((Instruction{0x97ffffff}.branch_distance()), -4);
  EXPECT_TRUE((Instruction{0x14000001}.is_jump()));            // b .+4
  EXPECT_EQ((Instruction{0x540000c0}.branch_distance()), 24);  // b.eq .+24
  EXPECT_TRUE((Instruction{0xb4000040}.is_compare_branch()));  // cbz x0, .+8
  EXPECT_EQ((Instruction{0xb4000040}.branch_distance()), 8);
  EXPECT_EQ((Instruction{0x3607ffe0}.branch_distance()), -4);   // tbz w0, 0, .-4
  EXPECT_TRUE((Instruction{0xd61f0220}.is_jump_by(17)));        // br x17
  EXPECT_TRUE((Instruction{0xd63f0200}.is_call_by(16)));        // blr x16
  EXPECT_TRUE((Instruction{0xd65f03c0}.is_indirect_branch()));  // ret
  EXPECT_FALSE((Instruction{0xd503201f}.is_direct_branch()));   // nop
  EXPECT_TRUE((Instruction{0xd503245f}.is_bti()));              // bti c
}

TEST(AArch64Instruction, KnowsAddresses) {
  constexpr Instruction page{0x90000110};  // adrp x16, .+0x20000
  EXPECT_TRUE(page.is_page_address());
  EXPECT_EQ(page.destination(), 16u);
  EXPECT_EQ(page.page_address(0x4f0), 0x20000u);
  EXPECT_EQ((Instruction{0xf00000e0}.page_address(0x524)), 0x1f000u);  // adrp x0, 0x1f000
  EXPECT_TRUE((Instruction{0x913fe210}.is_add_of_number()));           // add x16, x16, 0xff8
  EXPECT_EQ((Instruction{0x913fe210}.added_number()), 0xff8u);
  EXPECT_EQ((Instruction{0x10000061}.address_distance()), 12);  // adr x1, .+12
}

TEST(AArch64Instruction, KnowsWhatIsLoadedAndStored) {
  constexpr Instruction load{0xf947fe11};  // ldr x17, [x16, 4088]
  EXPECT_TRUE(load.is_load_of_word() && load.is_load_or_store() && load.loads());
  EXPECT_EQ(load.load_offset(), 4088u);
  EXPECT_EQ(load.access_offset(), 4088);
  EXPECT_TRUE(load.changes(17));
  EXPECT_FALSE(load.changes(16));
  constexpr Instruction store{0xb9000401};  // str w1, [x0, 4]
  EXPECT_FALSE(store.loads());
  EXPECT_EQ(store.access_offset(), 4);
  EXPECT_FALSE(store.changes(1));
  constexpr Instruction vector{0x3d800020};  // str q0, [x1]
  EXPECT_FALSE(vector.loads());
  EXPECT_EQ(vector.access_bytes(), 16u);
  EXPECT_TRUE((Instruction{0x3dc00020}.loads()));  // ldr q0, [x1]
  constexpr Instruction pair{0xa9410fe2};          // ldp x2, x3, [sp, 16]
  EXPECT_TRUE(pair.is_pair() && pair.loads() && pair.changes(2) && pair.changes(3));
  EXPECT_EQ(pair.access_offset(), 16);
  EXPECT_TRUE((Instruction{0xa9bf7bfd}.changes_base()));     // stp x29, x30, [sp, -16]!
  EXPECT_EQ((Instruction{0xf85f8041}.access_offset()), -8);  // ldur x1, [x2, -8]
  constexpr Instruction add{0xb8e30041};                     // ldaddal w3, w1, [x2]
  EXPECT_TRUE(add.is_atomic() && add.changes(1));
  constexpr Instruction swap{0x88e0fc41};  // casal w0, w1, [x2]
  EXPECT_TRUE(swap.is_compare_and_swap() && swap.changes(0) && !swap.changes(1));
}

TEST(AArch64Instruction, KnowsNumbersThatAreSet) {
  std::uint32_t number = 1;
  EXPECT_TRUE((Instruction{0xd2800c48}.sets_to_number(8, number)));  // mov x8, 98
  EXPECT_EQ(number, 98u);
  EXPECT_FALSE((Instruction{0xd2800c48}.sets_to_number(7, number)));
  EXPECT_TRUE((Instruction{0x2a1f03e2}.sets_to_number(2, number)));  // mov w2, wzr
  EXPECT_EQ(number, 0u);
  EXPECT_FALSE((Instruction{0x2a0103e2}.sets_to_number(2, number)));  // mov w2, w1
  EXPECT_TRUE((Instruction{0xd4000001}.is_system_call()));            // svc 0
}

}  // namespace
}  // namespace aiofiber::runtime::arch
