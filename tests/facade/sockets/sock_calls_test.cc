// SPDX-License-Identifier: Apache-2.0
//
// The loop's calls on sockets: data through them, in tasks with and without a stack, and each way in which
// they fail or are cut short.
// Labels: clang long
#include "aiofiber/sock_calls.h"

#include <fcntl.h>
// Pairs have names: clang 14 does not capture structured bindings.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/inspect/registry_abi.h"
#include "aiofiber/testing.h"
#include "support/test_file.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using testing::wait_all_tasks_blocked;

template <class F>
std::error_code error_of(F fn) {
  try {
    fn();
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}
const auto is = [](int error) { return std::error_code(error, std::generic_category()); };

Socket listening(const SocketAddress& address = SocketAddress("127.0.0.1", 0)) {
  Socket socket(address.family(), SOCK_STREAM);
  if (::bind(socket.fd(), address.data(), address.size()) != 0 || ::listen(socket.fd(), 8) != 0)
    throw std::system_error(errno, std::generic_category());
  return socket;
}
Socket bound(const std::string& host = "127.0.0.1") {
  Socket socket(AF_INET, SOCK_DGRAM);
  const SocketAddress address(host, 0);
  if (::bind(socket.fd(), address.data(), address.size()) != 0)
    throw std::system_error(errno, std::generic_category());
  return socket;
}

// A test body that gets the running loop.
template <class Body>
void in_loop(Body body) {
  run([&] { body(get_running_loop()); });
}

TEST(SockCalls, SendAndReceiveOnAStack) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    await(loop.sock_sendall(a.fd(), "hello"));
    EXPECT_EQ(await(loop.sock_recv(b.fd(), 3)), "hel");
    EXPECT_EQ(await(loop.sock_recv(b.fd(), 100)), "lo");
    a.close();
    EXPECT_EQ(await(loop.sock_recv(b.fd(), 100)), "");
  });
}

TEST(SockCalls, SendAndReceiveWithoutAStack) {
  run([]() -> Coro<> {
    EventLoop& loop = get_running_loop();
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    auto reader = create_task(loop.sock_recv(b.fd(), 100));
    co_await sleep(0s);
    EXPECT_FALSE(reader.done());
    co_await loop.sock_sendall(a.fd(), "hello");
    EXPECT_EQ(co_await reader, "hello");
    std::array<char, 4> buffer{};
    co_await loop.sock_sendall(a.fd(), "abcdef");
    EXPECT_EQ(co_await loop.sock_recv_into(b.fd(), buffer), 4u);
    EXPECT_EQ(std::string(buffer.data(), 4), "abcd");
    EXPECT_EQ(co_await loop.sock_recv_into(b.fd(), buffer), 2u);
  }());
}

// The other side reads slowly, so both wait many times.
TEST(SockCalls, SendMoreThanTheSocketHolds) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    std::string sent(3'000'000, '\0');
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 + i / 251);
    auto sender = create_task([&]() -> Coro<> {
      co_await loop.sock_sendall(a.fd(), std::span<const char>(sent));
      a.close();
    });
    std::string got;
    for (;;) {
      const std::string piece = await(loop.sock_recv(b.fd(), 50'000));
      if (piece.empty()) break;
      got += piece;
    }
    EXPECT_TRUE(got == sent);
    await(sender);
  });
}

TEST(SockCalls, ReceiveAtMostAMebibyteAtOnce) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    await(loop.sock_sendall(a.fd(), "x"));
    EXPECT_EQ(await(loop.sock_recv(b.fd(), std::size_t(-1))), "x");
  });
}

TEST(SockCalls, ReceiveNothingOfTheSizeNothing) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    await(loop.sock_sendall(a.fd(), "x"));
    EXPECT_EQ(await(loop.sock_recv(b.fd(), 0)), "");
    EXPECT_EQ(await(loop.sock_recv_into(b.fd(), {})), 0u);
    await(loop.sock_sendall(a.fd(), ""));
    EXPECT_EQ(await(loop.sock_recv(b.fd(), 5)), "x");
  });
}

