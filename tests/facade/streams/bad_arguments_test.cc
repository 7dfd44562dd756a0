// SPDX-License-Identifier: Apache-2.0
//
// Arguments that make no sense, for sockets, streams, datagrams, children and channels: each is an exception
// that says what is wrong, leaves nothing behind, and the loop goes on.
// Labels: long
#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/descriptors.h"

namespace aiofiber {
namespace {

using namespace std::string_literals;

struct Case {
  const char* what;
  std::function<void()> call;
  const char* says;  // a part of the error's text
};

void check(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    const auto before = open_descriptors();
    std::string text = "(nothing was thrown)";
    try {
      one.call();
    } catch (const std::exception& error) {
      text = error.what();
    }
    EXPECT_NE(text.find(one.says), std::string::npos) << one.what << ": " << text;
    await(sleep(Duration()));  // what a transport has closed is closed in the next pass
    EXPECT_EQ(open_descriptors(), before) << one.what;
  }
}

void serve(StreamReader, StreamWriter writer) { writer.close(); }
std::shared_ptr<Protocol> protocol() { return std::make_shared<Protocol>(); }

TEST(BadArguments, OfPorts) {
  run([] {
    EventLoop& loop = get_running_loop();
    await(loop.getaddrinfo("127.0.0.1", 1));
    check({
        {"connect -1", [] { await(open_connection("127.0.0.1", -1)); }, "port must be 0-65535, not -1"},
        {"connect 65536", [] { await(open_connection("127.0.0.1", 65536)); }, "0-65535, not 65536"},
        {"connect \"70000\"", [] { await(open_connection("127.0.0.1", "70000")); }, "not 70000"},
        {"connect no name", [] { await(open_connection("127.0.0.1", "no-such-service")); }, "[Errno -8]"},
        {"connect NUL", [] { await(open_connection("127.0.0.1", "ht\0tp"s)); }, "embedded null character"},
        {"connect \"\"", [] { await(open_connection("127.0.0.1", "")); }, "('127.0.0.1', 0)"},
        {"listen -1", [] { await(start_server(serve, "127.0.0.1", -1)); }, "0-65535, not -1"},
        {"listen 65536", [] { await(start_server(serve, "127.0.0.1", 65536)); }, "0-65535, not 65536"},
        {"create_connection", [&] { await(loop.create_connection(protocol, "127.0.0.1", -1)); }, "not -1"},
        {"create_server", [&] { await(loop.create_server(protocol, "127.0.0.1", 65536)); }, "not 65536"},
        {"address", [] { SocketAddress("127.0.0.1", 65536); }, "not 65536"},
    });
  });
}

TEST(BadArguments, OfHostsAndPaths) {
  run([] {
    EventLoop& loop = get_running_loop();
    const std::string long_path(200, 'x');
    GetAddrInfoOptions numeric{.flags = AI_NUMERICHOST};
    check({
        {"NUL", [] { await(open_connection("a\0b"s, 1)); }, "null"},
        {"no address", [&] { await(loop.getaddrinfo("no address", 1, numeric)); }, "[Errno -2]"},
        {"no IP", [] { SocketAddress("localhost", 1); }, "'localhost' is no numeric IPv4 or IPv6 address"},
        {"listen NUL", [] { await(start_server(serve, "a\0b"s, 0)); }, "null"},
        {"unix empty", [] { await(open_unix_connection("")); }, "path of a Unix socket is empty"},
        {"unix long", [&] { await(open_unix_connection(long_path)); }, "has 200 bytes, at most"},
        {"unix NUL", [] { await(open_unix_connection("a\0b"s)); }, "has a NUL in it"},
        {"unix nobody", [] { await(open_unix_connection("/no/such/socket")); }, "No such file"},
        {"unix server empty", [] { await(start_unix_server(serve, "")); }, "is empty"},
        {"unix server long", [&] { await(start_unix_server(serve, long_path)); }, "has 200 bytes"},
        {"unix server folder", [] { await(start_unix_server(serve, "/tmp")); }, "/tmp"},
    });
  });
}

TEST(BadArguments, OfServersLeaveNoPathBehind) {
  run([] {
    const std::string path = "/tmp/aiofiber_bad_" + std::to_string(::getpid());
    check({
        {"backlog 0", [&] { await(start_unix_server(serve, path, {.backlog = 0})); }, "at least 1, not 0"},
        {"backlog -1", [&] { await(start_server(serve, "127.0.0.1", 0, {.backlog = -1})); }, "not -1"},
        {"limit 0", [&] { await(start_unix_server(serve, path, {.limit = 0})); }, "Limit cannot be <= 0"},
    });
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
  });
}

TEST(BadArguments, OfStreams) {
  run([] {
    Server server = await(start_server(serve, "127.0.0.1", 0));
    const int port = server.sockets().at(0).port();
    {
      auto [ours, theirs] = socketpair();
      auto [reader, writer] = await(open_connection(ours));
      check({
          {"limit", [&] { await(open_connection("127.0.0.1", port, {.limit = 0})); }, "Limit cannot be"},
          {"readexactly", [&, in = reader] { await(in.readexactly(-1)); }, "less than zero"},
          {"no separator", [&, in = reader] { await(in.readuntil("")); }, "Separator should be"},
          {"marks", [&, out = writer] { out.transport().set_write_buffer_limits({.high = 1, .low = 2}); },
           "must be >= low"},
          {"closed socket", [] { await(open_connection(Socket())); }, "closed"},
          {"listening", [&] { await(open_connection(server.sockets().at(0))); }, "must be connected"},
      });
      EXPECT_EQ(await(reader.read(0)), "");
      writer.write("");
      writer.close();
      writer.write("dropped");  // as asyncio: the close was first
      writer.close();
      await(writer.wait_closed());
      EXPECT_THROW(await(writer.drain()), std::system_error);
      theirs.close();
    }
    server.close();
    await(server.wait_closed());
    check({{"closed server", [&] { await(server.start_serving()); }, "is closed"}});
  });
}

TEST(BadArguments, OfChildren) {
  run([] {
    await(subprocess::run({"true"}));
    const auto start = [](std::vector<std::string> argv, SubprocessOptions options = {}) {
      await(create_subprocess_exec(std::move(argv), std::move(options)));
    };
    check({
        {"no arguments", [&] { start({}); }, "give at least the name of the program"},
        {"empty name", [&] { start({""}); }, "cannot execute ''"},
        {"NUL",
         [&] {
           start({"echo", "a\0b"s});
         },
         "embedded null byte in an argument"},
        {"NUL in executable", [&] { start({"echo"}, {.executable = "a\0b"s}); }, "null byte"},
        {"NUL in cwd", [&] { start({"echo"}, {.cwd = "a\0b"s}); }, "embedded null byte in cwd"},
        {"cwd is a file", [&] { start({"true"}, {.cwd = "/etc/passwd"}); }, "directory '/etc/passwd'"},
        {"pass_fds closed", [&] { start({"true"}, {.pass_fds = {9999}}); }, "file descriptor 9999"},
        {"pass_fds negative", [&] { start({"true"}, {.pass_fds = {-1}}); }, "negative number -1"},
        {"limit", [&] { start({"true"}, {.limit = 0}); }, "Limit cannot be"},
        {"resource",
         [&] {
           start({"true"}, {.limits = {{999, {1, 1}}}});
         },
         "resource limit 999"},
        {"group", [&] { start({"true"}, {.process_group = -1}); }, "give 0 for a new group"},
        {"run", [] { await(subprocess::run({})); }, "give at least the name"},
        {"shell NUL", [] { await(create_subprocess_shell("a\0b"s)); }, "null byte"},
    });
    EXPECT_FALSE(has_child());
  });
}

TEST(BadArguments, OfClosedLoops) {
  EventLoop closed;
  closed.close();
  run([&] {
    check({
        {"create_connection", [&] { await(closed.create_connection(protocol, "127.0.0.1", 1)); },
         "another loop"},
        {"create_server", [&] { await(closed.create_server(protocol, "127.0.0.1", 0)); }, "another loop"},
        {"getaddrinfo", [&] { await(closed.getaddrinfo("127.0.0.1", 1)); }, "another loop"},
        {"sock_recv", [&] { await(closed.sock_recv(0, 1)); }, "another loop"},
        {"sendfile", [&] { await(closed.sendfile(Transport(), 0)); }, "another loop"},
        {"subprocess_exec",
         [&] {
           await(closed.subprocess_exec([] { return std::make_shared<SubprocessProtocol>(); }, {"true"}));
         },
         "another loop"},
        {"channel", [] { Channel<int>(0); }, "room for at least one item"},
    });
  });
}

}  // namespace
}  // namespace aiofiber
