// SPDX-License-Identifier: Apache-2.0
//
// The result of poll, select and epoll_wait when their wait is cut short.
//
// ECANCELED is right for a client that waits for an answer: it gives up. An event loop cannot give up: libuv,
// libev and libzmq end the process for any error but EINTR, and Asio ignores the error and asks again. All of
// them accept EINTR, because a signal can come at any time. So epoll_wait, which only event loops call,
// returns EINTR. For poll and select the result depends on the calling library. The cancellation is raised at
// the task's next await() or at its end. A loop that asks again waits a little longer each time
// (Parker::park), up to 50 ms.
#pragma once

#include <cstdint>

#include "aiofiber/runtime/engine/clock.h"

namespace aiofiber::hooks {

enum class CutOffAnswer : std::uint8_t {
  kCancelled,    // -1 with ECANCELED
  kInterrupted,  // -1 with EINTR
  kTimedOut,     // 0
};

// The result for the library that contains `caller`: from AIOFIBER_CUT_OFF_ANSWERS, else from the built-in
// list, else `otherwise`. The variable has items FILE=ANSWER separated by colons (libfoo.so=EINTR:bar=0).
// FILE is part of the file name of the library or program; ANSWER is ECANCELED, EINTR or 0; the first match
// counts. errno is kept.
// Threads: any.
CutOffAnswer cut_off_answer(const void* caller, CutOffAnswer otherwise) noexcept;

// How long such a call blocks before its result, if its loop is being closed and nothing can suspend any
// more.
constexpr runtime::Nanoseconds kPauseOfAClosingLoop = 50'000'000;

}  // namespace aiofiber::hooks
