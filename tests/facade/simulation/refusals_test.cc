// SPDX-License-Identifier: Apache-2.0
//
// Nothing is ignored in silence: what a simulated socket cannot do fails, and the trace says so. What it
// seems to share with the socket pair below it is done as on the network that it stands for.
//
// Labels: long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"
#include "facade/simulation/datagram_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

// A program on one machine runs the test.
struct SimulatedSocket : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node node = sim.node("node");

  template <class Fn>
  void on_node(Fn fn) {
    bool done = false;
    node.run([&] {
      fn();
      done = true;
    });
    sim.run_for(1min);
    EXPECT_TRUE(done) << "it still waits";
  }
  bool trace_says(const char* what) const { return sim.trace().find(what) != std::string::npos; }
};

// 0, or the errno.
template <class Result>
int error_of(Result result) {
  return result < 0 ? errno : 0;
}

struct Ends {
  Fd client;
  Fd server;
};
Ends tcp_ends() {
  const Fd listener = listen_on(7);
  Fd client = connect_to("node", 7);
  return {std::move(client), Fd(::accept(listener.get(), nullptr, nullptr))};
}
Ends unix_ends() {
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  const sockaddr_un own = at_path("/run/ends");
  EXPECT_EQ(::bind(listener.get(), generic(own), sizeof own), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  Fd client(::socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_TRUE(connect_to_path(client, "/run/ends"));
  return {std::move(client), Fd(::accept(listener.get(), nullptr, nullptr))};
}
// Both connected, at 127.0.0.1.
Ends udp_ends() {
  Ends made{udp(1000), udp(1001)};
  const sockaddr_in to_server = inet("127.0.0.1", 1001);
  const sockaddr_in to_client = inet("127.0.0.1", 1000);
  EXPECT_EQ(::connect(made.client.get(), generic(to_server), sizeof to_server), 0);
  EXPECT_EQ(::connect(made.server.get(), generic(to_client), sizeof to_client), 0);
  return made;
}
Ends unix_datagram_ends() {
  Ends made{unix_datagrams(), unix_datagrams("/run/server")};
  EXPECT_TRUE(connect_to_path(made.client, "/run/server"));
  return made;
}

// One byte, with a descriptor beside it.
struct Parcel {
  char byte = 'x';
  iovec piece{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  mmsghdr message{};

  explicit Parcel(int fd) {
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = 1;
    message.msg_hdr.msg_control = control;
    message.msg_hdr.msg_controllen = sizeof control;
    cmsghdr* const part = CMSG_FIRSTHDR(&message.msg_hdr);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
  }
};

// ---- ancillary data

TEST_F(SimulatedSocket, RefusesToSendADescriptor) {
  on_node([] {
    const Fd sent = udp();
    for (Ends (*const make)() : {tcp_ends, unix_ends, udp_ends, unix_datagram_ends}) {
      const Ends ends = make();
      Parcel parcel(sent.get());
      EXPECT_EQ(error_of(::sendmsg(ends.client.get(), &parcel.message.msg_hdr, 0)), EOPNOTSUPP);
      EXPECT_EQ(error_of(::sendmsg(ends.client.get(), &parcel.message.msg_hdr, MSG_DONTWAIT)), EOPNOTSUPP);
      EXPECT_EQ(error_of(::sendmmsg(ends.client.get(), &parcel.message, 1, MSG_DONTWAIT)), EOPNOTSUPP);
      EXPECT_EQ(error_of(::sendmmsg(ends.client.get(), &parcel.message, 1, 0)), EOPNOTSUPP);
      EXPECT_EQ(::send(ends.client.get(), "bytes", 5, 0), 5);
      EXPECT_EQ(receive(ends.server), "bytes");
    }
  });
  EXPECT_TRUE(trace_says("sends ancillary data or with flags that are not simulated"));
}

TEST_F(SimulatedSocket, ReceiverFindsNoAncillaryData) {
  on_node([] {
    for (Ends (*const make)() : {tcp_ends, unix_ends, udp_ends, unix_datagram_ends}) {
      const Ends ends = make();
      EXPECT_EQ(::send(ends.client.get(), "b", 1, 0), 1);
      Parcel parcel(0);
      EXPECT_EQ(::recvmsg(ends.server.get(), &parcel.message.msg_hdr, 0), 1);
      EXPECT_EQ(parcel.message.msg_hdr.msg_controllen, 0u);
      EXPECT_EQ(parcel.message.msg_hdr.msg_flags & MSG_CTRUNC, 0);
    }
  });
}

// A pair of the program's own is the kernel's.
TEST_F(SimulatedSocket, SocketPairPassesADescriptor) {
  on_node([] {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const Fd first(ends[0]);
    const Fd second(ends[1]);
    Parcel sent(first.get());
    EXPECT_EQ(::sendmsg(first.get(), &sent.message.msg_hdr, 0), 1);
    Parcel got(-1);
    EXPECT_EQ(::recvmsg(second.get(), &got.message.msg_hdr, 0), 1);
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&got.message.msg_hdr)), sizeof fd);
    EXPECT_GE(fd, 0);
    ::close(fd);
  });
}

