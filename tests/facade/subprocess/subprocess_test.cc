// SPDX-License-Identifier: Apache-2.0
//
// Child processes: how they start, every option, every error of the start, their end, signals, and closing
// loops. The children are programs of Debian's coreutils and /bin/sh.
// Labels: slow clang long
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "subprocess/spawn.h"
#include "support/descriptors.h"
#include "support/errors.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using subprocess::DEVNULL;
using subprocess::Environment;
using subprocess::PIPE;
using subprocess::STDOUT;

Process exec(std::vector<std::string> argv, SubprocessOptions options = {}) {
  return await(create_subprocess_exec(std::move(argv), std::move(options)));
}
Process shell(std::string command, SubprocessOptions options = {}) {
  return await(create_subprocess_shell(std::move(command), std::move(options)));
}
int code_of(std::string command, SubprocessOptions options = {}) {
  return await(shell(std::move(command), std::move(options)).wait());
}

// A file whose content a child writes and the test reads.
class TextFile {
 public:
  TextFile() : fd_(::mkstemp(path_)) {}
  ~TextFile() {
    ::close(fd_);
    ::unlink(path_);
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  int fd() const { return fd_; }
  std::string path() const { return path_; }
  std::string text() const {
    char buffer[4096];
    const auto bytes = ::pread(fd_, buffer, sizeof buffer, 0);
    return std::string(buffer, bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  }

 private:
  char path_[32] = "/tmp/aiofiber_testXXXXXX";
  int fd_;
};

// What a shell command writes to stdout.
std::string output_of(std::string command, SubprocessOptions options = {}) {
  const TextFile file;
  options.stdout_ = file.fd();
  code_of(std::move(command), std::move(options));
  return file.text();
}

class LogLines {
 public:
  LogLines() {
    set_log_sink([this](LogLevel, std::string_view text) { lines.emplace_back(text); });
  }
  ~LogLines() { set_log_sink(nullptr); }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  bool has(const std::string& part) const {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }
  std::vector<std::string> lines;
};

// ---- the end ----------------------------------------------------------------------------------------------

TEST(Subprocess, GivesItsExitStatus) {
  run([] {
    const Process process = exec({"sh", "-c", "exit 7"});
    EXPECT_GT(process.pid(), 0);
    EXPECT_EQ(process.returncode(), std::nullopt);
    EXPECT_EQ(await(process.wait()), 7);
    EXPECT_EQ(process.returncode(), 7);
  });
}

TEST(Subprocess, GivesTheSignalThatKilledIt) {
  run([] { EXPECT_EQ(code_of("kill -s USR1 $$"), -SIGUSR1); });
}

TEST(Subprocess, WakesEveryWaiter) {
  run([] {
    const Process process = exec({"sleep", "60"});
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(create_task([process] { return await(process.wait()); }));
    auto coro = create_task([process]() -> Coro<int> { co_return co_await process.wait(); });
    await(sleep(0s));
    process.kill();
    for (auto& task : tasks) EXPECT_EQ(await(task), -SIGKILL);
    EXPECT_EQ(await(coro), -SIGKILL);
  });
}

TEST(Subprocess, KnowsTheCodeOfAChildThatEndedBeforeTheWait) {
  run([] {
    const Process process = exec({"true"});
    while (!process.returncode()) await(sleep(1ms));
    EXPECT_EQ(await(process.wait()), 0);
  });
}

TEST(Subprocess, IsStartedAndAwaitedInACoroutine) {
  const int code = run([]() -> Coro<int> {
    const Process process = co_await create_subprocess_shell("exit 3");
    co_return co_await process.wait();
  });
  EXPECT_EQ(code, 3);
}

TEST(Subprocess, ReapsAChildWhoseHandleIsGone) {
  run([] {
    static_cast<void>(exec({"true"}));
    // Our own wait would be the reaping that is tested; /proc shows zombies without one.
    const std::string children = "/proc/self/task/" + std::to_string(::gettid()) + "/children";
    for (;;) {
      char text[256];
      const int fd = ::open(children.c_str(), O_RDONLY | O_CLOEXEC);
      const auto bytes = ::read(fd, text, sizeof text);
      ::close(fd);
      if (bytes <= 0) break;
      await(sleep(1ms));
    }
    EXPECT_FALSE(has_child());
  });
}

TEST(Subprocess, LeavesOtherChildrenToTheirOwners) {
  run([] {
    const pid_t other = ::fork();
    if (other == 0) ::_exit(5);
    EXPECT_EQ(code_of("exit 4"), 4);
    int status = 0;
    EXPECT_EQ(::waitpid(other, &status, 0), other);
    EXPECT_EQ(WEXITSTATUS(status), 5);
  });
}

TEST(Subprocess, WarnsWhenOtherCodeHasReapedIt) {
  const LogLines log;
  run([] {
    const Process process = exec({"true"});
    while (::waitpid(process.pid(), nullptr, 0) != process.pid()) {
    }
    EXPECT_EQ(await(process.wait()), 255);
  });
  EXPECT_TRUE(log.has("read by other code"));
}

// Children that all run at the same time: each reads a line from a pipe before it ends.
class ManyChildren {
 public:
  static constexpr int kCount = 1000;

  explicit ManyChildren(const SubprocessOptions& options) {
    EXPECT_EQ(::pipe(gate_), 0);
    SubprocessOptions own = options;
    if (own.stdin_ != PIPE) own.stdin_ = gate_[0];
    for (int i = 0; i < kCount; ++i)
      processes.push_back(exec({"sh", "-c", "read line; echo $line; exit " + std::to_string(i % 251)}, own));
  }
  ~ManyChildren() {
    ::close(gate_[0]);
    ::close(gate_[1]);
  }
  ManyChildren(const ManyChildren&) = delete;
  ManyChildren& operator=(const ManyChildren&) = delete;
  // The end of the pipe is an empty line for all of them.
  void open_gate() {
    ::close(gate_[1]);
    gate_[1] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  std::vector<Process> processes;

 private:
  int gate_[2] = {-1, -1};
};

// For as long as it lives, the process may have this many descriptors. False: the system does not allow it.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit wanted{count, before_.rlim_max};
    ok_ = before_.rlim_cur >= count || ::setrlimit(RLIMIT_NOFILE, &wanted) == 0;
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  explicit operator bool() const { return ok_; }

 private:
  rlimit before_{};
  bool ok_ = false;
};

std::size_t bytes_in_use() { return ::mallinfo2().uordblks; }

TEST(Subprocess, RunsAThousandAtOnceAndLeavesNoZombieAndNoDescriptor) {
  const DescriptorLimit limit(ManyChildren::kCount + 200);
  if (!limit) GTEST_SKIP() << "the system allows too few descriptors";
  run([] {
    await(exec({"true"}).wait());
    const auto before = open_descriptors();
    std::size_t bytes = 0;
    for (int round = 0; round < 2; ++round) {
      {
        ManyChildren children({.stdout_ = DEVNULL});
        children.open_gate();
        std::vector<Task<int>> waits;
        for (const Process& process : children.processes)
          waits.push_back(create_task([process] { return await(process.wait()); }));
        for (int i = 0; i < ManyChildren::kCount; ++i)
          EXPECT_EQ(await(waits[static_cast<std::size_t>(i)]), i % 251) << i;
      }
      EXPECT_EQ(open_descriptors(), before);
      EXPECT_FALSE(has_child());
      // The second thousand takes the memory of the first.
      if (round == 0) bytes = bytes_in_use();
    }
    EXPECT_LT(bytes_in_use(), bytes + 100 * 1000);
  });
}

TEST(Subprocess, TalksToAThousandAtOnceThroughPipes) {
  const DescriptorLimit limit(4 * ManyChildren::kCount + 200);
  if (!limit) GTEST_SKIP() << "the system allows too few descriptors";
  run([] {
    await(exec({"true"}).wait());
    const auto before = open_descriptors();
    {
      ManyChildren children({.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
      std::vector<Task<std::pair<std::string, std::string>>> talks;
      for (int i = 0; i < ManyChildren::kCount; ++i)
        talks.push_back(create_task([process = children.processes[static_cast<std::size_t>(i)], i] {
          return await(process.communicate(std::to_string(i) + "\n"));
        }));
      for (int i = 0; i < ManyChildren::kCount; ++i) {
        const auto place = static_cast<std::size_t>(i);
        EXPECT_EQ(await(talks[place]).first, std::to_string(i) + "\n");
        EXPECT_EQ(children.processes[place].returncode(), i % 251);
      }
    }
    await(sleep(0s));  // the pipes close in the next pass
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_child());
  });
}

// Whatever is missing first, the pipe, its copy or the pidfd: the children before it live, and it is not
// there.
TEST(Subprocess, RunOutOfDescriptorsInTheMiddle) {
  run([] {
    await(exec({"true"}).wait());
    const auto before = open_descriptors();
    const int next = ::dup(0);
    ::close(next);
    for (int more = 40; more < 47; ++more) {
      std::vector<Process> processes;
      std::string text;
      {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        const rlimit low{static_cast<rlim_t>(next + more), limit.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &low);
        try {
          for (;;) processes.push_back(exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE}));
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code().value(), EMFILE);
          text = error.what();
        }
        ::setrlimit(RLIMIT_NOFILE, &limit);
      }
      EXPECT_GE(processes.size(), 8u);
      EXPECT_NE(text.find("child process: Too many open files"), std::string::npos) << text;
      for (const Process& process : processes) EXPECT_EQ(await(process.communicate("text")).first, "text");
      processes.clear();
      await(sleep(0s));
      // Also no child of which nobody knows: it would still run.
      EXPECT_FALSE(has_child());
      EXPECT_EQ(open_descriptors(), before);
    }
  });
}

