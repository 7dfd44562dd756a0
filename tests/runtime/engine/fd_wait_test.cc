// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a descriptor. Real pipes, and the real clock where the kernel is asked.
// Labels: threads
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/fd_wait.h"
#include "support/fiber_loop.h"
#include "support/pipe.h"

namespace aiofiber::runtime {
namespace {

TEST(FdWait, WakesTheReaderOfAPipe) {
  Loop loop(SteadyClock::instance());
  Pipe pipe;
  Log log;
  loop.spawn([&] {
    EXPECT_TRUE(fd_wait(pipe.reader(), kReadable).ready());
    log.push_back(std::string(1, pipe.take()));
    EXPECT_EQ(fd_wait(pipe.reader(), kReadable).events, kReadable);
    log.push_back(std::string(1, pipe.take()));
  });
  loop.spawn([&] {
    EXPECT_EQ(fd_wait(pipe.writer(), kWritable).events, kWritable);
    log.emplace_back("writable");
    pipe.put('x');
    while (log.size() < 2) yield_now();
    pipe.put('y');
  });
  loop.run();
  EXPECT_EQ(log, (Log{"writable", "x", "y"}));
}

TEST(FdWait, TellsEveryWaiterOfADescriptor) {
  Loop loop(SteadyClock::instance());
  Pipe pipe;
  int told = 0;
  for (int i = 0; i < 3; ++i) {
    loop.spawn([&] {
      if (fd_wait(pipe.reader(), kReadable).ready()) ++told;
    });
  }
  loop.spawn([&] { pipe.put('x'); });
  loop.run();
  EXPECT_EQ(told, 3);
}

TEST(FdWait, TimesOutAtItsDeadline) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  loop.spawn([&] { result = fd_wait(pipe.reader(), kReadable, 7'000'000'000); });
  loop.run();
  EXPECT_TRUE(result.timed_out);
  EXPECT_FALSE(result.ready());
  EXPECT_EQ(loop.clock().now(), 7'000'000'000);
}

TEST(FdWait, ATimeoutOfZeroLooksOnce) {
  Loop loop;
  Pipe empty;
  Pipe full;
  full.put('x');
  FdWaitResult of_empty;
  FdWaitResult of_full;
  loop.spawn([&] { of_empty = fd_wait(empty.reader(), kReadable, 0); });
  loop.spawn([&] { of_full = fd_wait(full.reader(), kReadable, 0); });
  loop.run();
  EXPECT_TRUE(of_empty.timed_out);
  EXPECT_TRUE(of_full.ready());
  EXPECT_FALSE(of_full.timed_out);
}

TEST(FdWait, IsInterrupted) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  Fiber& reader = loop.spawn([&] { result = fd_wait(pipe.reader(), kReadable); });
  loop.spawn([&] { EXPECT_TRUE(reader.parker->interrupt()); });
  loop.run();
  EXPECT_TRUE(result.interrupted);
  EXPECT_FALSE(result.ready());
}

TEST(FdWait, IsToldOfAClose) {
  Loop loop;
  Pipe pipe;
  FdWaitResult result;
  std::size_t woken = 0;
  loop.spawn([&] { result = fd_wait(pipe.reader(), kReadable); });
  loop.spawn([&] { woken = fd_closing(pipe.reader()); });
  loop.run();
  EXPECT_EQ(woken, 1u);
  EXPECT_EQ(result.events, kClosed);
  EXPECT_FALSE(result.ready());
}

TEST(FdWait, RefusesADescriptorThatIsNotOpen) {
  Loop loop;
  int error = 0;
  loop.spawn([&] {
    try {
      fd_wait(-1, kReadable);
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
  });
  loop.run();
  EXPECT_EQ(error, EBADF);
}

// Nobody reports closes here: the number that comes again belongs to another pipe.
TEST(FdWait, FollowsANumberToItsNewFile) {
  Loop loop(SteadyClock::instance());
  bool ready = false;
  loop.spawn([&] {
    int first_number = -1;
    {
      Pipe first;
      first_number = first.reader();
      first.put('x');
      EXPECT_TRUE(fd_wait(first.reader(), kReadable).ready());
    }
    Pipe second;
    EXPECT_EQ(second.reader(), first_number);
    second.put('y');
    ready = fd_wait(second.reader(), kReadable, 5'000'000'000).ready();
  });
  loop.run();
  EXPECT_TRUE(ready);
}

}  // namespace
}  // namespace aiofiber::runtime