TEST(SockCalls, ReadAndWriteOneDescriptorAtTheSameTime) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    const std::string much(1'000'000, 'x');
    auto writer = create_task([&] { await(loop.sock_sendall(a.fd(), much)); });
    auto reader = create_task([&] { return await(loop.sock_recv(a.fd(), 10)); });
    wait_all_tasks_blocked();
    EXPECT_FALSE(writer.done() || reader.done());
    await(loop.sock_sendall(b.fd(), "answer"));
    EXPECT_EQ(await(reader), "answer");
    EXPECT_FALSE(writer.done());
    std::size_t got = 0;
    while (got < much.size()) got += await(loop.sock_recv(b.fd(), 100'000)).size();
    await(writer);
  });
}

TEST(SockCalls, WakeEveryReaderOfADescriptor) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    std::vector<Task<std::string>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(create_task(loop.sock_recv(b.fd(), 1)));
    wait_all_tasks_blocked();
    await(loop.sock_sendall(a.fd(), "x"));
    auto first = await(wait(readers, {.return_when = FIRST_COMPLETED}));
    EXPECT_EQ(first.done.size(), 1u);
    await(loop.sock_sendall(a.fd(), "yz"));
    await(wait(readers));
    std::string all;
    for (const auto& reader : readers) all += reader.result();
    EXPECT_EQ(all, "xyz");
  });
}

TEST(SockCalls, LeaveNoWatcherBehindWhenCancelled) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    const int fd = b.fd();
    auto on_stack = create_task([&loop, fd] { return await(loop.sock_recv(fd, 1)); });
    auto without = create_task(loop.sock_recv(fd, 1));
    wait_all_tasks_blocked();
    EXPECT_TRUE(loop.core().scheduler().reactor().has_fd_waiters());
    on_stack.cancel();
    without.cancel();
    await(wait(std::vector<Task<std::string>>{on_stack, without}));
    EXPECT_TRUE(on_stack.cancelled() && without.cancelled());
    EXPECT_FALSE(loop.core().scheduler().reactor().has_fd_waiters());
    await(loop.sock_sendall(a.fd(), "kept"));
    EXPECT_EQ(await(loop.sock_recv(fd, 10)), "kept");
  });
}

TEST(SockCalls, EndWithTheTimeLimitAroundThem) {
  in_loop([](EventLoop& loop) {
    auto pair = socketpair();
    EXPECT_THROW(await(wait_for(loop.sock_recv(pair.second.fd(), 1), 1ms)), TimeoutError);
    EXPECT_THROW(await(timeout(1ms, [&] { await(loop.sock_recv(pair.second.fd(), 1)); })), TimeoutError);
  });
}

TEST(SockCalls, FailWhenTheSocketIsClosedMeanwhile) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket& b = pair.second;
    auto on_stack = create_task([&loop, fd = b.fd()] { return await(loop.sock_recv(fd, 1)); });
    auto without = create_task(loop.sock_recv(b.fd(), 1));
    wait_all_tasks_blocked();
    b.close();
    EXPECT_EQ(error_of([&] { await(on_stack); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(without); }), is(EBADF));
  });
}

#ifdef AIOFIBER_CLOSE_IS_HOOKED
TEST(SockCalls, FailWhenLibcClosesTheDescriptorMeanwhile) {
  in_loop([](EventLoop& loop) {
    auto pair = socketpair();
    auto reader = create_task(loop.sock_recv(pair.second.fd(), 1));
    wait_all_tasks_blocked();
    ::close(pair.second.detach());
    EXPECT_EQ(error_of([&] { await(reader); }), is(EBADF));
  });
}
#endif

TEST(SockCalls, FailOnADescriptorThatIsNone) {
  in_loop([](EventLoop& loop) {
    const SocketAddress address("127.0.0.1", 1);
    std::array<char, 1> buffer{};
    EXPECT_EQ(error_of([&] { await(loop.sock_recv(-1, 1)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_recv_into(-1, buffer)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_recvfrom(-1, 1)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_recvfrom_into(-1, buffer)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_sendall(-1, "x")); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_sendto(-1, "x", address)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_connect(-1, address)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_connect(-1, "127.0.0.1", 1)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_accept(-1)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_sendfile(-1, 0)); }), is(EBADF));
    EXPECT_EQ(error_of([&] { await(loop.sock_recv(0x7fffffff, 1)); }), is(EBADF));
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    EXPECT_EQ(error_of([&] { await(loop.sock_recv(ends[0], 1)); }), is(ENOTSOCK));
    ::close(ends[0]);
    ::close(ends[1]);
  });
}

