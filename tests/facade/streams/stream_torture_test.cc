// SPDX-License-Identifier: Apache-2.0
//
// Every call that waits for a stream, a server or a socket, and everything that can happen to it meanwhile
// (torture.h); then shortage of memory, errors of the kernel, and random programs.
// Labels: torture
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "facade/streams/torture.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using namespace torture;

// ---- streams

template <class Make>
Call read_call(const char* name, const char* before, const char* result, const char* at_end, Make make) {
  Call made = call(name, connected_with(before), make);
  made.satisfy = [](Bench& bench) { bench.peer_sends(kMore); };
  made.result = result;
  made.check = nothing_is_lost;
  made.events[0] = made.events[1] = made.events[3] = made.events[4] = at_end;
  made.events[2] = "gone";
  return made;
}

Coro<std::string> next_line(StreamReader reader) { co_return co_await reader.readline(); }
std::string next_line_of_loop(const StreamReader& reader) {
  for (const std::string& line : reader) return line;
  return {};
}

std::vector<Call> stream_calls() {
  std::vector<Call> all;
  all.push_back(read_call("read()", "ab", "", "ab", [](Bench& b) { return b.reader->read(); }));
  all.back().satisfy = [](Bench& bench) {
    bench.peer_sends(kMore);
    ::shutdown(bench.peer.fd(), SHUT_WR);
  };
  all.back().result = std::string("ab") + kMore;
  // What it has gathered is lost with it.
  all.back().check = [](Bench& bench, const std::string& got) {
    ::shutdown(bench.peer.fd(), SHUT_WR);
    const std::string rest = got + await(bench.reader->read());
    EXPECT_TRUE(bench.sent.ends_with(rest)) << rest;
    if (!got.empty()) {
      EXPECT_EQ(rest, bench.sent);
    }
  };
  all.push_back(read_call("read(n)", "", kMore, "", [](Bench& b) { return b.reader->read(100); }));
  all.push_back(read_call("readline", "ab", "abc\r\n", "ab", [](Bench& b) { return b.reader->readline(); }));
  all.push_back(read_call("readexactly", "ab", "abc\r\nd", "incomplete:ab",
                          [](Bench& b) { return b.reader->readexactly(6); }));
  all.push_back(read_call("readuntil one", "ab", "abc\r\n", "incomplete:ab",
                          [](Bench& b) { return b.reader->readuntil("\r\n"); }));
  all.push_back(read_call("readuntil several", "ab", "abc\r\nd;", "incomplete:ab", [](Bench& b) {
    return b.reader->readuntil({"d;", "d;e"});
  }));
  all.push_back(
      read_call("read_into", "", kMore, "", [](Bench& b) { return b.reader->read_into(b.memory); }));
  all.push_back(read_call("readexactly_into", "ab", "abc\r\nd", "incomplete:ab",
                          [](Bench& b) { return b.reader->readexactly_into(b.memory); }));
  all.push_back(read_call("iteration", "ab", "abc\r\n", "ab", [](Bench& b) { return next_line(*b.reader); }));
  all.back().on_stack = [](Bench& b) { return next_line_of_loop(*b.reader); };

  all.push_back(call("drain", fill, [](Bench& b) { return b.writer->drain(); }));
  all.back().satisfy = all_arrives;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    all_arrives(bench);
    await(bench.writer->drain());
  };
  all.back().events[0] = all.back().events[2] = "gone";
  all.back().events[1] = all.back().events[4] = "-";
  all.back().events[3] = "done";

  all.push_back(call("wait_closed", connect, [](Bench& b) { return b.writer->wait_closed(); }));
  all.back().satisfy = [](Bench& bench) { bench.writer->close(); };
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    bench.writer->close();
    await(bench.writer->wait_closed());
  };
  all.back().events[0] = all.back().events[1] = "-";
  all.back().events[2] = "gone";
  all.back().events[3] = all.back().events[4] = "done";

  all.push_back(call(
      "wait_closed of what is buffered",
      [](Bench& bench) {
        fill(bench);
        bench.writer->close();
      },
      [](Bench& b) { return b.writer->wait_closed(); }));
  all.back().satisfy = all_arrives;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    all_arrives(bench);
    await(bench.writer->wait_closed());
  };
  all.back().events[0] = all.back().events[2] = "gone";
  all.back().events[1] = all.back().events[4] = "-";
  all.back().events[3] = "done";
  return all;
}

