// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// stdio that suspends: streams over pipes and sockets in fibers, two fibers in one stream, and behaviour that
// must not change. Real descriptors, real time.
#include <aiofiber/hooks.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <wchar.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <memory>
#include <thread>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

const bool switched_on = hooks::enable_stdio();

// Where the switch is refused each test here would wait for ever: none is run then.
class StdioIsOn : public ::testing::Environment {
  void SetUp() override { ASSERT_TRUE(switched_on) << "enable_stdio() refused this libc; stderr says why"; }
};
const ::testing::Environment* const stdio_is_on = ::testing::AddGlobalTestEnvironment(new StdioIsOn);

struct CloseFile {
  void operator()(FILE* file) const { ::fclose(file); }
};
using File = std::unique_ptr<FILE, CloseFile>;
// A stream of a copy of the descriptor.
File stream_of(int fd, const char* mode) { return File(::fdopen(::dup(fd), mode)); }

void send_text(int fd, const std::string& text) {
  EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

TEST(Stdio, IsSwitchedOnOnce) {
  EXPECT_TRUE(switched_on);
  EXPECT_TRUE(hooks::enable_stdio());
}

TEST(StdioReading, ALineSuspendsTheFiberOnly) {
  Fibers fibers;
  SocketPair pair;
  Ticker ticker(fibers);
  char line[32] = {};
  fibers.spawn([&] {
    const File file = stream_of(pair[0], "r");
    EXPECT_NE(::fgets(line, sizeof line, file.get()), nullptr);
    ticker.stop();
  });
  fibers.spawn([&] {
    ticker.wait_for_turns();
    send_text(pair[1], "first ");
    ticker.wait_for_turns();
    send_text(pair[1], "line\n");
  });
  fibers.run();
  EXPECT_STREQ(line, "first line\n");
}

TEST(StdioReading, GoesOnInTheMiddleOfANumber) {
  Fibers fibers;
  SocketPair pair;
  char word[8] = {};
  int number = 0;
  fibers.spawn([&] {
    const File file = stream_of(pair[0], "r");
    EXPECT_EQ(::fscanf(file.get(), "%7s %d", word, &number), 2);
  });
  fibers.spawn([&] {
    for (const char* piece : {"hel", "lo", " ", "4", "2 "}) {
      send_text(pair[1], piece);
      sleep_ms(2);
    }
  });
  fibers.run();
  EXPECT_STREQ(word, "hello");
  EXPECT_EQ(number, 42);
}

TEST(StdioReading, GetlineTakesALineOfAnyLength) {
  Fibers fibers;
  Pipe pipe;
  const std::string text = std::string(300'000, 'a') + "\n";
  fibers.spawn([&] {
    const File file = stream_of(pipe[0], "r");
    char* line = nullptr;
    std::size_t size = 0;
    EXPECT_EQ(::getline(&line, &size, file.get()), static_cast<ssize_t>(text.size()));
    EXPECT_TRUE(text == line);
    EXPECT_EQ(::getline(&line, &size, file.get()), -1);
    EXPECT_TRUE(::feof(file.get()));
    ::free(line);
  });
  fibers.spawn([&] {
    send_text(pipe[1], text);
    pipe.close(1);
  });
  fibers.run();
}

TEST(StdioReading, AHundredStreamsAtOnceOnOneThread) {
  Fibers fibers;
  std::vector<std::unique_ptr<SocketPair>> pairs;
  int right = 0;
  for (int i = 0; i < 100; ++i) pairs.push_back(std::make_unique<SocketPair>());
  for (int i = 0; i < 100; ++i) {
    fibers.spawn([&, i] {
      const File in = stream_of((*pairs[static_cast<std::size_t>(i)])[0], "r");
      const File out = stream_of((*pairs[static_cast<std::size_t>(i)])[0], "w");
      int number = -1;
      EXPECT_EQ(::fscanf(in.get(), "%d\n", &number), 1);
      EXPECT_EQ(::fprintf(out.get(), "%d\n", number + 1), i + 1 < 10 ? 2 : i + 1 < 100 ? 3 : 4);
    });
  }
  fibers.spawn([&] {
    sleep_ms(5);
    for (int i = 99; i >= 0; --i)
      send_text((*pairs[static_cast<std::size_t>(i)])[1], std::to_string(i) + "\nx");
    for (int i = 0; i < 100; ++i) {
      const File answer = stream_of((*pairs[static_cast<std::size_t>(i)])[1], "r");
      int number = -1;
      right += ::fscanf(answer.get(), "%d", &number) == 1 && number == i + 1;
    }
  });
  fibers.run();
  EXPECT_EQ(right, 100);
}

TEST(StdioReading, AndWritingPass64MiBThroughAPipe) {
  Fibers fibers;
  Pipe pipe;
  const std::string piece = pattern((1u << 20) + 77);
  constexpr int kPieces = 64;
  fibers.spawn([&] {
    const File file = stream_of(pipe[1], "w");
    for (int i = 0; i < kPieces; ++i)
      EXPECT_EQ(::fwrite(piece.data(), 1, piece.size(), file.get()), piece.size());
    pipe.close(1);
  });
  fibers.spawn([&] {
    const File file = stream_of(pipe[0], "r");
    std::string got(piece.size(), '\0');
    for (int i = 0; i < kPieces; ++i) {
      ASSERT_EQ(::fread(got.data(), 1, got.size(), file.get()), got.size());
      ASSERT_TRUE(got == piece) << "piece " << i;
    }
    EXPECT_EQ(::fgetc(file.get()), EOF);
  });
  fibers.run();
}

TEST(StdioReading, OfAWideStreamSuspendsToo) {
  Fibers fibers;
  SocketPair pair;
  wchar_t line[16] = {};
  fibers.spawn([&] {
    const File file = stream_of(pair[0], "r");
    EXPECT_NE(::fgetws(line, 16, file.get()), nullptr);
  });
  fibers.spawn([&] {
    const File file = stream_of(pair[1], "w");
    EXPECT_EQ(::fputws(L"one ", file.get()), 1);
    EXPECT_EQ(::fflush(file.get()), 0);
    sleep_ms(3);
    EXPECT_EQ(::fwprintf(file.get(), L"%d\n", 2), 2);
  });
  fibers.run();
  EXPECT_EQ(std::wstring(line), L"one 2\n");
}

TEST(StdioReading, OfAnUnbufferedStreamSuspendsToo) {
  Fibers fibers;
  SocketPair pair;
  char bytes[4] = {};
  fibers.spawn([&] {
    const File file = stream_of(pair[0], "r+");
    EXPECT_EQ(::setvbuf(file.get(), nullptr, _IONBF, 0), 0);
    EXPECT_EQ(::fread(bytes, 1, 3, file.get()), 3u);
    EXPECT_EQ(::fread(bytes, 0, 3, file.get()), 0u);
    EXPECT_EQ(::fread(bytes, 1, 0, file.get()), 0u);
    ::fseek(file.get(), 0, SEEK_CUR);  // between reading and writing, as C wants it
    EXPECT_EQ(::fprintf(file.get(), "%s-%d", "thanks", 7), 8);
  });
  fibers.spawn([&] {
    for (const char* piece : {"a", "b", "c"}) {
      sleep_ms(2);
      send_text(pair[1], piece);
    }
    char answer[16] = {};
    EXPECT_EQ(::recv(pair[1], answer, 8, MSG_WAITALL), 8);
    EXPECT_STREQ(answer, "thanks-7");
  });
  fibers.run();
  EXPECT_STREQ(bytes, "abc");
}

TEST(StdioPopen, ReadsAndWaitsWithoutTheThread) {
  Fibers fibers;
  Ticker ticker(fibers);
  int finished = 0;
  const double start = now_ms();
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      FILE* file = ::popen("sleep 0.2; echo hello; exit 3", "r");
      ASSERT_NE(file, nullptr);
      char line[16] = {};
      EXPECT_NE(::fgets(line, sizeof line, file), nullptr);
      EXPECT_STREQ(line, "hello\n");
      const int status = ::pclose(file);
      EXPECT_TRUE(WIFEXITED(status));
      EXPECT_EQ(WEXITSTATUS(status), 3);
      if (++finished == 10) ticker.stop();
    });
  }
  fibers.run();
  EXPECT_LT(now_ms() - start, 1900) << "ten times 0.2 s, at once";
  EXPECT_GE(ticker.ticks(), Ticker::kTurnsOfAFreeThread);
}

