// SPDX-License-Identifier: Apache-2.0
//
// What the search for shared state finds in instrumented code and only there: on the heap, after many steps,
// and while the process has other threads. And what it must not say about the heap.
// Labels: slow
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/shared_state/heap_idioms.h"
#include "runtime/shared_state/idioms.h"
#include "runtime/shared_state/search.h"

namespace {

using aiofiber::shared_state_test::has;
using aiofiber::shared_state_test::joined;
using aiofiber::shared_state_test::search;

TEST(SharedHeap, FindsAConnectionBehindAStaticPointer) {
  const auto found =
      search({[] { fetch_by_allocated_connection(1); }, [] { fetch_by_allocated_connection(2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0],
                  "Shared state: 4 bytes at +24 of a heap block of 40, to which 'connection' in "
                  "heap_idioms.c points. task "
                  "'one' wrote it and was suspended, task 'two' changed it, and task 'one' then used it."))
      << found[0];
  EXPECT_TRUE(has(found[0], "in fetch_by_allocated_connection\n    connection->descriptor = 100 + server;"))
      << found[0];
  EXPECT_TRUE(has(found[0], "    return connection->descriptor == 100 + server;")) << found[0];
}

TEST(SharedHeap, FindsAnEntryOfAList) {
  const auto found = search({[] { store_in_list(7, 1); }, [] { store_in_list(7, 2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(
      found[0],
      "4 bytes at +12 of a heap block of 24, to which 'list' in heap_idioms.c leads (by the pointer at +8, "
      "then at +0). "))
      << found[0];
}

TEST(SharedHeap, FindsABufferThatLibcWrites) {
  const auto found = search({[] { answer_in_buffer(1); }, [] { answer_in_buffer(2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'text' in heap_idioms.c points")) << found[0];
  EXPECT_TRUE(has(found[0], "snprintf(text, 64, \"answer %d\", number);")) << found[0];
}

TEST(SharedHeap, FindsABufferThatTheKernelWrites) {
  const aiofiber::hooks_test::SocketPair first, second;
  ASSERT_EQ(::write(first[1], "first", 5), 5);
  ASSERT_EQ(::write(second[1], "other", 5), 5);
  const auto found = search({[&] { receive_in_buffer(first[0]); }, [&] { receive_in_buffer(second[0]); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "if (read(fd, input, 64) < 1) return -1;")) << found[0];
}

TEST(SharedHeap, FindsABufferThatTheKernelReads) {
  const aiofiber::hooks_test::SocketPair pair;
  const auto found = search({[&] { send_from_buffer(pair[0], 1); }, [&] { send_from_buffer(pair[0], 2); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "return write(fd, output, 64) == 64;")) << found[0];
}

TEST(SharedHeap, FindsABufferThatHasGrown) {
  EXPECT_EQ(search({[] { fill_growing_buffer(1); }, [] { fill_growing_buffer(2); }}).size(), 1u);
}

TEST(SharedHeap, FindsALostUpdateAfterManySteps) {
  const auto found = search({[] { count_on_heap(300); }, [] { count_on_heap(300); }});
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "then wrote it without reading it again: the change is lost.")) << found[0];
  EXPECT_TRUE(has(found[0], "int before = counts->requests;")) << found[0];
}

TEST(SharedHeap, FindsTheStaticsOfLibc) {
  char first[] = "1 2 3", second[] = "10 20 30";
  const auto place = search({[&] { sum_by_strtok(first); }, [&] { sum_by_strtok(second); }});
  ASSERT_EQ(place.size(), 1u) << joined(place);
  EXPECT_TRUE(has(place[0], "Shared state: 'place_of_strtok' in libc_calls.cc.")) << place[0];
  EXPECT_TRUE(has(place[0], "word = strtok(NULL, \" \")")) << place[0];
  const auto date = search({[] { year_of(0); }, [] { year_of(1'000'000'000); }});
  ASSERT_EQ(date.size(), 1u) << joined(date);
  EXPECT_TRUE(has(date[0], "'result_of_localtime' in libc_calls.cc, 4 bytes at +20 of 56.")) << date[0];
  EXPECT_TRUE(has(date[0], "    return date->tm_year + 1900;")) << date[0];
}

TEST(SharedHeap, FindsWhileOtherThreadsRun) {
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done.load()) std::this_thread::yield();
  });
  const auto found = search({[] { log_line(1); }, [] { log_line(2); }});
  done = true;
  other.join();
  ASSERT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(found[0], "'log_prefix' in idioms.c")) << found[0];
}

// ---- C++

struct Session {
  std::string user;
  std::vector<int> items;
};
std::unique_ptr<Session> session;

int sell(int item) {
  if (!session) session = std::make_unique<Session>();
  session->items = {item, item + 1, item + 2};
  ::usleep(1000);
  return session->items[1];
}

TEST(SharedHeap, FindsAVectorOfAnObject) {
  const auto found = search({[] { sell(10); }, [] { sell(20); }});
  ASSERT_GE(found.size(), 1u);
  EXPECT_TRUE(has(joined(found), "'(anonymous namespace)::session'")) << joined(found);
  EXPECT_TRUE(has(joined(found), "    return session->items[1];")) << joined(found);
}

// ---- when the memory for notes ends

constexpr std::size_t kPageBytes = 4096, kPages = 2000;
char* pages;
int chosen, beside_chosen;

// Uses more pages than 8 MiB of notes are enough for.
void use_many_pages() {
  if (pages == nullptr) pages = static_cast<char*>(std::calloc(kPages, kPageBytes));
  for (std::size_t i = 0; i < kPages; ++i) pages[i * kPageBytes] = 1;
}

struct LimitedSearch {
  std::vector<std::string> found;
  std::string said;
};
LimitedSearch search_in_8_mib(const std::vector<std::function<void()>>& functions) {
  testing::internal::CaptureStderr();
  LimitedSearch result;
  result.found = search(functions, {.memory_bytes_max = std::size_t{8} << 20});
  result.said = testing::internal::GetCapturedStderr();
  return result;
}

TEST(SharedHeap, SaysThatTheLimitOfItsMemoryIsReachedAndGoesOnWithWhatIsNoted) {
  int seen = 0;
  const auto [found, said] = search_in_8_mib({[&] {
                                                chosen = 1;
                                                ::usleep(1000);
                                                use_many_pages();
                                                ::usleep(1000);
                                                seen = chosen;
                                              },
                                              [] { chosen = 2; }});
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(found.size(), 1u) << joined(found);
  EXPECT_TRUE(has(said,
                  "shared state: what is noted has reached the limit of 8 MiB: where a task uses a page of "
                  "memory for the first time from now on, nothing is found. Raise AIOFIBER_SHARED_STATE_MIB"))
      << said;
}

TEST(SharedHeap, FindsNothingInPagesForWhichThereIsNoMemory) {
  char* const last = (use_many_pages(), pages + (kPages - 1) * kPageBytes);
  const auto [found, said] = search_in_8_mib({[&] {
                                                use_many_pages();
                                                ::usleep(1000);
                                                *last = static_cast<char>(*last + 1);
                                              },
                                              [&] { *last = 2; }});
  EXPECT_EQ(joined(found), "");
  EXPECT_TRUE(has(said, "the limit of 8 MiB")) << said;
}

TEST(SharedHeap, BlamesNobodyForATaskOfWhichItCouldNotTakeNote) {
  constexpr std::size_t kTooMany = 12'000;
  int seen = 0;
  // The second is noted, and runs right after the last, which is not.
  std::vector<std::function<void()>> functions{[&] {
                                                 chosen = 1;
                                                 ::usleep(1000);
                                                 use_many_pages();
                                                 ::usleep(2000);
                                                 seen = chosen;
                                               },
                                               [] {
                                                 beside_chosen = 1;
                                                 ::usleep(1000);
                                                 ::usleep(1000);
                                                 beside_chosen = 2;
                                               }};
  for (std::size_t i = 0; i < kTooMany; ++i) functions.emplace_back([] { ::usleep(5000); });
  functions.emplace_back([] {
    ::usleep(2000);
    chosen = 2;
  });
  const auto [found, said] = search_in_8_mib(functions);
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(joined(found), "");
}

// ---- what is right

TEST(SharedHeap, IsSilentAboutBlocksOfOneTask) {
  int right[3] = {};
  EXPECT_EQ(joined(search({[&] { right[0] = work_on_own_block(1); }, [&] { right[1] = work_on_own_block(2); },
                           [&] { right[2] = work_on_own_block(3); }})),
            "");
  for (const int count : right) EXPECT_EQ(count, 20);
}

TEST(SharedHeap, IsSilentAboutABlockThatTasksWereHanded) {
  const auto shared = std::make_unique<int>(0);
  EXPECT_EQ(joined(search({[&] { work_on_handed_block(1, shared.get()); },
                           [&] { work_on_handed_block(2, shared.get()); }})),
            "");
}

TEST(SharedHeap, IsSilentAboutABlockWithALock) {
  EXPECT_EQ(joined(search({[] { work_under_mutex(1); }, [] { work_under_mutex(2); }})), "");
}

TEST(SharedHeap, IsSilentAboutWhatTheAllocatorDoesWithABlock) {
  int sums[2] = {};
  EXPECT_EQ(joined(search(
                {[&] { sums[0] = work_on_zeroed_block(1); }, [&] { sums[1] = work_on_zeroed_block(2); }})),
            "");
  EXPECT_EQ(sums[0] + sums[1], 0);
}

TEST(SharedHeap, IsSilentAboutBlocksThatAreReplaced) {
  EXPECT_EQ(joined(search({[] { swap_blocks(1); }, [] { swap_blocks(2); }, [] { swap_blocks(3); }})), "");
}

TEST(SharedHeap, IsSilentAboutWhatOnlyAnIgnoredNameLeadsTo) {
  EXPECT_EQ(
      joined(search({[] { fetch_by_allocated_connection(3); }, [] { fetch_by_allocated_connection(4); }},
                    {.ignore = {"connection"}})),
      "");
}

TEST(SharedHeap, IsFoundInASecondSearchToo) {
  EXPECT_EQ(
      search({[] { fetch_by_allocated_connection(5); }, [] { fetch_by_allocated_connection(6); }}).size(),
      1u);
}

}  // namespace
