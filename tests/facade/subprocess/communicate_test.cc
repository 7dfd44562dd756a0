// SPDX-License-Identifier: Apache-2.0
//
// The streams of a child process, communicate(), and subprocess::run(): large texts both ways, children that
// do not read or do not write, cancellation, time limits.
// Labels: slow
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/descriptors.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using subprocess::CalledProcessError;
using subprocess::PIPE;
using subprocess::STDOUT;

Process exec(std::vector<std::string> argv, SubprocessOptions options = {}) {
  return await(create_subprocess_exec(std::move(argv), std::move(options)));
}
Process shell(std::string command, SubprocessOptions options = {}) {
  return await(create_subprocess_shell(std::move(command), std::move(options)));
}

// Text in which no part equals another.
std::string numbered_text(std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; text.size() < bytes; ++i) text += std::to_string(i) + "\n";
  text.resize(bytes);
  return text;
}

class LogLines {
 public:
  LogLines() {
    set_log_sink([this](LogLevel, std::string_view text) { lines.emplace_back(text); });
  }
  ~LogLines() { set_log_sink(nullptr); }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  std::vector<std::string> lines;
};

// ---- communicate ------------------------------------------------------------------------------------------

TEST(Communicate, SendsAndReceives) {
  run([] {
    const Process process = exec({"tr", "a-z", "A-Z"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
    const auto [out, err] = await(process.communicate("some text\n"));
    EXPECT_EQ(out, "SOME TEXT\n");
    EXPECT_EQ(err, "");
    EXPECT_EQ(process.returncode(), 0);
  });
}

TEST(Communicate, KeepsTheTwoOutputsApart) {
  run([] {
    const Process process = shell("echo a; echo b >&2", {.stdout_ = PIPE, .stderr_ = PIPE});
    const auto [out, err] = await(process.communicate());
    EXPECT_EQ(out, "a\n");
    EXPECT_EQ(err, "b\n");
  });
}

TEST(Communicate, GivesStderrWithStdout) {
  run([] {
    const Process process = shell("echo a; echo b >&2; echo c", {.stdout_ = PIPE, .stderr_ = STDOUT});
    EXPECT_FALSE(process.stderr_());
    EXPECT_EQ(await(process.communicate()).first, "a\nb\nc\n");
  });
}

TEST(Communicate, PassesMegabytesThroughCat) {
  run([] {
    const std::string text = numbered_text(16 << 20);
    const Process process = exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    const auto [out, err] = await(process.communicate(text));
    EXPECT_TRUE(out == text);
    EXPECT_EQ(process.returncode(), 0);
  });
}

TEST(Communicate, ReadsTwoLargeOutputsAtOnce) {
  run([] {
    const Process process =
        shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero",
              {.stdout_ = PIPE, .stderr_ = PIPE});
    const auto [out, err] = await(process.communicate());
    EXPECT_EQ(out.size(), 2'000'000u);
    EXPECT_EQ(err.size(), 1'000'000u);
  });
}

TEST(Communicate, IgnoresAChildThatDoesNotReadItsInput) {
  run([] {
    const Process process = shell("exit 3", {.stdin_ = PIPE, .stdout_ = PIPE});
    await(process.communicate(numbered_text(1 << 20)));
    EXPECT_EQ(process.returncode(), 3);
  });
}

TEST(Communicate, ClosesStdinAlsoWithoutInput) {
  run([] {
    const Process process = exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    EXPECT_EQ(await(process.communicate()).first, "");
    EXPECT_EQ(process.returncode(), 0);
  });
}

TEST(Communicate, DropsInputThatHasNoPipe) {
  run([] {
    const Process process = exec({"true"});
    const auto [out, err] = await(process.communicate("text"));
    EXPECT_EQ(out + err, "");
  });
}

TEST(Communicate, WorksInACoroutine) {
  const std::string out = run([]() -> Coro<std::string> {
    const SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE};
    const Process process = co_await create_subprocess_exec(options, "cat");
    auto outputs = co_await process.communicate("text");
    co_return outputs.first;
  });
  EXPECT_EQ(out, "text");
}

TEST(Communicate, WhenCancelledLeavesTheProcessToItsOwner) {
  run([] {
    const Process process = exec({"sleep", "60"}, {.stdout_ = PIPE});
    EXPECT_THROW(await(wait_for(process.communicate(), 1ms)), TimeoutError);
    EXPECT_EQ(process.returncode(), std::nullopt);
    process.kill();
    EXPECT_EQ(await(process.wait()), -SIGKILL);
  });
}