// ---- two fibers in one stream

TEST(StdioShared, EachReaderGetsWholeLines) {
  Fibers fibers;
  SocketPair pair;
  const File file = stream_of(pair[0], "r");
  std::vector<std::string> lines;
  for (int reader = 0; reader < 4; ++reader) {
    fibers.spawn([&] {
      char line[64];
      while (::fgets(line, sizeof line, file.get()) != nullptr) lines.emplace_back(line);
    });
  }
  fibers.spawn([&] {
    for (int i = 0; i < 20; ++i) {
      send_text(pair[1], "line " + std::to_string(i / 10));
      sleep_ms(1);
      send_text(pair[1], std::to_string(i % 10) + "\n");
    }
    pair.close(1);
  });
  fibers.run();
  ASSERT_EQ(lines.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i)
    EXPECT_EQ(lines[i], "line " + std::to_string(i / 10) + std::to_string(i % 10) + "\n");
}

TEST(StdioShared, WritersDoNotMixTheirRecords) {
  Fibers fibers;
  Pipe pipe;
  constexpr int kWriters = 4, kRecords = 20;
  std::string received;
  int left = kWriters;
  File file = stream_of(pipe[1], "w");
  for (int writer = 0; writer < kWriters; ++writer) {
    fibers.spawn([&, writer] {
      const std::string record(30'000, static_cast<char>('a' + writer));
      for (int i = 0; i < kRecords; ++i) {
        EXPECT_EQ(::fwrite(record.data(), 1, record.size(), file.get()), record.size());
        EXPECT_EQ(::fputc('\n', file.get()), '\n');
        EXPECT_EQ(::fflush(file.get()), 0);
      }
      if (--left == 0) {
        file.reset();
        pipe.close(1);
      }
    });
  }
  fibers.spawn([&] {
    char buffer[8192];
    for (ssize_t n; (n = ::read(pipe[0], buffer, sizeof buffer)) > 0;)
      received.append(buffer, static_cast<std::size_t>(n));
  });
  fibers.run();
  ASSERT_EQ(received.size(), static_cast<std::size_t>(kWriters * kRecords * 30'001));
  std::size_t changes = 0;
  received.erase(std::remove(received.begin(), received.end(), '\n'), received.end());
  for (std::size_t i = 1; i < received.size(); ++i) {
    if (received[i] == received[i - 1]) continue;
    ++changes;
    EXPECT_EQ(i % 30'000, 0u) << "a record was cut";
  }
  EXPECT_EQ(changes, kWriters - 1u) << "who is in goes on";
}

TEST(StdioShared, WhoCannotWaitIsRefused) {
  Fibers fibers;
  SocketPair pair;
  const File file = stream_of(pair[0], "r+");
  char line[16] = {};
  fibers.spawn([&] { EXPECT_NE(::fgets(line, sizeof line, file.get()), nullptr); });
  fibers.spawn([&] {
    {
      const hooks::Disable no_waiting;
      errno = 0;
      EXPECT_EQ(::fgetc(file.get()), EOF);
      EXPECT_EQ(errno, EBUSY);
      errno = 0;
      EXPECT_EQ(::fputs("text", file.get()), EOF);
      EXPECT_EQ(errno, EBUSY);
      EXPECT_FAILS_WITH(EBUSY, outcome_of([&] { return ::fclose(file.get()); }));
    }
    send_text(pair[1], "kept\n");
  });
  fibers.run();
  EXPECT_STREQ(line, "kept\n");
}

TEST(StdioShared, AWaitForTheStreamCanBeCancelled) {
  Fibers fibers;
  SocketPair pair;
  const File file = stream_of(pair[0], "r");
  char line[16] = {};
  Outcome second;
  fibers.spawn([&] { EXPECT_NE(::fgets(line, sizeof line, file.get()), nullptr); });
  runtime::Fiber& waiting = fibers.spawn([&] { second = outcome_of([&] { return ::fgetc(file.get()); }); });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(waiting));
    sleep_ms(3);
    EXPECT_EQ(second.error, ECANCELED);
    send_text(pair[1], "kept\n");
  });
  fibers.run();
  EXPECT_FAILS_WITH(ECANCELED, second);
  EXPECT_STREQ(line, "kept\n");
}

// ---- ends

TEST(StdioCancellation, EndsAReadWithECANCELED) {
  Fibers fibers;
  SocketPair pair;
  const File file = stream_of(pair[0], "r");
  runtime::Fiber& reader = fibers.spawn([&] {
    char line[16];
    errno = 0;
    EXPECT_EQ(::fgets(line, sizeof line, file.get()), nullptr);
    EXPECT_EQ(errno, ECANCELED);
    EXPECT_TRUE(::ferror(file.get()));
    EXPECT_FALSE(::feof(file.get()));
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(reader));
  });
  fibers.run();
}