// ---- errors of the start ----------------------------------------------------------------------------------

TEST(SubprocessStart, FailsForAProgramThatIsNotThere) {
  run([] {
    const auto before = open_descriptors();
    try {
      exec({"no-such-program-here"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = DEVNULL});
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ENOENT);
      EXPECT_NE(std::string(error.what()).find("'no-such-program-here'"), std::string::npos);
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_child());
  });
}

TEST(SubprocessStart, FailsForWhatCannotBeExecuted) {
  run([] {
    EXPECT_EQ(errno_of([] { exec({"/etc/passwd"}); }), EACCES);
    EXPECT_EQ(errno_of([] { exec({"/tmp"}); }), EACCES);
    EXPECT_EQ(errno_of([] { exec({"/etc/passwd/x"}); }), ENOTDIR);
    EXPECT_EQ(errno_of([] { exec({""}); }), ENOENT);
    const TextFile file;
    ASSERT_EQ(::write(file.fd(), "text\n", 5), 5);
    ASSERT_EQ(::fchmod(file.fd(), 0755), 0);
    const std::string copy = file.path() + "x";
    code_of("cp -p " + file.path() + " " + copy);  // nobody has it open for writing
    EXPECT_EQ(errno_of([&] { exec({copy}); }), ENOEXEC);
    ::unlink(copy.c_str());
  });
}

