// SPDX-License-Identifier: Apache-2.0
//
// No runtime at all: what this machine takes for a switch, a poll, a page and a look at the clock, and for
// the way to a thread in epoll_wait() and back. Nobody on Boost.Context and epoll can be faster than that.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <boost/context/fiber.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "peer.h"

namespace {

void resume(long n) {
  boost::context::fiber fiber([](boost::context::fiber&& caller) {
    for (;;) caller = std::move(caller).resume();
    return std::move(caller);
  });
  peer::measure("resume", n, 2.0 * static_cast<double>(n), [&] {
    for (long i = 0; i < n; ++i) fiber = std::move(fiber).resume();
  });
}

void poll(long n) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  peer::measure("poll", n, static_cast<double>(n), [&] {
    epoll_event events[8];
    for (long i = 0; i < n; ++i) epoll_wait(poll, events, 8, 0);
  });
  close(poll);
}

void page(long n) {
  const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t size = static_cast<std::size_t>(n) * 16 * page_bytes;  // as far apart as stacks of 64 KiB
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    peer::require(memory != MAP_FAILED, "mmap");
    const peer::CpuWatch watch;
    for (std::size_t i = 0; i < size; i += 16 * page_bytes) static_cast<volatile char*>(memory)[i] = 1;
    peer::print("page", n, watch.per(static_cast<double>(n)));
    munmap(memory, size);
  }
}

void clock(long n) {
  peer::measure("clock", n, static_cast<double>(n), [&] {
    for (long i = 0; i < n; ++i) peer::wall_time();
  });
}

// An eventfd wakes the thread in epoll_wait(); a condition variable brings the answer.
void idle_call(long n) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    const int poll = epoll_create1(EPOLL_CLOEXEC), wake_up = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(poll, EPOLL_CTL_ADD, wake_up, &event);
    std::mutex mutex;
    std::condition_variable changed;
    long answered = 0;
    std::thread server([&] {
      for (long i = 0; i < peer::kCallsToIdleLoop; ++i) {
        epoll_wait(poll, &event, 1, -1);
        eventfd_t count = 0;
        eventfd_read(wake_up, &count);
        const std::scoped_lock lock(mutex);
        ++answered;
        changed.notify_one();
      }
    });
    const double start = peer::wall_time();
    for (long i = 0; i < peer::kCallsToIdleLoop; ++i) {
      eventfd_write(wake_up, 1);
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return answered > i; });
    }
    peer::print("idle_call", n, (peer::wall_time() - start) / peer::kCallsToIdleLoop);
    server.join();
    close(poll);
    close(wake_up);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return peer::run(
      argc, argv,
      {{"resume", resume}, {"poll", poll}, {"page", page}, {"clock", clock}, {"idle_call", idle_call}});
}
