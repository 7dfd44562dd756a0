// SPDX-License-Identifier: Apache-2.0
//
// Datagrams between simulated machines: what arrives, what does not, and what the programs hear of it.
//
// Labels: long
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/datagram.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/simulation.h"
#include "aiofiber/sleep.h"
#include "facade/simulation/blocking_code.h"
#include "facade/simulation/datagram_code.h"
#include "support/descriptors.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

struct Datagrams : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node server = sim.node("server");
  Node client = sim.node("client");
};

TEST_F(Datagrams, AnswerComesBackToItsSender) {
  std::string answer;
  std::string from_text;
  Duration took;
  sim.link("server", "client", {.latency = fixed(10ms)});
  server.run([] { echo_datagrams(udp(53)); });
  client.run([&] {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(send_to(socket, "question", "10.0.0.1", 53), 8);
    sockaddr_in from{};
    answer = receive(socket, 0, &from);
    took = std::chrono::steady_clock::now() - begin;
    from_text = text(from);
  });
  sim.run_for(1s);
  EXPECT_EQ(answer, "question");
  EXPECT_EQ(from_text, "10.0.0.1:53");
  EXPECT_EQ(took, Duration(20ms));
}

// Each call that receives, with what was sent by each that sends.
TEST_F(Datagrams, EachCallMovesOneDatagram) {
  std::vector<std::string> got;
  std::vector<std::string> froms;
  sim.link("server", "client", {.latency = fixed(1ms)});
  server.run([&] {
    const Fd socket = udp(53);
    ::sleep(1);
    char bytes[64];
    char rest[64];
    sockaddr_in from{};
    const auto note = [&](ssize_t count) {
      got.emplace_back(bytes, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    };
    note(::recv(socket.get(), bytes, sizeof bytes, 0));
    note(::read(socket.get(), bytes, sizeof bytes));
    iovec pieces[2] = {{bytes, 2}, {rest, sizeof rest}};
    EXPECT_EQ(::readv(socket.get(), pieces, 2), 5);
    note(2);
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = pieces;
    message.msg_iovlen = 1;
    note(::recvmsg(socket.get(), &message, 0));
    EXPECT_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
    EXPECT_EQ(message.msg_namelen, sizeof from);
    froms.push_back(text(from));
    mmsghdr messages[3] = {};
    sockaddr_in many_from[3] = {};
    char many[3][64];
    iovec many_pieces[3];
    for (std::size_t i = 0; i < 3; ++i) {
      many_pieces[i] = {many[i], sizeof many[i]};
      messages[i].msg_hdr.msg_iov = &many_pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = &many_from[i];
      messages[i].msg_hdr.msg_namelen = sizeof many_from[i];
    }
    ASSERT_EQ(::recvmmsg(socket.get(), messages, 3, MSG_DONTWAIT, nullptr), 2);
    for (std::size_t i = 0; i < 2; ++i) {
      got.emplace_back(many[i], messages[i].msg_len);
      froms.push_back(text(many_from[i]));
    }
  });
  client.run([&] {
    const Fd one = udp(1001);
    const Fd two = udp(1002);
    const sockaddr_in to = inet("10.0.0.1", 53);
    ASSERT_EQ(::connect(one.get(), generic(to), sizeof to), 0);
    ::send(one.get(), "send", 4, 0);
    ::usleep(2000);
    EXPECT_EQ(::write(one.get(), "write", 5), 5);
    ::usleep(2000);
    const iovec pieces[2] = {{const_cast<char*>("wri"), 3}, {const_cast<char*>("ev"), 2}};
    EXPECT_EQ(::writev(one.get(), pieces, 2), 5);
    ::usleep(2000);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);
    message.msg_iovlen = 2;
    EXPECT_EQ(::sendmsg(one.get(), &message, MSG_DONTWAIT), 5);
    ::usleep(2000);
    mmsghdr messages[2] = {};
    for (mmsghdr& each : messages) each.msg_hdr = message;
    messages[0].msg_hdr.msg_iovlen = 1;
    for (mmsghdr& each : messages) {
      each.msg_hdr.msg_name = const_cast<sockaddr_in*>(&to);
      each.msg_hdr.msg_namelen = sizeof to;
    }
    EXPECT_EQ(::sendmmsg(two.get(), messages, 1, 0), 1);
    ::usleep(2000);
    EXPECT_EQ(::sendmmsg(two.get(), messages + 1, 1, MSG_DONTWAIT), 1);
  });
  sim.run_for(2s);
  EXPECT_EQ(got, (std::vector<std::string>{"send", "write", "wr", "wr", "wri", "wriev"}));
  EXPECT_EQ(froms, (std::vector<std::string>{"10.0.0.2:1001", "10.0.0.2:1002", "10.0.0.2:1002"}));
}

