// SPDX-License-Identifier: Apache-2.0
//
// EventLoop: runs the tasks and callbacks of one thread.
//
// The class is the public interface of a LoopCore. Templates that make futures and tasks are declared here
// and defined in future.h, task.h and executor.h, so include asyncio.h.
// Source: asyncio's "Event Loop" page. Threads: the one that runs the loop, unless a function says "any
// thread"; in debug mode misuse is a RuntimeError.
//
//     asyncio::EventLoop& loop = asyncio::get_running_loop();
//     std::string order;
//     loop.call_later(1ms, [&] { order += "later"; });
//     loop.call_soon([&] { order += "soon, "; });
//     asyncio::await(asyncio::sleep(2ms));
//     assert(order == "soon, later");
//
// Wrong: a callback that takes long. All tasks wait for it.
#pragma once

#include <sys/types.h>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/duration.h"
#include "aiofiber/handle.h"
#include "aiofiber/loop_core.h"

namespace aiofiber {

namespace detail {
class FutureBase;
}
template <class T>
class Future;
template <class T>
class Task;
template <class T>
class Coroutine;
template <class T>
class Coro;
class AnyFuture;
class AnyTask;
class Context;
struct TaskOptions;
class Executor;
class Socket;
class SocketAddress;
class Service;
struct AddressInfo;
struct GetAddrInfoOptions;
class BaseProtocol;
class Server;
struct CreateConnectionOptions;
struct CreateServerOptions;
struct CreateUnixConnectionOptions;
struct CreateUnixServerOptions;
class SslContext;
class Transport;
struct StartTlsOptions;
struct DatagramEndpointOptions;
struct SubprocessOptions;

// Runs callbacks and tasks on one thread. Threads: the loop's, unless a function says otherwise. Lifetime:
// tasks and futures may outlive it only as handles. Source: asyncio.AbstractEventLoop.
class EventLoop {
  runtime::Ref<detail::LoopCore> core_;  // first: slow_callback_duration refers into it

 public:
  EventLoop();
  // Closes the loop if it is open, and logs a ResourceWarning "unclosed event loop". If exit() is called
  // while a static loop runs, the destructor leaves the loop alone: the process ends with the given exit
  // code.
  virtual ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // ---- running
  // Runs until the awaitable is done and gives its result or throws its exception. RuntimeError: the loop is
  // closed, or running, or another loop runs in this thread, or the loop was stopped before the future was
  // done; ValueError: a future of another loop.
  template <class A>
  auto run_until_complete(A&& awaitable);
  // Runs until stop(). RuntimeError as for run_until_complete().
  void run_forever();
  // The loop ends after the current pass. If stop() is called before run_forever(), run_forever() runs one
  // pass.
  void stop() noexcept { core_->scheduler().stop(); }
  // Drops scheduled callbacks, then reports and unwinds pending tasks, so that their destructors run: the
  // youngest first, because a task may refer to variables of the task that made it. A task that cannot be
  // unwound is reported as abandoned, and its frames stay in memory: it waits in a noexcept function or a
  // destructor, or catches every exception and goes on. Threads that wait for a run_coroutine_threadsafe()
  // get RuntimeError "Event loop is closed". RuntimeError while the loop runs. A second call does nothing,
  // also from a destructor that close() runs. If the exception handler throws to leave the loop, that
  // exception is thrown when the loop is closed. Never fails half-way.
  // Differs from asyncio: a thread that waits for a coroutine of the loop gets an error when the loop closes;
  // in asyncio it waits for ever.
  void close();
  // True while run_until_complete(), run_forever() or run_once() runs.
  bool is_running() const noexcept { return core_->is_running(); }
  // True from close() on. Any thread.
  bool is_closed() const noexcept { return core_->closed(); }

  // ---- inside another loop (GLib's, libev's, an epoll loop of the program). That loop watches one
  // descriptor for reading and has one timer. Before each of its sleeps it sets the timer to next_deadline();
  // when either fires, it calls run_once(Duration()). Between these calls no loop of this library "runs": the
  // other loop's callbacks use call_soon() and create_task() of this object. facade/examples/in_glib.cc shows
  // it. They have no counterpart in asyncio.
  //
  // The descriptor, the loop's own: it must not be closed, read or changed. It is readable while something
  // has happened: at a watched descriptor, by a signal, or on another thread. RuntimeError: closed, or the
  // loop has none; std::system_error: the system has no descriptors left.
  int backend_fd();
  // Runs one pass: what is ready now, and nothing that becomes ready meanwhile. If nothing is ready, it waits
  // for something, at most `timeout` (nullopt: no limit; zero: it does not sleep). False: nothing ran. The
  // errors of run_forever(), and exceptions that leave the loop.
  bool run_once(std::optional<Duration> timeout = std::nullopt);
  // When run_once() should be called next, on the loop's clock, time(): in the past if something is ready;
  // absent: not before the descriptor is readable. A call is needed after everything that may have changed
  // the answer, so ask just before the other loop sleeps. Its thread; RuntimeError: closed, or running.
  std::optional<TimePoint> next_deadline();

