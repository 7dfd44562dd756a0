// SPDX-License-Identifier: Apache-2.0
//
// spawn(): from the options of a subprocess to a running child and the parent's ends of its pipes.
//
// Everything that can fail for want of memory or descriptors comes first; then the child starts. So an error
// leaves neither a child nor a descriptor behind. Never suspends. Not for users.
#pragma once

#include <string>
#include <vector>

#include "aiofiber/subprocess.h"
#include "streams/descriptor.h"

namespace aiofiber::detail {

struct Spawned {
  pid_t pid = -1;
  Descriptor pidfd;
  // The parent's ends, which do not block; none where the stream is not a pipe.
  Descriptor stdin_, stdout_, stderr_;
};

// Errors: those of create_subprocess_exec().
Spawned spawn(const std::vector<std::string>& argv, const SubprocessOptions& options);

}  // namespace aiofiber::detail
