// SPDX-License-Identifier: Apache-2.0
//
// The search for shared state, on C code that was compiled as it stands (idioms.c). Each idiom is found in
// the first run of two or three tasks, with the variable, the tasks and the places; code that shares nothing,
// or shares on purpose, is not reported. The clock is virtual, so the order of the tasks is always the same.
// Labels: slow
#include "aiofiber/runtime/shared_state/shared_state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/engine/offload.h"
#include "runtime/shared_state/idioms.h"
#include "runtime/shared_state/search.h"
#include "support/fiber_loop.h"
#include "support/fibers.h"

namespace {

namespace shared_state = aiofiber::runtime::shared_state;

using aiofiber::shared_state_test::has;
using aiofiber::shared_state_test::joined;
using aiofiber::shared_state_test::search;

// ---- what is found

TEST(SharedState, FindsAGlobalThatIsSetForACallAndRestored) {
  const auto found = search({[] { post_form(1); }, [] { post_form(2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0],
                  "Shared state: 'method' in idioms.c. task 'two' wrote it and was suspended, task "
                  "'one' changed it, and task 'two' then used it."))
      << found[0];
  EXPECT_TRUE(has(found[0], "in post_form\n    method = POST;")) << found[0];
  EXPECT_TRUE(has(found[0], "task 'two' was suspended in a sleep here:")) << found[0];
  EXPECT_TRUE(has(found[0], "in post_form\n    method = saved;")) << found[0];
  EXPECT_TRUE(has(found[0], "    return method == POST ? length : -1;")) << found[0];
}

TEST(SharedState, FindsAStaticBuffer) {
  const auto found =
      search({[] { upload("a first text to send"); }, [] { upload("another text, which is longer"); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "Shared state: 'chunk' in idioms.c, ")) << found[0];
  EXPECT_TRUE(has(found[0], "task 'one' wrote it and was suspended, task 'two' changed it")) << found[0];
  EXPECT_TRUE(has(found[0], "memcpy(chunk, text, size);")) << found[0];
  EXPECT_TRUE(has(found[0], "sum = sum * 31")) << found[0];
}

TEST(SharedState, FindsACachedConnection) {
  const auto found = search({[] { fetch_by_connection(1); }, [] { fetch_by_connection(2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'pconn' in idioms.c, ")) << found[0];
  EXPECT_TRUE(has(found[0], " at +4 of 44.")) << found[0];
  EXPECT_TRUE(has(found[0], "pconn.descriptor = 100 + server;")) << found[0];
  EXPECT_TRUE(has(found[0], "return pconn.descriptor == 100 + server;")) << found[0];
}

TEST(SharedState, FindsACounterThatIsReadBeforeAWaitAndWrittenAfterIt) {
  const auto found = search({[] { count_slowly(); }, [] { count_slowly(); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'requests' in idioms.c")) << found[0];
  EXPECT_TRUE(has(found[0], "then wrote it without reading it again: the change is lost.")) << found[0];
  EXPECT_TRUE(has(found[0], "int before = requests;")) << found[0];
  EXPECT_TRUE(has(found[0], "requests = before + 1;")) << found[0];
}

TEST(SharedState, FindsAnIteratorThatKeepsItsPlace) {
  const auto found = search({[] { sum_words("1 2 3"); }, [] { sum_words("10 20 30"); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "place")) << found[0];
  EXPECT_TRUE(has(found[0], "while (*place == ' ') ++place;")) << found[0];
}

TEST(SharedState, FindsAnErrorNumber) {
  const auto found = search({[] { open_and_explain(2); }, [] { open_and_explain(13); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'last_error' in idioms.c")) << found[0];
}

TEST(SharedState, FindsOptarg) {
  const auto found = search({[] {
                               char program[] = "p", option[] = "-n", value[] = "7";
                               char* arguments[] = {program, option, value, nullptr};
                               parse_options(3, arguments);
                             },
                             [] {
                               char program[] = "p", option[] = "-n12";
                               char* arguments[] = {program, option, nullptr};
                               parse_options(2, arguments);
                             }});
  ASSERT_GE(found.size(), 1u);
  EXPECT_TRUE(has(joined(found), "'optarg'")) << joined(found);
}

TEST(SharedState, FindsAStaticOfAHeader) {
  const auto found = search({[] { log_line(1); }, [] { log_line(2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'log_prefix' in idioms.c")) << found[0];
}

TEST(SharedState, FindsABufferThatTheKernelFills) {
  const aiofiber::hooks_test::SocketPair first, second;
  ASSERT_EQ(::write(first[1], "first", 5), 5);
  ASSERT_EQ(::write(second[1], "other", 5), 5);
  const auto found = search({[&] { receive(first[0]); }, [&] { receive(second[0]); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'line' in idioms.c")) << found[0];
  EXPECT_TRUE(has(found[0], "if (read(fd, line, sizeof line) < 1) return -1;")) << found[0];
  EXPECT_TRUE(has(found[0], "return line[0];")) << found[0];
}

TEST(SharedState, FindsABufferThatTheKernelReads) {
  const aiofiber::hooks_test::SocketPair pair;
  const auto found = search({[&] { send_later(pair[0], 1); }, [&] { send_later(pair[0], 2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'record' in idioms.c")) << found[0];
  EXPECT_TRUE(has(found[0], "return write(fd, record, (size_t)length) == length;")) << found[0];
}

// Two tasks send a part each, after `skip` parts that they drop.
std::vector<std::string> search_in_parts(int skip) {
  const aiofiber::hooks_test::SocketPair to, from[2];
  for (int i = 0; i < 2; ++i) {
    for (int part = 0; part < skip + 2; ++part) {
      const std::string text(16, static_cast<char>((i == 0 ? 'a' : 'A') + part));
      EXPECT_EQ(write(from[i][1], text.data(), text.size()), 16);
    }
  }
  const auto send = [&](int i) { EXPECT_EQ(send_part(skip, from[i][0], to[0]), 1); };
  return search({[=] { send(0); }, [=] { send(1); }});
}

TEST(SharedState, FindsABufferThatTheKernelReadsAndWritesAgain) {
  const auto found = search_in_parts(0);
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'part' in idioms.c")) << found[0];
  EXPECT_TRUE(has(found[0], "    if (send(to, part, sizeof part, 0) != sizeof part) return -1;")) << found[0];
}

TEST(SharedState, FindsABufferThatTheKernelHasOftenWrittenBeforeItIsRead) {
  EXPECT_EQ(search_in_parts(6).size(), 1u);
}

// A stream that the test closes.
class Stream {
 public:
  explicit Stream(int mode = _IOFBF) : file_(std::tmpfile()) { std::setvbuf(file_, nullptr, mode, 4096); }
  ~Stream() { std::fclose(file_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator FILE*() const { return file_; }

 private:
  FILE* file_;
};

TEST(SharedState, FindsALineThatAnotherTaskCuts) {
  const Stream to;
  const auto found = search({[&] { print_in_pieces(to, 1); }, [&] { print_in_pieces(to, 2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "Shared state: the output stream '/")) << found[0];
  EXPECT_TRUE(has(found[0],
                  "task 'one' wrote \"page 1: \", which is no whole line, and was suspended, and "
                  "task 'two' then wrote to the same stream: the line is cut."))
      << found[0];
  EXPECT_TRUE(has(found[0], "task 'one' was suspended in a sleep here:")) << found[0];
  EXPECT_TRUE(has(found[0], "in print_in_pieces\n    usleep(1000);")) << found[0];
  EXPECT_TRUE(has(found[0], "task 'two' wrote before this:")) << found[0];
}

TEST(SharedState, FindsALineThatAWholeLineCuts) {
  const Stream to(_IOLBF);  // so nothing is left in the buffer
  const auto found = search({[&] { print_in_pieces(to, 1); }, [&] { fputs("a line\n", to); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "task 'one' wrote \"page 1: \"")) << found[0];
}

TEST(SharedState, FindsALineThatIsCutAfterItsBeginningWasFlushed) {
  const Stream to;
  const auto found =
      search({[&] { print_in_pieces(to, 1); }, [&] { fflush(to); }, [&] { print_in_pieces(to, 3); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "task 'one' wrote \"page 1: \"")) << found[0];
  EXPECT_TRUE(has(found[0], "task 'three' then wrote")) << found[0];
}

TEST(SharedState, FindsAShortLineAfterAFlush) {
  const Stream to;
  const auto found = search({[&] {
                               fputs("a long beginning of a line: ", to);
                               ::usleep(1000);
                             },
                             [&] {
                               fflush(to);
                               fputs("short\n", to);
                             }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "task 'two' then wrote")) << found[0];
}

TEST(SharedState, FindsALineWhoseBeginningWasFlushedBeforeTheWait) {
  const Stream to;
  const auto found =
      search({[&] { print_in_flushed_pieces(to, 1); }, [&] { print_in_flushed_pieces(to, 2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "task 'one' wrote \"page 1: \"")) << found[0];
  EXPECT_TRUE(has(found[0], "task 'two' then wrote")) << found[0];
}

TEST(SharedState, FindsALineOfAStreamWithoutABuffer) {
  const Stream to(_IONBF);
  const auto found = search({[&] { print_in_pieces(to, 1); }, [&] { print_in_pieces(to, 2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "task 'one' wrote \"page 1: \"")) << found[0];
}

TEST(SharedState, TellsOfAStreamOnce) {
  const Stream to;
  const auto page = [&](int number) { return [&to, number] { print_in_pieces(to, number); }; };
  EXPECT_EQ(search({page(1), page(2), page(3), page(4)}).size(), 1u);
}

TEST(SharedState, FindsAfterACallOnThePool) {
  int back = 0;  // the pool's threads may be slow
  const auto call_then_log = [&](int number) {
    return [&back, number] {
      aiofiber::runtime::offload([] {});
      ++back;
      while (back < 2) ::usleep(1000);
      log_line(number);
    };
  };
  EXPECT_EQ(search({call_then_log(1), call_then_log(2)}).size(), 1u);
}

// ---- what is right

TEST(SharedState, IsSilentAboutWholeLines) {
  const Stream to;
  EXPECT_EQ(joined(search({[&] { print_whole_lines(to, 1); }, [&] { print_whole_lines(to, 2); }})), "");
  const Stream by_line(_IOLBF);
  EXPECT_EQ(joined(search({[&] { print_whole_lines(by_line, 1); }, [&] { print_whole_lines(by_line, 2); }})),
            "");
}

TEST(SharedState, IsSilentAboutWholeLinesThatAreFlushed) {
  const Stream to;
  EXPECT_EQ(joined(search({[&] { print_flushed_lines(to, 1); }, [&] { print_flushed_lines(to, 2); }})), "");
  const Stream without_buffer(_IONBF);
  EXPECT_EQ(joined(search({[&] { print_flushed_lines(without_buffer, 1); },
                           [&] { print_flushed_lines(without_buffer, 2); }})),
            "");
}

TEST(SharedState, IsSilentAboutStreamsOfOneTask) {
  const Stream first, second;
  EXPECT_EQ(joined(search({[&] { print_in_pieces(first, 1); }, [&] { print_in_pieces(second, 2); }})), "");
}

TEST(SharedState, IsSilentAboutALineThatItsTaskLeft) {
  const Stream to;
  EXPECT_EQ(joined(search({[&] { print_the_last_line(to, 1); }, [&] { print_the_last_line(to, 2); }})), "");
}

TEST(SharedState, IsSilentAboutALineThatWasBegunBeforeTheTasks) {
  const Stream to;
  fputs("before: ", to);
  EXPECT_EQ(joined(search({[] { ::usleep(9000); },
                           [&] {
                             ::usleep(1000);
                             fputs("a line\n", to);
                           }})),
            "");
}

TEST(SharedState, IsSilentIfAnotherOnlyFlushes) {
  const Stream to;
  EXPECT_EQ(joined(search({[&] { print_in_pieces(to, 1); }, [&] { flush_after_a_while(to); }})), "");
}

// While the pool works, nobody looks who writes.
TEST(SharedState, IsSilentAboutALineThatIsFinishedWhileThePoolWorks) {
  const Stream to;
  const aiofiber::hooks_test::SocketPair pool_works;
  const auto works = [&] {
    char byte;
    return ::read(pool_works[0], &byte, 1);
  };
  EXPECT_EQ(joined(search({[&] {
                             fputs("page 1: ", to);
                             ::usleep(1000);
                             fputs("100 bytes\n", to);
                             EXPECT_EQ(::write(pool_works[1], "x", 1), 1);
                           },
                           [&] {
                             EXPECT_EQ(aiofiber::runtime::offload(works), 1);
                             fputs("page 2: 200 bytes\n", to);
                             ::usleep(1000);
                           }})),
            "");
}

TEST(SharedState, IsSilentAboutAStreamAtTheAddressOfAClosedOne) {
  FILE* shared = std::tmpfile();
  EXPECT_EQ(joined(search({[&] {
                             fputs("{\"a\": 1", shared);
                             ::usleep(1000);
                             fputs("}", shared);
                             std::fclose(shared);
                             shared = std::tmpfile();
                             ::usleep(1000);
                             fputs("a line\n", shared);
                           },
                           [&] {
                             ::usleep(1500);
                             fputs("another line\n", shared);
                           }})),
            "");
  std::fclose(shared);
}

TEST(SharedState, IsSilentAboutLinesUnderALock) {
  const Stream to;
  EXPECT_EQ(joined(search({[&] { print_under_a_lock(to, 1); }, [&] { print_under_a_lock(to, 2); }})), "");
}

TEST(SharedState, IsSilentAboutBytesThatAreNoText) {
  const Stream to;
  EXPECT_EQ(joined(search({[&] { print_numbers(to, 1); }, [&] { print_numbers(to, 2); }})), "");
}

TEST(SharedState, IsSilentAboutStreamsToIgnore) {
  char path[] = "/tmp/aiofiber_stream_XXXXXX";
  const int fd = mkstemp(path);
  FILE* const to = fdopen(fd, "w");
  EXPECT_EQ(
      joined(search({[&] { print_in_pieces(to, 1); }, [&] { print_in_pieces(to, 2); }}, {.ignore = {path}})),
      "");
  std::fclose(to);
  ::unlink(path);
}

TEST(SharedState, IsSilentAboutConstants) {
  EXPECT_EQ(joined(search({[] { look_up(1); }, [] { look_up(2); }, [] { look_up(1); }})), "");
}

TEST(SharedState, IsSilentAboutAStaticThatTheFirstCallerInitialises) {
  EXPECT_EQ(joined(search({[] { lazily(1); }, [] { lazily(2); }, [] { lazily(3); }})), "");
}

TEST(SharedState, IsSilentAboutAJumpBufferWhichIsKeptForEachTask) {
  int jumps[3] = {};
  EXPECT_EQ(joined(search({[&] { jumps[0] = jump_back(3); }, [&] { jumps[1] = jump_back(4); },
                           [&] { jumps[2] = jump_back(5); }})),
            "");
  EXPECT_EQ(std::vector<int>(jumps, jumps + 3), (std::vector<int>{2, 2, 3}));
}

TEST(SharedState, IsSilentIfAllWriteTheSame) {
  EXPECT_EQ(joined(search({[] { set_same(3); }, [] { set_same(3); }, [] { set_same(3); }})), "");
}

TEST(SharedState, IsSilentAboutAVariableThatIsWrittenUnderALock) {
  EXPECT_EQ(joined(search({[] { under_mutex(1); }, [] { under_mutex(2); }, [] { under_mutex(3); }})), "");
}

TEST(SharedState, IsSilentAboutAnArrayWithAPlaceForEachTask) {
  EXPECT_EQ(joined(search({[] { EXPECT_EQ(own_slot(0, 5), 1); }, [] { EXPECT_EQ(own_slot(1, 6), 1); },
                           [] { EXPECT_EQ(own_slot(2, 7), 1); }})),
            "");
}

TEST(SharedState, IsSilentAboutABufferThatIsNotUsedAcrossAWait) {
  EXPECT_EQ(joined(search({[] { scratch(1); }, [] { scratch(10); }, [] { scratch(100); }})), "");
}

TEST(SharedState, IsSilentAboutACounterThatIsReadAndWrittenInOneGo) {
  EXPECT_EQ(joined(search({[] { count(); }, [] { count(); }, [] { count(); }})), "");
}

TEST(SharedState, IsSilentIfTheOtherHasPutBackTheValue) {
  EXPECT_EQ(joined(search({[] { restored_in_time(1); }, [] { restored_in_time(2); }})), "");
}

TEST(SharedState, IsSilentAboutAVariableThatIsWrittenBeforeItIsUsedAgain) {
  EXPECT_EQ(joined(search({[] { reset_before_use(1); }, [] { reset_before_use(2); }})), "");
}

TEST(SharedState, LetsSystemCallsUseStaticVariables) {
  int failed_in = -1;
  search({[&] { failed_in = call_kernel(); }});
  EXPECT_EQ(failed_in, 0);
}

int overflow(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return depth < 1'000'000 ? overflow(depth + 1) + frame[0] : 0;
}

TEST(SharedState, LeavesOtherFaultsToTheHandlerOfOverflows) {
  EXPECT_DEATH(search({[] { overflow(0); }}), "aiofiber: stack overflow in task 'one'");
}

TEST(SharedState, SaysThatItsMemoryIsNotEnoughForTheStaticData) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(joined(search({[] { log_line(1); }, [] { log_line(2); }}, {.memory_bytes_max = 1})), "");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(
      has(said,
          "it is not searched, because there is not enough memory for a copy of the static data: raise "
          "AIOFIBER_SHARED_STATE_MIB"))
      << said;
}

TEST(SharedState, FindsInASecondSearchToo) {
  EXPECT_EQ(search({[] { log_line(1); }, [] { log_line(2); }}).size(), 1u);
  const std::size_t before = shared_state::reports();
  EXPECT_EQ(search({[] { log_line(1); }, [] { log_line(2); }}).size(), 1u);
  EXPECT_EQ(shared_state::reports(), before + 1);
}

TEST(SharedState, LeavesNoTraceWhenItIsStopped) {
  search({[] { log_line(1); }});
  aiofiber::runtime::Loop loop;
  int seen = 0;
  loop.spawn([&] { seen = call_kernel(); });
  loop.clock().set_may_block(true);
  loop.run();
  EXPECT_EQ(seen, 0);
  log_line(3);
}

int of_each_task;

TEST(SharedState, IsSilentAboutVariablesPerTask) {
  int seen[3] = {};
  const auto keep = [&](int value) {
    return [&seen, value] {
      of_each_task = value;
      ::usleep(1000);
      seen[value] = of_each_task;
    };
  };
  EXPECT_EQ(search({keep(1), keep(2)}).size(), 1u);
  EXPECT_EQ(seen[1], 2);
  aiofiber::hooks::per_task(&of_each_task);
  EXPECT_EQ(joined(search({keep(1), keep(2)})), "");
  EXPECT_EQ(seen[1], 1);
}

TEST(SharedState, IsSilentAboutNamesToIgnore) {
  EXPECT_EQ(joined(search({[] { log_line(1); }, [] { log_line(2); }}, {.ignore = {"log_prefix"}})), "");
}

}  // namespace
