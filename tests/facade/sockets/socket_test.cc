// SPDX-License-Identifier: Apache-2.0
//
// SocketAddress and Socket: addresses in and out of text, and who closes a descriptor, and when.
#include "aiofiber/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "aiofiber/asyncio.h"
#include "support/errors.h"

namespace aiofiber {
namespace {

using namespace std::string_literals;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(SocketAddress, ReadsNumericHosts) {
  const SocketAddress ipv4("127.0.0.1", 80);
  EXPECT_EQ(ipv4.family(), AF_INET);
  EXPECT_EQ(ipv4.host(), "127.0.0.1");
  EXPECT_EQ(ipv4.port(), 80);
  const SocketAddress ipv6("::1", 65535);
  EXPECT_EQ(ipv6.family(), AF_INET6);
  EXPECT_EQ(ipv6.host(), "::1");
  EXPECT_EQ(ipv6.port(), 65535);
}

TEST(SocketAddress, ShowsItselfAsPythonDoes) {
  EXPECT_EQ(repr(SocketAddress("127.0.0.1", 80)), "('127.0.0.1', 80)");
  EXPECT_EQ(repr(SocketAddress("::1", 80)), "('::1', 80, 0, 0)");
  EXPECT_EQ(repr(SocketAddress::unix_path("/run/x.sock")), "'/run/x.sock'");
  EXPECT_EQ(repr(SocketAddress()), "None");
}

TEST(SocketAddress, TakesTheInterfaceOfALinkLocalAddress) {
  const SocketAddress by_name("fe80::1%lo", 1);
  EXPECT_EQ(by_name.host(), "fe80::1%lo");
  EXPECT_EQ(by_name, SocketAddress("fe80::1%1", 1));
  EXPECT_THROW(SocketAddress("fe80::1%no-such-interface", 1), ValueError);
  EXPECT_THROW(SocketAddress("fe80::1%", 1), ValueError);
}

TEST(SocketAddress, RefusesWhatIsNoAddress) {
  for (const std::string& host : {"localhost"s, ""s, "127.0.0.1.5"s, "127.0.0.1\0x"s, "::1\0"s, "1%lo"s})
    EXPECT_THROW(SocketAddress(host, 1), ValueError) << host;
  EXPECT_THROW(SocketAddress("127.0.0.1", -1), ValueError);
  EXPECT_THROW(SocketAddress("127.0.0.1", 65536), ValueError);
}

TEST(SocketAddress, KeepsPathsUpToTheKernelsLimit) {
  const std::string longest(107, 'x');
  EXPECT_EQ(SocketAddress::unix_path(longest).path(), longest);
  EXPECT_THROW(SocketAddress::unix_path(longest + "x"), ValueError);
  EXPECT_THROW(SocketAddress::unix_path(""), ValueError);
  EXPECT_THROW(SocketAddress::unix_path("a\0b"s), ValueError);
  const std::string abstract = "\0name\0with"s;
  EXPECT_EQ(SocketAddress::unix_path(abstract).path(), abstract);
}

TEST(SocketAddress, ReadsAnAddressOfAnyLength) {
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  std::memset(reinterpret_cast<char*>(&storage) + sizeof(sa_family_t), 'x', sizeof(sockaddr_un) - 2);
  const auto* const address = reinterpret_cast<const sockaddr*>(&storage);
  EXPECT_EQ(SocketAddress(address, sizeof storage).path().size(), sizeof sockaddr_un::sun_path);
  EXPECT_EQ(SocketAddress(address, sizeof(sa_family_t)).path(), "");
  EXPECT_EQ(SocketAddress(static_cast<const sockaddr*>(nullptr), 0), SocketAddress());
  EXPECT_THROW(SocketAddress(address, sizeof storage + 1), ValueError);
}

TEST(Socket, IsClosedWithItsLastHandle) {
  int fd = -1;
  {
    Socket socket(AF_INET, SOCK_STREAM);
    fd = socket.fd();
    const Socket second = socket;
    socket = Socket();
    EXPECT_TRUE(is_open(fd));
    EXPECT_EQ(second.fd(), fd);
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(Socket, IsClosedForAllHandlesAtOnce) {
  const Socket socket(AF_INET, SOCK_STREAM);
  const Socket second = socket;
  socket.close();
  socket.close();
  EXPECT_FALSE(second.is_open());
  EXPECT_EQ(second.fd(), -1);
  EXPECT_EQ(errno_of([&] { static_cast<void>(second.getsockname()); }), EBADF);
  EXPECT_EQ(errno_of([&] { second.set_option(SOL_SOCKET, SO_REUSEADDR, 1); }), EBADF);
  EXPECT_EQ(repr(second), "<socket closed>");
}

TEST(Socket, NeverBlocksAndIsNotInherited) {
  const int fds = ::socket(AF_INET, SOCK_STREAM, 0);
  for (const Socket& socket : {Socket(fds), Socket(AF_INET, SOCK_STREAM), socketpair().first}) {
    EXPECT_NE(::fcntl(socket.fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(socket.fd(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(Socket, LeavesADescriptorThatItCannotTakeOverToTheCaller) {
  EXPECT_EQ(errno_of([] { Socket bad(-1); }), EBADF);
  EXPECT_EQ(errno_of([] { Socket bad(-1, SOCK_STREAM); }), EAFNOSUPPORT);
}

TEST(Socket, GivesItsDescriptorAway) {
  const Socket socket(AF_INET, SOCK_STREAM);
  const int fd = socket.detach();
  EXPECT_FALSE(socket.is_open());
  EXPECT_EQ(socket.detach(), -1);
  EXPECT_TRUE(is_open(fd));
  ::close(fd);
}

TEST(Socket, TellsItsAddressAndOptions) {
  const Socket socket(AF_INET, SOCK_STREAM);
  const SocketAddress any("127.0.0.1", 0);
  ASSERT_EQ(::bind(socket.fd(), any.data(), any.size()), 0);
  EXPECT_GT(socket.port(), 0);
  EXPECT_EQ(socket.getpeername(), SocketAddress());
  EXPECT_EQ(socket.family(), AF_INET);
  EXPECT_EQ(socket.type(), SOCK_STREAM);
  socket.set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
  EXPECT_EQ(socket.get_option(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(errno_of([&] { socket.set_option(SOL_SOCKET, 9999, 1); }), ENOPROTOOPT);
  EXPECT_EQ(repr(socket), "<socket fd=" + std::to_string(socket.fd()) +
                              ", family=2, type=1, laddr=('127.0.0.1', " + std::to_string(socket.port()) +
                              ")>");
}

TEST(Socket, OfNothingIsNotOpen) {
  const Socket nothing;
  EXPECT_FALSE(nothing.is_open());
  nothing.close();
  EXPECT_EQ(nothing.detach(), -1);
  EXPECT_EQ(errno_of([&] { static_cast<void>(nothing.port()); }), EBADF);
  EXPECT_EQ(nothing, Socket());
}

}  // namespace
}  // namespace aiofiber
