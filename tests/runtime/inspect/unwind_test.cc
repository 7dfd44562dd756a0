// SPDX-License-Identifier: Apache-2.0
//
// The unwinder on really suspended contexts. They are made with Boost.Context directly, so no other part of
// the runtime is involved. Each has its own stack between two guard pages; a read outside it is a crash.
// Labels: threads long
#include <aiofiber/runtime/inspect/unwind.h>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <exception>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define AIOFIBER_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AIOFIBER_TEST_ASAN 1
#endif
#endif
#ifdef AIOFIBER_TEST_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace aiofiber::runtime {
namespace {

namespace bc = boost::context::detail;

// ---- A context to look at ---------------------------------------------------------------------------------

// Runs `body` on a stack of its own until it calls suspend(); never leaves the thread.
class Context {
 public:
  explicit Context(void (*body)()) : body_(body) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    mapping_size_ = kStackSize + 2 * page;
    mapping_ =
        static_cast<char*>(mmap(nullptr, mapping_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    low_ = mapping_ + page;
    mprotect(low_, kStackSize, PROT_READ | PROT_WRITE);
    context_ = bc::make_fcontext(low_ + kStackSize, kStackSize, &Context::entry);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
#ifdef AIOFIBER_TEST_ASAN
    __asan_unpoison_memory_region(low_, kStackSize);
#endif
    munmap(mapping_, mapping_size_);
  }

  void resume() {
    Context* outer = std::exchange(current_, this);
    switch_to(context_, low_, kStackSize, this);
    current_ = outer;
  }
  static void suspend() {
    Context* self = current_;
    switch_to(self->caller_, self->caller_low_, self->caller_size_, nullptr);
  }

  bool done() const { return done_; }
  const void* fcontext() const { return context_; }
  StackBounds bounds() const {
    const auto low = reinterpret_cast<std::uintptr_t>(low_);
    return {low, low + kStackSize};
  }
  Registers registers() const { return saved_registers(context_); }
  std::vector<std::uintptr_t> walk(std::size_t limit = 256) const {
    std::vector<std::uintptr_t> frames(limit);
    frames.resize(unwind(registers(), bounds(), frames));
    return frames;
  }

  static constexpr std::size_t kStackSize = 256 * 1024;

 private:
  // Stops here and runs `to`, whose stack is [low, low + size); stores where it stopped when it switches
  // back.
  static void switch_to(bc::fcontext_t& to, [[maybe_unused]] const void* low,
                        [[maybe_unused]] std::size_t size, Context* argument) {
#ifdef AIOFIBER_TEST_ASAN
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, low, size);
#endif
    const bc::transfer_t back = bc::jump_fcontext(to, argument);
#ifdef AIOFIBER_TEST_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
    to = back.fctx;
  }

  static void entry(bc::transfer_t from) {
    asm volatile(AIOFIBER_ARCH_CFI_NO_CALLER);
    auto* self = static_cast<Context*>(from.data);
#ifdef AIOFIBER_TEST_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &self->caller_low_, &self->caller_size_);
#endif
    self->caller_ = from.fctx;
    self->body_();
    self->done_ = true;
    suspend();
    __builtin_unreachable();
  }

