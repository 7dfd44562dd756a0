// SPDX-License-Identifier: Apache-2.0
//
// fwd.h: its names are those of the headers, and it is enough for a header that only mentions them. It comes
// first here, as in a program's own header; a name of another form would not compile.
//
// Labels: clang long
#include <aiofiber/fwd.h>

namespace {

// What such a header has. The definitions are below the includes.
int add(aiofiber::EventLoop& loop, const aiofiber::Future<int>& future, aiofiber::Queue<int>* queue);
aiofiber::Task<void> start(int* value);

template <class T>
concept IsComplete = requires {
  sizeof(T);
};
static_assert(!IsComplete<aiofiber::EventLoop> && !IsComplete<aiofiber::Server> &&
                  !IsComplete<aiofiber::Task<long>>,
              "fwd.h has a definition, which costs each file that includes it");

}  // namespace

#include <aiofiber/asyncio.h>
#include <aiofiber/ssl.h>
#include <gtest/gtest.h>

namespace {

// Each of its names is a type that a header defines. (IsComplete of the three above would be remembered.)
template <class... T>
constexpr bool all_defined = ((sizeof(T) > 0) && ...);

using namespace aiofiber;
static_assert(all_defined<AnyFuture, AnyTask, Future<int>, Task<int>, Coro<int>, Coroutine<int>,
                          AsyncGenerator<int>, Result<int>, TaskOptions>);
static_assert(all_defined<EventLoop, Handle, TimerHandle, Runner, Executor, ThreadPoolExecutor, Worker,
                          Workers, Context, ContextVar<int>, TaskLocal<int>, concurrent::Future<int>>);
static_assert(all_defined<Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore, TaskGroup, Timeout,
                          Channel<int>, LifoQueue<int>, PriorityQueue<int>, Queue<int>>);
static_assert(all_defined<Socket, SocketAddress, StreamReader, StreamWriter, Server, ServerGroup, SslContext,
                          SslSession, BaseProtocol, BufferedProtocol, DatagramProtocol, DatagramTransport,
                          Protocol, Process, SubprocessProtocol, SubprocessTransport, Transport>);
static_assert(all_defined<CancelledError, ExceptionGroup, IncompleteReadError, TimeoutError>);

int add(EventLoop& loop, const Future<int>& future, Queue<int>* queue) {
  return future.result() + queue->get_nowait() + (loop.is_running() ? 1 : 0);
}
Task<void> start(int* value) {
  return create_task([value] { *value = 3; });
}

TEST(Fwd, DeclaresFunctionsThatTheHeadersLetOneCall) {
  int value = 0;
  int sum = 0;
  run([&] {
    await(start(&value));
    Future<int> future = get_running_loop().create_future<int>();
    future.set_result(2);
    Queue<int> queue;
    queue.put_nowait(5);
    sum = add(get_running_loop(), future, &queue);
  });
  EXPECT_EQ(value, 3);
  EXPECT_EQ(sum, 8);
}

}  // namespace
