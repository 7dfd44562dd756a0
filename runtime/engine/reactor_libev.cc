// SPDX-License-Identifier: Apache-2.0
//
// libev under the reactor: one ev_io per descriptor, one ev_async, one ev_timer that bounds a sleep.
// The only file that includes <ev.h>.
//
// libev ends the process when it gets no memory, or no descriptor for its own use. So the reactor makes sure
// of both before it calls libev. libev also ends the process when the kernel refuses a descriptor for some
// reasons, so epoll_refusals.h hides those errors from libev and reports them to us.
#include "aiofiber/runtime/engine/reactor_libev.h"

#include <absl/strings/str_cat.h>
#include <ev.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "engine/epoll_refusals.h"
#include "engine/memory_reserve.h"

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

// libev's arrays double. This is the next size of an array with one entry per watcher: 16 bytes an entry,
// rounded up to pages.
std::size_t largest_array(std::size_t watchers) {
  constexpr std::size_t kEntry = 16, kRounding = 4096 + 64;
  const std::size_t doubled = 2 * (watchers + 1) * kEntry;
  return doubled < kRounding / 2 ? doubled : doubled + kRounding;
}
// kArrays: the arrays that grow with the watchers; each takes at most one block of the reserve until the
// blocks become larger. kBlocksOfALoop: the blocks that creating a loop takes, each of kBytesOfALoop at most.
constexpr std::size_t kArrays = 9;
constexpr std::size_t kBlocksOfALoop = 6;    // libev 4.33 takes 5
constexpr std::size_t kBytesOfALoop = 1536;  // the largest of them has 1,288

// Where a signal makes a descriptor readable: the loop's own eventfd plus 1; 0: nowhere.
constinit std::array<std::atomic<int>, NSIG> raised_by_signal{};

void raise_event(int fd) noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(sys::write_all(fd, reinterpret_cast<const char*>(&one), sizeof one));
}

// In place of libev's handler, which writes nothing while its loop is not in a poll.
void on_signal_for_guest(int signo) noexcept {
  const int error = errno;
  ev_feed_signal(signo);
  const int fd = raised_by_signal[static_cast<std::size_t>(signo)].load(std::memory_order_relaxed);
  if (fd > 0) raise_event(fd - 1);
  errno = error;
}

class LibevReactor final : public Reactor {
 public:
  LibevReactor() {
    static const bool allocator_set = (ev_set_allocator(MemoryReserve::reallocate), true);
    static_cast<void>(allocator_set);
    provide_for(0);
    MemoryReserve for_a_loop;
    for_a_loop.provide(kBlocksOfALoop, kBytesOfALoop);
    const MemoryReserve::Use use(for_a_loop);
    loop_ = ev_loop_new(static_cast<unsigned>(EVBACKEND_EPOLL) | static_cast<unsigned>(EVFLAG_NOENV));
    if (loop_ == nullptr)
      throw std::runtime_error("cannot make an event loop: libev has no epoll (out of file descriptors?)");
    const int own = sys::event_fd();  // libev needs one next
    if (own < 0) {
      const int error = errno;
      ev_loop_destroy(loop_);
      throw std::system_error(error, std::generic_category(), "cannot make an event loop");
    }
    sys::close(own);
    ev_set_userdata(loop_, this);
    init_async(&async_, [](struct ev_loop* loop, ev_async*, int) { ++self(loop).events_; });
    ev_async_start(loop_, &async_);
    tell_the_kernel_of_our_own();
    ev_set_loop_release_cb(loop_, before_sleep, [](struct ev_loop*) noexcept {});
    init_timer(&timer_, [](struct ev_loop*, ev_timer*, int) {});
    // Start it now, while there is memory for it.
    set_timer(&timer_, 1.);
    ev_timer_start(loop_, &timer_);
    ev_timer_stop(loop_, &timer_);
  }
  ~LibevReactor() override {
    ev_loop_destroy(loop_);
    if (const int fd = own_fd_.load(std::memory_order_relaxed); fd >= 0) sys::close(fd);
  }

  int poll(Nanoseconds timeout) override {
    const MemoryReserve::Use use(reserve_);
    events_ = 0;
    needs_poll_ = false;
    if (!changed_.empty()) check_changed();
    const EpollRefusals::Watch watch(refusals_);
    if (events_ > 0) timeout = 0;
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
    // libev writes to an eventfd. With hooks linked, that call must not suspend the current fiber.
    Fiber* const fiber = current_fiber();
    if (fiber != nullptr) ++fiber->hooks_off;
    ev_async_send(loop_, &async_);
    if (const int fd = own_fd_.load(std::memory_order_acquire); fd >= 0) raise_event(fd);
    if (fiber != nullptr) --fiber->hooks_off;
  }

