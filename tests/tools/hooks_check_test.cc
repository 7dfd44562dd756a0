// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// `aiofiber hooks --check` on real libraries, programs and processes, and on files of other kinds.
#include <elf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "aiofiber/runtime/arch/arch.h"
#include "support/processes.h"
#include "support/terminal_text.h"

namespace aiofiber::tool_test {
namespace {

namespace fs = std::filesystem;

Finished check(const std::string& subject, Words options = {}) {
  options.insert(options.begin(), {AIOFIBER_COMMAND, "hooks", "--check", subject});
  return run(options);
}
// One line, so that what stands below a name can be looked for together with it.
std::string without_lines(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// A file in a fresh folder under the system's temporary one.
class File {
 public:
  explicit File(const std::string& content) {
    char name[] = "/tmp/aiofiber_hooks_check_XXXXXX";
    folder_ = mkdtemp(name);
    std::ofstream(path(), std::ios::binary) << content;
  }
  ~File() { fs::remove_all(folder_); }
  std::string path() const { return folder_ / "file"; }

 private:
  fs::path folder_;
};
std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(HooksCheck, NamesAnImportThatNobodyHooksAndSaysWhatToDo) {
  const Finished result = check(BLOCKER);
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string text = without_lines(result.out);
  EXPECT_TRUE(contains(text, "sigwait       imports it: use the loop's add_signal_handler()")) << result.out;
  EXPECT_TRUE(contains(text, "Mutex::Lock       imports it: the hooks know the locks of another abseil"))
      << result.out;
  EXPECT_FALSE(contains(text, "recv ")) << result.out;
  EXPECT_TRUE(contains(text, "; 1 import is hooked")) << result.out;
}

#if AIOFIBER_ARCH_X86_64
// The program without PIE has its arrays' addresses as plain numbers, which the check does not see, and no
// static std::string.
bool has_all(const std::string& program) { return program != SHARED_NO_PIE; }

class HooksCheckShared : public ::testing::TestWithParam<const char*> {};

TEST_P(HooksCheckShared, NamesTheVariablesThatTasksWouldShareAndWhy) {
  const Finished result = check(GetParam());
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string text = without_lines(result.out);
  if (has_all(GetParam())) {
    EXPECT_TRUE(
        contains(text, "chunk in hooks_check_shared.cc, 8192 bytes       copy_some takes its address"))
        << result.out;
    EXPECT_TRUE(
        contains(text, "answers in hooks_check_shared.cc, 8 bytes       greet sets it, waits in recv,"))
        << result.out;
  }
  EXPECT_TRUE(contains(text, "cached_fd in hooks_check_shared.cc, 4 bytes       ask sets it, waits in recv,"))
      << result.out;
  EXPECT_TRUE(contains(text, "posting in hooks_check_shared.cc, 1 byte       post sets it, waits in fetch,"))
      << result.out;
  EXPECT_TRUE(
      contains(text, "bytes_in_all in hooks_check_shared.cc, 8 bytes       count reads it, waits in recv,"))
      << result.out;
  EXPECT_TRUE(
      contains(text, "next_word in hooks_check_shared.cc, 8 bytes       send_words sets it, waits in send,"))
      << result.out;
  EXPECT_TRUE(
      contains(text, "progress in hooks_check_shared.cc, 16 bytes       begin_again sets it, waits in recv,"))
      << result.out;
  EXPECT_FALSE(contains(text, "answer_of_all")) << result.out;
  EXPECT_FALSE(contains(text, "greeting")) << result.out;
  EXPECT_FALSE(contains(text, "codes")) << result.out;
  EXPECT_FALSE(contains(text, "line_state")) << result.out;
  EXPECT_FALSE(contains(text, "mode_of_call")) << "nobody reads it during the wait: " << result.out;
  EXPECT_TRUE(contains(text, " more variables are less suspicious (-v shows them)")) << result.out;
}

void replace_all(std::string& bytes, const std::string& old, const std::string& with) {
  ASSERT_EQ(old.size(), with.size());
  ASSERT_TRUE(contains(bytes, old)) << old;
  for (std::size_t at = 0; (at = bytes.find(old, at)) != std::string::npos;)
    bytes.replace(at, old.size(), with);
}

TEST_P(HooksCheckShared, LetsNoNameOfAFileWriteOnTheTerminal) {
  std::string bytes = content_of(GetParam());
  replace_all(bytes, "cached_fd", "ca\x1b[31m_f");
  replace_all(bytes, "hooks_check_shared.cc", "hooks\x9b\x33\x31m_shared\nl.cc");
  replace_all(bytes, "begin_again", "\xe2\x80\xae_turned\x07");
  const File file(bytes);
  for (const Words& options : {Words{}, Words{"-v"}, Words{"--json"}}) {
    const Finished result = check(file.path(), options);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_TRUE(is_fit_for_a_terminal(result.out)) << result.out;
    EXPECT_FALSE(contains(result.out, "\nl.cc")) << result.out;
    EXPECT_TRUE(contains(result.out, "ca?[31m_f")) << result.out;
  }
  std::string needs_other = content_of(GetParam());
  replace_all(needs_other, "libc.so.6", "li\x1b[7m.so");
  const File other(needs_other);
  const Finished result = check(other.path());
  EXPECT_TRUE(is_fit_for_a_terminal(result.out + result.err)) << result.out << result.err;
  EXPECT_TRUE(contains(result.out, "li?[7m.so: not found")) << result.out;
}

TEST_P(HooksCheckShared, ShowsOnRequestWhatIsSetInOtherFunctionsAndWhatIsMadeOnce) {
  const std::string text = without_lines(check(GetParam(), {"-v"}).out);
  EXPECT_TRUE(contains(text, "keep sets it; send_kept uses it and waits in send")) << text;
  EXPECT_TRUE(contains(text, "log_two_lines waits in send, and calls functions before and after it")) << text;
  if (has_all(GetParam())) {
    EXPECT_TRUE(contains(text,
                         "greet::greeting in hooks_check_shared.cc, 32 bytes       greet makes it once and "
                         "waits in "))
        << text;
    EXPECT_TRUE(contains(text, "send_code takes its address and waits in send; nothing is seen to set it"))
        << text;
  }
}

TEST_P(HooksCheckShared, LeavesOutWhatIsNotSharedAcrossAWait) {
  const std::string text = check(GetParam(), {"-v"}).out;
  for (const char* harmless : {"rounds", "most_bytes", "since_start", "per_thread", "kNames", "calls_in_all"})
    EXPECT_FALSE(contains(text, harmless)) << harmless << ": " << text;
  EXPECT_FALSE(contains(text, "exit_code")) << "main() is no task: " << text;
  EXPECT_FALSE(contains(text, "at_begin")) << "set before main(): " << text;
  EXPECT_FALSE(contains(text, "letters")) << "only its address is taken, and not before a wait: " << text;
  EXPECT_FALSE(contains(text, "two_fields")) << "what is used after the wait is another field: " << text;
  EXPECT_FALSE(contains(text, "logged")) << "a line to a log is no wait: " << text;
  EXPECT_FALSE(contains(text, "on_time_limit")) << "a jmp_buf is the task's: " << text;
}

TEST_P(HooksCheckShared, NamesTheFunctionsOfLibcThatShareSomething) {
  const Finished result = check(GetParam());
  const std::string text = without_lines(result.out);
  EXPECT_TRUE(contains(text, "  alarm       imports it: in a task the hooks make it the task's own alarm"))
      << result.out;
  EXPECT_TRUE(contains(text, "  localtime, asctime       imports it: its result is in a static buffer"))
      << result.out;
  EXPECT_TRUE(contains(text, "  printf, puts       imports it: tasks write to one stdout")) << result.out;
}

TEST(HooksCheck, NamesTheFunctionsThatWriteToTheSharedStdoutByItsName) {
  const std::string text = without_lines(check(STDOUT_PROGRAM).out);
  EXPECT_TRUE(contains(text, "  fputs       imports it: tasks write to one stdout")) << text;
  EXPECT_FALSE(contains(without_lines(check(STDERR_PROGRAM).out), "one stdout")) << "only stderr";
}

TEST(HooksCheck, NamesTheStaticResultsOfLibcAndWhoCallsThem) {
  const std::string text = without_lines(check(STDOUT_PROGRAM).out);
  EXPECT_TRUE(contains(text, "  getpwent       imports it: its result is in a static buffer")) << text;
  EXPECT_TRUE(contains(text, "if the result is used after a call that waits       called in list_users"))
      << text;
  EXPECT_TRUE(contains(check(STDOUT_PROGRAM, {"--json"}).out, "\"called_in\":[\"list_users\"]"));
}

TEST(HooksCheck, NamesAForkWithoutExecAlsoWhereAnotherFunctionCallsExec) {
  const std::string text = without_lines(check(FORK_PROGRAM).out);
  EXPECT_TRUE(contains(text, "  fork       imports it: the child goes on as a plain thread")) << text;
  EXPECT_TRUE(contains(text, "exec at once, or posix_spawn       called in count_in_child")) << text;
  EXPECT_FALSE(contains(text, "run_command")) << text;
  EXPECT_FALSE(contains(text, "make_child")) << "its caller calls exec: " << text;
}

INSTANTIATE_TEST_SUITE_P(Levels, HooksCheckShared, ::testing::Values(SHARED_O0, SHARED_O2, SHARED_NO_PIE));

TEST(HooksCheck, SeesTheImportsOfAProgramThatExportsNothing) {
  const Finished result = check(SHARED_NO_PIE);
  EXPECT_FALSE(contains(result.out, "; 0 imports are hooked")) << result.out;
}

TEST(HooksCheck, TakesOnlyThoseFunctionsOfAiofiberAsWaitsThatSuspend) {
  const std::string text = without_lines(check(TASKS).out);
  EXPECT_TRUE(contains(text, "hooked in hooks_check_tasks.cc, 4 bytes       receive sets it, waits in recv,"))
      << text;
  EXPECT_TRUE(contains(
      text, "asleep in hooks_check_tasks.cc, 4 bytes       sleep_a_while sets it, waits in aiofiber::"))
      << text;
  EXPECT_FALSE(contains(text, "called_soon")) << text;
}

TEST(HooksCheck, EndsInAProgramWithLongChainsOfCalls) {
  const Finished result = check(DEEP);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(without_lines(result.out),
                       "set_before_chain, 4 bytes       begin_chain sets it, waits in chain_0,"))
      << result.out;
}

TEST(HooksCheck, SeesASystemCallThatTheCodeMakesItself) {
  const Finished result = check(BLOCKER);
  EXPECT_TRUE(contains(without_lines(result.out),
                       "  read       calls it directly: a system call instruction in its code (1 place)"))
      << result.out;
}
#endif

TEST(HooksCheck, FindsNothingInALibraryWhoseCallsAreAllHooked) {
  const Finished result = check(CLEAN);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "nothing is known to block the thread; 2 imports are hooked\n"))
      << result.out;
}

