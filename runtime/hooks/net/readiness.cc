// SPDX-License-Identifier: Apache-2.0
//
// Readiness: poll, ppoll, select, pselect. (epoll_wait: epoll.cc.)
//
// The result always comes from the kernel: libc's poll with timeout 0 looks, and the reactor only tells when
// to look again. libev watches reading and writing. Other events (POLLRDHUP alone, POLLPRI alone, hang-up
// only) are watched through an epoll descriptor made for the wait. POLLPRI with POLLIN wakes with POLLIN.
//
// The signal mask of ppoll and pselect cannot be in force while the thread runs other tasks. So it is applied
// at each look, and a call with a mask looks every 50 ms: a signal that the mask lets in ends it with EINTR.
// Without a mask no signal ends it, except the task's own alarm. cut_off_answer.h has the result when the
// task is cancelled.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/fortify.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"
#include "hooks/net/cut_off_answer.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

constexpr Nanoseconds kHangUpRetryInterval = 10'000'000;

// ---- waiting for any of several descriptors

// One descriptor of a parked poll().
struct PollWaiter : runtime::FdWaiter {
  PollWaiter() noexcept : FdWaiter(-1, 0, on_ready) {}
  static void on_ready(runtime::FdWaiter& waiter, unsigned events) noexcept {
    auto& self = static_cast<PollWaiter&>(waiter);
    if ((events & runtime::kClosed) != 0) self.closed = self.failure == EBADF;
    self.parker->unpark();
  }
  runtime::Parker* parker = nullptr;
  bool closed = false;
};

unsigned watchable_events(short events) noexcept {
  unsigned result = 0;
  if ((events & (POLLIN | POLLRDNORM)) != 0) result |= runtime::kReadable;
  if ((events & (POLLOUT | POLLWRNORM)) != 0) result |= runtime::kWritable;
  return result;
}

// An epoll descriptor that becomes readable when one of the entries that libev cannot watch has an event.
class ExoticWatch {
 public:
  ExoticWatch(const pollfd* entries, nfds_t count) {
    for (nfds_t i = 0; i < count; ++i) {
      if (entries[i].fd >= 0 && watchable_events(entries[i].events) == 0) add(entries, count, i);
    }
  }
  ~ExoticWatch() {
    if (epoll_ < 0) return;
    runtime::Scheduler::current()->reactor().fd_closing(epoll_);
    real::close(epoll_);
  }
  ExoticWatch(const ExoticWatch&) = delete;
  ExoticWatch& operator=(const ExoticWatch&) = delete;

  int fd() const noexcept { return epoll_; }  // -1: not needed

 private:
  void add(const pollfd* entries, nfds_t count, nfds_t index) {
    if (epoll_ < 0 && (epoll_ = ::epoll_create1(EPOLL_CLOEXEC)) < 0) {
      throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
    // A descriptor may be in several entries; the poll and epoll bits have the same values.
    epoll_event event{};
    for (nfds_t i = 0; i < count; ++i) {
      if (entries[i].fd == entries[index].fd && watchable_events(entries[i].events) == 0) {
        event.events |= static_cast<std::uint32_t>(entries[i].events & (POLLPRI | POLLRDHUP));
      }
    }
    // Errors: EEXIST for the second entry of a descriptor, EPERM for a file, which never has such events.
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, entries[index].fd, &event);
  }

  int epoll_ = -1;
};

// All waiters of a parked poll; removed when it ends.
class PollWaiters {
 public:
  explicit PollWaiters(nfds_t count) : reactor_(runtime::Scheduler::current()->reactor()) {
    if (count > kInline) many_ = std::make_unique<PollWaiter[]>(count);
    waiters_ = count > kInline ? many_.get() : few_;
  }
  ~PollWaiters() {
    for (nfds_t i = 0; i < used_; ++i) reactor_.remove(waiters_[i]);
  }
  PollWaiters(const PollWaiters&) = delete;
  PollWaiters& operator=(const PollWaiters&) = delete;

