// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// `aiofiber top` on a real process, at a pseudo-terminal: the test sends keys and reads the screen. It
// refreshes in real time, so the tests wait for a screen with the expected text, never for a time.
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <utmp.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <sstream>

#include "support/processes.h"

namespace aiofiber::tool_test {
namespace {

// One screen: the text between two "cursor home", without control sequences; `chosen` is the line shown in
// reverse.
struct Screen {
  std::vector<std::string> lines;
  std::string chosen;

  std::string text() const {
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }
  std::string row(std::size_t i) const {
    return lines.size() > i + 3 ? lines[i + 3] : "";
  }  // below the heading
};

Screen parse(const std::string& bytes) {
  Screen screen;
  std::string line;
  bool reverse = false, was_reverse = false;
  const auto end_line = [&] {
    if (was_reverse) screen.chosen = line;
    screen.lines.push_back(line);
    line.clear();
    was_reverse = false;
  };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\x1b') {
      std::size_t end = i + 2;
      while (end < bytes.size() && !isalpha(static_cast<unsigned char>(bytes[end]))) ++end;
      const std::string sequence = bytes.substr(i, end + 1 - i);
      if (sequence == "\x1b[7m") reverse = was_reverse = true;
      if (sequence == "\x1b[0m") reverse = false;
      i = end;
    } else if (bytes[i] == '\n') {
      end_line();
    } else if (bytes[i] != '\r') {
      line += bytes[i];
      was_reverse |= reverse;
    }
  }
  end_line();
  return screen;
}

// The command on a terminal of its own.
class Top {
 public:
  explicit Top(const Words& arguments, unsigned short columns = 140, unsigned short rows = 24) {
    winsize size{rows, columns, 0, 0};
    EXPECT_EQ(openpty(&terminal_, &other_end_, nullptr, nullptr, &size), 0);
    tcgetattr(other_end_, &before_);
    pid_ = fork();
    if (pid_ == 0) {
      close(terminal_);
      login_tty(other_end_);
      setenv("TERM", "xterm", 1);
      Words words{AIOFIBER_COMMAND, "top", "--interval", "0.05"};
      words.insert(words.end(), arguments.begin(), arguments.end());
      exec_now(words);
    }
  }
  ~Top() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
    close(other_end_);
  }
  Top(const Top&) = delete;
  Top& operator=(const Top&) = delete;

  pid_t id() const { return pid_; }
  void type(const std::string& keys) {
    ASSERT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  void resize(unsigned short columns, unsigned short rows) {
    const winsize size{rows, columns, 0, 0};
    ASSERT_EQ(ioctl(terminal_, TIOCSWINSZ, &size), 0);
  }
  // The first screen from now on that is as wanted; the test fails when none is within ten seconds.
  Screen see(const std::function<bool(const Screen&)>& wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    Screen last;
    while (std::chrono::steady_clock::now() < end && receive(100)) {
      // A screen ends with "erase below".
      for (std::size_t at; (at = pending_.find("\x1b[J")) != std::string::npos; pending_.erase(0, at + 3)) {
        const std::size_t start = pending_.rfind("\x1b[H", at);
        last = parse(pending_.substr(start == std::string::npos ? 0 : start, at - start));
        if (wanted(last)) {
          pending_.erase(0, at + 3);
          return last;
        }
      }
    }
    ADD_FAILURE() << "not to be seen; the last screen was:\n" << last.text();
    return last;
  }
  Screen see(const std::string& part) {
    return see([&](const Screen& screen) { return contains(screen.text(), part); });
  }
  // Waits for these bytes, and forgets them and what was written before.
  void pass(const std::string& bytes) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::size_t at;
    while ((at = pending_.find(bytes)) == std::string::npos && std::chrono::steady_clock::now() < end &&
           receive(100)) {
    }
    ASSERT_NE(at, std::string::npos) << "was not written";
    pending_.erase(0, at + bytes.size());
  }
  // Nothing is written for this long.
  bool is_still(int ms) {
    pollfd entry{terminal_, POLLIN, 0};
    return poll(&entry, 1, ms) == 0;
  }
  bool settings_are_as_before() const {
    termios now{};
    tcgetattr(other_end_, &now);
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag &&
           now.c_oflag == before_.c_oflag && std::memcmp(now.c_cc, before_.c_cc, sizeof now.c_cc) == 0;
  }
  // What it still writes until it ends, and how it ends.
  std::string end(int* status) {
    pid_t ended = 0;
    do {
      ended = waitpid(pid_, status, WNOHANG);
      receive(20);
    } while (ended == 0);
    pid_ = 0;
    while (!is_still(0) && receive(0)) {
    }
    return pending_;
  }

 private:
  // False at the end of the terminal.
  bool receive(int ms) {
    pollfd entry{terminal_, POLLIN, 0};
    if (poll(&entry, 1, ms) <= 0) return true;
    char buffer[65536];
    const ssize_t got = read(terminal_, buffer, sizeof buffer);
    if (got <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  int terminal_ = -1, other_end_ = -1;
  pid_t pid_ = 0;
  termios before_{};
  std::string pending_;
};

constexpr char kDown[] = "\x1b[B", kUp[] = "\x1b[A", kEnd[] = "\x1b[F", kHome[] = "\x1b[H",
               kOtherScreenOff[] = "\x1b[?1049l";

bool leads(const Screen& screen, const std::string& name) {
  return contains(screen.row(0), " " + name + " ");
}

Finished aiofiber(Words words) {
  words.insert(words.begin(), AIOFIBER_COMMAND);
  return run(words);
}

class TopScreen : public ::testing::Test {
 protected:
  void SetUp() override {
    int terminal, other_end;
    if (openpty(&terminal, &other_end, nullptr, nullptr, nullptr) != 0) {
      GTEST_SKIP() << "there are no pseudo-terminals here: /dev/pts is not mounted";
    }
    close(terminal);
    close(other_end);
  }
};

TEST_F(TopScreen, ShowsTheBusiestFirst) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  const Screen screen = top.see([](const Screen& s) { return leads(s, "spinner"); });
  EXPECT_TRUE(contains(screen.lines[0], "process " + process.pid() + " inspect_target: 1 loop, "))
      << screen.text();
  EXPECT_TRUE(contains(screen.lines[0], " switches/s, refreshed in ")) << screen.text();
  EXPECT_TRUE(contains(screen.lines[1], "4 tasks: ")) << screen.text();
  EXPECT_TRUE(contains(screen.lines[2], "SWITCHES/S")) << screen.text();
  EXPECT_EQ(screen.lines.size(), 24u);
  EXPECT_TRUE(contains(screen.lines.back(), "sort: s switches*, w waiting, k stack") &&
              contains(screen.lines.back(), "q quits"))
      << screen.text();
  EXPECT_EQ(screen.chosen, screen.row(0));
}

