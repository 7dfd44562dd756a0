// SPDX-License-Identifier: Apache-2.0
//
// Datagram endpoints: what comes and goes, the queue and its limits, closing, errors, and bad arguments.
// Labels: long
#include "aiofiber/datagram.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace aiofiber {

namespace {

using namespace std::chrono_literals;
using testing::wait_all_tasks_blocked;

// Notes what the transport calls.
struct Notes : DatagramProtocol {
  void connection_made(DatagramTransport made) override {
    transport = made;
    log.push_back("made");
  }
  void connection_lost(std::exception_ptr error) override {
    log.push_back(error == nullptr ? "lost" : "lost with an error");
    lost.set();
  }
  void datagram_received(std::string_view data, const SocketAddress& from) override {
    log.push_back("got " + std::string(data.substr(0, 20)));
    sender = from;
    came.set();
  }
  void error_received(std::exception_ptr error) override {
    try {
      std::rethrow_exception(error);
    } catch (const std::system_error& cause) {
      log.push_back("error " + std::to_string(cause.code().value()));
    }
    came.set();
  }
  void pause_writing() override { log.push_back("pause"); }
  void resume_writing() override { log.push_back("resume"); }

  // Waits for the next datagram or error.
  void wait_for_next() {
    await(came.wait());
    came.clear();
  }

