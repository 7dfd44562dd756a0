// SPDX-License-Identifier: Apache-2.0
//
// The pool of stacks: sizes, guards of both kinds, reuse, and errors of the kernel.
//
// The test probes a guard by a read(2) into it: the kernel returns EFAULT where a store would be a SIGSEGV.
#include <aiofiber/runtime/arch/arch.h>
#include <aiofiber/runtime/engine/stack.h>
#include <aiofiber/runtime/engine/syscall.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
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

constexpr std::size_t kSmallest = std::max(kMinStackBytes, arch::kLargestPageBytes);

TEST(StackSizes, AreRoundedUpToPowersOfTwo) {
  const auto rounded = [](std::size_t bytes) { return StackPool::class_bytes(StackPool::size_class(bytes)); };
  EXPECT_EQ(rounded(0), kDefaultStackBytes);
  EXPECT_EQ(rounded(1), kSmallest);
  EXPECT_EQ(rounded(kMinStackBytes), kSmallest);
  EXPECT_EQ(rounded(kSmallest + 1), 2 * kSmallest);
  EXPECT_EQ(rounded(kDefaultStackBytes), kDefaultStackBytes);
  EXPECT_EQ(rounded(std::size_t{1} << 20), std::size_t{1} << 20);
  EXPECT_EQ(rounded(kMaxStackBytes - 1), kMaxStackBytes);
  EXPECT_EQ(rounded(kMaxStackBytes), kMaxStackBytes);
  EXPECT_THROW(StackPool::size_class(kMaxStackBytes + 1), std::length_error);
}

// The whole guard of the pool, and nothing of the stack.
void expect_guarded(const StackPool& pool, const Stack& stack) {
  EXPECT_FALSE(writable(stack.low - pool.guard_bytes()));
  EXPECT_FALSE(writable(stack.low - 1));
  EXPECT_TRUE(writable(stack.low));
  EXPECT_TRUE(writable(stack.high - 1));
}

TEST(StackGuard, IsARegionOf64KiBBelowAStackOfTheFullSize) {
  StackPool pool;
  EXPECT_EQ(pool.guard_bytes(), std::size_t{64} * 1024);
  for (const std::size_t bytes : {kSmallest, kDefaultStackBytes, std::size_t{1} << 20}) {
    const Stack stack = pool.acquire(StackPool::size_class(bytes));
    EXPECT_EQ(stack.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(stack.high) % 64, 0u);
    expect_guarded(pool, stack);
    pool.release(stack, 0);
  }
}

// For the time of a test.
class GuardBytes {
 public:
  explicit GuardBytes(std::size_t bytes) { StackPool::set_default_guard_bytes(bytes); }
  ~GuardBytes() { StackPool::set_default_guard_bytes(kMinGuardBytes); }
  GuardBytes(const GuardBytes&) = delete;
  GuardBytes& operator=(const GuardBytes&) = delete;
};

TEST(StackGuard, IsAsLargeAsItWasSetToForThePoolsMadeAfterwards) {
  StackPool before;
  const GuardBytes larger(std::size_t{1} << 20);
  StackPool after;
  EXPECT_EQ(before.guard_bytes(), kMinGuardBytes);
  EXPECT_EQ(after.guard_bytes(), std::size_t{1} << 20);
  const Stack stack = after.acquire(StackPool::size_class(0));
  expect_guarded(after, stack);
  after.release(stack, 0);
}

TEST(StackGuard, IsRoundedUpToPagesAndRefusedOutOfItsRange) {
  const GuardBytes odd(kMinGuardBytes + 1);
  EXPECT_EQ(StackPool::default_guard_bytes(), kMinGuardBytes + sys::page_bytes());
  for (const std::size_t wrong :
       {std::size_t{0}, std::size_t{4096}, kMinGuardBytes - 1, kMaxGuardBytes + 1, SIZE_MAX}) {
    EXPECT_THROW(StackPool::set_default_guard_bytes(wrong), std::length_error) << wrong;
  }
  EXPECT_EQ(StackPool::default_guard_bytes(), kMinGuardBytes + sys::page_bytes());
}

