// SPDX-License-Identifier: Apache-2.0
//
// No hooked call ends with an unexpected EINTR, though every second system call below it does
// (interrupting_libc.h).
// Labels: long
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "aiofiber/hooks.h"
#include "interrupting_libc.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

constexpr int kErrnoBefore = ERANGE;  // after a call that goes well it is what it was

// Runs body() in a fiber beside `other`, with a libc that interrupts. Both start with a libc that does not.
void run_interrupted(
    const std::function<void()>& body, const std::function<void()>& other = [] {}) {
  Fibers fibers;
  const int before = interruptions;
  fibers.spawn([&] {
    interrupting = true;
    errno = kErrnoBefore;
    body();
  });
  fibers.spawn(other);
  fibers.run();
  interrupting = false;
  EXPECT_GT(interruptions, before) << "nothing was interrupted";
}

#define EXPECT_GIVES(value, call)                                       \
  do {                                                                  \
    const auto result_ = (call);                                        \
    const int error_ = errno;                                           \
    EXPECT_EQ(result_, (value)) << #call << ": " << ::strerror(error_); \
    EXPECT_EQ(error_, kErrnoBefore) << #call;                           \
    errno = kErrnoBefore;                                               \
  } while (false)

fd_set only(int fd) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  return set;
}

TEST(Interrupted, ALookThatFindsNothingSaysSo) {
  SocketPair pair;
  run_interrupted([&] {
    pollfd entry{pair[0], POLLIN, 0};
    const timespec none{0, 0};
    for (int i = 0; i < 4; ++i) {  // whichever call of two is the one that is cut short
      EXPECT_GIVES(0, ::poll(&entry, 1, 0));
      EXPECT_GIVES(0, ::ppoll(&entry, 1, &none, nullptr));
      fd_set set = only(pair[0]);
      timeval at_once{0, 0};
      EXPECT_GIVES(0, ::select(pair[0] + 1, &set, nullptr, nullptr, &at_once));
      set = only(pair[0]);
      EXPECT_GIVES(0, ::pselect(pair[0] + 1, &set, nullptr, nullptr, &none, nullptr));
    }
  });
}

TEST(Interrupted, AWaitForReadinessLastsItsTime) {
  SocketPair pair;
  run_interrupted([&] {
    pollfd entry{pair[0], POLLIN, 0};
    const timespec timeout{0, 3'000'000};
    for (int i = 0; i < 3; ++i) {
      const double start = now_ms();
      EXPECT_GIVES(0, ::poll(&entry, 1, 3));
      EXPECT_GIVES(0, ::ppoll(&entry, 1, &timeout, nullptr));
      fd_set set = only(pair[0]);
      timeval time{0, 3'000};
      EXPECT_GIVES(0, ::select(pair[0] + 1, &set, nullptr, nullptr, &time));
      EXPECT_GE(now_ms() - start, 8);
    }
  });
}

TEST(Interrupted, AWaitForReadinessHearsOfIt) {
  SocketPair pair;
  run_interrupted(
      [&] {
        pollfd entry{pair[0], POLLIN, 0};
        for (int i = 0; i < 3; ++i) {
          EXPECT_GIVES(1, ::poll(&entry, 1, -1));
          fd_set set = only(pair[0]);
          EXPECT_GIVES(1, ::select(pair[0] + 1, &set, nullptr, nullptr, nullptr));
          EXPECT_TRUE(FD_ISSET(pair[0], &set));
          EXPECT_GIVES(1, ::pselect(pair[0] + 1, &set, nullptr, nullptr, nullptr, nullptr));
          const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
          epoll_event event{EPOLLIN, {}};
          ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event), 0);
          EXPECT_GIVES(1, ::epoll_wait(epoll, &event, 1, 0));
          EXPECT_GIVES(1, ::epoll_wait(epoll, &event, 1, -1));
          ::close(epoll);
        }
      },
      [&] {
        sleep_ms(5);
        ::send(pair[1], "x", 1, 0);
      });
}

