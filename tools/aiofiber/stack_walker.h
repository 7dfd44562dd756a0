// SPDX-License-Identifier: Apache-2.0
//
// From a task's copied stack to the addresses of its calls, by elfutils' evaluator of call-frame information.
//
// libdwfl walks threads: each task is shown to it as the one thread of a process, whose registers are the
// saved ones and whose memory is the copy. So what is walked cannot change under the walk, and no read leaves
// the copy.
#pragma once

#include <cstdint>
#include <vector>

#include "snapshot.h"
#include "target.h"

namespace aiofiber::tool {

class StackWalker {
 public:
  explicit StackWalker(Target& target);
  StackWalker(const StackWalker&) = delete;
  StackWalker& operator=(const StackWalker&) = delete;

  // Innermost first, at most kMostFrames. One that has not started: the address of its function, exact.
  // Empty: not to be seen.
  static constexpr std::size_t kMostFrames = 2048;
  std::vector<Address> walk(const TaskSnapshot& task);

 private:
  struct Callbacks;
  void leave_what_is_no_code(std::vector<Address>& addresses);
  Dwfl* dwfl_;
  const TaskSnapshot* task_ = nullptr;
  Registers registers_;  // where the walk begins
  bool exact_ = false;   // their pc is an instruction
  bool first_ = false;   // the frame that comes next is the innermost of the walk
};

}  // namespace aiofiber::tool