// ---- connections and servers

// Sends back what comes. A client that breaks off is none of its errors.
void echo(StreamReader reader, StreamWriter writer) {
  try {
    for (;;) {
      std::string bytes = await(reader.read(64 * 1024));
      if (bytes.empty()) break;
      writer.write(std::move(bytes));
      await(writer.drain());
    }
  } catch (const std::system_error&) {
  }
  writer.close();
}

void serve(Bench& bench) {
  bench.server = await(start_server(echo, "127.0.0.1", 0));
  const Socket client(::socket(AF_INET, SOCK_STREAM, 0));
  const SocketAddress there = bench.server->sockets().at(0).getsockname();
  static_cast<void>(::connect(client.fd(), there.data(), there.size()));
  bench.peer = client;
  // Until the server has it.
  EXPECT_TRUE(comes([&] { return ::send(client.fd(), "x", 1, MSG_NOSIGNAL) == 1; }));
  char echoed = 0;
  EXPECT_TRUE(comes([&] { return ::recv(client.fd(), &echoed, 1, MSG_DONTWAIT) == 1; }));
}

// A server that has no place for one more client.
void fill_backlog(Bench& bench, const SocketAddress& address) {
  bench.own = Socket(::socket(address.family(), SOCK_STREAM, 0));
  ASSERT_EQ(::bind(bench.own.fd(), address.data(), address.size()), 0);
  ASSERT_EQ(::listen(bench.own.fd(), 0), 0);
  const SocketAddress there = bench.own.getsockname();
  for (int i = 0; i < 4; ++i) {
    bench.others.emplace_back(::socket(address.family(), SOCK_STREAM, 0));
    static_cast<void>(::connect(bench.others.back().fd(), there.data(), there.size()));
  }
}
std::string abstract_name() {
  return std::string(1, '\0') + "aiofiber-torture-" + std::to_string(::getpid());
}
void fill_unix_backlog(Bench& bench) { fill_backlog(bench, SocketAddress::unix_path(abstract_name())); }
void fill_tcp_backlog(Bench& bench) { fill_backlog(bench, SocketAddress("127.0.0.1", 0)); }
void accept_all(Bench& bench) {
  for (int fd; (fd = ::accept(bench.own.fd(), nullptr, nullptr)) >= 0;)
    bench.others.push_back(Socket::adopt(fd));  // closed if there is no memory
}

std::vector<Call> connection_calls() {
  std::vector<Call> all;
  all.push_back(call("serve_forever", serve, [](Bench& b) { return b.server->serve_forever(); }));
  all.back().satisfy = [](Bench& bench) {
    bench.server->close();
    bench.server->close_clients();
  };
  all.back().result = "cancelled";
  all.back().events[4] = "-";  // its client is still there
  all.push_back(call(
      "Server.wait_closed",
      [](Bench& bench) {
        serve(bench);
        bench.server->close();
      },
      [](Bench& b) { return b.server->wait_closed(); }));
  all.back().satisfy = [](Bench& bench) { bench.peer.close(); };
  all.back().result = "done";
  all.back().events[0] = all.back().events[1] = all.back().events[2] = "done";
  all.push_back(call("open_unix_connection", fill_unix_backlog,
                     [](Bench&) { return open_unix_connection(abstract_name()); }));
  all.back().satisfy = accept_all;
  all.back().result = "connected";
  all.back().events[4] = "errno Connection refused";
  all.push_back(call("open_connection", fill_tcp_backlog,
                     [](Bench& b) { return open_connection("127.0.0.1", b.own.port()); }));
  all.push_back(call(
      "open_connection(socket)",
      [](Bench& bench) { std::tie(bench.own, bench.peer) = connected_sockets(bench.wire); },
      [](Bench& b) { return open_connection(std::exchange(b.own, Socket())); }));
  all.back().satisfy = [](Bench&) {};
  all.back().result = "connected";
  all.back().waits = false;
  all.push_back(call(
      "start_server", [](Bench&) {}, [](Bench&) { return start_server(echo, "127.0.0.1", 0); }));
  all.back().satisfy = [](Bench&) {};
  all.back().result = "serving";
  all.back().waits = false;
  all.push_back(call(
      "connect_read_pipe",
      [](Bench& bench) { std::tie(bench.own, bench.peer) = connected_sockets(Wire::kUnix); },
      [](Bench& b) {
        return b.loop.connect_read_pipe([] { return std::make_shared<Protocol>(); }, b.pipe = b.own.detach());
      }));
  all.back().satisfy = [](Bench&) {};
  all.back().result = "opened";
  all.back().waits = false;
  all.push_back(all.back());
  all.back().name = "connect_write_pipe";
  const Call write_pipe = call("", {}, [](Bench& b) {
    return b.loop.connect_write_pipe([] { return std::make_shared<Protocol>(); }, b.pipe = b.own.detach());
  });
  all.back().on_stack = write_pipe.on_stack;
  all.back().without_stack = write_pipe.without_stack;
  all.push_back(call(
      "create_datagram_endpoint", [](Bench&) {},
      [](Bench& b) {
        DatagramEndpointOptions options{.local_addr = {{"127.0.0.1", 0}}};
        return b.loop.create_datagram_endpoint([] { return std::make_shared<DatagramProtocol>(); }, options);
      }));
  all.back().satisfy = [](Bench&) {};
  all.back().result = "opened";
  all.back().waits = false;
  return all;
}

