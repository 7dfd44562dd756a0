// SPDX-License-Identifier: Apache-2.0
//
// The reactor: which descriptors are ready, which signals came, and how another thread wakes the loop.
//
// The table of fd waiters is here, once, for all backends. A backend only knows how to watch a set of events
// on a descriptor and how to sleep. Production uses libev (reactor_libev.h).
//
// Watches outlive waits: a watch is removed lazily, when an event arrives and nobody waits for it. So reading
// the same connection again and again costs no system call to watch it. The price is that the table must
// learn of a close: fd_closing(). Where closes are not reported (no hooks linked), each wait revalidates its
// watch with one epoll_ctl; see set_closes_are_reported().
// Threads: the loop's, except wake().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/intrusive.h"

struct aiofiber_record;

namespace aiofiber::runtime {

inline constexpr unsigned kReadable = 1;
inline constexpr unsigned kWritable = 2;
// A waiter gets it when its descriptor is closed or refused by the kernel: FdWaiter::failure says which.
inline constexpr unsigned kClosed = 4;

// One wait for one descriptor; embedded in the waiting object.
struct FdWaiter : ListNode {
  using Ready = void (*)(FdWaiter&, unsigned events) noexcept;

  FdWaiter(int descriptor, unsigned wanted_events, Ready ready_function) noexcept
      : fd(descriptor), wanted(wanted_events), ready(ready_function) {}

  int fd;
  unsigned wanted;  // kReadable | kWritable
  Ready ready;      // called once per poll while ready; may remove the waiter, must not add one
  // With kClosed: EBADF, or why the kernel does not watch an open one (epoll_ctl(2): ENOMEM, ENOSPC, ELOOP).
  int failure = 0;
  const aiofiber_record* waiting = nullptr;  // whose wait it is, for reports; null: of no fiber
};

// A signal that the loop turns into a callback; embedded in the object that wants it.
struct SignalWaiter {
  using Raised = void (*)(SignalWaiter&) noexcept;
  int signo = 0;
  Raised raised = nullptr;
  void* backend = nullptr;  // owned by the backend while watched
};

class Reactor {
 public:
  virtual ~Reactor() = default;

  // Sleeps until something happens, at most `timeout` ns (0: does not sleep; kForever: no limit). Calls the
  // ready waiters, readers of a descriptor before its writers. Returns the number of events.
  virtual int poll(Nanoseconds timeout) = 0;
  // Makes a sleeping poll() return. Any thread, async-signal-safe.
  virtual void wake() noexcept = 0;
  // Only one loop at a time can watch a signal. Throws std::system_error if the signal cannot be caught.
  virtual void watch_signal(SignalWaiter& waiter) = 0;
  virtual void unwatch_signal(SignalWaiter& waiter) noexcept = 0;

  // ---- for a loop that runs inside another loop
  // A descriptor that is readable while poll() has something to do. From this call on, wake() and signals
  // make it readable also while no poll() sleeps. -1: this reactor has none. Throws std::system_error.
  virtual int descriptor() { return -1; }
  // Whether a watch has changed since the last poll(): until the next one, the descriptor does not know of
  // it.
  virtual bool needs_poll() const noexcept { return false; }

  // Throws std::system_error: EBADF for a descriptor that is not open.
  void add(FdWaiter& waiter);
  void remove(FdWaiter& waiter) noexcept;
  // Call it before the descriptor is closed: every waiter gets kClosed. Returns their number.
  std::size_t fd_closing(int fd) noexcept;
  // How many waits fd_closing() has ended in the process. Any thread.
  static std::uint64_t waits_ended_by_close() noexcept;
  // Calls visit(waiter) for each waiter of the descriptor.
  template <class Visit>
  void for_each_waiter(int fd, Visit visit) {
    if (Descriptor* const descriptor = find(fd)) {
      for (FdWaiter* waiter = descriptor->waiters.front(); waiter != nullptr;
           waiter = descriptor->waiters.after(*waiter))
        visit(*waiter);
    }
  }
  // Tells the loops of other threads that the number may soon be another file. Any thread, async-signal-safe.
  // (A wait of another thread's loop continues, as a blocked call would on Linux.)
  static void note_close(int fd) noexcept;
  // How often note_close() was called for the number. Any thread.
  static std::uint32_t close_count(int fd) noexcept;

  // Whether anything waits for a descriptor. Checks them one by one.
  bool has_fd_waiters() const noexcept;

  // True: fd_closing() is called for every close in the process (the hooks do it).
  static void set_closes_are_reported(bool reported) noexcept { closes_are_reported_ = reported; }

 protected:
  // Watches exactly `events` on fd from now on; 0: nothing. The kernel must be told even if the events have
  // not changed: the number may belong to another file now.
  virtual void watch(int fd, unsigned events) = 0;
  // Called by the backend from poll().
  void fd_ready(int fd, unsigned events) noexcept;
  // Called by the backend from poll(): the descriptor cannot be watched any more. Every waiter gets kClosed
  // and the error.
  std::size_t fd_failed(int fd, int error) noexcept;

 private:
  struct Descriptor {
    List<FdWaiter> waiters;
    unsigned watched = 0;
    std::uint32_t close_count = 0;  // of the number, when it was last watched
  };
  Descriptor* find(int fd) noexcept;

  std::vector<std::unique_ptr<Descriptor>> descriptors_;  // by number
  static inline constinit bool closes_are_reported_ = false;
};

}  // namespace aiofiber::runtime
