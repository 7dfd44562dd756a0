// SPDX-License-Identifier: Apache-2.0
//
// What a simulated socket refuses, so that nothing is lost or ignored in silence.
//
// A program's socket is an end of a socket pair. The pair knows options and flags that would do nothing, or
// something else, on the simulated network. Here is the list of what works or does no harm. All else fails:
// flags and ancillary data with EOPNOTSUPP, options with ENOPROTOOPT. Programs can do without, because older
// kernels and other systems lack the same things. The trace says what was refused.
#pragma once

#include <sys/socket.h>

#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

// 0, or the errno of a call that sends or receives so.
int refused_send(const Endpoint& endpoint, const msghdr& message, int flags) noexcept;
int refused_receive(const Endpoint& endpoint, int flags) noexcept;

// Who has the value of an option.
struct OptionRule {
  enum class Holder {
    kPair,    // the socket pair, which does what the option says
    kStored,  // the endpoint: a hint that changes nothing, or of tcp_limits.h
    kNobody,  // it is refused, with `error`
  };
  Holder holder = Holder::kNobody;
  int error = 0;
  int initial = 0;  // of kStored, and what it may be set to
  int least = 0;
  int most = 0;
};
OptionRule rule_to_set(const Endpoint& endpoint, int level, int option) noexcept;
OptionRule rule_to_get(const Endpoint& endpoint, int level, int option) noexcept;
// Of an option that is stored: what the program has set, or what it is in the beginning.
int option_value(const Endpoint& endpoint, int level, int option) noexcept;

// Whether an ioctl asks what the machine's network would have to know: interfaces, routes, time stamps.
bool is_network_request(unsigned long request) noexcept;

}  // namespace aiofiber::testing::detail