  void watch_signal(SignalWaiter& waiter) override {
    struct sigaction probe;
    if (waiter.signo <= 0 || waiter.signo >= NSIG || waiter.signo == SIGKILL || waiter.signo == SIGSTOP ||
        ::sigaction(waiter.signo, nullptr, &probe) != 0) {
      throw std::system_error(EINVAL, std::generic_category(),
                              absl::StrCat("sig ", waiter.signo, " cannot be caught"));
    }
    auto watcher = std::make_unique<ev_signal>();
    provide_for(watchers_.size());
    const MemoryReserve::Use use(reserve_);
    init_signal(
        watcher.get(),
        [](struct ev_loop* loop, ev_signal* signal, int) {
          const EpollRefusals::Aside aside;
          ++self(loop).events_;
          auto& interested = *static_cast<SignalWaiter*>(signal->data);
          interested.raised(interested);
        },
        waiter.signo);
    watcher->data = &waiter;
    ++signals_;
    ev_signal_start(loop_, watcher.get());
    waiter.backend = watcher.release();
    needs_poll_ = true;
    watched_signals_[static_cast<std::size_t>(waiter.signo)] = true;
    if (own_fd_.load(std::memory_order_relaxed) >= 0) tell_of_signal(waiter.signo);
  }
  void unwatch_signal(SignalWaiter& waiter) noexcept override {
    const std::unique_ptr<ev_signal> watcher(static_cast<ev_signal*>(waiter.backend));
    if (watcher == nullptr) return;
    raised_by_signal[static_cast<std::size_t>(waiter.signo)].store(0, std::memory_order_relaxed);
    watched_signals_[static_cast<std::size_t>(waiter.signo)] = false;
    ev_signal_stop(loop_, watcher.get());
    --signals_;
    waiter.backend = nullptr;
  }

  // libev does not tell its epoll descriptor, so it is known only if we hear of its calls. Its eventfd is
  // written only while its loop is in a poll. So the loop gets another one, and the signals another handler.
  int descriptor() override {
    if (refusals_.epoll() < 0 || own_fd_.load(std::memory_order_relaxed) >= 0) return refusals_.epoll();
    provide_for(watchers_.size());
    const int fd = sys::event_fd();
    if (fd < 0)
      throw std::system_error(errno, std::generic_category(), "cannot make an eventfd for the loop");
    const MemoryReserve::Use use(reserve_);
    init_io(
        &own_io_,
        [](struct ev_loop* loop, ev_io* watcher, int) {
          ++self(loop).events_;
          char count[sizeof(std::uint64_t)];
          sys::read_all(watcher->fd, count, sizeof count);
        },
        fd);
    set_io(&own_io_, fd, EV_READ);
    ev_io_start(loop_, &own_io_);
    own_fd_.store(fd, std::memory_order_release);
    needs_poll_ = true;
    for (std::size_t signo = 0; signo < watched_signals_.size(); ++signo) {
      if (watched_signals_[signo]) tell_of_signal(static_cast<int>(signo));
    }
    return refusals_.epoll();
  }
  bool needs_poll() const noexcept override { return needs_poll_; }

