// SPDX-License-Identifier: Apache-2.0
//
// recv, send and their variants in a fiber keep the promises of blocking calls. Real sockets, real time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

constexpr std::size_t kBig = 8u << 20;

std::string receive_all(int fd) {
  std::string all;
  std::vector<char> buffer(100'000);
  for (;;) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) return all;
    all.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

void set_timeout(int fd, int option, int milliseconds) {
  const timeval time{0, milliseconds * 1000};
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, option, &time, sizeof time), 0);
}

bool is_nonblocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }

TEST(HookedSend, SendsEightMebibytesInOneCall) {
  Fibers fibers;
  SocketPair pair;
  const std::string data = pattern(kBig);
  std::string received;
  long sent = 0;
  fibers.spawn([&] {
    sent = ::send(pair[0], data.data(), data.size(), 0);
    pair.close(0);
  });
  fibers.spawn([&] { received = receive_all(pair[1]); });
  fibers.run();
  EXPECT_EQ(sent, static_cast<long>(kBig));
  EXPECT_TRUE(received == data);
}

TEST(HookedSend, AgreesWithReadersAndWritersOfOneSocketInBothDirections) {
  Fibers fibers;
  SocketPair pair;
  const std::string data = pattern(kBig / 4);
  std::string received[2];
  for (int side = 0; side < 2; ++side) {
    fibers.spawn([&, side] {
      EXPECT_EQ(::write(pair[side], data.data(), data.size()), static_cast<ssize_t>(data.size()));
      ::shutdown(pair[side], SHUT_WR);
    });
    fibers.spawn([&, side] { received[side] = receive_all(pair[side]); });
  }
  fibers.run();
  EXPECT_TRUE(received[0] == data && received[1] == data);
}

TEST(HookedSendmsg, SendsEveryPieceAndDescriptorsOnce) {
  Fibers fibers;
  SocketPair pair;
  const std::string piece = pattern(10'007);
  std::vector<iovec> pieces(64, iovec{const_cast<char*>(piece.data()), piece.size()});
  pieces.insert(pieces.begin() + 5, iovec{nullptr, 0});
  long sent = 0;
  std::size_t received = 0;
  int descriptors = 0;
  fibers.spawn([&] {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), "\1\0\0", sizeof(int));
    sent = ::sendmsg(pair[0], &message, 0);
    pair.close(0);
  });
  fibers.spawn([&] {
    char buffer[5000];
    for (;;) {
      alignas(cmsghdr) char control[256];
      iovec target{buffer, sizeof buffer};
      msghdr message{};
      message.msg_iov = &target;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t n = ::recvmsg(pair[1], &message, 0);
      if (n <= 0) break;
      received += static_cast<std::size_t>(n);
      for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(h), sizeof fd);
        ::close(fd);
        ++descriptors;
      }
    }
  });
  fibers.run();
  EXPECT_EQ(sent, static_cast<long>(64 * piece.size()));
  EXPECT_EQ(received, 64 * piece.size());
  EXPECT_EQ(descriptors, 1);
}

TEST(HookedRecv, WaitsForAllWithMsgWaitall) {
  Fibers fibers;
  SocketPair pair;
  char buffer[11] = {};
  long received = 0;
  fibers.spawn([&] { received = ::recv(pair[0], buffer, 10, MSG_WAITALL); });
  fibers.spawn([&] {
    for (const char* c = "0123456789"; *c != '\0'; ++c) {
      EXPECT_EQ(::send(pair[1], c, 1, 0), 1);
      sleep_ms(1);
    }
  });
  fibers.run();
  EXPECT_EQ(received, 10);
  EXPECT_STREQ(buffer, "0123456789");
}

TEST(HookedRecv, GivesWhatCameWhenTheStreamEndsUnderMsgWaitall) {
  Fibers fibers;
  SocketPair pair;
  char buffer[10];
  long received = 0;
  fibers.spawn([&] { received = ::recv(pair[0], buffer, 10, MSG_WAITALL); });
  fibers.spawn([&] {
    EXPECT_EQ(::send(pair[1], "abc", 3, 0), 3);
    sleep_ms(5);
    pair.close(1);
  });
  fibers.run();
  EXPECT_EQ(received, 3);
}