  static inline Context* current_ = nullptr;
  void (*body_)();
  char* mapping_ = nullptr;
  char* low_ = nullptr;
  std::size_t mapping_size_ = 0;
  bc::fcontext_t context_ = nullptr;
  bc::fcontext_t caller_ = nullptr;
  const void* caller_low_ = nullptr;
  std::size_t caller_size_ = 0;
  bool done_ = false;
};

// ---- Code with frames of many shapes ----------------------------------------------------------------------

std::vector<std::uintptr_t> g_expected;  // by libgcc's unwinder, from the inside
int g_frames_run;

void barrier() { asm volatile("" ::: "memory"); }

[[gnu::noinline]] void suspend_here() {
  g_expected.clear();
  _Unwind_Backtrace(
      [](_Unwind_Context* context, void*) {
        g_expected.push_back(_Unwind_GetIP(context));
        return _URC_NO_REASON;
      },
      nullptr);
  Context::suspend();
  barrier();
}

// Frame number `Depth` has one of five shapes; all of them call the next.
template <int Depth>
[[gnu::noinline]] int frames(int x) {
  ++g_frames_run;
  int result = 0;
  if constexpr (Depth == 0) {
    suspend_here();
  } else if constexpr (Depth % 5 == 0) {  // a variable amount of stack: a frame pointer
    auto* room = static_cast<char*>(__builtin_alloca(static_cast<std::size_t>(16 + (x & 31))));
    room[0] = static_cast<char>(x);
    asm volatile("" ::"r"(room) : "memory");
    result = frames<Depth - 1>(x + 1) + room[0];
  } else if constexpr (Depth % 5 == 1) {  // both that and an aligned object: the CFA is in memory
    alignas(64) char aligned[64] = {};
    auto* room = static_cast<char*>(__builtin_alloca(static_cast<std::size_t>(16 + (x & 31))));
    room[0] = aligned[x & 63] = static_cast<char>(x);
    asm volatile("" ::"r"(room), "r"(aligned) : "memory");
    result = frames<Depth - 1>(x + 1) + room[0] + aligned[x & 63];
  } else if constexpr (Depth % 5 == 2) {  // a destructor to run when an exception passes
    std::vector<int> values(3, x);
    result = frames<Depth - 1>(values[1] + 1) + values[2];
  } else if constexpr (Depth % 5 == 3) {  // a large frame
    volatile char buffer[1000];
    buffer[x & 63] = static_cast<char>(x);
    result = frames<Depth - 1>(x + 1) + buffer[x & 63];
  } else {  // values in callee-saved registers
    int a = x * 3, b = x ^ 5, c = x + Depth;
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c));
    result = frames<Depth - 1>(x + 1) + a + b + c;
  }
  barrier();
  return result;
}
constexpr int kDepth = 24;
void run_frames() {
  frames<kDepth>(1);
  barrier();
}

const void* function_at(std::uintptr_t return_address) {
  return _Unwind_FindEnclosingFunction(reinterpret_cast<void*>(return_address));
}

TEST(Unwind, FindsTheFramesOfASuspendedContextThatLibgccFindsFromInside) {
  Context context(run_frames);
  context.resume();

  const auto found = context.walk();

  // Inside, the newest frame is the recorder's caller; from outside, it is the switch. Both end with the
  // entry.
  ASSERT_GE(g_expected.size(), std::size_t{kDepth} + 3);
  const auto at = std::find(found.begin(), found.end(), g_expected[1]);
  ASSERT_NE(at, found.end());
  const std::vector<std::uintptr_t> outer(at, found.end());
  const std::vector<std::uintptr_t> expected(
      g_expected.begin() + 1, g_expected.begin() + 1 + static_cast<std::ptrdiff_t>(outer.size()));
  EXPECT_EQ(outer, expected);
  EXPECT_GE(outer.size(), std::size_t{kDepth} + 3);
  context.resume();
  EXPECT_TRUE(context.done());
}

TEST(Unwind, StopsAtAnEntryWithoutReturnAddress) {
  Context context([] {
    Context::suspend();
    barrier();
  });
  context.resume();

  const auto found = context.walk();
  std::array<std::uintptr_t, 64> more{};
  Registers rest = context.registers();
  unwind_onwards(rest, context.bounds(), more);

  EXPECT_GE(found.size(), 2u);
  EXPECT_LE(found.size(), 8u);
  EXPECT_EQ(rest.pc, 0u);
  context.resume();
}

TEST(Unwind, WritesNoMoreThanItIsGivenRoomFor) {
  Context context(run_frames);
  context.resume();
  std::array<std::uintptr_t, 8> out{};
  out.fill(0x5a5a);

  const std::size_t count = unwind(context.registers(), context.bounds(), std::span(out).first(5));

  EXPECT_EQ(count, 5u);
  EXPECT_EQ(out[5], 0x5a5au);
  EXPECT_EQ(unwind(context.registers(), context.bounds(), {}), 0u);
  context.resume();
}

