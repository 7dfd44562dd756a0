// SPDX-License-Identifier: Apache-2.0
//
// Child processes: waitpid, wait, wait3, wait4, waitid; system on the offload pool.
//
// A single child has a pidfd, which becomes readable when it ends. The kernel has no descriptor for any child
// of a group, or for a child that stops or continues. There the call checks again, at most every 20 ms.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "aiofiber/runtime/engine/child_wait.h"
#include "aiofiber/runtime/engine/parker.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// Suspends until the child has ended. False with errno set: cancelled, or an alarm.
bool wait_for_end(pid_t pid, Backoff& backoff) {
  if (runtime::refused_by_closing_loop()) {
    errno = ECANCELED;
    return false;
  }
  if (!run_alarm_handler(AfterAlarm::kMayGoOn)) return false;
  runtime::FdWaitResult result;
  const bool waited = without_throwing([&] {
    const AlarmEndsWait ends_wait;
    result = runtime::child_wait(pid);
  });
  // Out of descriptors, or reaped by other code: the next check will show it.
  if (!waited) return backoff.wait();
  if (result.interrupted) {
    errno = ECANCELED;
    return false;
  }
  calls_since_turn = 0;
  return !result.alarm || run_alarm_handler(AfterAlarm::kMayGoOn);
}

// Calls look(), which does not block, until it returns something else than "nothing yet". `pid`: the one
// child whose end matters, or 0. `shown`: the child that a debugger shows; 0: any.
template <class Look>
pid_t wait_with(pid_t pid, pid_t shown, Look look) {
  const int errno_at_start = errno;
  pid_t found = look();
  if (found != 0) return found;
  Backoff backoff(AIOFIBER_WAIT_PROCESS, static_cast<std::uint64_t>(shown));
  for (;;) {
    if (!(pid > 0 ? wait_for_end(pid, backoff) : backoff.wait())) return -1;
    errno = errno_at_start;
    if ((found = look()) != 0) return found;
  }
}

pid_t wait_for_child(pid_t pid, int* status, int options, rusage* usage) {
  const bool only_its_end = (options & (WUNTRACED | WCONTINUED)) == 0;
  return wait_with(pid > 0 && only_its_end ? pid : 0, pid > 0 ? pid : 0,
                   [&] { return real::wait4(pid, status, options | WNOHANG, usage); });
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept {
  if (!acts() || (options & WNOHANG) != 0) return real::wait4(pid, status, options, usage);
  return wait_for_child(pid, status, options, usage);
}

pid_t waitpid(pid_t pid, int* status, int options) { return wait4(pid, status, options, nullptr); }

pid_t wait(int* status) { return wait4(-1, status, 0, nullptr); }

pid_t wait3(int* status, int options, rusage* usage) noexcept { return wait4(-1, status, options, usage); }

pid_t __wait(int* status) { return wait4(-1, status, 0, nullptr); }

pid_t __waitpid(pid_t pid, int* status, int options) { return wait4(pid, status, options, nullptr); }

int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  if (!acts() || (options & WNOHANG) != 0) return real::waitid(type, id, info, options);
  siginfo_t own{};
  siginfo_t& seen = info != nullptr ? *info : own;
  const bool only_its_end = (options & (WSTOPPED | WCONTINUED)) == 0;
  const pid_t found =
      wait_with(type == P_PID && only_its_end ? static_cast<pid_t>(id) : 0,
                type == P_PID ? static_cast<pid_t>(id) : 0, [&]() -> pid_t {
                  seen.si_pid = 0;
                  return real::waitid(type, id, &seen, options | WNOHANG) != 0 ? -1 : seen.si_pid;
                });
  return found < 0 ? -1 : 0;
}

// libc's own system(), signal handling included, on a thread of the pool for long calls.
int system(const char* command) {
  if (command == nullptr || !acts()) return real::system(command);
  return on_pool(
      -1, [=] { return real::system(command); }, aiofiber::runtime::OffloadPool::waits());
}

}  // extern "C"
