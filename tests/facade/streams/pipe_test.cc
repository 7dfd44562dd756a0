// SPDX-License-Identifier: Apache-2.0
//
// connect_read_pipe() and connect_write_pipe(): order of the calls, both ends, buffers, errors, closing.
//
// Labels: long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

struct Ends {
  Ends() {
    int both[2];
    if (::pipe2(both, O_CLOEXEC) != 0) std::abort();
    read = both[0];
    write = both[1];
  }
  int read;
  int write;
};

// Notes what it is called with.
struct Notes : Protocol {
  void connection_made(Transport its_transport) override {
    transport = its_transport;
    calls += "made ";
  }
  void data_received(std::string_view data) override { received += data; }
  bool eof_received() override {
    calls += "eof ";
    return true;  // means nothing for a pipe
  }
  void connection_lost(std::exception_ptr its_error) override {
    calls += "lost";
    error = its_error;
    lost.set_result();
  }
  void pause_writing() override { calls += "pause "; }
  void resume_writing() override { calls += "resume "; }

  Transport transport;
  std::string calls;
  std::string received;
  std::exception_ptr error;
  Future<void> lost = get_running_loop().create_future<void>();
};

std::shared_ptr<Notes> make_notes() { return std::make_shared<Notes>(); }

int errno_of(const std::exception_ptr& error) {
  if (error == nullptr) return 0;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& system) {
    return system.code().value();
  }
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(ReadPipe, GivesTheBytesThenTheEnd) {
  run([] {
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_read_pipe(make_notes, ends.read));
    EXPECT_EQ(protocol->calls, "made ");
    EXPECT_TRUE(transport.is_reading());
    ASSERT_EQ(::write(ends.write, "text", 4), 4);
    ::close(ends.write);
    await(protocol->lost);
    EXPECT_EQ(protocol->calls, "made eof lost");
    EXPECT_EQ(protocol->received, "text");
    EXPECT_EQ(protocol->error, nullptr);
    EXPECT_TRUE(transport.is_closing());
    EXPECT_FALSE(is_open(ends.read));
    EXPECT_EQ(repr(transport), "<ReadPipeTransport closed>");
  });
}

TEST(ReadPipe, CanPause) {
  run([] {
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_read_pipe(make_notes, ends.read));
    transport.pause_reading();
    transport.pause_reading();
    EXPECT_FALSE(transport.is_reading());
    ASSERT_EQ(::write(ends.write, "text", 4), 4);
    for (int i = 0; i < 5; ++i) await(sleep(0s));
    EXPECT_EQ(protocol->received, "");
    transport.resume_reading();
    while (protocol->received.empty()) await(sleep(0s));
    EXPECT_EQ(protocol->received, "text");
    transport.close();
    await(protocol->lost);
    EXPECT_EQ(protocol->calls, "made lost");
    ::close(ends.write);
  });
}

TEST(ReadPipe, DoesNotWrite) {
  run([] {
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_read_pipe(make_notes, ends.read));
    EXPECT_THROW(transport.write("x"), RuntimeError);
    EXPECT_THROW(transport.write_eof(), RuntimeError);
    EXPECT_FALSE(transport.can_write_eof());
    transport.abort();
    await(protocol->lost);
    ::close(ends.write);
  });
}

TEST(ReadPipe, ReportsAnExceptionOfTheProtocolAndCloses) {
  struct Fails : Notes {
    void data_received(std::string_view) override { throw ValueError("boom"); }
  };
  EventLoop loop;
  std::string message;
  loop.set_exception_handler([&](EventLoop&, const ExceptionContext& context) { message = context.message; });
  loop.run_until_complete([] {
    const Ends ends;
    auto [transport, protocol] =
        await(get_running_loop().connect_read_pipe([] { return std::make_shared<Fails>(); }, ends.read));
    ASSERT_EQ(::write(ends.write, "text", 4), 4);
    await(protocol->lost);
    EXPECT_NE(protocol->error, nullptr);
    ::close(ends.write);
  });
  EXPECT_EQ(message, "Fatal error: protocol.data_received() call failed.");
  loop.close();
}

TEST(WritePipe, SendsWhatThePipeCannotHoldLater) {
  run([] {
    const Ends ends;
    auto [writer, notes] = await(get_running_loop().connect_write_pipe(make_notes, ends.write));
    auto [reader, read] = await(get_running_loop().connect_read_pipe(make_notes, ends.read));
    const std::string text(1 << 20, 'x');
    writer.write(text);
    EXPECT_GT(writer.get_write_buffer_size(), 0u);
    writer.write(std::string("end"));
    EXPECT_EQ(notes->calls, "made pause ");
    writer.write_eof();
    EXPECT_TRUE(writer.is_closing());
    await(read->lost);
    await(notes->lost);
    EXPECT_TRUE(read->received == text + "end");
    EXPECT_EQ(notes->calls, "made pause resume lost");
    EXPECT_EQ(notes->error, nullptr);
    EXPECT_FALSE(is_open(ends.write));
  });
}