TEST(Unwind, GoesOnWhereItStopped) {
  Context context(run_frames);
  context.resume();
  const auto whole = context.walk();

  std::vector<std::uintptr_t> pieces;
  Registers at = context.registers();
  std::array<std::uintptr_t, 3> piece{};
  while (const std::size_t count = unwind_onwards(at, context.bounds(), piece)) {
    pieces.insert(pieces.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
  }

  EXPECT_EQ(pieces, whole);
  context.resume();
}

TEST(Unwind, KnowsTheRegistersOfAContextThatHasNotRunYet) {
  Context context(run_frames);

  const Registers registers = context.registers();

  EXPECT_GE(registers.sp, context.bounds().low);
  EXPECT_LE(registers.sp, context.bounds().high);
  EXPECT_GE(context.walk().size(), 1u);
}

[[gnu::noinline]] std::vector<std::uintptr_t> walk_from_here() {
  std::vector<std::uintptr_t> frames(64);
  frames.resize(unwind(current_registers(), thread_stack_bounds(), frames));
  return frames;
}

TEST(Unwind, WalksTheRunningStackOfAnyThread) {
  const auto here = walk_from_here();
  std::vector<std::uintptr_t> there;
  std::thread([&] { there = walk_from_here(); }).join();

  ASSERT_GE(here.size(), 3u);
  ASSERT_GE(there.size(), 3u);
  EXPECT_EQ(function_at(here[0]), function_at(there[0]));
  EXPECT_EQ(function_at(here[0]), reinterpret_cast<const void*>(&walk_from_here));
}

TEST(Unwind, GivesOneFrameWhenTheStackPointerIsOutsideTheBounds) {
  Context context(run_frames);
  context.resume();
  std::array<std::uintptr_t, 8> out{};

  const std::size_t count = unwind(context.registers(), StackBounds{4096, 8192}, out);

  EXPECT_EQ(count, 1u);
  context.resume();
}

TEST(Unwind, ForgetsCachedRulesOnRequest) {
  Context context(run_frames);
  context.resume();
  const auto before = context.walk();

  flush_unwind_cache();

  EXPECT_EQ(context.walk(), before);
  context.resume();
}

TEST(Unwind, IsTheSameForAllThreadsAtOnce) {
  Context context(run_frames);
  context.resume();
  const auto expected = context.walk();

  std::vector<std::size_t> wrong(3);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 300; ++round) {
        if (round % 8 == 0) flush_unwind_cache();
        if (context.walk() != expected) ++wrong[i];
      }
    });
  }
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(wrong, std::vector<std::size_t>(3));
  context.resume();
}

// Guard pages on both sides of the stack turn a stray read into a crash.
#if defined(AIOFIBER_TEST_ASAN)
constexpr int kFuzzRounds = 20'000;
#else
constexpr int kFuzzRounds = 300'000;
#endif

__attribute__((no_sanitize("address"))) void poke(std::uintptr_t* word, std::uintptr_t value) {
  *const_cast<volatile std::uintptr_t*>(word) = value;
}
__attribute__((no_sanitize("address"))) std::uintptr_t peek(const std::uintptr_t* word) {
  return *const_cast<const volatile std::uintptr_t*>(word);
}

TEST(Unwind, NeverReadsOutsideTheBoundsOfACorruptedStack) {
  Context context(run_frames);
  context.resume();
  const auto intact = context.walk();
  auto* words = static_cast<std::uintptr_t*>(const_cast<void*>(context.fcontext()));
  const StackBounds bounds = context.bounds();
  const std::size_t size = (bounds.high - reinterpret_cast<std::uintptr_t>(words)) / sizeof *words;
  std::vector<std::uintptr_t> saved(size);
  for (std::size_t i = 0; i < size; ++i) saved[i] = peek(words + i);
  const auto code = reinterpret_cast<std::uintptr_t>(&run_frames);
  std::mt19937_64 random(42);
  int shortened = 0;

  for (int round = 0; round < kFuzzRounds; ++round) {
    std::array<std::size_t, 4> touched{};
    const std::size_t count = random() % touched.size() + 1;
    for (std::size_t i = 0; i < count; ++i) {
      touched[i] = random() % (i == 0 ? std::min<std::size_t>(size, 64) : size);
      std::uintptr_t value = random();
      switch (random() % 4) {
        case 0:
          break;
        case 1:
          value = bounds.low + value % (Context::kStackSize + 64) - 32;
          break;
        case 2:
          value = saved[value % size];
          break;
        default:
          value = code + value % 8192 - 4096;
          break;
      }
      poke(words + touched[i], value);
    }
    const auto frames = context.walk();
    if (frames.size() < intact.size()) ++shortened;
    ASSERT_LT(frames.size(), 256u) << "round " << round;
    throw_would_terminate(context.registers(), bounds);
    for (std::size_t i = 0; i < count; ++i) poke(words + touched[i], saved[touched[i]]);
  }

  EXPECT_GT(shortened, kFuzzRounds / 100);
  EXPECT_EQ(context.walk(), intact);
  context.resume();
  EXPECT_TRUE(context.done());
}