TEST_F(TopScreen, KeysChangeTheOrder) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  top.see([](const Screen& s) { return leads(s, "spinner"); });
  top.type("w");
  EXPECT_TRUE(contains(top.see([](const Screen& s) { return leads(s, "old"); }).lines.back(), "waiting*"));
  top.type("k");
  EXPECT_TRUE(contains(top.see([](const Screen& s) { return leads(s, "deep"); }).lines.back(), "stack*"));
  top.type("s");
  top.see([](const Screen& s) { return leads(s, "spinner"); });
}

TEST_F(TopScreen, OpensTheStackOfTheChosenTask) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()}, 140, 50);
  top.type("k");
  top.see([](const Screen& s) { return leads(s, "deep"); });
  top.type("\r");
  const Screen stack = top.see("Stack for task 3 'deep', waiting for sleep");
  EXPECT_TRUE(contains(stack.text(), "dive(depth - 1, at_the_bottom);")) << stack.text();
  EXPECT_TRUE(contains(stack.lines.back(), "q back")) << stack.text();
  top.type("q");
  top.see([](const Screen& s) { return leads(s, "deep"); });
  top.type("q");
  int status = 0;
  const std::string rest = top.end(&status);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(contains(rest, kOtherScreenOff));
  EXPECT_TRUE(top.settings_are_as_before());
  EXPECT_EQ(kill(process.id(), 0), 0) << "the target goes on";
}

TEST_F(TopScreen, TheChoiceMovesAndStaysWithItsTask) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  top.type("w");
  top.see([](const Screen& s) { return leads(s, "old") && contains(s.chosen, " old "); });
  top.type(kDown);
  top.see([](const Screen& s) { return contains(s.chosen, " deep "); });
  top.type(kUp);
  top.see([](const Screen& s) { return contains(s.chosen, " old "); });
  top.type(std::string(kDown) + kDown + kDown + kDown + kDown + "\r");
  top.see("Stack for task 4 'spinner'");
}

TEST_F(TopScreen, ScrollsThroughMoreTasksThanThereAreLines) {
  const Running process({INSPECT_TARGET, "sleepers", "500"});
  Top top({process.pid()}, 140, 12);
  top.see([](const Screen& s) { return contains(s.chosen, " Task-1 "); });
  top.type(kEnd);
  const Screen last = top.see([](const Screen& s) { return contains(s.chosen, "sleeper-499"); });
  EXPECT_TRUE(contains(last.row(0), "sleeper-492") && contains(last.row(7), "sleeper-499")) << last.text();
  EXPECT_EQ(last.lines.size(), 12u);
  top.type(kHome);
  top.see([](const Screen& s) { return leads(s, "Task-1") && contains(s.chosen, " Task-1 "); });
}

TEST_F(TopScreen, FitsTheScreenAfterAResize) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  top.see([](const Screen& s) { return s.lines.size() == 24; });
  top.resize(30, 6);
  const Screen small = top.see([](const Screen& s) { return s.lines.size() == 6; });
  for (const std::string& line : small.lines) EXPECT_LE(line.size(), 30u) << small.text();
  top.resize(200, 40);
  const Screen large = top.see([](const Screen& s) { return s.lines.size() == 40; });
  EXPECT_TRUE(contains(large.text(), "rest (inspect_target.cc:")) << large.text();
  for (unsigned short rows = 5; rows > 0; --rows) {  // however little room there is
    top.resize(10, rows);
    top.see([rows](const Screen& s) { return s.lines.size() == rows; });
  }
}

