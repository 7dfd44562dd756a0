// SPDX-License-Identifier: Apache-2.0
//
// connect and accept in a fiber: many clients on one thread, limits, refusals. Real sockets, real time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

void set_timeout(int fd, int option, int milliseconds) {
  const timeval time{0, milliseconds * 1000};
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, option, &time, sizeof time), 0);
}

bool is_nonblocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }

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

}  // namespace
}  // namespace aiofiber::hooks_test
