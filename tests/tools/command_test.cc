// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// The aiofiber command on real processes and real cores, because it inspects other processes.
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>

#include <rapidjson/document.h>

#include "support/processes.h"
#include "support/terminal_text.h"

namespace aiofiber::tool_test {
namespace {

namespace fs = std::filesystem;

Finished aiofiber(Words words) {
  words.insert(words.begin(), AIOFIBER_COMMAND);
  return run(words);
}
Words target(const Words& arguments) {
  Words words{INSPECT_TARGET};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}
// A fresh folder under the system's temporary one, gone afterwards.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/aiofiber_command_XXXXXX";
    path_ = mkdtemp(name);
    chmod(name, 0755);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

// Lets the kernel write a core of a target that runs in the folder; empty when the machine sends cores
// elsewhere.
// `wait`: until the target may end.
std::string kernel_core(const Folder& folder, const Words& words, int signal = SIGABRT,
                        const std::function<void(const Running&)>& wait = {}) {
  Running process(words, 1, [&] {
    const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &all);
    if (chdir(folder.path().c_str()) != 0) _exit(126);
  });
  if (wait) wait(process);
  process.end(signal);
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("core")) return entry.path();
  }
  return {};
}

// The lines of inspect_target.cc that end in this comment, from 1.
int line_of_target(const std::string& comment) {
  std::ifstream in(INSPECT_TARGET_SOURCE);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.ends_with("// " + comment)) return number;
  }
  ADD_FAILURE() << "no line of inspect_target.cc ends in // " << comment;
  return 0;
}
// The calls of the mode `coroutines`, as `function (file:line)`, each on its line behind `margin`.
std::string calls_text(const Words& functions, const std::string& margin) {
  std::string text;
  for (const std::string& function : functions) {
    const std::string own = function.substr(function.rfind(':') + 1);
    text += margin + "(anonymous namespace)::" + function +
            " (inspect_target.cc:" + std::to_string(line_of_target(own.substr(0, own.find('<')))) + ")\n";
  }
  return text;
}
const Words kChain{"Service::outer", "middle<int>", "leaf"};
Words behind(Words calls, const Words& more = kChain) {
  calls.insert(calls.end(), more.begin(), more.end());
  return calls;
}
const Words kBorrowing = behind({"borrows_a_stack", "awaits_coroutine"});

// Writes `path` in place of `name` wherever that stands as a text of its own in a file; it is made as long by
// slashes.
int replace_names(const std::string& file, const std::string& name, const std::string& path) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const std::string wanted = name + '\0';
  int replaced = 0;
  for (std::size_t at = 0; (at = bytes.find(wanted, at)) != std::string::npos; at += wanted.size()) {
    bytes.replace(at, name.size(), std::string(name.size() - path.size(), '/') + path);
    ++replaced;
  }
  std::ofstream(file, std::ios::binary) << bytes;
  return replaced;
}

// By the kernel's list of what was mapped and by the loader's, which libdwfl both follows.
void expect_a_core_that_names(const std::string& path, const Folder& folder, const std::string& core) {
  const std::string copy = folder / "doctored";
  for (const std::string& end : {std::string("libc.so.6"), std::string("libstdc++.so.6")}) {
    fs::copy_file(core, copy, fs::copy_options::overwrite_existing);
    int replaced = 0;
    for (const char* start : {"/usr", ""}) {
      const std::string library = start + ("/lib/x86_64-linux-gnu/" + end), target = fs::canonical(library);
      replaced += replace_names(copy, library, path);
      if (target != library) replaced += replace_names(copy, target, path);
    }
    ASSERT_GE(replaced, 1) << end;
    const Finished result = run({"timeout", "20", AIOFIBER_COMMAND, "ps", "--core", copy, INSPECT_TARGET});
    EXPECT_EQ(result.code, 0) << path << result.err;
    EXPECT_TRUE(contains(result.err, path + " was not opened, though the program names it")) << result.err;
  }
}

// The user `nobody`.
constexpr uid_t kNobody = 65534;

// False where a folder on the way to the program is closed to other users, as root's home is. Only for root.
bool nobody_can_run(const char* program) {
  const Finished result = run({"test", "-x", program}, [] {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(126);
  });
  return result.code == 0;
}

// Each limit stops it at another allocation. Some stop the loader, or a library that reports it in its own
// way.
TEST(Command, EndsWithAnExitCodeWhereverMemoryEnds) {
  const Running process(target({"sleepers", "2000"}));
  int without_memory = 0;
  bool succeeded = false;
  for (rlim_t mib = 4; mib <= 512 && !succeeded; mib += mib < 64 ? 1 : 16) {
    const Finished result = run({AIOFIBER_COMMAND, "ps", process.pid()}, [mib] {
      const rlimit limit{mib << 20, mib << 20};
      setrlimit(RLIMIT_AS, &limit);
    });
    EXPECT_NE(result.code, -1) << "a signal ended it at " << mib << " MiB: " << result.err;
    if (contains(result.err, "aiofiber: no memory")) {
      EXPECT_EQ(result.code, 1);
      ++without_memory;
    }
    succeeded = result.code == 0;
  }
  EXPECT_TRUE(succeeded);
  EXPECT_GT(without_memory, 0);
}

TEST(Command, OpensNothingButFilesThatACoreNames) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"family"}));
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  ASSERT_EQ(mkfifo((folder / "f").c_str(), 0600), 0);
  expect_a_core_that_names(folder / "f", folder, core);
  expect_a_core_that_names("/dev/zero", folder, core);
  std::ofstream(folder / "z") << "\x1f\x8b" << std::string(100, 'x');  // libdw would unpack it
  expect_a_core_that_names(folder / "z", folder, core);
}

