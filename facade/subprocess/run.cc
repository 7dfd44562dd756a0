// SPDX-License-Identifier: Apache-2.0
//
// subprocess::run(): a whole call of a program. Whoever leaves it early leaves no child behind.
#include <absl/strings/str_cat.h>

#include <utility>

#include "aiofiber/wait_for.h"
#include "core/text.h"
#include "subprocess/process.h"

namespace aiofiber::subprocess {

namespace {

using detail::Child;
using detail::ProcessState;
using runtime::Ref;

// Kills the child unless it has ended, and drops what it did not read.
struct KillAtEnd {
  explicit KillAtEnd(Ref<ProcessState> its_process) noexcept : process(std::move(its_process)) {}
  ~KillAtEnd() {
    process->child->kill_quietly();
    if (process->stdin_ && !process->stdin_->is_closing()) process->stdin_->transport().abort();
  }
  KillAtEnd(const KillAtEnd&) = delete;
  KillAtEnd& operator=(const KillAtEnd&) = delete;
  const Ref<ProcessState> process;
};

void give_pipe(Redirect& stream, const char* reason) {
  if (stream != Redirect())
    throw ValueError(absl::StrCat(reason, " makes a pipe: leave the redirection of that stream out"));
  stream = PIPE;
}

// A class with constructors: g++ 12 destroys parameters of a coroutine twice that are aggregates.
struct Run {
  Run(std::vector<std::string> its_argv, RunOptions its_options)
      : argv(std::move(its_argv)), options(std::move(its_options)) {
    if (options.input) give_pipe(options.process.stdin_, "input");
    if (options.capture_output) {
      give_pipe(options.process.stdout_, "capture_output");
      give_pipe(options.process.stderr_, "capture_output");
    }
  }
  CompletedProcess operator()() { return await(stackless_form()); }
  static Coro<CompletedProcess> without_stack(Run call);
  Coro<CompletedProcess> stackless_form() { return without_stack(std::move(*this)); }

  std::vector<std::string> argv;
  RunOptions options;
};

Coro<CompletedProcess> Run::without_stack(Run call) {
  const Ref<ProcessState> process = ProcessState::start(call.argv, call.options.process);
  const KillAtEnd kill_at_end(process);
  bool is_late = false;
  CompletedProcess result;
  Coro<std::pair<std::string, std::string>> talk =
      ProcessState::communicate(process, std::move(call.options.input));
  Coroutine<std::pair<std::string, std::string>> limited = wait_for(std::move(talk), call.options.timeout);
  try {
    auto [out, err] = co_await std::move(limited);
    result.stdout_ = std::move(out);
    result.stderr_ = std::move(err);
  } catch (const TimeoutError&) {
    is_late = true;
  }
  if (is_late) {
    process->child->kill_quietly();
    co_await Child::wait_without_stack(process->child);
    throw TimeoutError(absl::StrCat("the process ", detail::quote(call.argv[0]), " did not end within ",
                                    call.options.timeout->seconds(), " seconds, and was killed"));
  }
  result.args = std::move(call.argv);
  result.returncode = process->child->returncode().value_or(0);
  if (call.options.check) result.check_returncode();
  co_return result;
}

std::string describe(const CompletedProcess& process) {
  const std::string program = process.args.empty() ? "''" : detail::quote(process.args[0]);
  if (process.returncode < 0)
    return absl::StrCat("the process ", program, " died of signal ", -process.returncode);
  return absl::StrCat("the process ", program, " ended with exit status ", process.returncode);
}

}  // namespace

void CompletedProcess::check_returncode() const {
  if (returncode != 0) throw CalledProcessError(*this);
}

CalledProcessError::CalledProcessError(CompletedProcess process)
    : std::runtime_error(describe(process)),
      process_(std::make_shared<const CompletedProcess>(std::move(process))) {}

Coroutine<CompletedProcess> run(std::vector<std::string> argv, RunOptions options) {
  return Coroutine<CompletedProcess>(Run(std::move(argv), std::move(options)));
}

Coroutine<CompletedProcess> run(std::vector<std::string> argv) { return run(std::move(argv), RunOptions{}); }

}  // namespace aiofiber::subprocess
