// SPDX-License-Identifier: Apache-2.0
//
// PTRACE_SEIZE does not stop a thread. PTRACE_INTERRUPT then stops it, without a signal that the program
// could notice.
// Threads may be created until the last one is stopped, so the list is read until it has no new thread.
#include "freeze.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <dirent.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "failure.h"

namespace aiofiber::tool {
namespace {

Failure ended(pid_t pid) {
  return {Exit::kNoProcess, absl::StrCat("process ", pid, " ended while it was read")};
}

std::vector<pid_t> list_threads(pid_t pid) {
  std::vector<pid_t> tids;
  DIR* folder = opendir(absl::StrCat("/proc/", pid, "/task").c_str());
  if (folder == nullptr) throw ended(pid);
  const absl::Cleanup close = [folder] { closedir(folder); };
  while (const dirent* entry = readdir(folder)) {
    pid_t tid = 0;  // not for "." and ".."
    if (absl::SimpleAtoi(entry->d_name, &tid)) tids.push_back(tid);
  }
  return tids;
}

bool is_zombie(pid_t tid) {
  std::ifstream in(absl::StrCat("/proc/", tid, "/stat"));
  std::string text;
  std::getline(in, text);
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.substr(name_end).starts_with(") Z");
}

}  // namespace

Freeze::Freeze(pid_t pid) : pid_(pid) {
  absl::Cleanup release_again = [this] { release(); };
  while (seize_new_threads()) {
  }
  if (stopped_.empty()) throw ended(pid);
  for (const Stopped& thread : stopped_) {
    user_regs_struct registers{};
    if (ptrace(PTRACE_GETREGS, thread.tid, nullptr, &registers) == 0) {
      threads_.push_back({thread.tid, runtime::arch::from_user(registers)});
    }
  }
  std::move(release_again).Cancel();
}

Freeze::~Freeze() { release(); }

bool Freeze::seize_new_threads() {
  bool any = false;
  for (const pid_t tid : list_threads(pid_)) {
    const auto known = [tid](const Stopped& thread) { return thread.tid == tid; };
    if (std::any_of(stopped_.begin(), stopped_.end(), known)) continue;
    if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) {
      const int error = errno;
      if (error == ESRCH || is_zombie(tid)) continue;  // it has ended
      throw Failure(
          Exit::kPermission,
          absl::StrCat("cannot stop process ", pid_, ": ", std::strerror(error),
                       ". Another debugger or tracer may hold it, /proc/sys/kernel/yama/ptrace_scope may "
                       "forbid it, or CAP_SYS_PTRACE is missing. Without --stop nothing needs to be "
                       "stopped."));
    }
    stop(tid);
    any = true;
  }
  return any;
}

void Freeze::stop(pid_t tid) {
  ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
  int status = 0;
  if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) return;  // it ended
  const bool ours = status >> 16 == PTRACE_EVENT_STOP;
  stopped_.push_back({tid, ours ? 0 : WSTOPSIG(status)});
}

void Freeze::release() noexcept {
  for (const Stopped& thread : stopped_) ptrace(PTRACE_DETACH, thread.tid, nullptr, thread.signal);
  stopped_.clear();
}

}  // namespace aiofiber::tool