// ---- the loop's calls on sockets

void pair_of_sockets(Bench& bench) {
  std::tie(bench.own, bench.peer) = connected_sockets(bench.wire);
  bench.own.set_option(SOL_SOCKET, SO_SNDBUF, 4096);
}
void nothing_is_lost_by_the_socket(Bench& bench, const std::string& got) {
  ::shutdown(bench.peer.fd(), SHUT_WR);
  std::string all = got;
  for (;;) {
    const std::string some = await(bench.loop.sock_recv(bench.own.fd(), 100));
    if (some.empty()) break;
    all += some;
  }
  EXPECT_EQ(all, bench.sent);
}

template <class Make>
Call receive_call(const char* name, Make make) {
  Call made = call(name, pair_of_sockets, make);
  made.satisfy = [](Bench& bench) { bench.peer_sends("abc"); };
  made.result = "abc";
  made.check = nothing_is_lost_by_the_socket;
  made.events[0] = made.events[1] = "";
  made.events[2] = "gone";
  made.events[4] = "errno Bad file descriptor";
  return made;
}

template <class Make>
Call send_call(const char* name, Make make) {
  Call made = call(name, pair_of_sockets, make);
  made.satisfy = [](Bench& bench) {
    bench.bytes = 400'000;
    all_arrives(bench);
  };
  made.result = "done";
  made.events[0] = made.events[2] = "gone";
  made.events[1] = "-";
  made.events[4] = "errno Bad file descriptor";
  return made;
}

// A client is accepted once, whatever becomes of the calls.
void every_client_is_accepted(Bench& bench, const std::string&) {
  while (bench.accepts < bench.connects) {
    bench.others.push_back(await(bench.loop.sock_accept(bench.own.fd())).first);
    ++bench.accepts;
  }
  EXPECT_LT(::accept(bench.own.fd(), nullptr, nullptr), 0);
}

