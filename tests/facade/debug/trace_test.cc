// SPDX-License-Identifier: Apache-2.0
//
// The timeline's file: it is always JSON, its slices and arrows are consistent, and it reports lost events.
// This file has its own reader of JSON, so the tests do not depend on the writer. Real clock: a trace has no
// other, and no test depends on durations. Programs that end by exit() or fork() are children of the test.
// Labels: threads long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/debug.h"
#include "aiofiber/runtime/trace/trace.h"
#include "aiofiber/runtime/trace/trace_json.h"

using namespace std::chrono_literals;

namespace aiofiber {
namespace {

// ---- reading

struct Value {
  enum { kNull, kBool, kNumber, kString, kArray, kObject } kind = kNull;
  double number = 0;
  std::string text;
  std::vector<Value> items;
  std::map<std::string, Value> members;

  const Value& at(const std::string& key) const {
    static const Value none;
    const auto found = members.find(key);
    return found != members.end() ? found->second : none;
  }
  std::string string(const std::string& key) const { return at(key).text; }
};

// RFC 8259, strictly: what it does not allow is an error.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  std::optional<Value> read() {
    Value value = any();
    space();
    if (!good_ || at_ != text_.size()) return std::nullopt;
    return value;
  }
  std::size_t position() const { return at_; }

 private:
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void want(char c) {
    if (!take(c)) good_ = false;
  }
  Value any() {
    Value value;
    space();
    if (!good_ || at_ >= text_.size()) {
      good_ = false;
    } else if (take('[')) {
      value.kind = Value::kArray;
      if (take(']')) return value;
      do value.items.push_back(any());
      while (good_ && take(','));
      want(']');
    } else if (take('{')) {
      value.kind = Value::kObject;
      if (take('}')) return value;
      do {
        space();
        const std::string key = string();
        want(':');
        if (value.members.count(key) != 0) good_ = false;
        value.members[key] = any();
      } while (good_ && take(','));
      want('}');
    } else if (text_[at_] == '"') {
      value.kind = Value::kString;
      value.text = string();
    } else if (text_.substr(at_, 4) == "true") {
      value.kind = Value::kBool;
      at_ += 4;
    } else {
      value.kind = Value::kNumber;
      const std::size_t end = std::min(text_.find_first_not_of("0123456789.", at_), text_.size());
      if (end == at_) good_ = false;
      value.number = std::strtod(std::string(text_.substr(at_, end - at_)).c_str(), nullptr);
      at_ = end;
    }
    return value;
  }
  std::string string() {
    std::string out;
    want('"');
    while (good_ && at_ < text_.size() && text_[at_] != '"') {
      const char c = text_[at_++];
      if (static_cast<unsigned char>(c) < 0x20) good_ = false;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at_ >= text_.size()) break;
      const char escape = text_[at_++];
      if (escape == 'u') {
        out += static_cast<char>(std::strtol(std::string(text_.substr(at_, 4)).c_str(), nullptr, 16));
        at_ += 4;
      } else if (escape == '"' || escape == '\\') {
        out += escape;
      } else {
        good_ = false;
      }
    }
    want('"');
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool good_ = true;
};

struct Slice {
  double begin, end;
  std::string name;
};

struct Timeline {
  std::map<double, std::string> names;               // of rows
  std::map<double, std::vector<Slice>> rows;         // in the order of their begin
  std::map<double, std::pair<Value, Value>> arrows;  // by id: both ends
  double lost = -1;                                  // as the last line says
  int lost_notes = 0;

  std::vector<double> rows_called(const std::string& name) const {
    std::vector<double> found;
    for (const auto& [row, text] : names) {
      if (text == name) found.push_back(row);
    }
    return found;
  }
  int slices(double row, const std::string& name) const {
    int count = 0;
    if (rows.count(row) == 0) return 0;
    for (const Slice& slice : rows.at(row)) count += slice.name == name;
    return count;
  }
};

bool is_task(double row) { return row >= static_cast<double>(runtime::TraceJson::kTaskRows); }

