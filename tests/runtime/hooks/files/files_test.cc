// SPDX-License-Identifier: Apache-2.0
//
// read and write in a fiber on descriptors that are not sockets: pipes, eventfd, terminals, regular files.
// The test runs twice, the second time without RWF_NOWAIT (AIOFIBER_HOOKS_POLL_FIRST=1). Real descriptors,
// real time.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/uio.h>
#include <termios.h>

#include <cstring>
#include <fstream>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

TEST(HookedRead, OfAPipeSuspendsTheFiberOnly) {
  Fibers fibers;
  Pipe pipe;
  Ticker ticker(fibers);
  char buffer[8] = {};
  long received = 0;
  fibers.spawn([&] {
    received = ::read(pipe[0], buffer, sizeof buffer);
    ticker.stop();
  });
  fibers.spawn([&] {
    ticker.wait_for_turns();
    EXPECT_EQ(::write(pipe[1], "hi", 2), 2);
  });
  fibers.run();
  EXPECT_EQ(received, 2);
}

TEST(HookedWrite, PutsEightMebibytesIntoAPipeInOneCall) {
  Fibers fibers;
  Pipe pipe;
  const std::string data = pattern(8u << 20);
  std::string received;
  long written = 0;
  fibers.spawn([&] {
    written = ::write(pipe[1], data.data(), data.size());
    pipe.close(1);
  });
  fibers.spawn([&] {
    std::vector<char> buffer(100'000);
    for (ssize_t n; (n = ::read(pipe[0], buffer.data(), buffer.size())) > 0;) {
      received.append(buffer.data(), static_cast<std::size_t>(n));
    }
  });
  fibers.run();
  EXPECT_EQ(written, static_cast<long>(data.size()));
  EXPECT_TRUE(received == data);
}

TEST(HookedWritev, GoesOnInTheMiddleOfAPiece) {
  Fibers fibers;
  Pipe pipe;
  const std::string piece = pattern(70'001);
  std::vector<iovec> pieces(16, iovec{const_cast<char*>(piece.data()), piece.size()});
  pieces[3].iov_len = 0;
  std::string received;
  fibers.spawn([&] {
    EXPECT_EQ(::writev(pipe[1], pieces.data(), static_cast<int>(pieces.size())),
              static_cast<ssize_t>(15 * piece.size()));
    pipe.close(1);
  });
  fibers.spawn([&] {
    char first[777], second[3333];
    const iovec targets[2] = {{first, sizeof first}, {second, sizeof second}};
    for (ssize_t n; (n = ::readv(pipe[0], targets, 2)) > 0;) {
      const auto in_first = std::min(static_cast<std::size_t>(n), sizeof first);
      received.append(first, in_first);
      received.append(second, static_cast<std::size_t>(n) - in_first);
    }
  });
  fibers.run();
  std::string expected;
  for (int i = 0; i < 15; ++i) expected += piece;
  EXPECT_TRUE(received == expected);
}

TEST(HookedRead, OfAPipeGivesTheEndWhenTheWriterCloses) {
  Fibers fibers;
  Pipe pipe;
  long received = -1;
  fibers.spawn([&] {
    char byte;
    received = ::read(pipe[0], &byte, 1);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    pipe.close(1);
  });
  fibers.run();
  EXPECT_EQ(received, 0);
}

TEST(HookedRead, OfAnEventfdWaitsForACount) {
  Fibers fibers;
  const int event = ::eventfd(0, 0);
  std::uint64_t seen = 0;
  fibers.spawn([&] { EXPECT_EQ(::read(event, &seen, sizeof seen), 8); });
  fibers.spawn([&] {
    sleep_ms(3);
    const std::uint64_t count = 7;
    EXPECT_EQ(::write(event, &count, sizeof count), 8);
  });
  fibers.run();
  ::close(event);
  EXPECT_EQ(seen, 7u);
}

TEST(HookedWrite, ToAFullEventfdWaitsForRoom) {
  Fibers fibers;
  const std::uint64_t most = UINT64_MAX - 1;
  const int event = ::eventfd(0, 0);
  ASSERT_EQ(::write(event, &most, sizeof most), 8);
  bool written = false;
  fibers.spawn([&] {
    const std::uint64_t two = 2;
    EXPECT_EQ(::write(event, &two, sizeof two), 8);
    written = true;
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_FALSE(written);
    std::uint64_t count = 0;
    EXPECT_EQ(::read(event, &count, sizeof count), 8);
  });
  fibers.run();
  ::close(event);
  EXPECT_TRUE(written);
}

struct Terminal {
  int master = -1;
  int terminal = -1;
};

// A new pseudo-terminal; master < 0 where the system has none (a chroot without devpts).
Terminal open_terminal() {
  Terminal pair;
  pair.master = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (pair.master >= 0 && ::grantpt(pair.master) == 0 && ::unlockpt(pair.master) == 0) {
    pair.terminal = ::open(::ptsname(pair.master), O_RDWR | O_NOCTTY);
  }
  return pair;
}

TEST(HookedRead, OfATerminalIsPolledFirst) {
  Fibers fibers;
  const Terminal pair = open_terminal();
  const int master = pair.master;
  const int terminal = pair.terminal;
  if (master < 0)
    GTEST_SKIP() << "no pseudo-terminals here: " << std::strerror(errno) << " (is devpts mounted?)";
  ASSERT_GE(terminal, 0);
  Ticker ticker(fibers);
  char line[16] = {};
  fibers.spawn([&] {
    EXPECT_EQ(::read(terminal, line, sizeof line), 4);
    EXPECT_FALSE((::fcntl(terminal, F_GETFL) & O_NONBLOCK) != 0);
    ticker.stop();
  });
  fibers.spawn([&] {
    ticker.wait_for_turns();
    EXPECT_EQ(::write(master, "abc\n", 4), 4);
  });
  fibers.run();
  EXPECT_STREQ(line, "abc\n");
  ::close(terminal);
  ::close(master);
}

TEST(HookedWrite, OfMuchToATerminalWaitsForItsReader) {
  Fibers fibers;
  const Terminal pair = open_terminal();
  const int master = pair.master;
  const int terminal = pair.terminal;
  if (master < 0)
    GTEST_SKIP() << "no pseudo-terminals here: " << std::strerror(errno) << " (is devpts mounted?)";
  ASSERT_GE(terminal, 0);
  termios settings{};
  ASSERT_EQ(::tcgetattr(terminal, &settings), 0);
  ::cfmakeraw(&settings);
  ASSERT_EQ(::tcsetattr(terminal, TCSANOW, &settings), 0);
  const std::string data = pattern(500'000);
  std::string received;
  fibers.spawn([&] {
    EXPECT_EQ(::write(terminal, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    EXPECT_FALSE((::fcntl(terminal, F_GETFL) & O_NONBLOCK) != 0);
  });
  fibers.spawn([&] {
    char buffer[4096];
    while (received.size() < data.size()) {
      const ssize_t n = ::read(master, buffer, sizeof buffer);
      ASSERT_GT(n, 0);
      received.append(buffer, static_cast<std::size_t>(n));
    }
  });
  fibers.run();
  EXPECT_TRUE(received == data);
  ::close(terminal);
  ::close(master);
}

TEST(HookedRead, OfARegularFileGivesAllOfIt) {
  Fibers fibers;
  char path[] = "/tmp/aiofiber-files-test-XXXXXX";
  const int file = ::mkstemp(path);
  ASSERT_GE(file, 0);
  const std::string data = pattern(3'000'000);
  std::string received(data.size() + 10, '\0');
  fibers.spawn([&] {
    EXPECT_EQ(::write(file, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    ::fsync(file);
    // Out of the page cache, where the file system obeys: then the read has to wait for the disk.
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    EXPECT_EQ(::lseek(file, 0, SEEK_SET), 0);
    EXPECT_EQ(::read(file, received.data(), received.size()), static_cast<ssize_t>(data.size()));
    EXPECT_EQ(::read(file, received.data(), 1), 0);
  });
  fibers.run();
  ::close(file);
  ::unlink(path);
  received.resize(data.size());
  EXPECT_TRUE(received == data);
}

TEST(HookedRead, OfProcAndOfDirectoriesIsLibcs) {
  Fibers fibers;
  fibers.spawn([&] {
    std::ifstream status("/proc/self/status");  // libstdc++ reads with read(2)
    std::string word;
    EXPECT_TRUE(status >> word);
    EXPECT_EQ(word, "Name:");
    const int directory = ::open("/tmp", O_RDONLY | O_DIRECTORY);
    char byte;
    EXPECT_FAILS_WITH(EISDIR, outcome_of([&] { return ::read(directory, &byte, 1); }));
    ::close(directory);
  });
  fibers.run();
}

TEST(HookedRead, OfABadDescriptorIsEbadf) {
  Fibers fibers;
  fibers.spawn([&] {
    char byte = 0;
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::read(9999, &byte, 1); }));
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::write(-1, &byte, 1); }));
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::recv(9999, &byte, 1, 0); }));
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::close(9999); }));
  });
  fibers.run();
}