TEST(HooksCheck, LooksAtTheLibrariesThatAProgramNeeds) {
  const Finished result = check(NEEDS_BLOCKER);
  EXPECT_TRUE(contains(result.out, "libhooks_check_blocker.so\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "sigwait")) << result.out;
  EXPECT_TRUE(contains(result.out, "it has no hooks")) << result.out;
}

TEST(HooksCheck, SaysWhereTheHooksAre) {
  EXPECT_TRUE(contains(check(CHECK_TARGET).out, "the hooks are in hooks_check_target"))
      << "objects in the program";
  EXPECT_TRUE(contains(check(BY_HAND).out, "the hooks are in hooks_check_by_hand")) << "linked by hand";
  EXPECT_TRUE(contains(check(LATE_PROGRAM).out, "come behind libc and never act"))
      << "a link line that defeats them";
}

TEST(HooksCheck, OfAProcessShowsWhatItHasOpened) {
  const Running process({CHECK_TARGET, BLOCKER});
  const Finished result = check(process.pid());
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "libhooks_check_blocker.so (opened at run time)\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "sigwait")) << result.out;
  EXPECT_FALSE(contains(result.out, "bound past the hooks")) << result.out;
}

TEST(HooksCheck, OfAProcessLeavesOutWhatAiofiberOpensForNames) {
  const Running process({CHECK_TARGET, "libdw.so.1"});
  const Finished result = check(process.pid());
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "nothing is known to block the thread")) << result.out;
  EXPECT_FALSE(contains(result.out, "opened at run time")) << result.out;
}

