// SPDX-License-Identifier: Apache-2.0
//
// Calls that move several messages or move bytes inside the kernel, and reads at a position. The thread stays
// free while they wait, all data arrives, and limits are the kernel's. Real descriptors, real time.
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "support/fibers.h"

extern "C" ssize_t __pread_chk(int fd, void* buffer, size_t length, off_t position, size_t buffer_size);

namespace aiofiber::hooks_test {
namespace {

// A file of pattern(size) without a name.
class PatternFile {
 public:
  explicit PatternFile(std::size_t size) : content(pattern(size)) {
    char name[] = "/tmp/aiofiber_move_XXXXXX";
    fd_ = ::mkstemp(name);
    ::unlink(name);
    EXPECT_EQ(::write(fd_, content.data(), size), static_cast<ssize_t>(size));
  }
  ~PatternFile() { ::close(fd_); }
  PatternFile(const PatternFile&) = delete;
  PatternFile& operator=(const PatternFile&) = delete;
  int fd() const { return fd_; }
  const std::string content;

 private:
  int fd_;
};

std::string read_to_end(int fd) {
  std::string all;
  char buffer[65536];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;)
    all.append(buffer, static_cast<std::size_t>(n));
  return all;
}

TEST(HookedRecvmmsg, WaitsForAllMessagesUnlessOneIsEnough) {
  Fibers fibers;
  SocketPair pair(SOCK_DGRAM);
  Ticker ticker(fibers);
  int all = 0;
  int at_least_one = 0;
  fibers.spawn([&] {
    char texts[3][8] = {};
    iovec pieces[3];
    mmsghdr messages[3] = {};
    for (int i = 0; i < 3; ++i) {
      pieces[i] = {texts[i], sizeof texts[i]};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    all = ::recvmmsg(pair[0], messages, 3, 0, nullptr);
    EXPECT_EQ(messages[2].msg_len, 3u);
    EXPECT_STREQ(texts[2], "two");
    at_least_one = ::recvmmsg(pair[0], messages, 3, MSG_WAITFORONE, nullptr);
    timespec limit{0, 1};  // over when the first message has come: the kernel looks at it only then
    EXPECT_EQ(::recvmmsg(pair[0], messages, 3, 0, &limit), 1);
    EXPECT_EQ(limit.tv_nsec, 0);
    ticker.stop();
  });
  fibers.spawn([&] {
    for (const char* text : {"zero", "one", "two", "three", "four"}) {
      ticker.wait_for_turns();
      EXPECT_EQ(::send(pair[1], text, strlen(text), 0), static_cast<ssize_t>(strlen(text)));
    }
  });
  fibers.run();
  EXPECT_EQ(all, 3);
  EXPECT_EQ(at_least_one, 1);
}

TEST(HookedSendmmsg, SuspendsUntilEveryMessageIsOut) {
  Fibers fibers;
  SocketPair pair(SOCK_SEQPACKET);
  constexpr int kCount = 500;  // more than the queue of the socket takes
  std::string body = pattern(1000);
  fibers.spawn([&] {
    iovec piece{body.data(), body.size()};
    std::vector<mmsghdr> messages(kCount);
    for (mmsghdr& message : messages) {
      message.msg_hdr.msg_iov = &piece;
      message.msg_hdr.msg_iovlen = 1;
    }
    EXPECT_EQ(::sendmmsg(pair[0], messages.data(), kCount, 0), kCount);
    EXPECT_EQ(messages.back().msg_len, body.size());
  });
  int received = 0;
  fibers.spawn([&] {
    char buffer[2000];
    for (; received < kCount; ++received) EXPECT_EQ(::recv(pair[1], buffer, sizeof buffer, 0), 1000);
  });
  fibers.run();
  EXPECT_EQ(received, kCount);
}

TEST(HookedSendfile, SendsAWholeFileThroughASmallSocketBuffer) {
  Fibers fibers;
  SocketPair pair;
  const PatternFile file(2u << 20);
  std::string received;
  fibers.spawn([&] {
    off_t position = 0;
    EXPECT_EQ(::sendfile(pair[0], file.fd(), &position, file.content.size()),
              static_cast<ssize_t>(file.content.size()));
    EXPECT_EQ(position, static_cast<off_t>(file.content.size()));
    EXPECT_EQ(::fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    pair.close(0);
  });
  fibers.spawn([&] { received = read_to_end(pair[1]); });
  fibers.run();
  EXPECT_TRUE(received == file.content);
}

TEST(HookedSendfile, GivesEagainForTheProgramsOwnNonblock) {
  Fibers fibers;
  SocketPair pair;
  const PatternFile file(2u << 20);
  ::fcntl(pair[0], F_SETFL, O_NONBLOCK);
  fibers.spawn([&] {
    off_t position = 0;
    const ssize_t sent = ::sendfile(pair[0], file.fd(), &position, file.content.size());
    EXPECT_GT(sent, 0);
    EXPECT_LT(sent, static_cast<ssize_t>(file.content.size()));
    EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return ::sendfile(pair[0], file.fd(), &position, 1 << 20); }));
  });
  fibers.run();
}

