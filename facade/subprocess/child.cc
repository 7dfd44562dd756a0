// SPDX-License-Identifier: Apache-2.0
//
// The watch on a pidfd, reaping, signals, and what a closing loop does with a child that still runs.
#include "subprocess/child.h"

#include <absl/strings/str_cat.h>
#include <signal.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/process_syscall.h"

namespace aiofiber::detail {

namespace sys = runtime::sys;
using runtime::Ref;

namespace {

// What other code in the program has read cannot be read again.
constexpr int kUnknownReturncode = 255;
// A killed process ends at once, unless the kernel is busy for it.
constexpr int kPatienceWithKilled_ms = 1000;

template <class... Parts>
void warn(const Parts&... parts) noexcept {
  try {
    log(LogLevel::WARNING, absl::StrCat(parts...));
  } catch (const std::bad_alloc&) {
    log(LogLevel::WARNING, "a child process needs attention, and there is no memory for the report");
  }
}

// Kills a process that has no Child, and waits for its end.
void kill_and_reap(int pidfd) noexcept {
  siginfo_t info{};
  sys::signal_process(pidfd, SIGKILL);
  while (sys::reap(pidfd, &info, 0) != 0 && errno == EINTR) {
  }
}

}  // namespace

Child::Watch::Watch(Child& owner) noexcept
    : FdWaiter(-1, runtime::kReadable,
               [](FdWaiter& waiter, unsigned events) noexcept {
                 static_cast<Watch&>(waiter).child.pidfd_ready(events);
               }),
      child(owner) {}

void Child::adopt(pid_t pid, Descriptor pidfd) {
  watch_.fd = pidfd.fd();
  try {
    loop_->scheduler().reactor().add(watch_);
  } catch (...) {
    kill_and_reap(pidfd.fd());
    throw;
  }
  pid_ = pid;
  pidfd_ = std::move(pidfd);
  // Debuggers show the number of the process.
  waiters_.show_as(AIOFIBER_WAIT_PROCESS, reinterpret_cast<const void*>(static_cast<std::intptr_t>(pid)));
  loop_->open_objects.push_back(*this);
  retain();
}

std::string Child::text() const { return absl::StrCat("<Process ", pid_, ">"); }

// ---- waiting ----------------------------------------------------------------------------------------------

void Child::check_loop() const {
  loop_->check_open();
  if (LoopCore::running() != loop_.get())
    throw RuntimeError(absl::StrCat(text(), " is bound to a different event loop"));
}

int Child::wait() {
  if (returncode_) return *returncode_;
  TaskCore& task = require_current_task();
  check_loop();
  const Ref<Child> self(this);
  WaitQueue::Waiter waiter(waiters_, *loop_);
  waiter.wait(task);
  return *returncode_;
}

Coro<int> Child::wait_without_stack(Ref<Child> child) {
  if (child->returncode_) co_return *child->returncode_;
  child->check_loop();
  WaitQueue::Waiter waiter(child->waiters_, *child->loop_);
  co_await waiter.woken_up();
  co_return *child->returncode_;
}

// ---- the end ----------------------------------------------------------------------------------------------

void Child::pidfd_ready(unsigned events) noexcept {
  if ((events & runtime::kClosed) != 0) {
    // Somebody has closed the pidfd, or the kernel does not watch it: its end would never be seen.
    if (watch_.failure == EBADF) static_cast<void>(pidfd_.release());
    if (pidfd_.fd() < 0 || !try_to_reap()) {
      warn("child process ", pid_, " cannot be watched any more: its returncode is ", kUnknownReturncode);
      returncode_ = kUnknownReturncode;
    }
  } else if (!try_to_reap()) {
    return;
  }
  ended();
}

bool Child::try_to_reap() noexcept {
  siginfo_t info{};
  int result;
  do {
    result = sys::reap(pidfd_.fd(), &info, WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result == 0) {
    if (info.si_pid == 0) return false;
    returncode_ = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  } else {
    warn("the exit status of child process ", pid_, " was read by other code: its returncode is ",
         kUnknownReturncode);
    returncode_ = kUnknownReturncode;
  }
  return true;
}

// The last act of the loop for this child: it may destroy the object.
void Child::ended() noexcept {
  loop_->scheduler().reactor().remove(watch_);
  pidfd_.reset();
  unlink();
  waiters_.wake(waiters_.size());
  if (const Ref<HandleBase> callback = std::move(at_end_)) callback->schedule_again();
  release();
}

// ---- signals and closing ----------------------------------------------------------------------------------

void Child::send_signal(int signo) {
  if (pidfd_.fd() < 0)
    throw std::system_error(ESRCH, std::generic_category(), absl::StrCat(text(), " has ended"));
  if (sys::signal_process(pidfd_.fd(), signo) != 0)
    throw std::system_error(errno, std::generic_category(),
                            absl::StrCat("cannot send signal ", signo, " to ", text()));
}

void Child::kill_quietly() noexcept {
  if (pidfd_.fd() >= 0) sys::signal_process(pidfd_.fd(), SIGKILL);
}

// The tasks are gone, so nobody waits. A detached child keeps its pidfd: it can still be sent signals.
void Child::loop_closes() noexcept {
  loop_->scheduler().reactor().remove(watch_);
  // In a fork of the program it is the child of another process.
  const bool ours = fork_generation_ == runtime::fork_generation();
  if (ours && !try_to_reap() && !detached_) {
    warn("ResourceWarning: unclosed subprocess: <Process ", pid_,
         "> still ran when its event loop was closed,", " and is killed. Await its wait(), or detach() it.");
    kill_quietly();
    if (!sys::wait_readable(pidfd_.fd(), kPatienceWithKilled_ms) || !try_to_reap())
      warn("child process ", pid_, " does not end: nobody will reap it");
  }
  if (returncode_) pidfd_.reset();
  at_end_ = nullptr;
  release();
}

}  // namespace aiofiber::detail
