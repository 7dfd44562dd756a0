// SPDX-License-Identifier: Apache-2.0
//
// Recursion in a traceback: the lines that are shown, and the text for the others.
#include "inspect/fold_repeats.h"

#include <gtest/gtest.h>

#include <string>

namespace aiofiber::runtime {
namespace {

// Each letter is a line.
std::string fold(const std::string& lines) {
  std::string out;
  fold_repeats(
      lines.size(), [&](std::size_t i, std::size_t k) { return lines[i] == lines[k]; },
      [&](std::size_t i) { out += lines[i]; },
      [&](std::size_t count, std::size_t times) {
        out += "(" + std::to_string(count) + "x" + std::to_string(times) + ")";
      });
  return out;
}
std::string repeat(const std::string& text, int times) {
  std::string out;
  while (times-- > 0) out += text;
  return out;
}

TEST(FoldRepeats, ShowsThreeOfALine) {
  EXPECT_EQ(fold(""), "");
  EXPECT_EQ(fold("mabc"), "mabc");
  EXPECT_EQ(fold("maaab"), "maaab");
  EXPECT_EQ(fold("maaaab"), "maaa(1x1)b");
  EXPECT_EQ(fold("m" + repeat("a", 100) + "b" + repeat("c", 5)), "maaa(1x97)bccc(1x2)");
}

TEST(FoldRepeats, ShowsThreeOfFunctionsThatCallEachOtherInTurn) {
  EXPECT_EQ(fold("mababab"), "mababab");
  EXPECT_EQ(fold("m" + repeat("ab", 400) + "a"), "mababab(2x397)a");
  EXPECT_EQ(fold(repeat("abcdefgh", 5)), repeat("abcdefgh", 3) + "(8x2)");
  EXPECT_EQ(fold(repeat("aab", 6)), "aabaabaab(3x3)");
  EXPECT_EQ(fold(repeat("abcdefghi", 6)), repeat("abcdefghi", 6))
      << "so many functions are no recursion that a reader would see";
}

TEST(FoldRepeats, IsSaidInASentence) {
  EXPECT_EQ(repeats_text(1, 1), "[Previous line repeated 1 more time]");
  EXPECT_EQ(repeats_text(1, 7), "[Previous line repeated 7 more times]");
  EXPECT_EQ(repeats_text(2, 7), "[Previous 2 lines repeated 7 more times]");
}

}  // namespace
}  // namespace aiofiber::runtime