TEST(HookedSplice, WaitsForEitherEnd) {
  Fibers fibers;
  SocketPair source, target;
  Pipe pipe;
  Ticker ticker(fibers);
  std::string received;
  const std::string data = pattern(1u << 20);
  fibers.spawn([&] {  // socket -> pipe
    while (::splice(source[0], nullptr, pipe[1], nullptr, 1 << 16, 0) > 0) {
    }
    pipe.close(1);
  });
  fibers.spawn([&] {  // pipe -> socket
    while (::splice(pipe[0], nullptr, target[0], nullptr, 1 << 16, 0) > 0) {
    }
    target.close(0);
  });
  fibers.spawn([&] {
    ticker.wait_for_turns();  // both ends of the first splice wait by now
    EXPECT_EQ(::write(source[1], data.data(), data.size()), static_cast<ssize_t>(data.size()));
    source.close(1);
  });
  fibers.spawn([&] {
    received = read_to_end(target[1]);
    ticker.stop();
  });
  fibers.run();
  EXPECT_TRUE(received == data);
}

TEST(HookedTee, CopiesWhatComesLater) {
  Fibers fibers;
  Pipe from, to;
  fibers.spawn([&] { EXPECT_EQ(::tee(from[0], to[1], 100, 0), 3); });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::write(from[1], "abc", 3), 3);
  });
  fibers.run();
  char buffer[8];
  EXPECT_EQ(::read(to[0], buffer, sizeof buffer), 3);
  EXPECT_EQ(::read(from[0], buffer, sizeof buffer), 3);
}

TEST(HookedVmsplice, WaitsForRoomInThePipe) {
  Fibers fibers;
  Pipe pipe;
  const std::string data = pattern(1u << 20);
  std::string received;
  fibers.spawn([&] {
    std::size_t sent = 0;
    while (sent < data.size()) {
      const iovec piece{const_cast<char*>(data.data()) + sent, data.size() - sent};
      const ssize_t n = ::vmsplice(pipe[1], &piece, 1, 0);
      ASSERT_GT(n, 0) << ::strerror(errno);
      sent += static_cast<std::size_t>(n);
    }
    pipe.close(1);
  });
  fibers.spawn([&] { received = read_to_end(pipe[0]); });
  fibers.run();
  EXPECT_TRUE(received == data);
}