TEST(Command, PsTellsWhatEachTaskDoes) {
  const Running process(target({"family"}));
  const Finished result = aiofiber({"ps", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(line_with(result.out, "parent"), "task 2 'child'")) << result.out;
  const std::string child = line_with(result.out, " child ");
  EXPECT_TRUE(contains(child, "waiting") && contains(child, "sleep, 59 min") &&
              contains(child, "rest (inspect_target.cc:"))
      << result.out;
  EXPECT_TRUE(contains(line_with(result.out, "unborn"), "new")) << result.out;
  EXPECT_TRUE(contains(line_with(result.out, " last "), "on CPU")) << result.out;
}

TEST(Command, StackShowsFileLineSourceAndFoldsRecursion) {
  const Running process(target({"family"}));
  const Finished result = aiofiber({"stack", process.pid(), "diver"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "Stack for task 4 'diver', waiting for sleep")) << result.out;
  EXPECT_TRUE(contains(result.out, "inspect_target.cc\", line ")) << result.out;
  EXPECT_TRUE(contains(result.out, "    dive(depth - 1, at_the_bottom);\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "[Previous line repeated 37 more times]")) << result.out;
  EXPECT_FALSE(contains(result.out, "aiofiber::")) << result.out;
  const Finished verbose = aiofiber({"stack", process.pid(), "diver", "-v"});
  EXPECT_TRUE(contains(verbose.out, "fiber_entry") && contains(verbose.out, "Parker::park")) << verbose.out;
}

TEST(Command, StopShowsTheStackOfARunningTask) {
  const Running process(target({"family"}));
  Finished result;
  for (int look = 0; look < 50 && !contains(result.out, "pause"); ++look) {  // at first it may write "ready"
    result = aiofiber({"stack", "--stop", "-v", process.pid(), "last"});
    EXPECT_EQ(result.code, 0) << result.err;
  }
  EXPECT_TRUE(contains(result.out, "pause") && contains(result.out, "fiber_entry")) << result.out;
  EXPECT_EQ(kill(process.id(), 0), 0);
  EXPECT_EQ(aiofiber({"ps", process.pid()}).code, 0) << "it must be running again";
}

// Each has been waiting for more than a second, in one call that may have looked many times since; and each
// says for what and how long.
TEST(Command, TellsOfEachWaitForWhatAndSinceWhenAndUntilWhen) {
  const Folder folder;
  const Running process({WAITS_TARGET, folder / "locked"});
  const std::string child = process.output().substr(6, process.output().find('\n') - 6);
  constexpr std::size_t kTasks = 31;
  std::map<std::string, std::string> waits, named;  // what each waits for; its id and name
  // Who is on the CPU now is seen next time. So is the owner of a lock that its waiter looked at meanwhile.
  for (int look = 0; look < 50 && waits.size() < kTasks; ++look) {
    const Finished result = aiofiber({"ps", process.pid(), "--json"});
    rapidjson::Document report;
    report.Parse(result.out.c_str());
    ASSERT_FALSE(report.HasParseError()) << result.out;
    for (const auto& task : report["tasks"].GetArray()) {
      const std::string name = task["name"].GetString();
      if (name == "Task-1" || task["waits_for"].IsNull()) continue;
      const std::string text = task["waits_for"]["text"].GetString();
      if (text.starts_with("lock at ") && !contains(text, "held by")) continue;
      waits[name] = text;
      named[name] = std::to_string(task["id"].GetUint64()) + " '" + name + "'";
      EXPECT_GT(task["since_ns"].GetInt64(), 1'000'000'000) << name;
    }
  }
  const std::string table = aiofiber({"ps", process.pid()}).out;
  const std::string stack = aiofiber({"stack", process.pid(), "tail-call"}).out;
  const std::string tree = aiofiber({"pstree", process.pid()}).out;
  const std::string groups = aiofiber({"groups", process.pid()}).out;
  kill(-process.id(), SIGKILL);
  EXPECT_EQ(waits.size(), kTasks);
  for (const auto& [name, text] : waits) {
    constexpr std::array kLimited{"timeout",   "nested",      "hook-in-timeout", "poll-3",
                                  "condition", "once",        "lock-in-timeout", "timedlock",
                                  "aio-lock",  "lock-holder", "tail-call"};
    const bool limited = std::find(kLimited.begin(), kLimited.end(), name) != kLimited.end();
    EXPECT_EQ(contains(text, "59 min") && contains(text, " left"), limited) << name << ": " << text;
  }
  EXPECT_TRUE(contains(waits["queue-join"], "the last item of the queue")) << waits["queue-join"];
  EXPECT_TRUE(contains(waits["barrier"], "barrier at 0x")) << waits["barrier"];
  EXPECT_TRUE(contains(waits["mutex"], "'holder'")) << waits["mutex"];
  EXPECT_TRUE(contains(waits["once-more"], "held by task") && contains(waits["once-more"], "'once'"))
      << waits["once-more"];
  EXPECT_TRUE(contains(waits["poll-3"], "readable (pipe) and 2 more")) << waits["poll-3"];
  EXPECT_TRUE(contains(waits["flock"], "a lock on fd") && contains(waits["flock"], folder / "locked"))
      << waits["flock"];
  EXPECT_EQ(waits["gather"], "gather of tasks " + named["part-0"] + ", " + named["part-1"] + ", " +
                                 named["part-2"] + " and 1 more");
  EXPECT_EQ(waits["shield"], "shield of task " + named["shielded"]);
  EXPECT_EQ(waits["waitpid"], "process " + child);
  EXPECT_TRUE(waits["join"].starts_with("the end of thread ")) << waits["join"];
  EXPECT_EQ(waits["system"], "a call on the thread pool: system()");
  // A lock has an owner and a limit.
  EXPECT_TRUE(contains(waits["lock-in-timeout"], "'holder', 59 min")) << waits["lock-in-timeout"];
  EXPECT_TRUE(contains(waits["timedlock"], "'holder', 59 min")) << waits["timedlock"];
  EXPECT_TRUE(contains(waits["aio-lock"], "'lock-holder', 59 min")) << waits["aio-lock"];
  EXPECT_EQ(waits["to-thread"], "a call on another thread: (anonymous namespace)::blocks_a_thread()");
  EXPECT_EQ(waits["in-executor"], waits["to-thread"]);
  const std::string lambda = waits["to-thread-lambda"];
  EXPECT_TRUE(contains(lambda, "::start_all::{lambda} (waits_target.cc:")) << lambda;
  EXPECT_TRUE(contains(line_with(table, " lock-holder "), "::{lambda} (waits_target.cc:")) << table;
  const std::string join = line_with(table, " join ");
  EXPECT_TRUE(contains(join, "::start_all::{lambda} (waits_target.cc:")) << "and not of libstdc++: " << join;
  // Of who has no frame of the program's own, what it began with.
  EXPECT_TRUE(contains(line_with(table, " tail-call "), "ends_in_a_call (waits_target.cc:")) << table;
  EXPECT_TRUE(contains(tree, "ends_in_a_call (waits_target.cc:")) << tree;
  EXPECT_TRUE(contains(groups, "ends_in_a_call (waits_target.cc:")) << groups;
  const std::string in_full = line_with(stack, "ends_in_a_call");
  EXPECT_TRUE(contains(in_full, "waits_target.cc\"")) << stack;
  EXPECT_TRUE(contains(in_full, "[what the task begins with]")) << stack;
}

TEST(Command, LetsNoNameWriteOnTheTerminal) {
  const Running process(target({"names"}));
  for (const char* command : {"ps", "stack", "pstree"}) {
    const Finished text = aiofiber({command, process.pid()});
    EXPECT_TRUE(is_fit_for_a_terminal(text.out)) << command << '\n' << text.out;
    EXPECT_TRUE(contains(text.out, "escape?[31m") && contains(text.out, "turned ?") &&
                contains(text.out, "c1?31m"))
        << text.out;
    EXPECT_TRUE(contains(text.out, "Küche 😀")) << text.out;
    EXPECT_TRUE(contains(text.out, std::string(30, 'x')) && !contains(text.out, std::string(30, 'x') + "?"))
        << text.out;
    const Finished json = aiofiber({command, process.pid(), "--json"});
    EXPECT_TRUE(is_fit_for_a_terminal(json.out)) << command << '\n' << json.out;
  }
  EXPECT_TRUE(contains(aiofiber({"ps", process.pid(), "--json"}).out, "turned \\u202e"));
}

TEST(Command, ReadsNoDeviceForSource) {
  const Running process(target({"device"}));
  const Finished result = aiofiber({"stack", process.pid(), "reader"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "File \"/dev/zero\", line 3, in (anonymous namespace)::from_a_device"))
      << result.out;
}

TEST(Command, ReadsSourceForAnotherUserOnlyWhenAsked) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can look at another user's process";
  if (!nobody_can_run(INSPECT_TARGET)) GTEST_SKIP() << "the build folder is closed to other users";
  const Running process(target({"sleepers", "1"}), 1, [] {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(126);
    prctl(PR_SET_DUMPABLE, 1);
  });
  const std::string kLine = "asyncio::await(asyncio::sleep(1h));";
  const Finished without = aiofiber({"stack", process.pid(), "sleeper-0"});
  EXPECT_EQ(without.code, 0);
  EXPECT_TRUE(contains(without.out, "rest") && !contains(without.out, kLine)) << without.out;
  EXPECT_TRUE(contains(without.err, "--source")) << without.err;
  const Finished with = aiofiber({"stack", process.pid(), "sleeper-0", "--source"});
  EXPECT_TRUE(contains(with.out, kLine)) << with.out;
}

// Sixteen stacks of 6 MiB: more than the command may take, in each case.
TEST(Command, TakesNoMoreMemoryThanItMay) {
  const Running process(target({"deep", "16"}));
  constexpr long kMostKib = 64 << 10;
  const Finished one = aiofiber({"stack", process.pid(), "deep-7"});
  EXPECT_TRUE(contains(one.out, "[Previous line repeated")) << one.out;
  EXPECT_LT(one.peak_kib, kMostKib);
  const Finished all = aiofiber({"ps", process.pid(), "--max-memory", "32M"});
  EXPECT_EQ(count(all.out, "use_stack (inspect_target.cc:"), 0u) << all.out;
  EXPECT_EQ(count(all.out, "rest (inspect_target.cc:"), 17u) << all.out;
  EXPECT_LT(all.peak_kib, kMostKib);
  const Running crowd(target({"sleepers", "5000"}));
  const Finished few = aiofiber({"ps", crowd.pid(), "--max-memory", "1M"});
  EXPECT_EQ(few.code, 0);
  EXPECT_TRUE(contains(few.err, "--max-memory")) << few.err;
  EXPECT_EQ(aiofiber({"ps", process.pid(), "--max-memory", "12X"}).code, 2);
}

// Locks are taken in the order of their addresses. So no owner waits for its own lock or a lower one, and
// there are no rings. A gather waits for children of its own task. Ends that were not read at one moment
// would show something else.
//
// Nothing stands still for a command that runs beside a target as fast as this one. On one CPU the target
// rests while the command reads, and goes on where the command is interrupted.
TEST(Command, JoinsOnlyWhatWasSeenTogether) {
  const OnOneCpu here_and_in_children;
  const Running process(target({"churn"}));
  std::size_t owners = 0, children = 0;
  for (int look = 0; look < 20; ++look) {
    const Finished result = aiofiber({"pstree", process.pid(), "--json"});
    ASSERT_EQ(result.code, 0) << result.err;
    rapidjson::Document report;
    report.Parse(result.out.c_str());
    ASSERT_FALSE(report.HasParseError());
    EXPECT_TRUE(report["circles"].Empty()) << result.out;
    std::map<std::uint64_t, const rapidjson::Value*> by_id;
    for (const auto& task : report["tasks"].GetArray()) by_id[task["id"].GetUint64()] = &task;
    for (const auto& task : report["tasks"].GetArray()) {
      const std::string name = task["name"].GetString();
      for (const auto& id : task["waits_for_lock_of"].GetArray()) {
        ++owners;
        const rapidjson::Value& wait = (*by_id.at(id.GetUint64()))["waits_for"];
        if (wait.IsNull() || std::string(wait["kind"].GetString()) != "lock") continue;
        EXPECT_GT(wait["address"].GetUint64(), task["waits_for"]["address"].GetUint64());
      }
      for (const auto& id : task["awaits"].GetArray()) {
        if (!name.starts_with("parent-")) continue;
        ++children;
        EXPECT_EQ((*by_id.at(id.GetUint64()))["name"].GetString(), name + "'s");
      }
    }
  }
  EXPECT_GT(owners, 100u);
  EXPECT_GT(children, 20u);
}

TEST(Command, GroupsFoldsEqualStacks) {
  const Running process(target({"sleepers", "500"}));
  const Finished result = aiofiber({"groups", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "501 tasks in 2 groups of equal stacks")) << result.out;
  EXPECT_TRUE(contains(result.out, "500 tasks, waiting for sleep: 2 'sleeper-0', 3 'sleeper-1'"))
      << result.out;
}

TEST(Command, PstreePutsTheAwaitedUnderTheWaiter) {
  const Running process(target({"family"}));
  const Finished result = aiofiber({"pstree", process.pid(), "parent"});
  const std::size_t parent = result.out.find("task 3 'parent'");
  const std::size_t child = result.out.find("  └─ task 2 'child'");
  EXPECT_TRUE(parent != std::string::npos && child != std::string::npos && parent < child) << result.out;
  const Finished dot = aiofiber({"pstree", process.pid(), "--dot"});
  EXPECT_TRUE(contains(dot.out, "digraph tasks {") && contains(dot.out, "t3 -> t2;")) << dot.out;
  EXPECT_TRUE(contains(dot.out, "t3 [label=\"3 parent\\nwaiting for task 2 'child' since ")) << dot.out;
  EXPECT_FALSE(contains(dot.out, "?")) << "a label's line breaks are graphviz's: " << dot.out;
}

TEST(Command, PstreeOfAChainStaysReadable) {
  const Running process(target({"chain", "500"}));
  const Finished result = aiofiber({"pstree", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(count(result.out, " 'link-500', waiting for task "), 1u);
  EXPECT_EQ(count(result.out, " 'link-1', waiting for sleep"), 1u);
  EXPECT_GE(count(result.out, "  (goes on below)"), 10u);
  EXPECT_FALSE(contains(result.out, "(shown above)") || contains(result.out, "a circle"));
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) ASSERT_LT(line.size(), 500u) << line;
}

TEST(Command, PstreeMarksACircle) {
  const Running process(target({"circle", "2"}));
  const Finished result = aiofiber({"pstree", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(count(result.out, "<-- a circle"), 1u) << result.out;
  EXPECT_TRUE(contains(aiofiber({"pstree", process.pid(), "--json"}).out, "\"circles\":[[2,3]]"));

  const Running large(target({"circle", "100"}));  // its branch goes on below
  const Finished tree = aiofiber({"pstree", large.pid()});
  EXPECT_EQ(count(tree.out, "<-- a circle"), 1u) << tree.out;
  EXPECT_EQ(count(tree.out, "(goes on below)"), 3u) << tree.out;
  EXPECT_FALSE(contains(tree.out, "(shown above)")) << tree.out;
}

// Of lock_target: each waiter with its lock's owner, and the two that wait for each other.
void expect_owners(const std::string& ps, const std::string& tid) {
  const auto line = [&](const char* name) { return line_with(ps, name); };
  EXPECT_TRUE(contains(line(" salary "), "lock at 0x") &&
              contains(line(" salary "), ", held by task 3 'rent'"))
      << ps;
  EXPECT_TRUE(contains(line(" rent "), ", held by task 2 'salary'")) << ps;
  EXPECT_TRUE(contains(line(" finder "), ", held by task 4 (ended)")) << ps;
  EXPECT_TRUE(contains(line(" guest "), ", held by thread " + tid)) << ps;
}

// What the target said of its thread, before it was ready.
std::string thread_of(const Running& process) {
  const std::string& output = process.output();
  const std::size_t at = output.find("tid ");
  return at == std::string::npos ? "?" : output.substr(at + 4, output.find('\n', at) - at - 4);
}

// "guest" waits for a lock of a thread, which may not tell when it is free: it looks now and then, so a
// report may find it between two waits. Asks again until the report has the text.
Finished ask_until(const Words& words, const std::string& text) {
  Finished result;
  for (int reports = 0; reports < 100; ++reports) {
    result = aiofiber(words);
    if (contains(result.out, text)) break;
  }
  return result;
}

TEST(CommandOnLocks, PsNamesWhoHoldsTheLock) {
  const Running process({LOCK_TARGET});
  expect_owners(ask_until({"ps", process.pid()}, "held by thread").out, thread_of(process));
  expect_owners(ask_until({"ps", "--stop", process.pid()}, "held by thread").out, thread_of(process));
  EXPECT_TRUE(contains(aiofiber({"stack", process.pid(), "rent"}).out,
                       "Stack for task 3 'rent', waiting for lock at 0x"));
  EXPECT_TRUE(contains(aiofiber({"top", "--once", process.pid()}).out, ", held by task 3 'rent'"));
}

TEST(CommandOnLocks, PstreeDrawsAndMarksTheCircle) {
  const Running process({LOCK_TARGET});
  const Finished tree = aiofiber({"pstree", process.pid()});
  EXPECT_EQ(tree.code, 0) << tree.err;
  EXPECT_TRUE(contains(tree.out, "  └─ holds the lock: task 3 'rent'")) << tree.out;
  EXPECT_EQ(count(tree.out, "<-- a circle"), 1u) << tree.out;
  const Finished dot = aiofiber({"pstree", "--dot", process.pid()});
  EXPECT_TRUE(contains(dot.out, "t2 -> t3 [style=bold, label=\"held by\"];")) << dot.out;
  EXPECT_EQ(count(dot.out, "color=red"), 2u) << dot.out;
}

TEST(CommandOnLocks, JsonHasOwnersAndCircles) {
  const Running process({LOCK_TARGET});
  const Finished result = ask_until({"pstree", "--json", process.pid()}, "\"owner\":{\"tid\"");
  EXPECT_TRUE(contains(result.out, "\"owner\":{\"task\":3,\"name\":\"rent\",\"tid\":" + process.pid() + "}"))
      << result.out;
  EXPECT_TRUE(contains(result.out, "\"owner\":{\"task\":4}")) << result.out;
  EXPECT_TRUE(contains(result.out, "\"owner\":{\"tid\":" + thread_of(process) + "}")) << result.out;
  EXPECT_TRUE(contains(result.out, "\"waits_for_lock_of\":[3]")) << result.out;
  EXPECT_TRUE(contains(result.out, "\"circles\":[[2,3]]")) << result.out;
  const Folder folder;
  std::ofstream(folder / "report.json") << result.out;
  EXPECT_EQ(run({"python3", "-m", "json.tool", folder / "report.json"}).code, 0) << result.out;
}

TEST(CommandOnLocks, ReadsOwnersFromACore) {
  const Folder folder;
  const std::string core = kernel_core(folder, {LOCK_TARGET});
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  const Finished ps = aiofiber({"ps", "--core", core});
  EXPECT_TRUE(contains(line_with(ps.out, " rent "), ", held by task 2 'salary'")) << ps.out << ps.err;
  EXPECT_TRUE(contains(aiofiber({"pstree", "--json", "--core", core}).out, "\"circles\":[[2,3]]"));
}

TEST(CommandOnLocks, ReadsProgramsWhoseRecordsDoNotNameOwners) {
  const Running process({LOCK_TARGET, "old"});
  const Finished result = aiofiber({"ps", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(line_with(result.out, " rent "), "lock at 0x")) << result.out;
  EXPECT_FALSE(contains(result.out, "held by")) << result.out;
}

TEST(Command, JsonIsJson) {
  const Running process(target({"family"}));
  const Folder folder;
  for (const char* command : {"ps", "stack", "pstree"}) {
    const Finished result = aiofiber({command, "--json", process.pid()});
    std::ofstream(folder / "report.json") << result.out;
    EXPECT_EQ(run({"python3", "-m", "json.tool", folder / "report.json"}).code, 0)
        << command << ": " << result.out;
  }
}

TEST(Command, ShowsSeveralLoops) {
  const Running process(target({"loops"}), 2);
  const Finished result = aiofiber({"ps", process.pid()});
  EXPECT_EQ(count(result.out, "loop-a"), 2u) << result.out;
  EXPECT_EQ(count(result.out, "loop-b"), 2u) << result.out;
}

TEST(Command, WorksForStrippedAndDeletedPrograms) {
  const Folder folder;
  ASSERT_EQ(run({"strip", "-o", folder / "bare", INSPECT_TARGET}).code, 0);
  const Running process({folder / "bare", "family"});
  fs::remove(folder / "bare");
  const Finished result = aiofiber({"stack", process.pid(), "child"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "bare (deleted)\"+0x")) << result.out;
  EXPECT_GT(count(result.out, "Module "), 4u) << result.out;
}

// With module, offset and build id, a user with the debug information can look a frame up.
TEST(Command, SaysOfStrippedProgramsWhichBuildTheyAreAndWhere) {
  const Folder folder;
  ASSERT_EQ(run({"strip", "-o", folder / "bare", INSPECT_TARGET}).code, 0);
  const std::string note = line_with(run({"readelf", "--notes", INSPECT_TARGET}).out, "Build ID: ");
  ASSERT_FALSE(note.empty());
  const std::string build = " [build-id " + note.substr(note.rfind(' ') + 1) + "]";
  const std::string module = "Module \"" + folder / "bare" + "\"+";

  // Whether one of the frames, which all say which build it is, is the offset of rest().
  const auto leads_to_rest = [&](const std::string& stack) {
    std::istringstream in(stack);
    for (std::string line; std::getline(in, line);) {
      if (!contains(line, "  " + module)) continue;
      EXPECT_TRUE(line.ends_with(build)) << line;
      const std::size_t at = line.find(module) + module.size();
      const std::string offset = line.substr(at, line.find(',', at) - at);
      // Its name with or without the namespace, as the compiler has written it.
      const std::string names =
          run({"addr2line", "--functions", "--demangle", "--inlines", "--exe", INSPECT_TARGET, offset}).out;
      if (contains(names, "rest\n") || contains(names, "::rest()\n")) return true;
    }
    return false;
  };
  const Finished itself = run({folder / "bare", "self"});
  EXPECT_EQ(itself.code, 0) << itself.err;
  EXPECT_TRUE(leads_to_rest(itself.out)) << itself.out;
  EXPECT_TRUE(contains(itself.out, "  |   Module '" + folder / "bare" + "'+0x")) << itself.out;

  const Running process({folder / "bare", "family"});
  const Finished seen = aiofiber({"stack", process.pid(), "child"});
  EXPECT_TRUE(leads_to_rest(seen.out)) << seen.out;
}

TEST(Command, FindsSeparateDebugFiles) {
  const Folder folder;
  ASSERT_EQ(run({"objcopy", "--only-keep-debug", INSPECT_TARGET, folder / "bare.debug"}).code, 0);
  ASSERT_EQ(run({"strip", "-o", folder / "bare", INSPECT_TARGET}).code, 0);
  ASSERT_EQ(run({"objcopy", "--add-gnu-debuglink=" + folder / "bare.debug", folder / "bare"}).code, 0);
  const Running process({folder / "bare", "family"});
  EXPECT_TRUE(contains(aiofiber({"stack", process.pid(), "child"}).out, "inspect_target.cc\", line"));
}

// As in a container: its file is in a mount namespace and its ids are in a PID namespace that are not the
// command's.
TEST(Command, LooksIntoOtherNamespaces) {
  const Folder folder;
  const std::string into = "mount -t tmpfs none " + folder.path() + " && cp " INSPECT_TARGET " " +
                           folder / "inside" + " && exec " + folder / "inside" + " family";
  if (run({"unshare", "--mount", "--pid", "--fork", "true"}).code != 0)
    GTEST_SKIP() << "no right to make namespaces";
  const Running outer({"unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", into});
  const std::string children = "/proc/" + outer.pid() + "/task/" + outer.pid() + "/children";
  std::string pid;
  std::ifstream(children) >> pid;
  ASSERT_FALSE(fs::exists(folder / "inside"));

  const Finished ps = aiofiber({"ps", pid});
  EXPECT_EQ(ps.code, 0) << ps.err;
  EXPECT_TRUE(line_with(ps.out, "parent").starts_with(pid + " inside ")) << ps.out;
  const Finished stack = aiofiber({"stack", "--stop", pid, "last"});
  EXPECT_TRUE(contains(stack.out, "inspect_target.cc\", line")) << stack.out << stack.err;
}

// The owner that libc writes into a mutex is the thread's id in the program's own PID namespace.
TEST(Command, FindsOwnersInOtherNamespaces) {
  if (run({"unshare", "--pid", "--fork", "true"}).code != 0) GTEST_SKIP() << "no right to make namespaces";
  const Running outer({"unshare", "--pid", "--fork", "--kill-child", LOCK_TARGET});
  std::string pid;
  std::ifstream("/proc/" + outer.pid() + "/task/" + outer.pid() + "/children") >> pid;
  const Finished ps = ask_until({"ps", pid}, "held by thread");
  EXPECT_EQ(ps.code, 0) << ps.err;
  EXPECT_TRUE(contains(line_with(ps.out, " salary "), "held by task 3 'rent'")) << ps.out;
  std::vector<std::string> threads;
  for (const auto& entry : fs::directory_iterator("/proc/" + pid + "/task"))
    threads.push_back(entry.path().filename());
  const std::string guest = line_with(ps.out, " guest ");
  EXPECT_TRUE(std::any_of(threads.begin(), threads.end(), [&](const std::string& tid) {
    return contains(guest, "held by thread " + tid);
  })) << guest;
  EXPECT_TRUE(contains(aiofiber({"pstree", pid}).out, "a circle")) << "the ring of both transfers";
}

TEST(Command, ReadsCompressedDebugInformation) {
  const Folder folder;
  ASSERT_EQ(run({"objcopy", "--compress-debug-sections", INSPECT_TARGET, folder / "packed"}).code, 0);
  const Running process({folder / "packed", "family"});
  EXPECT_TRUE(contains(aiofiber({"stack", process.pid(), "child"}).out, "inspect_target.cc\", line"));
}

TEST(Command, TellsOfALoopThatStands) {
  const Running process(target({"family"}));
  Finished result;
  for (int look = 0; look < 200 && !contains(result.err, "has not gone on for"); ++look) {
    result = aiofiber({"stack", process.pid(), "last"});
    usleep(10'000);  // from a tenth of a second on it is said
  }
  EXPECT_TRUE(contains(result.err, "the loop of thread " + process.pid() + " has not gone on for 0."))
      << result.err;
  EXPECT_TRUE(contains(result.err, "'last' runs, blocked in pause()")) << result.err;
  EXPECT_TRUE(contains(result.out, "on CPU since 0.") && contains(result.out, "family::{lambda}"))
      << result.out;
  const Finished json = aiofiber({"ps", process.pid(), "--json"});
  EXPECT_TRUE(contains(json.out, "\"standing_loops\":[{\"tid\":" + process.pid() + ",\"stands_ns\":"))
      << json.out;
  const Running healthy(target({"sleepers", "1"}));
  EXPECT_FALSE(contains(aiofiber({"ps", healthy.pid()}).err, "has not gone on"));
}

TEST(Command, TellsInWhichCallbackALoopStands) {
  for (const bool blocked : {true, false}) {
    const Running process(target({blocked ? "callback" : "callback-spin"}));
    const std::string stands = "the loop of thread " + process.pid() + " has not gone on for ";
    Finished result;
    for (int look = 0; look < 200 && !contains(result.err, stands); ++look) {
      result = blocked ? aiofiber({"stack", process.pid()}) : aiofiber({"stack", "--stop", process.pid()});
      usleep(10'000);  // from a tenth of a second on it is said
    }
    EXPECT_TRUE(contains(result.err, stands)) << result.err;
    EXPECT_TRUE(contains(result.err, "a callback runs in (anonymous namespace)::stand_still")) << result.err;
    EXPECT_EQ(contains(result.err, ", blocked in pause()"), blocked) << result.err;
    EXPECT_TRUE(result.out.starts_with("Stack for the callback in which the loop of thread ")) << result.out;
    EXPECT_TRUE(contains(result.out, "in (anonymous namespace)::callback::{lambda}")) << result.out;
    EXPECT_TRUE(contains(result.out, "in (anonymous namespace)::stand_still")) << result.out;
    EXPECT_FALSE(contains(result.out, "in main\n")) << "who runs the loop is no part of it: " << result.out;
    const std::string json = aiofiber({"ps", "--json", process.pid()}).out;
    EXPECT_EQ(contains(json.substr(0, json.find("\"tasks\"")), "stand_still"), blocked) << json;
    if (!blocked) {
      const std::string told = aiofiber({"ps", process.pid()}).err;
      EXPECT_TRUE(contains(told, "a callback runs (--stop shows which)")) << told;
    }
  }
}

// What is told of the loop of a process, from a tenth of a second on.
std::string told_of_standing_loop(const Running& process) {
  const std::string stands = "the loop of thread " + process.pid() + " has not gone on for ";
  Finished result;
  for (int look = 0; look < 200 && !contains(result.err, stands); ++look) {
    result = aiofiber({"ps", process.pid()});
    usleep(10'000);
  }
  EXPECT_TRUE(contains(result.err, stands)) << result.err;
  return result.err;
}

TEST(Command, TellsWhoHoldsTheMutexForWhichALoopStands) {
  for (const char* mode : {"mutex", "callback-mutex"}) {
    const Running process(target({mode}));
    const std::string told = told_of_standing_loop(process);
    const std::string held = ", held by thread " + thread_of(process) + " 'db-writer'\n";
    EXPECT_TRUE(contains(told, ", blocked in futex() for mutex at 0x")) << told;
    EXPECT_TRUE(contains(told, held)) << told;
    EXPECT_TRUE(contains(told, mode == std::string("mutex") ? "'guilty' runs" : "a callback runs in "))
        << told;
    const std::string json = aiofiber({"ps", "--json", process.pid()}).out;
    EXPECT_TRUE(contains(json, "\"owner\":{\"tid\":" + thread_of(process) + "}")) << json;
  }
  const Running other(target({"semaphore"}));  // also a futex
  const std::string told = told_of_standing_loop(other);
  EXPECT_TRUE(contains(told, ", blocked in futex()\n")) << told;
}

TEST(Command, TellsForWhichFileALoopStands) {
  const Folder folder;
  const std::string file = folder / "slow";
  std::ofstream(file) << "x";
  // Who reads the file waits, as for a disk, until this listener permits it or is closed.
  const int listener = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
  if (listener < 0 || fanotify_mark(listener, FAN_MARK_ADD, FAN_ACCESS_PERM, AT_FDCWD, file.c_str()) != 0) {
    GTEST_SKIP() << "fanotify with permissions wants root and a kernel that has it";
  }
  {
    const Running process(target({"file", file}));
    const std::string told = told_of_standing_loop(process);
    EXPECT_TRUE(contains(told, "'guilty' runs, blocked in read(fd ")) << told;
    EXPECT_TRUE(contains(told, " = " + file + "), which no signal ends, as in a wait for a disk\n")) << told;
    const std::string json = aiofiber({"ps", "--json", process.pid()}).out;
    EXPECT_TRUE(contains(json, "\"file\":\"" + file + "\",\"uninterruptible\":true")) << json;
    const Finished stack = aiofiber({"stack", process.pid(), "guilty"});
    EXPECT_TRUE(contains(stack.out, "(anonymous namespace)::read_a_byte")) << stack.out;
    close(listener);
  }
}

TEST(Command, SeesThroughACallOfANullPointer) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"null-call"}), 0);  // it dies by itself
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  const Finished result = aiofiber({"stack", "--core", core, "guilty"});
  EXPECT_TRUE(contains(result.out, "in no module (a call through a null pointer)")) << result.out;
  EXPECT_TRUE(contains(result.out, "in (anonymous namespace)::call_nothing\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "in (anonymous namespace)::dive\n")) << result.out;
  EXPECT_FALSE(contains(result.err, "not in the core")) << result.err;
  const std::string row = line_with(aiofiber({"ps", "--core", core}).out, " guilty ");
  EXPECT_TRUE(contains(row, "call_nothing (inspect_target.cc:")) << row;
}

TEST(Command, ReadsAKernelCore) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"family"}));
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  const Finished ps = aiofiber({"ps", "--core", core});
  EXPECT_EQ(ps.code, 0) << ps.err;
  EXPECT_TRUE(contains(line_with(ps.out, "parent"), "task 2 'child'")) << ps.out;
  const Finished running = aiofiber({"stack", "-v", "--core", core, INSPECT_TARGET, "last"});
  EXPECT_TRUE(contains(running.out, "family::{lambda}") && contains(running.out, "fiber_entry"))
      << "a core has the registers of what ran: " << running.out << running.err;
}

TEST(Command, TurnsTheTasksOfACoreIntoThreadsForGdb) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"family"}));
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  const Finished written = aiofiber({"core-threads", "--core", core, "-o", folder / "threads"});
  EXPECT_TRUE(contains(written.out, "4 suspended tasks as threads")) << written.out << written.err;
  const Finished gdb =
      run({"gdb", "-nx", "-batch", "-ex", "thread apply all bt", INSPECT_TARGET, folder / "threads"});
  EXPECT_TRUE(contains(gdb.out, "LWP 1000000004")) << gdb.out << gdb.err;
  EXPECT_EQ(count(gdb.out, "(anonymous namespace)::dive(int"), 41u) << gdb.out;
}