TEST_F(Datagrams, PeekTellsTheSenderAndLeavesTheDatagram) {
  std::vector<std::string> seen;
  server.run([&] {
    const Fd socket = udp(53);
    for (const int flags : {int{MSG_PEEK}, 0, 0}) {
      sockaddr_in from{};
      const std::string bytes = receive(socket, flags, &from);
      seen.push_back(bytes + " " + text(from));
    }
  });
  client.run([] {
    send_to(udp(1001), "one", "10.0.0.1", 53);
    ::sleep(1);
    send_to(udp(1002), "two", "10.0.0.1", 53);
  });
  sim.run_for(2s);
  EXPECT_EQ(seen, (std::vector<std::string>{"one 10.0.0.2:1001", "one 10.0.0.2:1001", "two 10.0.0.2:1002"}));
}

// Whatever way the bytes took out of the socket, the next datagram has its own sender.
TEST_F(Datagrams, SenderIsRightAfterABypassOfTheCalls) {
  std::string from_text;
  server.run([&] {
    const Fd socket = udp(53);
    ::sleep(1);
    char bytes[16];
    EXPECT_EQ(::recv(socket.get(), bytes, sizeof bytes, 0), 3);  // the sender is not asked for
    EXPECT_EQ(::syscall(SYS_read, socket.get(), bytes, sizeof bytes), 3);
    sockaddr_in from{};
    receive(socket, 0, &from);
    from_text = text(from);
  });
  client.run([] {
    for (std::uint16_t port = 1001; port < 1004; ++port) {
      send_to(udp(port), "one", "10.0.0.1", 53);
      ::usleep(10'000);
    }
  });
  sim.run_for(2s);
  EXPECT_EQ(from_text, "10.0.0.2:1003");
}

TEST_F(Datagrams, EmptyAndLargestOnesArriveAndLargerOnesDoNotLeave) {
  std::vector<std::size_t> sizes;
  ssize_t too_large = 0;
  int error = 0;
  server.run([&] {
    const Fd socket = udp(53);
    for (int i = 0; i < 2; ++i) sizes.push_back(receive(socket).size());
  });
  client.run([&] {
    const Fd socket = udp();
    EXPECT_EQ(send_to(socket, "", "10.0.0.1", 53), 0);
    ::usleep(10'000);
    EXPECT_EQ(send_to(socket, std::string(65'507, 'x'), "10.0.0.1", 53), 65'507);
    too_large = send_to(socket, std::string(65'508, 'x'), "10.0.0.1", 53);
    error = errno;
  });
  sim.run_for(1s);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{0, 65'507}));
  EXPECT_EQ(too_large, -1);
  EXPECT_EQ(error, EMSGSIZE);
}

TEST_F(Datagrams, CutDatagramTellsItsLengthOnRequest) {
  ssize_t whole = 0;
  ssize_t cut = 0;
  int pending = 0;
  server.run([&] {
    const Fd socket = udp(53);
    ::sleep(1);
    char bytes[4];
    ::ioctl(socket.get(), FIONREAD, &pending);
    whole = ::recv(socket.get(), bytes, sizeof bytes, MSG_PEEK | MSG_TRUNC);
    cut = ::recv(socket.get(), bytes, sizeof bytes, 0);
    EXPECT_EQ(receive(socket, MSG_DONTWAIT), error_text(EAGAIN));
  });
  client.run([] { send_to(udp(), "ten bytes.", "10.0.0.1", 53); });
  sim.run_for(2s);
  EXPECT_EQ(pending, 10);
  EXPECT_EQ(whole, 10);
  EXPECT_EQ(cut, 4);
}

// What each way to hear of a closed port says: once.
TEST_F(Datagrams, ConnectedSenderHearsOfAClosedPortOnce) {
  std::vector<int> first;
  std::vector<std::string> then;
  short events = 0;
  Duration when;
  client.run([&] {
    char byte;
    for (int way = 0; way < 5; ++way) {
      const Fd socket = connected_udp("10.0.0.1", 9);
      ASSERT_EQ(::send(socket.get(), "x", 1, 0), 1);
      errno = 0;
      if (way == 0) {
        EXPECT_EQ(::recv(socket.get(), &byte, 1, 0), -1);  // waits for it
        when = sim.time();
        first.push_back(errno);
      } else {
        pollfd entry{socket.get(), POLLIN, 0};
        EXPECT_EQ(::poll(&entry, 1, 1000), 1);
        events = entry.revents;
        int error = 0;
        socklen_t length = sizeof error;
        const ssize_t result = way == 1   ? ::send(socket.get(), "x", 1, 0)
                               : way == 2 ? ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length)
                               : way == 3 ? ::read(socket.get(), &byte, 1)
                                          : ::recv(socket.get(), &byte, 1, MSG_DONTWAIT);
        EXPECT_EQ(result, way == 2 ? 0 : -1);
        first.push_back(way == 2 ? error : errno);
      }
      then.push_back(receive(socket, MSG_DONTWAIT));
    }
  });
  sim.link("server", "client", {.latency = fixed(10ms)});
  sim.run_for(1min);
  EXPECT_EQ(first, std::vector<int>(5, ECONNREFUSED));
  EXPECT_EQ(then, std::vector<std::string>(5, error_text(EAGAIN)));
  EXPECT_NE(events, 0);
  EXPECT_EQ(when, Duration(20ms));
}

TEST_F(Datagrams, UnconnectedSenderHearsNothingOfAClosedPort) {
  std::string answer;
  client.run([&] {
    const Fd socket = udp();
    limit(socket, 5);
    send_to(socket, "x", "10.0.0.1", 9);
    answer = receive(socket);
  });
  sim.run_for(1min);
  EXPECT_EQ(answer, error_text(EAGAIN));
  EXPECT_NE(sim.trace().find("datagram to a closed port"), std::string::npos);
}

// Its machine is up and refuses; a machine without power is silent.
TEST_F(Datagrams, PortOfADeadProgramRefusesUntilItIsBack) {
  std::vector<std::string> answers;
  server.run([] { echo_datagrams(udp(53)); });
  client.run([&] {
    const Fd socket = connected_udp("10.0.0.1", 53);
    limit(socket, 1);
    for (const int until : {2, 12, 22, 32}) {
      ::sleep(static_cast<unsigned>(until) - static_cast<unsigned>(sim.time().nanoseconds() / 1'000'000'000));
      ::send(socket.get(), "hello", 5, 0);
      answers.push_back(receive(socket));
    }
  });
  sim.at(10s, [&] { server.kill(); });
  sim.at(20s, [&] { server.crash(); });
  sim.at(30s, [&] { server.restart(); });
  sim.run_for(1min);
  EXPECT_EQ(answers,
            (std::vector<std::string>{"hello", error_text(ECONNREFUSED), error_text(EAGAIN), "hello"}));
}

TEST_F(Datagrams, PartitionLosesThemForEver) {
  std::string late;
  std::string answer;
  server.run([] { echo_datagrams(udp(53)); });
  client.run([&] {
    const Fd socket = connected_udp("10.0.0.1", 53);
    limit(socket, 10);
    ::sleep(1);
    ::send(socket.get(), "lost", 4, 0);
    late = receive(socket);
    ::send(socket.get(), "comes", 5, 0);
    answer = receive(socket);
  });
  sim.partition("server", "client");
  sim.at(5s, [&] { sim.heal(); });
  sim.run_for(1min);
  EXPECT_EQ(late, error_text(EAGAIN));
  EXPECT_EQ(answer, "comes");
}

struct Counts {
  int received = 0;
  int twice = 0;
  int overtaken = 0;
};
Counts send_many(LinkOptions link, std::uint64_t seed) {
  constexpr int kMany = 1000;
  Simulation sim({.seed = seed});
  Counts counts;
  sim.node("server").run([&] {
    const Fd socket = udp(53);
    std::vector<int> seen;
    for (;;) {
      const int number = std::stoi(receive(socket));
      ++counts.received;
      if (std::find(seen.begin(), seen.end(), number) != seen.end()) {
        ++counts.twice;
      } else if (!seen.empty() && number < seen.back()) {
        ++counts.overtaken;
      }
      seen.push_back(number);
    }
  });
  sim.node("client").run([] {
    const Fd socket = connected_udp("10.0.0.1", 53);
    for (int i = 0; i < kMany; ++i) {
      const std::string number = std::to_string(i);
      ASSERT_EQ(::send(socket.get(), number.data(), number.size(), 0), static_cast<ssize_t>(number.size()));
      ::usleep(1000);
    }
  });
  sim.link("server", "client", link);
  sim.run_for(1min);
  return counts;
}

TEST(DatagramLink, LosesDoublesAndReorders) {
  const Counts quiet = send_many({.latency = fixed(1ms)}, 1);
  EXPECT_EQ(quiet.received, 1000);
  EXPECT_EQ(quiet.twice, 0);
  EXPECT_EQ(quiet.overtaken, 0);
  const Counts lossy = send_many({.latency = fixed(1ms), .loss = 0.2}, 1);
  EXPECT_GT(lossy.received, 700);
  EXPECT_LT(lossy.received, 900);
  const Counts doubling = send_many({.latency = fixed(1ms), .duplication = 0.2}, 1);
  EXPECT_GT(doubling.twice, 100);
  EXPECT_LT(doubling.twice, 300);
  EXPECT_EQ(doubling.received, 1000 + doubling.twice);
  const Counts jittery = send_many({.latency = uniform(1ms, 5ms)}, 1);
  EXPECT_EQ(jittery.received, 1000);
  EXPECT_GT(jittery.overtaken, 50);
}

TEST(DatagramLink, NarrowOneDropsWhatDoesNotFit) {
  const Counts counts = send_many({.latency = fixed(1ms), .bandwidth = 3000, .window = 300}, 1);
  EXPECT_GT(counts.received, 80);
  EXPECT_LT(counts.received, 200);
}

TEST_F(Datagrams, ReceiverThatDoesNotReadLosesWhatFindsNoRoom) {
  int received = 0;
  int received_with_little_room = 0;
  server.run([&] {
    const Fd small = udp(54);
    const int room = 10'000;
    ::setsockopt(small.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    const Fd socket = udp(53);
    ::sleep(10);
    while (receive(socket, MSG_DONTWAIT) == std::string(1000, 'x')) ++received;
    while (receive(small, MSG_DONTWAIT) == std::string(1000, 'x')) ++received_with_little_room;
  });
  client.run([] {
    const Fd socket = udp();
    for (int i = 0; i < 1000; ++i) {
      send_to(socket, std::string(1000, 'x'), "10.0.0.1", 53);
      send_to(socket, std::string(1000, 'x'), "10.0.0.1", 54);
    }
  });
  sim.run_for(1min);
  EXPECT_EQ(received, 212'992 / 1768);
  EXPECT_EQ(received_with_little_room, 20'000 / 1768);
}

TEST_F(Datagrams, ConnectedSocketHearsItsPeerOnly) {
  std::vector<std::string> answers;
  server.run([&] {
    const Fd asker = udp(1000);
    const sockaddr_in to = inet("10.0.0.2", 53);
    ASSERT_EQ(::connect(asker.get(), generic(to), sizeof to), 0);
    ::sleep(2);
    answers.push_back(receive(asker, MSG_DONTWAIT));
    answers.push_back(receive(asker, MSG_DONTWAIT));
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    ASSERT_EQ(::connect(asker.get(), &nobody, sizeof nobody), 0);
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    EXPECT_EQ(::getpeername(asker.get(), reinterpret_cast<sockaddr*>(&peer), &length), -1);
    EXPECT_EQ(errno, ENOTCONN);
    EXPECT_EQ(::send(asker.get(), "x", 1, 0), -1);
    EXPECT_EQ(errno, EDESTADDRREQ);
    EXPECT_EQ(::write(asker.get(), "x", 1), -1);
    EXPECT_EQ(errno, EDESTADDRREQ);
    EXPECT_EQ(::shutdown(asker.get(), SHUT_RDWR), -1);
    EXPECT_EQ(errno, ENOTCONN);
    ::sleep(2);
    answers.push_back(receive(asker, MSG_DONTWAIT));
  });
  client.run([] {
    const Fd peer = udp(53);
    const Fd other = udp(54);
    ::sleep(1);
    send_to(other, "forged", "10.0.0.1", 1000);
    send_to(peer, "true", "10.0.0.1", 1000);
    ::sleep(2);
    send_to(other, "welcome now", "10.0.0.1", 1000);
    ::sleep(2);
  });
  sim.run_for(1min);
  EXPECT_EQ(answers, (std::vector<std::string>{"true", error_text(EAGAIN), "welcome now"}));
}

TEST_F(Datagrams, PortsAreTheirOwn) {
  int same = 0;
  bool beside_a_listener = false;
  bool again = false;
  server.run([&] {
    const Fd listener = listen_on(53);
    {
      const Fd first = udp(53);
      beside_a_listener = static_cast<bool>(first);
      same = udp(53) ? 0 : errno;
    }
    again = static_cast<bool>(udp(53));  // at once
  });
  sim.run_for(2s);
  EXPECT_TRUE(beside_a_listener);
  EXPECT_EQ(same, EADDRINUSE);
  EXPECT_TRUE(again);
}

TEST_F(Datagrams, EpollAndTimeLimitsSeeThem) {
  std::string timed_out;
  Duration took;
  std::string got;
  server.run([&] {
    const Fd socket = udp(53, SOCK_NONBLOCK);
    EXPECT_EQ(receive(socket), error_text(EAGAIN));
    const Fd epoll(::epoll_create1(0));
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket.get(), &event), 0);
    while (::epoll_wait(epoll.get(), &event, 1, 5000) == 1) {
      for (std::string one; (one = receive(socket)) != error_text(EAGAIN);) got += one;
    }
    const Fd waiting = udp(54);
    limit(waiting, 3);
    const auto begin = std::chrono::steady_clock::now();
    timed_out = receive(waiting);
    took = std::chrono::steady_clock::now() - begin;
  });
  client.run([] {
    const Fd socket = udp();
    for (const char* const one : {"a", "b", "c"}) {
      ::sleep(1);
      send_to(socket, one, "10.0.0.1", 53);
    }
  });
  sim.run_for(1min);
  EXPECT_EQ(got, "abc");
  EXPECT_EQ(timed_out, error_text(EAGAIN));
  EXPECT_EQ(took, Duration(3s));
}

TEST_F(Datagrams, SocketSaysWhatItIs) {
  int type = 0;
  int protocol = 0;
  std::string own;
  std::string own_connected;
  client.run([&] {
    const Fd socket = udp(1000);
    socklen_t length = sizeof type;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &length);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
    sockaddr_in name{};
    length = sizeof name;
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &length);
    own = text(name);
    const sockaddr_in to = inet("10.0.0.1", 53);
    ::connect(socket.get(), generic(to), sizeof to);
    length = sizeof name;
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &length);
    own_connected = text(name);
    EXPECT_EQ(::listen(socket.get(), 1), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    const int segment = 1000;
    EXPECT_EQ(::setsockopt(socket.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), -1);
    EXPECT_EQ(errno, ENOPROTOOPT);
  });
  sim.run_for(1s);
  EXPECT_EQ(type, SOCK_DGRAM);
  EXPECT_EQ(protocol, IPPROTO_UDP);
  EXPECT_EQ(own, "0.0.0.0:1000");
  EXPECT_EQ(own_connected, "10.0.0.2:1000");
}

TEST_F(Datagrams, BadCallsFailAsOnLinux) {
  client.run([] {
    const Fd socket = udp();
    const auto error_of = [&](const sockaddr_in& to, const void* data = "x", std::size_t length = 1) {
      return ::sendto(socket.get(), data, length, 0, generic(to), sizeof to) < 0 ? errno : 0;
    };
    EXPECT_EQ(error_of(inet("192.0.2.1", 53)), ENETUNREACH);
    EXPECT_EQ(error_of(inet("10.0.0.1", 0)), EINVAL);
    EXPECT_EQ(error_of(inet("10.0.0.1", 53), nullptr, 1), EFAULT);
    sockaddr_in strange = inet("10.0.0.1", 53);
    strange.sin_family = AF_NETLINK;
    EXPECT_EQ(error_of(strange), EINVAL);
    const sockaddr_in to = inet("10.0.0.1", 53);
    EXPECT_EQ(::sendto(socket.get(), "x", 1, 0, generic(to), 4), -1);
    EXPECT_EQ(errno, EINVAL);
    msghdr message{};
    message.msg_iovlen = 1;
    EXPECT_EQ(::sendmsg(socket.get(), &message, 0), -1);
    EXPECT_EQ(errno, EFAULT);
  });
  sim.run_for(1s);
}

TEST_F(Datagrams, DeadProgramLeavesNoSocketOpen) {
  const std::size_t before = open_descriptors().size();
  server.run([] {
    const Fd closed = udp(53);
    ::dup(::socket(AF_INET, SOCK_DGRAM, 0));  // forgotten
    receive(closed);
  });
  sim.run_for(1s);
  server.kill();
  EXPECT_LE(open_descriptors().size(), before);
}

TEST_F(Datagrams, UnixOnesConnectTheProgramsOfAMachine) {
  const sockaddr_un log = at_path("/run/log");
  const sockaddr_un own = at_path("/run/own");
  std::vector<std::string> lines;
  std::string from_path;
  int elsewhere = 0;
  int full = 0;
  server.run([&] {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM, 0));
    ASSERT_EQ(::bind(socket.get(), generic(log), sizeof log), 0);
    ::sleep(2);
    char bytes[64];
    sockaddr_un from{};
    socklen_t length = sizeof from;
    const ssize_t count =
        ::recvfrom(socket.get(), bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &length);
    lines.emplace_back(bytes, static_cast<std::size_t>(count));
    from_path = from.sun_path;
  });
  server.run([&] {
    ::sleep(1);
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM, 0));
    ASSERT_EQ(::bind(socket.get(), generic(own), sizeof own), 0);
    ASSERT_EQ(::connect(socket.get(), generic(log), sizeof log), 0);
    EXPECT_EQ(::send(socket.get(), "a line", 6, 0), 6);
    while (::send(socket.get(), "more", 4, MSG_DONTWAIT) == 4) {
    }
    full = errno;
  });
  client.run([&] {
    ::sleep(1);
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM, 0));
    elsewhere = ::sendto(socket.get(), "x", 1, 0, generic(log), sizeof log) < 0 ? errno : 0;
  });
  sim.run_for(10s);
  EXPECT_EQ(lines, std::vector<std::string>{"a line"});
  EXPECT_EQ(from_path, "/run/own");
  EXPECT_EQ(elsewhere, ENOENT);
  EXPECT_EQ(full, EAGAIN);
}

// ---- IPv6

std::string text(const sockaddr_in6& address) {
  char host[64] = "";
  ::inet_ntop(AF_INET6, &address.sin6_addr, host, sizeof host);
  return host;
}
std::string answer_from(const char* address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(address, std::to_string(port).c_str(), &hints, &list) != 0) return "no address";
  const Fd connection(::socket(list->ai_family, SOCK_STREAM, 0));
  const int result = ::connect(connection.get(), list->ai_addr, list->ai_addrlen);
  const int error = errno;
  ::freeaddrinfo(list);
  std::string line;
  return result != 0 ? error_text(error) : read_line(connection, line) ? line : "no line";
}

