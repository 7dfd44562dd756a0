// SPDX-License-Identifier: Apache-2.0
//
// What poll, select and epoll_wait answer when their wait is cut short.
//
// ECANCELED is right for a client that waits for its answer: it gives up. An event loop has no answer to give
// up: libuv, libev and libzmq end the process for any error but EINTR, Asio takes no notice and asks again.
// All of them bear EINTR, as a signal can come at any time. So epoll_wait, which only event loops call,
// answers that, and for poll and select it depends on the library that called. The request itself is raised
// at the task's next await(), or at its end. A loop that asks again and again is let wait a little longer
// each time (Parker::park), up to 50 ms.
#pragma once

#include <cstdint>

namespace aiofiber::hooks {

enum class CutOffAnswer : std::uint8_t {
  kCancelled,    // -1 with ECANCELED
  kInterrupted,  // -1 with EINTR
  kTimedOut,     // 0
};

// The answer that the library understands whose code returns to `caller`: of AIOFIBER_CUT_OFF_ANSWERS, else
// of the built-in list, else `otherwise`. The variable holds items FILE=ANSWER with colons between them
// (libfoo.so=EINTR:bar=0): FILE is part of the name of the library's, or the program's, file; ANSWER is
// ECANCELED, EINTR or 0; the first that fits counts. errno is kept. Threads: any.
CutOffAnswer cut_off_answer(const void* caller, CutOffAnswer otherwise) noexcept;

}  // namespace aiofiber::hooks
