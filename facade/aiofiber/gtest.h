// SPDX-License-Identifier: Apache-2.0
//
// For tests with GoogleTest: a listener that fails a test which leaves something behind, and explore() with
// EXPECT_EQ and its kind in the scenario. Call keep_books() in main(), between testing::InitGoogleTest() and
// RUN_ALL_TESTS().
//
// Who includes this header links GoogleTest. Nothing else of aiofiber needs it.
#pragma once

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "aiofiber/books.h"
#include "aiofiber/explore.h"

namespace aiofiber::testing {

// Fails each test after which there is more than before it: fibers, loops, futures, timers, descriptors,
// threads, stacks (Books). It also gives the name of the test to the line that repeats a failure of
// explore(). What a fixture keeps for its whole suite is counted before the first test. Threads:
// GoogleTest's.
class BooksListener : public ::testing::EmptyTestEventListener {
 public:
  // `loop`: one that lives longer than a test, or null.
  explicit BooksListener(EventLoop* loop = nullptr) noexcept : loop_(loop) {}

  // GoogleTest calls it before each test: counts.
  void OnTestStart(const ::testing::TestInfo& test) override {
    set_repro_arguments(std::string("--gtest_filter=") + test.test_suite_name() + "." + test.name());
    before_ = Books::now(loop_);
  }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    // A test that has failed may have stopped before it cleaned up.
    if (!test.result()->Passed()) return;
    const std::string added = Books::now(loop_).added_since(before_);
    if (!added.empty()) ADD_FAILURE() << "left behind: " << added;
  }

 private:
  EventLoop* loop_;
  Books before_;
};

// Installs a BooksListener for the rest of the program. Call it once, after InitGoogleTest().
inline void keep_books(EventLoop* loop = nullptr) {
  ::testing::UnitTest::GetInstance()->listeners().Append(new BooksListener(loop));
}

// explore() for a scenario that uses EXPECT_EQ and its kind: a failed expectation fails the schedule, and is
// part of its report.
inline Exploration explore_expectations(const std::function<void()>& scenario,
                                        const ExploreOptions& options = {}) {
  return explore(
      [&scenario] {
        ::testing::TestPartResultArray results;
        {
          const ::testing::ScopedFakeTestPartResultReporter reporter(
              ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
          scenario();
        }
        for (int i = 0; i < results.size(); ++i) {
          if (results.GetTestPartResult(i).failed())
            throw std::runtime_error(results.GetTestPartResult(i).message());
        }
      },
      options);
}

}  // namespace aiofiber::testing
