// SPDX-License-Identifier: Apache-2.0
//
// The child's steps, and the clone around them.
//
// The child must not return from a function that sanitizers instrument, since it would leave their records of
// the parent's thread changed. So its functions are not instrumented. All signals are blocked around the
// clone: a handler of the parent must not run in the child.
#include "aiofiber/runtime/engine/exec_child.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <new>

#include "aiofiber/runtime/engine/process_syscall.h"

#define AIOFIBER_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

namespace aiofiber::runtime {

namespace {

constexpr std::size_t kStackBytes = 32 * 1024;
constexpr std::size_t kMaskBytes = 8;  // of the kernel's signal masks
constexpr int kSignals = 64;
constexpr unsigned kFirstOther = 3;  // after stdin, stdout and stderr

// The child's view: the plan, and where it notes its failure.
struct Shared {
  const ChildPlan* plan;
  std::uint64_t signal_mask;  // the parent's
  ExecResult* result;
};

AIOFIBER_IN_CHILD inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0) noexcept {
  // tidy-allow(syscall): runs in the child, where a fault plan of the parent means nothing
  return ::syscall(number, a, b, c, d);
}
AIOFIBER_IN_CHILD inline long address(const void* pointer) noexcept {
  return reinterpret_cast<long>(pointer);
}

[[noreturn]] AIOFIBER_IN_CHILD void fail(Shared& shared, ChildStep step, std::size_t place = 0,
                                         int error = errno) noexcept {
  shared.result->failed = step;
  shared.result->error = error;
  shared.result->place = place;
  for (;;) call(SYS_exit_group, 127);
}

// Handlers are functions of the parent. What is ignored stays ignored, as after any exec.
AIOFIBER_IN_CHILD void reset_signals(const ChildPlan& plan) noexcept {
  // The kernel's struct sigaction begins with the handler; all zeros is the default action.
  struct Action {
    std::uintptr_t handler;
    std::uintptr_t rest[7];
  };
  static constexpr Action kDefault{};
  for (int signo = 1; signo <= kSignals; ++signo) {
    Action action;
    if (call(SYS_rt_sigaction, signo, 0, address(&action), kMaskBytes) != 0) continue;
    const bool handled = action.handler > 1;  // neither SIG_DFL nor SIG_IGN
    const bool wanted = plan.default_signals && (signo == SIGPIPE || signo == SIGXFSZ);
    if (handled || wanted) call(SYS_rt_sigaction, signo, address(&kDefault), 0, kMaskBytes);
  }
}

// A source that has one of the numbers 0 to 2 is moved first, so that none is overwritten before its use.
AIOFIBER_IN_CHILD void set_streams(Shared& shared) noexcept {
  int sources[3];
  for (int i = 0; i < 3; ++i) {
    sources[i] = shared.plan->streams[i];
    if (sources[i] < 0 || sources[i] >= 3 || sources[i] == i) continue;
    sources[i] = static_cast<int>(call(SYS_fcntl, sources[i], F_DUPFD_CLOEXEC, kFirstOther));
    if (sources[i] < 0) fail(shared, ChildStep::kStreams, static_cast<std::size_t>(i));
  }
  for (int i = 0; i < 3; ++i) {
    if (sources[i] < 0) continue;
    const long set = sources[i] == i ? call(SYS_fcntl, i, F_SETFD, 0) : call(SYS_dup3, sources[i], i, 0);
    if (set < 0) fail(shared, ChildStep::kStreams, static_cast<std::size_t>(i));
  }
}

AIOFIBER_IN_CHILD void close_between(unsigned first, unsigned last) noexcept {
  if (first > last || call(SYS_close_range, first, last, 0) == 0) return;
  // An old kernel, or a filter of system calls.
  rlimit open{};
  call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, address(&open));
  for (unsigned fd = first; fd <= last && fd < open.rlim_cur; ++fd) call(SYS_close, fd);
}

AIOFIBER_IN_CHILD void set_others(Shared& shared) noexcept {
  const ChildPlan& plan = *shared.plan;
  unsigned next = kFirstOther;
  for (std::size_t i = 0; i < plan.passed_count; ++i) {
    if (call(SYS_fcntl, plan.passed[i], F_SETFD, 0) != 0) fail(shared, ChildStep::kPassed, i);
    const auto fd = static_cast<unsigned>(plan.passed[i]);
    if (plan.closes_others) close_between(next, fd - 1);
    next = fd + 1;
  }
  if (plan.closes_others) close_between(next, ~0u);
}

// As Python: an error that says more than "not there" is the one to report.
AIOFIBER_IN_CHILD int execute(const ChildPlan& plan) noexcept {
  int error = ENOENT;
  bool telling = false;
  for (const char* const* path = plan.paths; *path != nullptr; ++path) {
    call(SYS_execve, address(*path), address(plan.argv), address(plan.environment));
    if (telling) continue;
    error = errno;
    telling = error != ENOENT && error != ENOTDIR;
  }
  return error;
}