 protected:
  void watch(int fd, unsigned events) override {
    needs_poll_ = true;
    const auto index = static_cast<std::size_t>(fd);
    if (events != 0) {
      if (index >= watchers_.size()) watchers_.resize(std::max(index + 1, watchers_.size() * 2));
      if (watchers_[index] == nullptr) {
        auto watcher = std::make_unique<Watcher>();
        init_io(&watcher->io, on_io, fd);
        watchers_[index] = std::move(watcher);
      }
      provide_for(watchers_.size());
      if (!hears_of_refusals_) changed_.push_back(fd);
      watchers_[index]->refusal = 0;
    } else if (index >= watchers_.size() || watchers_[index] == nullptr) {
      return;
    }
    const MemoryReserve::Use use(reserve_);
    ev_io& watcher = watchers_[index]->io;
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
  struct Watcher {
    ev_io io;
    unsigned refusals = 0;  // refusals in a row that a new try did not confirm
    int refusal = 0;        // the last reason
  };

  void tell_of_signal(int signo) noexcept {
    raised_by_signal[static_cast<std::size_t>(signo)].store(own_fd_.load(std::memory_order_relaxed) + 1,
                                                            std::memory_order_relaxed);
    struct sigaction action {};
    action.sa_handler = on_signal_for_guest;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    ::sigaction(signo, &action, nullptr);
  }

  // Reserves memory for all watchers, `descriptors` included.
  void provide_for(std::size_t descriptors) {
    constexpr std::size_t kOwn = 8;
    reserve_.provide(kArrays, largest_array(descriptors + signals_ + kOwn));
  }

  // Fails if the loop has no descriptor for wake(). Also finds out whether we hear of refusals.
  void tell_the_kernel_of_our_own() {
    {
      const HooksOff hooks_off;  // a loop may be made in a task
      const EpollRefusals::Watch watch(refusals_);
      ev_run(loop_, EVRUN_NOWAIT);
    }
    hears_of_refusals_ = refusals_.seen() > 0;
    if (own_refusal_ == 0) return;
    ev_loop_destroy(loop_);
    throw std::system_error(own_refusal_, std::generic_category(), "cannot make an event loop");
  }

  static void on_refusal(void* reactor, int fd, int error) noexcept {
    auto& self = *static_cast<LibevReactor*>(reactor);
    const auto index = static_cast<std::size_t>(fd);
    if (index < self.watchers_.size() && self.watchers_[index] != nullptr) {
      self.watchers_[index]->refusal = error;
    } else {
      self.own_refusal_ = error;
    }
  }

  // Used if we do not hear of refusals. libev ends the process for a descriptor that was closed before the
  // poll, or that can never be watched. Another thread may still close it after this check.
  void check_changed() {
    for (const int fd : changed_) {
      Watcher& watcher = *watchers_[static_cast<std::size_t>(fd)];
      if (!is_active(watcher.io)) continue;
      const int error = sys::is_open(fd) ? sys::try_to_watch(fd) : EBADF;
      if (error != EBADF && error != ELOOP && error != EINVAL) continue;
      ++events_;
      ev_io_stop(loop_, &watcher.io);
      fd_failed(fd, error);
    }
    changed_.clear();
  }

  static void on_io(struct ev_loop* loop, ev_io* watcher, int revents) {
    LibevReactor& reactor = self(loop);
    ++reactor.events_;
    const auto bits = static_cast<unsigned>(revents);
    if ((bits & static_cast<unsigned>(EV_ERROR)) != 0) return reactor.refused(watcher->fd);
    reactor.watchers_[static_cast<std::size_t>(watcher->fd)]->refusals = 0;
    unsigned events = 0;
    if ((bits & static_cast<unsigned>(EV_READ)) != 0) events |= kReadable;
    if ((bits & static_cast<unsigned>(EV_WRITE)) != 0) events |= kWritable;
    reactor.fd_ready(watcher->fd, events);
  }

  // libev may sleep (up to a minute) with a pending event: that the kernel refused a descriptor just now.
  static void before_sleep(struct ev_loop* loop) noexcept {
    if (ev_pending_count(loop) > 0) ev_async_send(loop, &self(loop).async_);
  }

  // The kernel refused the descriptor, and libev has stopped its watcher. If the reason may pass or is not
  // known, we try again.
  void refused(int fd) {
    constexpr unsigned kMostRefusals = 3;
    const EpollRefusals::Aside aside;
    Watcher& watcher = *watchers_[static_cast<std::size_t>(fd)];
    const int heard = std::exchange(watcher.refusal, 0);
    const bool asks = heard == 0 || heard == ENOMEM || heard == ENOSPC;
    int error = !asks ? heard : sys::is_open(fd) ? sys::try_to_watch(fd) : EBADF;
    if (error == 0 && ++watcher.refusals < kMostRefusals) {
      // The kernel was short of memory for a moment.
      set_io(&watcher.io, fd, watcher.io.events & (EV_READ | EV_WRITE));
      ev_io_start(loop_, &watcher.io);
      return;
    }
    if (error == 0) error = heard != 0 ? heard : ENOMEM;
    watcher.refusals = 0;
    fd_failed(fd, error);
  }

  struct ev_loop* loop_ = nullptr;
  MemoryReserve reserve_;
  EpollRefusals refusals_{on_refusal, this};
  bool hears_of_refusals_ = false;
  int own_refusal_ = 0;  // of a descriptor that is libev's own
  ev_async async_;
  ev_timer timer_;
  // Of a loop inside another loop, see descriptor(); -1: it is not.
  std::atomic<int> own_fd_{-1};
  ev_io own_io_;
  bool needs_poll_ = false;
  std::array<bool, NSIG> watched_signals_{};
  int events_ = 0;
  std::size_t signals_ = 0;                         // watched
  std::vector<std::unique_ptr<Watcher>> watchers_;  // by descriptor
  std::vector<int> changed_;  // watched anew since the last poll; used if we do not hear of refusals
};

}  // namespace

std::unique_ptr<Reactor> make_libev_reactor() { return std::make_unique<LibevReactor>(); }

}  // namespace aiofiber::runtime