std::vector<Call> socket_calls() {
  std::vector<Call> all;
  all.push_back(receive_call("sock_recv", [](Bench& b) { return b.loop.sock_recv(b.own.fd(), 6); }));
  all.push_back(
      receive_call("sock_recv_into", [](Bench& b) { return b.loop.sock_recv_into(b.own.fd(), b.memory); }));
  all.push_back(receive_call("sock_recvfrom", [](Bench& b) { return b.loop.sock_recvfrom(b.own.fd(), 6); }));
  all.push_back(receive_call("sock_recvfrom_into",
                             [](Bench& b) { return b.loop.sock_recvfrom_into(b.own.fd(), b.memory); }));
  all.push_back(send_call(
      "sock_sendall", [](Bench& b) { return b.loop.sock_sendall(b.own.fd(), std::string(400'000, 'x')); }));
  all.push_back(send_call("sock_sendfile",
                          [](Bench& b) { return b.loop.sock_sendfile(b.own.fd(), b.others.at(0).fd()); }));
  all.back().prepare = [](Bench& bench) {
    pair_of_sockets(bench);
    bench.memory.assign(400'000, 'f');
    const int file = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    EXPECT_EQ(::write(file, bench.memory.data(), bench.memory.size()), 400'000);
    bench.others.emplace_back(file);
  };
  all.back().result = std::string(400'000, 'f');
  all.push_back(call(
      "sock_accept",
      [](Bench& bench) {
        bench.own = Socket(::socket(AF_UNIX, SOCK_STREAM, 0));
        const SocketAddress address = SocketAddress::unix_path(abstract_name());
        ASSERT_EQ(::bind(bench.own.fd(), address.data(), address.size()), 0);
        ASSERT_EQ(::listen(bench.own.fd(), 5), 0);
      },
      [](Bench& b) { return b.loop.sock_accept(b.own.fd()); }));
  all.back().satisfy = [](Bench& bench) {
    const SocketAddress address = SocketAddress::unix_path(abstract_name());
    bench.others.push_back(Socket::adopt(::socket(AF_UNIX, SOCK_STREAM, 0)));
    EXPECT_EQ(::connect(bench.others.back().fd(), address.data(), address.size()), 0);
    ++bench.connects;
  };
  all.back().result = "accepted";
  all.back().check = every_client_is_accepted;
  all.back().events[4] = "errno Bad file descriptor";
  all.push_back(call(
      "sock_connect",
      [](Bench& bench) {
        fill_unix_backlog(bench);
        bench.peer = Socket(::socket(AF_UNIX, SOCK_STREAM, 0));
      },
      [](Bench& b) { return b.loop.sock_connect(b.peer.fd(), SocketAddress::unix_path(abstract_name())); }));
  all.back().satisfy = accept_all;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string& got) {
    if (got == "done") return;
    accept_all(bench);
    await(bench.loop.sock_connect(bench.peer.fd(), SocketAddress::unix_path(abstract_name())));
  };
  all.back().events[4] = "errno Connection refused";
  all.push_back(call(
      "sock_connect of TCP",
      [](Bench& bench) {
        fill_tcp_backlog(bench);
        bench.peer = Socket(::socket(AF_INET, SOCK_STREAM, 0));
      },
      [](Bench& b) { return b.loop.sock_connect(b.peer.fd(), b.own.getsockname()); }));
  all.push_back(call(
      "sock_sendto",
      [](Bench& bench) {
        std::tie(bench.own, bench.peer) = socketpair(AF_UNIX, SOCK_DGRAM);
        while (::send(bench.own.fd(), "xxxxx", 5, MSG_NOSIGNAL) == 5) bench.bytes += 5;
      },
      [](Bench& b) { return b.loop.sock_sendto(b.own.fd(), "xxxxx", SocketAddress()); }));
  all.back().satisfy = [](Bench& bench) { bench.peer_takes(); };
  all.back().result = ".....";
  all.back().check = [](Bench& bench, const std::string& got) {
    bench.peer_takes();
    EXPECT_EQ(bench.taken, bench.bytes + (got == "....." ? 5 : 0));
  };
  all.back().events[4] = "errno Bad file descriptor";
  return all;
}

const std::vector<Call>& all_calls() {
  static const std::vector<Call> all = [] {
    std::vector<Call> calls = stream_calls();
    for (std::vector<Call> more : {connection_calls(), socket_calls()})
      calls.insert(calls.end(), more.begin(), more.end());
    return calls;
  }();
  return all;
}

// ---- the cases --------------------------------------------------------------------------------------------

TEST(StreamTorture, ACallGivesItsResult) { gives_its_result(all_calls()); }
TEST(StreamTorture, ACancelledCallLeavesTheStreamUsable) {
  leaves_the_stream_usable_when_cancelled(all_calls());
}
TEST(StreamTorture, ALimitEndsACall) { ends_at_a_limit(all_calls()); }
TEST(StreamTorture, ACallThatIsCancelledAsItsResultComesLosesNothing) {
  loses_nothing_when_cancelled_beside_its_result(all_calls());
}
TEST(StreamTorture, EachEventEndsACallAsInAsyncio) { ends_by_each_event(all_calls()); }
TEST(StreamTorture, ALoopThatClosesLeavesNothing) { leaves_nothing_in_a_loop_that_closes(all_calls()); }
TEST(StreamTorture, OneFailedAllocationLeavesNothing) {
  leaves_nothing_after_a_failed_allocation(all_calls());
}

// ---- shortage of memory -----------------------------------------------------------------------------------

// A server that has no descriptor for a client, or no watch, and then no memory to wait for one, accepts
// later all the same.
void server_goes_on_without(const char* what, int error) {
  SCOPED_TRACE(what);
  struct Shortage final : runtime::FaultPlan {
    Shortage(std::string_view its_call, int its_error) : call(its_call), error(its_error) {}
    int fail(const char* made) noexcept override {
      return left > 0 && std::string_view(made).ends_with(call) && left-- > 0 ? error : 0;
    }
    const std::string_view call;
    const int error;
    int left = call == "epoll_ctl" ? 2 : 1;  // the loop asks again before it believes it
  };
  set_log_sink([](LogLevel, std::string_view) {});
  failed = true;
  for (long n = 1; failed && !::testing::Test::HasFailure(); ++n) {
    in_a_loop("allocation " + std::to_string(n), Wire::kTcp, [&](Bench& bench) {
      bench.loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
      bench.server = await(start_server(echo, "127.0.0.1", 0));
      Shortage plan(what, error);
      runtime::current_fault_plan = &plan;
      bench.peer = Socket(::socket(AF_INET, SOCK_STREAM, 0));
      const SocketAddress there = bench.server->sockets().at(0).getsockname();
      static_cast<void>(::connect(bench.peer.fd(), there.data(), there.size()));
      failed = false;
      // The task sleeps already when memory gets short, so all of it is the server's.
      bench.loop.call_soon([n] { allocations_left = n; });
      await(sleep(5s));
      allocations_left = 0;
      runtime::current_fault_plan = nullptr;
      // A second client: the first may have been dropped by what failed.
      const Socket second(::socket(AF_INET, SOCK_STREAM, 0));
      static_cast<void>(::connect(second.fd(), there.data(), there.size()));
      bench.others.push_back(second);
      EXPECT_TRUE(comes([&] { return ::send(second.fd(), "x", 1, MSG_NOSIGNAL) == 1; }));
      char echoed = 0;
      EXPECT_TRUE(comes([&] { return ::recv(second.fd(), &echoed, 1, MSG_DONTWAIT) == 1; }));
    });
  }
  set_log_sink(nullptr);
}
TEST(StreamTorture, AServerOutOfDescriptorsAndMemoryGoesOn) { server_goes_on_without("accept4", EMFILE); }
TEST(StreamTorture, AServerThatIsNotWatchedAndOutOfMemoryGoesOn) {
  server_goes_on_without("epoll_ctl", ENOMEM);
}

// What write() could not keep was not half sent: the peer gets all of it or the connection ends.
TEST(StreamTorture, AWriteWithoutMemoryIsSentWholeOrEndsTheConnection) {
  for (const std::size_t bytes : {100'000u, 400'000u}) {
    failed = true;
    for (long n = 1; failed && !HasFailure(); ++n) {
      in_a_loop("allocation " + std::to_string(n), Wire::kUnix, [&](Bench& bench) {
        connect(bench);
        bench.writer->get_extra_info(extra_info::socket)->set_option(SOL_SOCKET, SO_SNDBUF, 4096);
        const std::string text(bytes, 'x');
        failed = false;
        allocations_left = n;
        bool refused = false;
        try {
          bench.writer->write(text);
        } catch (const std::bad_alloc&) {
          refused = true;
        }
        allocations_left = 0;
        passes(3);
        EXPECT_EQ(failed, refused);
        if (refused) {
          EXPECT_TRUE(bench.writer->is_closing());
          EXPECT_THROW(await(bench.writer->wait_closed()), std::bad_alloc);
          return;
        }
        bench.bytes = bytes;
        all_arrives(bench);
      });
    }
  }
}
TEST(StreamTorture, AWriteWithoutMemoryThatSentNothingLeavesTheConnection) {
  in_a_loop("a full socket", Wire::kUnix, [&](Bench& bench) {
    struct Full final : runtime::FaultPlan {
      int fail(const char* call) noexcept override { return std::string_view(call) == "sendto" ? EAGAIN : 0; }
    } plan;
    connect(bench);
    const std::string text(100, 'x');  // longer than what a string keeps in itself
    bool refused = false;
    runtime::current_fault_plan = &plan;
    allocations_left = 1;
    try {
      bench.writer->write(text);
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    allocations_left = 0;
    runtime::current_fault_plan = nullptr;
    EXPECT_TRUE(refused);
    const std::uint64_t begun = bench.loop.iteration();
    await(sleep(1s));
    // The socket is writable, and nothing waits for that: time does not stand still.
    EXPECT_LT(bench.loop.iteration() - begun, 5u);
    EXPECT_FALSE(bench.writer->is_closing());
    bench.writer->write("kept");
    bench.bytes = 4;
    all_arrives(bench);
  });
}

// ---- errors of the kernel ---------------------------------------------------------------------------------

// Fails the calls of some names with an error, as a seed decides; or so many in a row.
class Storm final : public runtime::FaultPlan {
 public:
  Storm(std::set<std::string_view> calls, int error, unsigned percent, unsigned seed = 1)
      : calls_(std::move(calls)), error_(error), percent_(percent), random_(seed) {
    runtime::current_fault_plan = this;
  }
  ~Storm() override { runtime::current_fault_plan = nullptr; }
  int fail(const char* call) noexcept override {
    if (calls_.count(call) == 0 || random_() % 100 >= percent_) return 0;
    ++count;
    return error_;
  }
  int count = 0;

 private:
  const std::set<std::string_view> calls_;
  const int error_;
  const unsigned percent_;
  std::minstd_rand random_;
};

void echo_much(Bench& bench, std::size_t bytes) {
  bench.server = await(start_server(echo, "127.0.0.1", 0));
  auto [reader, writer] = await(open_connection("127.0.0.1", bench.server->sockets().at(0).port()));
  bench.writer = writer;
  std::string sent(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) sent[i] = static_cast<char>(i * 31 >> 3);
  auto sending = create_task([&, w = writer] {
    for (std::size_t at = 0; at < sent.size(); at += 7'000) {
      w.write(std::string_view(sent).substr(at, 7'000));
      await(w.drain());
    }
    w.write_eof();
  });
  const std::string got = await(reader.read());
  await(sending);
  EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
  writer.close();
  await(writer.wait_closed());
}

TEST(KernelErrors, StormsOfInterruptedAndBlockedCallsLoseNothing) {
  for (const int error : {EINTR, EAGAIN}) {
    for (const unsigned percent : {20u, 60u, 90u}) {
      in_a_loop("storm", Wire::kTcp, [&](Bench& bench) {
        const Storm storm({"recvfrom", "sendto", "sendmsg", "accept4"}, error, percent);
        echo_much(bench, 300'000);
        EXPECT_GT(storm.count, 3);
      });
    }
  }
}

TEST(KernelErrors, StormsLoseNothingOfTheCallsOnSockets) {
  for (const int error : {EINTR, EAGAIN}) {
    in_a_loop("storm", Wire::kUnix, [&](Bench& bench) {
      const Storm storm({"recvfrom", "sendto"}, error, 70);
      auto [a, b] = connected_sockets(Wire::kUnix);
      const std::string text(200'000, 'x');
      auto sending = create_task(bench.loop.sock_sendall(a.fd(), text));
      std::size_t got = 0;
      while (got < text.size()) got += await(bench.loop.sock_recv(b.fd(), 5'000)).size();
      await(sending);
      EXPECT_EQ(got, text.size());
    });
  }
}

volatile std::sig_atomic_t alarms = 0;

TEST(KernelErrors, ATimerSignalInterruptsNothing) {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { alarms = alarms + 1; };  // without SA_RESTART
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval often{{0, 500}, {0, 500}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
  alarms = 0;
  while (alarms < 20) in_a_loop("alarms", Wire::kTcp, [](Bench& bench) { echo_much(bench, 1'000'000); });
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
}

TEST(KernelErrors, AShortageAtSendingEndsTheConnectionWithIt) {
  in_a_loop("ENOBUFS", Wire::kUnix, [&](Bench& bench) {
    connect(bench);
    {
      const Storm storm({"sendto"}, ENOBUFS, 100);
      bench.writer->write("x");
    }
    passes(2);
    for (auto call : {&StreamWriter::drain, &StreamWriter::wait_closed}) {
      try {
        await((*bench.writer.*call)());
        ADD_FAILURE();
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), ENOBUFS);
      }
    }
    EXPECT_THROW(await(bench.reader->read()), std::system_error);
  });
}

TEST(KernelErrors, AShortageOfDescriptorsIsTheErrorOfTheCall) {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
    in_a_loop("socket", Wire::kTcp, [&](Bench& bench) {
      const auto code_of = [](auto open) {
        try {
          await(open());
          return 0;
        } catch (const std::system_error& thrown) {
          return thrown.code().value();
        }
      };
      bench.server = await(start_server(echo, "127.0.0.1", 0));
      const int port = bench.server->sockets().at(0).port();
      {
        const Storm storm({"socket"}, error, 100);
        EXPECT_EQ(code_of([&] { return open_connection("127.0.0.1", port); }), error);
        EXPECT_EQ(code_of([&] { return open_unix_connection(abstract_name()); }), error);
        EXPECT_EQ(code_of([&] { return start_server(echo, "127.0.0.1", 0); }), error);
      }
      {
        const Storm storm({"connect"}, error, 100);
        EXPECT_EQ(code_of([&] { return open_connection("127.0.0.1", port); }), error);
      }
      {
        const Storm storm({"listen"}, error, 100);
        EXPECT_EQ(code_of([&] { return start_server(echo, "127.0.0.1", 0); }), error);
      }
      auto [reader, writer] = await(open_connection("127.0.0.1", port));
      bench.reader = reader;
      bench.writer = writer;
    });
  }
}

// accept(2) tells what the network did to a client that waited. The next client is served.
TEST(KernelErrors, AnErrorOfOneClientIsNoneOfTheServer) {
  for (const int error : {ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, ENETUNREACH}) {
    in_a_loop(std::strerror(error), Wire::kTcp, [&](Bench& bench) {
      struct OneClient final : runtime::FaultPlan {
        explicit OneClient(int its_error) : error(its_error) {}
        int fail(const char* call) noexcept override {
          return std::string_view(call) == "accept4" ? std::exchange(error, 0) : 0;
        }
        int error;
      } plan(error);
      runtime::current_fault_plan = &plan;
      echo_much(bench, 10);
      runtime::current_fault_plan = nullptr;
      EXPECT_EQ(plan.error, 0);
    });
  }
}

// ---- random programs --------------------------------------------------------------------------------------

// One connection: a task writes pieces, another reads by calls of all kinds, some of which are cancelled on
// the way. The model: what is read is what was written, in order, once; then the end.
class RandomProgram {
 public:
  explicit RandomProgram(unsigned seed) : random_(seed) {}

  void run() {
    auto [a, b] = connected_sockets(Wire::kUnix);
    if (one_of(2) == 0) a.set_option(SOL_SOCKET, SO_SNDBUF, 4096);
    limit_ = one_of(2) == 0 ? kDefaultStreamLimit : 8 + one_of(300);
    auto [unused, writer] = await(open_connection(a));
    auto [reader, peer_writer] = await(open_connection(b, {.limit = limit_}));
    const bool coroutine = one_of(2) == 0;
    auto writing = create_task([this, w = writer] { write(w); });
    if (coroutine) {
      await(create_task(read_without_stack(reader)));
    } else {
      read(reader);
    }
    await(writing);
    EXPECT_TRUE(aborted_ ? sent_.starts_with(got_) : got_ == sent_) << got_.size() << " of " << sent_.size();
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(await(reader.read(10)), "");
      EXPECT_EQ(await(reader.readline()), "");
    }
    EXPECT_TRUE(reader.at_eof());
    writer.close();
    peer_writer.close();
    passes(2);
  }

 private:
  std::size_t one_of(std::size_t count) { return random_() % count; }

  std::string piece() {
    constexpr std::size_t kMost[] = {1, 8, 60, 700, 9000};
    std::string text(one_of(kMost[one_of(5)]), '\0');
    for (char& c : text) c = "abc;\r\n"[one_of(6)];
    return text;
  }
  void write(const StreamWriter& writer) {
    for (std::size_t left = one_of(25); left > 0; --left) {
      std::string text = piece();
      sent_ += text;
      switch (one_of(6)) {
        case 0:
          writer.writelines(
              std::vector<std::string>{text.substr(0, text.size() / 3), text.substr(text.size() / 3)});
          break;
        case 1:
          writer.write(std::move(text));
          break;
        default:
          writer.write(std::string_view(text));
      }
      switch (one_of(4)) {
        case 0:
          await(writer.drain());
          break;
        case 1:
          passes(static_cast<int>(one_of(3)));
          break;
        case 2: {
          auto draining = create_task([&] { await(writer.drain()); });
          passes(static_cast<int>(one_of(3)));
          draining.cancel();
          await(ended(draining));
          break;
        }
      }
    }
    switch (one_of(5)) {
      case 0:
        aborted_ = true;
        writer.transport().abort();
        break;
      case 1:
        writer.write_eof();
        break;
      default:
        writer.close();
    }
  }

  struct Step {
    std::size_t kind;
    std::size_t count;
    int cancelled_after;  // passes; -1: not
  };
  Step next_step() {
    // A line that is too long is dropped: only where none is.
    return {one_of(limit_ == kDefaultStreamLimit ? 6 : 5), 1 + one_of(40) * one_of(40),
            one_of(3) == 0 ? static_cast<int>(one_of(4)) : -1};
  }
  Coroutine<std::string> call_of(const StreamReader& reader, const Step& step) {
    switch (step.kind) {
      case 0:
        return reader.readexactly(static_cast<std::ptrdiff_t>(step.count));
      case 1:
        return reader.readuntil("\r\n");
      case 2:
        return reader.readuntil({";\n", "cb", "\r"});
      case 5:
        return reader.readline();
      default:
        return reader.read(static_cast<std::ptrdiff_t>(step.count));
    }
  }
  // Whether the stream goes on.
  bool take(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const IncompleteReadError& incomplete) {
      got_ += incomplete.partial();
      return false;
    } catch (const LimitOverrunError&) {
      return true;  // all stays
    }
  }
  void read(const StreamReader& reader) {
    for (;;) {
      const Step step = next_step();
      auto reading = create_task([&] { return await(call_of(reader, step)); });
      if (step.cancelled_after >= 0) {
        passes(step.cancelled_after);
        reading.cancel();
      }
      await(ended(reading));
      if (reading.cancelled()) continue;
      if (const std::exception_ptr error = reading.exception(); error != nullptr) {
        if (!take(error)) return;
        got_ += await(reader.read(1 + static_cast<std::ptrdiff_t>(one_of(100))));
        continue;
      }
      got_ += reading.result();
      if (reading.result().empty()) return;
    }
  }
  Coro<void> read_without_stack(StreamReader reader) {
    for (;;) {
      const Step step = next_step();
      auto reading = create_task(call_of(reader, step));
      if (step.cancelled_after >= 0) {
        for (int i = 0; i < step.cancelled_after; ++i) co_await sleep(0s);
        reading.cancel();
      }
      const std::vector<Task<std::string>> all(1, reading);
      co_await wait(all);
      if (reading.cancelled()) continue;
      if (const std::exception_ptr error = reading.exception(); error != nullptr) {
        if (!take(error)) co_return;
        got_ += co_await reader.read(1 + static_cast<std::ptrdiff_t>(one_of(100)));
        continue;
      }
      got_ += reading.result();
      if (reading.result().empty()) co_return;
    }
  }

  std::minstd_rand random_;
  std::size_t limit_ = 0;
  std::string sent_, got_;
  bool aborted_ = false;
};

TEST(RandomStreams, ReadWhatWasWrittenInOrderOnceThenTheEnd) {
  const char* const chosen = std::getenv("AIOFIBER_SEED");
  const unsigned first = chosen != nullptr ? static_cast<unsigned>(std::strtoul(chosen, nullptr, 0)) : 1;
  const unsigned count = chosen != nullptr ? 1 : 1000;
  set_log_sink([](LogLevel, std::string_view) {});
  for (unsigned seed = first; seed < first + count && !HasFailure(); seed += 50) {
    run_in_loop([&] {
      for (unsigned each = seed; each < std::min(seed + 50, first + count) && !HasFailure(); ++each) {
        SCOPED_TRACE("AIOFIBER_SEED=" + std::to_string(each));
        RandomProgram(each).run();
      }
    });
  }
  set_log_sink(nullptr);
}

}  // namespace
}  // namespace aiofiber