// ---- flags

TEST_F(SimulatedSocket, RefusesFlagsThatWouldChangeWhatIsSent) {
  on_node([] {
    for (Ends (*const make)() : {tcp_ends, unix_ends, udp_ends, unix_datagram_ends}) {
      const Ends ends = make();
      EXPECT_EQ(error_of(::send(ends.client.get(), "x", 1, MSG_OOB)), EOPNOTSUPP);
      EXPECT_EQ(error_of(::send(ends.client.get(), "x", 1, MSG_OOB | MSG_DONTWAIT)), EOPNOTSUPP);
      EXPECT_EQ(receive(ends.server, MSG_DONTWAIT), error_text(EAGAIN));
    }
    const Ends datagrams = udp_ends();
    EXPECT_EQ(error_of(::send(datagrams.client.get(), "x", 1, MSG_MORE)), EOPNOTSUPP);
    const Fd early(::socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in to = inet("10.0.0.1", 7);
    EXPECT_EQ(error_of(::sendto(early.get(), "x", 1, MSG_FASTOPEN, generic(to), sizeof to)), EOPNOTSUPP);
    const Ends stream = tcp_ends();
    EXPECT_EQ(::send(stream.client.get(), "more", 4, MSG_MORE | MSG_NOSIGNAL), 4);
    EXPECT_EQ(receive(stream.server), "more");
  });
}

TEST_F(SimulatedSocket, FlagsOfAReceiverDoAsOnLinuxOrFail) {
  on_node([] {
    const Ends ends = tcp_ends();
    EXPECT_EQ(::send(ends.client.get(), "bytes", 5, 0), 5);
    EXPECT_EQ(receive(ends.server, MSG_PEEK), "bytes");
    EXPECT_EQ(receive(ends.server, MSG_OOB), error_text(EINVAL));
    EXPECT_EQ(receive(ends.server, MSG_ERRQUEUE), error_text(EAGAIN));
    EXPECT_EQ(receive(ends.server, MSG_TRUNC), error_text(EOPNOTSUPP));
    char buffer[5];
    EXPECT_EQ(::recv(ends.server.get(), buffer, 5, MSG_WAITALL), 5);
    EXPECT_EQ(receive(ends.server, MSG_DONTWAIT), error_text(EAGAIN));
    const Ends datagrams = udp_ends();
    EXPECT_EQ(::send(datagrams.client.get(), "bytes", 5, 0), 5);
    ::usleep(1000);
    EXPECT_EQ(receive(datagrams.server, MSG_OOB), error_text(EOPNOTSUPP));
    EXPECT_EQ(receive(datagrams.server, MSG_ERRQUEUE), error_text(EAGAIN));
    EXPECT_EQ(::recv(datagrams.server.get(), buffer, 2, MSG_TRUNC), 5);
  });
  EXPECT_TRUE(trace_says("receives with flags that are not simulated"));
}

// ---- options

int set(const Fd& fd, int level, int option, int value = 1) {
  return error_of(::setsockopt(fd.get(), level, option, &value, sizeof value));
}
// The value, or minus the errno.
int get(const Fd& fd, int level, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd.get(), level, option, &value, &length) == 0 ? value : -errno;
}

