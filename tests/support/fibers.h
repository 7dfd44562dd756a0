// SPDX-License-Identifier: Apache-2.0
//
// A bare loop for the tests of the hooks: fibers without tasks, on real sockets and the real clock.
//
// The hooks belong to the runtime, so these tests do not use the facade. tasks_test.cc tests tasks,
// Task::cancel() and wait_for. Time is real here, because the kernel does the waiting. Each wait is about ten
// milliseconds, and assertions on time have an upper bound ten times as long.
#pragma once

#include <gtest/gtest.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber::hooks_test {

// Milliseconds since an arbitrary point.
inline double now_ms() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

class Fibers {
 public:
  Fibers() : scheduler_(runtime::make_scheduler()) {}
  // Virtual time: a wait without an event jumps to the next deadline.
  explicit Fibers(runtime::VirtualClock& clock) : scheduler_(runtime::make_scheduler(clock)) {}
  // A fiber that calls fn(); it starts in run(). An exception from fn fails the test.
  runtime::Fiber& spawn(std::function<void()> fn) {
    bodies_.push_back(std::make_unique<Body>(Body{*this, std::move(fn)}));
    ++alive_;
    runtime::Fiber& fiber = scheduler_->create_fiber(&Fibers::main, bodies_.back().get(), 0, 0);
    scheduler_->make_ready(fiber);
    return fiber;
  }
  // Runs until every fiber has ended.
  void run() {
    if (alive_ > 0) scheduler_->run();
    EXPECT_EQ(scheduler_->fibers_alive(), 0u);
  }
  // Interrupts the fiber's wait, as the facade does when a task is cancelled.
  static bool interrupt(runtime::Fiber& fiber) {
    return fiber.parker != nullptr && fiber.parker->interrupt();
  }
  runtime::Scheduler& scheduler() { return *scheduler_; }

 private:
  struct Body {
    Fibers& fibers;
    std::function<void()> fn;
  };
  static void main(runtime::Fiber& fiber) noexcept {
    auto& body = *static_cast<Body*>(fiber.owner);
    try {
      body.fn();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "a fiber ended with: " << error.what();
    }
    if (--body.fibers.alive_ == 0) body.fibers.scheduler_->stop();
  }

  std::unique_ptr<runtime::Scheduler> scheduler_;
  std::vector<std::unique_ptr<Body>> bodies_;
  std::size_t alive_ = 0;
};

// Two descriptors, closed by the destructor or earlier by close().
class DescriptorPair {
 public:
  ~DescriptorPair() {
    close(0);
    close(1);
  }
  DescriptorPair(const DescriptorPair&) = delete;
  DescriptorPair& operator=(const DescriptorPair&) = delete;
  int operator[](int side) const { return fds_[side]; }
  void close(int side) {
    if (fds_[side] >= 0) ::close(fds_[side]);
    fds_[side] = -1;
  }

 protected:
  DescriptorPair() = default;
  int fds_[2] = {-1, -1};
};

// A pair of connected stream (or other) sockets.
class SocketPair : public DescriptorPair {
 public:
  explicit SocketPair(int type = SOCK_STREAM) { EXPECT_EQ(::socketpair(AF_UNIX, type, 0, fds_), 0); }
};

// A pipe: [0] reads, [1] writes.
class Pipe : public DescriptorPair {
 public:
  Pipe() { EXPECT_EQ(::pipe(fds_), 0); }
};

// The result of a libc call, with its errno.
struct Outcome {
  long value = -2;
  int error = 0;
};
template <class Call>
Outcome outcome_of(Call call) {
  errno = 0;
  Outcome outcome;
  outcome.value = static_cast<long>(call());
  outcome.error = errno;
  return outcome;
}
#define EXPECT_FAILS_WITH(expected_errno, outcome)                             \
  do {                                                                         \
    const auto& outcome_ = (outcome);                                          \
    EXPECT_EQ(outcome_.value, -1);                                             \
    EXPECT_EQ(outcome_.error, (expected_errno)) << ::strerror(outcome_.error); \
  } while (false)

inline void sleep_ms(int milliseconds) { ::usleep(static_cast<useconds_t>(milliseconds) * 1000); }

// Tests whether the thread stays free while something waits: counts the turns of a ticking fiber. The count
// in a given time depends on the machine. If the thread was free, there is at least one before stop() and
// one after it; if not, only the latter.
class Ticker {
 public:
  explicit Ticker(Fibers& fibers) {
    fibers.spawn([this] {
      while (!stopped_) {
        sleep_ms(1);
        ++ticks_;
      }
    });
  }
  void stop() { stopped_ = true; }
  int ticks() const { return ticks_; }
  // Sleeps in the calling fiber until the ticker has had some turns. So the thread stays free while others
  // wait for the caller.
  void wait_for_turns() const {
    for (const int before = ticks_; ticks_ < before + kSomeTurns;) sleep_ms(1);
  }
  static constexpr int kSomeTurns = 3, kTurnsOfAFreeThread = 2;

 private:
  bool stopped_ = false;
  int ticks_ = 0;
};

// Bytes that differ by position, so that a lost or repeated piece shows.
inline std::string pattern(std::size_t length) {
  std::string text(length, '\0');
  for (std::size_t i = 0; i < length; ++i) text[i] = static_cast<char>((i * 31 + i / 251) & 0xff);
  return text;
}

}  // namespace aiofiber::hooks_test