TEST(HooksCheck, OfAProcessShowsACallThatDeepBindingTookPastTheHooks) {
  const Running process({CHECK_TARGET, BLOCKER, "deepbind"});
  const Running reader_of_symbols({CHECK_TARGET, BLOCKER, "deepbind", "mapped whole"});
  for (const std::string& pid : {process.pid(), reader_of_symbols.pid()}) {
    const Finished result = check(pid);
    EXPECT_TRUE(contains(without_lines(result.out), "  recv       bound past the hooks: RTLD_DEEPBIND"))
        << result.out;
  }
}

TEST(HooksCheck, KnowsWhetherStdioSuspendsInAProcess) {
  const auto lines_of = [](const char* stdio) {
    const Running process({CHECK_TARGET, BLOCKER}, 1, [=] { ::setenv("AIOFIBER_STDIO", stdio, 1); });
    return without_lines(check(process.pid()).out);
  };
  const std::string blocks = lines_of("0");
  EXPECT_TRUE(contains(blocks, "  fgets       imports it: libc reads by itself here: set AIOFIBER_STDIO=1"))
      << blocks;
  EXPECT_FALSE(contains(blocks, "stdio suspends")) << blocks;
  const std::string suspends = lines_of("1");
  EXPECT_TRUE(contains(suspends, "the hooks are in hooks_check_target, stdio suspends")) << suspends;
  EXPECT_FALSE(contains(suspends, "fgets")) << suspends;
  EXPECT_TRUE(contains(suspends, "scanf       imports it: reads standard input, which never suspends"))
      << suspends;
}