TEST(Communicate, OfManyAtOnceLeavesNothingOpen) {
  run([] {
    await(exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE}).communicate("x"));
    await(sleep(0s));
    const auto before = open_descriptors();
    {
      std::vector<Task<std::string>> tasks;
      for (int i = 0; i < 50; ++i) {
        tasks.push_back(create_task([i] {
          const Process process = exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
          return await(process.communicate(std::to_string(i))).first;
        }));
      }
      for (int i = 0; i < 50; ++i) EXPECT_EQ(await(tasks[static_cast<std::size_t>(i)]), std::to_string(i));
    }
    await(sleep(0s));
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_child());
  });
}

// ---- the streams themselves -------------------------------------------------------------------------------

TEST(SubprocessStreams, AreThoseThatWereAskedFor) {
  run([] {
    const Process process = exec({"true"}, {.stdout_ = PIPE});
    EXPECT_FALSE(process.stdin_());
    EXPECT_TRUE(process.stdout_());
    EXPECT_FALSE(process.stderr_());
    await(process.communicate());
  });
}

TEST(SubprocessStreams, CarryAConversation) {
  run([] {
    const Process process = shell("while read x; do echo got $x; done", {.stdin_ = PIPE, .stdout_ = PIPE});
    for (int i = 0; i < 3; ++i) {
      process.stdin_()->write(std::to_string(i) + "\n");
      await(process.stdin_()->drain());
      EXPECT_EQ(await(process.stdout_()->readline()), "got " + std::to_string(i) + "\n");
    }
    process.stdin_()->close();
    EXPECT_EQ(await(process.stdout_()->read()), "");
    EXPECT_EQ(await(process.wait()), 0);
    await(process.stdin_()->wait_closed());
  });
}

TEST(SubprocessStreams, GiveLinesToAPlainFor) {
  run([] {
    const Process process = shell("echo a; echo b; printf c", {.stdout_ = PIPE});
    std::string all;
    for (const std::string& line : *process.stdout_()) all += line + "|";
    EXPECT_EQ(all, "a\n|b\n|c|");
    EXPECT_EQ(await(process.wait()), 0);
  });
}

TEST(SubprocessStreams, CanBeReadAfterTheEndOfTheChild) {
  run([] {
    const Process process = shell("echo text", {.stdout_ = PIPE});
    EXPECT_EQ(await(process.wait()), 0);
    EXPECT_EQ(await(process.stdout_()->read()), "text\n");
  });
}

TEST(SubprocessStreams, StayUsableWithoutTheProcess) {
  run([] {
    const StreamReader reader = *shell("echo text", {.stdout_ = PIPE}).stdout_();
    EXPECT_EQ(await(reader.read()), "text\n");
  });
}

TEST(SubprocessStreams, PauseAChildThatWritesTooMuch) {
  run([] {
    const Process process = shell("head -c 1000000 /dev/zero", {.stdout_ = PIPE, .limit = 1024});
    EXPECT_THROW(await(wait_for(process.wait(), 20ms)), TimeoutError);  // nobody reads
    std::size_t bytes = 0;
    for (;;) {
      const std::string part = await(process.stdout_()->read(100'000));
      if (part.empty()) break;
      bytes += part.size();
    }
    EXPECT_EQ(bytes, 1'000'000u);
    EXPECT_EQ(await(process.wait()), 0);
  });
}

TEST(SubprocessStreams, TellTheWriterThatTheChildReadsNoMore) {
  run([] {
    const Process process = shell("exec <&-; echo closed; sleep 60", {.stdin_ = PIPE, .stdout_ = PIPE});
    EXPECT_EQ(await(process.stdout_()->readline()), "closed\n");
    // Without a write: the kernel reports it.
    await(process.stdin_()->wait_closed());
    EXPECT_TRUE(process.stdin_()->is_closing());
    process.kill();
    await(process.wait());
  });
}

TEST(SubprocessStreams, RaiseNoSigpipe) {
  run([] {
    ASSERT_EQ(::signal(SIGPIPE, SIG_DFL), SIG_DFL);  // it would end the test
    const Process process = exec({"true"}, {.stdin_ = PIPE});
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(process.pid()), &info, WEXITED | WNOWAIT);
    process.stdin_()->write(std::string(1 << 20, 'x'));
    EXPECT_THROW(await(process.stdin_()->drain()), std::system_error);
    await(process.wait());
  });
}

TEST(SubprocessStreams, WarnOfAnOpenStdin) {
  const LogLines log;
  run([] {
    Process process = exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE});
    const StreamReader out = *process.stdout_();
    process = Process();
    EXPECT_EQ(await(out.read()), "");  // cat has seen the end of its input
    while (has_child()) await(sleep(1ms));
  });
  ASSERT_EQ(log.lines.size(), 1u);
  EXPECT_NE(log.lines[0].find("ResourceWarning: unclosed <WritePipeTransport"), std::string::npos);
}

