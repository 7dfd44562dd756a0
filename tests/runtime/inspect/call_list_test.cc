// SPDX-License-Identifier: Apache-2.0
//
// Lists of calls from records of coroutines that the test writes: whole ones, damaged ones, rings. Real
// coroutines are in coro_stack_test.
#include "aiofiber/runtime/inspect/call_list.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace aiofiber::runtime {
namespace {

std::uint64_t address(const void* object) { return reinterpret_cast<std::uint64_t>(object); }

// Chains of coroutines, as a program writes them. Each coroutine's code is its number.
class Program {
 public:
  // A chain inside the chains before it; `codes`: innermost first.
  aiofiber_coroutines& chain(const std::vector<std::uint64_t>& codes, std::uint64_t stack = 0) {
    auto& made = chains_.emplace_back(aiofiber_coroutines{newest_, 0, stack});
    for (auto code = codes.rbegin(); code != codes.rend(); ++code) {
      places_.push_back({address("file.cc"), 0, static_cast<std::uint32_t>(*code) + 1000, 0});
      frames_.push_back(*code);
      coroutines_.push_back({made.innermost, address(&frames_.back()), address(&places_.back())});
      made.innermost = address(&coroutines_.back());
    }
    newest_ = address(&made);
    return made;
  }
  std::uint64_t newest() const { return newest_; }
  // The `index`th that was made, counted from 0.
  aiofiber_coroutine& coroutine(std::size_t index) { return coroutines_[index]; }
  std::uint64_t& frame(std::size_t index) { return frames_[index]; }

