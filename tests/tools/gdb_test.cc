// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// gdb's task commands, in gdb itself in batch mode, on real processes and a real core: gdb's unwinding is not
// available otherwise. Most tests use the commands that the program contains.
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "support/processes.h"

namespace aiofiber::tool_test {
namespace {

namespace fs = std::filesystem;

// gdb on `subject` (its words of the command line), which runs `commands`. What it says on either stream, in
// order.
std::string gdb(const Words& subject, const Words& commands) {
  const std::string folder = fs::path(INSPECT_TARGET).parent_path();
  Words words{"gdb", "-nx", "-batch", "-iex", "add-auto-load-safe-path " + folder};
  for (const char* setting : {"set confirm off", "set width 0", "set debuginfod enabled off"}) {
    words.insert(words.end(), {"-iex", setting});
  }
  for (const std::string& command : commands) words.insert(words.end(), {"-ex", command});
  words.insert(words.end(), subject.begin(), subject.end());
  const Finished finished = run(words, [] { dup2(STDOUT_FILENO, STDERR_FILENO); });
  return finished.out;
}

class Gdb : public ::testing::Test {
 protected:
  void SetUp() override {
    if (run({"gdb", "--version"}).code != 0) GTEST_SKIP() << "gdb is not installed (tools/setup check)";
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  // Of an inspect_target in this mode, written by gdb's gcore command; removed with the test.
  std::string core_of_gcore(Words mode) {
    char name[] = "/tmp/aiofiber_gdb_XXXXXX";
    folder_ = mkdtemp(name);
    mode.insert(mode.begin(), INSPECT_TARGET);
    const Running process(mode);
    gdb({"-p", process.pid()}, {"generate-core-file " + (folder_ / "core").string()});
    return folder_ / "core";
  }

 private:
  fs::path folder_;
};

TEST_F(Gdb, InfoTasksListsWhatEachTaskDoes) {
  const Running process({INSPECT_TARGET, "family"});
  const std::string out = gdb({"-p", process.pid()}, {"info tasks"});
  EXPECT_TRUE(contains(out, "\"parent\" waiting for task 2 \"child\"")) << out;
  EXPECT_TRUE(contains(out, "\"child\"  waiting for sleep, 3")) << out;
  EXPECT_TRUE(contains(out, "rest (inspect_target.cc:")) << out;
  EXPECT_TRUE(contains(out, "\"last\"   on CPU")) << out;
  EXPECT_TRUE(contains(out, "\"unborn\" new")) << out;
}

TEST_F(Gdb, InfoTasksNamesWhoHoldsTheLock) {
  const Running process({LOCK_TARGET});
  std::string out;
  for (int looks = 0; looks < 20 && !contains(out, "held by thread");
       ++looks) {  // "guest" is between two waits now and then
    out = gdb({"-p", process.pid()}, {"info tasks"});
  }
  EXPECT_TRUE(contains(out, "\"salary\" waiting for lock at 0x") &&
              contains(out, ", held by task 3 \"rent\""))
      << out;
  EXPECT_TRUE(contains(out, ", held by task 2 \"salary\"")) << out;
  EXPECT_TRUE(contains(out, ", held by task 4 (ended)")) << out;
  // Where it is: past the inlined functions of the standard library, whose lines are in headers.
  EXPECT_TRUE(contains(out, "transfer (lock_target.cc:")) << out;
  EXPECT_TRUE(contains(out, "main::{lambda} (lock_target.cc:")) << out;
  EXPECT_FALSE(contains(out, "std_mutex.h")) << out;
  EXPECT_TRUE(contains(out, ", held by thread ")) << out;
}

// Of the lines of `info tasks` the one about the task of this name.
std::string line_of(const std::string& out, const std::string& name) {
  return line_with(out, "\"" + name + "\"");
}

TEST_F(Gdb, InfoTasksTellsUntilWhenAndWhichCall) {
  char locked[] = "/tmp/aiofiber_gdb_XXXXXX";
  close(mkstemp(locked));
  const Running process({WAITS_TARGET, locked});
  const std::string out = gdb({"-p", process.pid()}, {"info tasks"});
  kill(-process.id(), SIGKILL);
  unlink(locked);
  EXPECT_TRUE(contains(line_of(out, "timeout"), ", limit in 35")) << out;
  EXPECT_TRUE(contains(line_of(out, "aio-lock"), "\"lock-holder\", limit in 35")) << out;
  EXPECT_FALSE(contains(line_of(out, "after-timeout"), "limit")) << "that limit is over: " << out;
  EXPECT_FALSE(contains(line_of(out, "lock-holder"), "limit")) << "the sleep ends by itself: " << out;
  const std::string gather = line_of(out, "gather");
  EXPECT_TRUE(contains(gather, "waiting for gather of tasks ")) << out;
  EXPECT_TRUE(contains(gather, " \"part-0\", ") && contains(gather, " \"part-2\" and 1 more")) << gather;
  EXPECT_TRUE(contains(line_of(out, "shield"), "waiting for shield of task ")) << out;
  EXPECT_TRUE(contains(line_of(out, "barrier"), "waiting for barrier at 0x")) << out;
  const std::string called = "waiting for a call on another thread: (anonymous namespace)::";
  const std::string lambda = "start_all::{lambda} (waits_target.cc:";
  EXPECT_TRUE(contains(line_of(out, "to-thread"), called + "blocks_a_thread()")) << out;
  EXPECT_TRUE(contains(line_of(out, "to-thread-lambda"), called + lambda)) << out;
  // Where: not in libstdc++ and not in a thunk. For a task without a frame of the program, the function with
  // which it began.
  EXPECT_TRUE(contains(line_of(out, "join"), "{lambda} (waits_target.cc:")) << out;
  EXPECT_TRUE(contains(line_of(out, "system"), "{lambda} (waits_target.cc:")) << out;
  EXPECT_TRUE(contains(line_of(out, "tail-call"), "::ends_in_a_call (waits_target.cc:")) << out;
}

TEST_F(Gdb, ReadsProgramsWhoseRecordsDoNotNameOwners) {
  const Running process({LOCK_TARGET, "old"});
  const std::string out = gdb({"-p", process.pid()}, {"info tasks"});
  EXPECT_TRUE(contains(out, "\"rent\"   waiting for lock at 0x")) << out;
  EXPECT_FALSE(contains(out, "held by")) << out;
}

TEST_F(Gdb, TaskMakesBacktraceFrameAndLocalsThoseOfTheTask) {
  const Running process({INSPECT_TARGET, "locals"});
  const std::string out =
      gdb({"-p", process.pid()}, {"info tasks", "task 3", "up", "info locals", "bt", "task"});
  EXPECT_FALSE(contains(out, "\"done\"")) << out;
  EXPECT_TRUE(contains(out, "[Switching to task 3 \"two words\"]\n#")) << out;
  EXPECT_TRUE(contains(out, "local = 42")) << out;
  EXPECT_EQ(count(out, "rest_with (argument="), 2u) << "of `up` and of `bt`: " << out;
  EXPECT_TRUE(contains(out, "fiber_entry")) << "the walk goes to the end of the stack: " << out;
  EXPECT_FALSE(contains(out.substr(out.find("[Switching")), "epoll"))
      << "the frame of the thread is not the task's: " << out;
  EXPECT_FALSE(contains(out, "Backtrace stopped")) << out;
  EXPECT_TRUE(contains(out, "[Current task is 3 \"two words\"]")) << out;
}

TEST_F(Gdb, TaskOfARunningOneIsItsThread) {
  const Running process({INSPECT_TARGET, "family"});
  const std::string out = gdb({"-p", process.pid()}, {"task 4", "task 5", "bt", "task"});
  EXPECT_TRUE(contains(out, "[Switching to task 5 \"last\"]\n#0 ")) << out;
  EXPECT_TRUE(contains(out, "operator()") && contains(out, " (__closure=") &&
              contains(out, "No task is selected."))
      << out;
  EXPECT_FALSE(contains(out.substr(out.find("to task 5")), "dive")) << out;
}

// The calls that `bt` prints in `out`, oldest last, without those of aiofiber and of the standard library. A
// coroutine has no number, so its line begins with its name.
Words calls_in(const std::string& out) {
  Words calls;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) {
    const std::size_t at = line.find("(anonymous namespace)::");
    if (at == std::string::npos || contains(line.substr(0, at), "aiofiber::") || line.ends_with(","))
      continue;
    const std::string name = line.substr(at + 23);
    calls.push_back((at == 0 ? "co " : "") + name.substr(0, name.find(' ')));
  }
  return calls;
}

TEST_F(Gdb, BacktraceShowsCoroutinesBetweenTheFramesThatCallThem) {
  const Running process({INSPECT_TARGET, "coroutines"});
  const Words chain{"co leaf", "co middle<int>", "co Service::outer"};
  const std::string out = gdb({"-p", process.pid()}, {"task apply 3 4 5 6 bt", "task 6", "bt"});
  EXPECT_FALSE(contains(out, "Python Exception")) << out;
  const auto backtrace = [&](const std::string& heading) {
    const std::size_t at = out.find(heading);
    EXPECT_NE(at, std::string::npos) << heading << " in " << out;
    return calls_in(out.substr(at, out.find("\nTask ", at + 1) - at));
  };
  const auto behind = [&](Words calls, const Words& more) {
    calls.insert(calls.end(), more.begin(), more.end());
    return calls;
  };
  EXPECT_EQ(backtrace("\nTask 3 \""), behind(chain, {"awaits_coroutine"}));
  EXPECT_EQ(backtrace("\nTask 4 \""), behind(chain, {"awaits_coroutine", "co borrows_a_stack"}));
  EXPECT_EQ(backtrace("\nTask 5 \""), behind(chain, {"awaits_coroutine", "co borrows_a_stack", "mixes"}));
  const Words running{"stay", "runs", "co runs_below"};
  EXPECT_EQ(calls_in(out.substr(out.find("[Switching to task 6"))), running);
}

TEST_F(Gdb, ListsTheCoroutinesOfATaskWithoutAStack) {
  const Running process({INSPECT_TARGET, "coroutines"});
  const std::string out =
      gdb({"-p", process.pid()}, {"info tasks", "task 2", "task", "task apply 2 7 bt", "task 7"});
  for (const char* name : {"stackless", "driving", "borrowing", "mixed"})
    EXPECT_TRUE(contains(line_of(out, name), "leaf (inspect_target.cc:")) << out;
  EXPECT_TRUE(contains(line_of(out, "running"), "stay (inspect_target.cc:")) << out;
  const std::string list =
      "Task 2 has no stack, so `bt` cannot show it. Its coroutines, innermost first:\n"
      "#0  (anonymous namespace)::leaf (inspect_target.cc:";
  EXPECT_EQ(count(out, list), 2u) << "of `task` and of `task apply`: " << out;
  EXPECT_TRUE(contains(out, "#1  (anonymous namespace)::middle<int> (inspect_target.cc:") &&
              contains(out, "#2  (anonymous namespace)::Service::outer (inspect_target.cc:"))
      << out;
  EXPECT_TRUE(contains(out, "No task is selected.")) << out;
  EXPECT_EQ(count(out, "It will run (anonymous namespace)::Service::outer.\n"), 2u) << out;
}

TEST_F(Gdb, TaskOffGoesBackToTheThread) {
  const Running process({INSPECT_TARGET, "family"});
  for (const char* off : {"task off", "task main"}) {
    const std::string out = gdb({"-p", process.pid()}, {"task 4", "echo BACK\\n", off, "bt"});
    const std::string after = out.substr(out.find("BACK"));
    EXPECT_TRUE(contains(after, "#0 ") && !contains(after, "dive")) << out;
  }
}

TEST_F(Gdb, LeavesTheRegistersOfTheProgramAsTheyWere) {
  const Running process({INSPECT_TARGET, "family"});
  const std::string out =
      gdb({"-p", process.pid()}, {"info registers", "echo CUT", "task 4", "bt", "info tasks", "task off",
                                  "echo CUT", "info registers", "echo CUT"});
  Words parts;
  for (std::size_t at = 0, next; (next = out.find("CUT", at)) != std::string::npos; at = next + 3) {
    parts.push_back(out.substr(at, next - at));
  }
  ASSERT_EQ(parts.size(), 3u) << out;
  const std::string before = parts[0].substr(parts[0].find("rax "));
  EXPECT_EQ(before, parts[2]);
}

// The program goes on while a task is selected: it must do what it would have done, and the selection is
// over.
TEST_F(Gdb, TheSelectionEndsWhenTheProgramGoesOn) {
  const std::string out =
      gdb({"--args", INSPECT_TARGET, "step"},
          {"break dive if depth == 0", "run", "info tasks", "task 1", "bt 2", "delete", "continue"});
  EXPECT_TRUE(contains(out, "[Switching to task 1 \"Task-1\"]")) << out;
  EXPECT_TRUE(contains(out, "exited normally")) << out;
  const std::string steps = gdb(
      {"--args", INSPECT_TARGET, "step"},
      {"break dive if depth == 0", "run", "task 1", "delete", "break rest_with", "next", "task", "continue"});
  EXPECT_TRUE(contains(steps, "No task is selected.") && contains(steps, "exited normally")) << steps;
}

// Then the thread's innermost frames have no stack frame of their own, and the one that has is not number 0.
TEST_F(Gdb, WorksWhereTheThreadIsInAnInlinedCall) {
  const std::string out =
      gdb({"--args", INSPECT_TARGET, "step"},
          {"break dive if depth == 0", "run", "delete",
           "python while gdb.newest_frame().type() != gdb.INLINE_FRAME: gdb.execute('stepi', to_string=True)",
           "echo CUT\\n", "task 1", "bt", "continue"});
  const std::string task = out.substr(out.find("CUT"));
  EXPECT_TRUE(contains(task, "busy (count=3, rounds=3)") && !contains(task, "dive")) << out;
  EXPECT_TRUE(contains(task, "fiber_entry") && contains(task, "exited normally")) << out;
}

TEST_F(Gdb, ApplyRunsACommandInSeveralTasks) {
  const Running process({INSPECT_TARGET, "family"});
  const std::string all = gdb({"-p", process.pid()}, {"task apply all bt"});
  EXPECT_EQ(count(all, "\nTask "), 7u) << "six headings and the task without a stack: " << all;
  EXPECT_EQ(count(all, "dive (depth="), 41u) << all;
  EXPECT_TRUE(
      contains(all, "Task 6 has not started: it has no stack. It will run (anonymous namespace)::rest"))
      << all;
  const std::string some = gdb({"-p", process.pid()}, {"task apply 2 3 bt 1", "task"});
  EXPECT_EQ(count(some, "\nTask "), 2u) << some;
  EXPECT_TRUE(contains(some, "Task 3 \"parent\" (waiting for task 2 \"child\"):")) << some;
  EXPECT_TRUE(contains(some, "No task is selected.")) << "apply gives the selection back: " << some;
}

TEST_F(Gdb, KeepsTheSelectedFrameOverListings) {
  const Running process({INSPECT_TARGET, "family"});
  const std::string out = gdb({"-p", process.pid()}, {"task 4", "echo UP\\n", "up 20", "info tasks",
                                                      "task apply all frame", "echo CUT\\n", "frame"});
  EXPECT_TRUE(contains(out, "\n* 4 ")) << out;
  const std::string number = out.substr(out.find("UP\n") + 3, 4);  // "#31 ": inlined frames count too
  EXPECT_EQ(number.front(), '#') << out;
  EXPECT_EQ(out.substr(out.find("CUT\n") + 4, 4), number) << out;
}

TEST_F(Gdb, SaysWhatIsWrongWithANumber) {
  const Running process({INSPECT_TARGET, "locals"});
  const std::string out = gdb({"-p", process.pid()}, {"task 2", "task 99", "task -1", "task x", "task 1 2"});
  EXPECT_EQ(count(out, ": it has ended, or never was."), 2u) << out;
  EXPECT_EQ(count(out, "is not the id of a task"), 2u) << out;
  EXPECT_TRUE(contains(out, "One task, please")) << out;
  const std::string apply =
      gdb({"-p", process.pid()}, {"task apply", "task apply all", "task apply 1", "task apply x bt"});
  EXPECT_EQ(count(apply, "Usage: task apply ID... COMMAND"), 4u) << apply;
  EXPECT_TRUE(contains(gdb({"-p", process.pid()}, {"task apply 1 99 bt"}), "There is no task 99")) << out;
}

TEST_F(Gdb, SaysSoWithoutAProcessAndWithoutARegistry) {
  const std::string still = gdb({INSPECT_TARGET}, {"info tasks", "task apply all bt", "task off", "task 1"});
  EXPECT_TRUE(contains(still, "No tasks.")) << still;
  EXPECT_EQ(count(still, "The program is not running"), 2u) << still;
  const std::string loading = gdb({INSPECT_TARGET}, {"starti", "info tasks", "kill"});
  EXPECT_TRUE(contains(loading, "No tasks.")) << loading;
  const std::string other = gdb({"/bin/true"}, {std::string("source ") + GDB_SCRIPT, "info tasks", "task 1"});
  EXPECT_EQ(count(other, "No aiofiber program"), 2u) << other;
}

TEST_F(Gdb, ShowsSeveralLoopsEachOnItsThread) {
  const Running process({INSPECT_TARGET, "loops"}, 2);
  const std::string out = gdb({"-p", process.pid()}, {"info tasks", "task apply all thread"});
  EXPECT_EQ(count(out, "\"sleeper-0\""), 4u) << "two in the list, two headings: " << out;
  EXPECT_EQ(count(out, "[Current thread is 2 ("), 2u) << out;
  EXPECT_EQ(count(out, "[Current thread is 3 ("), 2u) << out;
}

TEST_F(Gdb, WorksOnAKernelCore) {
  char name[] = "/tmp/aiofiber_gdb_XXXXXX";
  const fs::path folder = mkdtemp(name);
  Running process({INSPECT_TARGET, "family"}, 1, [&] {
    const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &all);
    if (chdir(folder.c_str()) != 0) _exit(126);
  });
  process.end(SIGABRT);
  std::string core;
  for (const auto& entry : fs::directory_iterator(folder)) core = entry.path();
  if (core.empty()) {
    fs::remove_all(folder);
    GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  }
  const std::string out =
      gdb({INSPECT_TARGET, core}, {"info tasks", "task 4", "bt", "task 5", "bt", "task apply 2 info locals"});
  fs::remove_all(folder);
  EXPECT_TRUE(contains(out, "\"parent\" waiting for task 2 \"child\"")) << out;
  EXPECT_EQ(count(out, "dive (depth="), 41u) << out;
  EXPECT_TRUE(contains(out.substr(out.find("to task 5")), " (__closure=")) << out;
}

// gcore drops the rest of a mapping after its first unreadable page and leaves zeros. The guards of the first
// stacks split the mapping for this reason. A reader of a core without the other stacks must be told.
TEST_F(Gdb, ReadsACoreOfGcore) {
  const std::string core = core_of_gcore({"family"});
  const std::string out = gdb({INSPECT_TARGET, core}, {"info tasks", "task 4", "bt"});
  const Finished command = run({AIOFIBER_COMMAND, "stack", "--core", core, "diver"});
  EXPECT_TRUE(contains(out, "\"parent\" waiting for task 2 \"child\"")) << out;
  EXPECT_EQ(count(out, "dive (depth="), 41u) << out;
  EXPECT_EQ(command.code, 0) << command.err;
  EXPECT_TRUE(contains(command.out, "dive") && contains(command.out, "Previous line repeated"))
      << command.out;
}

TEST_F(Gdb, SaysWhichStacksACoreOfGcoreLacks) {
  const std::string core = core_of_gcore({"sleepers", "4400"});  // more than kMprotectGuards
  const std::string out = gdb({INSPECT_TARGET, core}, {"task 4300"});
  const Finished command = run({AIOFIBER_COMMAND, "stack", "--core", core, "sleeper-4300"});
  if (contains(out, "Switching to task 4300"))
    GTEST_SKIP() << "this gdb, or this kernel's guards, leave nothing out";
  EXPECT_TRUE(contains(out, "The stack of task 4300 is not in the core. gdb's gcore leaves out")) << out;
  EXPECT_TRUE(contains(command.err, "are not in the core")) << command.err << command.out;
}

TEST_F(Gdb, SaysWhatAutoLoadNeeds) {
  const std::string out = run({"gdb", "-nx", "-batch", "-iex", "set auto-load safe-path /nowhere", "-ex",
                               "info auto-load python-scripts", INSPECT_TARGET})
                              .out;
  EXPECT_TRUE(contains(out, "No") && contains(out, "aiofiber_gdb.py")) << out;
}

}  // namespace
}  // namespace aiofiber::tool_test