std::string contents(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Timeline parse(const std::string& text) {
  Timeline timeline;
  Reader reader(text);
  const auto file = reader.read();
  EXPECT_TRUE(file.has_value()) << "not JSON at byte " << reader.position() << " of " << text.size();
  if (!file) return timeline;
  EXPECT_EQ(file->kind, Value::kArray);
  for (const Value& event : file->items) {
    const std::string phase = event.string("ph");
    const double row = event.at("tid").number, time = event.at("ts").number;
    if (phase == "X") {
      timeline.rows[row].push_back({time, time + event.at("dur").number, event.string("name")});
    } else if (phase == "s") {
      timeline.arrows[event.at("id").number].first = event;
    } else if (phase == "f") {
      timeline.arrows[event.at("id").number].second = event;
    } else if (phase == "i") {
      ++timeline.lost_notes;
    } else if (phase == "M" && event.string("name") == "thread_name") {
      timeline.names[row] = event.at("args").string("name");
    } else if (phase == "M" && event.string("name") == "aiofiber_trace") {
      timeline.lost = event.at("args").at("lost").number;
    }
  }
  for (auto& [row, slices] : timeline.rows) {
    std::stable_sort(slices.begin(), slices.end(),
                     [](const Slice& a, const Slice& b) { return a.begin < b.begin; });
  }
  return timeline;
}

// What is true of every timeline, whole or not.
void expect_sound(const Timeline& timeline) {
  constexpr double kRounding = 0.0005;  // times are printed to the nanosecond
  for (const auto& [row, slices] : timeline.rows) {
    EXPECT_EQ(timeline.names.count(row), 1u) << "no name for row " << row;
    if (!is_task(row)) continue;
    for (std::size_t i = 1; i < slices.size(); ++i) {
      EXPECT_LE(slices[i - 1].end, slices[i].begin + kRounding)
          << slices[i - 1].name << " and " << slices[i].name << " of row " << row;
    }
  }
  const auto on_a_slice = [&](const Value& end) {
    const double time = end.at("ts").number;
    const auto found = timeline.rows.find(end.at("tid").number);
    if (found == timeline.rows.end()) return false;
    for (const Slice& slice : found->second) {
      if (slice.begin <= time + kRounding && time <= slice.end + kRounding) return true;
    }
    return false;
  };
  for (const auto& [id, ends] : timeline.arrows) {
    EXPECT_EQ(ends.first.string("ph"), "s") << "arrow " << id << " has no start";
    EXPECT_EQ(ends.second.string("ph"), "f") << "arrow " << id << " has no end";
    EXPECT_LE(ends.first.at("ts").number, ends.second.at("ts").number);
    EXPECT_TRUE(on_a_slice(ends.first) && on_a_slice(ends.second)) << "arrow " << id << " hangs in the air";
  }
}

class Trace : public testing::Test {
 protected:
  ~Trace() override { unlink(path.c_str()); }
  Timeline read() const {
    const Timeline timeline = parse(contents(path));
    expect_sound(timeline);
    return timeline;
  }
  // Runs `body` in a child, and gives its exit code.
  template <class F>
  int in_child(F body) {
    const pid_t child = fork();
    if (child == 0) {
      body();
      _exit(99);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  const std::string path = testing::TempDir() + "trace_test_" + std::to_string(getpid()) + ".json";
};

// A few tasks that wait in several ways.
void some_tasks() {
  asyncio::run([] {
    asyncio::Event event;
    auto waiter = asyncio::create_task({.name = "waiter"}, [&] { asyncio::await(event.wait()); });
    auto sleeper = asyncio::create_task({.name = "sleeper"}, [] { asyncio::await(asyncio::sleep(1ms)); });
    asyncio::await(sleeper);
    event.set();
    asyncio::await(waiter);
  });
}

// ---- tests

TEST_F(Trace, ShowsRunsWaitsAndWakes) {
  start_trace(path);
  some_tasks();
  EXPECT_EQ(stop_trace(), 0u);
  const Timeline timeline = read();
  EXPECT_EQ(timeline.lost, 0);
  const auto sleeper = timeline.rows_called("sleeper"), waiter = timeline.rows_called("waiter");
  ASSERT_EQ(sleeper.size(), 1u);
  ASSERT_EQ(waiter.size(), 1u);
  EXPECT_EQ(timeline.slices(sleeper[0], "run"), 2);
  EXPECT_EQ(timeline.slices(sleeper[0], "wait: sleep"), 1);
  bool waits_for_event = false, main_waits = false;
  for (const auto& [row, slices] : timeline.rows) {
    for (const Slice& slice : slices) {
      waits_for_event |= row == waiter[0] && slice.name.rfind("wait: event 0x", 0) == 0;
      main_waits |= slice.name == "wait: task 'sleeper'";
    }
  }
  EXPECT_TRUE(waits_for_event);
  EXPECT_TRUE(main_waits);
}

TEST_F(Trace, DrawsAnArrowFromTheTaskThatWakes) {
  start_trace(path);
  some_tasks();
  stop_trace();
  const Timeline timeline = read();
  const double waiter = timeline.rows_called("waiter").at(0), sleeper = timeline.rows_called("sleeper").at(0);
  std::multiset<bool> to_waiter, to_sleeper;  // whether a task began the arrow
  for (const auto& [id, ends] : timeline.arrows) {
    const double to = ends.second.at("tid").number;
    if (to == waiter) to_waiter.insert(is_task(ends.first.at("tid").number));
    if (to == sleeper) to_sleeper.insert(is_task(ends.first.at("tid").number));
  }
  EXPECT_EQ(to_waiter.count(true), 2u) << "created by the main task, and woken by it";
  EXPECT_EQ(to_sleeper.count(false), 1u) << "woken by the loop";
}

TEST_F(Trace, ShowsTheLoopsPollsAndCallbacks) {
  start_trace(path);
  asyncio::run([] {
    asyncio::get_running_loop().call_soon([] {});
    asyncio::await(asyncio::sleep(1ms));
  });
  stop_trace();
  int polls = 0, callbacks = 0;
  for (const auto& [row, slices] : read().rows) {
    for (const Slice& slice : slices) {
      polls += slice.name == "poll";
      callbacks += slice.name == "callback";
    }
  }
  EXPECT_GE(polls, 1);
  EXPECT_GE(callbacks, 1);
}

TEST_F(Trace, EscapesNames) {
  const std::vector<std::string> names = {"a \"quoted\" name",    "back\\slash",
                                          "tab\tnewline\nbell\a", "na\xc3\xafve \xf0\x9f\x90\x99",
                                          "sixteen letters!",     "seventeen letters"};
  start_trace(path);
  asyncio::run([&] {
    std::vector<asyncio::Task<void>> tasks;
    for (const auto& name : names) tasks.push_back(asyncio::create_task({.name = name}, [] {}));
    tasks.push_back(asyncio::create_task({.name = "not UTF-8: \xc3(\xff"}, [] {}));
    tasks.push_back(asyncio::create_task({.name = std::string(30, 'x') + "\xc3\xa9"},
                                         [] {}));  // its last character does not fit
    for (auto& task : tasks) asyncio::await(task);
  });
  stop_trace();
  const Timeline timeline = read();
  for (const auto& name : names) EXPECT_EQ(timeline.rows_called(name).size(), 1u) << name;
  EXPECT_EQ(timeline.rows_called("not UTF-8: \xef\xbf\xbd(\xef\xbf\xbd").size(), 1u);
  EXPECT_EQ(timeline.rows_called(std::string(30, 'x')).size(), 1u);
}

TEST_F(Trace, FollowsANewName) {
  start_trace(path);
  asyncio::run([] {
    asyncio::await(asyncio::sleep(0s));
    asyncio::current_task()->set_name("renamed");
    asyncio::await(asyncio::sleep(0s));
  });
  stop_trace();
  EXPECT_EQ(read().rows_called("renamed").size(), 1u);
}

TEST_F(Trace, NamesTasksThatWereThereBefore) {
  asyncio::run([&] {
    auto early = asyncio::create_task({.name = "early"}, [] { asyncio::await(asyncio::sleep(1ms)); });
    asyncio::await(asyncio::sleep(0s));
    start_trace(path);
    asyncio::await(early);
    stop_trace();
  });
  const Timeline timeline = read();
  ASSERT_EQ(timeline.rows_called("early").size(), 1u);
  EXPECT_EQ(timeline.slices(timeline.rows_called("early")[0], "run"), 1);
}

TEST_F(Trace, GivesEachLoopItsRow) {
  start_trace(path);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(some_tasks);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(stop_trace(), 0u);
  const Timeline timeline = read();
  int loops = 0;
  for (const auto& [row, name] : timeline.names) loops += !is_task(row);
  EXPECT_GE(loops, 1);  // a thread's id may come again, after it has ended
  EXPECT_EQ(timeline.rows_called("waiter").size(), 4u);
}

TEST_F(Trace, HasTheWaitsThatAreNotOver) {
  asyncio::run([&] {
    start_trace(path);
    auto sleeper = asyncio::create_task({.name = "sleeper"}, [] { asyncio::await(asyncio::sleep(1000s)); });
    asyncio::await(asyncio::sleep(0s));
    stop_trace();
    sleeper.cancel();
  });
  const Timeline timeline = read();
  EXPECT_EQ(timeline.slices(timeline.rows_called("sleeper").at(0), "wait: sleep"), 1);
}

TEST_F(Trace, CountsWhatAFullRingDrops) {
  // Writes into a pipe without a reader at first: the writer is certainly blocked while far more events come
  // than the ring holds.
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int pipe = open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(pipe, 0);
  std::string text;
  std::atomic<bool> noted = false;
  std::thread reader;
  runtime::start_trace(path, 16);
  std::thread([&] {  // a thread of its own, whose ring is made now
    asyncio::run([] {
      std::vector<asyncio::Task<void>> tasks;
      for (int i = 0; i < 5000; ++i)
        tasks.push_back(asyncio::create_task([] { asyncio::await(asyncio::sleep(0s)); }));
      for (auto& task : tasks) asyncio::await(task);
    });
    reader = std::thread([&] {
      char buffer[4096];
      while (text.size() < 3 || text.compare(text.size() - 3, 3, "\n]\n") != 0) {
        const ssize_t got = ::read(pipe, buffer, sizeof buffer);
        if (got <= 0) return;
        text.append(buffer, static_cast<std::size_t>(got));
        const std::size_t new_part = text.size() - static_cast<std::size_t>(got);
        if (text.find("events lost", new_part > 16 ? new_part - 16 : 0) != std::string::npos) noted = true;
      }
    });
    while (!noted) some_tasks();  // the note is written when there is room again
  })
      .join();
  const std::size_t lost = stop_trace();
  reader.join();
  close(pipe);
  const Timeline timeline = parse(text);
  expect_sound(timeline);
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(timeline.lost, static_cast<double>(lost));
  EXPECT_GT(timeline.lost_notes, 0);
}

TEST_F(Trace, CanBeStartedAgain) {
  for (int i = 0; i < 3; ++i) {
    start_trace(path);
    some_tasks();
    stop_trace();
    EXPECT_EQ(read().rows_called("waiter").size(), 1u);
  }
}

TEST_F(Trace, RefusesASecondFile) {
  start_trace(path);
  EXPECT_THROW(start_trace(path + ".other"), RuntimeError);
  stop_trace();
  EXPECT_EQ(access((path + ".other").c_str(), F_OK), -1);
}

TEST_F(Trace, SaysWhichFileCannotBeOpened) {
  try {
    start_trace("/no/such/folder/trace.json");
    FAIL();
  } catch (const RuntimeError& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/folder/trace.json"), std::string::npos)
        << error.what();
  }
  some_tasks();
}

TEST_F(Trace, IsForTheOwnerAloneAndFollowsNoLink) {
  const auto permissions = [&] {
    struct stat status {};
    return stat(path.c_str(), &status) == 0 ? status.st_mode & 0777u : 0u;
  };
  const mode_t before = umask(0);
  start_trace(path);
  stop_trace();
  EXPECT_EQ(permissions(), 0600u);
  unlink(path.c_str());
  start_trace(path, 0644);
  stop_trace();
  EXPECT_EQ(permissions(), 0644u);
  umask(before);
  const std::string link = path + ".link";
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  EXPECT_THROW(start_trace(link), RuntimeError);
  unlink(link.c_str());
}

TEST_F(Trace, LetsTheProgramGoOnWhenTheDiskIsFull) {
  testing::internal::CaptureStderr();
  start_trace("/dev/full");
  some_tasks();
  stop_trace();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("/dev/full"), std::string::npos);
  start_trace(path);
  some_tasks();
  stop_trace();
  read();
}

TEST_F(Trace, KeepsNoDescriptorOfTheProgramOpen) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  start_trace(path);
  some_tasks();
  close(ends[1]);
  char byte;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0) << "the other end is closed, so nothing will come";
  close(ends[0]);
  stop_trace();
}

