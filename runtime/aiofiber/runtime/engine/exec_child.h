// SPDX-License-Identifier: Apache-2.0
//
// exec_child() starts a program in a child process. Everything the child does is prepared by the caller.
//
// The child shares the parent's memory until its exec, as after vfork(2), so a large parent is not copied and
// an error of the child is simply written down. It runs on a small stack of its own, makes system calls only,
// and calls nothing of libc but syscall(). The calling thread waits until the exec has succeeded or failed;
// the other threads go on.
// A child with another user or group is a real fork: with the parent's memory it would change what the kernel
// keeps there, whether the parent may be traced and dumps core, and two users would share memory for a
// moment. The child's end is seen on a pidfd (CLONE_PIDFD), so no SIGCHLD handler is needed.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <optional>

namespace aiofiber::runtime {

// Which step of the child failed, or of the parent (kClone).
enum class ChildStep {
  kNone,
  kClone,
  kStreams,    // descriptors 0, 1 and 2
  kDirectory,  // chdir
  kSession,    // setsid
  kGroup,      // setpgid
  kPassed,     // a descriptor of `passed`
  kLimit,      // setrlimit
  kGroups,     // setgroups
  kGroupId,    // setregid
  kUserId,     // setreuid
  kExec,
};

struct ChildLimit {
  int resource;  // RLIMIT_x
  rlimit value;
};

// All pointers must be valid during the call; lists of strings end with null.
struct ChildPlan {
  const char* const* paths;         // of the program: each is tried until one can be executed
  const char* const* argv;          // its arguments, argv[0] included
  const char* const* environment;   // "NAME=value"
  const char* directory = nullptr;  // null: the parent's
  int streams[3] = {-1, -1, -1};    // become 0, 1 and 2; -1: the parent's own
  const int* passed = nullptr;      // further descriptors, ascending, all above 2
  std::size_t passed_count = 0;
  bool closes_others = true;    // else only those with close-on-exec are closed
  bool default_signals = true;  // SIGPIPE and SIGXFSZ get their default action
  bool new_session = false;
  pid_t process_group = -1;  // 0: a new one; -1: the parent's
  int mask = -1;             // umask; -1: the parent's
  const ChildLimit* limits = nullptr;
  std::size_t limit_count = 0;
  bool sets_groups = false;  // false: the supplementary groups are the parent's
  const gid_t* groups = nullptr;
  std::size_t group_count = 0;
  std::optional<gid_t> group_id = std::nullopt;
  std::optional<uid_t> user_id = std::nullopt;
};

struct ExecResult {
  pid_t pid = -1;
  int pidfd = -1;  // close-on-exec; the caller closes it
  ChildStep failed = ChildStep::kNone;
  int error = 0;          // errno of the step that failed; then there is no child
  std::size_t place = 0;  // kStreams: which of 0 to 2; kPassed, kLimit: the index
};

// Never suspends a task. Threads: any. Async-signal-safe. Source: vfork(2), execve(2), Python's
// subprocess.Popen, whose order of the steps it keeps.
ExecResult exec_child(const ChildPlan& plan) noexcept;

}  // namespace aiofiber::runtime