TEST(SockCalls, FailWhenTheOtherSideIsGone) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    b.close();
    EXPECT_EQ(error_of([&] { await(loop.sock_sendall(a.fd(), "x")); }), is(EPIPE));
    const Socket server = listening();
    Socket client(AF_INET, SOCK_STREAM);
    await(loop.sock_connect(client.fd(), server.getsockname()));
    auto [connection, address] = await(loop.sock_accept(server.fd()));
    const linger at_once{1, 0};
    ::setsockopt(connection.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    auto reader = create_task(loop.sock_recv(client.fd(), 1));
    wait_all_tasks_blocked();
    connection.close();
    EXPECT_EQ(error_of([&] { await(reader); }), is(ECONNRESET));
  });
}

TEST(SockCalls, CheckInDebugModeThatTheSocketDoesNotBlock) {
  run(
      [] {
        EventLoop& loop = get_running_loop();
        int fds[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        EXPECT_THROW(await(loop.sock_recv(fds[0], 1)), ValueError);
        EXPECT_THROW(await(loop.sock_connect(fds[0], SocketAddress::unix_path("x"))), ValueError);
        ::close(fds[0]);
        ::close(fds[1]);
      },
      {.debug = true});
}

TEST(SockCalls, DoNotBlockTheThreadOnASocketThatBlocks) {
  in_loop([](EventLoop& loop) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    auto reader = create_task(loop.sock_recv(fds[0], 10));
    wait_all_tasks_blocked();
    await(loop.sock_sendall(fds[1], "x"));
    EXPECT_EQ(await(reader), "x");
    ::close(fds[0]);
    ::close(fds[1]);
  });
}

TEST(SockCalls, BelongToTheirLoop) {
  EventLoop other;
  in_loop([&](EventLoop&) {
    auto pair = socketpair();
    EXPECT_THROW(await(other.sock_recv(pair.first.fd(), 1)), RuntimeError);
    EXPECT_THROW(await(other.sock_connect(pair.first.fd(), SocketAddress("127.0.0.1", 1))), RuntimeError);
    EXPECT_THROW(await(other.getaddrinfo("127.0.0.1", 1)), RuntimeError);
  });
  other.close();
  auto call = other.sock_recv(0, 1);
  EXPECT_THROW(static_cast<void>(await(call)), RuntimeError);  // outside a task
  call.close();
}

TEST(SockCalls, EndWithTheirLoop) {
  auto pair = socketpair();
  EventLoop loop;
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});  // of tasks that are still pending
  loop.run_until_complete([&] {
    loop.create_task([&] { await(loop.sock_recv(pair.first.fd(), 1)); }).detach();
    loop.create_task(loop.sock_recv(pair.first.fd(), 1)).detach();
    loop.create_task([&]() -> Coro<> { co_await loop.sock_recv(pair.first.fd(), 1); }).detach();
    wait_all_tasks_blocked();
  });
  loop.close();
  pair.first.close();
}

TEST(SockCalls, ShowADebuggerTheDescriptor) {
  in_loop([](EventLoop& loop) {
    auto pair = socketpair();
    const int fd = pair.first.fd();
    auto on_stack = create_task([&loop, fd] { return await(loop.sock_recv(fd, 1)); });
    auto without = create_task(loop.sock_recv(fd, 1));
    wait_all_tasks_blocked();
    for (const auto& task : {on_stack, without}) {
      const runtime::Fiber& fiber = *task.state().task()->fiber();
      EXPECT_EQ(fiber.wait_kind, std::uint32_t{AIOFIBER_WAIT_FD});
      EXPECT_EQ(fiber.wait_arg, static_cast<std::uint64_t>(fd) << 32 | 1);
    }
    for (auto task : {on_stack, without}) task.cancel();
  });
}

TEST(SockCalls, AreNamedInReports) {
  std::string logged;
  set_log_sink([&](LogLevel, std::string_view text) { logged += text; });
  {
    EventLoop loop;
    auto dropped = loop.sock_recv(0, 1);
    loop.close();
  }
  set_log_sink(nullptr);
  EXPECT_NE(logged.find("sock_recv' was never awaited"), std::string::npos) << logged;
}

// ---- datagrams