TEST(SubprocessStart, NamesAMissingWorkingDirectory) {
  run([] {
    try {
      exec({"true"}, {.cwd = "/no/such/folder"});
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ENOENT);
      EXPECT_NE(std::string(error.what()).find("'/no/such/folder'"), std::string::npos);
    }
    EXPECT_EQ(errno_of([] { exec({"true"}, {.cwd = "/etc/passwd"}); }), ENOTDIR);
  });
}

TEST(SubprocessStart, RefusesBadArguments) {
  run([] {
    EXPECT_THROW(exec({}), ValueError);
    EXPECT_THROW(exec({"echo", std::string("a\0b", 3)}), ValueError);
    EXPECT_THROW(shell(std::string("a\0b", 3)), ValueError);
    EXPECT_THROW(exec({"true"}, {.cwd = std::string("/\0", 2)}), ValueError);
    EXPECT_THROW(exec({"true"}, {.stdout_ = STDOUT}), ValueError);
    EXPECT_THROW(exec({"true"}, {.pass_fds = {-1}}), ValueError);
    EXPECT_THROW(exec({"true"}, {.process_group = -2}), ValueError);
    EXPECT_THROW(exec({"true"}, {.stdin_ = -1}), ValueError);
    EXPECT_THROW((Environment{{"A=B", "x"}}), ValueError);
    EXPECT_THROW((Environment{{"A", std::string_view("\0", 1)}}), ValueError);
    EXPECT_EQ(errno_of([] { exec({"true"}, {.stdin_ = 9999}); }), EBADF);
    EXPECT_EQ(errno_of([] { exec({"true"}, {.pass_fds = {9999}}); }), EBADF);
    EXPECT_EQ(errno_of([] { exec({"true"}, {.limits = {{999, {1, 1}}}}); }), EINVAL);
    EXPECT_EQ(errno_of([] { exec({"true", std::string(8 << 20, 'x')}); }), E2BIG);
    EXPECT_FALSE(has_child());
  });
}

