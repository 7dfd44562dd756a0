// SPDX-License-Identifier: Apache-2.0
//
// What pages allow is noted as the kernel has it, whichever threads change it at once.
// Labels: threads
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "shared_state/page_access.h"
#include "support/pipe.h"

namespace aiofiber::runtime::shared_state {
namespace {

class PageAccessTest : public testing::Test {
 protected:
  PageAccessTest() {
    void* const memory = ::mmap(nullptr, pages_.size() * kPageBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    for (std::size_t i = 0; i < pages_.size(); ++i)
      pages_[i].memory = static_cast<char*>(memory) + i * kPageBytes;
  }
  ~PageAccessTest() override { ::munmap(pages_[0].memory, pages_.size() * kPageBytes); }

  std::uintptr_t address(std::size_t page) const {
    return reinterpret_cast<std::uintptr_t>(pages_[page].memory);
  }
  // Whether the kernel itself may read the page.
  bool is_readable(std::size_t page) {
    if (::write(pipe_.writer(), pages_[page].memory, 1) != 1) {
      EXPECT_EQ(errno, EFAULT);
      return false;
    }
    static_cast<void>(pipe_.take());
    return true;
  }

  std::array<Page, 64> pages_;
  PageAccess access_;
  Pipe pipe_;
};

TEST_F(PageAccessTest, ChangesEachPageAsItIsWanted) {
  pages_[0].wanted = pages_[1].wanted = pages_[3].wanted = Access::kNothing;
  access_.set_as_wanted(pages_);
  EXPECT_FALSE(is_readable(0));
  EXPECT_FALSE(is_readable(1));
  EXPECT_TRUE(is_readable(2));
  EXPECT_FALSE(is_readable(3));
  pages_[1].wanted = Access::kRead;
  access_.set_as_wanted(pages_);
  access_.set(pages_[3], Access::kAll);
  EXPECT_EQ(pages_[0].now, Access::kNothing);
  EXPECT_EQ(pages_[1].now, Access::kRead);
  EXPECT_EQ(pages_[2].now, Access::kAll);
  EXPECT_EQ(pages_[3].now, Access::kAll);
  EXPECT_FALSE(is_readable(0));
  EXPECT_TRUE(is_readable(1));
  EXPECT_TRUE(is_readable(3));
}

TEST_F(PageAccessTest, TellsWhyAnAccessFaults) {
  access_.set(pages_[0], Access::kNothing);
  EXPECT_EQ(access_.cause_of_fault(pages_[0], address(0)), PageAccess::Fault::kClosed);
  access_.set(pages_[0], Access::kAll);
  // As for a thread that ran into the page before.
  EXPECT_EQ(access_.cause_of_fault(pages_[0], address(0)), PageAccess::Fault::kRepeat);
  // Nobody has changed anything since, so repeating it does not help.
  EXPECT_EQ(access_.cause_of_fault(pages_[0], address(0)), PageAccess::Fault::kNotByUs);
  EXPECT_EQ(access_.cause_of_fault(pages_[0], address(0) + 1), PageAccess::Fault::kRepeat);
  access_.set(pages_[0], Access::kRead);
  access_.set(pages_[0], Access::kAll);
  EXPECT_EQ(access_.cause_of_fault(pages_[0], address(0) + 1), PageAccess::Fault::kRepeat);
}

// It depends on chance: without the lock 12 of 20 runs failed on a busy machine.
TEST_F(PageAccessTest, IsNotedRightlyWhileThreadsRace) {
  constexpr int kRounds = 500;
  std::atomic<int> round{0};
  std::atomic<int> answered{0};
  std::thread other([&] {
    for (int seen = 1; seen <= kRounds; ++seen) {
      while (round.load() < seen) std::this_thread::yield();
      for (Page& page : pages_) access_.set(page, Access::kAll);
      answered.store(seen);
    }
  });
  int wrong = 0;
  for (int number = 1; number <= kRounds; ++number) {
    round.store(number);
    for (Page& page : pages_) access_.set(page, Access::kNothing);
    while (answered.load() < number) std::this_thread::yield();
    for (std::size_t i = 0; i < pages_.size(); ++i)
      wrong += is_readable(i) != (pages_[i].now == Access::kAll);
    for (Page& page : pages_) access_.set(page, Access::kAll);
  }
  other.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace aiofiber::runtime::shared_state
