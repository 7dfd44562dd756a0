// SPDX-License-Identifier: Apache-2.0
//
// A library between the hooks and libc. A simulated signal interrupts every second of its system calls.
//
// Real signals come at random times, so a test with them would pass by chance. The hooks call this library
// instead of libc (it is first on the link line), and it fails with EINTR as the kernel may.
#pragma once

#include <atomic>

namespace aiofiber::hooks_test {

extern std::atomic<bool> interrupting;  // from when on; false at first
extern std::atomic<int> interruptions;  // how many calls were cut short

}  // namespace aiofiber::hooks_test
