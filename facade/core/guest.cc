// SPDX-License-Identifier: Apache-2.0
//
// A loop inside another loop: one descriptor, one deadline, one pass at a time.
//
// Everything that can make a pass useful shows in one of three places. A watched descriptor, a signal, or a
// post of another thread makes the reactor's descriptor readable. A timer is the deadline. What the program
// did since the last pass (a task made, a descriptor watched) makes the deadline lie in the past.
#include <optional>

#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber {

int EventLoop::backend_fd() {
  core_->check_open();
  core_->check_thread();
  const int fd = core_->scheduler().reactor().descriptor();
  if (fd < 0) {
    throw RuntimeError(
        "this event loop has no descriptor that another loop could watch: the program defines its own "
        "epoll_ctl, or loaded this library after libev");
  }
  return fd;
}

bool EventLoop::run_once(std::optional<Duration> timeout) {
  if (!timeout) return core_->run_once(runtime::kForever);
  return core_->run_once(saturating_add(time(), *timeout).time_since_epoch().count());
}

std::optional<TimePoint> EventLoop::next_deadline() {
  core_->check_open();
  if (core_->scheduler().running()) {
    throw RuntimeError("next_deadline() is for a loop that waits inside another loop; this one is running");
  }
  const runtime::Nanoseconds next = core_->scheduler().next_pass();
  if (next == runtime::kForever) return std::nullopt;
  return TimePoint(std::chrono::nanoseconds(next));
}

}  // namespace aiofiber