TEST(Unwind, NeverReadsOutsideTheBoundsWithRandomRegisters) {
  Context context(run_frames);
  context.resume();
  const StackBounds bounds = context.bounds();
  const auto intact = context.walk();
  std::mt19937_64 random(7);
  std::array<std::uintptr_t, 64> out{};

  for (int round = 0; round < kFuzzRounds; ++round) {
    const auto near_stack = [&] { return bounds.low - 64 + random() % (Context::kStackSize + 128); };
    const auto any = [&] { return random() % 4 == 0 ? random() : near_stack(); };
    const Registers registers{intact[random() % intact.size()], near_stack(), any(), any()};
    ASSERT_LE(unwind(registers, bounds, out), out.size());
  }
  context.resume();
}

// ---- throw_would_terminate

// What the function says about the context, and what happens when an exception is thrown there indeed.
struct Verdict {
  bool would_terminate;
  bool arrived;  // valid when it would not
};
bool g_throw_on_resume;
bool g_exception_arrived;
struct Interrupt {};

[[gnu::noinline]] void stop_and_maybe_throw() {
  Context::suspend();
  if (g_throw_on_resume) throw Interrupt{};
  barrier();
}

template <void (*Body)()>
void catch_all() {
  try {
    Body();
    barrier();
  } catch (...) {
    g_exception_arrived = true;
  }
}

template <void (*Body)()>
Verdict ask() {
  g_throw_on_resume = g_exception_arrived = false;
  Context context(catch_all<Body>);
  context.resume();
  Verdict verdict{throw_would_terminate(context.registers(), context.bounds()), false};
  g_throw_on_resume = !verdict.would_terminate;
  while (!context.done()) context.resume();
  verdict.arrived = g_exception_arrived;
  return verdict;
}

[[gnu::noinline]] void plain() {
  std::vector<int> cleanup(3, 1);
  stop_and_maybe_throw();
  asm volatile("" ::"r"(cleanup.data()) : "memory");
}
// Whether nothing would run before the catcher.
template <void (*Body)()>
bool nothing_runs_in() {
  g_throw_on_resume = false;
  Context context(catch_all<Body>);
  context.resume();
  const auto catcher = reinterpret_cast<std::uintptr_t>(&catch_all<Body>);
  bool answer = false;
  // The second answer comes from what the first one has noted.
  for (int look = 0; look < 2; ++look)
    answer = nothing_runs_before(catcher, context.registers(), context.bounds());
  EXPECT_FALSE(nothing_runs_before(catcher + 1, context.registers(), context.bounds())) << "another function";
  context.resume();
  return answer;
}