TEST(HookedRecvmsg, WaitsForAllOverSeveralBuffers) {
  Fibers fibers;
  SocketPair pair;
  char first[4] = {}, second[7] = {};
  long received = 0;
  fibers.spawn([&] {
    iovec targets[2] = {{first, 3}, {second, 6}};
    msghdr message{};
    message.msg_iov = targets;
    message.msg_iovlen = 2;
    received = ::recvmsg(pair[0], &message, MSG_WAITALL);
  });
  fibers.spawn([&] {
    for (const char* part : {"ab", "cdef", "ghi"}) {
      EXPECT_GT(::send(pair[1], part, std::strlen(part), 0), 0);
      sleep_ms(2);
    }
  });
  fibers.run();
  EXPECT_EQ(received, 9);
  EXPECT_STREQ(first, "abc");
  EXPECT_STREQ(second, "defghi");
}

TEST(HookedRecv, IgnoresMsgWaitallOnDatagrams) {
  Fibers fibers;
  SocketPair pair(SOCK_DGRAM);
  char buffer[10];
  long received = 0;
  fibers.spawn([&] { received = ::recv(pair[0], buffer, sizeof buffer, MSG_WAITALL); });
  fibers.spawn([&] { EXPECT_EQ(::send(pair[1], "abc", 3, 0), 3); });
  fibers.run();
  EXPECT_EQ(received, 3);
}

TEST(HookedRecv, PeeksAfterWaiting) {
  Fibers fibers;
  SocketPair pair;
  char peeked[4] = {}, taken[4] = {};
  fibers.spawn([&] {
    EXPECT_EQ(::recv(pair[0], peeked, 3, MSG_PEEK), 3);
    EXPECT_EQ(::recv(pair[0], taken, 3, 0), 3);
  });
  fibers.spawn([&] { EXPECT_EQ(::send(pair[1], "abc", 3, 0), 3); });
  fibers.run();
  EXPECT_STREQ(peeked, "abc");
  EXPECT_STREQ(taken, "abc");
}

TEST(HookedRecv, EndsWithEagainAfterTheReceiveTimeout) {
  Fibers fibers;
  SocketPair pair;
  set_timeout(pair[0], SO_RCVTIMEO, 30);
  char buffer[4];
  Outcome received, read;
  double took = 0;
  fibers.spawn([&] {
    const double start = now_ms();
    received = outcome_of([&] { return ::recv(pair[0], buffer, sizeof buffer, 0); });
    took = now_ms() - start;
    read = outcome_of([&] { return ::read(pair[0], buffer, sizeof buffer); });
  });
  fibers.run();
  EXPECT_FAILS_WITH(EAGAIN, received);
  EXPECT_FAILS_WITH(EAGAIN, read);
  EXPECT_GE(took, 29);
  EXPECT_LT(took, 300);
}

TEST(HookedSend, GivesAShortCountAndThenEagainAfterTheSendTimeout) {
  Fibers fibers;
  SocketPair pair;
  set_timeout(pair[0], SO_SNDTIMEO, 30);
  const std::string data(kBig, 'x');
  long first = 0;
  Outcome second;
  fibers.spawn([&] {
    first = ::send(pair[0], data.data(), data.size(), 0);
    second = outcome_of([&] { return ::send(pair[0], "x", 1, 0); });
  });
  fibers.run();
  EXPECT_GT(first, 0);
  EXPECT_LT(first, static_cast<long>(kBig));
  EXPECT_FAILS_WITH(EAGAIN, second);
}

TEST(HookedRecv, EndsWithEbadfWhenTheDescriptorIsClosedUnderIt) {
  Fibers fibers;
  SocketPair pair;
  Outcome received;
  fibers.spawn([&] {
    char byte;
    received = outcome_of([&] { return ::recv(pair[0], &byte, 1, 0); });
  });
  fibers.spawn([&] {
    sleep_ms(5);
    pair.close(0);
  });
  fibers.run();
  EXPECT_FAILS_WITH(EBADF, received);
}

