// SPDX-License-Identifier: Apache-2.0
//
// Library functions that programs do not regard as a client: the standard library's sleeps, locks and
// streams, processes, names.
#include <netdb.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ext/stdio_filebuf.h>

#include <condition_variable>
#include <cstdlib>
#include <istream>
#include <memory>
#include <mutex>
#include <ostream>
#include <thread>

#include "client_test.h"
#include "connected_socket.h"
#include "servers/servers.h"
#include "ticker.h"

namespace aiofiber::clients_test {
namespace {

class Iostreams : public ClientTest<HttpServer> {};

TEST_F(Iostreams, ReadAHundredSlowAnswersAtOnce) {
  EXPECT_OVERLAPPING(100, concurrently(100, [](int) {
                       ConnectedSocket socket(server<HttpServer>().port());
                       __gnu_cxx::stdio_filebuf<char> buffer(socket.release(), std::ios::in | std::ios::out);
                       std::iostream stream(&buffer);
                       stream << "GET /slow HTTP/1.0\r\n\r\n" << std::flush;
                       std::string last;
                       for (std::string line; std::getline(stream, line);) last = line;
                       return last == "slow";
                     }));
}

TEST(ThisThread, SleepsInAHundredTasksAtOnce) {
  EXPECT_OVERLAPPING(100, concurrently(100, [](int) { return std::this_thread::sleep_for(1s), true; }));
}

TEST(Processes, RunBySystemAtOnceTellTheirExitCodes) {
  EXPECT_ALL(16, concurrently(16, [](int) { return std::system("exit 3") == 3 << 8; }));
}

TEST(Processes, AHundredChildrenAreWaitedForAtOnce) {
  EXPECT_OVERLAPPING(100, concurrently(100, [](int i) {
                       const pid_t child = ::fork();
                       if (child == 0) {
                         ::usleep(1'000'000);
                         ::_exit(i);
                       }
                       int status = 0;
                       return ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                              WEXITSTATUS(status) == i;
                     }));
}

// What glibc reads of a FILE it reads inside itself; the pipe's descriptor is what a task can wait for.
TEST(Processes, AnswersOfPopenAreReadAtOnce) {
  EXPECT_OVERLAPPING(50, concurrently(50, [](int i) {
                       std::FILE* pipe = ::popen(("sleep 1; echo " + std::to_string(i)).c_str(), "r");
                       char answer[16] = {};
                       const bool read =
                           pipe != nullptr && ::read(::fileno(pipe), answer, sizeof answer - 1) > 0;
                       return ::pclose(pipe) == 0 && read && std::atoi(answer) == i;
                     }));
}

TEST(StdMutex, IsHeldByATaskThatSleeps) {
  std::mutex mutex;
  int inside = 0, most_inside = 0;
  const Concurrently outcome = concurrently(50, [&](int) {
    const std::lock_guard<std::mutex> lock(mutex);
    most_inside = std::max(most_inside, ++inside);
    std::this_thread::sleep_for(4ms);
    --inside;
    return true;
  });
  EXPECT_EQ(outcome.succeeded, 50);
  EXPECT_EQ(most_inside, 1);
  EXPECT_GE(outcome.seconds, 0.2);
}

TEST(StdConditionVariable, WakesAHundredTasksFromAThread) {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  std::thread opener([&] {
    std::this_thread::sleep_for(1s);
    const std::lock_guard<std::mutex> lock(mutex);
    open = true;
    changed.notify_all();
  });
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int) {
                       std::unique_lock<std::mutex> lock(mutex);
                       return changed.wait_for(lock, 10s, [&] { return open; });
                     }));
  opener.join();
}

TEST(StdCallOnce, MakesTheOthersWaitForTheTaskThatIsInIt) {
  std::once_flag once;
  int calls = 0;
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int) {
                       std::call_once(once, [&] {
                         std::this_thread::sleep_for(1s);
                         ++calls;
                       });
                       return calls == 1;
                     }));
}

TEST(Getaddrinfo, AnswersAHundredTasksAndKeepsNobodyWaiting) {
  double longest_ms = 0;
  for (int attempt = 0; attempt < 3 && (attempt == 0 || longest_ms > 10); ++attempt) {
    int right = 0;
    asyncio::run([&] {
      const Ticker ticker;
      std::vector<asyncio::Task<void>> tasks;
      for (int i = 0; i < 100; ++i) {
        tasks.push_back(asyncio::create_task([&] {
          addrinfo* found = nullptr;
          if (::getaddrinfo("localhost", "80", nullptr, &found) == 0 && found != nullptr) ++right;
          if (found != nullptr) ::freeaddrinfo(found);
        }));
      }
      asyncio::await(asyncio::gather(tasks));
      longest_ms = ticker.longest_wait_ms();
    });
    EXPECT_EQ(right, 100);
  }
  EXPECT_LE(longest_ms, 10);
}

}  // namespace
}  // namespace aiofiber::clients_test
