// SPDX-License-Identifier: Apache-2.0
//
// loop.sendfile(): files on the transports of sockets, of TLS, and of pipes.
// Labels: clang long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "aiofiber/asyncio.h"
#include "facade/tls/ends.h"
#include "support/test_file.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

void sends_a_file_between_writes(const Ends& ends) {
  EventLoop& loop = get_running_loop();
  const TestFile file(3'000'017);
  const std::string before(1'000'003, '<');
  auto sender = create_task([&] {
    ends.writer.write(before);
    const std::size_t sent = await(loop.sendfile(ends.transport(), file.fd()));
    ends.writer.write("end");
    return sent;
  });
  const std::size_t all = before.size() + file.text().size() + 3;
  EXPECT_TRUE(await(ends.peer_reader.readexactly(static_cast<std::ptrdiff_t>(all))) ==
              before + file.text() + "end");
  EXPECT_EQ(await(sender), file.text().size());
  EXPECT_EQ(file.position(), static_cast<off_t>(file.text().size()));
  // The connection goes on in both directions.
  ends.peer_writer.write("back");
  EXPECT_EQ(await(ends.reader.readexactly(4)), "back");
  ends.close();
}

TEST(Sendfile, SendsAFileBehindWhatIsBufferedAndBeforeWhatFollows) {
  run([] { sends_a_file_between_writes(connected_pair()); });
}

TEST(Sendfile, CopiesAFileToAnEncryptedConnection) {
  run([] { sends_a_file_between_writes(tls_pair()); });
}

// The kernel takes all of it at once: a peer that reads as fast as we send must not keep the loop.
TEST(Sendfile, LetsOtherTasksRunBetweenPieces) {
  run([] {
    EventLoop& loop = get_running_loop();
    const Ends ends = connected_pair();
    const TestFile file(1000);
    bool ran = false;
    loop.call_soon([&] { ran = true; });
    EXPECT_EQ(await(loop.sendfile(ends.transport(), file.fd())), 1000u);
    EXPECT_TRUE(ran);
    ends.close();
  });
}

TEST(Sendfile, SendsAPartOfAFileInACoroutine) {
  run([]() -> Coro<void> {
    EventLoop& loop = get_running_loop();
    auto [ours, theirs] = socketpair();
    auto [reader, writer] = co_await open_connection(ours);
    auto [peer_reader, peer_writer] = co_await open_connection(theirs);
    const TestFile file(1000);
    EXPECT_EQ(co_await loop.sendfile(writer.transport(), file.fd(), 100, 50), 50u);
    EXPECT_EQ(file.position(), 150);
    EXPECT_EQ(co_await peer_reader.readexactly(50), file.text().substr(100, 50));
    EXPECT_EQ(co_await loop.sendfile(writer.transport(), file.fd(), 990, 50), 10u);
    EXPECT_EQ(co_await loop.sendfile(writer.transport(), file.fd(), 1000), 0u);
    EXPECT_EQ(file.position(), 1000);
    writer.close();
    peer_writer.close();
  });
}

TEST(Sendfile, TakesPartsAndEmptyFilesWithTls) {
  run([] {
    EventLoop& loop = get_running_loop();
    const Ends ends = tls_pair();
    const TestFile file(1000), empty(0);
    EXPECT_EQ(await(loop.sendfile(ends.transport(), file.fd(), 100, 50)), 50u);
    EXPECT_EQ(file.position(), 150);
    EXPECT_EQ(await(ends.peer_reader.readexactly(50)), file.text().substr(100, 50));
    EXPECT_EQ(await(loop.sendfile(ends.transport(), empty.fd())), 0u);
    ends.close();
  });
}

