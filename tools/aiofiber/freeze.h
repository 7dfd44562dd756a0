// SPDX-License-Identifier: Apache-2.0
//
// Stops every thread of a process while the object lives (--stop): this gives exact registers, and one moment
// for all tasks. Detaching lets the process continue, also when this command dies. A signal that arrives
// meanwhile is delivered. Errors: kPermission, kNoProcess.
#pragma once

#include <sys/types.h>

#include <vector>

#include "snapshot.h"

namespace aiofiber::tool {

class Freeze {
 public:
  explicit Freeze(pid_t pid);
  ~Freeze();
  Freeze(const Freeze&) = delete;
  Freeze& operator=(const Freeze&) = delete;

  const std::vector<ThreadRegisters>& threads() const { return threads_; }

 private:
  struct Stopped {
    pid_t tid;
    int signal;  // to deliver when the thread continues; 0: none
  };
  bool seize_new_threads();
  void stop(pid_t tid);
  void release() noexcept;

  pid_t pid_;
  std::vector<Stopped> stopped_;
  std::vector<ThreadRegisters> threads_;
};

}  // namespace aiofiber::tool
