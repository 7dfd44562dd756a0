// SPDX-License-Identifier: Apache-2.0
//
// Every call that waits for a pipe, a datagram or a file on a transport, and everything that can happen to it
// meanwhile (torture.h). Where a row would be over TCP, the pipe is a TCP socket that is used in one
// direction.
// Labels: torture
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "facade/streams/torture.h"
#include "streams/stream_protocol.h"

namespace aiofiber {
namespace {

using namespace torture;

// ---- pipes ------------------------------------------------------------------------------------------------

// The two ends: who reads, who writes. Not sockets, but a Socket closes them.
std::pair<int, int> pipe_of(Wire wire) {
  int fds[2] = {-1, -1};
  if (wire == Wire::kUnix) {
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    return {fds[0], fds[1]};
  }
  auto [one, two] = connected_sockets(wire);
  two.set_option(SOL_SOCKET, SO_SNDBUF, 4096);
  return {one.detach(), two.detach()};
}

// As the pipes of a subprocess: a stream's protocol on the transport of a pipe.
void read_pipe(Bench& bench) {
  const auto [ours, theirs] = pipe_of(bench.wire);
  bench.peer = Socket(theirs);
  bench.reader.emplace();
  const auto protocol = std::make_shared<detail::StreamProtocol>(bench.reader->state(), nullptr);
  bench.transport = await(bench.loop.connect_read_pipe([&] { return protocol; }, ours)).first;
}
std::function<void(Bench&)> read_pipe_with(const char* text) {
  return [text](Bench& bench) {
    read_pipe(bench);
    if (*text == '\0') return;
    bench.peer_sends(text);
    EXPECT_TRUE(comes([&] { return !bench.reader->state()->buffer.empty(); }));
  };
}
void write_pipe(Bench& bench) {
  const auto [theirs, ours] = pipe_of(bench.wire);
  bench.peer = Socket(theirs);
  const runtime::Ref<detail::StreamReaderState> unused(new detail::StreamReaderState(kDefaultStreamLimit));
  const auto protocol = std::make_shared<detail::StreamProtocol>(unused, nullptr);
  const Transport transport = await(bench.loop.connect_write_pipe([&] { return protocol; }, ours)).first;
  bench.writer = StreamWriter(runtime::Ref<detail::StreamWriterState>(
      new detail::StreamWriterState(bench.loop.core(), transport, protocol)));
}
void fill_pipe(Bench& bench) {
  write_pipe(bench);
  bench.bytes = 400'000;
  bench.writer->write(std::string(bench.bytes, 'x'));
}

void nothing_is_lost_of_the_pipe(Bench& bench, const std::string& got) {
  bench.peer.close();
  EXPECT_EQ(got + await(bench.reader->read()), bench.sent);
}

template <class Make>
Call read_pipe_call(const char* name, const char* before, const char* result, const char* at_end, Make make) {
  Call made = call(name, read_pipe_with(before), make);
  made.satisfy = [](Bench& bench) { bench.peer_sends(kMore); };
  made.result = result;
  made.check = nothing_is_lost_of_the_pipe;
  made.events[0] = made.events[3] = made.events[4] = at_end;
  made.events[2] = "gone";
  return made;
}

Table pipe_calls() {
  Table all;
  all.push_back(
      read_pipe_call("read(n) of a pipe", "", kMore, "", [](Bench& b) { return b.reader->read(100); }));
  all.push_back(read_pipe_call("readline of a pipe", "ab", "abc\r\n", "ab",
                               [](Bench& b) { return b.reader->readline(); }));
  all.push_back(read_pipe_call("readexactly of a pipe", "ab", "abc\r\nd", "incomplete:ab",
                               [](Bench& b) { return b.reader->readexactly(6); }));

  all.push_back(call("drain of a pipe", fill_pipe, [](Bench& b) { return b.writer->drain(); }));
  all.back().satisfy = all_arrives;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    all_arrives(bench);
    await(bench.writer->drain());
  };
  all.back().events[0] = all.back().events[2] = "gone";
  all.back().events[3] = "done";
  all.back().events[4] = "-";

  all.push_back(call("wait_closed of a pipe", write_pipe, [](Bench& b) { return b.writer->wait_closed(); }));
  all.back().satisfy = [](Bench& bench) { bench.writer->close(); };
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    bench.writer->close();
    await(bench.writer->wait_closed());
  };
  all.back().events[0] = all.back().events[3] = all.back().events[4] = "done";