TEST(Sendfile, WithoutFallbackIsNotAvailableForTlsAndForPipes) {
  run([] {
    EventLoop& loop = get_running_loop();
    const TestFile file(10);
    const Ends tls = tls_pair();
    const std::string text = thrown<SendfileNotAvailableError>(
        [&] { await(loop.sendfile(tls.transport(), file.fd(), 0, std::nullopt, false)); });
    EXPECT_NE(text.find("fallback is disabled"), std::string::npos) << text;
    tls.close();

    const Ends plain = connected_pair();
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ASSERT_EQ(::write(ends[1], "from a pipe", 11), 11);
    ::close(ends[1]);
    EXPECT_NE(thrown<SendfileNotAvailableError>([&] {
                await(loop.sendfile(plain.transport(), ends[0], 0, std::nullopt, false));
              }).find("sendfile call failed"),
              std::string::npos);
    // The failure has given everything back: the transport writes and reads.
    plain.writer.write("x");
    EXPECT_EQ(await(plain.peer_reader.readexactly(1)), "x");
    EXPECT_TRUE(plain.transport().is_reading());
    EXPECT_EQ(await(loop.sendfile(plain.transport(), ends[0])), 11u);
    EXPECT_EQ(await(plain.peer_reader.readexactly(11)), "from a pipe");
    ::close(ends[0]);
    plain.close();
  });
}

void has_the_transport_for_itself(const Ends& ends) {
  EventLoop& loop = get_running_loop();
  const TestFile file(4'000'000);
  auto sender = create_task(loop.sendfile(ends.transport(), file.fd()));
  while (ends.transport().is_reading()) await(sleep(0s));
  EXPECT_EQ(thrown<RuntimeError>([&] { ends.writer.write("x"); }),
            "unable to write; sendfile is in progress");
  EXPECT_NE(thrown<RuntimeError>([&] {
              await(loop.sendfile(ends.transport(), file.fd()));
            }).find("sends a file already"),
            std::string::npos);
  EXPECT_TRUE(await(ends.peer_reader.readexactly(static_cast<std::ptrdiff_t>(file.text().size()))) ==
              file.text());
  EXPECT_EQ(await(sender), file.text().size());
  EXPECT_TRUE(ends.transport().is_reading());
  ends.close();
}

TEST(Sendfile, HasTheTransportForItself) {
  run([] { has_the_transport_for_itself(connected_pair()); });
}

TEST(Sendfile, HasTheEncryptedTransportForItself) {
  run([] { has_the_transport_for_itself(tls_pair()); });
}

TEST(Sendfile, KeepsAPausedReaderPaused) {
  run([] {
    const Ends ends = connected_pair();
    const TestFile file(10);
    ends.transport().pause_reading();
    EXPECT_EQ(await(get_running_loop().sendfile(ends.transport(), file.fd())), 10u);
    EXPECT_FALSE(ends.transport().is_reading());
    ends.close();
  });
}

TEST(Sendfile, ThatIsCancelledLeavesThePositionBehindWhatWasSent) {
  run([] {
    EventLoop& loop = get_running_loop();
    const Ends ends = connected_pair();
    const TestFile file(8'000'000);
    auto sender = create_task(loop.sendfile(ends.transport(), file.fd()));
    while (file.position() == 0 && ends.transport().is_reading()) await(sleep(0s));
    for (int i = 0; i < 5; ++i) await(sleep(0s));  // until the socket is full
    sender.cancel();
    EXPECT_THROW(await(std::move(sender)), CancelledError);
    const auto sent = static_cast<std::size_t>(file.position());
    EXPECT_GT(sent, 0u);
    EXPECT_LT(sent, file.text().size());
    // The connection goes on behind it.
    ends.writer.write("next");
    EXPECT_TRUE(await(ends.peer_reader.readexactly(static_cast<std::ptrdiff_t>(sent + 4))) ==
                file.text().substr(0, sent) + "next");
    ends.close();
  });
}