TEST_F(Datagrams, ListenerOfBothFamiliesSeesIPv4AsMapped) {
  std::vector<std::string> answers;
  server.run([] {
    const Fd listener = v6_socket(SOCK_STREAM, "::", 7);
    ASSERT_EQ(::listen(listener.get(), 8), 0);
    for (;;) {
      sockaddr_in6 from{};
      socklen_t length = sizeof from;
      const Fd connection(::accept(listener.get(), reinterpret_cast<sockaddr*>(&from), &length));
      EXPECT_EQ(length, sizeof from);
      send_text(connection, text(from) + "\n");
    }
  });
  server.run([] {
    const Fd listener = v6_socket(SOCK_STREAM, "::", 8, true);
    EXPECT_TRUE(listen_on(8));  // beside it
    ASSERT_EQ(::listen(listener.get(), 8), 0);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    send_text(connection, "six\n");
    ::sleep(100);
  });
  client.run([&] {
    ::sleep(1);
    answers = {answer_from("10.0.0.1", 7), answer_from("fd00::1", 7), answer_from("::ffff:10.0.0.1", 7),
               answer_from("10.0.0.1", 8), answer_from("fd00::1", 8), answer_from("fd00::9", 8)};
  });
  server.run([&] {
    ::sleep(10);
    answers.push_back(answer_from("::1", 7));
    answers.push_back(answer_from("127.0.0.1", 7));
  });
  sim.run_for(1min);
  EXPECT_EQ(server.address6(), "fd00::1");
  EXPECT_EQ(answers, (std::vector<std::string>{"::ffff:10.0.0.2", "fd00::2", "::ffff:10.0.0.2",
                                               error_text(ECONNREFUSED), "six", error_text(ENETUNREACH),
                                               "::1", "::ffff:127.0.0.1"}));
}