TEST_F(SimulatedSocket, RefusesOptionsThatWouldBeIgnored) {
  on_node([] {
    const Fd tcp(::socket(AF_INET, SOCK_STREAM, 0));
    const Fd datagrams = udp();
    const Fd path = unix_datagrams();
    for (const int option : {SO_REUSEPORT, SO_TIMESTAMP, SO_TIMESTAMPING, SO_RXQ_OVFL, SO_BINDTODEVICE,
                             SO_ZEROCOPY, SO_RCVLOWAT, SO_MAX_PACING_RATE, SO_TXTIME, SO_ATTACH_FILTER}) {
      for (const Fd* const fd : {&tcp, &datagrams, &path})
        EXPECT_EQ(set(*fd, SOL_SOCKET, option), ENOPROTOOPT);
    }
    EXPECT_EQ(set(tcp, SOL_SOCKET, SO_PASSCRED), ENOPROTOOPT);
    EXPECT_EQ(get(tcp, SOL_SOCKET, SO_PEERCRED), -ENOPROTOOPT);
    for (const int option : {TCP_MD5SIG, TCP_ULP, TCP_REPAIR, TCP_INQ, TCP_CONGESTION})
      EXPECT_EQ(set(tcp, IPPROTO_TCP, option), ENOPROTOOPT);
    EXPECT_EQ(get(tcp, IPPROTO_TCP, TCP_INFO), -ENOPROTOOPT);
    for (const int option :
         {IP_RECVERR, IP_PKTINFO, IP_RECVTTL, IP_ADD_MEMBERSHIP, IP_TRANSPARENT, IP_FREEBIND})
      EXPECT_EQ(set(datagrams, IPPROTO_IP, option), ENOPROTOOPT);
    EXPECT_EQ(set(datagrams, SOL_UDP, UDP_CORK), ENOPROTOOPT);
    EXPECT_EQ(set(datagrams, IPPROTO_TCP, TCP_NODELAY), ENOPROTOOPT);
    EXPECT_EQ(set(datagrams, IPPROTO_IPV6, IPV6_V6ONLY), ENOPROTOOPT);
    EXPECT_EQ(set(path, IPPROTO_TCP, TCP_NODELAY), EOPNOTSUPP);
    EXPECT_EQ(get(path, IPPROTO_IP, IP_TTL), -EOPNOTSUPP);
  });
  EXPECT_TRUE(trace_says("sets an option that is not simulated: level 1 option 15"));
}

