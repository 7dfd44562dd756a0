// SPDX-License-Identifier: Apache-2.0
//
// A program whose tasks wait for each other's locks, for the tests of the command and of gdb. Two accounts,
// each with a mutex, and two transfers that take the mutexes in opposite order; a Lock of an ended task; a
// mutex that a thread holds. It prints "ready" and goes on until it is killed. With the argument "old", its
// registry is that of a program whose records do not have the owners of locks.
#include <aiofiber/asyncio.h>
#include <aiofiber/runtime/inspect/registry_abi.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

using namespace std::chrono_literals;

namespace {

struct Account {
  std::mutex mutex;
  int balance = 100;
};
Account savings, giro;
asyncio::Lock lost;
std::mutex of_a_thread;

[[gnu::noinline]] void transfer(Account& from, Account& to, int amount) {
  const std::lock_guard first(from.mutex);
  usleep(1000);  // asks the bank
  const std::lock_guard second(to.mutex);
  from.balance -= amount;
  to.balance += amount;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "old") == 0) {
    aiofiber_debug_registry.record_size = offsetof(aiofiber_record, wait_owner);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // of a test that crashes nothing stays behind
  std::thread holder([] {
    of_a_thread.lock();
    std::printf("tid %d\n", static_cast<int>(gettid()));
    std::fflush(stdout);
    for (;;) pause();
  });
  while (of_a_thread.try_lock()) {
    of_a_thread.unlock();
    std::this_thread::yield();
  }
  asyncio::run([] {
    asyncio::create_task({.name = "salary"}, [] { transfer(giro, savings, 10); }).detach();
    asyncio::create_task({.name = "rent"}, [] { transfer(savings, giro, 20); }).detach();
    asyncio::await(asyncio::create_task({.name = "loser"}, [] { asyncio::await(lost.acquire()); }));
    asyncio::create_task({.name = "finder"}, [] { asyncio::await(lost.acquire()); }).detach();
    asyncio::create_task({.name = "guest"}, [] { const std::lock_guard lock(of_a_thread); }).detach();
    asyncio::await(asyncio::sleep(50ms));  // they have all come to their locks
    std::puts("ready");
    std::fflush(stdout);
    asyncio::await(asyncio::sleep(1h));
  });
}
