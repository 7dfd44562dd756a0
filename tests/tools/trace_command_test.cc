// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// `aiofiber trace` on real processes, which it inspects while they run, in real time. Nothing depends on the
// time taken, except one recording that lasts until its target has certainly run.
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "support/processes.h"
#include "trace_format.h"

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
std::string contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}
std::string line_with(const std::string& text, const std::string& part) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (contains(line, part)) return line;
  }
  return {};
}

class TraceCommand : public testing::Test {
 protected:
  TraceCommand() {
    char name[] = "/tmp/aiofiber_trace_XXXXXX";
    folder_ = mkdtemp(name);
    file = folder_ / "trace.json";
  }
  ~TraceCommand() override { fs::remove_all(folder_); }
  void expect_well_formed() const {
    const std::string text = contents(file);
    EXPECT_EQ(TraceFormat::complaints(text), std::vector<std::string>()) << text.substr(0, 2000);
  }
  // A recording under way, whose file has been opened.
  struct Recorder {
    Running process;
    explicit Recorder(const std::string& pid, const std::string& output)
        : process(Words{AIOFIBER_COMMAND, "trace", pid, "-o", output}, 0, [] {
            const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
            dup2(nowhere, STDOUT_FILENO);
            dup2(nowhere, STDERR_FILENO);
          }) {
      while (!fs::exists(output)) std::this_thread::yield();
    }
  };
  std::string file;

 private:
  fs::path folder_;
};

TEST_F(TraceCommand, RecordsARunningProcess) {
  const Running process(target({"rivals"}));
  const Finished recorded = aiofiber({"trace", process.pid(), "--seconds", "0.3", "-o", file});
  EXPECT_EQ(recorded.code, 0) << recorded.err;
  EXPECT_TRUE(contains(recorded.out, "4 tasks") && contains(recorded.out, "the time is over"))
      << recorded.out;
  EXPECT_TRUE(contains(recorded.out, "counted, not drawn")) << recorded.out;
  expect_well_formed();
  const Finished report = aiofiber({"trace", file});
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_TRUE(contains(report.out, "Sampled from outside")) << report.out;
  EXPECT_FALSE(line_with(report.out, "spinner").empty()) << report.out;
  // The long sleepers ran not once, and their waits are as long as the recording.
  EXPECT_TRUE(contains(line_with(report.out, "old"), " 0 ")) << report.out;
  EXPECT_TRUE(contains(line_with(report.out, "old"), " ms") || contains(line_with(report.out, "old"), " s"))
      << report.out;
  EXPECT_TRUE(contains(contents(file), "began_us_before_the_trace"));
}

TEST_F(TraceCommand, CopesWithTasksThatSwitchAsFastAsTheyCan) {
  const Running process(target({"busy", "50"}));
  const Finished recorded = aiofiber({"trace", process.pid(), "--seconds", "0.3", "-o", file});
  EXPECT_EQ(recorded.code, 0) << recorded.err;
  expect_well_formed();
  const Finished report = aiofiber({"trace", file, "--json"});
  rapidjson::Document json;
  ASSERT_FALSE(json.Parse(report.out.c_str()).HasParseError()) << report.out;
  EXPECT_TRUE(json["sampled"].GetBool());
  EXPECT_EQ(json["tasks"].Size(), 51u);
  std::uint64_t runs = 0;
  for (const auto& task : json["tasks"].GetArray()) runs += task["runs"].GetUint64();
  EXPECT_GT(runs, 51u);
}