TEST_F(Datagrams, IPv6DatagramsHaveTheirSenders) {
  std::string from_text;
  std::string answer;
  server.run([&] {
    echo_datagrams(v6_socket(SOCK_DGRAM, "::", 53), [&](const sockaddr_storage& from) {
      from_text += text(reinterpret_cast<const sockaddr_in6&>(from)) + " ";
    });
  });
  client.run([&] {
    const Fd four = udp();
    send_to(four, "four ", "10.0.0.1", 53);
    answer += receive(four);
    const Fd six = v6_socket(SOCK_DGRAM, "::", 0);
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(53);
    ::inet_pton(AF_INET6, "fd00::1", &to.sin6_addr);
    ::sendto(six.get(), "six", 3, 0, generic(to), sizeof to);
    answer += receive(six);
  });
  sim.run_for(1s);
  EXPECT_EQ(from_text, "::ffff:10.0.0.2 fd00::2 ");
  EXPECT_EQ(answer, "four six");
}

TEST_F(Datagrams, NamesHaveAddressesOfBothFamilies) {
  std::vector<std::string> all;
  const auto look_up = [&](const char* name, int family, int flags) {
    addrinfo hints{};
    hints.ai_family = family;
    hints.ai_flags = flags;
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* list = nullptr;
    std::string found;
    if (const int error = ::getaddrinfo(name, "53", &hints, &list); error != 0) {
      all.push_back(::gai_strerror(error));
      return;
    }
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
      char host[64];
      ::getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
      found += std::string(found.empty() ? "" : " ") + host;
    }
    ::freeaddrinfo(list);
    all.push_back(found);
  };
  client.run([&] {
    look_up("server", AF_UNSPEC, 0);
    look_up("server", AF_INET, 0);
    look_up("server", AF_INET6, 0);
    look_up("localhost", AF_UNSPEC, 0);
    client.set_host("server", "10.0.0.1");
    look_up("server", AF_UNSPEC, 0);
    look_up("server", AF_INET6, 0);
    look_up("server", AF_INET6, AI_V4MAPPED);
    client.set_host("server", "fd00::1");
    look_up("server", AF_UNSPEC, 0);
    char host[64] = "";
    if (const hostent* const entry = ::gethostbyname2("server", AF_INET6))
      ::inet_ntop(AF_INET6, entry->h_addr_list[0], host, sizeof host);
    all.push_back(host);
    EXPECT_EQ(::gethostbyname("server"), nullptr);
    EXPECT_EQ(h_errno, NO_DATA);
  });
  sim.run_for(1s);
  EXPECT_EQ(all,
            (std::vector<std::string>{"10.0.0.1 fd00::1", "10.0.0.1", "fd00::1", "127.0.0.1 ::1", "10.0.0.1",
                                      ::gai_strerror(EAI_NODATA), "::ffff:10.0.0.1", "fd00::1", "fd00::1"}));
}