// It shares the memory of its parent, but not the descriptors.
TEST(HookedRecv, GoesOnWhenAVforkedChildClosesItsDescriptor) {
  Fibers fibers;
  SocketPair pair;
  std::string received(1, ' ');
  int status = -1;
  fibers.spawn([&] { EXPECT_EQ(::recv(pair[0], received.data(), 1, 0), 1) << ::strerror(errno); });
  fibers.spawn([&] {
    const pid_t child = ::vfork();
    if (child == 0) {
      ::close(pair[0]);
      ::_exit(::dup2(pair[1], pair[0]) == pair[0] ? 7 : 1);
    }
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(::send(pair[1], "x", 1, 0), 1);
  });
  fibers.run();
  EXPECT_EQ(received, "x");
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(HookedDup2, WakesWhoWaitsForTheOldFileAndTheNumberThenMeansTheNewOne) {
  Fibers fibers;
  SocketPair pair;
  Pipe pipe;
  Outcome first;
  long second = 0;
  fibers.spawn([&] {
    char buffer[8];
    first = outcome_of([&] { return ::read(pair[0], buffer, sizeof buffer); });
    second = ::read(pair[0], buffer, sizeof buffer);
  });
  fibers.spawn([&] {
    sleep_ms(5);
    EXPECT_EQ(::dup2(pipe[0], pair[0]), pair[0]);
    sleep_ms(5);
    EXPECT_EQ(::write(pipe[1], "abc", 3), 3);
  });
  fibers.run();
  EXPECT_FAILS_WITH(EBADF, first);
  EXPECT_EQ(second, 3);
}

TEST(HookedDup2, ThatFailsLeavesWhoWaitsAlone) {
  Fibers fibers;
  Pipe pipe;
  Outcome got;
  fibers.spawn([&] {
    char buffer[8];
    got = outcome_of([&] { return ::read(pipe[0], buffer, sizeof buffer); });
  });
  fibers.spawn([&] {
    sleep_ms(5);
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::dup2(9999, pipe[0]); }));
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::dup3(pipe[1], pipe[0], O_APPEND); }));
    sleep_ms(5);
    EXPECT_EQ(::write(pipe[1], "abc", 3), 3);
  });
  fibers.run();
  EXPECT_EQ(got.value, 3);
}

// The kernel does not read what the pointer refers to, and a hook must not read it either.
TEST(HookedMessages, ThatAreMalformedFailAsInTheKernel) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::recvmsg(pair[0], nullptr, 0); }));
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::sendmsg(pair[0], nullptr, 0); }));
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::recvmmsg(pair[0], nullptr, 1, 0, nullptr); }));
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::sendmmsg(pair[0], nullptr, 1, 0); }));
    mmsghdr message{};
    message.msg_hdr.msg_iovlen = 1;  // of a null pointer
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::recvmsg(pair[0], &message.msg_hdr, 0); }));
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::sendmsg(pair[0], &message.msg_hdr, 0); }));
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::recvmmsg(pair[0], &message, 1, 0, nullptr); }));
    EXPECT_FAILS_WITH(EFAULT, outcome_of([&] { return ::sendmmsg(pair[0], &message, 1, 0); }));
    char byte = 'x';
    iovec piece{&byte, 1};
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = static_cast<std::size_t>(-1);
    EXPECT_FAILS_WITH(EMSGSIZE, outcome_of([&] { return ::recvmsg(pair[0], &message.msg_hdr, 0); }));
    EXPECT_FAILS_WITH(EMSGSIZE, outcome_of([&] { return ::sendmsg(pair[0], &message.msg_hdr, 0); }));
  });
  fibers.run();
}

TEST(HookedRecv, GivesEachOfTwoReadersOneDatagram) {
  Fibers fibers;
  SocketPair pair(SOCK_DGRAM);
  int received = 0;
  for (int i = 0; i < 2; ++i) {
    fibers.spawn([&] {
      char buffer[8];
      received += ::recv(pair[0], buffer, sizeof buffer, 0) == 1;
    });
  }
  fibers.spawn([&] {
    for (const char* text : {"a", "b"}) {
      sleep_ms(3);
      EXPECT_EQ(::send(pair[1], text, 1, 0), 1);
    }
  });
  fibers.run();
  EXPECT_EQ(received, 2);
}

TEST(HookedRecv, HandlesEmptyTransfers) {
  Fibers fibers;
  SocketPair stream;
  SocketPair datagrams(SOCK_DGRAM);
  fibers.spawn([&] {
    char byte = 0;
    EXPECT_EQ(::read(stream[0], &byte, 0), 0);  // read(2) returns at once, even with nothing to read
    EXPECT_EQ(::write(stream[0], &byte, 0), 0);
    EXPECT_EQ(::send(stream[0], &byte, 0, 0), 0);
    EXPECT_EQ(::send(datagrams[0], &byte, 0, 0), 0);  // an empty datagram
    EXPECT_EQ(::recv(datagrams[1], &byte, 1, 0), 0);
    const iovec nothing{&byte, 0};
    EXPECT_EQ(::readv(stream[0], &nothing, 1), 0);
    EXPECT_EQ(::writev(stream[0], &nothing, 1), 0);
  });
  fibers.run();
}

