// SPDX-License-Identifier: Apache-2.0
//
// poll, ppoll and select in a fiber give the kernel's answers while others run. Real descriptors, real time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

TEST(HookedPoll, TimesOutSkippingNegativeDescriptors) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    pollfd entries[3] = {{pair[0], POLLIN | POLLPRI, 0}, {-1, POLLIN, 77}, {pair[1], POLLIN, 0}};
    const double start = now_ms();
    EXPECT_EQ(::poll(entries, 3, 20), 0);
    EXPECT_GE(now_ms() - start, 19);
    EXPECT_EQ(entries[1].revents, 0);
  });
  fibers.run();
}

// Epolls in each other, as deep as the kernel allows; the loop's own may then not watch the outermost.
TEST(HookedPoll, OfWhatTheLoopMayNotWatchFailsWithTheReason) {
  SocketPair pair;
  std::vector<int> epolls;
  for (int inner = pair[0];;) {
    epoll_event event{};
    event.events = EPOLLIN;
    const int outer = ::epoll_create1(EPOLL_CLOEXEC);
    epolls.push_back(outer);
    if (::epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event) != 0) break;
    inner = outer;
  }
  const int deepest = epolls[epolls.size() - 2];
  Fibers fibers;
  fibers.spawn([&] {
    epoll_event event{};
    EXPECT_EQ(::epoll_wait(deepest, &event, 1, 10'000), -1);
    EXPECT_EQ(errno, ELOOP);
    pollfd entry{deepest, POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 10'000), -1);
    EXPECT_EQ(errno, ELOOP);
  });
  fibers.run();
  for (const int epoll : epolls) ::close(epoll);
}

TEST(HookedPoll, OfNothingSleeps) {
  Fibers fibers;
  const double start = now_ms();
  for (int i = 0; i < 10; ++i) fibers.spawn([] { EXPECT_EQ(::poll(nullptr, 0, 20), 0); });
  fibers.run();
  EXPECT_GE(now_ms() - start, 19);
  EXPECT_LT(now_ms() - start, 150);  // one after the other: 200 ms
}

TEST(HookedPoll, WakesWithTheExactEvents) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    pollfd entries[2] = {{pair[0], POLLIN | POLLPRI, 0}, {-1, 0, 0}};
    EXPECT_EQ(::poll(entries, 2, -1), 1);
    EXPECT_EQ(entries[0].revents, POLLIN);
    pollfd writable{pair[0], POLLIN | POLLOUT, 0};
    EXPECT_EQ(::poll(&writable, 1, -1), 1);
    EXPECT_EQ(writable.revents, POLLIN | POLLOUT);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::write(pair[1], "x", 1), 1);
  });
  fibers.run();
}

TEST(HookedPoll, ReportsNvalForWhatIsNotOpen) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    pollfd entries[2] = {{9999, POLLIN, 0}, {pair[0], POLLIN, 0}};
    EXPECT_EQ(::poll(entries, 2, 1000), 1);
    EXPECT_EQ(entries[0].revents, POLLNVAL);
  });
  fibers.run();
}

TEST(HookedPoll, ReportsNvalForWhatIsClosedMeanwhile) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    pollfd entry{pair[0], POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 5000), 1);
    EXPECT_EQ(entry.revents, POLLNVAL);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    pair.close(0);
  });
  fibers.run();
}

// events == 0 requests errors only: bytes to read must not wake the task and must not keep the loop busy.
TEST(HookedPoll, SeesAHangUpThoughNoEventWasAsked) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    pollfd entry{pair[0], 0, 0};
    EXPECT_EQ(::poll(&entry, 1, 10), 0);
    EXPECT_EQ(::poll(&entry, 1, -1), 1);
    EXPECT_EQ(entry.revents, POLLHUP);
  });
  fibers.spawn([&] {
    EXPECT_EQ(::write(pair[1], "x", 1), 1);
    sleep_ms(20);
    pair.close(1);
  });
  fibers.run();
}

TEST(HookedPoll, WatchesManyDescriptors) {
  Fibers fibers;
  std::vector<std::unique_ptr<SocketPair>> pairs;
  for (int i = 0; i < 40; ++i) pairs.push_back(std::make_unique<SocketPair>());
  fibers.spawn([&] {
    std::vector<pollfd> entries;
    for (const auto& pair : pairs) entries.push_back({(*pair)[0], POLLIN, 0});
    EXPECT_EQ(::poll(entries.data(), entries.size(), 5000), 1);
    EXPECT_EQ(entries[33].revents, POLLIN);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::write((*pairs[33])[1], "x", 1), 1);
  });
  fibers.run();
}

TEST(HookedPoll, SeesUrgentData) {
  Fibers fibers;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), length), 0);
  const int server = ::accept(listener, nullptr, nullptr);
  fibers.spawn([&] {
    pollfd entry{server, POLLPRI, 0};
    EXPECT_EQ(::poll(&entry, 1, 5000), 1);
    EXPECT_EQ(entry.revents, POLLPRI);
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_EQ(::send(client, "!", 1, MSG_OOB), 1);
  });
  fibers.run();
  for (const int fd : {client, server, listener}) ::close(fd);
}

TEST(HookedPoll, EndsWithEcanceledWhenInterrupted) {
  Fibers fibers;
  SocketPair pair;
  Outcome polled;
  runtime::Fiber& waiting = fibers.spawn([&] {
    pollfd entry{pair[0], POLLIN, 0};
    polled = outcome_of([&] { return ::poll(&entry, 1, -1); });
  });
  fibers.spawn([&] {
    sleep_ms(3);
    EXPECT_TRUE(Fibers::interrupt(waiting));
  });
  fibers.run();
  EXPECT_FAILS_WITH(ECANCELED, polled);
}