  DatagramTransport transport;
  std::vector<std::string> log;
  SocketAddress sender;
  Event came;
  Event lost;
};
using Log = std::vector<std::string>;

const auto notes = [] { return std::make_shared<Notes>(); };
const DatagramEndpointOptions here{.local_addr = {{"127.0.0.1", 0}}};

template <class Body>
void in_loop(Body body) {
  run([&] { body(get_running_loop()); });
}

std::string error_text(int error) { return "error " + std::to_string(error); }

TEST(DatagramEndpoint, SendsAndReceives) {
  in_loop([](EventLoop& loop) {
    auto [server, at_server] = await(loop.create_datagram_endpoint(notes, here));
    auto [client, at_client] = await(
        loop.create_datagram_endpoint(notes, {.remote_addr = {{"127.0.0.1", server.sockname()->port()}}}));
    EXPECT_EQ(client.peername(), server.sockname());
    EXPECT_EQ(server.peername(), std::nullopt);
    client.sendto("ping");
    at_server->wait_for_next();
    EXPECT_EQ(at_server->sender, *client.sockname());
    server.sendto("pong", at_server->sender);
    at_client->wait_for_next();
    client.sendto("", *server.sockname());
    at_server->wait_for_next();
    client.close();
    server.close();
    await(at_client->lost.wait());
    await(at_server->lost.wait());
    EXPECT_EQ(at_server->log, (Log{"made", "got ping", "got ", "lost"}));
    EXPECT_EQ(at_client->log, (Log{"made", "got pong", "lost"}));
  });
}

TEST(DatagramEndpoint, IsOpenedWithoutAStack) {
  run([]() -> Coro<> {
    const DatagramEndpointOptions options = here;
    auto [transport, protocol] = co_await get_running_loop().create_datagram_endpoint(notes, options);
    EXPECT_EQ(protocol->log, Log{"made"});
    EXPECT_EQ(protocol->transport, transport);
    transport.close();
    co_await protocol->lost.wait();
  }());
}

TEST(DatagramEndpoint, IsKeptByItsLoop) {
  in_loop([](EventLoop& loop) {
    std::shared_ptr<Notes> protocol;
    SocketAddress address;
    {
      auto [transport, made] = await(loop.create_datagram_endpoint(notes, here));
      protocol = made;
      address = *transport.sockname();
      protocol->transport = {};
    }
    auto [client, at_client] = await(loop.create_datagram_endpoint(notes, {.family = AF_INET}));
    client.sendto("still there?", address);
    protocol->wait_for_next();
    EXPECT_EQ(protocol->log.back(), "got still there?");
  });
}

TEST(DatagramEndpoint, TellsTheProtocolOfErrors) {
  in_loop([](EventLoop& loop) {
    auto [server, at_server] = await(loop.create_datagram_endpoint(notes, here));
    auto [client, at_client] = await(
        loop.create_datagram_endpoint(notes, {.remote_addr = {{"127.0.0.1", server.sockname()->port()}}}));
    server.abort();
    await(at_server->lost.wait());
    client.sendto("nobody is there");
    at_client->wait_for_next();
    EXPECT_EQ(at_client->log.back(), error_text(ECONNREFUSED));
    client.sendto(std::string(70'000, 'x'));
    EXPECT_EQ(at_client->log.back(), error_text(EMSGSIZE));
    EXPECT_FALSE(client.is_closing());
    auto [alone, at_alone] = await(loop.create_datagram_endpoint(notes, {.family = AF_INET}));
    alone.sendto("to whom?");
    EXPECT_EQ(at_alone->log.back(), error_text(EDESTADDRREQ));
  });
}

TEST(DatagramEndpoint, SendsOnlyToItsPeer) {
  in_loop([](EventLoop& loop) {
    auto [client, protocol] =
        await(loop.create_datagram_endpoint(notes, {.remote_addr = {{"127.0.0.1", 9}}}));
    EXPECT_THROW(client.sendto("x", SocketAddress("127.0.0.1", 10)), ValueError);
  });
}

// The other end of a pair that nobody reads, until it is full.
struct FullPair {
  FullPair() : sockets(socketpair(AF_UNIX, SOCK_DGRAM)) {}
  void fill(const DatagramTransport& transport) const {
    while (transport.get_write_buffer_size() == 0) transport.sendto(std::string(1000, 'x'));
  }
  std::size_t drain(EventLoop& loop, std::size_t datagrams) const {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < datagrams; ++i)
      bytes += await(loop.sock_recv(sockets.second.fd(), 2000)).size();
    return bytes;
  }
  std::pair<Socket, Socket> sockets;
};

TEST(DatagramEndpoint, QueuesWhatTheSocketDoesNotTake) {
  in_loop([](EventLoop& loop) {
    const FullPair pair;
    auto [transport, protocol] = await(loop.create_datagram_endpoint(notes, pair.sockets.first));
    pair.fill(transport);
    EXPECT_EQ(transport.get_write_buffer_size(), 1008u);
    EXPECT_EQ(protocol->log, Log{"made"});
    transport.set_write_buffer_limits({.high = 2000});
    EXPECT_EQ(transport.get_write_buffer_limits(), (std::pair<std::size_t, std::size_t>(500, 2000)));
    transport.sendto(std::string(1000, 'y'));
    EXPECT_EQ(protocol->log, (Log{"made", "pause"}));
    std::string last;
    while (last != std::string(1000, 'y')) last = await(loop.sock_recv(pair.sockets.second.fd(), 2000));
    EXPECT_EQ(transport.get_write_buffer_size(), 0u);
    EXPECT_EQ(protocol->log, (Log{"made", "pause", "resume"}));
    transport.sendto("at once again");
    EXPECT_EQ(transport.get_write_buffer_size(), 0u);
  });
}

TEST(DatagramEndpoint, SendsItsQueueBeforeItCloses) {
  in_loop([](EventLoop& loop) {
    const FullPair pair;
    auto [transport, protocol] = await(loop.create_datagram_endpoint(notes, pair.sockets.first));
    pair.fill(transport);
    transport.sendto("the last one");
    transport.close();
    EXPECT_TRUE(transport.is_closing());
    wait_all_tasks_blocked();
    EXPECT_FALSE(protocol->lost.is_set());
    std::string last;
    while (last != "the last one") last = await(loop.sock_recv(pair.sockets.second.fd(), 2000));
    await(protocol->lost.wait());
    EXPECT_FALSE(transport.socket());
  });
}

TEST(DatagramEndpoint, DropsItsQueueWhenAborted) {
  in_loop([](EventLoop& loop) {
    const FullPair pair;
    auto [transport, protocol] = await(loop.create_datagram_endpoint(notes, pair.sockets.first));
    pair.fill(transport);
    transport.close();
    transport.abort();
    transport.abort();
    EXPECT_EQ(transport.get_write_buffer_size(), 0u);
    await(protocol->lost.wait());
    EXPECT_EQ(protocol->log, (Log{"made", "lost"}));
  });
}

TEST(DatagramEndpoint, DropsDatagramsOnceItIsClosed) {
  std::string logged;
  set_log_sink([&](LogLevel, std::string_view text) { logged += std::string(text) + "\n"; });
  in_loop([](EventLoop& loop) {
    auto [transport, protocol] = await(loop.create_datagram_endpoint(notes, here));
    const SocketAddress own = *transport.sockname();
    transport.close();
    transport.close();
    for (int i = 0; i < 5; ++i) transport.sendto("x", own);
    await(protocol->lost.wait());
    transport.sendto("x", own);
    transport.close();
    EXPECT_EQ(transport.get_protocol(), nullptr);
    EXPECT_EQ(transport.sockname(), own);
    EXPECT_EQ(repr(transport), "<DatagramTransport closed>");
    EXPECT_EQ(protocol->log, (Log{"made", "lost"}));
  });
  set_log_sink(nullptr);
  EXPECT_EQ(logged, "socket.send() raised exception.\nsocket.send() raised exception.\n");
}

TEST(DatagramEndpoint, TellsAsynciosExtraInformation) {
  in_loop([](EventLoop& loop) {
    auto [transport, protocol] = await(loop.create_datagram_endpoint(notes, here));
    EXPECT_EQ(transport.get_extra_info(extra_info::sockname), transport.sockname());
    EXPECT_EQ(transport.get_extra_info(extra_info::peername), std::nullopt);
    EXPECT_EQ(transport.get_extra_info(extra_info::socket)->getsockname(), *transport.sockname());
    EXPECT_EQ(repr(transport), "<DatagramTransport fd=" + std::to_string(transport.socket()->fd()) +
                                   " read=polling write=<idle, bufsize=0>>");
  });
}

// What a protocol throws goes to the handler of the loop, and the transport stays open.
TEST(DatagramEndpoint, SurvivesExceptionsOfItsProtocol) {
  struct Thrower : Notes {
    void connection_made(DatagramTransport made) override {
      Notes::connection_made(made);
      throw ValueError("made");
    }
    void datagram_received(std::string_view data, const SocketAddress& from) override {
      Notes::datagram_received(data, from);
      throw ValueError("received");
    }
    void connection_lost(std::exception_ptr error) override {
      Notes::connection_lost(error);
      throw ValueError("lost");
    }
  };
  in_loop([](EventLoop& loop) {
    std::vector<std::string> reported;
    loop.set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { reported.push_back(repr(context.exception)); });
    auto [transport, protocol] =
        await(loop.create_datagram_endpoint([] { return std::make_shared<Thrower>(); }, here));
    for (int i = 0; i < 2; ++i) {
      transport.sendto("x", *transport.sockname());
      protocol->wait_for_next();
    }
    const int fd = transport.socket()->fd();
    transport.close();
    await(protocol->lost.wait());
    await(sleep(0s));
    EXPECT_LT(::fcntl(fd, F_GETFD), 0);
    EXPECT_EQ(reported, (std::vector<std::string>{"ValueError('made')", "ValueError('received')",
                                                  "ValueError('received')", "ValueError('lost')"}));
    loop.set_exception_handler({});
  });
}

TEST(DatagramEndpoint, MayBeClosedByItsProtocol) {
  struct Closer : Notes {
    void datagram_received(std::string_view data, const SocketAddress& from) override {
      Notes::datagram_received(data, from);
      transport.abort();
    }
  };
  in_loop([](EventLoop& loop) {
    auto [transport, protocol] =
        await(loop.create_datagram_endpoint([] { return std::make_shared<Closer>(); }, here));
    for (int i = 0; i < 3; ++i) transport.sendto("x", *transport.sockname());
    await(protocol->lost.wait());
    EXPECT_EQ(protocol->log, (Log{"made", "got x", "lost"}));
  });
}

TEST(DatagramEndpoint, IsClosedWhenTheCallIsCancelled) {
  in_loop([](EventLoop& loop) {
    std::shared_ptr<Notes> protocol = notes();
    auto opening = create_task(loop.create_datagram_endpoint([&] { return protocol; }, here));
    await(sleep(0s));
    opening.cancel();
    EXPECT_THROW(await(std::move(opening)), CancelledError);
    await(protocol->lost.wait());
    EXPECT_EQ(protocol->log, (Log{"made", "lost"}));
  });
}

TEST(DatagramEndpoint, EndsWithItsLoop) {
  DatagramTransport transport;
  std::weak_ptr<Notes> protocol;
  {
    EventLoop loop;
    loop.run_until_complete([&] {
      auto [made, made_protocol] = await(loop.create_datagram_endpoint(notes, here));
      transport = made;
      protocol = made_protocol;
      made_protocol->transport = {};
    });
    loop.close();
    EXPECT_TRUE(transport.is_closing());
    transport.sendto("x", *transport.sockname());
    transport.set_write_buffer_limits({.high = 1, .low = 1});
  }
  transport.sendto("x", *transport.sockname());
  transport.close();
  transport.abort();
  EXPECT_FALSE(transport.socket());
  EXPECT_NE(repr(transport), "");
  transport = {};
  EXPECT_TRUE(protocol.expired());
}

TEST(DatagramEndpoint, IsFoundAtAPath) {
  char folder[] = "/tmp/aiofiber-datagram-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/x.sock";
  in_loop([&](EventLoop& loop) {
    for (int i = 0; i < 2; ++i) {  // the second one replaces the file of the first
      auto [server, at_server] =
          await(loop.create_datagram_endpoint(notes, {.local_path = path, .family = AF_UNIX}));
      auto [client, at_client] = await(loop.create_datagram_endpoint(notes, {.remote_path = path}));
      client.sendto("hello");
      at_server->wait_for_next();
      EXPECT_EQ(at_server->log.back(), "got hello");
    }
  });
  std::filesystem::remove_all(folder);
}

TEST(DatagramEndpoint, SetsItsOptions) {
  in_loop([](EventLoop& loop) {
    auto [first, a] =
        await(loop.create_datagram_endpoint(notes, {.local_addr = {{"127.0.0.1", 0}}, .reuse_port = true}));
    auto [second, b] = await(loop.create_datagram_endpoint(
        notes, {.local_addr = {{"127.0.0.1", first.sockname()->port()}}, .reuse_port = true}));
    EXPECT_EQ(second.sockname(), first.sockname());
    auto [sender, c] = await(
        loop.create_datagram_endpoint(notes, {.remote_addr = {{"127.0.0.1", 9}}, .allow_broadcast = true}));
    EXPECT_EQ(sender.socket()->get_option(SOL_SOCKET, SO_BROADCAST), 1);
    EXPECT_EQ(sender.peername(), std::nullopt);
    EXPECT_THROW(sender.sendto("x", *first.sockname()), ValueError);
  });
}

TEST(DatagramEndpoint, RefusesArgumentsThatMakeNoSense) {
  in_loop([](EventLoop& loop) {
    const auto open = [&](const DatagramEndpointOptions& options) {
      await(loop.create_datagram_endpoint(notes, options));
    };
    EXPECT_THROW(open({}), ValueError);
    EXPECT_THROW(open({.local_addr = {{"127.0.0.1", -1}}}), ValueError);
    EXPECT_THROW(open({.local_addr = {{"127.0.0.1", 0}}, .remote_addr = {{"::1", 1}}}), ValueError);
    EXPECT_THROW(open({.local_addr = {{"127.0.0.1", 0}}, .local_path = "x"}), ValueError);
    EXPECT_THROW(open({.local_addr = {{"127.0.0.1", 0}}, .family = AF_UNIX}), ValueError);
    EXPECT_THROW(open({.local_path = "x", .family = AF_INET}), ValueError);
    EXPECT_THROW(open({.local_path = ""}), ValueError);
    EXPECT_THROW(open({.remote_path = std::string(200, 'x')}), ValueError);
    EXPECT_THROW(await(loop.create_datagram_endpoint(notes, Socket())), ValueError);
    EXPECT_THROW(await(loop.create_datagram_endpoint(notes, Socket(AF_INET, SOCK_STREAM))), ValueError);
    EXPECT_THROW(await(loop.create_datagram_endpoint([] { return std::shared_ptr<Notes>(); }, here)),
                 TypeError);
    EXPECT_THROW(DatagramTransport().sendto("x"), RuntimeError);
    try {
      open({.local_addr = {{"192.0.2.1", 0}}});
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), EADDRNOTAVAIL);
    }
    auto [transport, protocol] = await(loop.create_datagram_endpoint(notes, here));
    EXPECT_THROW(transport.set_write_buffer_limits({.high = 1, .low = 2}), ValueError);
  });
}

TEST(DatagramEndpoint, BelongsToItsLoop) {
  EventLoop other;
  in_loop(
      [&](EventLoop&) { EXPECT_THROW(await(other.create_datagram_endpoint(notes, here)), RuntimeError); });
  other.close();
}

}  // namespace
}  // namespace aiofiber