// ---- asyncio's datagrams

TEST_F(Datagrams, AsynciosTransportUsesTheSimulatedNetwork) {
  struct Asker : DatagramProtocol {
    std::string answer;
    std::string from;
    std::string error;
    void datagram_received(std::string_view data, const SocketAddress& address) override {
      answer = data;
      from = address.host();
    }
    void error_received(std::exception_ptr what) override {
      try {
        std::rethrow_exception(what);
      } catch (const std::system_error& thrown) {
        error = error_text(thrown.code().value());
      }
    }
  };
  const auto asker = std::make_shared<Asker>();
  server.run([] { echo_datagrams(udp(53)); });
  client.run([&] {
    const auto make = [&] { return asker; };
    for (const int port : {53, 54}) {
      const auto made = await(get_running_loop().create_datagram_endpoint(
          make, {.remote_addr = std::pair<std::string, int>("10.0.0.1", port)}));
      made.first.sendto("asyncio");
      await(sleep(1s));
      made.first.close();
    }
  });
  sim.run_for(10s);
  EXPECT_EQ(asker->answer, "asyncio");
  EXPECT_EQ(asker->from, "10.0.0.1");
  EXPECT_EQ(asker->error, error_text(ECONNREFUSED));
}

}  // namespace
}  // namespace aiofiber::testing::test