TEST_F(SimulatedSocket, HintsAreStoredAndBeginAsOnLinux) {
  on_node([] {
    const Fd tcp(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(get(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 7200);
    EXPECT_EQ(get(tcp, IPPROTO_TCP, TCP_SYNCNT), 6);
    EXPECT_EQ(get(tcp, IPPROTO_IP, IP_TTL), 64);
    EXPECT_EQ(set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 30), 0);
    EXPECT_EQ(get(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    const unsigned char ttl = 9;
    EXPECT_EQ(::setsockopt(tcp.get(), IPPROTO_IP, IP_TTL, &ttl, 1), 0);
    EXPECT_EQ(get(tcp, IPPROTO_IP, IP_TTL), 9);
    EXPECT_EQ(error_of(::setsockopt(tcp.get(), IPPROTO_TCP, TCP_NODELAY, &ttl, 1)), EINVAL);
    EXPECT_EQ(set(tcp, SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(get(tcp, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(set(unix_datagrams(), SOL_SOCKET, SO_PASSCRED), 0);
  });
}

TEST_F(SimulatedSocket, CloseWithALingerOfZeroResets) {
  on_node([] {
    Ends ends = tcp_ends();
    {
      const Fd closing(std::move(ends.server));
      const linger none{1, 0};
      EXPECT_EQ(::setsockopt(closing.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
      EXPECT_EQ(::send(closing.get(), "never read", 10, 0), 10);
    }
    EXPECT_EQ(receive(ends.client), error_text(ECONNRESET));
  });
}

// ---- ioctl

TEST_F(SimulatedSocket, AnswersIoctlsForItsOwnKind) {
  on_node([] {
    int number = -1;
    const Ends datagrams = udp_ends();
    EXPECT_EQ(::ioctl(datagrams.server.get(), FIONREAD, &number), 0);
    EXPECT_EQ(number, 0);
    ::send(datagrams.client.get(), "three", 5, 0);
    ::send(datagrams.client.get(), "two", 3, 0);
    ::usleep(1000);
    EXPECT_EQ(::ioctl(datagrams.server.get(), FIONREAD, &number), 0);
    EXPECT_EQ(number, 5);  // of the first one
    const Ends ends = tcp_ends();
    ::send(ends.client.get(), "three", 5, 0);
    EXPECT_EQ(::ioctl(ends.client.get(), TIOCOUTQ, &number), 0);
    EXPECT_EQ(number, 5);
    ::usleep(1000);
    EXPECT_EQ(::ioctl(ends.client.get(), TIOCOUTQ, &number), 0);
    EXPECT_EQ(number, 0);
    EXPECT_EQ(::ioctl(ends.server.get(), FIONREAD, &number), 0);
    EXPECT_EQ(number, 5);
    EXPECT_EQ(error_of(::ioctl(listen_on(8).get(), FIONREAD, &number)), EINVAL);
    constexpr unsigned long kInterfaces = 0x8912;  // SIOCGIFCONF
    char many[1024] = {};
    EXPECT_EQ(error_of(::ioctl(ends.client.get(), kInterfaces, many)), EOPNOTSUPP);
    const int yes = 1;
    EXPECT_EQ(::ioctl(ends.client.get(), FIONBIO, &yes), 0);
    EXPECT_EQ(receive(ends.client), error_text(EAGAIN));
  });
}

// ---- shutdown

int shut(const Fd& fd, int how) { return error_of(::shutdown(fd.get(), how)); }
int sent(const Fd& fd) { return error_of(::send(fd.get(), "x", 1, MSG_NOSIGNAL)); }

TEST_F(SimulatedSocket, PeerOfATcpSocketThatReadsNoMoreGoesOn) {
  on_node([] {
    const Ends ends = tcp_ends();
    EXPECT_EQ(shut(ends.server, SHUT_RD), 0);
    EXPECT_EQ(receive(ends.server), "");
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(sent(ends.client), 0);
      ::sleep(1);
    }
    EXPECT_EQ(::send(ends.server.get(), "still", 5, 0), 5);
    EXPECT_EQ(receive(ends.client), "still");
  });
}

TEST_F(SimulatedSocket, PeerOfAUnixSocketThatReadsNoMoreHearsOfItAtItsWrite) {
  on_node([] {
    const Ends ends = unix_ends();
    EXPECT_EQ(shut(ends.server, SHUT_RD), 0);
    EXPECT_EQ(sent(ends.client), EPIPE);
    EXPECT_EQ(::send(ends.server.get(), "still", 5, 0), 5);
    EXPECT_EQ(receive(ends.client), "still");
    ::sleep(1);
    EXPECT_EQ(sent(ends.client), EPIPE);
  });
}

TEST_F(SimulatedSocket, SocketsWithoutAPeerAreNotShutDown) {
  on_node([] {
    EXPECT_EQ(shut(Fd(::socket(AF_INET, SOCK_STREAM, 0)), SHUT_RDWR), ENOTCONN);
    EXPECT_EQ(shut(udp(), SHUT_RD), ENOTCONN);
    EXPECT_EQ(shut(tcp_ends().client, 3), EINVAL);
  });
}

TEST_F(SimulatedSocket, ListenerThatIsShutDownListensNoMore) {
  on_node([] {
    const Fd listener = listen_on(8);
    EXPECT_EQ(shut(listener, SHUT_WR), 0);
    EXPECT_TRUE(connect_to("node", 8));
    EXPECT_EQ(shut(listener, SHUT_RD), 0);
    const Fd refused = connect_to("node", 8);
    EXPECT_EQ(errno, ECONNREFUSED);
    EXPECT_FALSE(refused);
  });
}

TEST_F(SimulatedSocket, DatagramSocketThatIsShutDownKeepsItsPort) {
  on_node([] {
    const Ends ends = udp_ends();
    EXPECT_EQ(shut(ends.server, SHUT_RDWR), 0);
    EXPECT_EQ(receive(ends.server), "");
    EXPECT_EQ(sent(ends.server), EPIPE);
    EXPECT_EQ(sent(ends.client), 0);
    ::sleep(1);
    EXPECT_EQ(sent(ends.client), 0);  // nobody has said that the port is closed
    EXPECT_FALSE(udp(1001));
  });
}

TEST_F(SimulatedSocket, SenderOfUnixDatagramsHearsThatNobodyReads) {
  on_node([] {
    const Ends ends = unix_datagram_ends();
    EXPECT_EQ(shut(ends.server, SHUT_RD), 0);
    EXPECT_EQ(sent(ends.client), EPIPE);
    EXPECT_EQ(shut(ends.client, SHUT_WR), 0);
    EXPECT_EQ(sent(ends.client), EPIPE);
  });
}

// ---- before a connection

TEST_F(SimulatedSocket, UnconnectedStreamMovesNothing) {
  on_node([] {
    const Fd tcp(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(sent(tcp), EPIPE);
    EXPECT_EQ(receive(tcp), error_text(ENOTCONN));
    EXPECT_EQ(error_of(::write(tcp.get(), "x", 1)), EPIPE);
    char byte;
    EXPECT_EQ(error_of(::read(tcp.get(), &byte, 1)), ENOTCONN);
    const Fd path(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(sent(path), ENOTCONN);
    EXPECT_EQ(receive(path), error_text(EINVAL));
  });
}

TEST_F(SimulatedSocket, EarlySendWaitsForTheConnectionOrFails) {
  on_node([] {
    const Fd listener = listen_on(7);
    const Fd early(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    EXPECT_EQ(sent(early), EPIPE);
    const sockaddr_in to = inet("10.0.0.1", 7);
    EXPECT_EQ(error_of(::connect(early.get(), generic(to), sizeof to)), EINPROGRESS);
    EXPECT_EQ(sent(early), EAGAIN);
    EXPECT_EQ(::fcntl(early.get(), F_SETFL, O_RDWR), 0);
    EXPECT_EQ(::send(early.get(), "first", 5, 0), 5);
    const Fd server(::accept(listener.get(), nullptr, nullptr));
    EXPECT_EQ(receive(server), "first");
  });
}

// ---- messages of nothing

TEST_F(SimulatedSocket, WriteOfNothingIsAnEmptyDatagramAndNothingToAStream) {
  on_node([] {
    const Ends datagrams = udp_ends();
    const Ends unix_ones = unix_datagram_ends();
    iovec nothing{nullptr, 0};
    for (const Ends* const ends : {&datagrams, &unix_ones}) {
      EXPECT_EQ(::write(ends->client.get(), "", 0), 0);
      EXPECT_EQ(::send(ends->client.get(), "", 0, 0), 0);
      EXPECT_EQ(::writev(ends->client.get(), &nothing, 1), 0);  // not even to the socket
      ::usleep(1000);                                           // datagrams of one moment overtake each other
      EXPECT_EQ(::write(ends->client.get(), "end", 3), 3);
      EXPECT_EQ(receive(ends->server), "");
      EXPECT_EQ(receive(ends->server), "");
      EXPECT_EQ(receive(ends->server), "end");
    }
    const Ends stream = tcp_ends();
    EXPECT_EQ(::write(stream.client.get(), "", 0), 0);
    EXPECT_EQ(::send(stream.client.get(), "", 0, 0), 0);
    EXPECT_EQ(::write(stream.client.get(), "end", 3), 3);
    EXPECT_EQ(receive(stream.server), "end");
    const Fd file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    errno = 0;
    EXPECT_EQ(::write(file.get(), "", 0), 0);
    EXPECT_EQ(errno, 0);
  });
}

TEST_F(SimulatedSocket, KindsThatAreNotThereAreRefused) {
  on_node([] {
    EXPECT_EQ(error_of(::socket(AF_UNIX, SOCK_SEQPACKET, 0)), EPROTONOSUPPORT);
    EXPECT_EQ(error_of(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), EPROTONOSUPPORT);
    EXPECT_EQ(error_of(::socket(AF_NETLINK, SOCK_RAW, 0)), EAFNOSUPPORT);
  });
  EXPECT_TRUE(trace_says("asks for a socket that is not simulated"));
}

}  // namespace
}  // namespace aiofiber::testing::test