TEST(SubprocessStart, NeedsARunningLoop) {
  auto call = create_subprocess_exec({"true"});
  EXPECT_THROW(await(std::move(call)), RuntimeError);
  const Process empty;
  EXPECT_FALSE(empty.valid());
  EXPECT_THROW(static_cast<void>(empty.pid()), RuntimeError);
  EXPECT_THROW(empty.kill(), RuntimeError);
  EXPECT_EQ(repr(empty), "<Process empty>");
}

// ---- options ----------------------------------------------------------------------------------------------

TEST(SubprocessOption, CwdIsTheChildsFolder) {
  run([] { EXPECT_EQ(output_of("pwd", {.cwd = "/usr"}), "/usr\n"); });
}

TEST(SubprocessOption, EnvIsTheWholeEnvironment) {
  run([] {
    const TextFile file;
    await(
        exec({"/usr/bin/env"}, {.stdout_ = file.fd(), .env = Environment{{"A", "1"}, {"B", "x=y"}}}).wait());
    EXPECT_EQ(file.text(), "A=1\nB=x=y\n");
  });
}

TEST(SubprocessOption, EnvCanBeTheProgramsOwnAndMore) {
  run([] {
    Environment environment = Environment::current();
    EXPECT_EQ(environment.get("PATH"), std::string_view(::getenv("PATH")));
    environment.set("AIOFIBER_TEST", "1");
    environment.set("AIOFIBER_TEST", "2");
    EXPECT_EQ(output_of("echo $AIOFIBER_TEST", {.env = environment}), "2\n");
    EXPECT_TRUE(environment.unset("AIOFIBER_TEST"));
    EXPECT_FALSE(environment.unset("AIOFIBER_TEST"));
  });
}

TEST(SubprocessOption, PathOfTheChildsEnvironmentIsSearched) {
  run([] {
    EXPECT_EQ(errno_of([] { exec({"true"}, {.env = Environment{{"PATH", "/no:/such"}}}); }), ENOENT);
    EXPECT_EQ(await(exec({"true"}, {.env = Environment{{"PATH", "/no:/usr/bin/"}}}).wait()), 0);
    EXPECT_EQ(await(exec({"true"}, {.env = Environment{}}).wait()), 0);
    // The empty entry is the current folder.
    EXPECT_EQ(await(exec({"true"}, {.cwd = "/usr/bin", .env = Environment{{"PATH", "/no:"}}}).wait()), 0);
  });
}

TEST(SubprocessOption, ExecutableMayDifferFromTheName) {
  run([] {
    EXPECT_EQ(await(exec({"other-name", "-c", "test $0 = other-name"}, {.executable = "/bin/sh"}).wait()), 0);
    EXPECT_EQ(output_of("echo $0", {.executable = "/bin/bash"}), "/bin/bash\n");
  });
}

TEST(SubprocessOption, DevnullReadsNothingAndTakesEverything) {
  run([] {
    EXPECT_EQ(await(exec({"cat"}, {.stdin_ = DEVNULL, .stdout_ = DEVNULL, .stderr_ = DEVNULL}).wait()), 0);
  });
}

TEST(SubprocessOption, StderrGoesWhereStdoutGoes) {
  run([] { EXPECT_EQ(output_of("echo a; echo b >&2", {.stderr_ = STDOUT}), "a\nb\n"); });
}

TEST(SubprocessOption, StreamsMayBeSwapped) {
  run([] {
    const TextFile out, err;
    const int saved_out = ::dup(1), saved_err = ::dup(2);
    ::dup2(out.fd(), 1);
    ::dup2(err.fd(), 2);
    const int code = code_of("echo a; echo b >&2", {.stdout_ = 2, .stderr_ = 1});
    ::dup2(saved_out, 1);
    ::dup2(saved_err, 2);
    ::close(saved_out);
    ::close(saved_err);
    EXPECT_EQ(code, 0);
    EXPECT_EQ(out.text(), "b\n");
    EXPECT_EQ(err.text(), "a\n");
  });
}