TEST(StackPool, KnowsItsOwnSlots) {
  StackPool pool;
  const Stack stack = pool.acquire(StackPool::size_class(0));
  const auto low = reinterpret_cast<std::uintptr_t>(stack.low);
  EXPECT_TRUE(pool.owns(low));
  EXPECT_TRUE(pool.owns(low - pool.guard_bytes()));
  EXPECT_TRUE(pool.owns(low + stack.bytes()));  // the guard of the next one
  EXPECT_FALSE(pool.owns(reinterpret_cast<std::uintptr_t>(&pool)));
  EXPECT_FALSE(pool.owns(0));
  pool.release(stack, 0);
}

bool kernel_has_guards() {
  constexpr int kGuardInstall = 102;
  const std::size_t bytes = sys::page_bytes();
  void* const page = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool has = ::madvise(page, bytes, kGuardInstall) == 0;
  ::munmap(page, bytes);
  return has;
}

TEST(StackGuard, IsByMprotectForTheFirstStacksAndByTheKernelsGuardsForTheOthers) {
  const MprotectGuards two(2);
  StackPool pool;
  Faults faults([](const std::string&) { return 0; });
  std::vector<Stack> stacks;
  for (int i = 0; i < 4; ++i) stacks.push_back(pool.acquire(StackPool::size_class(0)));
  EXPECT_EQ(faults.calls.count("mprotect"), kernel_has_guards() ? 2u : 4u);
  for (const Stack& stack : stacks) expect_guarded(pool, stack);
  for (const Stack& stack : stacks) pool.release(stack, 0);
}

TEST(StackGuard, IsByTheKernelsGuardsWhenMappingsAreShort) {
  if (!kernel_has_guards()) GTEST_SKIP() << "this kernel has no guards of its own";
  StackPool pool;
  const Stack first = pool.acquire(StackPool::size_class(0));
  Faults faults([](const std::string& call) { return call == "mprotect" ? ENOMEM : 0; });
  const Stack second = pool.acquire(StackPool::size_class(0));
  expect_guarded(pool, second);
  pool.release(second, 0);
  pool.release(first, 0);
}

TEST(StackPool, GivesBackTheLastOneFirst) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(0);
  const Stack a = pool.acquire(size);
  const Stack b = pool.acquire(size);
  EXPECT_NE(a.low, b.low);
  EXPECT_EQ(pool.stacks_in_use(), 2u);
  pool.release(a, 0);
  pool.release(b, 0);
  EXPECT_EQ(pool.stacks_in_use(), 0u);
  EXPECT_EQ(pool.stacks_warm(), 2u);
  const Stack again = pool.acquire(size);
  EXPECT_EQ(again.low, b.low);
  pool.release(again, 0);
}

TEST(StackPool, KeepsClassesApart) {
  StackPool pool;
  const Stack small = pool.acquire(StackPool::size_class(kMinStackBytes));
  pool.release(small, 0);
  const Stack large = pool.acquire(StackPool::size_class(std::size_t{1} << 20));
  EXPECT_EQ(large.bytes(), std::size_t{1} << 20);
  EXPECT_NE(large.low, small.low);
  pool.release(large, 0);
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
  for (const Stack& stack : stacks) pool.release(stack, 0);
}

// ---- idle stacks ------------------------------------------------------------------------------------------

constexpr Nanoseconds kSecond = 1'000'000'000;

// `count` stacks, each of whose lowest page was used.
std::vector<Stack> acquire_used(StackPool& pool, std::uint8_t size, std::size_t count) {
  std::vector<Stack> stacks;
  for (std::size_t i = 0; i < count; ++i) {
    stacks.push_back(pool.acquire(size));
    *stacks.back().low = 'x';
  }
  return stacks;
}
void release_all(StackPool& pool, const std::vector<Stack>& stacks, Nanoseconds now) {
  for (const Stack& stack : stacks) pool.release(stack, now);
}
// How many have lost their pages.
std::size_t count_empty(const std::vector<Stack>& stacks) {
  return static_cast<std::size_t>(
      std::count_if(stacks.begin(), stacks.end(), [](const Stack& stack) { return *stack.low == 0; }));
}
// Until nothing is left to do at that time; how many pieces it took.
std::size_t cool_all(StackPool& pool, Nanoseconds now) {
  std::size_t pieces = 0;
  for (; pool.next_cooling() <= now; ++pieces) pool.cool(now);
  return pieces;
}