TEST(Command, GetsOverDamagedCores) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"circle", "2"}));
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  std::ifstream in(core, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::size_t> used;  // where something stands: most of a core is zero
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (whole[i] != 0) used.push_back(i);
  }
  std::mt19937 random(20260101);
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  for (int round = 0; round < 60; ++round) {
    std::string damaged = whole;
    const bool headers = round % 2 == 0;
    for (std::size_t changes = std::size_t{1} << below(10); changes > 0; --changes) {
      damaged[headers ? below(5000) : used[below(used.size())]] = static_cast<char>(below(256));
    }
    if (round % 8 == 7) damaged.resize(below(damaged.size()));
    std::ofstream(folder / "damaged", std::ios::binary) << damaged;
    for (const char* command : {"pstree", "stack"}) {
      const Finished result = aiofiber({command, "-v", "--core", folder / "damaged"});
      EXPECT_TRUE(result.code == 0 || result.code == 4 || result.code == 5 || result.code == 7)
          << command << " in round " << round << ": exit code " << result.code << "\n"
          << result.err;
    }
  }
}

TEST(Command, SaysWhatIsWrongWithACore) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"family"}));
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  for (const std::uintmax_t bytes : {std::uintmax_t{0}, std::uintmax_t{10}, std::uintmax_t{100},
                                     std::uintmax_t{5000}, fs::file_size(core) / 2}) {
    fs::copy_file(core, folder / "cut", fs::copy_options::overwrite_existing);
    fs::resize_file(folder / "cut", bytes);
    const Finished result = aiofiber({"stack", "--core", folder / "cut"});
    EXPECT_TRUE(result.code == 7 || result.code == 4 ||
                (result.code == 0 && contains(result.err, "truncated")))
        << bytes << " bytes: exit code " << result.code << "\n"
        << result.err;
    EXPECT_FALSE(result.err.empty());
  }
  EXPECT_EQ(aiofiber({"ps", "--core", folder / "none"}).code, 7);
  EXPECT_EQ(aiofiber({"ps", "--core", INSPECT_TARGET}).code, 7);
  EXPECT_EQ(aiofiber({"ps", "--core", core, "/nowhere/program"}).code, 7);
  EXPECT_TRUE(
      contains(aiofiber({"ps", "--core", core, "/etc/passwd"}).err, "/etc/passwd: not an executable"));
  const Finished stranger = aiofiber({"ps", "--core", core, "/bin/ls"});
  EXPECT_TRUE(stranger.code == 0 && contains(stranger.err, "/bin/ls is not the program of this core"))
      << stranger.err;
  EXPECT_EQ(aiofiber({"ps", "--core", core, INSPECT_TARGET}).err, "");
}