TEST(StdioCancellation, EndsAWriteWithECANCELED) {
  Fibers fibers;
  Pipe pipe;
  const std::string data = pattern(1u << 20);
  runtime::Fiber& writer = fibers.spawn([&] {
    const File file = stream_of(pipe[1], "w");
    errno = 0;
    EXPECT_LT(::fwrite(data.data(), 1, data.size(), file.get()), data.size());
    EXPECT_EQ(errno, ECANCELED);
    EXPECT_TRUE(::ferror(file.get()));
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(writer));
  });
  fibers.run();
}

TEST(StdioClosing, WakesTheReaderBeforeTheStreamGoes) {
  Fibers fibers;
  SocketPair pair;
  FILE* file = ::fdopen(::dup(pair[0]), "r");
  bool left = false;
  fibers.spawn([&] {
    char line[16];
    errno = 0;
    EXPECT_EQ(::fgets(line, sizeof line, file), nullptr);
    EXPECT_EQ(errno, EBADF);
    left = true;
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::fclose(file), 0);
    EXPECT_TRUE(left);
  });
  fibers.run();
}

TEST(StdioClosing, WritesTheRestAndSuspendsForIt) {
  Fibers fibers;
  Pipe pipe;
  const std::string data = pattern(200'000);
  std::string received;
  fibers.spawn([&] {
    FILE* file = ::fdopen(::dup(pipe[1]), "w");
    EXPECT_EQ(::setvbuf(file, nullptr, _IOFBF, 1u << 20), 0);
    EXPECT_EQ(::fwrite(data.data(), 1, data.size(), file), data.size());
    EXPECT_EQ(::fclose(file), 0);
    pipe.close(1);
  });
  fibers.spawn([&] {
    char buffer[1000];
    for (ssize_t n; (n = ::read(pipe[0], buffer, sizeof buffer)) > 0;)
      received.append(buffer, static_cast<std::size_t>(n));
  });
  fibers.run();
  EXPECT_TRUE(received == data);
}

// ---- what stays as it was

TEST(StdioUntouched, StandardInputBlocksTheThread) {
  Fibers fibers;
  Pipe pipe;
  const int saved = ::dup(STDIN_FILENO);
  ASSERT_EQ(::dup2(pipe[0], STDIN_FILENO), STDIN_FILENO);
  Ticker ticker(fibers);
  std::thread writer;
  fibers.spawn([&] {
    writer = std::thread([&] {
      sleep_ms(30);
      send_text(pipe[1], "typed\n");
    });
    const int before = ticker.ticks();
    char line[16] = {};
    EXPECT_NE(::fgets(line, sizeof line, stdin), nullptr);
    EXPECT_STREQ(line, "typed\n");
    EXPECT_EQ(ticker.ticks(), before);
    ticker.stop();
  });
  fibers.run();
  writer.join();
  ASSERT_EQ(::dup2(saved, STDIN_FILENO), STDIN_FILENO);
  ::close(saved);
}

TEST(StdioUntouched, StreamsOfMemoryAndCookiesWork) {
  Fibers fibers;
  fibers.spawn([&] {
    char text[] = "from memory 7";
    int number = 0;
    const File memory(::fmemopen(text, sizeof text, "r"));
    EXPECT_EQ(::fscanf(memory.get(), "from memory %d", &number), 1);
    EXPECT_EQ(number, 7);

    char* written = nullptr;
    std::size_t size = 0;
    File growing(::open_memstream(&written, &size));
    EXPECT_EQ(::fprintf(growing.get(), "%05d", 42), 5);
    growing.reset();
    EXPECT_STREQ(written, "00042");
    ::free(written);

    // A cookie's function may suspend: it is the program's own.
    SocketPair pair;
    cookie_io_functions_t functions{};
    functions.read = [](void* cookie, char* buffer, std::size_t length) {
      return ::recv((*static_cast<SocketPair*>(cookie))[0], buffer, length, 0);
    };
    const File cookie(::fopencookie(&pair, "r", functions));
    fibers.spawn([fd = ::dup(pair[1])] {
      sleep_ms(2);
      send_text(fd, "biscuit\n");
      ::close(fd);
    });
    char line[16] = {};
    EXPECT_NE(::fgets(line, sizeof line, cookie.get()), nullptr);
    EXPECT_STREQ(line, "biscuit\n");
  });
  fibers.run();
}

TEST(StdioUntouched, RegularFilesReadWriteAndSeek) {
  Fibers fibers;
  fibers.spawn([&] {
    const File file(::tmpfile());
    ASSERT_NE(file, nullptr);
    const std::string data = pattern(100'000);
    EXPECT_EQ(::fwrite(data.data(), 1, data.size(), file.get()), data.size());
    EXPECT_EQ(::ftell(file.get()), 100'000);
    EXPECT_EQ(::fseek(file.get(), 50'000, SEEK_SET), 0);
    EXPECT_EQ(::fgetc(file.get()), static_cast<unsigned char>(data[50'000]));
    EXPECT_EQ(::ungetc('!', file.get()), '!');
    EXPECT_EQ(::fgetc(file.get()), '!');
    EXPECT_EQ(::ftell(file.get()), 50'001);
  });
  fibers.run();
}

TEST(StdioUntouched, AForkedChildReadsOnAsAPlainThread) {
  Fibers fibers;
  SocketPair pair, others;
  const File file = stream_of(pair[0], "r");
  const File other = stream_of(others[0], "r+");
  int status = -1;
  fibers.spawn([&] {  // suspended inside a stream while the process forks
    char line[16];
    EXPECT_NE(::fgets(line, sizeof line, other.get()), nullptr);
  });
  fibers.spawn([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      char line[16] = {};
      const bool read =
          ::fgets(line, sizeof line, file.get()) != nullptr && ::strcmp(line, "to the child\n") == 0;
      const bool written = ::fputs("by the child\n", other.get()) >= 0 && ::fflush(other.get()) == 0;
      ::_exit(read && written ? 0 : 1);
    }
    sleep_ms(5);
    send_text(pair[1], "to the child\n");
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    char answer[16] = {};
    EXPECT_EQ(::recv(others[1], answer, sizeof answer, 0), 13);
    EXPECT_STREQ(answer, "by the child\n");
    send_text(others[1], "to the parent\n");
  });
  fibers.run();
  EXPECT_EQ(status, 0);
}

TEST(StdioUntouched, ExitInATaskWritesWhatIsBuffered) {
  Pipe pipe;
  const pid_t child = ::fork();
  if (child == 0) {
    pipe.close(0);
    Fibers fibers;
    FILE* file = ::fdopen(pipe[1], "w");
    ::setvbuf(file, nullptr, _IOFBF, 1u << 20);
    fibers.spawn([&] {
      const std::string data(200'000, 'x');  // more than a pipe holds
      ::fwrite(data.data(), 1, data.size(), file);
      ::exit(7);
    });
    fibers.run();
    ::_exit(1);
  }
  pipe.close(1);
  std::size_t received = 0;
  char buffer[4096];
  for (ssize_t n; (n = ::read(pipe[0], buffer, sizeof buffer)) > 0;) received += static_cast<std::size_t>(n);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(received, 200'000u);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
}

}  // namespace
}  // namespace aiofiber::hooks_test