TEST(WritePipe, SeesThatItsReaderCloses) {
  run([] {
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_write_pipe(make_notes, ends.write));
    ::close(ends.read);
    await(protocol->lost);
    EXPECT_EQ(protocol->error, nullptr);  // nothing was lost
  });
  run([] {
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_write_pipe(make_notes, ends.write));
    transport.write(std::string(1 << 20, 'x'));
    ::close(ends.read);
    await(protocol->lost);
    EXPECT_EQ(errno_of(protocol->error), EPIPE);
    EXPECT_EQ(transport.get_write_buffer_size(), 0u);
  });
}

TEST(WritePipe, RaisesNoSigpipe) {
  run([] {
    ASSERT_EQ(::signal(SIGPIPE, SIG_DFL), SIG_DFL);
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_write_pipe(make_notes, ends.write));
    ::close(ends.read);
    transport.write("x");
    transport.write("dropped");
    await(protocol->lost);
    EXPECT_EQ(errno_of(protocol->error), EPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(::sigismember(&pending, SIGPIPE), 0);
  });
}

TEST(WritePipe, LeavesAPendingSigpipePending) {
  run([] {
    sigset_t mask, before, pending;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &mask, &before);
    ::pthread_kill(::pthread_self(), SIGPIPE);
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_write_pipe(make_notes, ends.write));
    ::close(ends.read);
    transport.write("x");
    await(protocol->lost);
    ::sigpending(&pending);
    EXPECT_EQ(::sigismember(&pending, SIGPIPE), 1);
    const timespec none{};
    EXPECT_EQ(::sigtimedwait(&mask, nullptr, &none), SIGPIPE);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
}

TEST(WritePipe, HasLimits) {
  run([] {
    const Ends ends;
    auto [transport, protocol] = await(get_running_loop().connect_write_pipe(make_notes, ends.write));
    transport.set_write_buffer_limits({.high = 100, .low = 10});
    EXPECT_EQ(transport.get_write_buffer_limits(), (std::pair<std::size_t, std::size_t>(10, 100)));
    EXPECT_THROW(transport.set_write_buffer_limits({.high = 1, .low = 10}), ValueError);
    transport.abort();
    await(protocol->lost);
    ::close(ends.read);
  });
}

TEST(Pipe, RefusesOtherFilesAndLeavesThemOpen) {
  run([] {
    EventLoop& loop = get_running_loop();
    const int file = ::open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    EXPECT_THROW(await(loop.connect_read_pipe(make_notes, file)), ValueError);
    EXPECT_TRUE(is_open(file));
    EXPECT_THROW(await(loop.connect_read_pipe([] { return std::shared_ptr<Notes>(); }, file)), TypeError);
    EXPECT_THROW(await(loop.connect_read_pipe([] { return std::make_shared<BaseProtocol>(); }, file)),
                 TypeError);
    EXPECT_TRUE(is_open(file));
    ::close(file);
    EXPECT_THROW(await(loop.connect_write_pipe(make_notes, 9999)), std::system_error);
    EXPECT_THROW(await(loop.connect_write_pipe(make_notes, -1)), std::system_error);
  });
}

TEST(Pipe, MayBeASocketOrADevice) {
  run([] {
    int both[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both), 0);
    auto [writer, notes] = await(get_running_loop().connect_write_pipe(make_notes, both[0]));
    auto [reader, read] = await(get_running_loop().connect_read_pipe(make_notes, both[1]));
    writer.write("text");
    writer.close();
    await(read->lost);
    EXPECT_EQ(read->received, "text");
  });
}

TEST(Pipe, IsClosedByItsLoop) {
  const Ends ends, others;
  EventLoop loop;
  Transport reader, writer;
  loop.run_until_complete([&] {
    reader = await(get_running_loop().connect_read_pipe(make_notes, ends.read)).first;
    writer = await(get_running_loop().connect_write_pipe(make_notes, others.write)).first;
    writer.write(std::string(1 << 20, 'x'));
  });
  loop.close();
  EXPECT_FALSE(is_open(ends.read));
  EXPECT_FALSE(is_open(others.write));
  writer.write("dropped");
  writer.close();
  writer.abort();
  reader.resume_reading();
  reader.close();
  EXPECT_EQ(reader.get_protocol(), nullptr);
  ::close(ends.write);
  ::close(others.read);
}

}  // namespace
}  // namespace aiofiber