TEST(SubprocessOption, OnlyPassedDescriptorsAreOpenInTheChild) {
  run([] {
    const int leaky = ::open("/dev/null", O_RDONLY);  // without close-on-exec
    const int passed = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const std::string open_ones = "cd /proc/self/fd; for i in *; do [ -e $i ] && echo $i; done";
    EXPECT_EQ(output_of(open_ones), "0\n1\n2\n");
    EXPECT_EQ(output_of(open_ones, {.pass_fds = {passed, 1, passed}}),
              "0\n1\n2\n" + std::to_string(passed) + "\n");
    // Others may be open without that flag: the test inherits them.
    const std::string all = output_of(open_ones, {.close_fds = false});
    EXPECT_NE(all.find("\n" + std::to_string(leaky) + "\n"), std::string::npos);
    EXPECT_EQ(all.find("\n" + std::to_string(passed) + "\n"), std::string::npos);
    ::close(leaky);
    ::close(passed);
  });
}

TEST(SubprocessOption, SessionAndGroupAreNew) {
  run([] {
    // Fields 5 and 6 of /proc/PID/stat: group and session.
    const std::string group = "set -- $(cat /proc/$$/stat); [ $5 = $$ ]";
    const std::string session = "set -- $(cat /proc/$$/stat); [ $6 = $$ ]";
    EXPECT_EQ(code_of(group), 1);
    EXPECT_EQ(code_of(group, {.process_group = 0}), 0);
    EXPECT_EQ(code_of(session), 1);
    EXPECT_EQ(code_of(session, {.start_new_session = true}), 0);
    EXPECT_EQ(errno_of([] { exec({"true"}, {.process_group = 1}); }), EPERM);
  });
}

TEST(SubprocessOption, UmaskAndLimitsAreTheChilds) {
  run([] {
    EXPECT_EQ(output_of("umask", {.umask = 027}), "0027\n");
    EXPECT_EQ(
        output_of("ulimit -n; ulimit -c", {.limits = {{RLIMIT_NOFILE, {64, 64}}, {RLIMIT_CORE, {0, 0}}}}),
        "64\n0\n");
    EXPECT_EQ(code_of("while :; do :; done", {.limits = {{RLIMIT_CPU, {1, 1}}}}), -SIGKILL);
  });
}

TEST(SubprocessOption, SignalsHaveTheirDefaults) {
  run([] {
    const auto before = ::signal(SIGPIPE, SIG_IGN);
    const std::string ignores = "grep -q '^SigIgn:.*1...$' /proc/$$/status";  // bit 12 is SIGPIPE
    EXPECT_EQ(code_of(ignores), 1);
    EXPECT_EQ(code_of(ignores, {.restore_signals = false}), 0);
    ::signal(SIGPIPE, before);
  });
}

TEST(SubprocessOption, TheSignalMaskIsTheParents) {
  run([] {
    EXPECT_EQ(code_of("grep -q '^SigBlk:.0*$' /proc/self/status"), 0);
    sigset_t mask, before;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &mask, &before);
    EXPECT_EQ(code_of("kill -s USR1 $$; exit 3"), 3);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
}

// ---- users and groups: only root may change them ---------------------------------------------------------

#define NEEDS_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "only root may change the user of a process"

std::string id_of(const char* what, SubprocessOptions options) {
  return output_of(std::string("id ") + what, std::move(options));
}

TEST(SubprocessUser, IsGivenByNumberOrByName) {
  NEEDS_ROOT();
  run([] {
    const std::string number = output_of("id -u nobody");
    EXPECT_EQ(id_of("-u", {.user = "nobody"}), number);
    EXPECT_EQ(id_of("-ru", {.user = "nobody"}), number);
    EXPECT_EQ(id_of("-u", {.user = std::stoi(number)}), number);
    EXPECT_EQ(id_of("-g", {.user = "nobody"}), "0\n");  // as in Python: only the user
    const std::string group = output_of("id -g nobody");
    EXPECT_EQ(id_of("-g; id -rg; id -u", {.group = std::stoi(group)}), group + group + "0\n");
    EXPECT_EQ(id_of("-gn", {.group = "daemon"}), "daemon\n");
  });
}

TEST(SubprocessUser, GroupsAreSetBeforeTheUser) {
  NEEDS_ROOT();
  run([] {
    const std::vector<subprocess::Account> some{"daemon", 4, std::string("sys")};
    EXPECT_EQ(id_of("-G", {.extra_groups = some, .group = 1, .user = "nobody"}), "1 3 4\n");
    // None is not the same as the parent's own.
    const std::vector<gid_t> own{5, 6};
    std::vector<gid_t> before(static_cast<std::size_t>(::getgroups(0, nullptr)));
    ::getgroups(static_cast<int>(before.size()), before.data());
    ASSERT_EQ(::setgroups(own.size(), own.data()), 0);
    EXPECT_EQ(id_of("-G", {.group = 2}), "2 5 6\n");
    EXPECT_EQ(id_of("-G", {.extra_groups = std::vector<subprocess::Account>{}}), "0\n");
    ASSERT_EQ(::setgroups(before.size(), before.data()), 0);
  });
}

TEST(SubprocessUser, GoesWithPipesLimitsAndTheOtherOptions) {
  NEEDS_ROOT();
  run([]() -> Coro<void> {
    SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE, .cwd = "/usr", .start_new_session = true};
    options.limits = {{RLIMIT_NOFILE, {64, 64}}};
    options.user = "nobody";
    const Process process = co_await create_subprocess_shell("cat; id -un; pwd; ulimit -n; exit 3", options);
    const auto outputs = co_await process.communicate("text\n");
    EXPECT_EQ(outputs.first, "text\nnobody\n/usr\n64\n");
    EXPECT_EQ(process.returncode(), 3);
  });
}