TEST(Interrupted, SocketsMoveEveryByte) {
  SocketPair pair;
  const std::string sent = pattern(600'000);
  std::string received(sent.size(), '\0');
  run_interrupted(
      [&] {
        EXPECT_GIVES(static_cast<ssize_t>(received.size()),
                     ::recv(pair[0], received.data(), received.size(), MSG_WAITALL));
      },
      [&] { EXPECT_EQ(::send(pair[1], sent.data(), sent.size(), 0), static_cast<ssize_t>(sent.size())); });
  EXPECT_EQ(received, sent);
}

// With AIOFIBER_HOOKS_POLL_FIRST=1 a look that was cut short must not be taken for data: the thread would
// wait for itself.
TEST(Interrupted, PipesMoveEveryByte) {
  Pipe pipe;
  const std::string sent = pattern(300'000);
  std::string received;
  run_interrupted(
      [&] {
        char buffer[10'000];
        while (received.size() < sent.size()) {
          const ssize_t n = ::read(pipe[0], buffer, sizeof buffer);
          ASSERT_GT(n, 0) << ::strerror(errno);
          received.append(buffer, static_cast<std::size_t>(n));
        }
      },
      [&] {
        sleep_ms(3);
        EXPECT_EQ(::write(pipe[1], sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
      });
  EXPECT_EQ(received, sent);
}

TEST(Interrupted, AcceptsWhoComes) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  run_interrupted(
      [&] {
        for (int i = 0; i < 3; ++i) {
          const int connection = ::accept(listener, nullptr, nullptr);
          EXPECT_GE(connection, 0) << ::strerror(errno);
          ::close(connection);
        }
      },
      [&] {
        for (int i = 0; i < 3; ++i) {
          sleep_ms(1);
          const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
          EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
              << ::strerror(errno);
          ::close(client);
        }
      });
  ::close(listener);
}

TEST(Interrupted, BytesMoveInsideTheKernel) {
  Pipe from, to;
  SocketPair pair;
  run_interrupted([&] {
    char text[] = "abc";
    const iovec piece{text, 3};
    for (int i = 0; i < 2; ++i) {
      EXPECT_GIVES(3, ::vmsplice(from[1], &piece, 1, 0));
      EXPECT_GIVES(3, ::tee(from[0], to[1], 3, 0));
      EXPECT_GIVES(3, ::splice(from[0], nullptr, pair[0], nullptr, 3, 0));
      char copy[4] = "";
      EXPECT_GIVES(3, ::recv(pair[1], copy, 3, MSG_WAITALL));
      EXPECT_STREQ(copy, "abc");
      EXPECT_GIVES(3, ::read(to[0], copy, 3));
    }
  });
}

TEST(Interrupted, FilesAreServedToTheEnd) {
  char name[] = "/tmp/aiofiber_interrupted_XXXXXX";
  const int file = ::mkstemp(name);
  ASSERT_GE(file, 0);
  const int other = ::open(name, O_RDWR | O_CLOEXEC);
  ::unlink(name);
  SocketPair pair;
  run_interrupted([&] {
    for (int i = 0; i < 2; ++i) {
      EXPECT_GIVES(0, ::fallocate(file, 0, 0, 8192));
      EXPECT_GIVES(0, ::posix_fallocate(file, 0, 8192));
      EXPECT_GIVES(5, ::write(file, "hello", 5));
      EXPECT_GIVES(0, ::sync_file_range(file, 0, 5, SYNC_FILE_RANGE_WAIT_AFTER));
      EXPECT_GIVES(0, ::syncfs(file));
      off64_t from = 0, to = 4096;
      EXPECT_GIVES(5, ::copy_file_range(file, &from, other, &to, 5, 0));
      char copy[6] = "";
      EXPECT_GIVES(5, ::pread(file, copy, 5, 4096));
      EXPECT_STREQ(copy, "hello");
      EXPECT_GIVES(0, ::flock(file, LOCK_EX));
      EXPECT_GIVES(0, ::flock(file, LOCK_UN));
      EXPECT_GIVES(0, ::lockf(file, F_LOCK, 1));
      off_t position = 0;
      EXPECT_GIVES(5, ::sendfile(pair[0], file, &position, 5));
    }
  });
  ::close(file);
  ::close(other);
}

// The same with the kernel and its signals: a thread sends them while the task waits.
TEST(Interrupted, FilesAreOpenedOnThePool) {
  ASSERT_TRUE(hooks::set_files_on_pool(true));
  run_interrupted([] {
    char name[] = "/tmp/aiofiber_interrupted_XXXXXX.txt";
    const int fd = ::mkstemps(name, 4);
    EXPECT_GE(fd, 0) << ::strerror(errno);
    EXPECT_EQ(errno, kErrnoBefore);
    ::close(fd);
    for (int i = 0; i < 2; ++i) {
      std::FILE* const file = ::fopen(name, "re");
      EXPECT_NE(file, nullptr) << ::strerror(errno);
      EXPECT_EQ(errno, kErrnoBefore);
      if (file != nullptr) std::fclose(file);
    }
    ::unlink(name);
  });
  hooks::set_files_on_pool(false);
}

TEST(Interrupted, RealSignalsDoNotEndAPoll) {
  struct sigaction count_it {};
  count_it.sa_handler = [](int) {};
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGUSR1, &count_it, &before), 0);  // without SA_RESTART
  struct Sender {
    pthread_t target;
    std::atomic<bool> stop{false};
  } sender{::pthread_self()};
  pthread_t thread;
  const auto send = [](void* argument) -> void* {
    auto& self = *static_cast<Sender*>(argument);
    while (!self.stop) ::pthread_kill(self.target, SIGUSR1);
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, nullptr, send, &sender), 0);
  Fibers fibers;
  SocketPair pair;
  int failures = 0;
  fibers.spawn([&] {
    pollfd entry{pair[0], POLLIN, 0};
    for (int i = 0; i < 50; ++i) failures += ::poll(&entry, 1, 1) != 0;
    for (int i = 0; i < 1000; ++i) failures += ::poll(&entry, 1, 0) != 0;
  });
  fibers.run();
  sender.stop = true;
  ::pthread_join(thread, nullptr);
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace aiofiber::hooks_test