TEST(HookedPpoll, TimesOutAndRefusesABadTimeout) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    pollfd entry{pair[0], POLLIN, 0};
    timespec timeout{0, 10'000'000};
    const double start = now_ms();
    EXPECT_EQ(::ppoll(&entry, 1, &timeout, nullptr), 0);
    EXPECT_GE(now_ms() - start, 9);
    timeout.tv_nsec = 2'000'000'000;
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::ppoll(&entry, 1, &timeout, nullptr); }));
  });
  fibers.run();
}

template <class Wait>
void expect_ended_by_a_signal_that_only_its_mask_lets_in(Wait wait) {
  struct sigaction ignore_it {};
  ignore_it.sa_handler = [](int) {};
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGUSR1, &ignore_it, &before), 0);
  sigset_t usr1, none;
  sigemptyset(&usr1);
  sigemptyset(&none);
  sigaddset(&usr1, SIGUSR1);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &usr1, nullptr), 0);
  Fibers fibers;
  SocketPair pair;
  Outcome polled;
  fibers.spawn([&] { polled = outcome_of([&] { return wait(pair[0], none); }); });
  fibers.spawn([] {
    sleep_ms(3);
    ::pthread_kill(::pthread_self(), SIGUSR1);
  });
  fibers.run();
  ::pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_FAILS_WITH(EINTR, polled);
}

TEST(HookedPpoll, IsEndedByASignalThatOnlyItsMaskLetsIn) {
  expect_ended_by_a_signal_that_only_its_mask_lets_in([](int fd, const sigset_t& mask) {
    pollfd entry{fd, POLLIN, 0};
    const timespec timeout{5, 0};
    return ::ppoll(&entry, 1, &timeout, &mask);
  });
}

TEST(HookedPselect, IsEndedByASignalThatOnlyItsMaskLetsIn) {
  expect_ended_by_a_signal_that_only_its_mask_lets_in([](int fd, const sigset_t& mask) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    const timespec timeout{5, 0};
    return ::pselect(fd + 1, &set, nullptr, nullptr, &timeout, &mask);
  });
}

TEST(HookedEpollPwait, IsEndedByASignalThatOnlyItsMaskLetsIn) {
  expect_ended_by_a_signal_that_only_its_mask_lets_in([](int fd, const sigset_t& mask) {
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{EPOLLIN, {}};
    EXPECT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    const int ready = ::epoll_pwait(epoll, &event, 1, 5000, &mask);
    const int error = errno;
    ::close(epoll);
    errno = error;
    return ready;
  });
}

TEST(HookedSelect, TellsWhichIsReadyAndHowMuchTimeWasLeft) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(pair[0], &readable);
    timeval timeout{1, 0};
    EXPECT_EQ(::select(pair[0] + 1, &readable, nullptr, nullptr, &timeout), 1);
    EXPECT_TRUE(FD_ISSET(pair[0], &readable));
    EXPECT_EQ(timeout.tv_sec, 0);
    EXPECT_GT(timeout.tv_usec, 500'000);
    FD_SET(pair[0], &writable);
    EXPECT_EQ(::select(pair[0] + 1, &readable, &writable, nullptr, nullptr), 2);
  });
  fibers.spawn([&] {
    sleep_ms(5);
    EXPECT_EQ(::write(pair[1], "x", 1), 1);
  });
  fibers.run();
}

TEST(HookedSelect, ClearsItsSetsWhenItTimesOutAndRefusesWhatIsNotOpen) {
  Fibers fibers;
  SocketPair pair;
  fibers.spawn([&] {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(pair[0], &readable);
    timeval timeout{0, 10'000};
    EXPECT_EQ(::select(pair[0] + 1, &readable, nullptr, nullptr, &timeout), 0);
    EXPECT_FALSE(FD_ISSET(pair[0], &readable));
    EXPECT_EQ(timeout.tv_usec, 0);
    const int closed = ::dup(pair[0]);  // a small number: Linux ignores those beyond the process's table
    ::close(closed);
    FD_SET(closed, &readable);
    EXPECT_FAILS_WITH(EBADF,
                      outcome_of([&] { return ::select(closed + 1, &readable, nullptr, nullptr, nullptr); }));
    timeout = {0, 10'000};
    EXPECT_EQ(::select(0, nullptr, nullptr, nullptr, &timeout), 0);
  });
  fibers.run();
}

// Programs say getdtablesize() and give an fd_set, which has no room for so many.
TEST(HookedSelect, TouchesNoMoreOfTheSetsThanTheKernelWould) {
  Fibers fibers;
  Pipe pipe;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const two_pages =
      ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(two_pages, MAP_FAILED);
  ASSERT_EQ(::mprotect(static_cast<char*>(two_pages) + page, page, PROT_NONE), 0);
  auto& readable = *reinterpret_cast<fd_set*>(static_cast<char*>(two_pages) + page - sizeof(fd_set));
  fibers.spawn([&] {
    constexpr int kManyDescriptors = 1 << 20;
    FD_SET(pipe[0], &readable);
    timeval timeout{0, 5'000};
    EXPECT_EQ(::select(kManyDescriptors, &readable, nullptr, nullptr, &timeout), 0);
    FD_SET(pipe[0], &readable);
    EXPECT_EQ(::select(kManyDescriptors, &readable, nullptr, nullptr, nullptr), 1);
    EXPECT_TRUE(FD_ISSET(pipe[0], &readable));
  });
  fibers.spawn([&] {
    sleep_ms(10);
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  });
  fibers.run();
  ::munmap(two_pages, 2 * page);
}

}  // namespace
}  // namespace aiofiber::hooks_test
