// SPDX-License-Identifier: Apache-2.0
//
// The parts of `aiofiber trace` that need no other process: the reader of files, complete, cut off at every
// byte and damaged; the counts; and the timeline from samples of a registry, with records that a test wrote.
// Labels: slow
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "aiofiber/asyncio.h"
#include "aiofiber/debug.h"
#include "failure.h"
#include "sampled_timeline.h"
#include "trace_file.h"
#include "trace_format.h"
#include "trace_summary.h"

using namespace std::chrono_literals;

namespace aiofiber::tool {
namespace {

class TraceFile : public testing::Test {
 protected:
  ~TraceFile() override { close(file_); }
  void write(const std::string& text) const {
    ASSERT_EQ(ftruncate(file_, 0), 0);
    ASSERT_EQ(pwrite(file_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  std::string contents() const {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  TraceSummary summarize(TraceFileEnd* end = nullptr) const {
    TraceSummary summary;
    const TraceFileEnd read = read_trace_file(path, [&](const TraceLine& line) { summary.add(line); });
    if (end != nullptr) *end = read;
    return summary;
  }
  // What reading it fails with; empty: it does not.
  std::string failure() const {
    try {
      summarize();
      return "";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.code, Exit::kCore);
      return failure.what();
    }
  }
  // A real one: two tasks that wait in two ways.
  std::string real_trace() const {
    const std::string file = testing::TempDir() + "trace_file_test_" + std::to_string(getpid()) + ".json";
    start_trace(file);
    asyncio::run([] {
      asyncio::Event event;
      auto waiter = asyncio::create_task({.name = "waiter"}, [&] { asyncio::await(event.wait()); });
      asyncio::await(asyncio::create_task({.name = "sleeper"}, [] { asyncio::await(asyncio::sleep(1ms)); }));
      event.set();
      asyncio::await(waiter);
    });
    stop_trace();
    std::ifstream in(file);
    write({std::istreambuf_iterator<char>(in), {}});
    std::filesystem::remove(file);
    return contents();
  }

 private:
  // In memory: thousands of files on a disk would take minutes on some.
  const int file_ = memfd_create("trace", MFD_CLOEXEC);

 protected:
  const std::string path = "/proc/self/fd/" + std::to_string(file_);
};

constexpr char kSlice[] = R"({"ph":"X","pid":1,"tid":10000001,"ts":1.5,"dur":2.25,"cat":"run","name":"run"},)"
                          "\n";

TEST_F(TraceFile, CountsWhatARealOneHolds) {
  real_trace();
  TraceFileEnd end;
  const TraceSummary summary = summarize(&end);
  EXPECT_TRUE(end.complete);
  EXPECT_EQ(end.cut_off, 0u);
  ASSERT_EQ(summary.tasks.size(), 3u);
  EXPECT_EQ(summary.loops.size(), 1u);
  for (const auto& [row, task] : summary.tasks) {
    if (task.name != "waiter" && task.name != "sleeper") continue;
    EXPECT_EQ(task.run.count, 2u) << task.name;
  }
  EXPECT_EQ(summary.waits.at("sleep").times.count, 1u);
  EXPECT_GE(summary.waits.at("sleep").times.longest_ns, 900'000);
  EXPECT_EQ(summary.waits.at("event").times.count, 1u);
  EXPECT_GE(summary.wakes(), 5u);
}

TEST_F(TraceFile, CanBeCutOffAtEveryByte) {
  const std::string whole = real_trace();
  std::uint64_t lines = 0;
  for (std::size_t length = 1; length < whole.size(); ++length) {
    write(whole.substr(0, length));
    TraceFileEnd end;
    ASSERT_NO_THROW(summarize(&end)) << "cut at byte " << length;
    // The last bracket without its new line ends the file all the same.
    EXPECT_EQ(end.complete, length == whole.size() - 1) << "cut at byte " << length;
    EXPECT_GE(end.lines, lines);
    lines = end.lines;
  }
  write("");
  EXPECT_NE(failure().find("is empty"), std::string::npos);
}

TEST_F(TraceFile, DamageIsAnErrorOrHarmless) {
  const std::string whole = real_trace();
  std::mt19937 random(20240817);  // NOLINT: the same bytes in every run
  for (int round = 0; round < 400; ++round) {
    std::string text = whole;
    for (int i = 0; i < 3; ++i) text[random() % text.size()] = static_cast<char>(random());
    write(text);
    failure();  // whatever it says: no crash, and only failures of the file
  }
  for (int round = 0; round < 200; ++round) {
    std::string text(random() % 300, '\0');
    for (char& c : text) c = static_cast<char>(random());
    write("[\n" + text);
    failure();
  }
  write("[\n" + std::string(50'000, '[') + "\n");
  EXPECT_NE(failure().find("line 2 is no event"), std::string::npos);
}

TEST_F(TraceFile, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"hello\n", "is no trace of aiofiber"},
      {"{\"traceEvents\":[]}\n", "is no trace of aiofiber"},
      {"[\n{\"ph\":\"X\"}\n", "line 2 is no event: it has no whole number \"tid\""},
      {"[\n{\"ph\":3,\"tid\":1}\n", "it has no text \"ph\""},
      {"[\n" + std::string(kSlice) + "x\n", "line 3 is no event: it is no JSON"},
      {"[\n{\"ph\":\"X\",\"tid\":1,\"ts\":1e300,\"dur\":1,\"cat\":\"run\",\"name\":\"run\"}\n",
       "it has no time \"ts\""},
      {"[\n{\"ph\":\"X\",\"tid\":1,\"ts\":1,\"dur\":-1,\"cat\":\"run\",\"name\":\"run\"}\n",
       "its \"dur\" is negative"},
      {"[\n]\n", "the end comes without its event"},
      {"[\n" + std::string(100'000, 'x'), "is longer than any that aiofiber writes"},
  };
  for (const auto& [text, message] : cases) {
    write(text);
    EXPECT_NE(failure().find(message), std::string::npos) << text.substr(0, 80) << ": " << failure();
  }
  const std::string whole = real_trace();
  write(whole + whole);
  EXPECT_NE(failure().find("behind the end"), std::string::npos);
  EXPECT_THROW(read_trace_file("/no/such/file", [](const TraceLine&) {}), Failure);
}

TEST_F(TraceFile, FoldsNamesThatDifferInTheirNumber) {
  TraceSummary summary;
  for (std::uint64_t i = 0; i < 3; ++i) {
    TraceLine name;
    name.kind = TraceLine::Kind::kRowName;
    name.row = runtime::kTraceTaskRows + i;
    name.name = i == 2 ? "main" : "fetch-" + std::to_string(i);
    summary.add(name);
    TraceLine run;
    run.kind = TraceLine::Kind::kSlice;
    run.row = name.row;
    run.category = run.name = "run";
    run.duration_ns = 100 + static_cast<std::int64_t>(i);
    summary.add(run);
  }
  const auto rows = summary.rows_by_name(true);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "fetch-*");
  EXPECT_EQ(rows[0].tasks, 2u);
  EXPECT_EQ(rows[0].run.total_ns, 201);
  EXPECT_EQ(rows[0].run.longest_ns, 101);
  EXPECT_EQ(summary.rows_by_name(false).size(), 3u);
}

TEST_F(TraceFile, LatenciesAreExactRanks) {
  TraceSummary summary;
  for (std::uint64_t id = 1; id <= 100; ++id) {
    for (const auto kind : {TraceLine::Kind::kArrowBegin, TraceLine::Kind::kArrowEnd}) {
      TraceLine line;
      line.kind = kind;
      line.arrow = id;
      line.begin_ns = kind == TraceLine::Kind::kArrowBegin ? 1000 : 1000 + static_cast<std::int64_t>(id);
      summary.add(line);
    }
  }
  EXPECT_EQ(summary.latency_ns(0.5), 50);
  EXPECT_EQ(summary.latency_ns(0.99), 99);
  EXPECT_EQ(summary.latency_ns(1), 100);
}

// ---- looks at a registry. Times are in ns from 1,000,000; the looks come every 1,000.

constexpr std::int64_t kStart = 1'000'000;

aiofiber_record waiting(std::uint64_t switches, std::int64_t since) {
  aiofiber_record record{};
  record.id = 5;
  record.state = AIOFIBER_WAITING;
  record.wait_kind = AIOFIBER_WAIT_SLEEP;
  record.wait_since_ns = kStart + since;
  record.switches = switches;
  std::strcpy(record.name, "worker");
  return record;
}
aiofiber_record running(std::uint64_t switches) {
  aiofiber_record record = waiting(switches, 0);
  record.state = AIOFIBER_RUNNING;
  return record;
}

class SampledTimelineTest : public TraceFile {
 protected:
  SampledTimelineTest() { timeline.begin("program", 1000); }
  void look(std::int64_t now) { timeline.begin_look(kStart + now); }
  void look(std::int64_t now, const aiofiber_record& record) {
    look(now);
    timeline.see(0, record);
  }
  // "wait: sleep 0-1500" for each slice.
  std::vector<std::string> end(std::int64_t last) {
    timeline.end(1000, kStart + last);
    EXPECT_EQ(tool_test::TraceFormat::complaints(timeline.text()), std::vector<std::string>());
    write(timeline.text());
    std::vector<std::string> slices;
    read_trace_file(path, [&](const TraceLine& line) {
      if (line.kind == TraceLine::Kind::kTaskCounts) runs = line.runs, samples = line.samples;
      if (line.kind != TraceLine::Kind::kSlice) return;
      slices.push_back(line.name + " " + std::to_string(line.begin_ns) + "-" +
                       std::to_string(line.begin_ns + line.duration_ns));
    });
    return slices;
  }

  SampledTimeline timeline{1, kStart};
  std::uint64_t runs = 0, samples = 0;
};

using Slices = std::vector<std::string>;

TEST_F(SampledTimelineTest, AWaitBeginsWhereItBeganNotWhereItWasSeen) {
  look(1000, waiting(1, 300));
  look(2000);
  look(3000, waiting(2, 2400));  // one run between two waits
  look(4000);
  EXPECT_EQ(end(4000), (Slices{"wait: sleep 300-2400", "wait: sleep 2400-4000"}));
  EXPECT_EQ(runs, 1u);
}

TEST_F(SampledTimelineTest, WhatCannotBeKnownIsCounted) {
  look(1000, waiting(1, 300));
  look(2000, waiting(4, 1700));
  EXPECT_EQ(end(2000),
            (Slices{"wait: sleep 300-1000", "3 runs between two looks 1000-1700", "wait: sleep 1700-2000"}));
  EXPECT_EQ(runs, 3u);
}

TEST_F(SampledTimelineTest, ALongRunIsDrawnAsFarAsItWasSeen) {
  look(1000, waiting(1, 300));
  look(2000, running(2));
  look(3000, running(2));
  look(4000, running(2));
  look(5000, waiting(2, 1800));  // since the poll before that run
  look(6000);
  EXPECT_EQ(end(6000), (Slices{"wait: sleep 300-1000", "run 2000-4000", "wait: sleep 5000-6000"}));
  EXPECT_EQ(samples, 3u);
}

TEST_F(SampledTimelineTest, ARunIsNotDrawnOverALookThatMissedIt) {
  look(1000, running(2));
  look(2000, running(2));
  look(3000);
  timeline.miss(0);
  look(4000);
  timeline.miss(0);
  look(5000, running(9));
  EXPECT_EQ(end(5000), (Slices{"run 1000-2000", "7 runs between two looks 2000-5000"}));
}

// The registry is copied a little after the look's time was taken.
TEST_F(SampledTimelineTest, AWaitMayBeYoungerThanItsLook) {
  look(1000, waiting(1, 300));
  look(2000, waiting(2, 2100));
  look(3000, waiting(3, 2900));
  EXPECT_EQ(end(3000), (Slices{"wait: sleep 300-2100", "wait: sleep 2100-2900", "wait: sleep 2900-3000"}));
}

TEST_F(SampledTimelineTest, ATaskThatEndsWasThereUntilTheLookBefore) {
  look(1000, waiting(1, 300));
  look(2000);
  look(3000, aiofiber_record{});
  look(4000);
  EXPECT_EQ(end(4000), (Slices{"wait: sleep 300-2000"}));
}

TEST_F(SampledTimelineTest, APlaceThatIsUsedAgainIsAnotherRow) {
  look(1000, waiting(1, 300));
  aiofiber_record other = waiting(1, 1600);
  other.id = 6;
  look(2000, other);
  EXPECT_EQ(end(2000), (Slices{"wait: sleep 300-1000", "wait: sleep 1600-2000"}));
  EXPECT_EQ(timeline.tasks(), 2u);
}

TEST_F(SampledTimelineTest, AWaitFromBeforeTheTraceIsCutAndSaysSo) {
  look(1000, waiting(1, -5000));
  EXPECT_EQ(end(1000), (Slices{"wait: sleep 0-1000"}));
  EXPECT_NE(timeline.text().find("\"began_us_before_the_trace\":5}"), std::string::npos);
}

}  // namespace
}  // namespace aiofiber::tool