TEST(Hooks, GiveEagainWhereTheProgramSetNonblock) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    char byte;
    const int duplicate = ::dup(pair[0]);
    ASSERT_EQ(::fcntl(duplicate, F_SETFL, O_RDWR | O_NONBLOCK), 0);  // through another name of the same file
    EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return ::recv(pair[0], &byte, 1, 0); }));
    EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return ::read(pair[0], &byte, 1); }));
    EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return ::recv(pair[1], &byte, 1, MSG_DONTWAIT); }));
    const std::string big(kBig, 'x');
    EXPECT_LT(::send(pair[0], big.data(), big.size(), 0), static_cast<ssize_t>(kBig));
    ::close(duplicate);
  });
  fibers.run();
}

TEST(Hooks, NeverLeaveNonblockSet) {
  Fibers fibers;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 8), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  fibers.spawn([&] {
    const int connection = ::accept(listener, nullptr, nullptr);
    ASSERT_GE(connection, 0);
    char buffer[4];
    EXPECT_EQ(::recv(connection, buffer, 4, MSG_WAITALL), 4);
    EXPECT_FALSE(is_nonblocking(listener));
    EXPECT_FALSE(is_nonblocking(connection));
    ::close(connection);
  });
  fibers.spawn([&] {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_FALSE(is_nonblocking(client));
    sleep_ms(5);
    EXPECT_EQ(::write(client, "ping", 4), 4);
    EXPECT_FALSE(is_nonblocking(client));
    ::close(client);
  });
  fibers.run();
  ::close(listener);
}

TEST(Hooks, KeepErrnoAcrossASuspension) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    char byte;
    errno = ENOTTY;
    EXPECT_EQ(::recv(pair[0], &byte, 1, 0), 1);
    EXPECT_EQ(errno, ENOTTY);
  });
  fibers.spawn([&] {
    errno = ERANGE;
    sleep_ms(3);
    EXPECT_EQ(errno, ERANGE);
    EXPECT_EQ(::send(pair[1], "x", 1, 0), 1);
  });
  fibers.run();
}

TEST(Hooks, KeepErrnoWithAShortCount) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    set_timeout(pair[0], SO_RCVTIMEO, 5);
    set_timeout(pair[0], SO_SNDTIMEO, 5);
    EXPECT_EQ(::write(pair[1], "abc", 3), 3);
    char buffer[8];
    errno = E2BIG;
    EXPECT_EQ(::recv(pair[0], buffer, sizeof buffer, MSG_WAITALL), 3);
    EXPECT_EQ(errno, E2BIG);
    const std::string much(8 << 20, 'x');
    EXPECT_GT(::send(pair[0], much.data(), much.size(), 0), 0);
    EXPECT_EQ(errno, E2BIG);
  });
  fibers.run();
}

TEST(HookedRecvfrom, TellsTheSenderOfADatagram) {
  Fibers fibers;
  const int receiver = ::socket(AF_INET, SOCK_DGRAM, 0);
  const int sender = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(receiver, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::getsockname(receiver, reinterpret_cast<sockaddr*>(&address), &length), 0);
  fibers.spawn([&] {
    char buffer[16];
    sockaddr_in from{};
    socklen_t from_length = sizeof from;
    EXPECT_EQ(
        ::recvfrom(receiver, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &from_length), 3);
    EXPECT_EQ(from_length, sizeof from);
    EXPECT_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::sendto(sender, "abc", 3, 0, reinterpret_cast<sockaddr*>(&address), length), 3);
  });
  fibers.run();
  ::close(receiver);
  ::close(sender);
}

TEST(HookedSend, RaisesNoSigpipeWhenItCanStillReportBytes) {
  Fibers fibers;
  SocketPair pair;
  const std::string data(kBig, 'x');
  long sent = 0;
  fibers.spawn([&] { sent = ::send(pair[0], data.data(), data.size(), 0); });
  fibers.spawn([&] {
    sleep_ms(3);
    pair.close(1);
  });
  fibers.run();  // SIGPIPE would end the program here
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, static_cast<long>(kBig));
}

}  // namespace
}  // namespace aiofiber::hooks_test
