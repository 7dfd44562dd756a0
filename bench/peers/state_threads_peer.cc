// SPDX-License-Identifier: Apache-2.0
//
// State Threads in the race, on epoll. It has no futures, semaphores and queues: these are what its users
// build from its condition variables. It yields by st_usleep(0), which its loop serves through a poll. Also
// its echo server, on the listening socket that is descriptor 3 (`peer echo`). See README.md for the
// measures.
#include <st.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "../echo/echo.h"
#include "peer.h"

namespace {

constexpr st_utime_t kLong = 1'000'000'000;  // us

using Threads = std::vector<st_thread_t>;

st_thread_t start_thread(void* (*run)(void*), void* argument) {
  const st_thread_t thread = st_thread_create(run, argument, 1, peer::kStackBytes);
  peer::require(thread != nullptr, "State Threads cannot create one more thread");
  return thread;
}
Threads start_threads(long n, void* (*run)(void*), void* argument) {
  Threads threads;
  threads.reserve(static_cast<std::size_t>(n));
  for (long i = 0; i < n; ++i) threads.push_back(start_thread(run, argument));
  return threads;
}
void join_all(const Threads& threads) {
  for (const st_thread_t thread : threads) st_thread_join(thread, nullptr);
}

void* do_nothing(void*) { return nullptr; }
void* yield_once(void*) {
  st_usleep(0);
  return nullptr;
}

void yield(long n) {
  struct Turn {
    peer::FirstToEnd first;
    long times;
  };
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    Turn turn{{}, n < 100 ? peer::yields_of(n) / 4 : peer::yields_of(n)};
    const Threads threads = start_threads(
        n,
        [](void* argument) -> void* {
          auto& t = *static_cast<Turn*>(argument);
          st_usleep(0);
          for (long i = 0; i < t.times; ++i) st_usleep(0);
          t.first.ended();
          return nullptr;
        },
        &turn);
    st_usleep(0);
    turn.first.start();
    join_all(threads);
    peer::print("yield", n, turn.first.per(static_cast<double>(n * turn.times)));
  }
}

void create_and_join(const char* name, long n, long batches, void* (*run)(void*)) {
  peer::measure(name, n, static_cast<double>(n * batches), [&] {
    for (long batch = 0; batch < batches; ++batch) join_all(start_threads(n, run, nullptr));
  });
}
void spawn(long n) { create_and_join("spawn", n, peer::share(peer::kTasks, n), do_nothing); }
void gather(long n) { create_and_join("gather", n, peer::share(peer::kTasks, n), do_nothing); }
void wave(long n) { create_and_join("wave", n, 1, yield_once); }

struct Semaphore {
  st_cond_t changed = st_cond_new();
  long permits = 0;

  void release() {
    ++permits;
    st_cond_signal(changed);
  }
  void acquire() {
    while (permits == 0) st_cond_wait(changed);
    --permits;
  }
  void acquire_in_time() {
    while (permits == 0) st_cond_timedwait(changed, kLong);
    --permits;
  }
};

struct Gates {
  Semaphore there, back;
  long times = 0;
};

void hand_over(const char* name, long pairs, long total, void* (*first)(void*)) {
  const long times = peer::share(total, pairs);
  peer::measure(name, pairs, 2.0 * static_cast<double>(pairs * times), [&] {
    std::vector<Gates> gates(static_cast<std::size_t>(pairs));
    Threads threads;
    for (Gates& gate : gates) {
      gate.times = times;
      threads.push_back(start_thread(first, &gate));
      threads.push_back(start_thread(
          [](void* argument) -> void* {
            auto& g = *static_cast<Gates*>(argument);
            for (long i = 0; i < g.times; ++i) {
              g.there.acquire();
              g.back.release();
            }
            return nullptr;
          },
          &gate));
    }
    join_all(threads);
  });
}
template <void (Semaphore::*kAcquire)()>
void* release_and_acquire(void* argument) {
  auto& gates = *static_cast<Gates*>(argument);
  for (long i = 0; i < gates.times; ++i) {
    gates.there.release();
    (gates.back.*kAcquire)();
  }
  return nullptr;
}
void semaphore(long pairs) {
  hand_over("semaphore", pairs, peer::kRoundTrips, release_and_acquire<&Semaphore::acquire>);
}
void timed_semaphore(long pairs) {
  hand_over("timed_semaphore", pairs, peer::kTimedWaits, release_and_acquire<&Semaphore::acquire_in_time>);
}

void lock(long n) {
  struct Shared {
    st_mutex_t mutex = st_mutex_new();
    long times;
  } shared{.times = peer::share(peer::kRoundTrips, n)};
  peer::measure("lock", n, static_cast<double>(n * shared.times), [&] {
    join_all(start_threads(
        n,
        [](void* argument) -> void* {
          auto& s = *static_cast<Shared*>(argument);
          for (long i = 0; i < s.times; ++i) {
            st_mutex_lock(s.mutex);
            st_usleep(0);
            st_mutex_unlock(s.mutex);
          }
          return nullptr;
        },
        &shared));
  });
}

