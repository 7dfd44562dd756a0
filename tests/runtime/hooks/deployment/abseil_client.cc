// SPDX-License-Identifier: Apache-2.0
//
// A library that waits for a lock of abseil.
#include <absl/synchronization/notification.h>
#include <absl/time/time.h>

namespace {
absl::Notification notification;
}

// False if nobody has called abseil_notify() in half a second.
extern "C" bool abseil_wait() { return notification.WaitForNotificationWithTimeout(absl::Milliseconds(500)); }
extern "C" void abseil_notify() { notification.Notify(); }
