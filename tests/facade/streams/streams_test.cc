// SPDX-License-Identifier: Apache-2.0
//
// Connections as a program uses them: clients and servers on the loopback, in one loop.
// Labels: clang long
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/connect.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "streams/socket_file.h"
#include "support/descriptors.h"
#include "support/run_in_loop.h"
#include "support/streams.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

std::string socket_path() {
  return std::filesystem::temp_directory_path() / ("aiofiber_streams_" + std::to_string(::getpid()));
}

std::string reset_text(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& system) {
    return system.what();
  }
}

// ---- servers and clients

TEST(Streams, AnEchoOverTheLoopback) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
    writer.write("hello\n");
    await(writer.drain());
    EXPECT_EQ(await(reader.readline()), "hello\n");
    writer.write_eof();
    EXPECT_EQ(await(reader.read()), "");
    writer.close();
    await(writer.wait_closed());
    end(server);
  });
}

TEST(Streams, CoroutinesOnBothSides) {
  run_in_loop([]() -> Coro<void> {
    Server server = co_await start_server(echo_without_stack, "127.0.0.1", 0);
    auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server));
    writer.write("hello\n");
    co_await writer.drain();
    EXPECT_EQ(co_await reader.readline(), "hello\n");
    writer.close();
    co_await writer.wait_closed();
    server.close();
    co_await server.wait_closed();
  });
}

TEST(Streams, ManyClientsAtOnce) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.backlog = 1000}));
    const int port = port_of(server);
    std::vector<Task<>> clients;
    for (int i = 0; i < 200; ++i) {
      clients.push_back(create_task([port, i] {
        auto [reader, writer] = await(open_connection("127.0.0.1", port));
        for (int round = 0; round < 5; ++round) {
          const std::string line = std::to_string(i * 1000 + round) + "\n";
          writer.write(line);
          EXPECT_EQ(await(reader.readline()), line);
        }
        writer.close();
        await(writer.wait_closed());
      }));
    }
    await(gather(clients));
    end(server);
  });
}

TEST(Streams, AUnixSocket) {
  const std::string path = socket_path();
  run_in_loop([&] {
    Server server = await(start_unix_server(echo, path));
    EXPECT_EQ(server.sockets().at(0).getsockname().path(), path);
    auto [reader, writer] = await(open_unix_connection(path));
    writer.write("hello\n");
    EXPECT_EQ(await(reader.readline()), "hello\n");
    EXPECT_EQ(writer.get_extra_info(extra_info::peername)->path(), path);
    writer.close();
    end(server);
  });
}

// ---- the file of a Unix socket

TEST(SocketFile, GoesWithItsServer) {
  const std::string path = socket_path();
  run_in_loop([&] {
    Server server = await(start_unix_server(echo, path));
    EXPECT_TRUE(std::filesystem::exists(path));
    server.close();
    EXPECT_FALSE(std::filesystem::exists(path));
    Server last = await(start_unix_server(echo, path));
  });
  EXPECT_FALSE(std::filesystem::exists(path)) << "the loop has closed the last server";
}

TEST(SocketFile, StaysIfTheProgramSaysSo) {
  const std::string path = socket_path();
  run_in_loop([&] {
    StartServerOptions options{.cleanup_socket = false};
    end(await(start_unix_server(echo, path, options)));
    EXPECT_TRUE(std::filesystem::exists(path));
    EventLoop& loop = get_running_loop();
    const auto factory = [] { return std::make_shared<Protocol>(); };
    end(await(loop.create_unix_server(factory, path, {.cleanup_socket = false})));
    EXPECT_TRUE(std::filesystem::exists(path));
    end(await(loop.create_unix_server(factory, path)));
    EXPECT_FALSE(std::filesystem::exists(path));
  });
}

