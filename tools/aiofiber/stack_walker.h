// SPDX-License-Identifier: Apache-2.0
//
// From a task's copied stack to the addresses of its calls, with elfutils' evaluator of call-frame
// information.
//
// libdwfl unwinds threads. Each task is given to it as the only thread of a process, with the saved registers
// and the copy as memory. So the stack cannot change during unwinding, and no read leaves the copy.
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

  // Innermost first, at most kMostFrames stack frames; suspended coroutines are between them. For a task that
  // has not started: the address of its function, exact. Empty: unknown.
  static constexpr std::size_t kMostFrames = 2048;
  std::vector<Address> walk(const TaskSnapshot& task);

 private:
  struct Callbacks;
  struct StackFrame {
    Address address;
    std::uint64_t sp = 0;  // 0: unknown
  };
  void leave_what_is_no_code(std::vector<StackFrame>& frames);
  static std::vector<Address> merge(const TaskSnapshot& task, const std::vector<StackFrame>& frames);
  Dwfl* dwfl_;
  const TaskSnapshot* task_ = nullptr;
  Registers registers_;  // the start of unwinding
  bool exact_ = false;   // their pc is the current instruction
  bool first_ = false;   // the next frame is the innermost one
};

}  // namespace aiofiber::tool