  // ---- callbacks. Arguments are decay-copied. RuntimeError: closed. TypeError: an empty callable. Each
  // function takes options as an optional first argument: call_soon({.context = context}, fn, args...).
  template <detail::CallbackFunction F, class... Args>
  Handle call_soon(F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_soon(CallbackOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  Handle call_soon(const CallbackOptions& options, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    core_->check_open();
    core_->check_thread();
    auto handle = detail::make_handle_in(*core_, options, std::forward<F>(fn), std::forward<Args>(args)...);
    handle->schedule_soon();
    return Handle(std::move(handle));
  }
  // Any thread. Wakes the loop. The order of each thread's calls is kept.
  // Differs from asyncio: the loop takes callbacks of other threads at the beginning of a pass and puts them
  // behind its own ready callbacks.
  template <detail::CallbackFunction F, class... Args>
  Handle call_soon_threadsafe(F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_soon_threadsafe(CallbackOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  Handle call_soon_threadsafe(const CallbackOptions& options, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    core_->check_open();
    return Handle(detail::post_handle(*core_, options, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // A negative delay is due at once.
  template <detail::CallbackFunction F, class... Args>
  TimerHandle call_later(Duration delay, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_later(CallbackOptions{}, delay, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  TimerHandle call_later(const CallbackOptions& options, Duration delay, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_at(options, saturating_add(time(), delay), std::forward<F>(fn), std::forward<Args>(args)...);
  }
  // At a point of the loop's clock, time(). A point in the past is due at once; equal points keep the order
  // of the calls.
  template <detail::CallbackFunction F, class... Args>
  TimerHandle call_at(TimePoint when, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    return call_at(CallbackOptions{}, when, std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  TimerHandle call_at(const CallbackOptions& options, TimePoint when, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    core_->check_open();
    core_->check_thread();
    auto handle = detail::make_handle_in(*core_, options, std::forward<F>(fn), std::forward<Args>(args)...);
    handle->schedule_at(when);
    return TimerHandle(std::move(handle));
  }
  // Now, on the loop's clock: monotonic, with an arbitrary zero, in nanoseconds. A TestLoop's is virtual.
  TimePoint time() const noexcept { return TimePoint(std::chrono::nanoseconds(core_->scheduler().now())); }

  // ---- futures and tasks (future.h, task.h)
  template <class T = void>
  Future<T> create_future();
  // As aiofiber::create_task() (task.h), on this loop, which need not run yet. Never suspends. RuntimeError:
  // closed.
  template <class T>
  Task<T> create_task(Coroutine<T> coroutine);
  template <class T>
  Task<T> create_task(Coroutine<T> coroutine, TaskOptions options);
  template <class T>
  Task<T> create_task(Coro<T> coroutine);
  template <class T>
  Task<T> create_task(Coro<T> coroutine, TaskOptions options);
  template <class F, class... Args>
  auto create_task(F&& fn, Args&&... args);
  template <class F, class... Args>
  auto create_task(TaskOptions options, F&& fn, Args&&... args);
  // Called whenever create_task, ensure_future, gather, TaskGroup or run has made a task, before the task is
  // scheduled. The factory may name the task, count it, start it (eager_task_factory), or throw to refuse it.
  // A refused task ends cancelled and does not run.
  // Differs from asyncio: it cannot replace the Task's class, which is fixed.
  using TaskFactory = std::function<void(EventLoop&, AnyTask)>;
  // An empty function: none.
  void set_task_factory(TaskFactory factory);
  // The factory that was set; empty: none.
  const TaskFactory& get_task_factory() const noexcept { return task_factory_; }

  // ---- threads (executor.h). nullptr: the default pool, made on first use.
  template <class F, class... Args>
  auto run_in_executor(Executor* executor, F&& fn, Args&&... args);
  // The executor for run_in_executor(nullptr, ...) and to_thread(). TypeError: no ThreadPoolExecutor;
  // RuntimeError: closed.
  void set_default_executor(std::shared_ptr<Executor> executor);
  // Waits until all threads of the default pool have ended. Using the pool later is a RuntimeError.
  // (executor.h)
  Coroutine<void> shutdown_default_executor();

  // Closes all asynchronous generators (async_generator.h) that have begun and not finished, at the same
  // time. Errors of their code go to the exception handler. run() awaits it before the loop closes.
  Coro<void> shutdown_asyncgens();

  // ---- descriptors. Level-triggered: called once a pass while ready. A second add replaces the first.
  // std::system_error EBADF (Python's OSError): not an open descriptor.
  template <class F, class... Args>
  void add_reader(int fd, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    watch_fd(fd, false, detail::make_handle(*core_, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // As add_reader(), for room to write.
  template <class F, class... Args>
  void add_writer(int fd, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    watch_fd(fd, true, detail::make_handle(*core_, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // True if a reader was registered.
  bool remove_reader(int fd) { return unwatch_fd(fd, false); }
  // True if a writer was registered.
  bool remove_writer(int fd) { return unwatch_fd(fd, true); }

  // ---- sockets, by descriptor (sock_calls.h): for code with its own protocol; streams are easier. The
  // descriptor stays the caller's. Each call is made at once; only if the kernel would block, the task waits
  // for the descriptor. Any number of tasks may wait for one descriptor, for reading and for writing.
  // Cancellation: a cancellation point when it waits; no byte is lost then, except what sock_sendall() and
  // sock_sendfile() have sent. Errors: std::system_error with the kernel's errno, ECONNRESET, EPIPE and EBADF
  // (not open, or closed meanwhile) among them; ValueError "the socket must be non-blocking" in debug mode;
  // RuntimeError: awaited in a task of another loop. Spans must live until the call is done. Source:
  // loop.sock_recv() and so on.

  // At most `n` bytes, and at most 1 MiB; empty: the other side has ended the stream.
  Coroutine<std::string> sock_recv(int fd, std::size_t n);
  // The number of bytes; 0: the end.
  Coroutine<std::size_t> sock_recv_into(int fd, std::span<char> buffer);
  // A datagram and its sender. What is longer than `n` is cut off, as by recvfrom(2).
  Coroutine<std::pair<std::string, SocketAddress>> sock_recvfrom(int fd, std::size_t n);
  // The same into memory of the caller: the number of bytes, and the sender.
  Coroutine<std::pair<std::size_t, SocketAddress>> sock_recvfrom_into(int fd, std::span<char> buffer);
  // Sends all of it. After an error or a cancellation nobody knows how much was sent.
  Coroutine<void> sock_sendall(int fd, std::string data);
  // The same without a copy, for exactly this type: the bytes must live until the call is done.
  template <std::same_as<std::span<const char>> Bytes>
  Coroutine<void> sock_sendall(int fd, Bytes data);
  // Sends one datagram. The number of bytes sent.
  Coroutine<std::size_t> sock_sendto(int fd, std::string data, SocketAddress address);
  // The error's text has the address: "Connect call failed ('127.0.0.1', 1): Connection refused".
  Coroutine<void> sock_connect(int fd, SocketAddress address);
  // The same for a name: the first address that getaddrinfo() gives for the socket's family and type.
  // gaierror; ValueError as getaddrinfo().
  Coroutine<void> sock_connect(int fd, std::string host, Service port);
  // A connection, which does not block, and the other side's address.
  Coroutine<std::pair<Socket, SocketAddress>> sock_accept(int fd);
  // Sends a file from `offset` to its end, or `count` bytes, by sendfile(2). If the kernel refuses this kind
  // of file, it is read on the default executor and sent, or, without `fallback`, SendfileNotAvailableError
  // is thrown. The number of bytes sent. The file's position is behind them afterwards, also after an error.
  // ValueError: no stream socket, a count of 0, a negative offset.
  Coroutine<std::size_t> sock_sendfile(int fd, int file, off_t offset = 0,
                                       std::optional<std::size_t> count = std::nullopt, bool fallback = true);

  // ---- datagrams for protocols of the program (datagram.h)
  template <class F>
  auto create_datagram_endpoint(F factory, DatagramEndpointOptions options);
  template <class F>
  auto create_datagram_endpoint(F factory, Socket socket);

  // ---- names and addresses (resolve.h)
  Coroutine<std::vector<AddressInfo>> getaddrinfo(std::optional<std::string> host, Service port);
  Coroutine<std::vector<AddressInfo>> getaddrinfo(std::optional<std::string> host, Service port,
                                                  GetAddrInfoOptions options);
  // The host and the service of an address, as getnameinfo(3) with `flags` gives them. With NI_NUMERICHOST
  // and NI_NUMERICSERV it does not suspend. Cancellation: a cancellation point when it suspends. Errors:
  // gaierror; RuntimeError: awaited in a task of another loop.
  Coroutine<std::pair<std::string, std::string>> getnameinfo(SocketAddress address, int flags = 0);

  // ---- connections for protocols (endpoints.h). The factory gives a std::shared_ptr to a new protocol.

  // Connects to a host, whose addresses are tried in turn, and gives the transport and the protocol as a
  // pair, after connection_made(). Cancellation: a cancellation point; the attempt is given up. Errors:
  // gaierror; ValueError; std::system_error: no address could be connected to.
  template <class F>
  auto create_connection(F factory, std::string host, Service port);
  template <class F>
  auto create_connection(F factory, std::string host, Service port, CreateConnectionOptions options);
  // The same for a stream socket that is connected already.
  template <class F>
  auto create_connection(F factory, Socket socket);
  template <class F>
  auto create_connection(F factory, Socket socket, CreateConnectionOptions options);
  // The same for a Unix socket. A path that begins with a NUL is an abstract name.
  template <class F>
  auto create_unix_connection(F factory, std::string path);
  template <class F>
  auto create_unix_connection(F factory, std::string path, CreateUnixConnectionOptions options);

  // Listens on a host, and gives each client a protocol. An empty host: all interfaces. Port 0: the kernel
  // chooses one. Errors: gaierror; ValueError; std::system_error: the address cannot be listened on.
  Coro<Server> create_server(std::function<std::shared_ptr<BaseProtocol>()> factory, std::string host,
                             Service port);
  Coro<Server> create_server(std::function<std::shared_ptr<BaseProtocol>()> factory, std::string host,
                             Service port, CreateServerOptions options);
  // The same for a stream socket that is bound.
  Coro<Server> create_server(std::function<std::shared_ptr<BaseProtocol>()> factory, Socket socket);
  // The same for a path of the file system, or an abstract name if it begins with a NUL.
  Coro<Server> create_unix_server(std::function<std::shared_ptr<BaseProtocol>()> factory, std::string path);
  Coro<Server> create_unix_server(std::function<std::shared_ptr<BaseProtocol>()> factory, std::string path,
                                  CreateUnixServerOptions options);

  // Encrypts a connection from now on (ssl.h): gives a new transport for the same protocol, and the old one
  // must not be used any more. The protocol hears nothing of it. Cancellation: a cancellation point; the
  // connection is aborted. Errors, after which it is aborted as well: SSLError; SSLCertVerificationError;
  // std::system_error: the connection ended (ECONNRESET), or the handshake took too long (ECONNABORTED).
  // ValueError: an empty context, a timeout that is not above 0, no server_hostname for a context that checks
  // it; the connection goes on.
  Coro<Transport> start_tls(Transport transport, std::shared_ptr<BaseProtocol> protocol, SslContext context);
  Coro<Transport> start_tls(Transport transport, std::shared_ptr<BaseProtocol> protocol, SslContext context,
                            StartTlsOptions options);

  // Sends a file from `offset` to its end, or `count` bytes, on the transport of a stream socket. It waits
  // until the transport's buffer is empty and sends by sendfile(2). For TLS, and where the kernel refuses
  // this kind of file, the file is read on the default executor and written, or, without `fallback`,
  // SendfileNotAvailableError is thrown. Meanwhile the transport does not read, and its write() is a
  // RuntimeError. The number of bytes: all were given to the kernel, or, with TLS, to the transport. The
  // file's position is behind them, also after an error. Cancellation: a cancellation point when it waits;
  // what was sent is sent. Errors: std::system_error of the file or the connection, ECONNRESET among them:
  // the connection was closed meanwhile. RuntimeError: the transport is closing, has sent write_eof(), sends
  // another file already, or is one of pipes. ValueError: a count of 0, a negative offset. Source:
  // loop.sendfile(). Differs from asyncio: with TLS, too, no other write() gets in between.
  Coro<std::size_t> sendfile(Transport transport, int file, off_t offset = 0,
                             std::optional<std::size_t> count = std::nullopt, bool fallback = true);

  // ---- pipes for protocols (pipes.h)

  // Takes over one end of a pipe, a socket or a character device such as a terminal, makes it non-blocking,
  // and gives the transport and the protocol as a pair, after connection_made(). connect_read_pipe() only
  // reads, connect_write_pipe() only writes. Cancellation: a cancellation point; the descriptor is closed.
  // Errors: ValueError: a file of another kind; std::system_error EBADF; TypeError: a protocol of no known
  // kind. After these errors the descriptor is still the caller's.
  template <class F>
  auto connect_read_pipe(F factory, int fd);
  // As connect_read_pipe(), for writing.
  template <class F>
  auto connect_write_pipe(F factory, int fd);

  // ---- child processes for protocols (subprocess_protocol.h). create_subprocess_exec() is easier.

  // Starts a program and gives the transport and the protocol as a pair, after connection_made(). Without
  // options the three streams are pipes. Cancellation: a cancellation point; the child is killed. Errors:
  // those of create_subprocess_exec().
  template <class F>
  auto subprocess_exec(F factory, std::vector<std::string> argv);
  template <class F>
  auto subprocess_exec(F factory, std::vector<std::string> argv, SubprocessOptions options);
  // The same for a command line of /bin/sh. A text of others in it can do anything.
  template <class F>
  auto subprocess_shell(F factory, std::string command);
  template <class F>
  auto subprocess_shell(F factory, std::string command, SubprocessOptions options);

  // ---- signals. ValueError: no such signal; RuntimeError: it cannot be caught.
  template <class F, class... Args>
  void add_signal_handler(int signo, F&& fn, Args&&... args) {
    static_assert(detail::CheckedCallback<F, Args...>::value);
    watch_signal(signo, detail::make_handle(*core_, std::forward<F>(fn), std::forward<Args>(args)...));
  }
  // True if there was a handler. ValueError: no such signal.
  bool remove_signal_handler(int signo);

  // ---- errors
  using ExceptionHandler = std::function<void(EventLoop&, const ExceptionContext&)>;
  // An empty function restores the default handler.
  void set_exception_handler(ExceptionHandler handler) { core_->exception_handler = std::move(handler); }
  // The handler that was set; empty: the default one.
  ExceptionHandler get_exception_handler() const { return core_->exception_handler; }
  // Calls the handler; an exception of the handler goes to the default handler.
  void call_exception_handler(const ExceptionContext& context) { core_->report(context); }
  // Logs the context at level ERROR in asyncio's form. An exception thrown by an override is logged in one
  // line.
  virtual void default_exception_handler(const ExceptionContext& context);

  // In debug mode places of creation are recorded and misuse is checked. The watchdog (debug.h) reports tasks
  // and callbacks that block the loop. A task that suspends while it holds a mutex or a read-write lock of
  // the C library is reported (aiofiber::hooks), and so is a descriptor that one task closes while another
  // uses it. A waiting task's own handles do not count as handles that
  // could still set its future (README.md, "A future that nobody can set").
  void set_debug(bool enabled) { core_->set_debug(enabled); }
  // Whether debug mode is on.
  bool get_debug() const noexcept { return core_->debug_; }
  // In debug mode a callback or a step of a task that takes at least this long is logged.
  Duration& slow_callback_duration;

  detail::LoopCore& core() const noexcept { return *core_; }

 protected:
  // For loops on another clock. The scheduler's clock must outlive every future of the loop.
  explicit EventLoop(std::unique_ptr<runtime::Scheduler> scheduler);

 private:
  friend class Runner;  // runs a task and leaves the outcome in the task
  // RuntimeError unless run_forever() could start now.
  void check_can_run() const;
  // The untyped part of run_until_complete(): runs until `future` is done. `made_here`: the program has no
  // handle to this task, so it is not reported as pending when it is destroyed.
  void run_until_done(detail::FutureBase& future, bool made_here);
  struct FdHandler;
  struct SignalHandler;
  struct Handlers;
  void watch_fd(int fd, bool writer, runtime::Ref<detail::HandleBase> handle);
  bool unwatch_fd(int fd, bool writer);
  void forget_handlers() noexcept;
  void watch_signal(int signo, runtime::Ref<detail::HandleBase> handle);

  TaskFactory task_factory_;
  std::unique_ptr<Handlers> handlers_;  // of descriptors and signals
};

// The text that asyncio prints, with the states running, closed and debug.
std::string repr(const EventLoop& loop);

// The loop that runs in this thread. RuntimeError "no running event loop".
EventLoop& get_running_loop();
// The running loop, else the loop that was set for the thread. In the main thread a loop is made if none was
// ever set.
// RuntimeError "There is no current event loop in thread 'NAME'."
EventLoop& get_event_loop();
// Sets the result of get_event_loop() outside a running loop; nullptr: none. The loop is not owned.
void set_event_loop(EventLoop* loop) noexcept;
// A new loop, which the caller owns. It is not set for the thread. std::system_error: the system has no
// descriptors left.
std::unique_ptr<EventLoop> new_event_loop();

}  // namespace aiofiber