TEST(SocketFile, StaysIfItIsAnotherServersByThen) {
  const std::string path = socket_path();
  run_in_loop([&] {
    Server first = await(start_unix_server(echo, path));
    Server second = await(start_unix_server(echo, path));
    end(first);
    auto [reader, writer] = await(open_unix_connection(path));
    writer.write("to the second\n");
    EXPECT_EQ(await(reader.readline()), "to the second\n");
    writer.close();
    std::filesystem::remove(path);
    end(second);  // without its file
  });
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(SocketFile, GoesWithTheLastServerOfAGroup) {
  const std::string path = socket_path();
  run_in_loop([&] {
    for (const char* round : {"first\n", "second\n"}) {
      StartServerOptions options{.group = ServerGroup()};
      Server first = await(start_unix_server(echo, path, options));
      Server second = await(start_unix_server(echo, path, options));
      end(first);
      auto [reader, writer] = await(open_unix_connection(path));
      writer.write(round);
      EXPECT_EQ(await(reader.readline()), round);
      writer.close();
      end(second);
      EXPECT_FALSE(std::filesystem::exists(path));
    }
  });
}

TEST(SocketFile, IsLeftByAForkedChild) {
  const std::string path = socket_path();
  const Socket socket = detail::listen_unix(path);
  auto file = detail::SocketFile::of(path);
  const pid_t child = ::fork();
  if (child == 0) {
    file.reset();
    ::_exit(0);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(std::filesystem::exists(path));
  file.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

// ---- memory of a thread

// A large read keeps memory of its thread, which the thread frees before it destroys the reader.
TEST(Streams, AReaderMayOutliveTheMemoryOfItsThread) {
  std::thread([] {
    thread_local StreamReader last;  // made before the memory, so destroyed after it
    last = StreamReader();
    const std::string much(200 * 1024, 'x');
    run_in_loop([&] {
      const Ends ends = connected_pair({.limit = much.size()});
      ends.peer_writer.write(much);
      EXPECT_EQ(await(ends.reader.readexactly(1)), "x");
      last = ends.reader;
      ends.close();
    });
  }).join();
}

// ---- much, and many

TEST(Streams, ManyMegabytesEachWay) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
    constexpr std::size_t kBytes = 8 << 20;
    std::string sent(kBytes, '\0');
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 3);
    std::size_t largest_buffer = 0;
    auto sending = create_task([&, w = writer] {
      for (std::size_t at = 0; at < sent.size(); at += 10'000) {
        w.write(std::string_view(sent).substr(at, 10'000));
        largest_buffer = std::max(largest_buffer, w.transport().get_write_buffer_size());
        await(w.drain());
      }
      w.write_eof();
    });
    const std::string got = await(reader.read());
    await(sending);
    EXPECT_TRUE(got == sent) << got.size();
    EXPECT_LE(largest_buffer, 64u * 1024 + 10'000);
    writer.close();
    end(server);
  });
}

TEST(Streams, ExtraInfoTellsBothNames) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
    EXPECT_EQ(repr(*writer.get_extra_info(extra_info::peername)),
              "('127.0.0.1', " + std::to_string(port_of(server)) + ")");
    EXPECT_EQ(writer.get_extra_info(extra_info::sockname)->host(), "127.0.0.1");
    EXPECT_EQ(writer.get_extra_info(extra_info::socket)->get_option(IPPROTO_TCP, TCP_NODELAY), 1);
    writer.close();
    await(writer.wait_closed());
    EXPECT_EQ(writer.get_extra_info(extra_info::peername)->port(), port_of(server));
    EXPECT_FALSE(writer.get_extra_info(extra_info::socket).has_value());
    end(server);
  });
}

TEST(Streams, NobodyListens) {
  run_in_loop([] {
    const Socket bound(AF_INET, SOCK_STREAM);
    const SocketAddress any("127.0.0.1", 0);
    ASSERT_EQ(::bind(bound.fd(), any.data(), any.size()), 0);
    try {
      await(open_connection("127.0.0.1", bound.port()));
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ECONNREFUSED);
    }
  });
}

TEST(Streams, RefusesWhatIsNoConnection) {
  run_in_loop([] {
    EXPECT_THROW(await(open_connection(Socket(AF_INET, SOCK_STREAM))), std::system_error);
    EXPECT_THROW(await(open_connection("127.0.0.1", 70000)), ValueError);
    EXPECT_THROW(await(start_server(echo, "127.0.0.1", 0, {.limit = 0})), ValueError);
  });
}

// ---- the writer

TEST(StreamWriter, DrainWaitsUntilThePeerReads) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.writer.write(std::string(4 << 20, 'x'));
    auto draining = create_task([&] { await(ends.writer.drain()); });
    for (int i = 0; i < 10; ++i) await(sleep(0s));
    EXPECT_FALSE(draining.done());
    EXPECT_EQ(await(ends.peer_reader.readexactly(4 << 20)).size(), 4u << 20);
    await(draining);
    EXPECT_LE(ends.writer.transport().get_write_buffer_size(), 16u * 1024);
    ends.close();
  });
}

TEST(StreamWriter, SeveralTasksMayDrain) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.writer.write(std::string(4 << 20, 'x'));
    auto first = create_task([&] { await(ends.writer.drain()); });
    auto second = create_task([&]() -> Coro<void> { co_await ends.writer.drain(); });
    await(ends.peer_reader.readexactly(4 << 20));
    await(gather(first, second));
    ends.close();
  });
}