// The kernel keeps with the memory whether a process may dump core and be traced. A child that shared the
// parent's memory would take this from the parent.
TEST(SubprocessUser, LeavesTheParentsRightsAlone) {
  NEEDS_ROOT();
  run([] {
    ASSERT_EQ(::prctl(PR_GET_DUMPABLE), 1);
    EXPECT_EQ(code_of("exit 5", {.user = 65534}), 5);
    EXPECT_EQ(::prctl(PR_GET_DUMPABLE), 1);
    EXPECT_EQ(::geteuid(), 0u);
  });
}

TEST(SubprocessUser, OfAChildMayNotReachItsProgram) {
  NEEDS_ROOT();
  run([] {
    const auto before = open_descriptors();
    const TextFile file;  // of root, and for nobody else
    code_of("cp -p /bin/true " + file.path() + "x; chmod 700 " + file.path() + "x");
    EXPECT_EQ(errno_of([&] { exec({file.path() + "x"}, {.stdout_ = PIPE, .user = "nobody"}); }), EACCES);
    EXPECT_EQ(code_of(file.path() + "x"), 0);
    ::unlink((file.path() + "x").c_str());
    // A folder of PATH that the user may not enter would be the error to report.
    const SubprocessOptions plain{.env = Environment{{"PATH", "/usr/bin"}}, .user = "nobody"};
    EXPECT_EQ(errno_of([&] { exec({"no-such-program-here"}, plain); }), ENOENT);
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_child());
  });
}

TEST(SubprocessUser, IsRefusedToAProgramThatIsNotRoot) {
  NEEDS_ROOT();
  run([] {
    const pid_t fork = ::fork();
    if (fork == 0) {
      // In a loop of its own, without the parent's rights.
      int failures = ::setresgid(1, 1, 1) != 0 || ::setresuid(1, 1, 1) != 0 ? 100 : 0;
      const auto refused = [&](const SubprocessOptions& options, const char* word) {
        try {
          detail::spawn({"true"}, options);
          ++failures;
        } catch (const std::system_error& error) {
          if (error.code().value() != EPERM || std::string(error.what()).find(word) == std::string::npos)
            ++failures;
        }
      };
      refused({.user = "root"}, "'root'");
      refused({.user = 0}, " 0");
      refused({.group = "root"}, "'root'");
      refused({.extra_groups = std::vector<subprocess::Account>{0}}, "extra_groups");
      ::_exit(failures);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(fork, &status, 0), fork);
    EXPECT_EQ(WEXITSTATUS(status), 0);
  });
}

TEST(SubprocessUser, HasToBeThere) {
  run([] {
    const auto text = [](const SubprocessOptions& options) {
      try {
        exec({"true"}, options);
      } catch (const ValueError& error) {
        return std::string(error.what());
      }
      return std::string("nothing");
    };
    EXPECT_EQ(text({.user = "no-such-user"}), "there is no user 'no-such-user'");
    EXPECT_EQ(text({.group = "no-such-group"}), "there is no group 'no-such-group'");
    EXPECT_EQ(text({.extra_groups = std::vector<subprocess::Account>{"no-such-group"}}),
              "there is no group 'no-such-group'");
    EXPECT_EQ(text({.user = ""}), "there is no user ''");
    EXPECT_NE(text({.user = std::string("ro\0ot", 5)}).find("null byte"), std::string::npos);
    EXPECT_EQ(text({.user = -1}), "the number of a user is from 0 to 4294967294, and -1 is not");
    EXPECT_EQ(text({.group = 4294967295u}),
              "the number of a group is from 0 to 4294967294, and 4294967295 is not");
    EXPECT_FALSE(has_child());
  });
}

