// SPDX-License-Identifier: Apache-2.0
//
// The pool of stacks: sizes, guards of both kinds, reuse, and what happens when the kernel says no.
//
// A guard is probed by a read(2) into it: the kernel answers EFAULT where a store would be a SIGSEGV.
#include <aiofiber/runtime/stack.h>
#include <aiofiber/runtime/syscall.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace aiofiber::runtime {
namespace {

// Whether a store to the byte would succeed; leaves 0 there if so.
bool writable(char* address) {
  const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  const ssize_t got = ::read(zero, address, 1);
  const int error = errno;
  ::close(zero);
  EXPECT_TRUE(got == 1 || error == EFAULT);
  return got == 1;
}

class Faults final : public FaultPlan {
 public:
  explicit Faults(std::function<int(const std::string&)> decide) : decide_(std::move(decide)) {
    current_fault_plan = this;
  }
  ~Faults() override { current_fault_plan = nullptr; }
  int fail(const char* call) noexcept override {
    calls.insert(call);
    return decide_(call);
  }
  std::multiset<std::string> calls;

 private:
  std::function<int(const std::string&)> decide_;
};

// For the time of a test: so many guards by mprotect, the others as the kernel has them.
class MprotectGuards {
 public:
  explicit MprotectGuards(std::size_t count) { StackPool::set_mprotect_guards(count); }
  ~MprotectGuards() { StackPool::set_mprotect_guards(kMprotectGuards); }
  MprotectGuards(const MprotectGuards&) = delete;
  MprotectGuards& operator=(const MprotectGuards&) = delete;
};

// A kernel older than 6.13, and one whose mappings are used up.
int without_guard_install(const std::string& call) { return call == "madvise" ? EINVAL : 0; }
int without_mappings(const std::string& call) {
  return call == "mprotect" ? ENOMEM : without_guard_install(call);
}

TEST(StackSizes, AreRoundedUpToPowersOfTwo) {
  const auto rounded = [](std::size_t bytes) { return StackPool::class_bytes(StackPool::size_class(bytes)); };
  EXPECT_EQ(rounded(0), kDefaultStackBytes);
  EXPECT_EQ(rounded(1), kMinStackBytes);
  EXPECT_EQ(rounded(kMinStackBytes), kMinStackBytes);
  EXPECT_EQ(rounded(kMinStackBytes + 1), 2 * kMinStackBytes);
  EXPECT_EQ(rounded(kDefaultStackBytes), kDefaultStackBytes);
  EXPECT_EQ(rounded(std::size_t{1} << 20), std::size_t{1} << 20);
  EXPECT_EQ(rounded(kMaxStackBytes - 1), kMaxStackBytes);
  EXPECT_EQ(rounded(kMaxStackBytes), kMaxStackBytes);
  EXPECT_THROW(StackPool::size_class(kMaxStackBytes + 1), std::length_error);
}

TEST(StackSizes, EachClassLeavesRoomBesideItsGuard) {
  for (std::uint8_t size = 0; StackPool::class_bytes(size) <= kMaxStackBytes; ++size) {
    const std::size_t guard = StackPool::guard_bytes(size);
    EXPECT_GE(guard, kPageBytes);
    EXPECT_EQ(guard % kPageBytes, 0u);
    EXPECT_LE(guard * 8, StackPool::class_bytes(size));
  }
}

TEST(StackGuard, EndsTheStackAtItsLowEnd) {
  StackPool pool;
  const Stack stack = pool.acquire(StackPool::size_class(0));
  const std::size_t guard = StackPool::guard_bytes(stack.size_class);
  EXPECT_EQ(stack.bytes(), kDefaultStackBytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(stack.high) % 64, 0u);
  EXPECT_FALSE(writable(stack.low));
  EXPECT_FALSE(writable(stack.low + guard - 1));
  EXPECT_TRUE(writable(stack.low + guard));
  EXPECT_TRUE(writable(stack.high - 1));
  pool.release(stack);
}

bool kernel_has_guards() {
  constexpr int kGuardInstall = 102;
  void* const page = ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool has = ::madvise(page, kPageBytes, kGuardInstall) == 0;
  ::munmap(page, kPageBytes);
  return has;
}

void expect_guarded(const Stack& stack) {
  const std::size_t guard = StackPool::guard_bytes(stack.size_class);
  EXPECT_FALSE(writable(stack.low));
  EXPECT_FALSE(writable(stack.low + guard - 1));
  EXPECT_TRUE(writable(stack.low + guard));
}

TEST(StackGuard, IsByMprotectForTheFirstStacksAndByTheKernelsGuardsForTheOthers) {
  const MprotectGuards two(2);
  StackPool pool;
  Faults faults([](const std::string&) { return 0; });
  std::vector<Stack> stacks;
  for (int i = 0; i < 4; ++i) stacks.push_back(pool.acquire(StackPool::size_class(0)));
  EXPECT_EQ(faults.calls.count("mprotect"), kernel_has_guards() ? 2u : 4u);
  for (const Stack& stack : stacks) expect_guarded(stack);
  for (const Stack& stack : stacks) pool.release(stack);
}

TEST(StackGuard, IsByTheKernelsGuardsWhenMappingsAreShort) {
  if (!kernel_has_guards()) GTEST_SKIP() << "this kernel has no guards of its own";
  StackPool pool;
  const Stack first = pool.acquire(StackPool::size_class(0));
  Faults faults([](const std::string& call) { return call == "mprotect" ? ENOMEM : 0; });
  const Stack second = pool.acquire(StackPool::size_class(0));
  expect_guarded(second);
  pool.release(second);
  pool.release(first);
}

TEST(StackPool, GivesBackTheLastOneFirst) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(0);
  const Stack a = pool.acquire(size);
  const Stack b = pool.acquire(size);
  EXPECT_NE(a.low, b.low);
  EXPECT_EQ(pool.stacks_in_use(), 2u);
  pool.release(a);
  pool.release(b);
  EXPECT_EQ(pool.stacks_in_use(), 0u);
  EXPECT_EQ(pool.stacks_warm(), 2u);
  const Stack again = pool.acquire(size);
  EXPECT_EQ(again.low, b.low);
  pool.release(again);
}

