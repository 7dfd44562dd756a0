// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of CoreWait, and where its numbers come from: /proc/self/task/TID/schedstat (the kernel's
// Documentation/scheduler/sched-stats.rst) and the state in /proc/self/task/TID/stat.
#include "inspect/core_wait.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace aiofiber::runtime {

namespace {
bool is_runnable(pid_t tid) {
  std::ifstream in(absl::StrCat("/proc/self/task/", tid, "/stat"));
  std::string text;
  std::getline(in, text);
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 3, ") R") == 0;
}
}  // namespace

CoreUse core_use(pid_t tid) {
  CoreUse use;
  // First: a thread that stops waiting between the two has its wait in the counters.
  use.runnable = is_runnable(tid);
  std::ifstream in(absl::StrCat("/proc/self/task/", tid, "/schedstat"));
  if (!(in >> use.ran >> use.waited)) use.ran = use.waited = 0;
  return use;
}

void CoreWait::start(const CoreUse& use, Nanoseconds now) noexcept {
  last_ = use;
  looked_at_ = now;
  over_ = open_ = 0;
}

Nanoseconds CoreWait::look(const CoreUse& use, Nanoseconds now) noexcept {
  const Nanoseconds ran = use.ran - last_.ran;
  const Nanoseconds waited = use.waited - last_.waited;
  const Nanoseconds stood = std::max<Nanoseconds>(now - looked_at_ - ran, 0);
  if (use.ran == 0 || (ran == 0 && waited == 0)) {
    open_ = use.runnable && use.ran != 0 ? open_ + stood : 0;
  } else {
    // What the kernel counted now may have begun before start(): then it is longer than the time there was.
    over_ += std::min(waited, open_ + stood);
    const Nanoseconds explained = std::max<Nanoseconds>(waited - open_, 0);
    open_ = use.runnable ? std::max<Nanoseconds>(stood - explained, 0) : 0;
  }
  last_ = use;
  looked_at_ = now;
  return over_ + open_;
}

}  // namespace aiofiber::runtime
