// SPDX-License-Identifier: Apache-2.0
//
// What another thread of this process is doing right now: its stack, the fiber that it runs, the system call
// it is in.
//
// A thread that computes is sent a signal, whose handler walks the interrupted stack. A thread that is in a
// system call which a signal would end early (poll, nanosleep: EINTR whatever SA_RESTART says) must not
// notice that it is looked at: its stack is walked from outside, from what the kernel tells of a blocked
// thread; without rbp and rbx, such a walk may end early.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// What a thread that computes is sent; ignored by default, and rarely used for what it is named after.
// Handlers of the runtime's own block it: what is interrupted is to be seen, and not they.
inline constexpr int kSampleSignal = SIGURG;

struct ThreadSample {
  static constexpr std::size_t kMaxFrames = 128;
  std::array<std::uintptr_t, kMaxFrames> addresses;  // newest first, as for symbolize()
  std::size_t count = 0;
  std::uint64_t fiber_id = 0;  // 0: none ran
  std::string system_call;     // `read(fd 3 = pipe:[123])`; empty: it was not in one
};

// Looks at a thread that runs a loop; waits at most 200 ms for it. None: the thread is gone, blocks the
// signal SIGURG, or somebody else has installed a handler for that. Threads: any but the one that is sampled.
// Not async-signal-safe.
std::optional<ThreadSample> sample_thread(pid_t tid);

// Makes SIGURG the signal that samples; other senders of it reach the handler that was there before. Again:
// no-op.
void install_sample_handler() noexcept;

// `fd 3 = pipe:[123]`, `fd -1 (not open)`.
std::string describe_fd(int fd);

}  // namespace aiofiber::runtime