TEST(StackPool, KeepsClassesApart) {
  StackPool pool;
  const Stack small = pool.acquire(StackPool::size_class(kMinStackBytes));
  pool.release(small);
  const Stack large = pool.acquire(StackPool::size_class(std::size_t{1} << 20));
  EXPECT_EQ(large.bytes(), std::size_t{1} << 20);
  EXPECT_NE(large.low, small.low);
  pool.release(large);
}

TEST(StackPool, StacksNeverOverlap) {
  StackPool pool;
  std::vector<Stack> stacks;
  std::set<std::pair<char*, char*>> ranges;
  for (int i = 0; i < 500; ++i) {
    stacks.push_back(pool.acquire(StackPool::size_class(i % 2 == 0 ? 0 : kMinStackBytes)));
    ranges.emplace(stacks.back().low, stacks.back().high);
  }
  EXPECT_EQ(ranges.size(), stacks.size());
  const char* end = nullptr;
  for (const auto& [low, high] : ranges) {
    EXPECT_GE(low, end);
    end = high;
  }
  for (const Stack& stack : stacks) pool.release(stack);
}

// After a burst the idle stacks give their pages back, and are still good stacks with a guard.
TEST(StackPool, CoolsDownAfterABurst) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(kMinStackBytes);
  const std::size_t guard = StackPool::guard_bytes(size);
  constexpr std::size_t kBurst = 3000;
  std::vector<Stack> stacks;
  for (std::size_t i = 0; i < kBurst; ++i) {
    stacks.push_back(pool.acquire(size));
    stacks.back().low[guard] = 'x';
  }
  for (const Stack& stack : stacks) pool.release(stack);
  for (int i = 0; i < 6000; ++i) pool.release(pool.acquire(size));  // a quiet time: one at a time
  EXPECT_LT(pool.stacks_warm(), 200u);
  const std::size_t reserved = pool.reserved_bytes();
  std::size_t without_pages = 0;
  for (std::size_t i = 0; i < kBurst; ++i) {
    stacks[i] = pool.acquire(size);
    if (stacks[i].low[guard] == 0) ++without_pages;
  }
  EXPECT_GE(without_pages, kBurst - 200);
  EXPECT_EQ(pool.reserved_bytes(), reserved);
  EXPECT_FALSE(writable(stacks.front().low));
  EXPECT_FALSE(writable(stacks.back().low + guard - 1));
  for (const Stack& stack : stacks) pool.release(stack);
}

TEST(StackError, TellsThatAddressSpaceIsShort) {
  StackPool pool;
  Faults faults([](const std::string& call) { return call == "mmap" ? ENOMEM : 0; });
  try {
    static_cast<void>(pool.acquire(StackPool::size_class(0)));
    FAIL() << "there was a stack";
  } catch (const StackError& error) {
    EXPECT_NE(std::string(error.what()).find("ulimit -v"), std::string::npos);
  }
  EXPECT_EQ(pool.stacks_in_use(), 0u);
}

TEST(StackError, TellsThatMappingsAreShortAndGivesNoStackWithoutAGuard) {
  const MprotectGuards restored(kMprotectGuards);
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(0);
  const Stack first = pool.acquire(size);
  {
    Faults faults(without_mappings);
    try {
      static_cast<void>(pool.acquire(size));
      FAIL() << "there was a stack";
    } catch (const StackError& error) {
      EXPECT_NE(std::string(error.what()).find("vm.max_map_count"), std::string::npos);
    }
  }
  EXPECT_EQ(pool.stacks_in_use(), 1u);
  const Stack second = pool.acquire(size);  // the slot that failed is not lost, and has its guard now
  EXPECT_FALSE(writable(second.low));
  pool.release(second);
  pool.release(first);
}

TEST(StackError, IsABadAlloc) {
  StackPool pool;
  Faults faults([](const std::string& call) { return call == "mmap" ? ENOMEM : 0; });
  EXPECT_THROW(static_cast<void>(pool.acquire(StackPool::size_class(0))), std::bad_alloc);
}

TEST(StackError, ExhaustionLastsUntilAStackComesBack) {
  StackPool pool;
  const std::uint8_t large = StackPool::size_class(kMaxStackBytes / 4);
  const Stack stack = pool.acquire(StackPool::size_class(0));
  EXPECT_EQ(pool.exhausted(), nullptr);
  {
    Faults faults([](const std::string& call) { return call == "mmap" ? ENOMEM : 0; });
    EXPECT_THROW(static_cast<void>(pool.acquire(large)), StackError);
  }
  EXPECT_NE(pool.exhausted(), nullptr);
  pool.release(stack);
  EXPECT_EQ(pool.exhausted(), nullptr);
}

// With nothing out that could come back, the next attempt must be allowed.
TEST(StackError, AFailureOfTheFirstStackIsNotForEver) {
  StackPool pool;
  {
    Faults faults([](const std::string& call) { return call == "mmap" ? ENOMEM : 0; });
    EXPECT_THROW(static_cast<void>(pool.acquire(StackPool::size_class(0))), StackError);
  }
  EXPECT_EQ(pool.exhausted(), nullptr);
  const Stack stack = pool.acquire(StackPool::size_class(0));
  EXPECT_TRUE(stack);
  pool.release(stack);
}

}  // namespace
}  // namespace aiofiber::runtime