  all.push_back(call(
      "wait_closed of what a pipe has buffered",
      [](Bench& bench) {
        fill_pipe(bench);
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
  all.back().events[3] = "done";
  all.back().events[4] = "-";
  return all;
}

// ---- datagrams --------------------------------------------------------------------------------------------

struct Datagrams final : DatagramProtocol {
  void datagram_received(std::string_view bytes, const SocketAddress&) override {
    try {
      received.put_nowait(std::string(bytes));
    } catch (const std::bad_alloc&) {
      received.put_nowait(std::string(bytes));  // one allocation fails; without this the datagram is lost
    }
  }
  void connection_lost(std::exception_ptr) override {
    received.shutdown();
    lost.set();
  }
  Queue<std::string> received;
  aiofiber::Event lost;
};
Datagrams& datagrams(Bench& bench) { return *std::static_pointer_cast<Datagrams>(bench.more); }

void open_datagrams(Bench& bench) {
  auto [ours, theirs] = socketpair(AF_UNIX, SOCK_DGRAM);
  bench.peer = theirs;
  const auto protocol = std::make_shared<Datagrams>();
  bench.more = protocol;
  bench.datagrams =
      await(bench.loop.create_datagram_endpoint([&] { return protocol; }, std::move(ours))).first;
}
// The queue of the transport has datagrams that the kernel does not take.
void fill_datagrams(Bench& bench) {
  open_datagrams(bench);
  while (bench.datagrams->get_write_buffer_size() < 1000) {
    bench.datagrams->sendto("xxxxx");
    bench.bytes += 5;
  }
}

Coro<std::string> end_of_datagrams(Bench& bench) {
  co_await datagrams(bench).lost.wait();
  co_return "done";
}

Table datagram_calls() {
  Table all;
  all.push_back(
      call("wait for a datagram", open_datagrams, [](Bench& b) { return datagrams(b).received.get(); }));
  all.back().satisfy = [](Bench& bench) { bench.peer_sends("abc"); };
  all.back().result = "abc";
  all.back().check = [](Bench& bench, const std::string& got) {
    bench.peer_sends("rest");
    std::string all_of_it = got;
    EXPECT_TRUE(comes([&] {
      while (!datagrams(bench).received.empty()) all_of_it += datagrams(bench).received.get_nowait();
      return all_of_it.size() >= bench.sent.size();
    }));
    EXPECT_EQ(all_of_it, bench.sent);
  };
  all.back().events[0] = "-";  // a datagram socket has no end
  all.back().events[3] = all.back().events[4] = "error: ";

  all.push_back(call(
      "the end of a datagram endpoint",
      [](Bench& bench) {
        fill_datagrams(bench);
        bench.datagrams->close();
      },
      end_of_datagrams));
  all.back().satisfy = all_arrives;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    all_arrives(bench);
    EXPECT_TRUE(comes([&] { return datagrams(bench).lost.is_set(); }));
  };
  all.back().events[0] = all.back().events[3] = "done";
  all.back().events[4] = "-";
  return all;
}

// ---- files ------------------------------------------------------------------------------------------------

constexpr std::size_t kFileBytes = 400'000;

void connect_with_file(Bench& bench) {
  connect(bench);
  bench.writer->get_extra_info(extra_info::socket)->set_option(SOL_SOCKET, SO_SNDBUF, 4096);
  const int file = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  const std::string text(kFileBytes, 'f');
  EXPECT_EQ(::write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(::lseek(file, 0, SEEK_SET), 0);  // it stays there until something was sent
  bench.pipe = file;                         // closed at the end
  bench.bytes = kFileBytes;
}

// The file's position is behind what was sent, and the next write follows it.
void stream_goes_on_behind_the_file(Bench& bench, const std::string& got) {
  const off_t position = ::lseek(bench.pipe, 0, SEEK_CUR);
  if (!got.empty()) {
    EXPECT_EQ(position, static_cast<off_t>(kFileBytes));
  }
  bench.writer->write("x");
  bench.bytes = static_cast<std::size_t>(position) + 1;
  all_arrives(bench);
}

// The peer takes all, or all that is sent by a call that had no memory to go on.
void all_that_is_sent_arrives(Bench& bench) {
  int rounds_without = 0;
  EXPECT_TRUE(comes([&] {
    const std::size_t before = bench.taken;
    bench.peer_takes();
    rounds_without = bench.taken == before ? rounds_without + 1 : 0;
    return bench.taken >= bench.bytes || (failed && rounds_without > 50);
  })) << bench.taken;
}

Coro<std::string> send_file(Bench& bench) {
  const std::size_t sent = co_await bench.loop.sendfile(bench.writer->transport(), bench.pipe, 0);
  co_return std::to_string(sent);
}

Table file_calls() {
  Table all;
  all.push_back(call("loop.sendfile", connect_with_file, send_file));
  all.back().satisfy = all_that_is_sent_arrives;
  all.back().result = std::to_string(kFileBytes);
  all.back().check = stream_goes_on_behind_the_file;
  all.back().events[0] = all.back().events[2] = all.back().events[3] = all.back().events[4] = "gone";
  all.back().events[1] = "-";

  // Behind what was written, which is still in the buffer.
  all.push_back(all.back());
  all.back().name = "loop.sendfile behind a write";
  all.back().prepare = [](Bench& bench) {
    connect_with_file(bench);
    bench.writer->write(std::string(100'000, 'x'));
    bench.bytes += 100'000;
  };
  all.back().events[4] = "-";  // what was written is still sent
  all.back().check = [](Bench& bench, const std::string&) {
    bench.bytes = 100'000 + static_cast<std::size_t>(::lseek(bench.pipe, 0, SEEK_CUR));
    all_arrives(bench);
  };
  return all;
}

const Table& all_calls() {
  static const Table all = [] {
    Table calls;
    for (const auto& table : {pipe_calls(), datagram_calls(), file_calls()})
      calls.insert(calls.end(), table.begin(), table.end());
    return calls;
  }();
  return all;
}

// ---- the cases --------------------------------------------------------------------------------------------

TEST(TransportTorture, ACallGivesItsResult) { gives_its_result(all_calls()); }
TEST(TransportTorture, ACancelledCallLeavesTheStreamUsable) {
  leaves_the_stream_usable_when_cancelled(all_calls());
}
TEST(TransportTorture, ALimitEndsACall) { ends_at_a_limit(all_calls()); }
TEST(TransportTorture, ACallThatIsCancelledAsItsResultComesLosesNothing) {
  loses_nothing_when_cancelled_beside_its_result(all_calls());
}
TEST(TransportTorture, EachEventEndsACallAsInAsyncio) { ends_by_each_event(all_calls()); }
TEST(TransportTorture, ALoopThatClosesLeavesNothing) { leaves_nothing_in_a_loop_that_closes(all_calls()); }
TEST(TransportTorture, OneFailedAllocationLeavesNothing) {
  leaves_nothing_after_a_failed_allocation(all_calls());
}

}  // namespace
}  // namespace aiofiber