  void add(int fd, unsigned events, runtime::Parker& parker) {
    PollWaiter& waiter = waiters_[used_];
    waiter.fd = fd;
    waiter.wanted = events;
    waiter.parker = &parker;
    waiter.waiting = &parker.fiber();
    reactor_.add(waiter);
    ++used_;
  }
  bool closed(int fd) const noexcept {
    return std::any_of(waiters_, waiters_ + used_,
                       [fd](const PollWaiter& w) { return w.closed && w.fd == fd; });
  }
  // The error of an open descriptor that cannot be waited for; 0: there is none.
  int refused() const noexcept {
    const auto found = std::find_if(waiters_, waiters_ + used_,
                                    [](const PollWaiter& w) { return w.failure != 0 && !w.closed; });
    return found != waiters_ + used_ ? found->failure : 0;
  }

 private:
  static constexpr nfds_t kInline = 8;
  runtime::Reactor& reactor_;
  PollWaiter few_[kInline];
  std::unique_ptr<PollWaiter[]> many_;
  PollWaiter* waiters_ = nullptr;
  nfds_t used_ = 0;
};

// Suspends until an entry may be ready, or until the deadline. An entry whose descriptor was closed meanwhile
// gets POLLNVAL. Throws what the reactor throws.
runtime::Wake park_for(pollfd* entries, nfds_t count, Nanoseconds deadline, const runtime::WholeWait& whole) {
  const AlarmEndsWait ends_wait;
  const ExoticWatch exotic(entries, count);
  PollWaiters waiters(count + 1);
  runtime::Parker parker;
  int shown_fd = -1;  // the registry shows the first one and the number of others
  std::uint64_t shown = 0, others = 0;
  for (nfds_t i = 0; i < count; ++i) {
    entries[i].revents = 0;
    const unsigned events = watchable_events(entries[i].events);
    if (entries[i].fd < 0 || events == 0) continue;
    waiters.add(entries[i].fd, events, parker);
    if (shown_fd >= 0) {
      ++others;
    } else {
      shown_fd = entries[i].fd;
      shown = static_cast<std::uint64_t>(static_cast<unsigned>(shown_fd)) << 32 | events;
    }
  }
  if (exotic.fd() >= 0) waiters.add(exotic.fd(), runtime::kReadable, parker);
  constexpr std::uint64_t kMostOthers = 0xffffff;
  const std::uint64_t wait_arg = shown | std::min(others, kMostOthers) << 8;
  const runtime::Wake reason =
      shown_fd < 0
          ? parker.park(AIOFIBER_WAIT_SLEEP, static_cast<std::uint64_t>(whole.until), deadline, whole)
          : parker.park(AIOFIBER_WAIT_FD, wait_arg, deadline, whole);
  if (const int error = waiters.refused())
    throw std::system_error(error, std::generic_category(), "cannot wait for a descriptor");
  for (nfds_t i = 0; i < count; ++i) {
    if (entries[i].fd >= 0 && waiters.closed(entries[i].fd)) entries[i].revents = POLLNVAL;
  }
  return reason;
}

// ---- poll

int look(pollfd* entries, nfds_t count, const sigset_t* mask) noexcept {
  static constexpr timespec kNoTime{0, 0};
  return mask == nullptr ? poll_now(entries, count) : real::ppoll(entries, count, &kNoTime, mask);
}

int count_closed(const pollfd* entries, nfds_t count) noexcept {
  return static_cast<int>(
      std::count_if(entries, entries + count, [](const pollfd& e) { return e.revents == POLLNVAL; }));
}

// Ends the wait although nothing has happened; errno says why. Connections among the entries are given up, as
// for recv(), unless the caller is an event loop that continues.
int end_cut_off(pollfd* entries, nfds_t count, Nanoseconds deadline, CutOffAnswer answer) noexcept {
  if (answer == CutOffAnswer::kInterrupted) {
    // Nothing suspends any more while the loop closes, so a caller that continues must block.
    if (runtime::current_fiber()->unwinding) {
      const Nanoseconds pause = std::min(kPauseOfAClosingLoop, runtime::time_until(deadline, loop_now()));
      const int ready = real::poll(entries, count, static_cast<int>(pause / 1'000'000));
      if (ready != 0) return ready;
    }
    errno = EINTR;
    return -1;
  }
  for (nfds_t i = 0; i < count; ++i) {
    const unsigned events = watchable_events(entries[i].events);
    const bool closed = entries[i].revents == POLLNVAL;  // the number may already belong to another file
    if (entries[i].fd >= 0 && events != 0 && !closed) wait_was_cut_off(entries[i].fd, events);
  }
  return answer == CutOffAnswer::kTimedOut ? 0 : -1;
}

