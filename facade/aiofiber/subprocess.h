// SPDX-License-Identifier: Apache-2.0
//
// Child processes: create_subprocess_exec(), create_subprocess_shell(), Process, subprocess::run().
//
// A child starts at once when the coroutine is awaited, and the errors of its start come out of that await.
// Its end is seen on a pidfd. So there is no SIGCHLD handler, only this child is reaped, and a signal never
// reaches another process with the same number. The loop reaps a child also if nobody waits for it.
// Source: asyncio.subprocess; options of Python's subprocess.Popen. Threads: the loop's.
//
//     auto upper = asyncio::subprocess::run({"tr", "a-z", "A-Z"}, {.input = "text", .capture_output = true});
//     auto done = asyncio::await(std::move(upper));
//     assert(done.returncode == 0 && done.stdout_ == "TEXT");
//
// Wrong: a text of others in the command line of a shell. Give it as an argument of its own.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <concepts>
#include <csignal>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/coroutine.h"
#include "aiofiber/duration.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/intrusive.h"
#include "aiofiber/stream_reader.h"
#include "aiofiber/stream_writer.h"

namespace aiofiber {

namespace detail {
struct ProcessState;
}

namespace subprocess {

// Where a standard stream of the child leads. By default the child inherits the parent's. A number is an open
// descriptor of the parent, which stays the caller's. ValueError: a negative number.
class Redirect {
 public:
  // To a pipe, to /dev/null, where stdout goes, to a descriptor; kInherit: where the parent's goes.
  enum class Kind : unsigned char { kInherit, kPipe, kNull, kStdout, kDescriptor };

  constexpr Redirect() noexcept = default;
  // PIPE, DEVNULL and STDOUT are made so.
  constexpr explicit Redirect(Kind kind) noexcept : kind_(kind) {}
  // An open descriptor, which stays the caller's. ValueError: negative.
  constexpr Redirect(int fd) : kind_(Kind::kDescriptor), fd_(fd) {
    if (fd < 0) throw ValueError("a redirection needs an open descriptor, and this one is negative");
  }
  constexpr Kind kind() const noexcept { return kind_; }  // as constructed
  constexpr int fd() const noexcept { return fd_; }       // -1 unless kDescriptor
  friend constexpr bool operator==(const Redirect&, const Redirect&) noexcept = default;

 private:
  Kind kind_ = Kind::kInherit;
  int fd_ = -1;
};

inline constexpr Redirect PIPE{Redirect::Kind::kPipe};      // a stream of the Process
inline constexpr Redirect DEVNULL{Redirect::Kind::kNull};   // /dev/null
inline constexpr Redirect STDOUT{Redirect::Kind::kStdout};  // for stderr_ only: where stdout goes

// The whole environment of a child, in order. A name has one value.
class Environment {
 public:
  Environment() = default;
  // ValueError as set()
  Environment(std::initializer_list<std::pair<std::string_view, std::string_view>> variables);
  // A copy of the program's own. Threads: none may change the environment meanwhile.
  static Environment current();
  // Adds or replaces. ValueError: a name with '=', or a NUL byte.
  void set(std::string_view name, std::string_view value);
  // True if there was one.
  bool unset(std::string_view name) noexcept;
  // The value, which is valid until the next change; nullopt: there is none.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  // As execve(2) wants them: "NAME=value".
  const std::vector<std::string>& entries() const noexcept { return entries_; }

 private:
  std::vector<std::string>::iterator find(std::string_view name) noexcept;
  std::vector<std::string> entries_;
};

// A user or a group, by number or by name. Names are looked up in the parent (getpwnam(3), getgrnam(3)),
// which may block the thread where the system asks a server for them.
class Account {
 public:
  // By number. A name that is not known is a ValueError when the child is started.
  template <std::integral Number>
  Account(Number number) noexcept : number_(static_cast<long long>(number)) {}
  Account(std::string name) noexcept : name_(std::move(name)) {}
  Account(const char* name) : name_(name) {}

  // nullopt: the number is in number().
  const std::optional<std::string>& name() const noexcept { return name_; }
  // The number, if name() is nullopt.
  long long number() const noexcept { return number_; }