// ---- signals ----------------------------------------------------------------------------------------------

TEST(SubprocessSignal, TerminatesAndKills) {
  run([] {
    const Process polite = exec({"sleep", "60"});
    polite.terminate();
    EXPECT_EQ(await(polite.wait()), -SIGTERM);
    const Process process = exec({"sleep", "60"});
    process.send_signal(SIGUSR2);
    EXPECT_EQ(await(process.wait()), -SIGUSR2);
  });
}

TEST(SubprocessSignal, IsRefusedAfterTheEnd) {
  run([] {
    const Process process = exec({"true"});
    await(process.wait());
    EXPECT_EQ(errno_of([&] { process.kill(); }), ESRCH);
    EXPECT_EQ(errno_of([&] { process.terminate(); }), ESRCH);
  });
}

TEST(SubprocessSignal, HasANumber) {
  run([] {
    const Process process = exec({"sleep", "60"});
    EXPECT_EQ(errno_of([&] { process.send_signal(999); }), EINVAL);
    process.send_signal(0);
    process.kill();
    await(process.wait());
  });
}

// ---- cancelling, closing ----------------------------------------------------------------------------------

TEST(SubprocessWait, CanBeCancelledAndRepeated) {
  run([] {
    const Process process = exec({"sleep", "60"});
    EXPECT_THROW(await(wait_for(process.wait(), 1ms)), TimeoutError);
    EXPECT_THROW(await(wait_for([process]() -> Coro<int> { co_return co_await process.wait(); }, 1ms)),
                 TimeoutError);
    EXPECT_EQ(process.returncode(), std::nullopt);
    process.kill();
    EXPECT_EQ(await(process.wait()), -SIGKILL);
  });
}

TEST(SubprocessWait, IsShownByInspection) {
  run([] {
    const Process process = exec({"sleep", "60"});
    const auto task = create_task([process] { await(process.wait()); });
    await(sleep(0s));
    std::ostringstream text;
    dump_tasks(text);
    EXPECT_NE(text.str().find("process " + std::to_string(process.pid())), std::string::npos) << text.str();
    process.kill();
    await(task);
  });
}

TEST(SubprocessClosing, KillsAndReapsWhatStillRuns) {
  const LogLines log;
  const auto before = open_descriptors();
  Process process;
  run([&] { process = exec({"sleep", "60"}); });
  EXPECT_EQ(process.returncode(), -SIGKILL);
  EXPECT_EQ(errno_of([&] { process.kill(); }), ESRCH);
  EXPECT_FALSE(has_child());
  EXPECT_TRUE(log.has("ResourceWarning: unclosed subprocess: " + repr(process)));
  EXPECT_EQ(run([&] { return await(process.wait()); }), -SIGKILL);  // known, so any loop may ask
  process = Process();                                              // keeps the descriptors of its loop
  EXPECT_EQ(open_descriptors(), before);
}

TEST(SubprocessClosing, ReapsWhatHasEndedUnseen) {
  const LogLines log;
  Process process;
  {
    EventLoop loop;
    loop.run_until_complete([&] { process = exec({"true"}); });
    siginfo_t info;
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process.pid()), &info, WEXITED | WNOWAIT), 0);
    loop.close();
  }
  EXPECT_EQ(process.returncode(), 0);
  EXPECT_TRUE(log.lines.empty());
}

TEST(SubprocessClosing, LeavesADetachedChildAlone) {
  const LogLines log;
  Process process;
  run([&] {
    process = exec({"sleep", "60"});
    process.detach();
  });
  EXPECT_TRUE(log.lines.empty());
  EXPECT_EQ(process.returncode(), std::nullopt);
  EXPECT_THROW(run([&] { await(process.wait()); }), RuntimeError);
  process.kill();
  int status = 0;
  EXPECT_EQ(::waitpid(process.pid(), &status, 0), process.pid());
}

TEST(SubprocessClosing, UnwindsATaskThatWaits) {
  const LogLines log;
  bool unwound = false;
  {
    EventLoop loop;
    Process process;
    const auto task = loop.create_task([&] {
      struct Mark {
        bool& flag;
        ~Mark() { flag = true; }
      } mark{unwound};
      process = exec({"sleep", "60"});
      await(process.wait());
    });
    loop.run_until_complete([&] {
      while (!process.valid()) await(sleep(0s));
    });
    loop.close();
    EXPECT_EQ(process.returncode(), -SIGKILL);
  }
  EXPECT_TRUE(unwound);
}