TEST(IdleStacks, KeepTheirPagesFromWaveToWave) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(0);
  release_all(pool, acquire_used(pool, size, 3000), 0);
  Faults faults([](const std::string&) { return 0; });
  for (Nanoseconds now = 0; now < 100 * kSecond; now += 9 * kSecond) {
    pool.cool(now);
    std::vector<Stack> wave;
    for (int i = 0; i < 3000; ++i) wave.push_back(pool.acquire(size));
    EXPECT_EQ(count_empty(wave), 0u);
    release_all(pool, wave, now);
  }
  EXPECT_EQ(faults.calls.size(), 0u);
}

TEST(IdleStacks, GiveTheirMemoryBackAfterTheIdleTimeAndStayGoodStacks) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(0);
  std::vector<Stack> stacks = acquire_used(pool, size, 1000);
  release_all(pool, stacks, 5 * kSecond);
  EXPECT_EQ(pool.next_cooling(), 15 * kSecond);
  pool.cool(15 * kSecond - 1);
  EXPECT_EQ(pool.stacks_warm(), 1000u);
  cool_all(pool, 15 * kSecond);
  EXPECT_EQ(pool.next_cooling(), kForever);
  EXPECT_EQ(pool.stacks_warm(), 0u);
  const std::size_t reserved = pool.reserved_bytes();
  for (Stack& stack : stacks) stack = pool.acquire(size);
  EXPECT_EQ(count_empty(stacks), 1000u);
  EXPECT_EQ(pool.reserved_bytes(), reserved);
  expect_guarded(pool, stacks.front());
  expect_guarded(pool, stacks.back());
  release_all(pool, stacks, 16 * kSecond);
}

TEST(IdleStacks, GiveBackABoundedPieceInAStep) {
  StackPool pool;
  release_all(pool, acquire_used(pool, StackPool::size_class(0), 1000), 0);
  Faults faults([](const std::string&) { return 0; });
  const Nanoseconds later = 20 * kSecond;
  for (std::size_t left = 1000; left > 0;) {
    faults.calls.clear();
    pool.cool(later);
    EXPECT_LE(left - pool.stacks_warm(), StackPool::kPieceStacks);
    EXPECT_LT(pool.stacks_warm(), left);
    EXPECT_LE(faults.calls.size(), StackPool::kPieceCalls);
    left = pool.stacks_warm();
  }
}

TEST(IdleStacks, GiveNeighboursBackByOneCall) {
  for (const std::size_t mprotect_guards : {std::size_t{0}, std::size_t{1000}}) {
    const MprotectGuards guards(mprotect_guards);
    StackPool pool;
    const std::uint8_t size = StackPool::size_class(kMinStackBytes);
    std::vector<Stack> stacks = acquire_used(pool, size, 32);
    release_all(pool, stacks, 0);
    {
      Faults faults([](const std::string&) { return 0; });
      pool.cool(10 * kSecond);
      EXPECT_EQ(faults.calls.count("madvise"), 1u);
    }
    for (Stack& stack : stacks) stack = pool.acquire(size);
    EXPECT_EQ(count_empty(stacks), 32u);
    for (const Stack& stack : stacks) expect_guarded(pool, stack);
    release_all(pool, stacks, 0);
  }
}

