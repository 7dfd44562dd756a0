// SPDX-License-Identifier: Apache-2.0
//
// What the hooks remember of a descriptor (known_settings.h) never changes an answer. Each test first lets a
// task wait on a connection, so that it is known to block and to be drained. Then something changes it, seen
// by the hooks or not, and the next call must answer as in the kernel. Real sockets and real time: what is
// known is not used under a virtual clock.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

std::string receive(int fd) {
  char bytes[64];
  const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
  return n < 0 ? std::string(::strerror(errno)) : std::string(bytes, static_cast<std::size_t>(n));
}
const std::string kAgain = ::strerror(EAGAIN);

void send_to(int fd, const std::string& text) {
  EXPECT_EQ(::send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
}

// A connection on which a task has waited and read all that came.
class KnownConnection : public SocketPair {
 public:
  KnownConnection() {
    Fibers fibers;
    fibers.spawn([&] { EXPECT_EQ(receive((*this)[0]), "known"); });
    fibers.spawn([&] { send_to((*this)[1], "known"); });
    fibers.run();
  }
  int fd() const { return (*this)[0]; }
  int peer() const { return (*this)[1]; }
};

// What one receive in a task gives.
std::string receive_in_task(int fd) {
  std::string got;
  Fibers fibers;
  fibers.spawn([&] { got = receive(fd); });
  fibers.run();
  return got;
}

// The same, and whether the task did not suspend.
std::string receive_at_once(int fd) {
  std::string got = "nothing yet";
  Fibers fibers;
  fibers.spawn([&] { got = receive(fd); });
  fibers.spawn([&] { EXPECT_NE(got, "nothing yet"); });
  fibers.run();
  return got;
}

// ---- changes that the hooks see: the next call asks the kernel

TEST(KnownSettings, AreVoidAfterFcntl) {
  const KnownConnection connection;
  ASSERT_EQ(::fcntl(connection.fd(), F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(receive_at_once(connection.fd()), kAgain);
}

TEST(KnownSettings, AreVoidAfterIoctl) {
  const KnownConnection connection;
  int on = 1;
  ASSERT_EQ(::ioctl(connection.fd(), FIONBIO, &on), 0);
  EXPECT_EQ(receive_at_once(connection.fd()), kAgain);
}

TEST(KnownSettings, AreVoidAfterAChangeThroughADuplicate) {
  const KnownConnection connection;
  const int duplicate = ::dup(connection.fd());
  ASSERT_EQ(::fcntl(duplicate, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(receive_at_once(connection.fd()), kAgain);
  ::close(duplicate);
}

TEST(KnownSettings, AreVoidAfterAChangeThroughADescriptorThatWasSent) {
  const KnownConnection connection;
  const SocketPair channel;
  char byte = 0;
  iovec piece{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = connection.fd();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(::sendmsg(channel[0], &message, 0), 1);
  ASSERT_EQ(::recvmsg(channel[1], &message, 0), 1);
  int received = -1;
  std::memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof received);
  ASSERT_EQ(::fcntl(received, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(receive_at_once(connection.fd()), kAgain);
  ::close(received);
}

TEST(KnownSettings, AreVoidAfterSetsockopt) {
  const KnownConnection connection;
  const timeval limit{0, 20'000};
  ASSERT_EQ(::setsockopt(connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  const double began = now_ms();
  EXPECT_EQ(receive_in_task(connection.fd()), kAgain);
  EXPECT_GE(now_ms() - began, 19.9);
}

TEST(KnownSettings, AreForgottenWithTheNumber) {
  int number = -1;
  {
    const KnownConnection connection;
    number = connection.fd();
  }
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  ASSERT_EQ(fds[0], number);
  EXPECT_EQ(receive_at_once(fds[0]), kAgain);
  ::close(fds[0]);
  ::close(fds[1]);
}

// ---- changes behind the hooks' back: the wait asks the kernel, and ends as the answer says

TEST(KnownSettings, AreAskedForAgainAfterARawSystemCall) {
  const KnownConnection connection;
  ASSERT_EQ(::syscall(SYS_fcntl, connection.fd(), F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(receive_in_task(connection.fd()), kAgain);
  EXPECT_EQ(receive_at_once(connection.fd()), kAgain);  // and it is known now
}

TEST(KnownSettings, AreAskedForAgainAfterAChangeByAnotherProcess) {
  const KnownConnection connection;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::fcntl(connection.fd(), F_SETFL, O_NONBLOCK) == 0 ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(receive_in_task(connection.fd()), kAgain);
}

TEST(KnownSettings, ATimeLimitThatWasSetBehindTheirBackEndsTheNextCall) {
  const KnownConnection connection;
  const timeval limit{0, 60'000};
  ASSERT_EQ(::syscall(SYS_setsockopt, connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  const double began = now_ms();
  EXPECT_EQ(receive_in_task(connection.fd()), kAgain);
  EXPECT_GE(now_ms() - began, 59.9);
}

TEST(KnownSettings, ATimeLimitDoesNotCountWhatTheTaskDidBeforeTheCall) {
  const KnownConnection connection;
  const timeval limit{0, 60'000};
  ASSERT_EQ(::syscall(SYS_setsockopt, connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  Fibers fibers;
  fibers.spawn([&] {
    const double step_began = now_ms();
    while (now_ms() - step_began < 40) {
    }
    const double began = now_ms();
    EXPECT_EQ(receive(connection.fd()), kAgain);
    EXPECT_GE(now_ms() - began, 59.9);
  });
  fibers.run();
}

TEST(KnownSettings, AreAskedForAgainByAWriteThatWaits) {
  const SocketPair connection;
  const std::string much(4 << 20, 'x');  // more than the buffers take
  Fibers fibers;
  fibers.spawn([&] {
    EXPECT_EQ(::write(connection[0], much.data(), much.size()), static_cast<ssize_t>(much.size()));
    ASSERT_EQ(::syscall(SYS_fcntl, connection[0], F_SETFL, O_NONBLOCK), 0);
    ssize_t written = 0;
    while ((written = ::write(connection[0], much.data(), much.size())) > 0) {
    }
    EXPECT_EQ(written, -1);
    EXPECT_EQ(errno, EAGAIN);
  });
  fibers.spawn([&] {
    std::string taken(much.size(), '\0');
    EXPECT_EQ(::recv(connection[1], taken.data(), taken.size(), MSG_WAITALL),
              static_cast<ssize_t>(taken.size()));
  });
  fibers.run();
}

TEST(KnownSettings, AreAskedForAgainByAReadOfAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Fibers fibers;
  fibers.spawn([&] {
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);  // it is known to block now
    ASSERT_EQ(::syscall(SYS_fcntl, ends[0], F_SETFL, O_NONBLOCK), 0);
    EXPECT_EQ(::read(ends[0], &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
  });
  fibers.spawn([&] { EXPECT_EQ(::write(ends[1], "x", 1), 1); });
  fibers.run();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(KnownSettings, ANumberThatBecameAFileBehindTheirBackIsReadAsAFile) {
  const KnownConnection connection;
  const int file = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR, 0600));
  ASSERT_GE(file, 0);
  ASSERT_EQ(::pwrite(file, "file", 4, 0), 4);
  ASSERT_EQ(::syscall(SYS_dup3, file, connection.fd(), 0), connection.fd());
  Fibers fibers;
  fibers.spawn([&] {
    char bytes[16] = {};
    EXPECT_EQ(::read(connection.fd(), bytes, sizeof bytes), 4);
    EXPECT_STREQ(bytes, "file");
  });
  fibers.run();
  ::close(file);
}

TEST(KnownSettings, ANumberThatBecameAnotherConnectionBehindTheirBackIsRead) {
  const KnownConnection connection;
  const SocketPair other;
  ASSERT_EQ(::syscall(SYS_dup3, other[0], connection.fd(), 0), connection.fd());
  send_to(other[1], "other");
  EXPECT_EQ(receive_in_task(connection.fd()), "other");
}

TEST(KnownSettings, DataThatSomebodyElseTookIsWaitedFor) {
  const KnownConnection connection;
  Fibers fibers;
  std::string got;
  fibers.spawn([&] { got = receive(connection.fd()); });
  fibers.spawn([&] {
    runtime::yield_now();
    send_to(connection.peer(), "first");
    char bytes[16];
    EXPECT_EQ(::syscall(SYS_recvfrom, connection.fd(), bytes, sizeof bytes, 0, nullptr, nullptr), 5);
    for (int pass = 0; pass < 5; ++pass) runtime::yield_now();
    send_to(connection.peer(), "second");
  });
  fibers.run();
  EXPECT_EQ(got, "second");
}

// ---- a wait that begins without a look at the data

TEST(KnownSettings, AnInterruptedTaskGetsWhatWasThereBefore) {
  const KnownConnection connection;
  send_to(connection.peer(), "answer");
  Fibers fibers;
  std::string first, second;
  runtime::Fiber& reader = fibers.spawn([&] {
    first = receive(connection.fd());
    second = receive(connection.fd());
  });
  fibers.spawn([&] { EXPECT_TRUE(Fibers::interrupt(reader)); });
  fibers.run();
  EXPECT_EQ(first, "answer");
  EXPECT_EQ(second, ::strerror(ECANCELED));
}

TEST(KnownSettings, TheEndOfTheStreamEndsTheWait) {
  KnownConnection connection;
  Fibers fibers;
  std::string got = "nothing yet";
  fibers.spawn([&] { got = receive(connection.fd()); });
  fibers.spawn([&] { connection.close(1); });
  fibers.run();
  EXPECT_EQ(got, "");
}

TEST(KnownSettings, AWaitThatLastsStillGetsItsData) {
  const KnownConnection connection;
  Fibers fibers;
  std::string got;
  fibers.spawn([&] { got = receive(connection.fd()); });
  fibers.spawn([&] {
    ::usleep(40'000);  // longer than the wait relies on what is known
    send_to(connection.peer(), "late");
  });
  fibers.run();
  EXPECT_EQ(got, "late");
}

TEST(KnownSettings, ADescriptorThatIsClosedDuringTheWaitIsNoOtherFile) {
  KnownConnection connection;
  const int number = connection.fd();
  Fibers fibers;
  std::string got;
  int reused[2] = {-1, -1};
  fibers.spawn([&] { got = receive(number); });
  fibers.spawn([&] {
    connection.close(0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, reused), 0);
    EXPECT_EQ(reused[0], number);
    send_to(reused[1], "not yours");
  });
  fibers.run();
  EXPECT_EQ(got, ::strerror(EBADF));
  ::close(reused[0]);
  ::close(reused[1]);
}

TEST(KnownSettings, PeekedBytesAreThereStill) {
  const KnownConnection connection;
  send_to(connection.peer(), "twice");
  Fibers fibers;
  fibers.spawn([&] {
    char bytes[64];
    EXPECT_EQ(::recv(connection.fd(), bytes, sizeof bytes, MSG_PEEK), 5);
    EXPECT_EQ(::recv(connection.fd(), bytes, sizeof bytes, 0), 5);
  });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