TEST(HooksCheck, LeavesOutWhatASettingsFileIsReadWith) {
  const Finished result = check(SETTINGS);
  EXPECT_TRUE(contains(result.out, "nothing is known to block the thread")) << result.out;
  EXPECT_FALSE(contains(result.out, "cannot be judged")) << result.out;
  EXPECT_TRUE(contains(without_lines(check(SETTINGS, {"-v"}).out),
                       "  fgets       imports it: opens its FILEs by name only"))
      << "-v shows it";
}

TEST(HooksCheck, KnowsWhatWaitsForABusyDisk) {
  EXPECT_FALSE(contains(check(SETTINGS).out, "disk"));
  const std::string text = without_lines(check(SETTINGS, {"-v"}).out);
  EXPECT_TRUE(contains(text, "  fopen, stat       imports it: waits for a busy disk")) << text;
  EXPECT_TRUE(contains(text, "AIOFIBER_FILES_ON_POOL=1 suspends")) << text;
  EXPECT_TRUE(contains(text, "  scandir       imports it: looks into folders inside libc")) << text;
}

TEST(HooksCheck, NamesALibraryWithWhichTasksAreNotAsThreads) {
  const std::string text = without_lines(check(NUMBERS).out);
  EXPECT_TRUE(contains(text, "  Asio's run()       known by name: suspends the task, but")) << text;
  EXPECT_TRUE(contains(text, "  gRPC       known by name: a stub's blocking call")) << text;
  EXPECT_TRUE(contains(text, "2 functions would block the thread")) << "not among them: " << text;
  EXPECT_TRUE(contains(text, "; 2 libraries are known by name")) << text;
}

// What aiofiber itself calls, and the libraries that it brings, are its own business.
TEST(HooksCheck, FindsNothingInAProgramThatHasOnlyAiofiberInIt) {
  const Finished result = check(EMPTY);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "the hooks are in hooks_check_empty")) << result.out;
  EXPECT_TRUE(contains(result.out, "nothing is known to block the thread")) << result.out;
#if AIOFIBER_ARCH_X86_64
  EXPECT_FALSE(contains(result.out, "cannot be judged")) << result.out;
#endif
}

TEST(HooksCheck, IsNotSureOfAiofibersOwnCallsWithoutSymbols) {
  const File stripped("");
  ASSERT_EQ(run({"strip", "-o", stripped.path(), EMPTY}).code, 0);
  const Finished result = check(stripped.path());
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "nothing is known to block the thread")) << result.out;
  EXPECT_TRUE(contains(result.out, "could be seen if it had its symbols")) << result.out;
}