 private:
  std::optional<std::string> name_;
  long long number_ = 0;
};

// setrlimit(2) in the child: {RLIMIT_CPU, {1, 2}} is one second, at most two.
struct ResourceLimit {
  int resource;  // RLIMIT_CPU, RLIMIT_AS, ...
  rlimit value;  // soft and hard limit
};

}  // namespace subprocess

// How a child is started: the keyword arguments of create_subprocess_exec() and subprocess.Popen.
struct SubprocessOptions {
  subprocess::Redirect stdin_ = {};         // default: the parent's, as for all three
  subprocess::Redirect stdout_ = {};        // where what it prints goes
  subprocess::Redirect stderr_ = {};        // where its messages go
  std::size_t limit = kDefaultStreamLimit;  // of the StreamReaders, in bytes
  std::string executable = {};              // the program, if argv[0] is not its name; for a shell: the shell
  // Descriptors from 3 on are closed in the child, except those of pass_fds. False: those stay open that have
  // no close-on-exec flag.
  bool close_fds = true;
  std::string cwd = {};  // empty: the parent's
  // Absent: the parent's. PATH is searched for the program as the child sees it.
  std::optional<subprocess::Environment> env = std::nullopt;
  bool restore_signals = true;                         // SIGPIPE and SIGXFSZ get their default action
  bool start_new_session = false;                      // setsid(2)
  std::vector<int> pass_fds = {};                      // open in the child, under the same numbers
  std::optional<mode_t> umask = std::nullopt;          // umask(2); absent: the parent's
  std::optional<pid_t> process_group = std::nullopt;   // setpgid(2); 0: a new group
  std::vector<subprocess::ResourceLimit> limits = {};  // setrlimit(2), before the program starts
  // With which rights the child runs: its supplementary groups (none, if the list is empty), its group and
  // its user, set in this order, and last. `user` alone keeps the parent's groups. The environment and cwd
  // stay as they are, so HOME may need an `env`.
  std::optional<std::vector<subprocess::Account>> extra_groups = std::nullopt;
  // See extra_groups.
  std::optional<subprocess::Account> group = std::nullopt;
  // See extra_groups.
  std::optional<subprocess::Account> user = std::nullopt;
};

// A child process. A shared handle, as a future is: copies mean the same child. Default-constructed: empty,
// and its members throw RuntimeError.
//
// Lifetime: when the last handle is gone, the child goes on, and the loop reaps it when it ends. Its stdin is
// closed then, with a ResourceWarning if the program has not done it. A loop that closes while a child runs
// logs a ResourceWarning, kills the child and reaps it; see detach(). Afterwards the members still work.
class Process {
 public:
  Process() noexcept;
  explicit Process(runtime::Ref<detail::ProcessState> state) noexcept;
  Process(const Process& other) noexcept;
  Process(Process&& other) noexcept;
  Process& operator=(const Process& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  bool valid() const noexcept { return static_cast<bool>(state_); }  // false: empty
  pid_t pid() const;                                                 // also when it has ended
  // The streams for which PIPE was given. (stdin, stdout and stderr are macros of C.)
  const std::optional<StreamWriter>& stdin_() const;
  // See stdin_().
  const std::optional<StreamReader>& stdout_() const;
  // See stdin_().
  const std::optional<StreamReader>& stderr_() const;
  // How it ended: its exit status, or minus the number of the signal that killed it. Absent: the loop has not
  // seen its end yet. 255 if other code in the program has reaped it; a WARNING says so.
  std::optional<int> returncode() const;
  // Waits for its end and gives the returncode. Does not wait for the pipes: another process may have them
  // open. With a pipe that nobody reads, the child may never end; then use communicate().
  // Cancellation: a cancellation point when it suspends; the child goes on. Errors: CancelledError;
  // RuntimeError: another loop's process, or its loop was closed.
  Coroutine<int> wait() const;

  // Sends `input` to its stdin and closes it, reads stdout and stderr to their ends at the same time, then
  // waits for its end. Gives what it wrote to stdout and to stderr. A child that does not read all of its
  // input is no error. `input` is dropped if stdin is no pipe. The memory it takes is that of the outputs.
  // Cancellation: a cancellation point; the child goes on, and what was read is lost. Errors: those of wait()
  // and of StreamReader::read().
  // Differs from asyncio: the text of a stream that is no pipe is empty instead of None.
  Coroutine<std::pair<std::string, std::string>> communicate(
      std::optional<std::string> input = std::nullopt) const;

  // std::system_error ESRCH (Python's ProcessLookupError): it has ended. EINVAL: no such signal. EPERM: not
  // allowed, for a child that has changed its user.
  void send_signal(int signo) const;
  void terminate() const;  // SIGTERM
  void kill() const;       // SIGKILL
  // The loop leaves the child alone when it closes: neither a warning nor a kill. While the loop is open, it
  // still reaps the child.
  void detach() const;

  // `<Process 4711>`, as in asyncio.
  friend std::string repr(const Process& process);
  friend bool operator==(const Process& a, const Process& b) noexcept { return a.state_ == b.state_; }

 private:
  detail::ProcessState& state() const;
  runtime::Ref<detail::ProcessState> state_;
};
// `<Process 4711>`, as in asyncio.
std::string repr(const Process& process);

namespace subprocess {
using aiofiber::Process;  // asyncio.subprocess.Process
}

// Starts a program: argv[0], with the arguments argv. Does not suspend; the thread waits until the program
// has begun to run. Errors: std::system_error of the start, with the name concerned: ENOENT, EACCES, ENOEXEC,
// E2BIG (the program), ENOENT, ENOTDIR, EACCES (cwd), EBADF (a descriptor), EPERM (a user or a group that the
// program may not take), EMFILE, EAGAIN, ENOMEM. There is no child then. ValueError: no arguments, a NUL byte
// in a text, STDOUT for another stream than stderr_, a negative number in pass_fds or process_group, a limit
// of 0, no such user or group. RuntimeError: no running loop, or it closes.
Coroutine<Process> create_subprocess_exec(std::vector<std::string> argv, SubprocessOptions options);
Coroutine<Process> create_subprocess_exec(std::vector<std::string> argv);
// The same for a command line of /bin/sh. A text of others in it can do anything: give such texts as
// arguments of create_subprocess_exec().
Coroutine<Process> create_subprocess_shell(std::string command, SubprocessOptions options);
Coroutine<Process> create_subprocess_shell(std::string command);

// The arguments one by one: create_subprocess_exec("grep", "-n", "x"), with the options before them.
template <std::convertible_to<std::string> Program, std::convertible_to<std::string>... Args>
Coroutine<Process> create_subprocess_exec(const Program& program, const Args&... args) {
  return create_subprocess_exec(std::vector<std::string>{program, args...});
}
template <std::convertible_to<std::string> Program, std::convertible_to<std::string>... Args>
Coroutine<Process> create_subprocess_exec(SubprocessOptions options, const Program& program,
                                          const Args&... args) {
  return create_subprocess_exec(std::vector<std::string>{program, args...}, std::move(options));
}

namespace subprocess {

// What a process that has ended left behind.
struct CompletedProcess {
  std::vector<std::string> args;  // the program and its arguments
  int returncode = 0;             // as Process::returncode()
  std::string stdout_;            // empty unless it was a pipe
  std::string stderr_;            // empty unless it was a pipe
  // CalledProcessError: the returncode is not 0.
  void check_returncode() const;
};

// A process ended with another returncode than 0. Python's subprocess.CalledProcessError.
class CalledProcessError : public std::runtime_error {
 public:
  // CompletedProcess::check_returncode() throws it.
  explicit CalledProcessError(CompletedProcess process);
  // What the process left behind.
  const CompletedProcess& process() const noexcept { return *process_; }
  // As Process::returncode().
  int returncode() const noexcept { return process_->returncode; }

 private:
  std::shared_ptr<const CompletedProcess> process_;  // shared: copying an exception must not throw
};

// The keyword arguments of subprocess.run().
struct RunOptions {
  std::optional<std::string> input = std::nullopt;  // for its stdin, which is a pipe then
  bool capture_output = false;                      // stdout and stderr are pipes
  // TimeoutError after it, and the child is killed. Absent: no limit.
  std::optional<Duration> timeout = std::nullopt;
  bool check = false;  // CalledProcessError if the returncode is not 0
  // The other options of the start.
  SubprocessOptions process = {};
};

// Runs a program to its end: create_subprocess_exec() and communicate(). Source: Python's subprocess.run.
// If the call ends early, the child is killed. Cancellation: a cancellation point. Errors: those of
// create_subprocess_exec(); TimeoutError: the time is over, and the child was killed and reaped;
// CalledProcessError; ValueError: input and process.stdin_, or capture_output and process.stdout_ or stderr_.
Coroutine<CompletedProcess> run(std::vector<std::string> argv, RunOptions options);
Coroutine<CompletedProcess> run(std::vector<std::string> argv);

}  // namespace subprocess
}  // namespace aiofiber