[[gnu::noinline]] void not_throwing() noexcept {
  plain();
  barrier();
}
struct StopsInDestructor {
  [[gnu::noinline]] ~StopsInDestructor() {
    plain();
    barrier();
  }
};
// Something of the same frame has to be destroyed before the exception meets the frame's own rule.
struct StopsInDestructorWithCleanup {
  [[gnu::noinline]] ~StopsInDestructorWithCleanup() {
    const std::vector<int> cleanup(3, 1);
    plain();
    asm volatile("" ::"r"(cleanup.data()) : "memory");
  }
};
[[gnu::noinline]] void destroying_with_cleanup() {
  StopsInDestructorWithCleanup object;
  barrier();
}
[[gnu::noinline]] void catching_with_cleanup_inside_noexcept() noexcept {
  try {
    const std::vector<int> cleanup(3, 1);
    plain();
    asm volatile("" ::"r"(cleanup.data()) : "memory");
  } catch (...) {
    g_exception_arrived = true;
  }
}
[[gnu::noinline]] void destroying() {
  StopsInDestructor object;
  barrier();
}
[[gnu::noinline]] void destroying_while_unwinding() {
  try {
    StopsInDestructor object;
    throw std::runtime_error("on its way");
  } catch (const std::runtime_error&) {
    barrier();
  }
}
[[gnu::noinline]] void catching_inside_noexcept() noexcept {
  try {
    plain();
    barrier();
  } catch (...) {
    g_exception_arrived = true;
  }
}
[[gnu::noinline]] void catching_others() {
  try {
    plain();
    barrier();
  } catch (const std::exception&) {
    barrier();
  }
}
[[gnu::noinline]] void in_a_handler() {
  try {
    throw std::runtime_error("handled");
  } catch (const std::runtime_error&) {
    plain();
    barrier();
  }
}

#if !AIOFIBER_ASAN && !AIOFIBER_TSAN  // which have something to do in each frame
[[gnu::noinline]] void empty_frame() {
  stop_and_maybe_throw();
  barrier();
}
TEST(NothingRunsBefore, IsTrueForFramesWithoutCleanUps) { EXPECT_TRUE(nothing_runs_in<empty_frame>()); }
#endif

TEST(NothingRunsBefore, IsFalseForCleanUpsAndForNoexcept) {
  EXPECT_FALSE(nothing_runs_in<plain>());
  EXPECT_FALSE(nothing_runs_in<not_throwing>());
}

TEST(ThrowWouldTerminate, IsFalseWhenEveryFrameLetsExceptionsPass) {
  const Verdict verdict = ask<plain>();
  EXPECT_FALSE(verdict.would_terminate);
  EXPECT_TRUE(verdict.arrived);
}

TEST(ThrowWouldTerminate, IsTrueBelowANoexceptFunction) { EXPECT_TRUE(ask<not_throwing>().would_terminate); }

TEST(ThrowWouldTerminate, IsTrueInADestructor) { EXPECT_TRUE(ask<destroying>().would_terminate); }

TEST(ThrowWouldTerminate, IsTrueInADestructorThatHasToCleanUpFirst) {
  EXPECT_TRUE(ask<destroying_with_cleanup>().would_terminate);
}

TEST(ThrowWouldTerminate, IsFalseWhenTheHandlerForEverythingHasToCleanUpFirst) {
  const Verdict verdict = ask<catching_with_cleanup_inside_noexcept>();
  EXPECT_FALSE(verdict.would_terminate);
  EXPECT_TRUE(verdict.arrived);
}

// A clean-up with a way to std::terminate() that is not taken, as that of a std::thread.
volatile bool g_is_broken = false;
struct TerminatesIfBroken {
  [[gnu::always_inline]] ~TerminatesIfBroken() {
    if (g_is_broken) std::terminate();
    barrier();
  }
};
[[gnu::noinline]] void beside_what_may_terminate() {
  const TerminatesIfBroken object;
  plain();
  barrier();
}
TEST(ThrowWouldTerminate, IsFalseIfACleanUpMayEndTheProgramButNeedNot) {
  const Verdict verdict = ask<beside_what_may_terminate>();
  EXPECT_FALSE(verdict.would_terminate);
  EXPECT_TRUE(verdict.arrived);
}

TEST(ThrowWouldTerminate, IsTrueInADestructorDuringUnwinding) {
  EXPECT_TRUE(ask<destroying_while_unwinding>().would_terminate);
}

TEST(ThrowWouldTerminate, IsFalseWhenAHandlerForEverythingStandsBeforeTheNoexceptFunction) {
  const Verdict verdict = ask<catching_inside_noexcept>();
  EXPECT_FALSE(verdict.would_terminate);
  EXPECT_TRUE(verdict.arrived);
}