TEST(SockCalls, SendDatagramsToAnAddress) {
  in_loop([](EventLoop& loop) {
    const Socket a = bound(), b = bound();
    EXPECT_EQ(await(loop.sock_sendto(a.fd(), "ping", b.getsockname())), 4u);
    EXPECT_EQ(await(loop.sock_sendto(a.fd(), "", b.getsockname())), 0u);
    const auto datagram = await(loop.sock_recvfrom(b.fd(), 100));
    const SocketAddress& sender = datagram.second;
    EXPECT_EQ(datagram.first, "ping");
    EXPECT_EQ(sender, a.getsockname());
    EXPECT_EQ(await(loop.sock_recvfrom(b.fd(), 100)).first, "");
    std::array<char, 2> buffer{};
    auto reader = create_task(loop.sock_recvfrom_into(a.fd(), buffer));
    wait_all_tasks_blocked();
    await(loop.sock_sendto(b.fd(), "pong", sender));
    const auto [bytes, from] = await(reader);
    EXPECT_EQ(bytes, 2u);  // the rest is cut off
    EXPECT_EQ(from, b.getsockname());
    EXPECT_EQ(error_of([&] { await(loop.sock_sendto(a.fd(), std::string(70'000, 'x'), sender)); }),
              is(EMSGSIZE));
  });
}

// ---- connections

TEST(SockCalls, ConnectAndAccept) {
  run([]() -> Coro<> {
    EventLoop& loop = get_running_loop();
    const Socket server = listening();
    auto accepting = create_task(loop.sock_accept(server.fd()));
    co_await sleep(0s);
    Socket client(AF_INET, SOCK_STREAM);
    co_await loop.sock_connect(client.fd(), server.getsockname());
    auto [connection, peer] = co_await std::move(accepting);
    EXPECT_EQ(peer, client.getsockname());
    EXPECT_EQ(connection.getpeername(), peer);
    EXPECT_NE(::fcntl(connection.fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(connection.fd(), F_GETFD) & FD_CLOEXEC, 0);
    Socket by_name(AF_INET, SOCK_STREAM);
    co_await loop.sock_connect(by_name.fd(), "localhost", server.port());
    EXPECT_EQ(by_name.getpeername(), server.getsockname());
  }());
}

TEST(SockCalls, NameTheAddressThatRefuses) {
  in_loop([](EventLoop& loop) {
    Socket server = listening();
    const SocketAddress gone = server.getsockname();
    server.close();
    const Socket client(AF_INET, SOCK_STREAM);
    try {
      await(loop.sock_connect(client.fd(), gone));
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), is(ECONNREFUSED));
      EXPECT_EQ(std::string(error.what()), "Connect call failed " + repr(gone) + ": Connection refused");
    }
    const Socket local(AF_UNIX, SOCK_STREAM);
    EXPECT_EQ(error_of([&] { await(loop.sock_connect(local.fd(), SocketAddress::unix_path("/no/such"))); }),
              is(ENOENT));
    EXPECT_EQ(error_of([&] { await(loop.sock_connect(local.fd(), gone)); }), is(EINVAL));
    EXPECT_EQ(error_of([&] { await(loop.sock_connect(local.fd(), SocketAddress())); }), is(EINVAL));
  });
}

TEST(SockCalls, WaitForAUnixServerWithAFullBacklog) {
  in_loop([](EventLoop& loop) {
    const Socket server(AF_UNIX, SOCK_STREAM);
    const SocketAddress address =
        SocketAddress::unix_path(std::string("\0", 1) + "aiofiber-sock-calls-" + std::to_string(::getpid()));
    ASSERT_EQ(::bind(server.fd(), address.data(), address.size()), 0);
    ASSERT_EQ(::listen(server.fd(), 0), 0);
    std::vector<Socket> clients;
    std::vector<Task<>> connects;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back(AF_UNIX, SOCK_STREAM);
      connects.push_back(create_task(loop.sock_connect(clients.back().fd(), address)));
    }
    wait_all_tasks_blocked();
    EXPECT_FALSE(connects.back().done());
    for (int i = 0; i < 4; ++i) await(loop.sock_accept(server.fd()));
    await(gather(connects));
  });
}

TEST(SockCalls, CancelAnAccept) {
  in_loop([](EventLoop& loop) {
    const Socket server = listening();
    auto accepting = create_task(loop.sock_accept(server.fd()));
    wait_all_tasks_blocked();
    accepting.cancel();
    EXPECT_THROW(await(std::move(accepting)), CancelledError);
    const Socket client(AF_INET, SOCK_STREAM);
    await(loop.sock_connect(client.fd(), server.getsockname()));
    EXPECT_TRUE(await(loop.sock_accept(server.fd())).first.is_open());
  });
}

// ---- files

std::string all_from(EventLoop& loop, const Socket& socket) {
  std::string got;
  for (;;) {
    const std::string piece = await(loop.sock_recv(socket.fd(), 65536));
    if (piece.empty()) return got;
    got += piece;
  }
}

TEST(SockSendfile, SendsAWholeFile) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    const TestFile file(1'000'000);
    auto sender = create_task([&] {
      const std::size_t sent = await(loop.sock_sendfile(a.fd(), file.fd()));
      a.close();
      return sent;
    });
    EXPECT_TRUE(all_from(loop, b) == file.text());
    EXPECT_EQ(await(sender), file.text().size());
    EXPECT_EQ(file.position(), 1'000'000);
  });
}