// A ring between two condition variables.
void queue(long capacity) {
  struct Queue {
    std::vector<long> ring;
    long put = 0, got = 0, sum = 0;
    st_cond_t filled = st_cond_new(), emptied = st_cond_new();
    std::size_t place(long i) const { return static_cast<std::size_t>(i) % ring.size(); }
    long size() const { return put - got; }
  };
  peer::measure("queue", capacity, peer::kItems, [&] {
    Queue queue{.ring = std::vector<long>(static_cast<std::size_t>(capacity))};
    const st_thread_t producer = start_thread(
        [](void* argument) -> void* {
          auto& q = *static_cast<Queue*>(argument);
          for (long i = 0; i < peer::kItems; ++i) {
            while (q.size() == static_cast<long>(q.ring.size())) st_cond_wait(q.emptied);
            q.ring[q.place(q.put++)] = i;
            st_cond_signal(q.filled);
          }
          return nullptr;
        },
        &queue);
    const st_thread_t consumer = start_thread(
        [](void* argument) -> void* {
          auto& q = *static_cast<Queue*>(argument);
          for (long i = 0; i < peer::kItems; ++i) {
            while (q.size() == 0) st_cond_wait(q.filled);
            q.sum += q.ring[q.place(q.got++)];
            st_cond_signal(q.emptied);
          }
          return nullptr;
        },
        &queue);
    join_all({producer, consumer});
    peer::require(queue.sum == peer::kItems * (peer::kItems - 1) / 2, "queue");
  });
}

// An interrupted call returns -1 through its frames; nothing is unwound.
void cancel(const char* name, long n, long frames) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    const Threads threads = start_threads(
        n,
        [](void* argument) -> void* {
          auto leaf = [] { st_usleep(kLong); };
          peer::through_frames(*static_cast<long*>(argument), leaf);
          return nullptr;
        },
        &frames);
    st_usleep(0);
    const peer::CpuWatch watch;
    for (const st_thread_t thread : threads) st_thread_interrupt(thread);
    join_all(threads);
    peer::print(name, n, watch.per(static_cast<double>(n)));
  }
}
void cancel_1(long n) { cancel("cancel_1", n, 1); }
void cancel_10(long n) { cancel("cancel_10", n, 10); }

Threads fall_asleep(peer::Sleepers& sleepers, long n) {
  static peer::Sleepers* all = nullptr;
  static long asleep = 0;
  all = &sleepers;
  Threads threads = start_threads(
      n,
      [](void*) -> void* {
        ++asleep;
        st_usleep(static_cast<st_utime_t>(all->until_deadline() / 1000));
        return nullptr;
      },
      nullptr);
  while (asleep < n) st_usleep(0);
  sleepers.all_sleep();
  return threads;
}
void sleepers(long n) {
  peer::Sleepers sleepers(n, true);
  join_all(fall_asleep(sleepers, n));
  sleepers.all_ended();
}
void memory(long n) {
  peer::Sleepers sleepers(n, false);
  fall_asleep(sleepers, n);
  std::_Exit(0);
}

void* serve(void* argument) {
  const auto connection = static_cast<st_netfd_t>(argument);
  char buffer[echo::kBufferSize];
  for (;;) {
    const ssize_t n = st_read(connection, buffer, sizeof buffer, ST_UTIME_NO_TIMEOUT);
    if (n <= 0) break;
    if (st_write(connection, buffer, static_cast<std::size_t>(n), ST_UTIME_NO_TIMEOUT) != n) break;
  }
  st_netfd_close(connection);
  return nullptr;
}
[[noreturn]] void serve_echo() {
  const st_netfd_t listener = st_netfd_open_socket(echo::kListener);
  for (;;) {
    const st_netfd_t connection = st_accept(listener, nullptr, nullptr, ST_UTIME_NO_TIMEOUT);
    if (connection == nullptr) continue;
    echo::set_no_delay(st_netfd_fileno(connection));
    st_thread_create(serve, connection, 0, peer::kStackBytes);
  }
}

}  // namespace

int main(int argc, char** argv) {
  st_set_eventsys(ST_EVENTSYS_ALT);
  peer::require(st_init() == 0, "st_init");
  if (argc == 2 && std::strcmp(argv[1], "echo") == 0) serve_echo();
  return peer::run(argc, argv,
                   {{"yield", yield},
                    {"spawn", spawn},
                    {"gather", gather},
                    {"wave", wave},
                    {"semaphore", semaphore},
                    {"lock", lock},
                    {"queue", queue},
                    {"timed_semaphore", timed_semaphore},
                    {"cancel_1", cancel_1},
                    {"cancel_10", cancel_10},
                    {"sleepers", sleepers},
                    {"memory", memory}});
}
