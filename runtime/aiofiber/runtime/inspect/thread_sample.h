// SPDX-License-Identifier: Apache-2.0
//
// A sample of another thread of this process: its stack, its current fiber, and its system call.
//
// A thread that computes gets a signal, and the handler walks the interrupted stack. A signal would end some
// system calls early (poll, nanosleep: EINTR whatever SA_RESTART says). A thread in such a call must not
// notice the sample, so its stack is walked from outside, from the registers that the kernel shows for a
// blocked thread. That walk may end early, because rbp and rbx are missing.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// Of a longer stack, a report copies only this much from its top.
constexpr std::size_t kMaxStackCopied = 256 * 1024;

// The signal for threads that compute. It is ignored by default, and programs rarely use it. The runtime's
// other handlers block it, so that a sample shows the interrupted code and not a handler.
inline constexpr int kSampleSignal = SIGURG;

struct ThreadSample {
  static constexpr std::size_t kMaxFrames = 128;
  std::array<std::uintptr_t, kMaxFrames> addresses;  // a list of calls, see call_list.h
  std::size_t count = 0;
  std::uint64_t fiber_id = 0;  // 0: no fiber ran
  std::string system_call;     // `read(fd 3 = pipe:[123])`; empty: not in a system call
};

// Samples a thread that runs a loop; waits at most 200 ms. Empty if the thread is gone, if it blocks SIGURG,
// or if another handler is installed for SIGURG. Threads: any but the sampled one. Not async-signal-safe.
std::optional<ThreadSample> sample_thread(pid_t tid);

// Installs the SIGURG handler. A SIGURG from another sender goes to the previous handler. A second call does
// nothing.
void install_sample_handler() noexcept;

// `fd 3 = pipe:[123]` or `fd -1 (not open)`.
std::string describe_fd(int fd);

}  // namespace aiofiber::runtime
