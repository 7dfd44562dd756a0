// SPDX-License-Identifier: Apache-2.0
//
// recv, send and their variants in a fiber keep the promises of blocking calls. Real sockets, real time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
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

// ---- connect and accept

class TcpServer : public testing::Test {
 protected:
  void SetUp() override {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listener_, name(), length_), 0);
    ASSERT_EQ(::getsockname(listener_, name(), &length_), 0);
  }
  void TearDown() override {
    if (listener_ >= 0) ::close(listener_);
  }
  sockaddr* name() { return reinterpret_cast<sockaddr*>(&address_); }

  // Listens, and sees to it that no further connect() gets through. To be closed by the caller.
  std::vector<int> fill_backlog() {
    EXPECT_EQ(::listen(listener_, 0), 0);
    std::vector<int> fillers;
    for (int i = 0; i < 4; ++i) {
      fillers.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ::connect(fillers.back(), name(), length_);
    }
    return fillers;
  }

  int listener_ = -1;
  sockaddr_in address_{};
  socklen_t length_ = sizeof address_;
};

TEST_F(TcpServer, ServesFiftyClientsOnOneThread) {
  Fibers fibers;
  ASSERT_EQ(::listen(listener_, 64), 0);
  int served = 0;
  fibers.spawn([&] {
    for (int i = 0; i < 50; ++i) {
      sockaddr_in peer{};
      socklen_t peer_length = sizeof peer;
      const int connection =
          ::accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &peer_length, SOCK_CLOEXEC);
      ASSERT_GE(connection, 0);
      EXPECT_EQ(peer.sin_family, AF_INET);
      fibers.spawn([&served, connection] {
        char buffer[4];
        served += ::read(connection, buffer, 4) == 4;
        ::close(connection);
      });
    }
  });
  for (int i = 0; i < 50; ++i) {
    fibers.spawn([&] {
      const int client = ::socket(AF_INET, SOCK_STREAM, 0);
      EXPECT_EQ(::connect(client, name(), length_), 0);
      sleep_ms(3);
      EXPECT_EQ(::write(client, "ping", 4), 4);
      ::close(client);
    });
  }
  fibers.run();
  EXPECT_EQ(served, 50);
}

TEST_F(TcpServer, RefusesWhenNobodyListens) {
  Fibers fibers;
  Outcome connected;
  fibers.spawn([&] {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    connected = outcome_of([&] { return ::connect(client, name(), length_); });
    ::close(client);
  });
  fibers.run();
  EXPECT_FAILS_WITH(ECONNREFUSED, connected);
}

// A server whose backlog is full drops SYNs, so that connect() hangs: the send timeout ends it.
TEST_F(TcpServer, ConnectEndsWithEinprogressAfterTheSendTimeout) {
  Fibers fibers;
  const std::vector<int> fillers = fill_backlog();
  Outcome connected;
  double took = 0;
  fibers.spawn([&] {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    set_timeout(client, SO_SNDTIMEO, 50);
    const double start = now_ms();
    connected = outcome_of([&] { return ::connect(client, name(), length_); });
    took = now_ms() - start;
    EXPECT_FALSE(is_nonblocking(client));
    ::close(client);
  });
  fibers.run();
  for (const int fd : fillers) ::close(fd);
  EXPECT_FAILS_WITH(EINPROGRESS, connected);
  EXPECT_GE(took, 49);
  EXPECT_LT(took, 500);
}

TEST_F(TcpServer, ConnectWaitsForTheAttemptThatATimeoutLeftUnderWay) {
  Fibers fibers;
  const std::vector<int> fillers = fill_backlog();
  Outcome first;
  Outcome second;
  double took = 0;
  fibers.spawn([&] {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    set_timeout(client, SO_SNDTIMEO, 20);
    first = outcome_of([&] { return ::connect(client, name(), length_); });
    const double start = now_ms();
    second = outcome_of([&] { return ::connect(client, name(), length_); });
    took = now_ms() - start;
    ::close(client);
  });
  fibers.run();
  for (const int fd : fillers) ::close(fd);
  EXPECT_FAILS_WITH(EINPROGRESS, first);
  EXPECT_FAILS_WITH(EALREADY, second);
  EXPECT_GE(took, 19);
}

TEST(HookedAccept, FailsAtOnceWhereNobodyListens) {
  Fibers fibers;
  SocketPair pair;
  Pipe pipe;
  fibers.spawn([&] {
    const int datagrams = ::socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT_FAILS_WITH(EOPNOTSUPP, outcome_of([&] { return ::accept(datagrams, nullptr, nullptr); }));
    ::close(datagrams);
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::accept4(pair[0], nullptr, nullptr, SOCK_CLOEXEC); }));
    EXPECT_FAILS_WITH(ENOTSOCK, outcome_of([&] { return ::accept(pipe[0], nullptr, nullptr); }));
  });
  fibers.run();
}

