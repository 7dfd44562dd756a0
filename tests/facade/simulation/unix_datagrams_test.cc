// SPDX-License-Identifier: Apache-2.0
//
// Room for Unix datagrams between the programs of a simulated machine: who waits for it, how long, and what
// poll() says. The reader begins after 5 seconds, and reads one datagram a second.
//
// Labels: long
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"
#include "facade/simulation/datagram_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

constexpr int kQueued = 11;  // what Linux takes before anybody reads
constexpr const char* kPath = "/run/reader";

struct UnixDatagrams : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node node = sim.node("node");
  std::vector<std::string> read;

  void SetUp() override {
    node.run([this] {
      const Fd reader = unix_datagrams(kPath);
      ::sleep(5);
      for (;; ::sleep(1)) read.push_back(receive(reader));
    });
  }
  // Runs it beside the reader.
  void beside(std::function<void()> fn) {
    bool done = false;
    node.run([&, fn = std::move(fn)] {
      fn();
      done = true;
    });
    sim.run_for(1min);
    EXPECT_TRUE(done) << "it still waits";
  }
};

int seconds() { return static_cast<int>(::time(nullptr) % 1000); }
Fd connected_sender(int flags = 0) {
  Fd made = unix_datagrams("", flags);
  EXPECT_TRUE(connect_to_path(made, kPath));
  return made;
}
int send_to_path(const Fd& fd, const std::string& bytes, const char* path, int flags = 0) {
  const sockaddr_un to = at_path(path);
  return ::sendto(fd.get(), bytes.data(), bytes.size(), flags, generic(to), sizeof to) < 0 ? errno : 0;
}
int send(const Fd& fd, const std::string& bytes, int flags = 0) {
  return ::send(fd.get(), bytes.data(), bytes.size(), flags) < 0 ? errno : 0;
}
bool is_writable(const Fd& fd, int milliseconds = 0) {
  pollfd entry{fd.get(), POLLOUT, 0};
  return ::poll(&entry, 1, milliseconds) == 1 && (entry.revents & POLLOUT) != 0;
}
// How many it can send before it fails.
int fill(const Fd& fd, const std::string& bytes = "x") {
  int count = 0;
  while (send(fd, bytes, MSG_DONTWAIT) == 0) ++count;
  EXPECT_EQ(errno, EAGAIN);
  return count;
}

TEST_F(UnixDatagrams, BlockingSendersWaitForEachRead) {
  std::vector<int> times;
  std::vector<std::string> sent;
  beside([&] {
    const int begin = seconds();
    const Fd connected = connected_sender();
    const Fd unconnected = unix_datagrams();
    for (int i = 0; i < 16; ++i) {
      sent.push_back(std::to_string(i));
      switch (i % 4) {
        case 0:
          EXPECT_EQ(send_to_path(unconnected, sent.back(), kPath), 0);
          break;
        case 1:
          EXPECT_EQ(send(connected, sent.back()), 0);
          break;
        case 2:
          EXPECT_EQ(::write(connected.get(), sent.back().data(), sent.back().size()),
                    static_cast<ssize_t>(sent.back().size()));
          break;
        case 3: {
          iovec piece{sent.back().data(), sent.back().size()};
          msghdr message{};
          message.msg_iov = &piece;
          message.msg_iovlen = 1;
          EXPECT_EQ(::sendmsg(connected.get(), &message, 0), static_cast<ssize_t>(sent.back().size()));
          break;
        }
      }
      times.push_back(seconds() - begin);
    }
    EXPECT_EQ(::write(connected.get(), "", 0), 0);
    sent.emplace_back();
    times.push_back(seconds() - begin);
  });
  EXPECT_EQ(times, (std::vector<int>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(read, sent);
}

TEST_F(UnixDatagrams, OtherSendersFailAndPollTellsWhenThereIsRoom) {
  beside([] {
    const int begin = seconds();
    const Fd sender = connected_sender(SOCK_NONBLOCK);
    for (int i = 0; i < kQueued; ++i) {
      EXPECT_TRUE(is_writable(sender));
      EXPECT_EQ(send(sender, "x"), 0);
    }
    EXPECT_FALSE(is_writable(sender));  // before a send fails
    EXPECT_EQ(send(sender, "x"), EAGAIN);
    EXPECT_FALSE(is_writable(sender, 2000));
    EXPECT_TRUE(is_writable(sender, -1));
    EXPECT_EQ(seconds() - begin, 5);
    EXPECT_EQ(send(sender, "x"), 0);
    EXPECT_FALSE(is_writable(sender));
  });
}

TEST_F(UnixDatagrams, EdgeTriggeredEpollHearsOfRoom) {
  beside([] {
    const int begin = seconds();
    const Fd sender = connected_sender();
    const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLOUT | EPOLLET;
    EXPECT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, sender.get(), &event), 0);
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, -1), 1);
    EXPECT_EQ(fill(sender), kQueued);
    EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, -1), 1);
    EXPECT_EQ(seconds() - begin, 5);
  });
}

TEST_F(UnixDatagrams, SocketFilledByAnotherIsNotWritable) {
  beside([] {
    const Fd sender = connected_sender();
    const Fd other = connected_sender();
    EXPECT_TRUE(is_writable(other));
    EXPECT_EQ(fill(sender), kQueued);
    EXPECT_FALSE(is_writable(other));
    EXPECT_EQ(send(other, "x", MSG_DONTWAIT), EAGAIN);
    ::sleep(6);
    EXPECT_TRUE(is_writable(other));
  });
}