#if AIOFIBER_ARCH_X86_64
TEST(HooksCheck, TellsAProgramsOwnCallsFromThoseOfAiofiberInIt) {
  const Finished result = check(BLOCKS);
  const std::string text = without_lines(result.out);
  EXPECT_TRUE(contains(text, "  syscall(futex)       calls it directly: waits on a bare futex (1 place)"))
      << result.out;
  EXPECT_TRUE(contains(text, "  fgets       imports it: libc reads by itself here")) << result.out;
  EXPECT_TRUE(contains(text, "2 functions would block the thread")) << result.out;
}

TEST(HooksCheck, ReadsTheNumberOfASystemCall) {
  const std::string known = without_lines(check(NUMBERS).out);
  EXPECT_TRUE(contains(known, "  syscall(futex)       calls it directly: waits on a bare futex (1 place)"))
      << known;
  EXPECT_FALSE(contains(known, "cannot be judged")) << known;
  EXPECT_LT(known.find("syscall(futex)"), known.find("fgets")) << "locks come before files: " << known;
  const std::string any = without_lines(check(ANY_NUMBER).out);
  EXPECT_TRUE(contains(any, "  syscall       cannot know: ")) << any;
  EXPECT_TRUE(contains(any, "; 1 cannot be judged")) << any;
}
#endif

TEST(HooksCheck, WritesTheSameAsJson) {
  const Finished result = check(BLOCKER, {"--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(
      contains(result.out, "\"hooks\":{\"place\":\"none\",\n\"module\":\"\",\n\"stdio_suspends\":false}"))
      << result.out;
  EXPECT_TRUE(
      contains(result.out, R"({"function":"sigwait","certainty":"imports it","rarely":false,"advice":")"))
      << result.out;
}

TEST(HooksCheck, RefusesWhatIsNoProgram) {
  const auto expect = [](const std::string& path, int code, const std::string& why) {
    const Finished result = check(path);
    EXPECT_EQ(result.code, code) << path;
    EXPECT_TRUE(contains(result.err, why)) << result.err;
    EXPECT_EQ(result.out, "") << path;
  };
  expect("/no/such/file", 7, "cannot open /no/such/file");
  expect("/tmp", 7, "is not a file");
  const File script("#!/bin/sh\necho hello, this is a script\n");
  expect(script.path(), 7, "is not an ELF file");
  const File empty("");
  expect(empty.path(), 7, "is not an ELF file");
  std::string bytes = content_of(BLOCKER);
  const File half(bytes.substr(0, bytes.size() / 8));
  expect(half.path(), 7, "is damaged or cut off");
  const File header(bytes.substr(0, 40));
  expect(header.path(), 7, "is damaged or cut off");
  bytes[EI_CLASS] = ELFCLASS32;
  const File other(bytes);
  expect(other.path(), 7, "another kind of machine");
}

TEST(HooksCheck, SurvivesEveryTruncationOfALibrary) {
  const std::string bytes = content_of(CLEAN);
  ASSERT_GT(bytes.size(), 4000u);
  for (std::size_t length = 0; length < bytes.size(); length += bytes.size() / 40 + 1) {
    const File cut(bytes.substr(0, length));
    const Finished result = check(cut.path());
    EXPECT_TRUE(result.code == 7 || result.code == 0)
        << "cut to " << length << ": " << result.code << result.err;
  }
}

TEST(HooksCheck, RefusesAProcessThatIsNotThere) {
  const Finished result = check("999999999");
  EXPECT_EQ(result.code, 3) << result.err;
}

// As a thread of the kernel, which a container has none of, a child that has ended is there and has no
// program.
TEST(HooksCheck, SaysThatAProcessHasNoProgram) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  const Finished result = check(std::to_string(child));
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(result.code, 3);
  EXPECT_NE(result.err.find("has no program"), std::string::npos) << result.err;
}

TEST(HooksCheck, WantsToKnowWhatToLookAt) {
  EXPECT_EQ(run({AIOFIBER_COMMAND, "hooks"}).code, 2);
  EXPECT_EQ(run({AIOFIBER_COMMAND, "hooks", CLEAN}).code, 2);
  EXPECT_EQ(check(CLEAN, {"another"}).code, 2);
  EXPECT_EQ(check(CLEAN, {"--unknown"}).code, 2);
}

}  // namespace
}  // namespace aiofiber::tool_test