TEST(Sendfile, ThatIsCancelledBeforeItBeginsSendsNothing) {
  run([] {
    EventLoop& loop = get_running_loop();
    const Ends ends = connected_pair();
    const TestFile file(100);
    ends.writer.write(std::string(4 << 20, 'x'));  // it waits for the buffer
    auto sender = create_task(loop.sendfile(ends.transport(), file.fd()));
    for (int i = 0; i < 5; ++i) await(sleep(0s));
    sender.cancel();
    EXPECT_THROW(await(std::move(sender)), CancelledError);
    EXPECT_EQ(file.position(), 0);
    ends.writer.write("y");
    EXPECT_EQ(await(ends.peer_reader.readexactly((4 << 20) + 1)).back(), 'y');
    ends.close();
  });
}

void fails_when_the_connection_is_closed(const Ends& ends) {
  EventLoop& loop = get_running_loop();
  const TestFile file(8'000'000);
  auto sender = create_task(loop.sendfile(ends.transport(), file.fd()));
  while (ends.transport().is_reading()) await(sleep(0s));
  for (int i = 0; i < 20; ++i) await(sleep(0s));
  ends.transport().abort();
  EXPECT_EQ(errno_of([&] { await(std::move(sender)); }), ECONNRESET);
  ends.close();
}

TEST(Sendfile, FailsWhenTheConnectionIsClosedMeanwhile) {
  run([] { fails_when_the_connection_is_closed(connected_pair()); });
}

TEST(Sendfile, FailsWhenTheEncryptedConnectionIsClosedMeanwhile) {
  run([] { fails_when_the_connection_is_closed(tls_pair()); });
}

TEST(Sendfile, FailsWhenThePeerIsGone) {
  run([] {
    EventLoop& loop = get_running_loop();
    const Ends ends = connected_pair();
    const TestFile file(8'000'000);
    auto sender = create_task(loop.sendfile(ends.transport(), file.fd()));
    for (int i = 0; i < 5; ++i) await(sleep(0s));
    ends.peer_writer.transport().abort();
    const int error = errno_of([&] { await(std::move(sender)); });
    EXPECT_TRUE(error == EPIPE || error == ECONNRESET) << error;
    ends.close();
  });
}

TEST(Sendfile, SendsTheEndOfTheStreamBehindTheFile) {
  run([] {
    EventLoop& loop = get_running_loop();
    const Ends ends = connected_pair();
    const TestFile file(4'000'000);
    auto sender = create_task(loop.sendfile(ends.transport(), file.fd()));
    for (int i = 0; i < 5; ++i) await(sleep(0s));
    ends.writer.write_eof();
    EXPECT_TRUE(await(ends.peer_reader.read()) == file.text());
    EXPECT_EQ(await(sender), file.text().size());
    EXPECT_THROW(await(loop.sendfile(ends.transport(), file.fd())), RuntimeError);
    ends.close();
  });
}

TEST(Sendfile, RefusesWhatMakesNoSense) {
  run([] {
    EventLoop& loop = get_running_loop();
    const TestFile file(10);
    const Ends ends = connected_pair();
    const Transport transport = ends.transport();
    EXPECT_THROW(await(loop.sendfile(transport, file.fd(), -1)), ValueError);
    EXPECT_THROW(await(loop.sendfile(transport, file.fd(), 0, 0)), ValueError);
    EXPECT_EQ(errno_of([&] { await(loop.sendfile(transport, -1)); }), EBADF);
    EXPECT_THROW(await(loop.sendfile(Transport(), file.fd())), RuntimeError);
    EXPECT_TRUE(transport.is_reading());
    ends.close();
    EXPECT_NE(thrown<RuntimeError>([&] {
                await(loop.sendfile(transport, file.fd()));
              }).find("Transport is closing"),
              std::string::npos);

    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    auto [writing, protocol] =
        await(loop.connect_write_pipe([] { return std::make_shared<Protocol>(); }, pipe[1]));
    EXPECT_NE(thrown<RuntimeError>([&, to = writing] {
                await(loop.sendfile(to, file.fd()));
              }).find("not supported"),
              std::string::npos);
    writing.close();
    ::close(pipe[0]);

    EventLoop other;
    EXPECT_THROW(await(other.sendfile(transport, file.fd())), RuntimeError);
    other.close();
  });
}

}  // namespace
}  // namespace aiofiber
