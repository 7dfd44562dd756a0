// SPDX-License-Identifier: Apache-2.0
//
// SubprocessProtocol and SubprocessTransport: child processes for code that is written as protocols.
//
// The transport calls connection_made() once, then the functions for data and for ends, then
// connection_lost() once: when the child has ended and its pipes are closed. All calls are on the loop's own
// stack, as with other protocols. Source: loop.subprocess_exec(), asyncio.SubprocessProtocol. Threads: the
// loop's.
#pragma once

#include <sys/types.h>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/coro.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/resolve.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/subprocess.h"
#include "aiofiber/transports.h"

namespace aiofiber {

namespace detail {
class SubprocessTransportState;
}

// A child process with its pipes. A shared handle; the loop keeps it until connection_lost().
class SubprocessTransport {
 public:
  // Empty: every function but valid() throws RuntimeError.
  SubprocessTransport() noexcept;
  explicit SubprocessTransport(runtime::Ref<detail::SubprocessTransportState> state) noexcept;
  SubprocessTransport(const SubprocessTransport& other) noexcept;
  SubprocessTransport(SubprocessTransport&& other) noexcept;
  SubprocessTransport& operator=(const SubprocessTransport& other) noexcept;
  SubprocessTransport& operator=(SubprocessTransport&& other) noexcept;
  ~SubprocessTransport();

  bool valid() const noexcept { return static_cast<bool>(state_); }  // false: empty
  pid_t get_pid() const;                                             // also when it has ended
  // As Process::returncode().
  std::optional<int> get_returncode() const;
  // The transport of the child's stdin (0), stdout (1) or stderr (2); empty if it is no pipe.
  Transport get_pipe_transport(int fd) const;
  // As Process: std::system_error ESRCH: it has ended.
  void send_signal(int signo) const;
  void terminate() const;  // send_signal(SIGTERM)
  void kill() const;       // send_signal(SIGKILL)
  // Closes the pipes, and kills the child if it still runs. connection_lost() follows.
  void close() const;
  // Whether it is closed or closing.
  bool is_closing() const;
  friend bool operator==(const SubprocessTransport& a, const SubprocessTransport& b) noexcept {
    return a.state_ == b.state_;
  }

 private:
  detail::SubprocessTransportState& state() const;
  runtime::Ref<detail::SubprocessTransportState> state_;
};

// Derived by the program. An exception that leaves a function is reported to the loop's exception handler.
class SubprocessProtocol {
 public:
  virtual ~SubprocessProtocol() = default;
  // The child runs, and its pipes are open.
  virtual void connection_made(SubprocessTransport transport);
  // Bytes from stdout (1) or stderr (2), valid during the call.
  virtual void pipe_data_received(int fd, std::string_view data);
  // A pipe is closed. `error`: null unless it broke.
  virtual void pipe_connection_lost(int fd, std::exception_ptr error);
  // The child has ended; its pipes may still bring data.
  virtual void process_exited() {}
  // The child has ended and all pipes are closed: nothing is called after it.
  virtual void connection_lost(std::exception_ptr error);
  // stdin has too much to send; it has room again.
  virtual void pause_writing() {}
  // See pause_writing().
  virtual void resume_writing() {}
};

namespace detail {

Coro<SubprocessTransport> open_subprocess(std::shared_ptr<SubprocessProtocol> protocol,
                                          std::vector<std::string> argv,
                                          std::shared_ptr<const SubprocessOptions> options);
std::vector<std::string> shell_arguments(std::string command, const SubprocessOptions& options);
// Pipes for all three streams.
SubprocessOptions all_pipes();

template <class F>
concept SubprocessProtocolFactory = requires(F& factory) {
  std::shared_ptr<SubprocessProtocol>(factory());
};

template <class F>
Coro<std::pair<SubprocessTransport, std::invoke_result_t<F&>>> with_subprocess(
    const LoopCore* loop, F factory, std::vector<std::string> argv,
    std::shared_ptr<const SubprocessOptions> options) {
  check_same_loop(get_running_loop().core(), loop, "subprocess_exec");
  std::invoke_result_t<F&> protocol = factory();
  SubprocessTransport transport = co_await open_subprocess(protocol, std::move(argv), std::move(options));
  co_return std::pair(std::move(transport), std::move(protocol));
}

}  // namespace detail

template <class F>
auto EventLoop::subprocess_exec(F factory, std::vector<std::string> argv, SubprocessOptions options) {
  static_assert(detail::SubprocessProtocolFactory<F>,
                "a factory gives a std::shared_ptr to a class derived from SubprocessProtocol");
  return detail::with_subprocess(core_.get(), std::move(factory), std::move(argv),
                                 std::make_shared<const SubprocessOptions>(std::move(options)));
}
template <class F>
auto EventLoop::subprocess_exec(F factory, std::vector<std::string> argv) {
  return subprocess_exec(std::move(factory), std::move(argv), detail::all_pipes());
}
template <class F>
auto EventLoop::subprocess_shell(F factory, std::string command, SubprocessOptions options) {
  std::vector<std::string> argv = detail::shell_arguments(std::move(command), options);
  return subprocess_exec(std::move(factory), std::move(argv), std::move(options));
}
template <class F>
auto EventLoop::subprocess_shell(F factory, std::string command) {
  return subprocess_shell(std::move(factory), std::move(command), detail::all_pipes());
}

}  // namespace aiofiber