TEST(StreamWriter, WritesKeepTheirOrderWhateverTheirSize) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    std::string sent;
    for (int i = 0; i < 2000; ++i) {
      std::string piece(static_cast<std::size_t>(i * 37 % 5000), static_cast<char>('a' + i % 26));
      sent += piece;
      if (i % 3 == 0) {
        ends.writer.write(std::move(piece));
      } else if (i % 3 == 1) {
        ends.writer.write(std::string_view(piece));
      } else {
        ends.writer.writelines(
            std::vector<std::string>{piece.substr(0, piece.size() / 2), piece.substr(piece.size() / 2)});
      }
    }
    ends.writer.write_eof();
    const std::string got = await(ends.peer_reader.read());
    EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
    ends.close();
  });
}

TEST(StreamWriter, CloseSendsWhatIsBuffered) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.writer.write(std::string(4 << 20, 'x'));
    ends.writer.close();
    EXPECT_TRUE(ends.writer.is_closing());
    EXPECT_EQ(await(ends.peer_reader.read()).size(), 4u << 20);
    await(ends.writer.wait_closed());
    ends.close();
  });
}

TEST(StreamWriter, AbortDropsWhatIsBuffered) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.writer.write(std::string(4 << 20, 'x'));
    ends.writer.transport().abort();
    await(ends.writer.wait_closed());
    EXPECT_LT(await(ends.peer_reader.read()).size(), 4u << 20);
    ends.close();
  });
}

TEST(StreamWriter, HalfCloseLeavesTheOtherWayOpen) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.writer.write("question");
    ends.writer.write_eof();
    EXPECT_THROW(ends.writer.write("more"), RuntimeError);
    EXPECT_EQ(await(ends.peer_reader.read()), "question");
    ends.peer_writer.write("answer");
    ends.peer_writer.close();
    EXPECT_EQ(await(ends.reader.read()), "answer");
    ends.close();
  });
}

TEST(StreamWriter, APeerThatIsGoneIsAnErrorOfDrain) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.peer_writer.close();
    await(ends.peer_writer.wait_closed());
    std::exception_ptr error;
    try {
      for (int i = 0; i < 10; ++i) {
        ends.writer.write("x");
        await(ends.writer.drain());
      }
    } catch (...) {
      error = std::current_exception();
    }
    ASSERT_NE(error, nullptr);
    EXPECT_THROW(std::rethrow_exception(error), std::system_error);
    EXPECT_FALSE(reset_text(error).empty());
    EXPECT_THROW(await(ends.writer.wait_closed()), std::system_error);
  });
}

TEST(StreamWriter, CloseUnderADrainEndsIt) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    ends.writer.write(std::string(4 << 20, 'x'));
    auto draining = create_task([&] { await(ends.writer.drain()); });
    await(sleep(0s));
    ends.writer.transport().abort();
    await(draining);  // as in asyncio: no error if none ended the connection
    ends.close();
  });
}

TEST(StreamWriter, CloseUnderAReaderEndsItsStream) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    auto reading = create_task([&] { return await(ends.reader.read(1)); });
    await(sleep(0s));
    ends.writer.close();
    EXPECT_EQ(await(reading), "");
    ends.close();
  });
}

TEST(StreamWriter, ACancelledReadLeavesTheConnectionUsable) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    EXPECT_THROW(await(wait_for(ends.reader.readline(), 1s)), TimeoutError);
    ends.peer_writer.write("later\n");
    EXPECT_EQ(await(ends.reader.readline()), "later\n");
    ends.close();
  });
}

TEST(StreamWriter, TheReaderStopsTheSenderAtTwiceItsLimit) {
  run_in_loop([] {
    const Ends ends = connected_pair({.limit = 1024});
    auto sending = create_task([&] {
      for (int i = 0; i < 4000; ++i) {
        ends.writer.write(std::string(1024, 'x'));
        await(ends.writer.drain());
      }
      ends.writer.close();
    });
    for (int i = 0; i < 50; ++i) await(sleep(0s));
    EXPECT_FALSE(sending.done());
    EXPECT_FALSE(ends.peer_writer.transport().is_reading());
    EXPECT_EQ(await(ends.peer_reader.read()).size(), 4000u * 1024);
    await(sending);
    ends.close();
  });
}

TEST(StreamWriter, IsClosedWithItsLastHandle) {
  std::string logged;
  set_log_sink([&](LogLevel, std::string_view text) { logged += text; });
  run_in_loop([] {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    auto [peer_reader, peer_writer] = await(open_connection(Socket(fds[1])));
    await(open_connection(Socket(fds[0])));  // and dropped
    EXPECT_EQ(await(peer_reader.read()), "");
    peer_writer.close();
  });
  set_log_sink({});
  EXPECT_TRUE(logged.starts_with("ResourceWarning: unclosed <SocketTransport fd=")) << logged;
}