TEST(Command, SaysWhatIsWrongWithAProcess) {
  Running ended(target({"sleepers"}));
  const std::string pid = ended.pid();
  ended.end(SIGKILL);
  EXPECT_EQ(aiofiber({"ps", pid}).code, 3);
  const Running other({"sh", "-c", "echo ready; exec sleep 100"});
  const Finished result = aiofiber({"ps", other.pid()});
  EXPECT_EQ(result.code, 4);
  EXPECT_TRUE(contains(result.err, "is not an aiofiber program")) << result.err;
}

TEST(Command, SaysWhichKnobGivesPermission) {
  const Running process(target({"sleepers"}));
  const bool root = geteuid() == 0;
  if (root && !nobody_can_run(AIOFIBER_COMMAND)) GTEST_SKIP() << "the build folder is closed to other users";
  // Without root: process 1 belongs to another user.
  const Finished result = run({AIOFIBER_COMMAND, "ps", root ? process.pid() : "1"}, [root] {
    if (root && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(126);
  });
  EXPECT_EQ(result.code, 6) << result.err;
  EXPECT_TRUE(contains(result.err, "it belongs to uid 0, you are uid")) << result.err;
}

TEST(Command, RefusesWrongUsage) {
  for (const Words& words : {Words{}, Words{"ps"}, Words{"ps", "x"}, Words{"ps", "-1"}, Words{"sing", "1"},
                             Words{"ps", "1", "--loud"}, Words{"ps", "--core"}, Words{"core-threads", "1"}}) {
    EXPECT_EQ(aiofiber(words).code, 2);
  }
  const Running process(target({"sleepers"}));
  EXPECT_EQ(aiofiber({"stack", process.pid(), "nobody"}).code, 2);
  for (const Words& words :
       {Words{"ps", "--dot"}, Words{"ps", "--output", "x"}, Words{"ps", "--once"}, Words{"ps", "-v"},
        Words{"stack", "--interval", "1"}, Words{"top", "--source"}}) {
    Words all = words;
    all.push_back(process.pid());
    const Finished result = aiofiber(all);
    EXPECT_EQ(result.code, 2) << words[1];
    EXPECT_TRUE(contains(result.err, words[1] + " is an option of ")) << result.err;
    EXPECT_TRUE(contains(result.err, ", not of " + words[0])) << result.err;
  }
  EXPECT_EQ(aiofiber({"--help"}).code, 0);
}

TEST(Command, SaysThatItsOutputCouldNotBeWritten) {
  const Running process(target({"sleepers", "500"}));  // more than a buffer full, and less
  for (const Words& words : {Words{"ps", process.pid()}, Words{"groups", process.pid()},
                             Words{"hooks", "--check", process.pid()}}) {
    Words all{AIOFIBER_COMMAND};
    all.insert(all.end(), words.begin(), words.end());
    const Finished result = run(all, [] { dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO); });
    EXPECT_EQ(result.code, 1) << words[0];
    EXPECT_TRUE(contains(result.err, "output could not be written")) << result.err;
  }
}

