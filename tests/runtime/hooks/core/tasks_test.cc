// SPDX-License-Identifier: Apache-2.0
//
// Hooked calls under the facade: how C code and the awaiting task see a cancellation.
// Real sockets, real time: about ten milliseconds for each test.
//
// Labels: long
#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;

// Stands for C code: tells what its call gave, throws nothing.
struct CResult {
  long value = -2;
  int error = 0;
};
CResult blocking_read(int fd) {
  char byte;
  const long value = static_cast<long>(::recv(fd, &byte, 1, 0));
  return {value, errno};
}

class HookedTasks : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds_), 0); }
  void TearDown() override {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  int fds_[2];
};

TEST_F(HookedTasks, GiveEcanceledToCCodeAndCancelledErrorToTheAwaiter) {
  CResult seen;
  asyncio::run([&] {
    auto reader = asyncio::create_task([&] {
      seen = blocking_read(fds_[0]);
      asyncio::await(asyncio::sleep(0s));  // where C++ is again, the cancellation is raised
      ADD_FAILURE() << "the cancellation was lost";
    });
    asyncio::await(asyncio::sleep(5ms));
    EXPECT_TRUE(reader.cancel());
    EXPECT_THROW(asyncio::await(reader), asyncio::CancelledError);
    EXPECT_TRUE(reader.cancelled());
  });
  EXPECT_EQ(seen.value, -1);
  EXPECT_EQ(seen.error, ECANCELED);
}

TEST_F(HookedTasks, AreTimedOutInsideStdioAndTheStreamWorksAfterwards) {
  ASSERT_TRUE(aiofiber::hooks::enable_stdio());
  std::FILE* const file = ::fdopen(::dup(fds_[0]), "r");
  char line[16] = {};
  asyncio::run([&] {
    const auto read_a_line = [&] { return std::fgets(line, sizeof line, file) != nullptr ? 0 : errno; };
    int seen = 0;
    EXPECT_THROW(asyncio::await(asyncio::wait_for([&] { seen = read_a_line(); }, 10ms)),
                 asyncio::TimeoutError);
    EXPECT_EQ(seen, ECANCELED);
    EXPECT_NE(std::ferror(file), 0);
    std::clearerr(file);
    auto reader = asyncio::create_task(read_a_line);
    asyncio::await(asyncio::sleep(5ms));
    EXPECT_EQ(::write(fds_[1], "again\n", 6), 6);
    EXPECT_EQ(asyncio::await(reader), 0);
  });
  EXPECT_STREQ(line, "again\n");
  std::fclose(file);
}

// Legacy code turns ECANCELED into an error of its own, which leaves the task: it was cancelled all the same.
TEST_F(HookedTasks, AreCancelledThoughTheLegacyCodeThrowsAnErrorOfItsOwn) {
  asyncio::run([&] {
    auto reader = asyncio::create_task([&] {
      if (blocking_read(fds_[0]).value < 0) throw std::runtime_error("recv failed");
    });
    asyncio::await(asyncio::sleep(5ms));
    reader.cancel();
    EXPECT_THROW(asyncio::await(reader), asyncio::CancelledError);
  });
}

TEST_F(HookedTasks, AreGivenUpByWaitFor) {
  asyncio::run([&] {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(asyncio::await(asyncio::wait_for(
                     [&] {
                       pollfd entry{fds_[0], POLLIN, 0};
                       if (::poll(&entry, 1, 10'000) < 0) throw std::runtime_error("poll failed");
                     },
                     20ms)),
                 asyncio::TimeoutError);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
  });
}

TEST_F(HookedTasks, AreLeftAloneByWaitForWhenTheyAreInTime) {
  const long got = asyncio::run([&] {
    auto writer = asyncio::create_task([&] {
      ::usleep(5000);
      return ::send(fds_[1], "x", 1, 0);
    });
    const CResult result = asyncio::await(asyncio::wait_for([&] { return blocking_read(fds_[0]); }, 2s));
    asyncio::await(writer);
    return result.value;
  });
  EXPECT_EQ(got, 1);
}

// After the CancelledError was raised and caught, the task's blocking calls work again.
TEST_F(HookedTasks, CanBlockAgainAfterACancellationWasCaught) {
  asyncio::run([&] {
    auto reader = asyncio::create_task([&] {
      blocking_read(fds_[0]);
      try {
        asyncio::await(asyncio::sleep(0s));
      } catch (const asyncio::CancelledError&) {
      }
      return blocking_read(fds_[0]).value;
    });
    asyncio::await(asyncio::sleep(5ms));
    reader.cancel();
    asyncio::await(asyncio::sleep(5ms));
    EXPECT_EQ(::send(fds_[1], "x", 1, 0), 1);
    EXPECT_EQ(asyncio::await(reader), 1);
  });
}

TEST_F(HookedTasks, LookUpLocalhostTwentyTimesAtOnce) {
  asyncio::run([] {
    std::vector<asyncio::Task<int>> lookups;
    for (int i = 0; i < 20; ++i) {
      lookups.push_back(asyncio::create_task([] {
        addrinfo* result = nullptr;
        const int error = ::getaddrinfo("localhost", "80", nullptr, &result);
        if (error == 0) ::freeaddrinfo(result);
        return error;
      }));
    }
    for (const int error : asyncio::await(asyncio::gather(lookups)))
      EXPECT_EQ(error, 0) << ::gai_strerror(error);
  });
}

// run() cancels what is left: a task in a hooked call ends with it.
TEST_F(HookedTasks, EndWithTheirLoop) {
  bool ended = false;
  asyncio::run([&] {
    asyncio::create_task([&] {
      EXPECT_EQ(blocking_read(fds_[0]).error, ECANCELED);
      ended = true;
    }).detach();
    asyncio::await(asyncio::sleep(5ms));
  });
  EXPECT_TRUE(ended);
}

// So does its alarm. Without a handler it would end the process.
TEST_F(HookedTasks, LoseTheirAlarmWithTheirLoop) {
  {
    asyncio::EventLoop loop;
    asyncio::set_log_sink([](asyncio::LogLevel, std::string_view) {});
    loop.create_task([&] {
          ::ualarm(20'000, 0);
          EXPECT_EQ(blocking_read(fds_[0]).error, ECANCELED);
          ::ualarm(1, 0);
          EXPECT_EQ(blocking_read(fds_[0]).error, ECANCELED);
        })
        .detach();
    loop.call_later(1ms, [&loop] { loop.stop(); });
    loop.run_forever();
    loop.close();
  }
  asyncio::set_log_sink({});
  asyncio::run([] { asyncio::await(asyncio::sleep(30ms)); });
}

// A loop that is closed without cancelling first: no call may wait any more.
TEST_F(HookedTasks, DoNotWaitWhileTheirLoopCloses) {
  CResult first, second;
  {
    asyncio::EventLoop loop;
    asyncio::set_log_sink(
        [](asyncio::LogLevel, std::string_view) {});  // "Task was destroyed but it is pending!"
    loop.create_task([&] {
          first = blocking_read(fds_[0]);
          second = blocking_read(fds_[0]);
        })
        .detach();
    loop.call_later(5ms, [&loop] { loop.stop(); });
    loop.run_forever();
    loop.close();
  }
  asyncio::set_log_sink({});
  EXPECT_EQ(first.error, ECANCELED);
  EXPECT_EQ(second.error, ECANCELED);
}

}  // namespace