// If it fails with EINTR, the caller calls run_alarm_handler() when it has destroyed its objects.
int poll_until(pollfd* entries, nfds_t count, Nanoseconds deadline, const sigset_t* mask,
               const void* caller) {
  const int errno_at_start = errno;
  const auto cancelled = [&] {
    const CutOffAnswer answer = cut_off_answer(caller, CutOffAnswer::kCancelled);
    if (answer == CutOffAnswer::kCancelled) errno = ECANCELED;
    return end_cut_off(entries, count, deadline, answer);
  };
  const runtime::WholeWait whole{wait_begins(), deadline};
  for (;;) {
    if (const int ready = look(entries, count, mask); ready != 0) return ready;
    if (loop_now() >= deadline) return 0;
    if (runtime::refused_by_closing_loop()) return cancelled();
    if (alarm_is_let_in(mask)) {
      errno = EINTR;
      return -1;
    }
    const Nanoseconds look_again = next_look(deadline, mask);
    runtime::Wake reason = runtime::Wake::kNone;
    // If a descriptor cannot be waited for any more, the kernel reports it at the next look.
    const bool parked = without_throwing([&] { reason = park_for(entries, count, look_again, whole); });
    if (!parked && errno != EBADF) return end_cut_off(entries, count, deadline, CutOffAnswer::kCancelled);
    if (reason == runtime::Wake::kInterrupted) return cancelled();
    calls_since_turn = 0;
    errno = errno_at_start;
    if (const int closed = parked ? count_closed(entries, count) : 0; closed > 0) return closed;
  }
}

// ---- select

// The number of descriptors that the kernel checks: at most the size of its table. A program may pass
// getdtablesize() with sets of FD_SETSIZE, and the stack memory after the sets is no set.
int clamp_to_table(int count) noexcept {
  if (count <= FD_SETSIZE) return count;
  const int saved_errno = errno;
  char text[1024];
  int size = count;
  if (const int status = real::open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0); status >= 0) {
    const ssize_t length = real::read(status, text, sizeof text - 1);
    real::close(status);
    text[std::max<ssize_t>(length, 0)] = '\0';
    constexpr std::string_view kLine = "\nFDSize:";
    const char* line = std::strstr(text, kLine.data());
    const int places = line == nullptr ? 0 : std::atoi(line + kLine.size());
    if (places > 0) size = std::min(count, places);
  }
  errno = saved_errno;
  return size;
}

// The three sets of a select(), as the caller passed them; each look overwrites them.
class SelectSets {
 public:
  SelectSets(int count, fd_set* readable, fd_set* writable, fd_set* exceptional)
      : sets_{readable, writable, exceptional}, set_bytes_((static_cast<std::size_t>(count) + 63) / 64 * 8) {
    saved_.resize(3 * set_bytes_);
    for (std::size_t i = 0; i < 3; ++i) {
      if (sets_[i] != nullptr) std::memcpy(&saved_[i * set_bytes_], sets_[i], set_bytes_);
    }
    for (int fd = 0; fd < count; ++fd) {
      const int events = (has(0, fd) ? POLLIN : 0) | (has(1, fd) ? POLLOUT : 0) | (has(2, fd) ? POLLPRI : 0);
      if (events != 0) entries_.push_back({fd, static_cast<short>(events), 0});
    }
  }
  int look(int count, const sigset_t* mask) noexcept {
    const auto look_once = [&] {
      restore();
      constexpr timespec kNoTime{0, 0};
      return real::pselect(count, sets_[0], sets_[1], sets_[2], &kNoTime, mask);
    };
    return mask == nullptr ? uninterrupted(look_once) : look_once();
  }
  // Restores the caller's values, as select() does when it fails.
  void restore() noexcept {
    for (std::size_t i = 0; i < 3; ++i) {
      if (sets_[i] != nullptr) std::memcpy(sets_[i], &saved_[i * set_bytes_], set_bytes_);
    }
  }
  std::vector<pollfd>& entries() noexcept { return entries_; }

 private:
  bool has(std::size_t set, int fd) const noexcept {
    const auto index = static_cast<std::size_t>(fd);
    return sets_[set] != nullptr && (saved_[set * set_bytes_ + index / 8] >> (index % 8) & 1) != 0;
  }

  fd_set* sets_[3];
  std::size_t set_bytes_;
  std::vector<unsigned char> saved_;
  std::vector<pollfd> entries_;
};

