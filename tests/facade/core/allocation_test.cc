// SPDX-License-Identifier: Apache-2.0
//
// One allocation fails: the n-th of a scenario, for all n. The scenario may end with bad_alloc, but it leaves
// no task, no timer and no byte behind, no task waits for ever, and the same loop works afterwards. The test
// finds code that reserves something before it allocates, and does not release it when the allocation fails.
// Labels: long
#include <aiofiber.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/connect.h"
#include "aiofiber/testing.h"
#include "facade/tls/ends.h"
#include "support/allocations.h"
#include "support/test_file.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// Whether an exception is, or contains, the allocation that failed.
bool is_shortage(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const ExceptionGroup& group) {
    for (const std::exception_ptr& member : group.exceptions()) {
      if (is_shortage(member)) return true;
    }
    return false;
  } catch (...) {
    return false;
  }
}

// What a scenario may use.
struct Bench {
  testing::TestLoop& loop;
};
using Scenario = void (*)(Bench&);

// What works on a sound loop.
void everyday_use() {
  Lock lock;
  int ran = 0;
  await(task_group([&](TaskGroup& group) {
    for (int i = 0; i < 3; ++i) {
      group.create_task([&] {
        await(lock.acquire());
        await(sleep(1ms));
        ++ran;
        lock.release();
      });
    }
  }));
  EXPECT_EQ(ran, 3);
}

// What run() does at its end.
void cancel_all(EventLoop& loop) {
  std::vector<AnyTask> tasks = all_tasks(&loop);
  if (tasks.empty()) return;
  for (AnyTask& task : tasks) task.cancel();
  loop.run_until_complete([&] { await(sleep(1000h)); });
  for (const AnyTask& task : tasks) EXPECT_TRUE(task.done()) << repr(task);
}

