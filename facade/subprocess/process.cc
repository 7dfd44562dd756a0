// SPDX-License-Identifier: Apache-2.0
//
// The handle of a child process, the functions that start one, and communicate().
#include "subprocess/process.h"

#include <signal.h>

#include <cerrno>
#include <system_error>
#include <tuple>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/gather.h"
#include "aiofiber/subprocess_protocol.h"
#include "streams/pipe_transport.h"
#include "streams/stream_protocol.h"

namespace aiofiber {

using runtime::Ref;

namespace detail {

namespace {

using Outputs = std::pair<std::string, std::string>;
using Direction = PipeTransport::Direction;

// A stream over the parent's end of a pipe.
struct PipeStream {
  PipeStream(LoopCore& loop, Direction direction, Descriptor pipe, std::size_t limit)
      : reader(new StreamReaderState(limit)),
        protocol(std::make_shared<StreamProtocol>(reader, nullptr)),
        transport(PipeTransport::open(loop, direction, std::move(pipe), protocol)) {
    transport->start();
  }
  const Ref<StreamReaderState> reader;
  const std::shared_ptr<StreamProtocol> protocol;
  const Ref<PipeTransport> transport;
};

// Both forms are the same, because a start does not suspend.
struct Start {
  Start(std::vector<std::string> its_argv, SubprocessOptions its_options)
      : argv(std::move(its_argv)), options(std::move(its_options)) {}
  Process operator()() const { return Process(ProcessState::start(argv, options)); }
  static Coro<Process> without_stack(Start call) { co_return call(); }
  Coro<Process> stackless_form() { return without_stack(std::move(*this)); }

  std::vector<std::string> argv;
  SubprocessOptions options;
};

Coro<void> feed(StreamWriter writer, std::optional<std::string> input) {
  try {
    if (input) writer.write(std::move(*input));
    co_await writer.drain();
  } catch (const std::system_error& error) {
    // The child has closed its stdin, or has ended.
    if (error.code().value() != EPIPE && error.code().value() != ECONNRESET) throw;
  }
  writer.close();
}

Coro<void> feed_if_any(std::optional<StreamWriter> writer, std::optional<std::string> input) {
  if (writer) co_await feed(std::move(*writer), std::move(input));
}

Coro<std::string> read_if_any(std::optional<StreamReader> reader) {
  if (!reader) co_return std::string();
  co_return co_await reader->read();
}

}  // namespace

Ref<ProcessState> ProcessState::start(const std::vector<std::string>& argv,
                                      const SubprocessOptions& options) {
  LoopCore& loop = get_running_loop().core();
  loop.check_open();
  if (loop.closing()) throw RuntimeError("Event loop is closed");
  if (options.limit == 0) throw ValueError("Limit cannot be <= 0");
  const Ref<Child> child(new Child(loop));
  Ref<ProcessState> state(new ProcessState(child));
  Spawned spawned = spawn(argv, options);
  child->adopt(spawned.pid, std::move(spawned.pidfd));
  try {
    if (spawned.stdin_.fd() >= 0) {
      const PipeStream stream(loop, Direction::kWrite, std::move(spawned.stdin_), options.limit);
      const Transport transport{Ref<TransportState>(stream.transport)};
      state->stdin_.emplace(Ref<StreamWriterState>(new StreamWriterState(loop, transport, stream.protocol)));
    }
    if (spawned.stdout_.fd() >= 0)
      state->stdout_.emplace(
          PipeStream(loop, Direction::kRead, std::move(spawned.stdout_), options.limit).reader);
    if (spawned.stderr_.fd() >= 0)
      state->stderr_.emplace(
          PipeStream(loop, Direction::kRead, std::move(spawned.stderr_), options.limit).reader);
  } catch (...) {
    child->kill_quietly();  // nobody gets its handle; the loop reaps it
    throw;
  }
  return state;
}

// The writer of a child that has ended needs no warning.
ProcessState::~ProcessState() {
  if (stdin_ && child->returncode() && !stdin_->is_closing()) stdin_->transport().abort();
}

Coro<Outputs> ProcessState::communicate(Ref<ProcessState> process, std::optional<std::string> input) {
  Coro<void> feeding = feed_if_any(process->stdin_, std::move(input));
  Coro<std::string> out = read_if_any(process->stdout_);
  Coro<std::string> err = read_if_any(process->stderr_);
  auto all = gather(std::move(feeding), std::move(out), std::move(err));
  auto results = co_await std::move(all);
  co_await Child::wait_without_stack(process->child);
  co_return Outputs(std::move(std::get<1>(results)), std::move(std::get<2>(results)));
}

std::vector<std::string> shell_arguments(std::string command, const SubprocessOptions& options) {
  return {options.executable.empty() ? "/bin/sh" : options.executable, "-c", std::move(command)};
}

}  // namespace detail

Process::Process() noexcept = default;
Process::Process(Ref<detail::ProcessState> state) noexcept : state_(std::move(state)) {}
Process::Process(const Process& other) noexcept = default;
Process::Process(Process&& other) noexcept = default;
Process& Process::operator=(const Process& other) noexcept = default;
Process& Process::operator=(Process&& other) noexcept = default;
Process::~Process() = default;

detail::ProcessState& Process::state() const {
  if (!state_) throw RuntimeError("this process handle is empty: it was default-constructed or moved from");
  return *state_;
}

pid_t Process::pid() const { return state().child->pid(); }
const std::optional<StreamWriter>& Process::stdin_() const { return state().stdin_; }
const std::optional<StreamReader>& Process::stdout_() const { return state().stdout_; }
const std::optional<StreamReader>& Process::stderr_() const { return state().stderr_; }
std::optional<int> Process::returncode() const { return state().child->returncode(); }
void Process::send_signal(int signo) const { state().child->send_signal(signo); }
void Process::terminate() const { send_signal(SIGTERM); }
void Process::kill() const { send_signal(SIGKILL); }
void Process::detach() const { state().child->detach(); }

Coroutine<int> Process::wait() const {
  return Coroutine<int>(
      detail::TwoForms{[child = state().child] { return child->wait(); },
                       [child = state().child] { return detail::Child::wait_without_stack(child); }});
}

Coroutine<std::pair<std::string, std::string>> Process::communicate(std::optional<std::string> input) const {
  struct Communicate {
    Ref<detail::ProcessState> process;
    std::optional<std::string> input;
    detail::Outputs operator()() { return await(stackless_form()); }
    Coro<detail::Outputs> stackless_form() {
      return detail::ProcessState::communicate(std::move(process), std::move(input));
    }
  };
  static_cast<void>(state());
  return Coroutine<detail::Outputs>(Communicate{state_, std::move(input)});
}

std::string repr(const Process& process) {
  return process.valid() ? process.state().child->text() : "<Process empty>";
}

Coroutine<Process> create_subprocess_exec(std::vector<std::string> argv, SubprocessOptions options) {
  return Coroutine<Process>(detail::Start{std::move(argv), std::move(options)});
}

Coroutine<Process> create_subprocess_exec(std::vector<std::string> argv) {
  return create_subprocess_exec(std::move(argv), SubprocessOptions{});
}

Coroutine<Process> create_subprocess_shell(std::string command, SubprocessOptions options) {
  std::vector<std::string> argv = detail::shell_arguments(std::move(command), options);
  return create_subprocess_exec(std::move(argv), std::move(options));
}

Coroutine<Process> create_subprocess_shell(std::string command) {
  return create_subprocess_shell(std::move(command), SubprocessOptions{});
}

}  // namespace aiofiber