 private:
  std::uint64_t newest_ = 0;
  std::deque<aiofiber_coroutines> chains_;
  std::deque<aiofiber_coroutine> coroutines_;
  std::deque<aiofiber_place> places_;
  std::deque<std::uint64_t> frames_;
};

// Coroutines as "code:line", stack frames as "frame".
std::vector<std::string> calls(const CallSource& source) {
  std::array<std::uintptr_t, 64> words;
  std::span<const std::uintptr_t> list(words.data(), list_calls(source, words));
  std::vector<std::string> texts;
  while (!list.empty()) {
    const Call call = next_call(list);
    texts.push_back(call.is_coroutine ? std::to_string(call.address) + ":" + std::to_string(call.line)
                                      : "frame");
    EXPECT_EQ(call.line != 0 ? std::string(call.file) : "file.cc", "file.cc");
  }
  return texts;
}
std::vector<std::string> calls(const Program& program) {
  const auto read_by_the_kernel = calls(CallSource{.coroutines = program.newest()});
  const auto read_directly = calls(CallSource{.coroutines = program.newest(), .is_own = true});
  EXPECT_EQ(read_by_the_kernel, read_directly);
  return read_by_the_kernel;
}
using Texts = std::vector<std::string>;

TEST(CallList, OfNothingIsEmpty) {
  EXPECT_EQ(calls(CallSource{}), Texts{});
  Program program;
  program.chain({});
  EXPECT_EQ(calls(program), Texts{});
}

TEST(CallList, HasTheInnermostCoroutineOfTheNewestChainFirst) {
  Program program;
  program.chain({3, 2});
  program.chain({});
  program.chain({6, 5, 4});
  EXPECT_EQ(calls(program), (Texts{"6:1006", "5:1005", "4:1004", "3:1003", "2:1002"}));
}

TEST(CallList, ShowsNoPlaceOfACoroutineThatHasNotStartedOrRuns) {
  Program program;
  program.chain({3, 2});
  program.chain({6, 5}, AIOFIBER_COROUTINE_RUNS);
  program.coroutine(1).place = 0;
  EXPECT_EQ(calls(program), (Texts{"6:0", "5:1005", "3:0", "2:1002"}));
}

TEST(CallList, LeavesOutACoroutineThatHasEnded) {
  Program program;
  program.chain({3, 2, 1});
  program.frame(1) = 0;
  EXPECT_EQ(calls(program), (Texts{"3:1003", "1:1001"}));
}

// ---- with stack frames: this function's own

__attribute__((noinline)) std::size_t frames_of_this_stack(const Program& program, Texts& texts) {
  const CallSource source{current_registers(), thread_stack_bounds(), program.newest()};
  texts = calls(source);
  return calls(CallSource{source.registers, source.bounds}).size();
}
TEST(CallList, PutsCoroutinesBetweenTheFramesAroundTheirAddress) {
  Program program;
  Texts texts;
  const auto here = address(__builtin_frame_address(0));
  program.chain({2});  // outside all frames
  program.chain({4, 3}, here);
  const std::size_t frames = frames_of_this_stack(program, texts);
  ASSERT_EQ(texts.size(), frames + 3);
  // Newer than the address: the function called, and this one. A sanitizer may add none.
  EXPECT_EQ((Texts{texts.begin(), texts.begin() + 5}),
            (Texts{"frame", "frame", "4:1004", "3:1003", "frame"}));
  EXPECT_EQ(texts.back(), "2:1002");
}

TEST(CallList, ShowsACoroutineThatRunsByItsFrameOnly) {
  Program program;
  Texts texts;
  program.chain({4, 3}, address(__builtin_frame_address(0)) | AIOFIBER_COROUTINE_RUNS);
  const std::size_t frames = frames_of_this_stack(program, texts);
  EXPECT_EQ(texts.size(), frames + 1);
  EXPECT_EQ(texts[2], "3:1003");
}

TEST(CallList, EndsWhereTheLoopsOwnFramesBegin) {
  Program program;
  Texts texts;
  const std::uint64_t flags = AIOFIBER_COROUTINES_ON_LOOP | AIOFIBER_COROUTINE_RUNS;
  program.chain({4, 3}, address(__builtin_frame_address(0)) | flags);
  EXPECT_GT(frames_of_this_stack(program, texts), 2u);
  EXPECT_EQ(texts, (Texts{"frame", "frame", "3:1003"}));
}

TEST(CallList, IsCutWhereTheListIsFull) {
  Program program;
  program.chain({3, 2, 1});
  std::array<std::uintptr_t, 2 * kWordsOfCoroutine + 2> words;
  EXPECT_EQ(list_calls({.coroutines = program.newest()}, words), 2 * kWordsOfCoroutine);
}

// ---- garbage

TEST(CallList, EndsAtMemoryThatCannotBeRead) {
  const int empty = memfd_create("empty", MFD_CLOEXEC);
  void* const page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, empty, 0);  // behind the end of its file
  close(empty);
  for (const std::uint64_t wild : {std::uint64_t{1}, address(page), UINT64_MAX - 7}) {
    EXPECT_EQ(calls(CallSource{.coroutines = wild}), Texts{});
    Program program;
    program.chain({4, 3, 2});
    program.coroutine(1).caller = wild;
    EXPECT_EQ(calls(CallSource{.coroutines = program.newest()}), Texts{"4:1004"}) << "3 is read with it";
    program.coroutine(1).caller = 0;
    program.coroutine(1).frame = wild;
    EXPECT_EQ(calls(CallSource{.coroutines = program.newest()}), Texts{"4:1004"});
  }
  munmap(page, 4096);
}

TEST(CallList, EndsInARing) {
  Program program;
  aiofiber_coroutines& chain = program.chain({4, 3, 2});
  program.coroutine(0).caller = chain.innermost;
  const Texts of_coroutines = calls(program);
  EXPECT_EQ(of_coroutines.size(), 64u / kWordsOfCoroutine) << "as many as fit";
  program.coroutine(0).caller = 0;
  chain.outer = address(&chain);
  EXPECT_EQ(calls(program).size(), 64u / kWordsOfCoroutine);
  chain.innermost = 0;  // nothing is found, and the walk ends all the same
  EXPECT_EQ(calls(program), Texts{});
}

}  // namespace
}  // namespace aiofiber::runtime