TEST(SubprocessStreams, SurviveTheirLoop) {
  const LogLines log;
  const auto before = open_descriptors();
  {
    std::optional<Process> process;
    run([&] { process = exec({"sleep", "60"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE}); });
    process->stdin_()->write("text");
    process->stdin_()->close();
    EXPECT_FALSE(process->stdout_()->at_eof());
    EXPECT_EQ(process->returncode(), -SIGKILL);
  }
  EXPECT_EQ(open_descriptors(), before);  // the process kept those of its loop
  EXPECT_EQ(log.lines.size(), 1u);
}

// ---- run() ------------------------------------------------------------------------------------------------

TEST(SubprocessRun, GivesTheOutcome) {
  run([] {
    const auto done = await(subprocess::run({"cat"}, {.input = "text", .capture_output = true}));
    EXPECT_EQ(done.returncode, 0);
    EXPECT_EQ(done.stdout_, "text");
    EXPECT_EQ(done.args, std::vector<std::string>{"cat"});
    EXPECT_EQ(await(subprocess::run({"sh", "-c", "exit 3"})).returncode, 3);
  });
}

TEST(SubprocessRun, ChecksTheReturncode) {
  run([] {
    try {
      await(subprocess::run({"sh", "-c", "echo no >&2; exit 3"}, {.capture_output = true, .check = true}));
      ADD_FAILURE();
    } catch (const CalledProcessError& error) {
      EXPECT_EQ(error.returncode(), 3);
      EXPECT_EQ(error.process().stderr_, "no\n");
      EXPECT_STREQ(error.what(), "the process 'sh' ended with exit status 3");
    }
    EXPECT_THROW(await(subprocess::run({"sh", "-c", "kill -9 $$"}, {.check = true})), CalledProcessError);
  });
}

TEST(SubprocessRun, KillsAndReapsAfterItsTimeout) {
  run([] {
    EXPECT_THROW(await(subprocess::run({"sleep", "60"}, {.timeout = 1ms})), TimeoutError);
    EXPECT_FALSE(has_child());
    EXPECT_THROW(await(subprocess::run({"sleep", "60"}, {.capture_output = true, .timeout = 1ms})),
                 TimeoutError);
    EXPECT_FALSE(has_child());
  });
}

TEST(SubprocessRun, KillsWhenItIsCancelled) {
  const LogLines log;
  run([] {
    const auto task = create_task([] { await(subprocess::run({"sleep", "60"}, {.input = "text"})); });
    const auto coro = create_task([]() -> Coro<> {
      auto call = subprocess::run({"sleep", "60"});
      co_await std::move(call);
    });
    await(sleep(0s));
    EXPECT_TRUE(has_child());
    task.cancel();
    coro.cancel();
    await(wait({task, coro}));
    EXPECT_TRUE(task.cancelled() && coro.cancelled());
    // Killed at once, and reaped by the loop soon.
    while (has_child()) await(sleep(1ms));
  });
  EXPECT_TRUE(log.lines.empty());
}

TEST(SubprocessRun, RefusesTwoMeaningsOfAStream) {
  run([] {
    EXPECT_THROW(static_cast<void>(subprocess::run({"cat"}, {.input = "x", .process = {.stdin_ = PIPE}})),
                 ValueError);
    EXPECT_THROW(
        static_cast<void>(subprocess::run({"cat"}, {.capture_output = true, .process = {.stderr_ = STDOUT}})),
        ValueError);
  });
}

TEST(SubprocessRun, GivesTheErrorsOfTheStart) {
  run([] { EXPECT_THROW(await(subprocess::run({"no-such-program-here"})), std::system_error); });
}

}  // namespace
}  // namespace aiofiber
