// SPDX-License-Identifier: Apache-2.0
//
// A library between the hooks and libc whose system calls are cut short by a signal each second time.
//
// Real signals come when they like, so a test of them would pass by luck. This library is asked by the hooks
// in place of libc (it comes first on the link line), and fails with EINTR as the kernel may.
#pragma once

#include <atomic>

namespace aiofiber::hooks_test {

extern std::atomic<bool> interrupting;  // from when on; false at first
extern std::atomic<int> interruptions;  // how many calls were cut short

}  // namespace aiofiber::hooks_test