// Where poll is the probe it would never say that they are ready.
TEST(HookedRead, OfWhatIsOpenForTheOtherDirectionIsEbadf) {
  Fibers fibers;
  Pipe pipe;
  const int watch = ::inotify_init1(IN_CLOEXEC);
  char folder[] = "/tmp/aiofiber_watch_XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  ASSERT_GE(::inotify_add_watch(watch, folder, IN_DELETE_SELF), 0);
  fibers.spawn([&] {
    char buffer[1024] = "";
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::read(pipe[1], buffer, 1); }));
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::write(pipe[0], buffer, 1); }));
    EXPECT_EQ(::rmdir(folder), 0);
    errno = E2BIG;
    EXPECT_GT(::read(watch, buffer, sizeof buffer), 0);  // now it is known which probe it wants
    EXPECT_EQ(errno, E2BIG);
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::write(watch, buffer, 1); }));
  });
  fibers.run();
  ::close(watch);
}

// fclose() closes the descriptor inside libc. The waiting task must be woken, and the number must be usable
// again.
TEST(HookedFclose, WakesWhoWaitsAndTheNumberCanBeUsedAgain) {
  Fibers fibers;
  SocketPair old_pair;
  Outcome first;
  long second = 0;
  const int fd = ::dup(old_pair[0]);
  std::FILE* stream = ::fdopen(fd, "r");
  fibers.spawn([&] {
    char byte;
    first = outcome_of([&] { return ::read(fd, &byte, 1); });
    SocketPair fresh;
    ASSERT_EQ(::dup2(fresh[0], fd), fd);
    fibers.spawn([peer = ::dup(fresh[1])] {
      sleep_ms(3);
      EXPECT_EQ(::write(peer, "x", 1), 1);
      ::close(peer);
    });
    second = ::read(fd, &byte, 1);
    ::close(fd);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    ::fclose(stream);
  });
  fibers.run();
  EXPECT_FAILS_WITH(EBADF, first);
  EXPECT_EQ(second, 1);
}

}  // namespace
}  // namespace aiofiber::hooks_test