// One run with the n-th allocation failing (0: none).
void run_once(Scenario scenario, long n) {
  failed = false;
  {
    testing::TestLoop loop;
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    std::exception_ptr error;
    try {
      loop.run_until_complete([&] {
        Bench bench{loop};
        allocations_left = n;
        try {
          scenario(bench);
        } catch (...) {
          allocations_left = 0;
          throw;
        }
        allocations_left = 0;
      });
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    if (error != nullptr) {
      EXPECT_TRUE(failed && is_shortage(error)) << "allocation " << n << ": " << repr(error);
    }
    cancel_all(loop);
    loop.run_until_complete([] { everyday_use(); });
    EXPECT_EQ(all_tasks(&loop).size(), 0u) << "allocation " << n;
    EXPECT_EQ(loop.live_timers(), 0u) << "allocation " << n;
    allocations_left = 0;
    loop.close();
  }
}

// `counts`: no other thread is still about to free something at the end.
void fail_each(Scenario scenario, bool counts = true) {
  set_log_sink([](LogLevel, std::string_view) {});
  run_once(scenario, 0);  // makes what is made once and kept
  failed = true;
  for (long n = 1; failed && !::testing::Test::HasFailure(); ++n) {
    const auto grows_by = [&] {
      const long before = live_blocks.load();
      run_once(scenario, n);
      return live_blocks.load() - before;
    };
    // The first report of an error makes what is kept too: the name of a callback.
    if (counts && grows_by() != 0) {
      EXPECT_EQ(grows_by(), 0) << "allocation " << n;
    }
    if (!counts) run_once(scenario, n);
  }
  set_log_sink(nullptr);
}

TEST(OneFailedAllocation, InAGather) {
  fail_each([](Bench&) {
    await(gather([] { await(sleep(1ms)); }, [] { return std::string(100, 'x'); }));
    await(gather(
        return_exceptions, [] { await(sleep(1ms)); }, [] { throw std::bad_alloc(); }));
  });
}

TEST(OneFailedAllocation, InAGatherThatIsCancelled) {
  fail_each([](Bench&) {
    auto task = create_task([] { await(gather([] { await(sleep(1h)); }, [] { await(sleep(1h)); })); });
    await(sleep(1ms));
    task.cancel("a message that is longer than what a string keeps in itself");
    await(wait({task}));
  });
}

TEST(OneFailedAllocation, InATaskGroupLeavesNoChildBehind) {
  fail_each([](Bench&) {
    bool scope_is_over = false;
    bool outlived = false;
    std::exception_ptr error;
    try {
      await(task_group([&](TaskGroup& group) {
        for (int i = 0; i < 3; ++i) {
          group.create_task([&] {
            await(sleep(5ms));
            outlived = outlived || scope_is_over;
          });
        }
        await(sleep(1ms));
      }));
    } catch (...) {
      error = std::current_exception();
    }
    scope_is_over = true;
    allocations_left = 0;
    await(sleep(10ms));
    EXPECT_FALSE(outlived);
    if (error != nullptr) std::rethrow_exception(error);
  });
}

TEST(OneFailedAllocation, InATaskGroupWhoseChildFails) {
  fail_each([](Bench&) {
    try {
      await(task_group([&](TaskGroup& group) {
        group.create_task([] { await(sleep(1h)); });
        group.create_task([] { throw std::logic_error("as wanted"); });
        await(sleep(1h));
      }));
      ADD_FAILURE();
    } catch (const ExceptionGroup& group) {
      if (is_shortage(std::current_exception())) throw;
    }
  });
}

TEST(OneFailedAllocation, InATaskGroupThatIsCancelledTwice) {
  fail_each([](Bench&) {
    auto task = create_task([] {
      await(task_group([&](TaskGroup& group) {
        group.create_task([] {
          try {
            await(sleep(1h));
          } catch (const CancelledError&) {
            await(sleep(1h));
          }
        });
      }));
    });
    await(sleep(1ms));
    task.cancel();
    await(sleep(1ms));
    task.cancel();
    await(sleep(2h));
    EXPECT_TRUE(task.done());
  });
}

TEST(OneFailedAllocation, InTimeLimits) {
  fail_each([](Bench&) {
    try {
      await(timeout(1ms, [] { await(sleep(1h)); }));
      ADD_FAILURE();
    } catch (const TimeoutError&) {
    }
    await(wait_for([] { await(sleep(1ms)); }, 1h));
    auto future = get_running_loop().create_future<int>();
    try {
      await(wait_for(future, 1ms));
      ADD_FAILURE();
    } catch (const TimeoutError&) {
    }
    EXPECT_TRUE(future.cancelled());
  });
}

TEST(OneFailedAllocation, InShieldWaitAndAsCompleted) {
  fail_each([](Bench&) {
    auto inner = create_task([] { await(sleep(3ms)); });
    auto outer = create_task([inner] { await(shield(inner)); });
    await(sleep(1ms));
    outer.cancel();
    await(wait({outer}, {.timeout = 1ms}));
    await(wait({inner, outer}, {.timeout = 1h, .return_when = FIRST_COMPLETED}));
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(create_task([i] { await(sleep(Duration(i * 1ms))); }));
    for (auto next : as_completed(tasks, 1h)) await(std::move(next));
    await(wait({inner}));
  });
}

Coro<int> work_without_stack(Duration delay) {
  co_await sleep(delay);
  co_return co_await [] {
    await(sleep(1ms));
    return 1;
  };
}

TEST(OneFailedAllocation, InCoroutines) {
  fail_each([](Bench&) {
    await(gather(work_without_stack(1ms), work_without_stack(2ms)));
    await(wait_for(work_without_stack(1ms), 1s));
    auto cancelled = create_task(work_without_stack(1h));
    await(sleep(1ms));
    cancelled.cancel("a message that is longer than what a string keeps in itself");
    await(wait({cancelled}));
    auto parent = create_task([]() -> Coro<int> {
      co_return co_await timeout(1s, []() -> Coro<int> {
        co_return co_await task_group([](TaskGroup& group) -> Coro<int> {
          auto child = group.create_task(work_without_stack(1ms));
          co_return co_await child;
        });
      });
    });
    EXPECT_EQ(await(parent), 1);
  });
}

TEST(OneFailedAllocation, InWaitsOfCoroutines) {
  fail_each([](Bench&) {
    Lock lock;
    Queue<int> queue(1);
    auto put = [&]() -> Coro<> {
      for (int i = 0; i < 3; ++i) {
        co_await queue.put(i);
        co_await lock.acquire();
        std::exception_ptr error;
        try {
          co_await sleep(1ms);
        } catch (...) {
          error = std::current_exception();
        }
        lock.release();
        if (error != nullptr) std::rethrow_exception(error);
      }
    };
    auto get = [&]() -> Coro<> {
      for (int i = 0; i < 3; ++i) co_await queue.get();
    };
    std::vector<Task<>> tasks;
    std::exception_ptr error;
    try {
      tasks.reserve(2);
      tasks.push_back(create_task(put));
      tasks.push_back(create_task(get));
      await(wait(tasks, {.timeout = 1s}));
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    for (const Task<>& task : tasks) task.cancel();
    if (!tasks.empty()) await(wait(tasks));
    for (const Task<>& task : tasks) {
      if (!task.cancelled() && task.exception() != nullptr) error = task.exception();
    }
    EXPECT_FALSE(lock.locked());
    if (error != nullptr) std::rethrow_exception(error);
  });
}

AsyncGenerator<std::string> texts() {
  for (int i = 0; i < 3; ++i) {
    co_await sleep(1ms);
    co_yield std::string(100, 'x');
  }
}

TEST(OneFailedAllocation, InAnAsyncGenerator) {
  fail_each([](Bench&) {
    for (const std::string& text : texts()) EXPECT_EQ(text.size(), 100u);
    auto closed = texts();
    await(closed.next());
    await(closed.aclose());
  });
}

TEST(OneFailedAllocation, InLocksLeavesThemFree) {
  fail_each([](Bench&) {
    Lock lock;
    Semaphore semaphore(2);
    Event event;
    std::exception_ptr error;
    std::vector<Task<>> tasks;
    try {
      for (int i = 0; i < 4; ++i) {
        tasks.push_back(create_task([&] {
          await(event.wait());
          {
            const std::lock_guard guard(lock);
            await(sleep(1ms));
          }
          await(semaphore.acquire());
          try {
            await(sleep(1ms));
          } catch (...) {
            semaphore.release();
            throw;
          }
          semaphore.release();
        }));
      }
      await(sleep(0s));
      event.set();
      await(sleep(1ms));
      tasks[1].cancel();
      await(sleep(1s));
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    event.set();
    await(sleep(1s));
    for (Task<>& task : tasks) {
      EXPECT_TRUE(task.done());
      if (!task.cancelled() && task.exception() != nullptr) error = task.exception();
    }
    EXPECT_FALSE(lock.locked());
    EXPECT_FALSE(semaphore.locked());
    if (error != nullptr) std::rethrow_exception(error);
  });
}

TEST(OneFailedAllocation, InAConditionLeavesItsLockFree) {
  fail_each([](Bench&) {
    Condition condition;
    bool ready = false;
    std::vector<Task<>> tasks;
    std::exception_ptr error;
    try {
      for (int i = 0; i < 3; ++i) {
        tasks.push_back(create_task([&] {
          const std::lock_guard guard(condition);
          await(condition.wait_for([&] { return ready; }));
        }));
      }
      await(sleep(1ms));
    } catch (...) {
      error = std::current_exception();
    }
    ready = true;
    for (int i = 0; i < 2; ++i) {
      allocations_left = 0;
      await(condition.acquire());
      condition.notify_all();
      condition.release();
      await(sleep(1ms));
    }
    EXPECT_FALSE(condition.locked());
    for (Task<>& task : tasks) {
      EXPECT_TRUE(task.done());
      if (task.done() && !task.cancelled() && task.exception() != nullptr) error = task.exception();
    }
    if (error != nullptr) std::rethrow_exception(error);
  });
}

TEST(OneFailedAllocation, InABarrierLeavesItUsable) {
  fail_each([](Bench&) {
    Barrier barrier(3);
    std::vector<Task<std::size_t>> tasks;
    std::exception_ptr error;
    try {
      auto gives_up = create_task([&] { return await(barrier.wait()); });
      await(sleep(1ms));
      gives_up.cancel();
      await(wait({gives_up}));
      for (int i = 0; i < 3; ++i) {
        tasks.push_back(create_task([&] {
          await(barrier.wait());
          return await(barrier.wait());
        }));
      }
      await(sleep(1ms));
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    await(barrier.abort());  // for those that wait for one that has failed
    await(sleep(1ms));
    EXPECT_TRUE(barrier.broken());
    for (const Task<std::size_t>& task : tasks) {
      EXPECT_TRUE(task.done());
      const std::exception_ptr failure = task.done() && !task.cancelled() ? task.exception() : nullptr;
      if (failure != nullptr && is_shortage(failure)) error = failure;
    }
    await(barrier.reset());
    EXPECT_EQ(barrier.n_waiting(), 0u);
    auto first = create_task([&] { return await(barrier.wait()); });
    auto second = create_task([&] { return await(barrier.wait()); });
    EXPECT_EQ(await(barrier.wait()) + await(first) + await(second), 3u);
    if (error != nullptr) std::rethrow_exception(error);
  });
}

TEST(OneFailedAllocation, InAContextLeavesItsValues) {
  static ContextVar<std::string> variable("variable",
                                          "the default, which is longer than what a string keeps in itself");
  fail_each([](Bench& bench) {
    const std::string outside(100, 'o'), inside(100, 'i');
    std::optional<Context> context;
    bool right_in_task = false, right_in_callback = false;
    std::exception_ptr error;
    try {
      const auto token = variable.set(outside);
      context = copy_context();
      context->run([&] {
        variable.set(inside);
        EXPECT_EQ(variable.get(), inside);
      });
      EXPECT_EQ(variable.get(), outside);
      await(create_task({.context = context}, [&] { right_in_task = variable.get() == inside; }));
      bench.loop.call_soon({.context = context}, [&] { right_in_callback = variable.get() == inside; });
      await(sleep(1ms));
      EXPECT_TRUE(right_in_task && right_in_callback);
      variable.reset(token);
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    await(sleep(1ms));
    EXPECT_TRUE(variable.get() == outside || variable.get().starts_with("the default")) << variable.get();
    if (context) {
      context->run([&] { EXPECT_NE(variable.get(), "") << "it can be entered"; });
    }
    if (error != nullptr) std::rethrow_exception(error);
  });
}

TEST(OneFailedAllocation, InATaskLocalVariableLeavesNoHalfValue) {
  static TaskLocal<std::string> first([] { return std::string(100, 'f'); });
  static TaskLocal<std::vector<int>> second([] { return std::vector<int>(3); });
  fail_each([](Bench&) {
    auto task = create_task([] {
      try {
        first->append("g");
        EXPECT_EQ(second->size(), 3u);
      } catch (const std::bad_alloc&) {
        EXPECT_FALSE(first.has_value() && second.has_value());
        throw;
      }
      await(sleep(1ms));
      EXPECT_EQ(first->size(), 101u);
    });
    await(task);
  });
}

TEST(OneFailedAllocation, InAQueueLosesNoItem) {
  fail_each([](Bench&) {
    Queue<std::string> queue(2);
    int put = 0;
    int got = 0;
    auto producer = create_task([&] {
      for (int i = 0; i < 6; ++i) {
        await(queue.put(std::string(50, 'x')));
        ++put;
      }
    });
    std::exception_ptr error;
    try {
      for (int i = 0; i < 6; ++i) {
        await(wait_for([&] { return await(queue.get()); }, 1s));
        ++got;
        queue.task_done();
      }
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    producer.cancel();
    await(wait({producer}));
    EXPECT_EQ(static_cast<std::size_t>(put - got), queue.qsize());
    if (!producer.cancelled() && producer.exception() != nullptr)
      std::rethrow_exception(producer.exception());
    if (error != nullptr) std::rethrow_exception(error);
  });
}

TEST(OneFailedAllocation, InAChannelLosesNoItem) {
  fail_each([](Bench&) {
    const Channel<std::string> channel(2);
    int put = 0;
    int got = 0;
    auto producer = create_task([&]() -> Coro<> {
      for (int i = 0; i < 6; ++i) {
        co_await channel.put(std::string(50, 'x'));
        ++put;
      }
    });
    std::exception_ptr error;
    try {
      for (int i = 0; i < 6; ++i) {
        await(wait_for([&] { return await(channel.get()); }, 1s));
        ++got;
      }
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    producer.cancel();
    await(wait({producer}));
    EXPECT_EQ(static_cast<std::size_t>(put - got), channel.qsize());
    EXPECT_EQ(repr(channel).find("_putters"), std::string::npos);
    EXPECT_EQ(repr(channel).find("_getters"), std::string::npos);
    if (!producer.cancelled() && producer.exception() != nullptr)
      std::rethrow_exception(producer.exception());
    if (error != nullptr) std::rethrow_exception(error);
  });
}

// A pool that could not be made leaves no thread, and a call whose future the caller did not get ends.
TEST(OneFailedAllocation, InAPoolOfWorkers) {
  fail_each(
      [](Bench& bench) {
        bench.loop.set_may_block(true);
        const std::string text(100, 'x');
        Workers workers({.loops = 1, .names = "a name that is longer than what a string keeps in itself"});
        std::exception_ptr error;
        try {
          EXPECT_EQ(await(workers.submit([text] { return text; })), text);
        } catch (...) {
          error = std::current_exception();
        }
        allocations_left = 0;
        workers.close();
        EXPECT_EQ(workers.unfinished(), 0u);
        if (error != nullptr) std::rethrow_exception(error);
      },
      false);
}

TEST(OneFailedAllocation, InCallbacksReadersAndSignals) {
  fail_each([](Bench& bench) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
    EventLoop& loop = bench.loop;
    struct Remove {
      EventLoop& loop;
      const std::array<int, 2>& pair;
      ~Remove() {
        loop.remove_reader(pair[0]);
        loop.remove_writer(pair[0]);
        loop.remove_signal_handler(SIGUSR1);
        loop.remove_signal_handler(SIGUSR2);
        // In the pass in which they were watched.
        for (const int fd : pair) ::close(fd);
      }
    } const remove{loop, pair};
    const std::string text(100, 'x');
    loop.call_soon([text] {});
    TimerHandle later = loop.call_later(1h, [text] {});
    later.cancel();
    auto future = loop.create_future<>();
    future.add_done_callback([text](const Future<>&) {});
    loop.add_reader(pair[0], [text] {});
    loop.add_writer(pair[0], [text] {});
    loop.add_reader(pair[0], [text] {});  // replaces the first
    loop.add_signal_handler(SIGUSR1, [text] {});
    loop.add_signal_handler(SIGUSR2, [text] {});
    loop.add_signal_handler(SIGUSR1, [text] {});
    future.set_result();
    await(sleep(0s));  // a writer that is always ready keeps virtual time from moving
  });
}

// A call whose future the caller did not get is not made.
// The number that the next descriptor gets: the same at the end, or one was left open.
int next_descriptor() {
  const int fd = ::dup(STDERR_FILENO);
  ::close(fd);
  return fd;
}

TEST(OneFailedAllocation, InCallsOnSocketsLeavesNoWatcherAndNoDescriptor) {
  const int next = next_descriptor();
  fail_each([](Bench& bench) {
    EventLoop& loop = bench.loop;
    auto [a, b] = socketpair();
    auto on_stack = create_task([&loop, fd = b.fd()] { return await(loop.sock_recv(fd, 4)); });
    auto without = create_task(loop.sock_recv(b.fd(), 4));
    await(sleep(0s));
    await(loop.sock_sendall(a.fd(), "12345678"));
    await(wait({on_stack, without}, {.timeout = 1s}));
    for (const auto& task : {on_stack, without}) {
      if (const std::exception_ptr error = task.exception(); error != nullptr) std::rethrow_exception(error);
    }
    const auto servers = await(detail::listen_stream({"127.0.0.1", "127.0.0.2"}, 0));
    const Socket client(AF_INET, SOCK_STREAM);
    await(loop.sock_connect(client.fd(), servers.at(1).getsockname()));
    auto [connection, peer] = await(loop.sock_accept(servers.at(1).fd()));
    await(loop.sock_sendto(client.fd(), std::string(100, 'x'), SocketAddress()));
    EXPECT_EQ(await(loop.sock_recvfrom(connection.fd(), 200)).first.size(), 100u);
  });
  EXPECT_EQ(next_descriptor(), next);
}

TEST(OneFailedAllocation, InAttemptsToConnectLeavesNoDescriptor) {
  const int next = next_descriptor();
  fail_each([](Bench&) {
    const auto servers = await(detail::listen_stream({"127.0.0.1"}, 0));
    const Socket nobody(AF_INET, SOCK_STREAM);
    const SocketAddress any("127.0.0.1", 0);
    ASSERT_EQ(::bind(nobody.fd(), any.data(), any.size()), 0);
    const auto tcp = [](const Socket& socket) {
      return AddressInfo{AF_INET, SOCK_STREAM, IPPROTO_TCP, {}, socket.getsockname()};
    };
    for (const std::optional<Duration> delay : {std::optional<Duration>(), std::optional<Duration>(1ms)}) {
      const detail::ConnectOptions options{.happy_eyeballs_delay = delay};
      const Socket socket =
          await(detail::connect_to_any({tcp(nobody), tcp(servers.at(0))}, nullptr, options));
      EXPECT_TRUE(socket.is_open());
      try {
        await(detail::connect_to_any({tcp(nobody), tcp(nobody)}, nullptr, options));
        ADD_FAILURE();
      } catch (const std::system_error&) {
      }
    }
    EXPECT_TRUE(await(detail::connect_stream("127.0.0.1", servers.at(0).port())).is_open());
  });
  EXPECT_EQ(next_descriptor(), next);
}

TEST(OneFailedAllocation, InADatagramEndpointLeavesNoDescriptor) {
  const int next = next_descriptor();
  fail_each([](Bench& bench) {
    const auto protocol = [] { return std::make_shared<DatagramProtocol>(); };
    const auto server =
        await(bench.loop.create_datagram_endpoint(protocol, {.local_addr = {{"127.0.0.1", 0}}}));
    const auto client = await(bench.loop.create_datagram_endpoint(
        protocol, {.remote_addr = {{"127.0.0.1", server.first.sockname()->port()}}}));
    client.first.sendto(std::string(100, 'x'));
    client.first.sendto(std::string(100'000, 'x'));  // an error for the protocol
    auto [full, unread] = socketpair(AF_UNIX, SOCK_DGRAM);
    const auto local = await(bench.loop.create_datagram_endpoint(protocol, full));
    while (local.first.get_write_buffer_size() == 0) local.first.sendto(std::string(1000, 'x'));
    local.first.sendto("one more");
    local.first.close();
    unread.close();  // ends the queue with errors
    server.first.close();
    client.first.abort();
    await(sleep(1ms));
    EXPECT_FALSE(client.first.socket());
  });
  EXPECT_EQ(next_descriptor(), next);
}

TEST(OneFailedAllocation, InThePoolsCalls) {
  fail_each(
      [](Bench& bench) {
        bench.loop.set_may_block(true);
        std::exception_ptr error;
        std::atomic<int> made = 0, taken = 0;
        const std::string text(100, 'x');
        try {
          auto future = bench.loop.run_in_executor(nullptr, [&made, text] { return ++made, text; });
          ++taken;
          EXPECT_EQ(await(future), text);
          EXPECT_EQ(await(to_thread([&made, text] { return ++made, text; })), text);
          ++taken;
        } catch (...) {
          error = std::current_exception();
        }
        allocations_left = 0;
        await(bench.loop.shutdown_default_executor());  // waits for all that was taken, and for nothing else
        EXPECT_EQ(made, taken);
        if (error != nullptr) std::rethrow_exception(error);
      },
      false);
}

// A caller that gets an error leaves nothing running.
TEST(OneFailedAllocation, InACoroutineFromAnotherThread) {
  fail_each([](Bench& bench) {
    const std::string text(100, 'x');
    bool ran = false;
    std::optional<concurrent::Future<std::string>> future;
    std::exception_ptr error;
    try {
      future = run_coroutine_threadsafe(
          [&ran, result = text]() mutable {
            await(sleep(1ms));
            ran = true;
            return std::move(result);
          },
          bench.loop);
      EXPECT_EQ(await(wrap_future(*future)), text);
      auto cancelled = run_coroutine_threadsafe([] { await(sleep(1h)); }, bench.loop);
      await(sleep(1ms));
      cancelled.cancel();
      await(sleep(1ms));
      if (!cancelled.cancelled()) cancelled.result(0s);
    } catch (...) {
      error = std::current_exception();
    }
    allocations_left = 0;
    await(sleep(5ms));
    EXPECT_TRUE(!future || future->done());
    EXPECT_EQ(ran, future && future->exception() == nullptr);
    EXPECT_EQ(all_tasks(&bench.loop).size(), 1u) << "only this one";
    if (error != nullptr) std::rethrow_exception(error);
  });
}

// What another end does about an error is no error of the scenario; that it waits for ever is one.
template <class Body>
void unless_short(Body body) {
  try {
    await(timeout(1h, body));
  } catch (const TimeoutError&) {
    ADD_FAILURE() << "somebody waits for ever";
  } catch (const std::exception&) {
    if (!failed) throw;
  }
}

TEST(OneFailedAllocation, InTlsLeavesNoDescriptor) {
  static const SslContext server_ssl = server_context(), client_ssl = client_context();
  const int next = next_descriptor();
  fail_each([](Bench&) {
    auto [ours, theirs] = socketpair();
    auto client = create_task([socket = std::exchange(ours, Socket())] {
      unless_short([&] {
        auto [reader, writer] =
            await(open_connection(socket, {.ssl = client_ssl, .server_hostname = "localhost"}));
        const std::string text(100'000, 'x');
        writer.write(text);
        await(writer.drain());
        EXPECT_TRUE(await(reader.readexactly(100'000)) == text);
        writer.close();
        await(writer.wait_closed());
      });
    });
    unless_short([socket = std::exchange(theirs, Socket())] {
      auto [reader, writer] = await(open_connection(socket));
      await(writer.start_tls(server_ssl, {.server_side = true}));
      for (;;) {
        std::string bytes = await(reader.read(10'000));
        if (bytes.empty()) break;
        writer.write(std::move(bytes));
        await(writer.drain());
      }
      writer.close();
      await(writer.wait_closed());
    });
    await(wait({client}));
  });
  EXPECT_EQ(next_descriptor(), next);
}

TEST(OneFailedAllocation, InSendfileLeavesTheFileAndNoDescriptor) {
  static const TestFile file(300'000);
  const int next = next_descriptor();
  fail_each([](Bench& bench) {
    auto [ours, theirs] = socketpair();
    auto sending = create_task([&bench, socket = std::exchange(ours, Socket())] {
      unless_short([&] {
        auto [reader, writer] = await(open_connection(socket));
        EXPECT_EQ(await(bench.loop.sendfile(writer.transport(), file.fd())), file.text().size());
        writer.close();
        await(writer.wait_closed());
      });
    });
    unless_short([socket = std::exchange(theirs, Socket())] {
      auto [reader, writer] = await(open_connection(socket));
      const std::string got = await(reader.read());
      EXPECT_TRUE(failed ? file.text().starts_with(got) : file.text() == got) << got.size();
      writer.close();
    });
    await(wait({sending}));
  });
  EXPECT_EQ(next_descriptor(), next);
}

// A client may be lost with the allocation, the next one is not: both servers go on.
TEST(OneFailedAllocation, InAGroupOfServersLeavesThemServing) {
  const int next = next_descriptor();
  fail_each([](Bench&) {
    const auto hello = [](StreamReader reader, StreamWriter writer) {
      writer.write(await(reader.readline()));
      await(writer.drain());
      writer.close();
    };
    const auto talk = [](int port) {
      auto [reader, writer] = await(open_connection("127.0.0.1", port));
      writer.write("hello\n");
      const std::string answer = await(reader.readline());
      writer.close();
      await(writer.wait_closed());
      return answer;
    };
    const ServerGroup group;
    std::vector<Server> servers;
    unless_short([&] {
      for (int i = 0; i < 2; ++i)
        servers.push_back(await(start_server(hello, "127.0.0.1", 0, {.group = group})));
      const int port = servers.at(0).sockets().at(0).port();
      for (int i = 0; i < 3; ++i) {
        const std::string answer = talk(port);
        EXPECT_TRUE(failed || answer == "hello\n") << answer;
      }
    });
    allocations_left = 0;
    if (!servers.empty()) {
      await(sleep(2s));  // a pause is over
      for (int i = 0; i < 3; ++i) EXPECT_EQ(talk(servers.at(0).sockets().at(0).port()), "hello\n");
    }
    for (const Server& server : servers) {
      server.close();
      server.abort_clients();
      await(server.wait_closed());
    }
  });
  EXPECT_EQ(next_descriptor(), next);
}

// Programs are run one after the other: what one leaves behind meets the next.
TEST(OneFailedAllocation, InAFunctionOfTheCHeaderIsACode) {
  static aiofiber_semaphore semaphore;
  static aiofiber_key key;
  EXPECT_EQ(aiofiber_key_create(nullptr, &key), 0);
  fail_each([](Bench&) {
    const auto works_or_fails = [](int error) {
      EXPECT_TRUE(error == 0 || (failed && error == AIOFIBER_NO_MEMORY)) << aiofiber_strerror(error);
      return error == 0;
    };
    if (!works_or_fails(aiofiber_semaphore_create(1, &semaphore))) return;
    if (!works_or_fails(aiofiber_semaphore_acquire(semaphore))) return;
    const auto waits = [](void* result) -> void* {
      const int set = aiofiber_set(key, result);
      EXPECT_TRUE(set == 0 || set == AIOFIBER_NO_MEMORY);
      const int acquired = aiofiber_semaphore_acquire_for(semaphore, 1);
      EXPECT_TRUE(acquired == AIOFIBER_TIMED_OUT || acquired == AIOFIBER_NO_MEMORY ||
                  acquired == AIOFIBER_CANCELLED)
          << aiofiber_strerror(acquired);
      return result;
    };
    std::array<aiofiber_task, 3> tasks{};
    aiofiber_task_options options = AIOFIBER_TASK_OPTIONS;
    options.name = "a name that is too long to be stored without an allocation";
    for (aiofiber_task& task : tasks) {
      if (works_or_fails(aiofiber_spawn(waits, &options, &options, &task))) continue;
      EXPECT_EQ(task.serial_, 0u);
      return;  // the others go on alone
    }
    void* result = nullptr;
    const int limited = aiofiber_wait_for(tasks[0], 0.5, &result);
    if (limited == AIOFIBER_NO_MEMORY) {
      EXPECT_EQ(result, nullptr);
      EXPECT_EQ(aiofiber_wait(tasks[0], &result), 0) << "the handle is still valid";
    } else {
      EXPECT_TRUE(limited == AIOFIBER_TIMED_OUT || (limited == 0 && failed)) << aiofiber_strerror(limited);
    }
    EXPECT_EQ(result, &options);
    std::array<int, 2> errors{1, 1};
    if (!works_or_fails(aiofiber_gather(&tasks[1], 2, nullptr, errors.data()))) {
      EXPECT_EQ(aiofiber_gather(&tasks[1], 2, nullptr, errors.data()), 0);
    }
    EXPECT_EQ(errors, (std::array<int, 2>{0, 0}));
    EXPECT_EQ(aiofiber_semaphore_destroy(semaphore), 0);
  });
  EXPECT_EQ(aiofiber_key_delete(key), 0);
}

TEST(OneFailedAllocation, InRunLeavesTheNextRunAlone) {
  set_log_sink([](LogLevel, std::string_view) {});
  const auto program = [] {
    run([] { await(gather([] { await(sleep(1ms)); }, [] { return std::string(100, 'x'); })); });
  };
  program();
  failed = true;
  for (long n = 1; failed; ++n) {
    failed = false;
    allocations_left = n;
    try {
      program();
      EXPECT_FALSE(failed) << "allocation " << n;
    } catch (const std::bad_alloc&) {
    }
    allocations_left = 0;
    const bool had_failed = failed;
    EXPECT_NO_THROW(program()) << "allocation " << n;
    failed = had_failed;
  }
  set_log_sink(nullptr);
}

// `close` or the destructor over three tasks, with the n-th allocation failing. How many of them were
// unwound.
int unwound_by_closing(long n, bool in_destructor) {
  struct Count {
    int& number;
    ~Count() { ++number; }
  };
  int unwound = 0;
  {
    EventLoop loop;
    std::vector<Task<>> tasks;
    loop.run_until_complete([&] {
      for (int i = 0; i < 3; ++i) {
        tasks.push_back(create_task([&] {
          const Count count{unwound};
          await(sleep(1h));
        }));
      }
      await(to_thread([] {}));
    });
    allocations_left = n;
    if (!in_destructor) loop.close();
  }
  allocations_left = 0;
  return unwound;
}

TEST(OneFailedAllocation, AsALoopClosesEndsNothingHalfWay) {
  set_log_sink([](LogLevel, std::string_view) {});
  for (const bool in_destructor : {false, true}) {
    failed = true;
    for (long n = 1; failed; ++n) {
      failed = false;
      EXPECT_EQ(unwound_by_closing(n, in_destructor), 3) << "allocation " << n;
    }
  }
  set_log_sink(nullptr);
}

// The end of a child is no event of the virtual clock: the loop waits for it in real time.
class RealWaits {
 public:
  explicit RealWaits(Bench& bench) : loop_(bench.loop) { loop_.set_may_block(true); }
  ~RealWaits() { loop_.set_may_block(false); }
  RealWaits(const RealWaits&) = delete;
  RealWaits& operator=(const RealWaits&) = delete;

 private:
  testing::TestLoop& loop_;
};

TEST(OneFailedAllocation, InAChildProcess) {
  fail_each([](Bench& bench) {
    const RealWaits real_waits(bench);
    const SubprocessOptions options{.stdin_ = subprocess::PIPE, .stdout_ = subprocess::PIPE};
    const Process process = await(create_subprocess_exec({"cat"}, options));
    EXPECT_EQ(await(process.communicate(std::string(100, 'x'))).first, std::string(100, 'x'));
  });
}

TEST(OneFailedAllocation, InARunOfAProgram) {
  fail_each([](Bench& bench) {
    const RealWaits real_waits(bench);
    const auto done = await(subprocess::run({"cat"}, {.input = "text", .capture_output = true}));
    EXPECT_EQ(done.stdout_, "text");
  });
}

}  // namespace
}  // namespace aiofiber
