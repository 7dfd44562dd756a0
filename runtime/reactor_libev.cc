// SPDX-License-Identifier: Apache-2.0
//
// libev under the reactor: one ev_io a descriptor, one ev_async, one ev_timer that bounds a sleep.
// The only file that includes <ev.h>.
#include "aiofiber/runtime/reactor_libev.h"

#include <ev.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/runtime/fiber.h"

namespace aiofiber::runtime {

namespace {

// libev's macros cast in C style and alias its own structs; that is its API.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wstrict-aliasing"
void init_async(ev_async* watcher, void (*callback)(struct ev_loop*, ev_async*, int)) {
  ev_async_init(watcher, callback);
}
void init_timer(ev_timer* watcher, void (*callback)(struct ev_loop*, ev_timer*, int)) {
  ev_timer_init(watcher, callback, 0., 0.);
}
void set_timer(ev_timer* watcher, double seconds) { ev_timer_set(watcher, seconds, 0.); }
void init_io(ev_io* watcher, void (*callback)(struct ev_loop*, ev_io*, int), int fd) {
  ev_io_init(watcher, callback, fd, 0);
}
void set_io(ev_io* watcher, int fd, int events) { ev_io_set(watcher, fd, events); }
void init_signal(ev_signal* watcher, void (*callback)(struct ev_loop*, ev_signal*, int), int signo) {
  ev_signal_init(watcher, callback, signo);
}
bool is_active(const ev_io& watcher) { return ev_is_active(&watcher); }
#pragma GCC diagnostic pop

class LibevReactor final : public Reactor {
 public:
  LibevReactor()
      : loop_(ev_loop_new(static_cast<unsigned>(EVBACKEND_EPOLL) | static_cast<unsigned>(EVFLAG_NOENV))) {
    if (loop_ == nullptr)
      throw std::runtime_error("cannot make an event loop: libev has no epoll (out of file descriptors?)");
    ev_set_userdata(loop_, this);
    init_async(&async_, [](struct ev_loop* loop, ev_async*, int) { ++self(loop).events_; });
    ev_async_start(loop_, &async_);
    init_timer(&timer_, [](struct ev_loop*, ev_timer*, int) {});
  }
  ~LibevReactor() override { ev_loop_destroy(loop_); }

  int poll(Nanoseconds timeout) override {
    events_ = 0;
    if (timeout <= 0) {
      ev_run(loop_, EVRUN_NOWAIT);
      return events_;
    }
    if (timeout != kForever) {
      ev_now_update(loop_);
      set_timer(&timer_, static_cast<double>(timeout) * 1e-9);
      ev_timer_start(loop_, &timer_);
    }
    ev_run(loop_, EVRUN_ONCE);
    if (timeout != kForever) ev_timer_stop(loop_, &timer_);
    return events_;
  }

  void wake() noexcept override {
    // libev writes to an eventfd: with the hooks linked, that call must not suspend the fiber we may be on.
    Fiber* const fiber = current_fiber();
    if (fiber != nullptr) ++fiber->hooks_off;
    ev_async_send(loop_, &async_);
    if (fiber != nullptr) --fiber->hooks_off;
  }

  void watch_signal(SignalWaiter& waiter) override {
    struct sigaction probe;
    if (waiter.signo <= 0 || waiter.signo >= NSIG || waiter.signo == SIGKILL || waiter.signo == SIGSTOP ||
        ::sigaction(waiter.signo, nullptr, &probe) != 0) {
      throw std::system_error(EINVAL, std::generic_category(),
                              "sig " + std::to_string(waiter.signo) + " cannot be caught");
    }
    auto watcher = std::make_unique<ev_signal>();
    init_signal(
        watcher.get(),
        [](struct ev_loop* loop, ev_signal* signal, int) {
          ++self(loop).events_;
          auto& interested = *static_cast<SignalWaiter*>(signal->data);
          interested.raised(interested);
        },
        waiter.signo);
    watcher->data = &waiter;
    ev_signal_start(loop_, watcher.get());
    waiter.backend = watcher.release();
  }
  void unwatch_signal(SignalWaiter& waiter) noexcept override {
    const std::unique_ptr<ev_signal> watcher(static_cast<ev_signal*>(waiter.backend));
    if (watcher == nullptr) return;
    ev_signal_stop(loop_, watcher.get());
    waiter.backend = nullptr;
  }

 protected:
  void watch(int fd, unsigned events) override {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= watchers_.size()) watchers_.resize(std::max(index + 1, watchers_.size() * 2));
    if (watchers_[index] == nullptr) {
      if (events == 0) return;
      watchers_[index] = std::make_unique<ev_io>();
      init_io(watchers_[index].get(), on_io, fd);
    }
    ev_io& watcher = *watchers_[index];
    const int wanted = ((events & kReadable) != 0 ? EV_READ : 0) | ((events & kWritable) != 0 ? EV_WRITE : 0);
    if (is_active(watcher)) {
      // libev asserts that an active watcher is not changed.
      ev_io_stop(loop_, &watcher);
    }
    if (wanted == 0) return;
    set_io(&watcher, fd, wanted);  // also tells libev that the descriptor may be a new one
    ev_io_start(loop_, &watcher);
  }

 private:
  static LibevReactor& self(struct ev_loop* loop) noexcept {
    return *static_cast<LibevReactor*>(ev_userdata(loop));
  }
  static void on_io(struct ev_loop* loop, ev_io* watcher, int revents) {
    LibevReactor& reactor = self(loop);
    ++reactor.events_;
    const auto bits = static_cast<unsigned>(revents);
    unsigned events = 0;
    if ((bits & static_cast<unsigned>(EV_READ)) != 0) events |= kReadable;
    if ((bits & static_cast<unsigned>(EV_WRITE)) != 0) events |= kWritable;
    if ((bits & static_cast<unsigned>(EV_ERROR)) != 0) events |= kClosed;  // libev stopped the watcher: EBADF
    reactor.fd_ready(watcher->fd, events);
  }

  struct ev_loop* loop_;
  ev_async async_;
  ev_timer timer_;
  int events_ = 0;
  std::vector<std::unique_ptr<ev_io>> watchers_;  // by descriptor
};

}  // namespace

std::unique_ptr<Reactor> make_libev_reactor() { return std::make_unique<LibevReactor>(); }

}  // namespace aiofiber::runtime