TEST(ThrowWouldTerminate, PassesByAHandlerForOthers) {
  const Verdict verdict = ask<catching_others>();
  EXPECT_FALSE(verdict.would_terminate);
  EXPECT_TRUE(verdict.arrived);
}

TEST(ThrowWouldTerminate, IsFalseInAHandler) {
  const Verdict verdict = ask<in_a_handler>();
  EXPECT_FALSE(verdict.would_terminate);
  EXPECT_TRUE(verdict.arrived);
}

// A handler for the type that is thrown, or for a base of it, is an end of its way; one for others is none.
struct Base {};
struct Derived : Base {};
[[gnu::noinline]] void catching_base() {
  try {
    plain();
    barrier();
  } catch (const Base&) {
    barrier();
  }
}
struct CatchesBaseInDestructor {
  [[gnu::noinline]] ~CatchesBaseInDestructor() {
    catching_base();
    barrier();
  }
};
[[gnu::noinline]] void destroying_with_a_handler() {
  CatchesBaseInDestructor object;
  barrier();
}
[[gnu::noinline]] void cleaning_up_and_throwing_on() {
  try {
    plain();
    barrier();
  } catch (const PassesOnOther&) {
    throw;
  } catch (...) {
    barrier();
    throw;
  }
}
[[gnu::noinline]] void passing_on_inside_noexcept() noexcept {
  cleaning_up_and_throwing_on();
  barrier();
}
struct PassesOnInDestructor {
  [[gnu::noinline]] ~PassesOnInDestructor() {
    try {
      cleaning_up_and_throwing_on();
      barrier();
    } catch (const Base&) {
      barrier();
    }
  }
};
[[gnu::noinline]] void destroying_with_a_scope() {
  PassesOnInDestructor object;
  barrier();
}

template <void (*Body)()>
bool would_terminate(Throw what) {
  g_throw_on_resume = false;
  Context context(catch_all<Body>);
  context.resume();
  const bool answer = throw_would_terminate(context.registers(), context.bounds(), what);
  while (!context.done()) context.resume();
  return answer;
}

TEST(ThrowWouldTerminate, KnowsHandlersForTheTypeThatIsThrown) {
  EXPECT_FALSE(would_terminate<destroying_with_a_handler>({.type = &typeid(Base)}));
  EXPECT_FALSE(would_terminate<destroying_with_a_handler>({.type = &typeid(Derived)}));
  EXPECT_TRUE(would_terminate<destroying_with_a_handler>({.type = &typeid(Interrupt)}));
  EXPECT_TRUE(would_terminate<destroying_with_a_handler>({}));
}

TEST(ThrowWouldTerminate, LooksBeyondHandlersThatThrowOn) {
  EXPECT_FALSE(would_terminate<cleaning_up_and_throwing_on>({.type = &typeid(Interrupt)}));
  EXPECT_TRUE(would_terminate<passing_on_inside_noexcept>({.type = &typeid(Interrupt)}));
  EXPECT_TRUE(would_terminate<destroying_with_a_scope>({.type = &typeid(Interrupt)}));
  const auto become_base = [](const std::type_info*, void* times) noexcept {
    ++*static_cast<int*>(times);
    return &typeid(Base);
  };
  int times = 0;
  EXPECT_FALSE(would_terminate<destroying_with_a_scope>({&typeid(Interrupt), become_base, &times}));
  EXPECT_EQ(times, 1);
}

TEST(ThrowWouldTerminate, IsTrueWhenNoHandlerExistsAtAll) {
  Context context(plain);
  g_throw_on_resume = false;
  context.resume();

  EXPECT_TRUE(throw_would_terminate(context.registers(), context.bounds()));
  context.resume();
}

TEST(ThrowWouldTerminate, IsFalseForUnknownRegisters) {
  EXPECT_FALSE(throw_would_terminate(Registers{}, thread_stack_bounds()));
  EXPECT_FALSE(nothing_runs_before(1, Registers{}, thread_stack_bounds()));
}

}  // namespace
}  // namespace aiofiber::runtime