TEST_F(Trace, LeavesNoDescriptorBehind) {
  const auto lowest_free = [] {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
  };
  const int before = lowest_free();
  testing::internal::CaptureStderr();
  for (const std::string& file : {path, std::string("/dev/full")}) {
    start_trace(file);
    some_tasks();
    // Of the full disk the writer hears first: it is there every tenth of a second.
    if (file != path) usleep(300'000);
    stop_trace();
  }
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(lowest_free(), before);
}

TEST_F(Trace, IsWholeWhenATaskCallsExit) {
  const int code = in_child([&] {
    start_trace(path);
    asyncio::run([] {
      auto other = asyncio::create_task({.name = "other"}, [] { asyncio::await(asyncio::sleep(1000s)); });
      asyncio::await(asyncio::sleep(0s));
      std::exit(7);
    });
  });
  EXPECT_EQ(code, 7);
  const Timeline timeline = read();
  EXPECT_EQ(timeline.lost, 0);
  EXPECT_EQ(timeline.slices(timeline.rows_called("other").at(0), "wait: sleep"), 1);
}

TEST_F(Trace, LacksOnlyItsEndWhenTheProcessDies) {
  in_child([&] {
    start_trace(path);
    some_tasks();
    usleep(500'000);  // the writer comes every tenth of a second: there is no other sign of it
    _exit(0);
  });
  const std::string text = contents(path);
  ASSERT_GT(text.size(), 2u);
  EXPECT_EQ(text.substr(text.size() - 2), ",\n");
  const Timeline timeline = parse(text.substr(0, text.size() - 2) + "]");
  EXPECT_EQ(timeline.rows_called("waiter").size(), 1u);
}

TEST_F(Trace, StopsInAForkedChild) {
  if (AIOFIBER_TSAN)
    GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts a thread, as its writer is";
  start_trace(path);
  some_tasks();
  const std::string own = path + ".child";
  const int code = in_child([&] {
    some_tasks();                         // not traced
    if (stop_trace() != 0) std::exit(1);  // and nothing to stop
    start_trace(own);
    some_tasks();
    std::exit(0);
  });
  EXPECT_EQ(code, 0);
  stop_trace();
  EXPECT_EQ(read().rows_called("waiter").size(), 1u);
  const Timeline child = parse(contents(own));
  expect_sound(child);
  EXPECT_EQ(child.rows_called("waiter").size(), 1u);
  unlink(own.c_str());
}

TEST_F(Trace, PutsTheProcessIntoTheName) {
  const std::string pattern = testing::TempDir() + "trace_test_%p.json";
  start_trace(pattern);
  stop_trace();
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace aiofiber
