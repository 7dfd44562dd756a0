// SPDX-License-Identifier: Apache-2.0
//
// Finds and reads glibc's tables of FILE operations, but does not replace them.
#include "hooks/glibc/stdio_tables.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cwchar>

namespace aiofiber::hooks {
namespace {

TEST(StdioTables, AreFoundAndHoldWhatLibcExports) {
  StdioTables tables;
  const char* const refusal = tables.find();
  ASSERT_EQ(refusal, nullptr) << refusal;
  EXPECT_GE(tables.count(), 4u);  // of narrow and wide FILEs, plain and mapped
  EXPECT_LE(tables.count(), kMostStdioTables);
  for (unsigned table = 0; table < tables.count(); ++table) {
    EXPECT_EQ(tables.get(table, static_cast<unsigned>(StdioSlot::kRead)),
              ::dlsym(RTLD_DEFAULT, "_IO_file_read"));
    EXPECT_EQ(tables.get(table, static_cast<unsigned>(StdioSlot::kWrite)),
              ::dlsym(RTLD_DEFAULT, "_IO_file_write"));
  }
}

TEST(StdioTables, AreWhatFilesPointTo) {
  StdioTables tables;
  ASSERT_EQ(tables.find(), nullptr);
  std::FILE* const file = std::fopen("/dev/null", "r+");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(table_of(file), tables.of_plain_files());
  EXPECT_EQ(wide_pointers(file), nullptr);
  ASSERT_GT(std::fwide(file, 1), 0);
  EXPECT_NE(table_of(file), tables.of_plain_files());
  const WidePointers* const wide = wide_pointers(file);
  ASSERT_NE(wide, nullptr);
  ASSERT_NE(std::fputwc(L'x', file), WEOF);
  EXPECT_EQ(static_cast<const wchar_t*>(wide->write_ptr) - static_cast<const wchar_t*>(wide->write_base), 1);
  std::fclose(file);
}

}  // namespace
}  // namespace aiofiber::hooks