TEST(StreamWriter, LimitsOfTheBufferAreChecked) {
  run_in_loop([] {
    const Ends ends = connected_pair();
    const Transport& transport = ends.writer.transport();
    EXPECT_EQ(transport.get_write_buffer_limits(),
              (std::pair<std::size_t, std::size_t>(16 * 1024, 64 * 1024)));
    transport.set_write_buffer_limits({.high = 100});
    EXPECT_EQ(transport.get_write_buffer_limits(), (std::pair<std::size_t, std::size_t>(25, 100)));
    transport.set_write_buffer_limits({.low = 100});
    EXPECT_EQ(transport.get_write_buffer_limits(), (std::pair<std::size_t, std::size_t>(100, 400)));
    EXPECT_THROW(transport.set_write_buffer_limits({.high = 1, .low = 2}), ValueError);
    transport.set_write_buffer_limits({.high = 0});
    EXPECT_EQ(transport.get_write_buffer_limits(), (std::pair<std::size_t, std::size_t>(0, 0)));
    ends.close();
  });
}

TEST(Transport, AnEmptyHandleSaysSo) {
  const Transport none;
  EXPECT_FALSE(none.valid());
  EXPECT_THROW(none.close(), RuntimeError);
  EXPECT_EQ(repr(none), "<Transport empty>");
}

// ---- the server

TEST(Server, WaitsForItsConnectionsAfterClose) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
    writer.write("x");
    await(reader.read(1));
    EXPECT_TRUE(server.is_serving());
    server.close();
    EXPECT_FALSE(server.is_serving());
    EXPECT_TRUE(server.sockets().empty());
    auto closed = create_task([&] { await(server.wait_closed()); });
    for (int i = 0; i < 10; ++i) await(sleep(0s));
    EXPECT_FALSE(closed.done());
    writer.write("y");  // it is served still
    EXPECT_EQ(await(reader.read(1)), "y");
    writer.close();
    await(closed);
    await(server.wait_closed());
  });
}

TEST(Server, ClosesAndAbortsItsClients) {
  run_in_loop([] {
    for (const bool abort : {false, true}) {
      Server server = await(
          start_server([](StreamReader reader, StreamWriter) { await(reader.read()); }, "127.0.0.1", 0));
      auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
      for (int i = 0; i < 10; ++i) await(sleep(1ms));
      abort ? server.abort_clients() : server.close_clients();
      EXPECT_EQ(await(reader.read()), "");
      writer.close();
      end(server);
    }
  });
}

TEST(Server, ServesUntilItIsCancelled) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.start_serving = false}));
    EXPECT_FALSE(server.is_serving());
    auto serving = create_task([&] { await(server.serve_forever()); });
    await(sleep(0s));
    EXPECT_TRUE(server.is_serving());
    EXPECT_THROW(await(server.serve_forever()), RuntimeError);
    serving.cancel();
    await(ended(serving));
    EXPECT_TRUE(serving.cancelled());
    EXPECT_TRUE(server.sockets().empty());
    EXPECT_THROW(await(server.start_serving()), RuntimeError);
    EXPECT_THROW(await(server.serve_forever()), RuntimeError);
  });
}

TEST(Server, CloseEndsServeForever) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    auto serving = create_task([&] { await(server.serve_forever()); });
    await(sleep(0s));
    server.close();
    await(ended(serving));
    EXPECT_TRUE(serving.cancelled());
  });
}

TEST(Server, WithClosesItAfterTheBody) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    const int port = await(server.with([&] {
      EXPECT_TRUE(server.is_serving());
      return port_of(server);
    }));
    EXPECT_GT(port, 0);
    EXPECT_FALSE(server.is_serving());
    Server second = await(start_server(echo, "127.0.0.1", 0));
    EXPECT_THROW(await(second.with([] { throw ValueError("body"); })), ValueError);
    EXPECT_FALSE(second.is_serving());
  });
}

TEST(Server, ReportsAnErrorOfTheClientFunctionAndClosesTheConnection) {
  run_in_loop([] {
    std::string message;
    get_running_loop().set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { message = context.message; });
    Server server =
        await(start_server([](StreamReader, StreamWriter) { throw ValueError("client"); }, "127.0.0.1", 0));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
    EXPECT_EQ(await(reader.read()), "");
    EXPECT_EQ(message, "Unhandled exception in client_connected_cb");
    writer.close();
    end(server);
  });
}