// How deep a task has been, not how deep it is: what its stack should be as large as.
TEST(Command, PsTellsHowMuchOfItsStackATaskEverUsed) {
  const Running process(target({"diver"}));
  const Finished result = aiofiber({"ps", process.pid()});
  EXPECT_TRUE(contains(line_with(result.out, "THREAD"), "DEEPEST")) << result.out;
  const std::string diver = line_with(result.out, " diver ");
  EXPECT_TRUE(contains(diver, " 604 of 1024 KiB ") || contains(diver, " 608 of 1024 KiB ")) << result.out;
  const std::string json = aiofiber({"ps", "--json", process.pid()}).out;
  EXPECT_TRUE(contains(json, "\"stack_size\":1048576,\"stack_deepest\":6")) << json;
}

// The least processor time that `ps` takes of that many tasks.
double seconds_of_ps(int tasks) {
  const Running process(target({"sleepers", std::to_string(tasks)}));
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const Finished result = aiofiber({"ps", process.pid()});
    least = std::min(least, result.cpu_seconds);
    EXPECT_EQ(count(result.out, "\n"), static_cast<std::size_t>(tasks) + 2);
  }
  return least;
}

// Measures processor time, the least of several, and compares it with what fewer tasks take on the same
// machine: twice as many may take three times as long where memory is slow, and four times if each task asked
// each other.
TEST(Command, TellsTenThousandTasksInTimeThatGrowsAsTheirNumber) {
  double ratio = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const double half = seconds_of_ps(5'000);
    ratio = seconds_of_ps(10'000) / half;
    if (ratio < 3) break;
  }
  RecordProperty("ratio_percent", static_cast<int>(ratio * 100));
  EXPECT_LT(ratio, 3);
}

// What all commands show of the mode `coroutines`; `subject`: a process or a core.
void expect_coroutines(const Words& subject, bool is_core) {
  const auto ask = [&](Words words) {
    words.insert(words.end(), subject.begin(), subject.end());
    const Finished result = aiofiber(words);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_FALSE(contains(result.err, "not in the core")) << result.err;
    return result.out;
  };
  const std::string groups = ask({"groups"}) + "\n";
  EXPECT_TRUE(contains(groups, "'stackless'\n" + calls_text(kChain, "    ") + "\n")) << groups;
  EXPECT_TRUE(contains(groups, "'driving'\n" + calls_text(behind({"awaits_coroutine"}), "    ") + "\n"))
      << groups;
  EXPECT_TRUE(contains(groups, "'borrowing'\n" + calls_text(kBorrowing, "    ") + "\n")) << groups;
  EXPECT_TRUE(contains(groups, "'mixed'\n" + calls_text(behind({"mixes"}, kBorrowing), "    ") + "\n"))
      << groups;
  const std::string running = calls_text({"runs_below", "runs", "stay"}, "    ");
  EXPECT_TRUE(contains(groups, "'running'\n" + running)) << groups;
  EXPECT_TRUE(contains(groups, "7 'unborn'\n    (anonymous namespace)::Service::outer (inspect_target.cc:"))
      << groups;
  EXPECT_EQ(count(groups, "aiofiber::") + count(groups, "coroutine_handle"), 0u) << groups;

  const std::string ps = ask({"ps"});
  const std::string leaf = calls_text({"leaf"}, ""), stay = calls_text({"stay"}, "");
  for (const char* name : {" stackless ", " driving ", " borrowing ", " mixed "})
    EXPECT_TRUE(contains(line_with(ps, name) + "\n", leaf)) << ps;
  EXPECT_TRUE(contains(line_with(ps, " running ") + "\n", stay)) << ps;
  EXPECT_TRUE(contains(line_with(ps, " running "), "on CPU")) << ps;

  const std::string tree = ask({"pstree"});
  EXPECT_TRUE(contains(tree, calls_text(kBorrowing, "  │    "))) << tree;

  const std::string stack = ask({"stack"});
  const std::string middle = std::to_string(line_of_target("middle"));
  EXPECT_TRUE(contains(stack, "inspect_target.cc\", line " + middle +
                                  ", in (anonymous namespace)::middle<int>\n    co_await leaf();"))
      << stack;

  rapidjson::Document report;
  report.Parse(ask({"stack", "--json"}).c_str());
  ASSERT_FALSE(report.HasParseError());
  for (const auto& task : report["tasks"].GetArray()) {
    const std::string name = task["name"].GetString();
    std::string kinds;  // of the frames: coroutine, on the stack
    for (const auto& frame : task["frames"].GetArray()) {
      const std::string function = frame["function"].GetString();
      if (!function.starts_with("(anonymous namespace)::")) continue;
      kinds += frame["coroutine"].GetBool() ? 'c' : frame["on_stack"].GetBool() ? 's' : '-';
    }
    const std::map<std::string, std::string> expected{
        {"Task-1", "s"},     {"stackless", "ccc"}, {"driving", "sccc"}, {"borrowing", "csccc"},
        {"mixed", "scsccc"}, {"running", "css"},   {"unborn", "-"}};
    EXPECT_EQ(kinds, expected.at(name)) << name << (is_core ? " in a core" : "");
    EXPECT_EQ(task["stack_size"].GetUint64() == 0,
              name == "stackless" || name == "running" || name == "unborn")
        << name;
  }
}

// The running task of the mode `coroutines` stands in a blocking call, which can be seen after a tenth of a
// second.
void wait_until_it_blocks(const Running& process) {
  for (int look = 0; look < 1'000; ++look) {
    if (contains(aiofiber({"ps", process.pid()}).err, "blocked in pause()")) return;
  }
  ADD_FAILURE() << "it does not block";
}

TEST(Command, ShowsCoroutinesBetweenTheFramesThatCallThem) {
  const Running process(target({"coroutines"}));
  wait_until_it_blocks(process);
  expect_coroutines({process.pid()}, false);
  expect_coroutines({"--stop", process.pid()}, false);
}

TEST(Command, ShowsCoroutinesOfACore) {
  const Folder folder;
  const std::string core = kernel_core(folder, target({"coroutines"}), SIGABRT, wait_until_it_blocks);
  if (core.empty()) GTEST_SKIP() << "this machine's core_pattern sends cores elsewhere";
  expect_coroutines({"--core", core}, true);
}

// A coroutine that runs and whose calls are not to be seen: as far as is known.
TEST(Command, SaysWhichCoroutineRuns) {
  const Running process(target({"coroutines", "compute"}));
  const Finished result = aiofiber({"stack", process.pid(), "running"});
  const std::string line = line_with(result.out, "runs [begins here, and runs]");
  EXPECT_TRUE(contains(line, "inspect_target.cc\", line ")) << result.out;
  EXPECT_TRUE(contains(result.out, "on CPU") &&
              contains(result.out, ", seen up to the coroutine that runs (--stop shows the rest)"))
      << result.out;
  EXPECT_LT(result.out.find("in (anonymous namespace)::runs_below\n"), result.out.find(line)) << result.out;
  const Finished stopped = aiofiber({"stack", "--stop", process.pid(), "running"});
  EXPECT_TRUE(contains(stopped.out, "in (anonymous namespace)::stay\n")) << stopped.out;
}

TEST(Command, ReadsProgramsWhoseRecordsHaveNoCoroutines) {
  const Running process(target({"coroutines", "old"}));
  const Finished result = aiofiber({"stack", process.pid(), "stackless", "driving"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "in (anonymous namespace)::awaits_coroutine\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "No stack for task 2 'stackless', waiting for sleep")) << result.out;
  EXPECT_FALSE(contains(result.out, "leaf")) << result.out;
}

// How often the two tests below look. Each look takes a tenth of a second and more.
std::size_t looks() {
  const char* const wanted = std::getenv("AIOFIBER_LOOKS");
  return wanted != nullptr ? std::stoul(wanted) : 20;
}

// The calls of dive() and recurse() that the task's name tells. A task that borrows a stack is also seen
// before the call begins and after it has ended.
TEST(Command, SeesNoWrongCoroutinesOfTasksThatSwitchAsFastAsTheyCan) {
  const Running process(target({"busy-coroutines", "200"}));
  std::map<std::string, std::size_t> right;  // by the kind of task
  std::size_t wrong = 0, on_cpu = 0;
  for (std::size_t look = 0; look < looks(); ++look) {
    const Finished result = aiofiber({"stack", "--json", "-v", process.pid()});
    ASSERT_EQ(result.code, 0) << result.err;
    std::istringstream in(result.out);
    for (std::string line; std::getline(in, line);) {
      if (!contains(line, "\"id\":") || contains(line, "\"name\":\"Task-1\"")) continue;
      if (contains(line, "\"on CPU\"")) {
        ++on_cpu;
        continue;
      }
      const std::size_t at = line.find("\"name\":\"") + 8;
      const std::string name = line.substr(at, line.find('"', at) - at);
      const std::string kind = name.substr(0, name.find_first_of("0123456789"));
      const std::size_t calls = kind.empty() ? 0 : std::stoul(name.substr(kind.size())) + 1;
      const std::string kRecurse = "::recurse\"", kDive = "::dive\"";
      const std::size_t recursions = count(line, kRecurse), dives = count(line, kDive);
      bool ok = recursions == calls;
      if (kind == "rd") {
        ok = ok && (dives == 0 || (dives == calls && line.rfind(kRecurse) < line.find(kDive)));
      } else if (kind == "dr") {
        ok = ok && dives == calls && line.rfind(kDive) < line.find(kRecurse);
      } else {
        ok = ok && dives == 0;
      }
      if (ok) {
        ++right[kind + (kind == "rd" && dives > 0 ? " with its stack" : "")];
      } else if (++wrong < 4) {
        ADD_FAILURE() << name << ": " << recursions << " of recurse, " << dives << " of dive: " << line;
      }
    }
  }
  EXPECT_EQ(wrong, 0u);
  for (const auto& [kind, seen] : right) std::printf("%zu of kind '%s'\n", seen, kind.c_str());
  for (const char* kind : {"r", "dr", "rd with its stack", ""}) EXPECT_GT(right[kind], 4 * looks()) << kind;
  std::size_t sum = 0;
  for (const auto& [kind, seen] : right) sum += seen;
  EXPECT_GT(sum, looks() * 200 * 9 / 10);
  std::printf("%zu right, %zu wrong, %zu on the CPU\n", sum, wrong, on_cpu);
}

// The calls that a copied stack shows must be those of the moment when its name was copied.
TEST(Command, SeesNoWrongStackOfTasksThatSwitchAsFastAsTheyCan) {
  const Running process(target({"busy", "200"}));
  std::size_t right = 0, wrong = 0, on_cpu = 0;
  for (std::size_t look = 0; look < looks(); ++look) {
    const Finished result = aiofiber({"stack", "--json", "-v", process.pid()});
    ASSERT_EQ(result.code, 0) << result.err;
    std::istringstream in(result.out);
    for (std::string line; std::getline(in, line);) {
      if (!contains(line, "\"id\":")) continue;
      if (contains(line, "\"on CPU\"")) {
        ++on_cpu;
        continue;
      }
      if (contains(line, "\"name\":\"Task-1\"")) continue;  // the main task
      const std::size_t at = line.find("\"name\":\"") + 8;
      const std::string name = line.substr(at, line.find('"', at) - at);
      const std::size_t expected = name == "0" ? 0 : std::stoul(name) + 1;
      const std::size_t seen = count(line, "::dive\"");
      const bool whole = line.find("fiber_entry") < line.find("Parker") || contains(line, "fiber_entry");
      if (seen == expected && whole) {
        ++right;
      } else if (++wrong < 4) {
        ADD_FAILURE() << "expected " << expected << " calls of dive, saw " << seen << ": "
                      << line.substr(0, 300);
      }
    }
  }
  RecordProperty("right", static_cast<int>(right));
  RecordProperty("on_cpu", static_cast<int>(on_cpu));
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(right, looks() * 200 * 9 / 10);
  std::printf("%zu right, %zu wrong, %zu on the CPU\n", right, wrong, on_cpu);
}

}  // namespace
}  // namespace aiofiber::tool_test