TEST_F(TopScreen, SpacePauses) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  top.see("space pauses");
  top.type(" ");
  top.see("space goes on (paused)");
  EXPECT_TRUE(top.is_still(300)) << "six intervals without a refresh";
  top.type(" ");
  top.see("space pauses");
}

TEST_F(TopScreen, SaysSoWhenTheTargetEnds) {
  Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  top.see("spinner");
  const std::string pid = process.pid();
  process.end(SIGKILL);
  int status = 0;
  const std::string rest = top.end(&status);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << status;
  const std::size_t restored = rest.find(kOtherScreenOff);
  ASSERT_NE(restored, std::string::npos);
  EXPECT_TRUE(contains(rest.substr(restored), "process " + pid))
      << "on the restored screen: " << rest.substr(restored);
  EXPECT_TRUE(top.settings_are_as_before());
}

TEST_F(TopScreen, RestoresTheTerminalWhenASignalEndsIt) {
  const Running process({INSPECT_TARGET, "rivals"});
  for (const int signal : {SIGTERM, SIGHUP, SIGINT}) {
    Top top({process.pid()});
    top.see("spinner");
    EXPECT_FALSE(top.settings_are_as_before());
    if (signal == SIGINT) {
      top.type("\x03");  // Ctrl-C
    } else {
      kill(top.id(), signal);
    }
    int status = 0;
    const std::string rest = top.end(&status);
    if (signal == SIGINT) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    } else {
      EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << status;
    }
    EXPECT_TRUE(contains(rest, kOtherScreenOff));
    EXPECT_TRUE(top.settings_are_as_before());
  }
}

TEST_F(TopScreen, GivesTheTerminalBackWhileItIsStopped) {
  const Running process({INSPECT_TARGET, "rivals"});
  Top top({process.pid()});
  top.see("spinner");
  top.type("\x1a");  // Ctrl-Z
  int status = 0;
  ASSERT_EQ(waitpid(top.id(), &status, WUNTRACED), top.id());
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_TRUE(top.settings_are_as_before());
  top.pass(kOtherScreenOff);  // screens of before lie unread
  kill(top.id(), SIGCONT);
  top.see("spinner");
  EXPECT_FALSE(top.settings_are_as_before());
}

TEST(Top, PrintsOneTableWithoutATerminal) {
  const Running process({INSPECT_TARGET, "rivals"});
  const Finished result = aiofiber({"top", "--interval", "0.1", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_FALSE(contains(result.out, "\x1b")) << result.out;
  EXPECT_TRUE(contains(result.out, "4 tasks: ") && contains(parse(result.out).row(0), " spinner "))
      << result.out;
}

TEST(Top, JsonIsJsonOnceAndInAStream) {
  const Running process({INSPECT_TARGET, "rivals"});
  const Finished once = aiofiber({"top", "--once", "--json", "--interval", "0.1", process.pid()});
  EXPECT_EQ(once.code, 0) << once.err;
  EXPECT_TRUE(contains(once.out, "\"switches_per_s\":") && contains(once.out, "\"name\":\"spinner\""))
      << once.out;
  const std::string command = std::string(AIOFIBER_COMMAND) + " top --json --interval 0.05 " + process.pid();
  const Finished stream =
      run({"python3", "-c",
           "import json, subprocess, sys\n"
           "top = subprocess.Popen(sys.argv[1].split(), stdout=subprocess.PIPE, text=True)\n"
           "text, reports, decoder = '', [], json.JSONDecoder()\n"
           "while len(reports) < 3:\n"
           "    text += top.stdout.readline()\n"
           "    try:\n"
           "        report, end = decoder.raw_decode(text)\n"
           "    except ValueError:\n"
           "        continue\n"
           "    reports.append(report)\n"
           "    text = text[end:].lstrip()\n"
           "top.kill()\n"
           "print(all(len(r['tasks']) == 4 and r['loops'] == 1 for r in reports),\n"
           "      reports[0]['now_ns'] < reports[2]['now_ns'])\n",
           command});
  EXPECT_EQ(stream.out, "True True\n") << stream.err;
}

TEST_F(TopScreen, CountsLoops) {
  const Running process({INSPECT_TARGET, "loops"}, 2);
  Top top({process.pid()});
  const Screen screen = top.see("2 loops");
  EXPECT_TRUE(contains(screen.text(), "loop-a") && contains(screen.text(), "loop-b")) << screen.text();
}

TEST(Top, RefusesWrongUsage) {
  for (const Words& words :
       {Words{"top"}, Words{"top", "x"}, Words{"top", "1", "--interval"},
        Words{"top", "1", "--interval", "0"}, Words{"top", "1", "--interval", "soon"},
        Words{"top", "1", "--stop"}, Words{"top", "1", "task"}, Words{"top", "--core", "x"}}) {
    const Finished result = aiofiber(words);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_TRUE(contains(result.err, "--help")) << result.err;
  }
}

}  // namespace
}  // namespace aiofiber::tool_test