TEST(Server, ListensOnSeveralHosts) {
  run_in_loop([] {
    Server server = await(start_server(echo, std::vector<std::string>{"127.0.0.1", "127.0.0.2"}, 0));
    ASSERT_EQ(server.sockets().size(), 2u);
    for (const Socket& socket : server.sockets()) {
      auto [reader, writer] = await(open_connection(socket.getsockname().host(), socket.port()));
      writer.write("x");
      EXPECT_EQ(await(reader.read(1)), "x");
      writer.close();
    }
    end(server);
  });
}

TEST(Server, APortThatIsTakenIsAnErrorThatNamesIt) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    try {
      await(start_server(echo, "127.0.0.1", port_of(server)));
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), EADDRINUSE);
      EXPECT_NE(std::string(error.what()).find(std::to_string(port_of(server))), std::string::npos)
          << error.what();
    }
    end(server);
  });
}

// A kind of system calls fails for 2.5 s: the server reports it each second, and then serves who waited. By
// injection: with no descriptor left at all, sanitizers cannot check an address.
void server_pauses_while(std::string_view fails, int error, const std::string& message) {
  SCOPED_TRACE(error);
  run_in_loop([&] {
    struct Shortage final : runtime::FaultPlan {
      Shortage(std::string_view its_call, int its_error) : call(its_call), error(its_error) {}
      int fail(const char* made) noexcept override {
        return is_short && std::string_view(made).ends_with(call) ? error : 0;
      }
      const std::string_view call;
      const int error;
      bool is_short = true;
    } plan(fails, error);
    runtime::current_fault_plan = &plan;
    int reports = 0;
    get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
      EXPECT_EQ(context.message, message);
      ++reports;
    });
    Server server = await(start_server(echo, "127.0.0.1", 0));
    const Socket client(AF_INET, SOCK_STREAM);
    const SocketAddress address("127.0.0.1", port_of(server));
    ::connect(client.fd(), address.data(), address.size());
    await(sleep(2500ms));
    plan.is_short = false;
    EXPECT_EQ(reports, 3);
    auto [reader, writer] = await(open_connection(client));
    writer.write("x");
    EXPECT_EQ(await(reader.read(1)), "x");
    runtime::current_fault_plan = nullptr;
    writer.close();
    end(server);
  });
}

TEST(Server, PausesWhileThereIsNoDescriptorAndLosesNobody) {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM})
    server_pauses_while("accept4", error, "socket.accept() out of system resource");
}

// What a firewall forbids, and what the network did to one client, do not make the server deaf.
TEST(Server, PausesAfterOtherErrorsOfAcceptAndLosesNobody) {
  for (const int error : {EPERM, ETIMEDOUT, ECONNRESET})
    server_pauses_while("accept4", error, "socket.accept() failed");
}

// Watches of the kernel need memory (ENOMEM) and are limited (ENOSPC).
TEST(Server, PausesWhileTheKernelDoesNotWatchItsSocketAndLosesNobody) {
  for (const int error : {ENOMEM, ENOSPC})
    server_pauses_while("epoll_ctl", error, "a server cannot watch its listening socket");
}

TEST(Server, LeavesNoDescriptorAndNoMemoryBehind) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0));
    const int port = port_of(server);
    const auto connect_once = [port] {
      auto [reader, writer] = await(open_connection("127.0.0.1", port));
      writer.write("x");
      EXPECT_EQ(await(reader.read(1)), "x");
      writer.close();
      await(writer.wait_closed());
    };
    connect_once();
    await(sleep(1s));
    const auto before = open_descriptors();
    for (int i = 0; i < 300; ++i) connect_once();
    await(sleep(1s));
    EXPECT_EQ(open_descriptors(), before);
    end(server);
  });
}

// ---- a loop that closes

TEST(ClosingLoop, ClosesServersAndConnectionsThatAreOpen) {
  const auto before = open_descriptors();
  StreamWriter* kept = nullptr;
  {
    testing::TestLoop loop;
    loop.run_until_complete([&] {
      Server server = await(start_server(echo, "127.0.0.1", 0));
      auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
      writer.write("x");
      await(reader.read(1));
      kept = new StreamWriter(writer);
    });
    set_log_sink([](LogLevel, std::string_view) {});
    loop.close();
    set_log_sink({});
  }
  EXPECT_TRUE(kept->is_closing());
  kept->write("dropped");
  kept->close();
  EXPECT_EQ(repr(*kept), "<StreamWriter transport=<SocketTransport closed>>");
  delete kept;  // it kept what is left of the loop
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace aiofiber
