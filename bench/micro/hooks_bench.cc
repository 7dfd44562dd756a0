// SPDX-License-Identifier: Apache-2.0
//
// The cost of a hooked call outside tasks, in a task, and under hooks::Disable, beside libc's own function in
// the same run.
//
// libc's functions are found in libc by name. A call that the kernel refuses at once (EBADF) shows the cost
// of the hook best: goal 30 ns above libc outside tasks. An uncontended lock and unlock of a mutex makes no
// system call: goal 10 ns.
#include <benchmark/benchmark.h>

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "aiofiber/asyncio.h"
#include "aiofiber/hooks.h"

namespace {

template <class Function>
Function libc_function(const char* name, Function) {
  return reinterpret_cast<Function>(dlsym(dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD), name));
}

using Body = void (*)(benchmark::State&);

void in_task(benchmark::State& state, Body body) {
  asyncio::run([&] { body(state); });
}
void disabled(benchmark::State& state, Body body) {
  asyncio::run([&] {
    const aiofiber::hooks::Disable off;
    body(state);
  });
}

void refused_recv(benchmark::State& state) {
  char byte;
  for (auto _ : state) benchmark::DoNotOptimize(recv(-1, &byte, 1, 0));
}
void refused_recv_of_libc(benchmark::State& state) {
  const auto function = libc_function("recv", &recv);
  char byte;
  for (auto _ : state) benchmark::DoNotOptimize(function(-1, &byte, 1, 0));
}
BENCHMARK(refused_recv_of_libc);
BENCHMARK(refused_recv);
BENCHMARK_CAPTURE(disabled, refused_recv, &refused_recv);
BENCHMARK_CAPTURE(in_task, refused_recv, &refused_recv);

void mutex(benchmark::State& state) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  for (auto _ : state) {
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
  }
}
void mutex_of_libc(benchmark::State& state) {
  const auto take = libc_function("pthread_mutex_lock", &pthread_mutex_lock);
  const auto release = libc_function("pthread_mutex_unlock", &pthread_mutex_unlock);
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  for (auto _ : state) {
    take(&lock);
    release(&lock);
  }
}
BENCHMARK(mutex_of_libc);
BENCHMARK(mutex);
BENCHMARK_CAPTURE(disabled, mutex, &mutex);
BENCHMARK_CAPTURE(in_task, mutex, &mutex);

// A byte there and back between two tasks, each receive of which suspends.
void round_trip(benchmark::State& state) {
  asyncio::run([&] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
      state.SkipWithError("socketpair");
      return;
    }
    asyncio::Task<void> echo = asyncio::create_task([&] {
      char byte;
      while (recv(ends[1], &byte, 1, 0) == 1) send(ends[1], &byte, 1, 0);
    });
    char byte = 'x';
    for (auto _ : state) {
      send(ends[0], &byte, 1, 0);
      recv(ends[0], &byte, 1, 0);
    }
    shutdown(ends[0], SHUT_WR);
    asyncio::await(echo);
    close(ends[0]);
    close(ends[1]);
  });
}
BENCHMARK(round_trip);

// The last ones: from here on the process has a second thread, so libc's locks need locked instructions.
void with_a_second_thread(benchmark::State& state, Body body) {
  static const bool started = [] {
    std::thread([] {
      for (;;) pause();
    }).detach();
    return true;
  }();
  benchmark::DoNotOptimize(started);
  body(state);
}
BENCHMARK_CAPTURE(with_a_second_thread, mutex_of_libc, &mutex_of_libc);
BENCHMARK_CAPTURE(with_a_second_thread, mutex, &mutex);
BENCHMARK_CAPTURE(with_a_second_thread, mutex_in_task,
                  [](benchmark::State& state) { in_task(state, &mutex); });

}  // namespace

BENCHMARK_MAIN();