TEST(HookedPread, GivesWhatTheFileHasAtThatPlace) {
  Fibers fibers;
  const PatternFile file(300'000);
  ::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);  // likely not in memory: then the pool reads it
  fibers.spawn([&] {
    std::string buffer(200'000, '\0');
    EXPECT_EQ(::pread(file.fd(), buffer.data(), buffer.size(), 50'000), 200'000);
    EXPECT_TRUE(buffer == file.content.substr(50'000, 200'000));
    EXPECT_EQ(::pread(file.fd(), buffer.data(), 100, 299'950), 50);  // the end of the file
    EXPECT_EQ(::pread(file.fd(), buffer.data(), 100, 300'000), 0);
    EXPECT_EQ(__pread_chk(file.fd(), buffer.data(), 100, 7, buffer.size()), 100);
    char first[10], second[20];
    const iovec pieces[2] = {{first, sizeof first}, {second, sizeof second}};
    EXPECT_EQ(::preadv(file.fd(), pieces, 2, 1000), 30);
    EXPECT_EQ(std::string(second, 20), file.content.substr(1010, 20));
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::pread(file.fd(), first, 1, -1); }));
    Pipe pipe;
    EXPECT_FAILS_WITH(ESPIPE, outcome_of([&] { return ::pread(pipe[0], first, 1, 0); }));
  });
  fibers.run();
}

TEST(HookedPreadv2, AtTheCurrentPositionOfAPipeSuspends) {
  Fibers fibers;
  Pipe pipe;
  char byte;
  const iovec one{&byte, 1};
  const Outcome without_data = outcome_of([&] { return ::preadv2(pipe[0], &one, 1, -1, RWF_NOWAIT); });
  fibers.spawn([&] {
    char buffer[8];
    const iovec piece{buffer, sizeof buffer};
    EXPECT_EQ(::preadv2(pipe[0], &piece, 1, -1, 0), 2);
    // EAGAIN, or EOPNOTSUPP on an old kernel.
    EXPECT_FAILS_WITH(without_data.error,
                      outcome_of([&] { return ::preadv2(pipe[0], &piece, 1, -1, RWF_NOWAIT); }));
  });
  fibers.spawn([&] {
    sleep_ms(3);
    const iovec piece{const_cast<char*>("ab"), 2};
    EXPECT_EQ(::pwritev2(pipe[1], &piece, 1, -1, 0), 2);
  });
  fibers.run();
}

// A library's own event loop in a task: its epoll descriptor is waited for, other tasks run.
TEST(HookedEpollWait, OfAForeignEpollSuspendsAndKeepsItsTimeout) {
  Fibers fibers;
  Pipe pipe;
  Ticker ticker(fibers);
  const int epoll = ::epoll_create1(0);
  epoll_event interest{EPOLLIN, {.fd = 77}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, pipe[0], &interest);
  bool timed_out = false;
  fibers.spawn([&] {
    epoll_event event{};
    const double start = now_ms();
    EXPECT_EQ(::epoll_wait(epoll, &event, 1, 15), 0);
    EXPECT_GE(now_ms() - start, 14);
    timed_out = true;
    EXPECT_EQ(::epoll_wait(epoll, &event, 1, -1), 1);
    EXPECT_EQ(event.data.fd, 77);
    EXPECT_EQ(::epoll_wait(epoll, &event, 1, 0), 1);
    const timespec limit{5, 0};
    EXPECT_EQ(::epoll_pwait2(epoll, &event, 1, &limit, nullptr), 1);
    sigset_t none;
    sigemptyset(&none);
    EXPECT_EQ(::epoll_pwait(epoll, &event, 1, -1, &none), 1);
    ticker.stop();
  });
  fibers.spawn([&] {
    while (!timed_out) sleep_ms(1);
    ticker.wait_for_turns();
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  });
  fibers.run();
  ::close(epoll);
}

TEST(HookedEpollWait, IsEndedByACancellationAsByASignalAndByAClose) {
  Fibers fibers;
  const int first = ::epoll_create1(0);
  const int second = ::epoll_create1(0);
  epoll_event event;
  runtime::Fiber& cancelled = fibers.spawn(
      [&] { EXPECT_FAILS_WITH(EINTR, outcome_of([&] { return ::epoll_wait(first, &event, 1, -1); })); });
  fibers.spawn(
      [&] { EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::epoll_wait(second, &event, 1, -1); })); });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(cancelled));
    ::close(second);
  });
  fibers.run();
  ::close(first);
}

}  // namespace
}  // namespace aiofiber::hooks_test
