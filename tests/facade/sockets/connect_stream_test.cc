// SPDX-License-Identifier: Apache-2.0
//
// Connecting to one of many addresses, listening on many, and no descriptor left over.
// Labels: long
#include "aiofiber/connect.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/descriptors.h"

namespace aiofiber::detail {
namespace {

using namespace std::chrono_literals;
using testing::wait_all_tasks_blocked;

std::error_code code(int error) { return {error, std::generic_category()}; }
template <class F>
std::pair<std::error_code, std::string> error_of(F fn) {
  try {
    fn();
  } catch (const std::system_error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

AddressInfo tcp(const SocketAddress& address) {
  return {.family = address.family(),
          .type = SOCK_STREAM,
          .protocol = IPPROTO_TCP,
          .canonname = {},
          .address = address};
}
SocketAddress address_of(const Socket& socket) { return socket.getsockname(); }

// An address at which nobody listens: it is bound, so that nobody else gets it.
class Refusing {
 public:
  Refusing() : socket_(AF_INET, SOCK_STREAM) {
    const SocketAddress any("127.0.0.1", 0);
    EXPECT_EQ(::bind(socket_.fd(), any.data(), any.size()), 0);
  }
  AddressInfo info() const { return tcp(address_of(socket_)); }

 private:
  Socket socket_;
};

// An address that never answers: its queue of connections is full, so the kernel drops what comes.
class Silent {
 public:
  Silent() : server_(AF_INET, SOCK_STREAM) {
    const SocketAddress any("127.0.0.1", 0);
    EXPECT_EQ(::bind(server_.fd(), any.data(), any.size()), 0);
    EXPECT_EQ(::listen(server_.fd(), 0), 0);
    const SocketAddress address = address_of(server_);
    for (bool answers = true; answers;) {
      const Socket& client = clients_.emplace_back(AF_INET, SOCK_STREAM);
      ::connect(client.fd(), address.data(), address.size());
      pollfd connected{client.fd(), POLLOUT, 0};
      answers = ::poll(&connected, 1, 0) == 1;
    }
  }
  AddressInfo info() const { return tcp(address_of(server_)); }

 private:
  Socket server_;
  std::vector<Socket> clients_;
};

template <class Body>
void in_loop(Body body) {
  run([&] {
    // Threads and the like are made once.
    const std::size_t before = open_descriptors().size();
    body();
    EXPECT_EQ(open_descriptors().size(), before) << "descriptors are left over";
  });
}

// ---- connecting

TEST(ConnectStream, ConnectsByNameAndNumber) {
  in_loop([] {
    const auto servers = await(listen_stream({"127.0.0.1"}, 0));
    const int port = servers.at(0).port();
    for (const char* const host : {"127.0.0.1", "localhost"}) {
      const Socket socket = await(connect_stream(host, port));
      EXPECT_EQ(socket.getpeername(), address_of(servers[0]));
      EXPECT_EQ(socket.get_option(IPPROTO_TCP, TCP_NODELAY), 1);
    }
    EXPECT_EQ(await(connect_stream(std::nullopt, port, {.family = AF_INET})).getpeername().port(), port);
  });
}

TEST(ConnectStream, ConnectsInATaskWithoutAStack) {
  run([]() -> Coro<> {
    const std::vector<std::string> hosts(1, "127.0.0.1");
    const auto servers = co_await listen_stream(hosts, 0);
    const Socket socket = co_await connect_stream("127.0.0.1", servers.at(0).port());
    EXPECT_TRUE(socket.is_open());
  }());
}

TEST(ConnectStream, ThrowsTheErrorOfTheOnlyAttempt) {
  in_loop([] {
    const Refusing nobody;
    const SocketAddress address = nobody.info().address;
    const auto [error, text] = error_of([&] { await(connect_stream("127.0.0.1", address.port())); });
    EXPECT_EQ(error, code(ECONNREFUSED));
    EXPECT_EQ(text, "Connect call failed " + repr(address) + ": Connection refused");
  });
}

TEST(ConnectStream, PassesOnTheErrorOfTheResolver) {
  in_loop([] {
    EXPECT_THROW(await(connect_stream("127.0.0.1", "no-such-service")), gaierror);
    EXPECT_THROW(await(connect_stream("127.0.0.1", 65536)), ValueError);
    EXPECT_THROW(await(connect_stream("127.0.0.1", 1, {.family = AF_INET6})), gaierror);
  });
}

TEST(ConnectStream, BindsToALocalAddress) {
  in_loop([] {
    const auto servers = await(listen_stream({"127.0.0.1"}, 0));
    const int port = servers.at(0).port();
    const Socket socket = await(connect_stream("127.0.0.1", port, {.local_addr = HostPort{"127.0.0.2", 0}}));
    EXPECT_EQ(socket.getsockname().host(), "127.0.0.2");
    const auto [error, text] = error_of([&] {
      await(connect_stream("127.0.0.1", port, {.local_addr = HostPort{"192.0.2.1", 0}}));
    });
    EXPECT_EQ(error, code(EADDRNOTAVAIL));
    EXPECT_NE(text.find("error while attempting to bind on address ('192.0.2.1', 0)"), std::string::npos);
  });
}

TEST(ConnectToAny, TriesTheAddressesInTurn) {
  in_loop([] {
    const auto servers = await(listen_stream({"127.0.0.1"}, 0));
    const Refusing nobody;
    const Socket socket =
        await(connect_to_any({nobody.info(), nobody.info(), tcp(address_of(servers[0]))}, nullptr, {}));
    EXPECT_EQ(socket.getpeername(), address_of(servers[0]));
  });
}

TEST(ConnectToAny, ThrowsAllDifferentErrorsInOne) {
  in_loop([] {
    const Refusing a, b;
    const auto expected = [](const Refusing& nobody) {
      return "Connect call failed " + repr(nobody.info().address) + ": Connection refused";
    };
    for (const std::optional<Duration> delay : {std::optional<Duration>(), std::optional<Duration>(1h)}) {
      const ConnectOptions options{.happy_eyeballs_delay = delay};
      const auto several = error_of([&] { await(connect_to_any({a.info(), b.info()}, nullptr, options)); });
      EXPECT_EQ(several.first, code(ECONNREFUSED));
      EXPECT_EQ(several.second, "Multiple exceptions: " + expected(a) + ", " + expected(b));
      const auto equal = error_of([&] { await(connect_to_any({a.info(), a.info()}, nullptr, options)); });
      EXPECT_EQ(equal.second, expected(a));
    }
    try {
      await(connect_to_any({a.info(), b.info()}, nullptr, {.all_errors = true}));
      ADD_FAILURE();
    } catch (const ExceptionGroup& group) {
      EXPECT_EQ(group.exceptions().size(), 2u);
    }
  });
}

TEST(HappyEyeballs, BeginTheNextAttemptBesideASilentOne) {
  in_loop([] {
    const auto servers = await(listen_stream({"127.0.0.1"}, 0));
    const Silent silent;
    const std::size_t before = open_descriptors().size();
    const Socket socket = await(
        connect_to_any({silent.info(), tcp(address_of(servers[0]))}, nullptr, {.happy_eyeballs_delay = 1ms}));
    EXPECT_EQ(socket.getpeername(), address_of(servers[0]));
    EXPECT_EQ(open_descriptors().size(), before + 1);
    EXPECT_EQ(all_tasks().size(), 1u);
  });
}

TEST(HappyEyeballs, DoNotWaitAfterAFailure) {
  in_loop([] {
    const auto servers = await(listen_stream({"127.0.0.1"}, 0));
    const Refusing nobody;
    const Socket socket = await(connect_to_any({nobody.info(), nobody.info(), tcp(address_of(servers[0]))},
                                               nullptr, {.happy_eyeballs_delay = 1h}));
    EXPECT_EQ(socket.getpeername(), address_of(servers[0]));
  });
}

TEST(HappyEyeballs, CloseEveryAttemptWhenCancelled) {
  in_loop([] {
    const Silent first, second;
    const std::size_t before = open_descriptors().size();
    const auto connect = [&] {
      return connect_to_any({first.info(), second.info()}, nullptr, {.happy_eyeballs_delay = 0s});
    };
    auto on_stack = create_task([&] { await(connect()); });
    auto without = create_task(connect());
    while (open_descriptors().size() < before + 4) await(sleep(0s));
    on_stack.cancel();
    without.cancel();
    EXPECT_THROW(await(on_stack), CancelledError);
    EXPECT_THROW(await(without), CancelledError);
    EXPECT_EQ(open_descriptors().size(), before);
    EXPECT_EQ(all_tasks().size(), 1u);
  });
}

TEST(HappyEyeballs, EndWithTheTimeLimitAroundThem) {
  in_loop([] {
    const Silent silent;
    EXPECT_THROW(await(timeout(5ms, [&] { await(connect_to_any({silent.info()}, nullptr, {})); })),
                 TimeoutError);
    EXPECT_THROW(
        await(wait_for(connect_to_any({silent.info(), silent.info()}, nullptr, {.happy_eyeballs_delay = 1ms}),
                       5ms)),
        TimeoutError);
  });
}

TEST(HappyEyeballs, EndWithTheirLoop) {
  const std::size_t before = open_descriptors().size();
  {
    const Silent silent;
    EventLoop loop;
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});  // of pending tasks
    loop.run_until_complete([&] {
      for (int i = 0; i < 2; ++i) {
        const auto connect = [&] {
          return connect_to_any({silent.info(), silent.info()}, nullptr, {.happy_eyeballs_delay = 0s});
        };
        create_task(connect()).detach();
        create_task([connect] { await(connect()); }).detach();
      }
      for (int i = 0; i < 10; ++i) await(sleep(0s));
    });
    loop.close();
  }
  EXPECT_EQ(open_descriptors().size(), before);
}

TEST(InterleaveAddresses, TakesFamiliesByTurns) {
  const auto mixed = [](int first) {
    std::vector<AddressInfo> addresses;
    for (const char* const host : {"::1", "::2", "::3", "::4", "0.0.0.1", "0.0.0.2"})
      addresses.push_back(tcp(SocketAddress(host, 1)));
    std::string hosts;
    for (const AddressInfo& each : interleave_addresses(addresses, first)) hosts += each.address.host() + " ";
    return hosts;
  };
  EXPECT_EQ(mixed(1), "::1 0.0.0.1 ::2 0.0.0.2 ::3 ::4 ");
  EXPECT_EQ(mixed(2), "::1 ::2 0.0.0.1 ::3 0.0.0.2 ::4 ");
  EXPECT_EQ(mixed(100), "::1 ::2 ::3 ::4 0.0.0.1 0.0.0.2 ");
  EXPECT_EQ(mixed(-1), mixed(1));
  EXPECT_TRUE(interleave_addresses({}, 2).empty());
}

// ---- Unix sockets

// A folder that is removed with what is in it.
class Folder {
 public:
  Folder() {
    char path[] = "/tmp/aiofiber-connect-XXXXXX";
    path_ = ::mkdtemp(path);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(ConnectUnix, ConnectsToAPath) {
  in_loop([] {
    const Folder folder;
    const std::string path = folder / "x.sock";
    const auto refused = error_of([&] { await(connect_unix(path)); });
    EXPECT_EQ(refused.first, code(ENOENT));
    EXPECT_EQ(refused.second, "Connect call failed '" + path + "': No such file or directory");
    const Socket server = listen_unix(path);
    EXPECT_EQ(await(connect_unix(path)).getpeername().path(), path);
    EXPECT_THROW(await(connect_unix("")), ValueError);
    EXPECT_THROW(await(connect_unix(std::string(200, 'x'))), ValueError);
  });
}

TEST(ListenUnix, ReplacesASocketFileThatWasLeftBehind) {
  const Folder folder;
  const std::string path = folder / "x.sock";
  listen_unix(path).close();
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_TRUE(listen_unix(path).is_open());
}

TEST(ListenUnix, LeavesOtherFilesAlone) {
  const Folder folder;
  const std::string path = folder / "file";
  ::close(::open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  const auto [error, text] = error_of([&] { listen_unix(path); });
  EXPECT_EQ(error, code(EADDRINUSE));
  EXPECT_EQ(text, "Address '" + path + "' is already in use: Address already in use");
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(error_of([&] { listen_unix(folder / "none/x"); }).first, code(ENOENT));
  EXPECT_THROW(listen_unix(""), ValueError);
}

TEST(ListenUnix, TakesAbstractNames) {
  in_loop([] {
    const std::string name = std::string(1, '\0') + "aiofiber-connect-" + std::to_string(::getpid());
    const Socket server = listen_unix(name);
    EXPECT_EQ(await(connect_unix(name)).getpeername().path(), name);
    EXPECT_EQ(error_of([&] { listen_unix(name); }).first, code(EADDRINUSE));
  });
}

// ---- listening

TEST(ListenStream, ListensOnEveryAddressOnce) {
  in_loop([] {
    const auto servers = await(listen_stream({"127.0.0.1", "127.0.0.2", "127.0.0.1"}, 0));
    ASSERT_EQ(servers.size(), 2u);
    EXPECT_EQ(servers[0].getsockname().host(), "127.0.0.1");
    EXPECT_EQ(servers[1].getsockname().host(), "127.0.0.2");
    for (const Socket& server : servers) {
      EXPECT_EQ(server.get_option(SOL_SOCKET, SO_REUSEADDR), 1);
      EXPECT_EQ(server.get_option(SOL_SOCKET, SO_REUSEPORT), 0);
      EXPECT_EQ(server.get_option(SOL_SOCKET, SO_ACCEPTCONN), 1);
    }
  });
}

TEST(ListenStream, ListensOnAllInterfaces) {
  in_loop([] {
    const auto servers = await(listen_stream({}, 0, {.family = AF_INET}));
    EXPECT_EQ(servers.at(0).getsockname().host(), "0.0.0.0");
    const auto of_empty = await(listen_stream({""}, 0, {.family = AF_INET}));
    EXPECT_EQ(of_empty.at(0).getsockname().host(), "0.0.0.0");
    const auto both = await(listen_stream({}, 0));
    for (const Socket& server : both) {
      if (server.family() == AF_INET6) {
        EXPECT_EQ(server.get_option(IPPROTO_IPV6, IPV6_V6ONLY), 1);
      }
    }
  });
}

TEST(ListenStream, SetsItsOptions) {
  in_loop([] {
    const auto first = await(listen_stream(
        {"127.0.0.1"}, 0, {.reuse_address = false, .reuse_port = true, .keep_alive = true, .listen = false}));
    EXPECT_EQ(first[0].get_option(SOL_SOCKET, SO_REUSEADDR), 0);
    EXPECT_EQ(first[0].get_option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(first[0].get_option(SOL_SOCKET, SO_ACCEPTCONN), 0);
    const auto second = await(listen_stream({"127.0.0.1"}, first[0].port(), {.reuse_port = true}));
    EXPECT_EQ(second[0].port(), first[0].port());
  });
}

TEST(ListenStream, GivesAllOrNothing) {
  in_loop([] {
    const auto taken = await(listen_stream({"127.0.0.1"}, 0));
    const std::size_t before = open_descriptors().size();
    const int port = taken[0].port();
    const auto [error, text] = error_of([&] { await(listen_stream({"127.0.0.2", "127.0.0.1"}, port)); });
    EXPECT_EQ(error, code(EADDRINUSE));
    EXPECT_EQ(text, "error while attempting to bind on address ('127.0.0.1', " + std::to_string(port) +
                        "): Address already in use");
    EXPECT_EQ(open_descriptors().size(), before);
  });
}

TEST(ListenStream, PassesOverAddressesOfOtherMachines) {
  in_loop([] {
    const auto servers = await(listen_stream({"192.0.2.1", "127.0.0.1"}, 0));
    EXPECT_EQ(servers.size(), 1u);
    const auto [error, text] = error_of([&] { await(listen_stream({"192.0.2.1"}, 80)); });
    EXPECT_EQ(error, code(EADDRNOTAVAIL));
    EXPECT_NE(text.find("could not bind on any address out of [('192.0.2.1', 80)]"), std::string::npos);
  });
}

TEST(ListenStream, RefusesWhatIsNoHostOrPort) {
  in_loop([] {
    EXPECT_THROW(await(listen_stream({"127.0.0.1"}, -1)), ValueError);
    EXPECT_THROW(await(listen_stream({std::string("a\0b", 3)}, 0)), ValueError);
    EXPECT_THROW(await(listen_stream({"127.0.0.1"}, 0, {.family = 99})), gaierror);
  });
}

}  // namespace
}  // namespace aiofiber::detail