AIOFIBER_IN_CHILD int child_main(void* argument) noexcept {
  auto& shared = *static_cast<Shared*>(argument);
  const ChildPlan& plan = *shared.plan;
  reset_signals(plan);
  set_streams(shared);
  if (plan.directory != nullptr && call(SYS_chdir, address(plan.directory)) != 0)
    fail(shared, ChildStep::kDirectory);
  if (plan.mask >= 0) call(SYS_umask, plan.mask);
  if (plan.new_session && call(SYS_setsid) < 0) fail(shared, ChildStep::kSession);
  if (plan.process_group >= 0 && call(SYS_setpgid, 0, plan.process_group) != 0)
    fail(shared, ChildStep::kGroup);
  set_others(shared);
  for (std::size_t i = 0; i < plan.limit_count; ++i) {
    if (call(SYS_prlimit64, 0, plan.limits[i].resource, address(&plan.limits[i].value)) != 0)
      fail(shared, ChildStep::kLimit, i);
  }
  // Last: what comes before may need the parent's rights. The group before the user, who may not change it.
  if (plan.sets_groups && call(SYS_setgroups, static_cast<long>(plan.group_count), address(plan.groups)) != 0)
    fail(shared, ChildStep::kGroups);
  if (plan.group_id && call(SYS_setregid, *plan.group_id, *plan.group_id) != 0)
    fail(shared, ChildStep::kGroupId);
  if (plan.user_id && call(SYS_setreuid, *plan.user_id, *plan.user_id) != 0) fail(shared, ChildStep::kUserId);
  call(SYS_rt_sigprocmask, SIG_SETMASK, address(&shared.signal_mask), 0, kMaskBytes);
  const int error = execute(plan);
  fail(shared, ChildStep::kExec, 0, error);
}

// A child with other rights gets a copy of the parent's memory; only where it notes its failure is shared.
bool changes_rights(const ChildPlan& plan) noexcept {
  return plan.sets_groups || plan.group_id || plan.user_id;
}

// The child has failed before its exec and ends now, if it has not yet.
void forget_child(ExecResult& result) noexcept {
  siginfo_t info{};
  if (result.pidfd >= 0) {
    while (sys::reap(result.pidfd, &info, 0) != 0 && errno == EINTR) {
    }
    // No hook and no reactor knows the number.
    call(SYS_close, result.pidfd);
    result.pidfd = -1;
  } else {
    while (call(SYS_wait4, result.pid, 0, 0, 0) < 0 && errno == EINTR) {
    }
  }
  result.pid = -1;
}

}  // namespace

ExecResult exec_child(const ChildPlan& plan) noexcept {
  ExecResult result;
  void* const stack = sys::map_anonymous(kStackBytes);
  if (stack == MAP_FAILED) return {.failed = ChildStep::kClone, .error = errno};
  const bool forks = changes_rights(plan);
  void* const note = forks ? sys::map_shared(sizeof(ExecResult)) : &result;
  if (note == MAP_FAILED) {
    result = {.failed = ChildStep::kClone, .error = errno};
    sys::unmap(stack, kStackBytes);
    return result;
  }
  Shared shared{&plan, 0, forks ? new (note) ExecResult : &result};
  const std::uint64_t all = ~std::uint64_t{0};
  call(SYS_rt_sigprocmask, SIG_SETMASK, address(&all), address(&shared.signal_mask), kMaskBytes);
  int pidfd = -1;
  pid_t pid = -1;
  if (!sys::injected("clone")) {
    pid = ::clone(child_main, static_cast<char*>(stack) + kStackBytes,
                  (forks ? 0 : CLONE_VM) | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &shared, &pidfd);
  }
  if (forks) {
    const int error = errno;  // of the clone
    result = *shared.result;
    sys::unmap(note, sizeof(ExecResult));
    errno = error;
  }
  if (pid < 0) {
    result.failed = ChildStep::kClone;
    result.error = errno;
  } else {
    result.pid = pid;
    result.pidfd = pidfd;
    if (result.failed == ChildStep::kNone && pidfd < 0 && (result.pidfd = sys::pidfd_open(pid)) < 0) {
      // Before Linux 5.2, or no descriptor left: a child whose end nobody would see is not kept.
      result.failed = ChildStep::kClone;
      result.error = errno;
      call(SYS_kill, pid, SIGKILL);
    }
    if (result.failed != ChildStep::kNone) forget_child(result);
  }
  call(SYS_rt_sigprocmask, SIG_SETMASK, address(&shared.signal_mask), 0, kMaskBytes);
  sys::unmap(stack, kStackBytes);
  return result;
}

}  // namespace aiofiber::runtime
