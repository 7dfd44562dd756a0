// SPDX-License-Identifier: Apache-2.0
//
// Untrusted text: the part of it that reaches a terminal and JSON.
#include "inspect/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace aiofiber::runtime {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

TEST(Utf8, TellsTheLengthOfWellFormedCharacters) {
  EXPECT_EQ(utf8_length("a"), 1u);
  EXPECT_EQ(utf8_length("\xc3\xa9x"), 2u);
  EXPECT_EQ(utf8_length("\xe2\x82\xac"), 3u);
  EXPECT_EQ(utf8_length("\xf0\x9f\x98\x80"), 4u);
  EXPECT_EQ(utf8_length(""), 0u);
  for (const char* broken :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5", "\xff", "\xc3", "\xe2\x82", "\xc3("}) {
    EXPECT_EQ(utf8_length(broken), 0u) << json(broken);
  }
}

TEST(Utf8, CutsNoCharacter) {
  EXPECT_EQ(cut_utf8("na\xc3\xafve", 3), "na");
  EXPECT_EQ(cut_utf8("na\xc3\xafve", 4), "na\xc3\xaf");
  EXPECT_EQ(cut_utf8("\xf0\x9f\x98\x80", 3), "");
  EXPECT_EQ(cut_utf8("abc", 3), "abc");
  EXPECT_EQ(cut_utf8("abcd", 3), "abc");
  EXPECT_EQ(cut_utf8("\xff\xff\xff\xff\xff\xff", 5), "\xff\xff\xff\xff\xff");
  EXPECT_EQ(cut_utf8("", 0), "");
}

TEST(Utf8, IsPrintedWithoutWhatActsOnTheTerminal) {
  EXPECT_EQ(printable("a\x1b[31m\x7f\n\t"), "a?[31m???");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m \x9b"),
            "?31m ?");  // CSI as one character, and as one byte
  EXPECT_EQ(printable("\xe2\x80\xae \xe2\x81\xa6 \xd8\x9c \xe2\x80\x8f"), "? ? ? ?");  // marks of direction
  EXPECT_EQ(printable("\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8\xf3\xa0\x81\x81"),
            "????");  // not seen, or a new line
  EXPECT_EQ(printable("K\xc3\xbc"
                      "che \xf0\x9f\x98\x80"),
            "K\xc3\xbc"
            "che \xf0\x9f\x98\x80");
  EXPECT_EQ(printable("\xc3(\xff"), "?(?");
  EXPECT_EQ(printable(""), "");
}

TEST(Utf8, IsValidJson) {
  EXPECT_EQ(json("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(json("\x1b\n"), R"("\u001b\u000a")");
  EXPECT_EQ(json("\xc2\x9b\xe2\x80\xae"), R"("\u009b\u202e")");
  EXPECT_EQ(json("\xf3\xa0\x81\x81"), R"("\udb40\udc41")");  // a pair of surrogates
  EXPECT_EQ(json("\xff\xc3"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json("\xc3\xa9"), "\"\xc3\xa9\"");
}

}  // namespace
}  // namespace aiofiber::runtime
