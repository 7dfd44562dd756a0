// SPDX-License-Identifier: Apache-2.0
//
// Places in the source as compilers without std::source_location note them. Such a compiler's coroutines are
// in tests/examples (`..._by_clang`); this calls the table itself, with every compiler.
// Labels: threads
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <thread>

#include "aiofiber/coro_chain.h"

namespace aiofiber::detail {
namespace {

// The table is the process's, so the tests use different names.
const char* file_of(const aiofiber_place* place) { return reinterpret_cast<const char*>(place->file); }

TEST(KeptPlace, IsTheSameForTheSamePlace) {
  static constexpr char kFile[] = "same.cc", kFunction[] = "f";
  const aiofiber_place* const first = kept_place(kFile, kFunction, 1);
  EXPECT_EQ(first, kept_place(kFile, kFunction, 1));
  EXPECT_NE(first, kept_place(kFile, kFunction, 2));
  EXPECT_STREQ(file_of(first), kFile);
  EXPECT_EQ(first->line, 1u);
}

TEST(KeptPlace, IsRightWithSeveralThreads) {
  static constexpr char kFile[] = "threads.cc", kFunction[] = "f";
  std::array<std::thread, 4> threads;
  for (std::thread& thread : threads) {
    thread = std::thread([] {
      for (unsigned line = 1; line <= 200; ++line) {
        const aiofiber_place* const place = kept_place(kFile, kFunction, line);
        ASSERT_EQ(place->line, line);
        ASSERT_EQ(file_of(place), kFile);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Last: it fills the table.
TEST(KeptPlace, SaysSoWhenTheTableIsFull) {
  static constexpr char kFile[] = "many.cc", kFunction[] = "f";
  for (unsigned line = 1; line <= 5000; ++line) kept_place(kFile, kFunction, line);
  const aiofiber_place* const other = kept_place(kFile, kFunction, 5001);
  EXPECT_STREQ(file_of(other), "(more than 4096 places)");
  EXPECT_EQ(other->line, 0u);
  EXPECT_EQ(kept_place(kFile, kFunction, 1)->line, 1u) << "what it holds is still found";
}

}  // namespace
}  // namespace aiofiber::detail