TEST(SubprocessClosing, AnotherLoopCannotWait) {
  EventLoop first, second;
  Process process;
  first.run_until_complete([&] { process = exec({"sleep", "60"}); });
  EXPECT_THROW(second.run_until_complete([&] { await(process.wait()); }), RuntimeError);
  process.kill();
  EXPECT_EQ(first.run_until_complete([&] { return await(process.wait()); }), -SIGKILL);
  first.close();
  second.close();
}

// ---- a system that refuses --------------------------------------------------------------------------------

// One call fails with an errno, every time or the n-th time.
class Refusal final : public runtime::FaultPlan {
 public:
  Refusal(std::string call, int error, int nth = 0) : call_(std::move(call)), error_(error), left_(nth) {
    runtime::current_fault_plan = this;
  }
  ~Refusal() override { runtime::current_fault_plan = nullptr; }
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;
  int fail(const char* call) noexcept override {
    return call_ == call && (left_ == 0 || --left_ == 0) ? error_ : 0;
  }

 private:
  const std::string call_;
  const int error_;
  int left_;
};

TEST(SubprocessStart, LeavesNothingBehindWhenTheSystemRefuses) {
  run([] {
    const SubprocessOptions pipes{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE};
    await(exec({"true"}, pipes).communicate());
    await(sleep(0s));
    const auto before = open_descriptors();
    const auto refused = [&](const char* call, int error, int nth, const SubprocessOptions& options) {
      const Refusal refusal(call, error, nth);
      return errno_of([&] { exec({"true"}, options); });
    };
    EXPECT_EQ(refused("clone", EAGAIN, 0, pipes), EAGAIN);
    EXPECT_EQ(refused("mmap", ENOMEM, 0, pipes), ENOMEM);
    for (int nth = 1; nth <= 3; ++nth) EXPECT_EQ(refused("pipe2", EMFILE, nth, pipes), EMFILE);
    EXPECT_EQ(refused("openat", ENFILE, 0, {.stdin_ = DEVNULL}), ENFILE);
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_child());
  });
}

TEST(SubprocessStart, FailsAtTheLimitOfDescriptors) {
  run([] {
    await(exec({"true"}).wait());
    const auto before = open_descriptors();
    rlimit limit{}, low{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const int next = ::dup(0);
    ::close(next);
    for (int more = 0; more < 7; ++more) {  // two for each pipe, and the pidfd
      low = {static_cast<rlim_t>(next + more), limit.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &low);
      EXPECT_EQ(errno_of([] { exec({"true"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE}); }), EMFILE);
      ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_child());
  });
}

TEST(SubprocessStart, WorksWhenTheParentHasNoStandardStreams) {
  run([] {
    int saved[3];
    for (int fd = 0; fd < 3; ++fd) {
      saved[fd] = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
      ::close(fd);
    }
    std::string out;
    int code = -1;
    try {
      const Process process =
          exec({"sh", "-c", "cat; echo x >&2"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = STDOUT});
      out = await(process.communicate("text ")).first;
      code = await(process.wait());
    } catch (...) {
    }
    for (int fd = 0; fd < 3; ++fd) {
      ::dup2(saved[fd], fd);
      ::close(saved[fd]);
    }
    EXPECT_EQ(out, "text x\n");
    EXPECT_EQ(code, 0);
  });
}

TEST(Subprocess, IsNotKilledByAForkThatClosesTheLoop) {
  run([] {
    const Process process = exec({"sleep", "60"});
    const pid_t fork = ::fork();
    if (fork == 0) {
      set_log_sink([](LogLevel, std::string_view) {});
      bool refused = false;
      try {
        // The loop of the parent is of no use here; closing it must not touch the parent's child.
        get_event_loop().close();
      } catch (const RuntimeError&) {
        refused = true;
      }
      ::_exit(refused ? 1 : 0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(fork, &status, 0), fork);
    EXPECT_EQ(process.returncode(), std::nullopt);
    process.terminate();  // not the SIGKILL of a closing loop
    EXPECT_EQ(await(process.wait()), -SIGTERM);
  });
}

}  // namespace
}  // namespace aiofiber
