// SPDX-License-Identifier: Apache-2.0
//
// Names without their definitions, for headers that only mention them: `void serve(aiofiber::StreamReader&
// reader);`. It includes nothing, so it costs a compiler nothing.
//
// A type that is only declared can be referred to and pointed at, and can be a parameter or a result of a
// function that is only declared. Who calls that function, or has such a member, includes the type's own
// header. Write Task<void>, not Task<>: the default is in task.h. Never declare these names yourself: a later
// version may give them another form, and only this header goes with it.
#pragma once

namespace aiofiber {

// Tasks and futures: task.h, future.h, coro.h, coroutine.h, async_generator.h.
class AnyFuture;
class AnyTask;
template <class T>
class Future;
template <class T>
class Task;
template <class T>
class Coro;
template <class T>
class Coroutine;
template <class T>
class AsyncGenerator;
template <class T>
class Result;
struct TaskOptions;

// The loop and its threads: event_loop.h, handle.h, runner.h, executor.h, workers.h, concurrent.h, context.h,
// task_local.h.
class EventLoop;
class Handle;
class TimerHandle;
class Runner;
class Executor;
class ThreadPoolExecutor;
class Worker;
class Workers;
class Context;
template <class T>
class ContextVar;
template <class T>
class TaskLocal;
namespace concurrent {
template <class R>
class Future;
}  // namespace concurrent

// Waiting for each other: the headers of their names, semaphore.h, queue.h, task_group.h, timeout.h,
// channel.h.
class Barrier;
class BoundedSemaphore;
class Condition;
class Event;
class Lock;
class Semaphore;
class TaskGroup;
class Timeout;
template <class T>
class Channel;
template <class T>
class LifoQueue;
template <class T>
class PriorityQueue;
template <class T>
class Queue;

// Connections and processes: socket.h, stream_reader.h, stream_writer.h, server.h, ssl.h, protocols.h,
// transports.h, datagram.h, subprocess.h, subprocess_protocol.h.
class Socket;
class SocketAddress;
class StreamReader;
class StreamWriter;
class Server;
class ServerGroup;
class SslContext;
class SslSession;
class BaseProtocol;
class BufferedProtocol;
class DatagramProtocol;
class DatagramTransport;
class Protocol;
class Process;
class SubprocessProtocol;
class SubprocessTransport;
class Transport;

// Errors: exceptions.h, exception_group.h.
class CancelledError;
class ExceptionGroup;
class IncompleteReadError;
class TimeoutError;

}  // namespace aiofiber