// The kernel takes all of it at once: a peer that reads as fast as we send must not keep the loop.
TEST(SockSendfile, LetsOtherTasksRunBetweenPieces) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const TestFile file(1000);
    bool ran = false;
    loop.call_soon([&] { ran = true; });
    EXPECT_EQ(await(loop.sock_sendfile(pair.first.fd(), file.fd())), 1000u);
    EXPECT_TRUE(ran);
  });
}

TEST(SockSendfile, SendsAPartOfAFile) {
  run([]() -> Coro<> {
    EventLoop& loop = get_running_loop();
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    const TestFile file(1000);
    EXPECT_EQ(co_await loop.sock_sendfile(a.fd(), file.fd(), 100, 50), 50u);
    EXPECT_EQ(file.position(), 150);
    EXPECT_EQ(co_await loop.sock_recv(b.fd(), 1000), file.text().substr(100, 50));
    EXPECT_EQ(co_await loop.sock_sendfile(a.fd(), file.fd(), 990, 50), 10u);
    EXPECT_EQ(co_await loop.sock_sendfile(a.fd(), file.fd(), 1000), 0u);
    EXPECT_EQ(co_await loop.sock_sendfile(a.fd(), file.fd(), 5000), 0u);
  }());
}

TEST(SockSendfile, CopiesWhatTheKernelDoesNotSend) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ASSERT_EQ(::write(ends[1], "from a pipe", 11), 11);
    ::close(ends[1]);
    EXPECT_THROW(await(loop.sock_sendfile(a.fd(), ends[0], 0, std::nullopt, false)),
                 SendfileNotAvailableError);
    EXPECT_EQ(await(loop.sock_sendfile(a.fd(), ends[0])), 11u);
    EXPECT_EQ(await(loop.sock_recv(b.fd(), 100)), "from a pipe");
    EXPECT_EQ(error_of([&] { await(loop.sock_sendfile(a.fd(), ends[0], 1)); }), is(ESPIPE));
    ::close(ends[0]);
  });
}

TEST(SockSendfile, RefusesArgumentsThatMakeNoSense) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    const Socket datagrams = bound();
    const TestFile file(1);
    EXPECT_THROW(await(loop.sock_sendfile(datagrams.fd(), file.fd())), ValueError);
    EXPECT_THROW(await(loop.sock_sendfile(a.fd(), file.fd(), -1)), ValueError);
    EXPECT_THROW(await(loop.sock_sendfile(a.fd(), file.fd(), 0, 0)), ValueError);
    EXPECT_EQ(error_of([&] { await(loop.sock_sendfile(a.fd(), -1)); }), is(EBADF));
    b.close();
    EXPECT_EQ(error_of([&] { await(loop.sock_sendfile(a.fd(), file.fd())); }), is(EPIPE));
  });
}

TEST(SockSendfile, KeepsThePositionOfWhatWasSentWhenCancelled) {
  in_loop([](EventLoop& loop) {
    const auto pair = socketpair();
    const Socket &a = pair.first, &b = pair.second;
    const TestFile file(4'000'000);
    auto sender = create_task(loop.sock_sendfile(a.fd(), file.fd()));
    wait_all_tasks_blocked();
    sender.cancel();
    EXPECT_THROW(await(std::move(sender)), CancelledError);
    a.close();
    EXPECT_EQ(static_cast<off_t>(all_from(loop, b).size()), file.position());
  });
}

}  // namespace
}  // namespace aiofiber
