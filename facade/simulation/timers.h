// SPDX-License-Identifier: Apache-2.0
//
// timerfd_create() and its like on the clocks of a simulated machine.
//
// A timer's descriptor is an end of a socket pair, as a socket's is. An expiry puts a number of eight bytes
// into it, so poll() and its like see it. A read takes the number that is right then: before_read() replaces
// what is there. A timer that nobody reads costs one event, however short its interval is.
#pragma once

#include <sys/timerfd.h>

#include <cstddef>
#include <cstdint>

#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

class Host;
class Wires;
class World;

class Timers {
 public:
  Timers(World& world, Wires& wires) noexcept : world_(world), wires_(wires) {}
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  bool in_use() const noexcept { return timers_ > 0; }
  void removed() noexcept { --timers_; }

  // The calls of these names, of a machine's program; -1 with errno.
  int create(Host& host, clockid_t clock, int flags);
  int set(Endpoint& timer, int fd, int flags, const itimerspec& to, itimerspec* before);
  void get(Endpoint& timer, itimerspec& now) noexcept;
  // The program is about to read. False with errno ECANCELED: the wall clock was set, and the program asked
  // to hear of it (TFD_TIMER_CANCEL_ON_SET).
  bool before_read(Endpoint& timer, int fd) noexcept;

  // The machine's clocks run at another rate now, or its wall clock was set.
  void clocks_changed(const Host& host, bool wall_clock_was_set);

 private:
  runtime::Nanoseconds now(const Endpoint& timer) const noexcept;
  void arm(Endpoint& timer);
  void expire(std::uint64_t id, std::uint64_t arming);
  void count_expiries(Endpoint& timer) noexcept;
  void put(Endpoint& timer) noexcept;
  void take_back(Endpoint& timer, int fd) noexcept;

  World& world_;
  Wires& wires_;
  std::size_t timers_ = 0;
};

}  // namespace aiofiber::testing::detail