// Every other stack is in use, so no two idle ones are neighbours.
TEST(IdleStacks, LeaveThoseBetweenThemAlone) {
  StackPool pool;
  std::vector<Stack> stacks = acquire_used(pool, StackPool::size_class(0), 100);
  std::vector<Stack> in_use;
  for (std::size_t i = 0; i < stacks.size(); ++i) {
    if (i % 2 == 0) {
      pool.release(stacks[i], 0);
    } else {
      in_use.push_back(stacks[i]);
    }
  }
  EXPECT_EQ(cool_all(pool, 10 * kSecond), 7u);  // 50 calls, 8 a piece
  EXPECT_EQ(count_empty(in_use), 0u);
  EXPECT_EQ(pool.stacks_warm(), 0u);
  release_all(pool, in_use, 0);
}

TEST(IdleStacks, ThatAreUsedNowAndThenStayWarm) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(0);
  release_all(pool, acquire_used(pool, size, 100), 0);
  for (Nanoseconds now = 0; now <= 12 * kSecond; now += kSecond) {
    const std::vector<Stack> two{pool.acquire(size), pool.acquire(size)};
    EXPECT_EQ(count_empty(two), 0u);
    release_all(pool, two, now);
    cool_all(pool, now);
  }
  EXPECT_EQ(pool.stacks_warm(), 2u);
}

TEST(IdleStacks, OfDifferentSizesAreAllThoughtOf) {
  StackPool pool;
  release_all(pool, acquire_used(pool, StackPool::size_class(0), 10), 3 * kSecond);
  release_all(pool, acquire_used(pool, StackPool::size_class(std::size_t{1} << 20), 10), kSecond);
  EXPECT_EQ(pool.next_cooling(), 11 * kSecond);
  cool_all(pool, 11 * kSecond);
  EXPECT_EQ(pool.stacks_warm(), 10u);
  EXPECT_EQ(pool.next_cooling(), 13 * kSecond);
  cool_all(pool, 13 * kSecond);
  EXPECT_EQ(pool.stacks_warm(), 0u);
}

TEST(IdleStacks, LargerThanAPieceAreGivenBackInParts) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(4 * StackPool::kPieceBytes);
  Stack stack = pool.acquire(size);
  *stack.low = *(stack.high - 1) = 'x';
  pool.release(stack, 0);
  pool.cool(10 * kSecond);
  EXPECT_LE(pool.next_cooling(), 10 * kSecond);
  EXPECT_EQ(cool_all(pool, 10 * kSecond), 3u);
  stack = pool.acquire(size);
  EXPECT_EQ(*stack.low, 0);
  EXPECT_EQ(*(stack.high - 1), 0);
  pool.release(stack, 0);
}

TEST(IdleStacks, KeepWhatTheirNextUserWritesThoughAPartWasStillToBeGivenBack) {
  StackPool pool;
  const std::uint8_t size = StackPool::size_class(4 * StackPool::kPieceBytes);
  pool.release(pool.acquire(size), 0);
  pool.cool(10 * kSecond);
  const Stack again = pool.acquire(size);
  *(again.high - 1) = 'y';
  cool_all(pool, 11 * kSecond);
  EXPECT_EQ(*(again.high - 1), 'y');
  pool.release(again, 11 * kSecond);
}

// For the time of a test.
class IdleTime {
 public:
  explicit IdleTime(Nanoseconds time) { StackPool::set_default_idle_time(time); }
  ~IdleTime() { StackPool::set_default_idle_time(kDefaultStackIdleTime); }
  IdleTime(const IdleTime&) = delete;
  IdleTime& operator=(const IdleTime&) = delete;
};

TEST(IdleStacks, StayForAsLongAsWasSet) {
  for (const Nanoseconds time : {Nanoseconds{0}, Nanoseconds{1}, 60 * kSecond, kForever}) {
    const IdleTime set(time);
    StackPool pool;
    pool.release(pool.acquire(StackPool::size_class(0)), kSecond);
    EXPECT_EQ(pool.next_cooling(), time == kForever ? kForever : kSecond + time);
    pool.cool(kForever - 1);
    EXPECT_EQ(pool.stacks_warm(), time == kForever ? 1u : 0u);
  }
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
  expect_guarded(pool, second);
  pool.release(second, 0);
  pool.release(first, 0);
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
  pool.release(stack, 0);
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
  pool.release(stack, 0);
}

}  // namespace
}  // namespace aiofiber::runtime