TEST_F(TcpServer, AcceptEndsWithEbadfWhenTheListenerIsClosed) {
  Fibers fibers;
  ASSERT_EQ(::listen(listener_, 8), 0);
  Outcome accepted;
  fibers.spawn([&] { accepted = outcome_of([&] { return ::accept(listener_, nullptr, nullptr); }); });
  fibers.spawn([&] {
    sleep_ms(5);
    ::close(listener_);
    listener_ = -1;
  });
  fibers.run();
  EXPECT_FAILS_WITH(EBADF, accepted);
}

TEST(HookedConnect, WaitsForRoomInTheBacklogOfAUnixServer) {
  Fibers fibers;
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};  // an abstract name: no file is left behind
  address.sun_family = AF_UNIX;
  const int n =
      std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "aiofiber-hooks-%d", ::getpid());
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(n));
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  int connected = 0;
  for (int i = 0; i < 10; ++i) {
    fibers.spawn([&] {
      const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
      connected += ::connect(client, reinterpret_cast<sockaddr*>(&address), length) == 0;
      ::close(client);
    });
  }
  fibers.spawn([&] {
    for (int i = 0; i < 10; ++i) {
      sleep_ms(2);
      ::close(::accept(listener, nullptr, nullptr));
    }
  });
  fibers.run();
  ::close(listener);
  EXPECT_EQ(connected, 10);
}

// ---- who acts

TEST(Hooks, StandAsideOutsideATask) {
  SocketPair pair;
  set_timeout(pair[0], SO_RCVTIMEO, 10);
  char byte;
  EXPECT_FAILS_WITH(EAGAIN, outcome_of([&] { return ::recv(pair[0], &byte, 1, 0); }));
  EXPECT_EQ(::send(pair[1], "x", 1, 0), 1);
  EXPECT_EQ(::read(pair[0], &byte, 1), 1);
}

TEST(Hooks, LetOthersRunThoughEveryCallIsReady) {
  Fibers fibers;
  SocketPair pair;
  bool other_ran = false;
  int calls = 0;
  fibers.spawn([&] {
    char byte = 'x';
    while (!other_ran && calls < 100'000) {
      EXPECT_EQ(::send(pair[0], &byte, 1, 0), 1);
      EXPECT_EQ(::recv(pair[1], &byte, 1, 0), 1);
      calls += 2;
    }
  });
  fibers.spawn([&] { other_ran = true; });
  fibers.run();
  EXPECT_LE(calls, 256);
}

// ---- cancellation, at the level of the runtime

// As a client does that polls in a loop: with threads the writer would run meanwhile.
TEST(Hooks, LetOthersRunThoughTheCallerOnlyAsksAgain) {
  Fibers fibers;
  SocketPair pair;
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event), 0);
  char byte = 0;
  mmsghdr message{};
  pollfd entry{pair[0], POLLIN, 0};
  const std::function<bool()> asks[] = {
      [&] { return ::poll(&entry, 1, 0) == 1; },
      [&] { return ::epoll_wait(epoll, &event, 1, 0) == 1; },
      [&] { return ::recv(pair[0], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1; },
      [&] { return ::recvmmsg(pair[0], &message, 1, MSG_PEEK | MSG_DONTWAIT, nullptr) == 1; },
  };
  const double start = now_ms();
  std::size_t begun = 0;
  fibers.spawn([&] {
    for (const auto& ask : asks) {
      ++begun;
      while (!ask() && now_ms() - start < 2000) {
      }
      EXPECT_EQ(::recv(pair[0], &byte, 1, 0), 1);
    }
  });
  fibers.spawn([&] {
    for (std::size_t i = 0; i < std::size(asks); ++i) {
      while (begun <= i) sleep_ms(1);
      EXPECT_EQ(::write(pair[1], "x", 1), 1);
    }
  });
  fibers.run();
  EXPECT_LT(now_ms() - start, 2000);
  ::close(epoll);
}

TEST(HookedCalls, EndWithEcanceledWhenTheFiberIsInterruptedAndKeepDoingSo) {
  Fibers fibers;
  SocketPair pair;
  Outcome first, second, ready;
  runtime::Fiber& reader = fibers.spawn([&] {
    char byte = 'x';
    first = outcome_of([&] { return ::recv(pair[0], &byte, 1, 0); });
    second = outcome_of([&] { return ::usleep(10'000'000); });
    ready = outcome_of([&] { return ::send(pair[0], &byte, 1, 0); });  // what need not wait still works
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(reader));
  });
  fibers.run();
  EXPECT_FAILS_WITH(ECANCELED, first);
  EXPECT_FAILS_WITH(ECANCELED, second);
  EXPECT_EQ(ready.value, 1);
}

}  // namespace
}  // namespace aiofiber::hooks_test