TEST_F(UnixDatagrams, UnconnectedSenderReachesOthersMeanwhile) {
  beside([] {
    const int begin = seconds();
    const Fd other = unix_datagrams("/run/other");
    const Fd sender = unix_datagrams("", SOCK_NONBLOCK);
    EXPECT_EQ(fill(connected_sender()), kQueued);
    EXPECT_EQ(send_to_path(sender, "x", kPath), EAGAIN);
    EXPECT_EQ(send_to_path(sender, "y", "/run/other"), 0);
    EXPECT_EQ(receive(other), "y");
    EXPECT_EQ(send_to_path(sender, "x", kPath), EAGAIN);
    EXPECT_TRUE(is_writable(sender, -1));
    EXPECT_EQ(seconds() - begin, 5);
    EXPECT_EQ(send_to_path(sender, "x", kPath), 0);
  });
}

TEST_F(UnixDatagrams, TimeLimitEndsTheWait) {
  beside([] {
    const int begin = seconds();
    const Fd sender = connected_sender();
    EXPECT_EQ(fill(sender), kQueued);
    limit(sender, 3);
    EXPECT_EQ(send(sender, "x"), EAGAIN);
    EXPECT_EQ(seconds() - begin, 3);
  });
}

// 212,992 bytes may be unread. The last datagram may exceed it.
TEST_F(UnixDatagrams, SenderWithMuchUnreadWaits) {
  beside([] {
    const int begin = seconds();
    const Fd sender = connected_sender();
    EXPECT_EQ(fill(sender, std::string(60'000, 'x')), 4);
    EXPECT_EQ(send(connected_sender(), "another may"), 0);
    EXPECT_EQ(send(sender, "x"), 0);
    EXPECT_EQ(seconds() - begin, 5);
    EXPECT_EQ(send(sender, std::string(212'961, 'x')), EMSGSIZE);
  });
}

TEST_F(UnixDatagrams, SmallSendBufferHoldsLess) {
  beside([] {
    const Fd sender = connected_sender();
    const int size = 5000;
    EXPECT_EQ(::setsockopt(sender.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    EXPECT_EQ(fill(sender, std::string(3000, 'x')), 3);
    EXPECT_FALSE(is_writable(sender, 4000));
  });
}

TEST_F(UnixDatagrams, TwoThatAreConnectedHaveNoQueueLimit) {
  beside([] {
    const Fd here = unix_datagrams("/run/here");
    const Fd there = unix_datagrams("/run/there");
    EXPECT_TRUE(connect_to_path(here, "/run/there"));
    EXPECT_TRUE(connect_to_path(there, "/run/here"));
    EXPECT_GT(fill(here), 100);
    EXPECT_FALSE(is_writable(here));
    EXPECT_EQ(send_to_path(unix_datagrams(), "x", "/run/here"), EPERM);
    EXPECT_FALSE(connect_to_path(unix_datagrams(), "/run/here"));
    EXPECT_EQ(errno, EPERM);
  });
}

TEST_F(UnixDatagrams, CloseAndShutdownOfTheReceiverEndTheWait) {
  const auto wait_until = [&](const std::function<void(Fd&)>& end) {
    int result = 0;
    node.run([&, end] {
      Fd reader = unix_datagrams("/run/second");
      ::sleep(2);
      end(reader);
      ::sleep(2);
    });
    beside([&] {
      ::usleep(1000);
      const int begin = seconds();
      const Fd sender = unix_datagrams();
      ASSERT_TRUE(connect_to_path(sender, "/run/second"));
      EXPECT_EQ(fill(sender), kQueued);
      result = send(sender, "x", MSG_NOSIGNAL);
      EXPECT_EQ(seconds() - begin, 2);
    });
    return result;
  };
  EXPECT_EQ(wait_until([](Fd& reader) { const Fd closing(std::move(reader)); }), ECONNREFUSED);
  EXPECT_EQ(wait_until([](Fd& reader) { ::shutdown(reader.get(), SHUT_RD); }), EPIPE);
}

TEST_F(UnixDatagrams, ConnectionIsToTheSocketNotToThePath) {
  beside([] {
    const Fd sender = unix_datagrams();
    {
      const Fd first = unix_datagrams("/run/second");
      EXPECT_TRUE(connect_to_path(sender, "/run/second"));
    }
    ::usleep(1000);
    const Fd second = unix_datagrams("/run/second");
    EXPECT_EQ(send(sender, "x"), ECONNREFUSED);
    EXPECT_EQ(send(sender, "x"), ENOTCONN);
    EXPECT_EQ(send_to_path(sender, "x", "/run/second"), 0);
    EXPECT_EQ(receive(second), "x");
  });
}

TEST_F(UnixDatagrams, MachineThatDiesWithAWaitingSenderComesBack) {
  node.run([] {
    const Fd sender = connected_sender();
    EXPECT_EQ(fill(sender), kQueued);
    for (;;) send(sender, "x");
  });
  sim.run_for(2s);
  node.restart();
  sim.run_for(20s);
  EXPECT_EQ(read.size(), 16u);  // from second 7 to second 22
}

}  // namespace
}  // namespace aiofiber::testing::test
