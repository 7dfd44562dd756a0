// SPDX-License-Identifier: Apache-2.0
//
// How a wait for a descriptor begins, is woken, and fails.
#include "aiofiber/wait_fd.h"

#include <absl/strings/str_cat.h>

#include <system_error>

#include "aiofiber/event_loop.h"

namespace aiofiber::detail {

FdWait::FdWait(LoopCore& loop, int descriptor, unsigned events)
    : FdWaiter(descriptor, events, on_ready), future_(loop, *this) {
  AIOFIBER_ASSERT((events & (runtime::kReadable | runtime::kWritable)) != 0);
  waiting = runtime::current_fiber_or_step();
  loop.scheduler().reactor().add(*this);
}

// It stays in the reactor's list until the task goes on: a close in between must be noticed.
void FdWait::on_ready(FdWaiter& waiter, unsigned events) noexcept {
  auto& self = static_cast<FdWait&>(waiter);
  self.seen_ |= events;
  // A closed loop runs no task any more.
  if (!self.future_.done() && !self.future_.loop().closed()) self.future_.finish();
}

void FdWait::throw_failure() {
  future_.check_result();  // CancelledError
  throw std::system_error(failure, std::generic_category(),
                          failure == EBADF
                              ? absl::StrCat("file descriptor ", fd, " was closed while a task waited for it")
                              : absl::StrCat("file descriptor ", fd, " cannot be watched"));
}

unsigned WaitFd::operator()() const {
  TaskCore& task = require_current_task();
  FdWait wait(task.loop(), fd, events);
  return wait.wait(task);
}

namespace {
Coro<unsigned> wait_without_stack(int fd, unsigned events) {
  FdWait wait(current_task_core()->loop(), fd, events);
  co_return co_await wait.ready();
}
}  // namespace

Coro<unsigned> WaitFd::stackless_form() const { return wait_without_stack(fd, events); }

}  // namespace aiofiber::detail