TEST_F(TraceCommand, TheFileIsWholeAfterCtrlC) {
  const Running process(target({"rivals"}));
  Recorder recorder(process.pid(), file);
  kill(recorder.process.id(), SIGINT);
  int status = 0;
  waitpid(recorder.process.id(), &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  expect_well_formed();
  EXPECT_TRUE(contains(contents(file), "\"complete\":true"));
}

TEST_F(TraceCommand, TheFileIsWholeWhenTheProcessEnds) {
  Running process(target({"rivals"}));
  Recorder recorder(process.pid(), file);
  process.end(SIGKILL);
  int status = 0;
  waitpid(recorder.process.id(), &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  expect_well_formed();
  EXPECT_TRUE(contains(contents(file), "\"complete\":true"));
}

TEST_F(TraceCommand, ReportsATraceOfTheProgramItself) {
  const Finished traced = run(target({"step"}), [this] { setenv("AIOFIBER_TRACE", file.c_str(), 1); });
  EXPECT_EQ(traced.code, 0) << traced.err;
  expect_well_formed();
  const Finished report = aiofiber({"trace", file});
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_TRUE(contains(report.out, "inspect_target") && contains(report.out, "4 tasks, 1 loop"))
      << report.out;
  EXPECT_FALSE(contains(report.out, "was not ended")) << report.out;
  EXPECT_FALSE(line_with(report.out, "gather").empty()) << report.out;
  EXPECT_TRUE(contains(report.out, "From wake to run")) << report.out;
  const Finished json_report = aiofiber({"trace", file, "--json"});
  rapidjson::Document json;
  ASSERT_FALSE(json.Parse(json_report.out.c_str()).HasParseError()) << json_report.out;
  EXPECT_TRUE(json["complete"].GetBool());
  std::uint64_t runs = 0;
  for (const auto& task : json["tasks"].GetArray()) runs += task["run"]["count"].GetUint64();
  // Three tasks of three rounds of two sleeps: seven runs each; and the main task's.
  EXPECT_GE(runs, 21u);
  EXPECT_GT(json["wake_to_run"]["max_ns"].GetInt64(), 0);
}

TEST_F(TraceCommand, ReportsATraceWhoseProgramWasKilled) {
  {
    Running process(target({"rivals"}), 1, [this] { setenv("AIOFIBER_TRACE", file.c_str(), 1); });
    while (!fs::exists(file) || fs::file_size(file) == 0) std::this_thread::yield();
    process.end(SIGKILL);
  }
  const Finished report = aiofiber({"trace", file});
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_TRUE(contains(report.out, "The file was not ended")) << report.out;
  EXPECT_FALSE(line_with(report.out, "spinner").empty()) << report.out;
}

TEST_F(TraceCommand, SeveralLoopsMakeAWellFormedTrace) {
  {
    Running process(target({"loops"}), 2, [this] { setenv("AIOFIBER_TRACE", file.c_str(), 1); });
    while (!fs::exists(file) || fs::file_size(file) == 0) std::this_thread::yield();
    process.end(SIGKILL);
  }
  const std::string text = contents(file);
  ASSERT_TRUE(text.ends_with(",\n"));
  EXPECT_EQ(TraceFormat::complaints(text.substr(0, text.size() - 2) + "]"), std::vector<std::string>());
}

TEST_F(TraceCommand, RefusesWrongUsage) {
  const Running process(target({"sleepers"}));
  const std::vector<std::pair<Words, int>> cases = {
      {{"trace"}, 2},
      {{"trace", "--core", "core"}, 2},
      {{"trace", process.pid(), "--seconds", "none"}, 2},
      {{"trace", process.pid(), "--interval", "0"}, 2},
      {{"trace", process.pid(), "-o"}, 2},
      {{"trace", process.pid(), "--json"}, 2},
      {{"trace", process.pid(), file}, 2},
      {{"trace", "--stop", process.pid()}, 2},
      {{"trace", "file.json", "--seconds", "1"}, 2},
      {{"trace", process.pid(), "--seconds", "1", "-o", "/no/such/folder/x"}, 2},
      {{"trace", "999999999"}, 3},
      {{"trace", std::to_string(getpid()), "--seconds", "1", "-o", file}, 4},
      {{"trace", file}, 7},
      {{"trace", "/"}, 7},
      {{"trace", INSPECT_TARGET}, 7},
  };
  for (const auto& [words, code] : cases) {
    const Finished finished = aiofiber(words);
    EXPECT_EQ(finished.code, code) << words.back() << ": " << finished.err;
    EXPECT_EQ(finished.out, "") << words.back();
    EXPECT_TRUE(finished.err.starts_with("aiofiber: ")) << finished.err;
  }
  EXPECT_FALSE(fs::exists(file)) << "nothing was recorded";
}

TEST_F(TraceCommand, SaysSoWhenTheDiskIsFull) {
  const Running process(target({"rivals"}));
  const Finished recorded = aiofiber({"trace", process.pid(), "--seconds", "0.01", "-o", "/dev/full"});
  EXPECT_EQ(recorded.code, 1);
  EXPECT_TRUE(contains(recorded.err, "cannot write to '/dev/full'")) << recorded.err;
}

}  // namespace
}  // namespace aiofiber::tool_test
