// SPDX-License-Identifier: Apache-2.0
//
// The program that the tests of the aiofiber command inspect. The first argument chooses what its tasks do.
// When they do it, the program prints "ready" and goes on until it is killed (or, for `step`, until it is
// done).
#include <aiofiber/asyncio.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

void ready() {
  std::puts("ready");
  std::fflush(stdout);
}

[[gnu::noinline]] void rest() {
  asyncio::await(asyncio::sleep(1h));
  asm volatile("" ::: "memory");  // no tail call: the frame is looked for
}

// Suspends below `depth` further calls of itself.
[[gnu::noinline]] void dive(int depth, const std::function<void()>& at_the_bottom) {
  if (depth == 0) {
    at_the_bottom();
  } else {
    dive(depth - 1, at_the_bottom);
  }
  asm volatile("" ::: "memory");
}

void sleepers(int count) {
  for (int i = 0; i < count; ++i) {
    asyncio::create_task({.name = "sleeper-" + std::to_string(i)}, rest).detach();
  }
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

// One that has been 600 KiB deep, in a stack of 1 MiB, and is not any more.
[[gnu::noinline]] void use_deeply() {
  volatile char frame[600 * 1024];
  for (std::size_t i = 0; i < sizeof frame; i += 1024) frame[i] = 1;
}
void diver() {
  asyncio::create_task({.name = "diver", .stack_size = std::size_t{1} << 20}, [] {
    use_deeply();
    rest();
  }).detach();
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

// link-COUNT awaits ... awaits link-1.
void chain(int count) {
  std::vector<asyncio::Task<>> links;
  links.push_back(asyncio::create_task({.name = "link-1"}, rest));
  for (int i = 2; i <= count; ++i) {
    links.push_back(asyncio::create_task({.name = "link-" + std::to_string(i)},
                                         [next = links.back()] { asyncio::await(next); }));
  }
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

// parent -> child, a task that has not started, and one deep in a recursion.
void family() {
  asyncio::Task<> child = asyncio::create_task({.name = "child"}, rest);
  asyncio::create_task({.name = "parent"}, [child] { asyncio::await(child); }).detach();
  asyncio::create_task({.name = "diver"}, [] { dive(40, rest); }).detach();
  asyncio::create_task({.name = "last"}, [] {
    asyncio::create_task({.name = "unborn"}, rest).detach();
    ready();
    for (;;) pause();  // on the CPU: the loop goes no further, so "unborn" never starts
  }).detach();
  rest();
}

// Each awaits the next one, the last one the first.
void circle(int count) {
  std::vector<std::optional<asyncio::Task<>>> tasks(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    tasks[i] = asyncio::create_task({.name = "round-" + std::to_string(i)},
                                    [&next = tasks[(i + 1) % tasks.size()]] { asyncio::await(*next); });
  }
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

// Tasks that switch as fast as they can, each from another depth every time, which its name tells.
void busy(int count, int rounds) {
  std::vector<asyncio::Task<>> tasks;
  for (int i = 0; i < count; ++i) {
    tasks.push_back(asyncio::create_task([i, rounds] {
      unsigned seed = static_cast<unsigned>(i) * 7919 + 1;
      for (int round = 0; round != rounds; ++round) {
        seed = seed * 1664525 + 1013904223;
        const int depth = 1 + static_cast<int>(seed >> 24) % 60;
        asyncio::current_task()->set_name(std::to_string(depth));
        dive(depth, [] { asyncio::await(asyncio::sleep(0s)); });
        asyncio::current_task()->set_name("0");
        asyncio::await(asyncio::sleep(0s));
      }
    }));
  }
  asyncio::await(asyncio::sleep(0s));
  ready();
  asyncio::await(asyncio::gather(tasks));
}

// ---- C++20 coroutines

asyncio::Coro<> leaf() {
  co_await asyncio::sleep(1h);  // leaf
}
template <class T>
asyncio::Coro<T> middle(T value) {
  co_await leaf();  // middle
  co_return value;
}
struct Service {
  asyncio::Coro<int> outer() const {
    co_return co_await middle(1);  // outer
  }
};
[[gnu::noinline]] int awaits_coroutine() {
  const int value = asyncio::await(Service().outer());  // awaits_coroutine
  asm volatile("" ::: "memory");
  return value;
}
asyncio::Coro<int> borrows_a_stack() {
  co_return co_await awaits_coroutine;  // borrows_a_stack
}
[[gnu::noinline]] void mixes() {
  asyncio::await(borrows_a_stack());  // mixes
  asm volatile("" ::: "memory");
}
bool computes = false;  // in the task that runs, instead of a blocking call
[[gnu::noinline]] void stay() {
  asyncio::create_task(Service().outer(), {.name = "unborn"}).detach();
  ready();
  while (computes) asm volatile("");
  while (true) pause();  // stay
}
asyncio::Coro<> runs() {
  co_await asyncio::sleep(10ms);
  stay();  // runs
}
asyncio::Coro<> runs_below() {
  co_await runs();  // runs_below
}

// A task without a stack, one that drives coroutines, one with a borrowed stack, a mixture, one that runs on
// its loop's stack, and one that has not started.
void coroutines() {
  asyncio::create_task(Service().outer(), {.name = "stackless"}).detach();
  asyncio::create_task({.name = "driving"}, awaits_coroutine).detach();
  asyncio::create_task(borrows_a_stack(), {.name = "borrowing"}).detach();
  asyncio::create_task({.name = "mixed"}, mixes).detach();
  asyncio::create_task(runs_below(), {.name = "running"}).detach();
  rest();
}

asyncio::Coro<> recurse(int depth, const std::function<asyncio::Coro<>()>& at_the_bottom) {
  if (depth == 0) {
    co_await at_the_bottom();
  } else {
    co_await recurse(depth - 1, at_the_bottom);
  }
}
asyncio::Coro<> one_pass() { co_await asyncio::sleep(0s); }

// As busy(), with coroutines: the task's name tells how many calls of dive() or recurse() are there, and in
// which order. Of three kinds: coroutines without a stack; a stack that drives coroutines; coroutines with a
// borrowed stack.
asyncio::Coro<> busy_coroutine(unsigned seed) {
  for (const bool borrows = seed % 3 == 2;;) {
    seed = seed * 1664525 + 1013904223;
    const int depth = 1 + static_cast<int>(seed >> 24) % 20;
    asyncio::current_task()->set_name((borrows ? "rd" : "r") + std::to_string(depth));
    if (borrows) {
      co_await recurse(depth, [depth]() -> asyncio::Coro<> {
        co_await [depth] { dive(depth, [] { asyncio::await(asyncio::sleep(0s)); }); };
      });
    } else {
      co_await recurse(depth, one_pass);
    }
    asyncio::current_task()->set_name("0");
    // Not always as long: otherwise all tasks would be at the same place in each pass.
    for (unsigned passes = 1 + (seed >> 16) % 3; passes > 0; --passes) co_await asyncio::sleep(0s);
  }
}
void busy_driver(unsigned seed) {
  for (;;) {
    seed = seed * 1664525 + 1013904223;
    const int depth = 1 + static_cast<int>(seed >> 24) % 20;
    asyncio::current_task()->set_name("dr" + std::to_string(depth));
    dive(depth, [depth] { asyncio::await(recurse(depth, one_pass)); });
    asyncio::current_task()->set_name("0");
    for (unsigned passes = 1 + (seed >> 16) % 3; passes > 0; --passes) asyncio::await(asyncio::sleep(0s));
  }
}
void busy_coroutines(int count) {
  std::vector<asyncio::Task<>> tasks;
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
    tasks.push_back(i % 3 == 1 ? asyncio::create_task(busy_driver, i)
                               : asyncio::create_task(busy_coroutine(i)));
  }
  asyncio::await(asyncio::sleep(0s));
  ready();
  asyncio::await(asyncio::gather(tasks));
}

// A task that is done, and one whose name has a blank and whose frame has a local and an argument to look at.
[[gnu::noinline]] void rest_with(int argument) {
  volatile int local = argument + 1;
  rest();
  asm volatile("" ::"r"(local));
}
void locals() {
  asyncio::await(asyncio::create_task({.name = "done"}, [] {}));
  asyncio::create_task({.name = "two words"}, rest_with, 41).detach();
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

// The longest waiting, the one with most stack, and the busiest: three different ones.
void rivals() {
  asyncio::create_task({.name = "old"}, rest).detach();
  asyncio::await(asyncio::sleep(20ms));
  asyncio::create_task({.name = "deep"}, [] { dive(200, rest); }).detach();
  asyncio::create_task({.name = "spinner"}, [] {
    for (;;) asyncio::await(asyncio::sleep(1ms));
  }).detach();
  asyncio::await(asyncio::sleep(20ms));
  ready();
  rest();
}

// Prints what a program sees of a task of its own, and ends.
void self() {
  asyncio::Task<> task = asyncio::create_task({.name = "seen"}, rest);
  asyncio::await(asyncio::sleep(0s));
  task.print_stack(std::nullopt, &std::cout);
  asyncio::print_call_graph(task);
}

// Names that would write on a terminal, or are no UTF-8; and one that is cut in the middle of a character.
void names() {
  for (const char* name : {"escape\x1b[31m", "c1\x9b\x33\x31m", "c1 as UTF-8 \xc2\x9b", "turned \xe2\x80\xae",
                           "cut \xc3", "\xe2\x80\x8bzero width"}) {
    asyncio::create_task({.name = name}, rest).detach();
  }
  asyncio::create_task({.name = std::string(30, 'x') + "\xc3\xa9"}, rest).detach();
  asyncio::create_task({.name = "K\xc3\xbc"
                                "che \xf0\x9f\x98\x80"},
                       rest)
      .detach();
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

[[gnu::noinline]] int use_stack(int kib) {
  volatile char room[1000];
  room[0] = static_cast<char>(kib);
  if (kib == 0) rest();
  return kib == 0 ? 0 : use_stack(kib - 1) + room[0];
}

// Each with 6 MiB on its stack.
void deep(int count) {
  for (int i = 0; i < count; ++i) {
    asyncio::create_task({.name = "deep-" + std::to_string(i), .stack_size = 16 << 20}, [] {
      use_stack(5500);
    }).detach();
  }
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  ready();
  rest();
}

// Tasks that take two neighbouring Locks, the lower one first, and tasks that gather children of their own
// name, all as fast as they can.
void churn() {
  static asyncio::Lock locks[8];
  std::vector<asyncio::Task<>> tasks;
  for (unsigned i = 0; i < 60; ++i) {
    tasks.push_back(asyncio::create_task({.name = "transfer"}, [seed = i]() mutable {
      for (;;) {
        seed = seed * 1664525 + 1013904223;
        const std::size_t first = (seed >> 20) % 7;
        for (const std::size_t place : {first, first + 1}) {
          asyncio::await(locks[place].acquire());
          asyncio::await(asyncio::sleep(0s));
        }
        locks[first + 1].release();
        locks[first].release();
      }
    }));
  }
  for (int i = 0; i < 20; ++i) {
    tasks.push_back(asyncio::create_task({.name = "parent-" + std::to_string(i)}, [i] {
      for (;;) {
        std::vector<asyncio::Task<>> children;
        for (int k = 0; k < 3; ++k) {
          children.push_back(asyncio::create_task({.name = "parent-" + std::to_string(i) + "'s"},
                                                  [] { asyncio::await(asyncio::sleep(0s)); }));
        }
        asyncio::await(asyncio::gather(children));
      }
    }));
  }
  asyncio::await(asyncio::sleep(0s));
  ready();
  asyncio::await(asyncio::gather(tasks));
}

// Dies of a call through a null pointer, three calls deep, while another task waits.
[[gnu::noinline]] void call_nothing() {
  void (*function)() = nullptr;
  asm volatile("" : "+r"(function));
  function();
  asm volatile("" ::: "memory");
}
void null_call() {
  asyncio::create_task({.name = "bystander"}, rest).detach();
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::sleep(0s));
  asyncio::await(asyncio::create_task({.name = "guilty"}, [] {
    ready();
    asyncio::await(asyncio::sleep(50ms));
    dive(2, call_nothing);
  }));
}

void from_a_device();

// Between two SIGSTOPs, which a tracer swallows: tasks are created, named, switched to and from, and end.
// While one of them is suspended, its stack holds as many calls of dive() as its name says; of "c4", as many
// coroutines are suspended. Their records have been used before.
void stretch() {
  const auto round = [] {
    const auto work = [](int depth) {
      dive(depth, [] {
        for (int i = 0; i < 3; ++i) asyncio::await(asyncio::sleep(0s));
      });
    };
    asyncio::Task<> first = asyncio::create_task({.name = "3"}, work, 2);
    asyncio::Task<> second = asyncio::create_task({.name = "6"}, work, 5);
    // The same of recurse(); then it borrows a stack.
    asyncio::Task<> third =
        asyncio::create_task(recurse(3,
                                     []() -> asyncio::Coro<> {
                                       co_await asyncio::sleep(0s);
                                       co_await [] { dive(1, [] { asyncio::await(asyncio::sleep(0s)); }); };
                                     }),
                             {.name = "c4"});
    asyncio::await(asyncio::gather(first, second, third));
  };
  round();
  raise(SIGSTOP);
  round();
  raise(SIGSTOP);
}

void loops() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([i] {
      pthread_setname_np(pthread_self(), i == 0 ? "loop-a" : "loop-b");
      asyncio::run([] { sleepers(1); });
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// In a system call, or in none.
[[gnu::noinline]] void stand_still(bool blocked) {
  while (blocked) pause();
  for (;;) asm volatile("");
}
void callback(bool blocked) {
  asyncio::get_running_loop().call_soon([blocked] {
    ready();
    stand_still(blocked);
  });
  rest();
}

// Without the hooks a mutex, a semaphore and a file block the thread of the loop.
std::mutex of_a_thread;
[[gnu::noinline]] void take_the_mutex() {
  const std::lock_guard lock(of_a_thread);
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] void wait_for_nothing() {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  while (sem_wait(&semaphore) != 0) continue;
}
[[gnu::noinline]] void read_a_byte(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char byte = 0;
  if (read(fd, &byte, 1) < 0) std::perror("read");
  asm volatile("" ::: "memory");
}
void mutex_of_a_thread(bool in_callback) {
  std::thread([] {
    pthread_setname_np(pthread_self(), "db-writer");
    of_a_thread.lock();
    std::printf("tid %d\n", static_cast<int>(gettid()));
    for (;;) pause();
  }).detach();
  while (of_a_thread.try_lock()) {
    of_a_thread.unlock();
    std::this_thread::yield();
  }
  const auto guilty = [] {
    ready();
    take_the_mutex();
  };
  if (in_callback) {
    asyncio::get_running_loop().call_soon(guilty);
  } else {
    asyncio::create_task({.name = "guilty"}, guilty).detach();
  }
  rest();
}
void guilty_task(const std::function<void()>& blocks) {
  asyncio::create_task({.name = "guilty"}, [&blocks] {
    ready();
    blocks();
  }).detach();
  rest();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const int count = argc > 2 ? std::atoi(argv[2]) : 3;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // of a test that crashes nothing stays behind
  if (mode == "loops") {
    loops();
  } else if (mode == "sleepers") {
    asyncio::run([count] { sleepers(count); });
  } else if (mode == "diver") {
    asyncio::run(diver);
  } else if (mode == "chain") {
    asyncio::run([count] { chain(count); });
  } else if (mode == "family") {
    asyncio::run(family);
  } else if (mode == "locals") {
    asyncio::run(locals);
  } else if (mode == "rivals") {
    asyncio::run(rivals);
  } else if (mode == "names") {
    asyncio::run(names);
  } else if (mode == "churn") {
    asyncio::run(churn);
  } else if (mode == "null-call") {
    asyncio::run(null_call);
  } else if (mode == "deep") {
    asyncio::run([count] { deep(count); });
  } else if (mode == "device") {
    asyncio::run([] {
      asyncio::create_task({.name = "reader"}, from_a_device).detach();
      asyncio::await(asyncio::sleep(0s));
      asyncio::await(asyncio::sleep(0s));
      ready();
      rest();
    });
  } else if (mode == "callback" || mode == "callback-spin") {
    asyncio::run([&] { callback(mode == "callback"); });
  } else if (mode == "mutex" || mode == "callback-mutex") {
    asyncio::run([&] { mutex_of_a_thread(mode != "mutex"); });
  } else if (mode == "semaphore") {
    asyncio::run([] { guilty_task(wait_for_nothing); });
  } else if (mode == "file" && argc > 2) {
    asyncio::run([&] { guilty_task([&] { read_a_byte(argv[2]); }); });
  } else if (mode == "self") {
    asyncio::run(self);
  } else if (mode == "stretch") {
    asyncio::run(stretch);
  } else if (mode == "circle") {
    asyncio::run([count] { circle(count); });
  } else if (mode == "coroutines") {
    computes = argc > 2 && std::strcmp(argv[2], "compute") == 0;
    if (argc > 2 && std::strcmp(argv[2], "old") == 0)
      aiofiber_debug_registry.record_size = offsetof(aiofiber_record, coroutines);
    asyncio::run(coroutines);
  } else if (mode == "busy-coroutines") {
    asyncio::run([count] { busy_coroutines(count); });
  } else if (mode == "busy") {
    asyncio::run([count] { busy(count, -1); });
  } else if (mode == "step") {
    asyncio::run([] { busy(3, 3); });
  } else {
    std::fputs("usage: inspect_target MODE [COUNT], for the modes see main()\n", stderr);
    return 2;
  }
  return 0;
}

// The compiler believes that what follows stands in a device without an end.
#line 1 "/dev/zero"
namespace {
void from_a_device() {
  rest();
  asm volatile("" ::: "memory");
}
}  // namespace
