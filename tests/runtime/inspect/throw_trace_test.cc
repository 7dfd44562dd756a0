// SPDX-License-Identifier: Apache-2.0
//
// Traces of real exceptions: thrown by this program, inside libstdc++, on other threads. The tests recognise
// frames by the function's name in the symbol table, so they need no debug information.
#include <aiofiber/runtime/inspect/symbolize.h>
#include <aiofiber/runtime/inspect/throw_trace.h>

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace aiofiber::runtime {
namespace {

void barrier() { asm volatile("" ::: "memory"); }

// The position of the first frame of `function` in the trace; the trace's size when there is none. By name:
// compilers move what ends by a throw to a part of its own (function.cold), which begins elsewhere and has
// its own unwind information.
template <typename Function>
std::size_t position_of(Function* function, std::span<const std::uintptr_t> trace) {
  const std::string name = symbolize(reinterpret_cast<std::uintptr_t>(function), true).back().function;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    if (symbolize(trace[i]).back().function == name) return i;
  }
  return trace.size();
}

template <typename Body>
std::exception_ptr thrown_by(Body body) {
  try {
    body();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

[[gnu::noinline]] void inner() { throw std::runtime_error("inner"); }
// Hides from the compiler that a call ends by a throw, so that the frames of callers are ordinary ones.
void (*volatile g_inner)() = inner;
[[gnu::noinline]] void outer() {
  std::vector<int> cleanup(3, 1);
  g_inner();
  asm volatile("" ::"r"(cleanup.data()) : "memory");
}

TEST(ThrowTrace, HoldsTheFramesFromTheThrowOutwards) {
  const auto exception = thrown_by(outer);

  const auto trace = throw_trace(exception);

  ASSERT_GE(trace.size(), 3u);
  EXPECT_EQ(position_of(inner, trace), 0u);
  EXPECT_EQ(position_of(outer, trace), 1u);
  EXPECT_EQ(throw_trace_omitted(exception), 0u);
}

[[noreturn, gnu::noinline, gnu::cold]] void refuse(int value) {
  throw std::out_of_range(std::to_string(value));
}
// The compiler sees that the call ends by a throw, and makes it a part of the function that stands far away.
[[gnu::noinline]] int checked(int value) {
  if (value < 0) refuse(value);
  barrier();
  return value;
}

TEST(ThrowTrace, HoldsFramesOfColdPartsOfFunctions) {
  const auto exception = thrown_by([] { checked(-1); });

  const auto trace = throw_trace(exception);

  EXPECT_EQ(position_of(refuse, trace), 0u);
  EXPECT_EQ(position_of(checked, trace), 1u);
}

TEST(ThrowTrace, IsEmptyForNoException) {
  EXPECT_TRUE(throw_trace(nullptr).empty());
  EXPECT_EQ(throw_trace_omitted(nullptr), 0u);
}

TEST(ThrowTrace, IsEmptyForAnExceptionThatWasNeverThrown) {
  EXPECT_TRUE(throw_trace(std::make_exception_ptr(std::runtime_error("made"))).empty());
}

TEST(ThrowTrace, IsEmptyAfterRethrowingAnExceptionThatWasMade) {
  const auto made = std::make_exception_ptr(1);
  const auto caught = thrown_by([&] { std::rethrow_exception(made); });
  EXPECT_TRUE(throw_trace(caught).empty());
}

[[gnu::noinline]] void rethrowing() {
  try {
    outer();
  } catch (const std::exception&) {
    throw;
  }
}

TEST(ThrowTrace, StaysThatOfTheFirstThrowWhenRethrown) {
  const auto exception = thrown_by(rethrowing);
  const auto trace = throw_trace(exception);
  EXPECT_EQ(position_of(inner, trace), 0u);
  EXPECT_EQ(position_of(outer, trace), 1u);
}

TEST(ThrowTrace, IsSharedByCopiesOfTheExceptionPointer) {
  const auto first = thrown_by(outer);
  const auto second = thrown_by([&] { std::rethrow_exception(first); });
  ASSERT_FALSE(throw_trace(first).empty());
  EXPECT_EQ(throw_trace(second).data(), throw_trace(first).data());
}

TEST(ThrowTrace, OutlivesTheFirstOwner) {
  auto first = thrown_by(outer);
  const auto second = first;
  first = nullptr;
  EXPECT_EQ(position_of(inner, throw_trace(second)), 0u);
}

[[gnu::noinline]] int parse(const std::string& text) {
  const int value = std::stoi(text);
  barrier();
  return value;
}
[[gnu::noinline]] int look_up(const std::vector<int>& values) {
  const int value = values.at(99);
  barrier();
  return value;
}

TEST(ThrowTrace, CoversThrowsInsideTheStandardLibrary) {
  const auto stoi = thrown_by([] { parse("not a number"); });
  const auto at = thrown_by([] { look_up({1, 2}); });

  EXPECT_LT(position_of(parse, throw_trace(stoi)), throw_trace(stoi).size());
  EXPECT_LT(position_of(look_up, throw_trace(at)), throw_trace(at).size());
  EXPECT_GT(position_of(look_up, throw_trace(at)), 0u);  // the throw itself is the library's
}

TEST(ThrowTrace, CoversThrowsOfTypesWithoutADestructor) {
  const auto exception = thrown_by([] { throw 42; });
  EXPECT_FALSE(throw_trace(exception).empty());
  EXPECT_THROW(std::rethrow_exception(exception), int);
}

TEST(ThrowTrace, CrossesThreads) {
  auto future = std::async(std::launch::async, outer);
  const auto exception = thrown_by([&] { future.get(); });
  EXPECT_EQ(position_of(inner, throw_trace(exception)), 0u);
}

TEST(ThrowTrace, IsNotRecordedWhileSwitchedOff) {
  set_throw_tracing(false);
  const auto without = thrown_by(outer);
  set_throw_tracing(true);
  const auto with = thrown_by(outer);

  EXPECT_TRUE(throw_trace(without).empty());
  EXPECT_FALSE(throw_trace(with).empty());
}

[[gnu::noinline]] void recurse(int depth) {
  if (depth == 0) {
    g_inner();
  } else {
    recurse(depth - 1);
  }
  barrier();
}
[[gnu::noinline]] void start_recursion(int depth) {
  recurse(depth);
  barrier();
}

TEST(ThrowTrace, KeepsTheInnermostAndTheOutermostFramesOfADeepStack) {
  const auto shallow = thrown_by([] { start_recursion(0); });
  const std::size_t around = throw_trace(shallow).size();  // the frames that every depth has
  ASSERT_LT(around, kThrowTraceOutermost + kThrowTraceInnermost);

  for (const int depth : {47, 60, 61, 75, 76, 77, 200, 999}) {
    const auto exception = thrown_by([&] { start_recursion(depth); });
    const auto trace = throw_trace(exception);
    const std::size_t whole = around + static_cast<std::size_t>(depth);
    EXPECT_EQ(trace.size() + throw_trace_omitted(exception), whole);
    EXPECT_EQ(trace.size(), std::min(whole, kThrowTraceInnermost + kThrowTraceOutermost));
    EXPECT_EQ(position_of(inner, trace), 0u);
    EXPECT_EQ(position_of(recurse, trace), 1u);
    // The outermost frames are those of the shallow throw, but for frames whose call site differs.
    const auto of_shallow = throw_trace(shallow);
    EXPECT_TRUE(std::equal(trace.end() - 5, trace.end(), of_shallow.end() - 5)) << "depth " << depth;
  }
}

TEST(ThrowTrace, StopsAtTheBoundsThatItsSourceGives) {
  set_stack_bounds_source([]() noexcept { return StackBounds{4096, 8192}; });
  const auto bounded = thrown_by(outer);
  set_stack_bounds_source(nullptr);
  const auto unbounded = thrown_by(outer);

  EXPECT_EQ(throw_trace(bounded).size(), 1u);
  EXPECT_GT(throw_trace(unbounded).size(), 1u);
}

struct Counted {
  static inline int alive = 0;
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  ~Counted() { --alive; }
};

TEST(ThrowTrace, DestroysTheExceptionAsBefore) {
  {
    const auto exception = thrown_by([] { throw Counted(); });
    EXPECT_EQ(Counted::alive, 1);
    EXPECT_FALSE(throw_trace(exception).empty());
  }
  EXPECT_EQ(Counted::alive, 0);
}

TEST(ThrowTrace, LeaksNothing) {
  const auto used = [] { return mallinfo2().uordblks; };
  for (int i = 0; i < 10; ++i) thrown_by(outer);
  const auto before = used();

  for (int i = 0; i < 1000; ++i) thrown_by(outer);

  // A record is some hundred bytes: a leak of one a throw would be much more. (Under the sanitizers mallinfo2
  // says nothing; there LeakSanitizer does.)
  EXPECT_LT(used(), before + 10'000);
}

TEST(ThrowTrace, NestedExceptionsHaveTracesOfTheirOwn) {
  const auto exception = thrown_by([] {
    try {
      outer();
    } catch (...) {
      std::throw_with_nested(std::logic_error("around"));
    }
  });
  std::exception_ptr nested;
  try {
    std::rethrow_exception(exception);
  } catch (const std::nested_exception& around) {
    nested = around.nested_ptr();
  }

  EXPECT_EQ(position_of(inner, throw_trace(nested)), 0u);
  EXPECT_FALSE(throw_trace(exception).empty());
  EXPECT_EQ(position_of(inner, throw_trace(exception)), throw_trace(exception).size());
}

}  // namespace
}  // namespace aiofiber::runtime