int select_until(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, Nanoseconds deadline,
                 const sigset_t* mask, const void* caller) {
  count = clamp_to_table(count);
  SelectSets sets(count, readable, writable, exceptional);
  for (;;) {
    if (const int ready = sets.look(count, mask); ready != 0) return ready;
    if (loop_now() >= deadline) return 0;
    const int polled = poll_until(sets.entries().data(), sets.entries().size(), deadline, mask, caller);
    if (polled < 0) {
      sets.restore();
      return -1;
    }
    if (const int ready = sets.look(count, mask); ready != 0 || polled == 0) return ready;
    // For a descriptor in the third set only, poll reports a hang-up and select does not.
    const AlarmLater later(*runtime::current_fiber());
    if (polled > 0 && !sleep_until(std::min(deadline, deadline_after(kHangUpRetryInterval)))) {
      sets.restore();
      return -1;
    }
  }
}

// The result of a call that may have ended for an alarm.
int after_alarm(int result, const sigset_t* mask) {
  if (result < 0 && errno == EINTR) run_alarm_handler(AfterAlarm::kFails, mask);
  return result;
}

// `caller`: the return address of the program's call.
int poll_from(const void* caller, pollfd* entries, nfds_t count, int timeout_ms) {
  if (!acts()) return real::poll(entries, count, timeout_ms);
  if (timeout_ms == 0) return poll_now(entries, count);
  const Nanoseconds timeout = timeout_ms < 0 ? kForever : Nanoseconds{timeout_ms} * 1'000'000;
  return after_alarm(poll_until(entries, count, deadline_after(timeout), nullptr, caller), nullptr);
}

int ppoll_from(const void* caller, pollfd* entries, nfds_t count, const timespec* timeout,
               const sigset_t* mask) {
  if (!is_valid_timeout(timeout) || !acts()) return real::ppoll(entries, count, timeout, mask);
  return after_alarm(poll_until(entries, count, deadline_after(to_nanoseconds(timeout)), mask, caller), mask);
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int poll(pollfd* entries, nfds_t count, int timeout_ms) {
  return poll_from(__builtin_return_address(0), entries, count, timeout_ms);
}

int ppoll(pollfd* entries, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return ppoll_from(__builtin_return_address(0), entries, count, timeout, mask);
}

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
  const bool valid = count >= 0 && (timeout == nullptr || (timeout->tv_sec >= 0 && timeout->tv_usec >= 0));
  if (!valid || !acts()) return real::select(count, readable, writable, exceptional, timeout);
  const bool endless = timeout == nullptr || timeout->tv_sec >= kForever / kSecond - 1;
  const Nanoseconds duration = endless ? kForever : timeout->tv_sec * kSecond + timeout->tv_usec * 1'000;
  const Nanoseconds deadline = deadline_after(duration);
  const void* const caller = __builtin_return_address(0);
  int result = -1;
  if (!without_throwing(
          [&] { result = select_until(count, readable, writable, exceptional, deadline, nullptr, caller); }))
    return -1;
  if (timeout != nullptr && !endless) {
    // Linux returns the remaining timeout.
    const Nanoseconds left = aiofiber::runtime::time_until(deadline, loop_now());
    *timeout = {left / kSecond, left % kSecond / 1'000};
  }
  return after_alarm(result, nullptr);
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) {
  if (count < 0 || !is_valid_timeout(timeout) || !acts())
    return real::pselect(count, readable, writable, exceptional, timeout, mask);
  const Nanoseconds deadline = deadline_after(to_nanoseconds(timeout));
  const void* const caller = __builtin_return_address(0);
  int result = -1;
  without_throwing(
      [&] { result = select_until(count, readable, writable, exceptional, deadline, mask, caller); });
  return after_alarm(result, mask);
}

// The names of poll and ppoll in programs compiled with -D_FORTIFY_SOURCE.
int __poll_chk(pollfd* entries, nfds_t count, int timeout_ms, size_t entries_size) {
  if (entries_size / sizeof *entries < count) __chk_fail();
  return poll_from(__builtin_return_address(0), entries, count, timeout_ms);
}

int __ppoll_chk(pollfd* entries, nfds_t count, const timespec* timeout, const sigset_t* mask,
                size_t entries_size) {
  if (entries_size / sizeof *entries < count) __chk_fail();
  return ppoll_from(__builtin_return_address(0), entries, count, timeout, mask);
}

}  // extern "C"
