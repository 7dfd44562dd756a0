// SPDX-License-Identifier: Apache-2.0
//
// What a process has open, for tests that nothing is left behind: descriptors, and children.
#pragma once

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace aiofiber {

// What each descriptor is ("socket:[123]"), sorted. Not files: looking up names for a report opens the
// program.
inline std::vector<std::string> open_descriptors() {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error);
    if (!target.starts_with("/")) all.push_back(target);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// Whether there is a child that runs or was not reaped. Reaps nothing.
inline bool has_child() {
  siginfo_t info;
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace aiofiber
