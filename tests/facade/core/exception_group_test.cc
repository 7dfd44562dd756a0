// SPDX-License-Identifier: Apache-2.0
//
// ExceptionGroups that are nested deeper than any stack holds: their end, and their texts.
// Labels: slow
#include "aiofiber/exception_group.h"

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/exceptions.h"

namespace aiofiber {
namespace {

std::exception_ptr groups_around(std::exception_ptr exception, int levels) {
  for (int i = 0; i < levels; ++i) exception = make_exception_group("group", {exception});
  return exception;
}
std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

struct Witness {
  std::shared_ptr<int> alive;
};

TEST(ExceptionGroup, IsDestroyedAtAnyDepth) {
  const auto witness = std::make_shared<int>(0);
  auto outermost = groups_around(std::make_exception_ptr(Witness{witness}), 100'000);
  EXPECT_EQ(witness.use_count(), 2);
  outermost = nullptr;
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(ExceptionGroup, ShowsTenLevelsAsPythonsTracebacksDo) {
  const auto error = std::make_exception_ptr(std::runtime_error("innermost"));
  const std::string all = format_exception(groups_around(error, 10));
  EXPECT_EQ(count(all, "ExceptionGroup: group (1 sub-exception)"), 10u);
  EXPECT_EQ(count(all, "innermost"), 1u);

  const std::string text = format_exception(groups_around(error, 100'000));
  EXPECT_EQ(count(text, "ExceptionGroup: group (1 sub-exception)"), 10u);
  EXPECT_TRUE(text.ends_with("\n  | ... (max_group_depth is 10)")) << text;
}

TEST(ExceptionGroup, OfManyLevelsHasAShortRepr) {
  const std::string text = repr(groups_around(std::make_exception_ptr(std::runtime_error("x")), 100'000));
  EXPECT_EQ(count(text, "ExceptionGroup('group', ["), 100u);
  EXPECT_EQ(count(text, "[...]"), 1u);
}

}  // namespace
}  // namespace aiofiber
