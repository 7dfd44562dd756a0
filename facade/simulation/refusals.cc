// SPDX-License-Identifier: Apache-2.0
//
// The lists of flags and options.
#include "simulation/refusals.h"

#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace aiofiber::testing::detail {

namespace {

using Holder = OptionRule::Holder;

bool is_unix(const Endpoint& endpoint) noexcept { return endpoint.local.is_unix; }
bool is_tcp(const Endpoint& endpoint) noexcept {
  return endpoint.kind == Endpoint::Kind::kStream && !is_unix(endpoint);
}
bool is_udp(const Endpoint& endpoint) noexcept {
  return endpoint.kind == Endpoint::Kind::kDatagram && !is_unix(endpoint);
}

// ---- options of SOL_SOCKET

// The socket pair does what these say, or they say nothing that a program could notice.
constexpr int kOfThePair[] = {
    SO_RCVBUF,       SO_SNDBUF,       SO_RCVBUFFORCE,  SO_SNDBUFFORCE, SO_REUSEADDR, SO_BROADCAST,
    SO_LINGER,       SO_OOBINLINE,    SO_PRIORITY,     SO_MARK,        SO_DEBUG,     SO_DONTROUTE,
    SO_NO_CHECK,     SO_PEEK_OFF,     SO_INCOMING_CPU, SO_BUSY_POLL,   SO_KEEPALIVE, SO_SELECT_ERR_QUEUE,
    SO_CNX_ADVICE,   SO_RCVTIMEO,     SO_SNDTIMEO,
#if defined(SO_RCVTIMEO_OLD)
    SO_RCVTIMEO_OLD, SO_SNDTIMEO_OLD,
#endif
#if defined(SO_RCVTIMEO_NEW)
    SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW,
#endif
};
// These ask who the peer is, and would name this process.
constexpr int kOfUnixOnly[] = {SO_PASSCRED, SO_PEERCRED, SO_PEERSEC, SO_PEERNAME, SO_PEERGROUPS, SO_PASSSEC};

template <std::size_t n>
bool contains(const int (&list)[n], int option) noexcept {
  return std::find(std::begin(list), std::end(list), option) != std::end(list);
}

// ---- options of protocols

// What tcp_limits.h looks at, and hints: a simulated connection does the same without.
struct Hint {
  int level;
  int option;
  int initial;
  int least = INT_MIN;
  int most = INT_MAX;
};
constexpr Hint kHints[] = {
    {IPPROTO_TCP, TCP_NODELAY, 0},
    {IPPROTO_TCP, TCP_CORK, 0},
    {IPPROTO_TCP, TCP_QUICKACK, 1},
    {IPPROTO_TCP, TCP_MAXSEG, 536},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, 0},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0},
    {IPPROTO_TCP, TCP_KEEPIDLE, 7200, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPINTVL, 75, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPCNT, 9, 1, 127},
    {IPPROTO_TCP, TCP_SYNCNT, 6, 1, 127},
    {IPPROTO_TCP, TCP_LINGER2, 60},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0},
    {IPPROTO_TCP, TCP_FASTOPEN, 0},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 0},
    {IPPROTO_IP, IP_TOS, 0},
    {IPPROTO_IP, IP_TTL, 64},
    {IPPROTO_IP, IP_MTU_DISCOVER, 1},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0},
    {IPPROTO_IP, IP_MULTICAST_IF, 0},
    {IPPROTO_IP, IP_MULTICAST_TTL, 1},
    {IPPROTO_IP, IP_MULTICAST_LOOP, 1},
    {IPPROTO_IP, IP_MULTICAST_ALL, 1},
    {IPPROTO_IPV6, IPV6_V6ONLY, 0},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64},
    {IPPROTO_IPV6, IPV6_TCLASS, 0},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, 1},
    {IPPROTO_IPV6, IPV6_MULTICAST_IF, 0},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1},
    {IPPROTO_IPV6, IPV6_DONTFRAG, 0},
};

OptionRule protocol_rule(const Endpoint& endpoint, int level, int option) noexcept {
  if (is_unix(endpoint)) return {Holder::kNobody, EOPNOTSUPP};
  const bool fits =
      (level != IPPROTO_TCP || is_tcp(endpoint)) && (level != IPPROTO_IPV6 || endpoint.family == AF_INET6);
  const auto* const hint = std::find_if(std::begin(kHints), std::end(kHints), [&](const Hint& each) {
    return each.level == level && each.option == option;
  });
  if (!fits || hint == std::end(kHints)) return {Holder::kNobody, ENOPROTOOPT};
  return {Holder::kStored, 0, hint->initial, hint->least, hint->most};
}

}  // namespace

OptionRule rule_to_set(const Endpoint& endpoint, int level, int option) noexcept {
  if (level != SOL_SOCKET) return protocol_rule(endpoint, level, option);
  if (contains(kOfThePair, option) || (is_unix(endpoint) && contains(kOfUnixOnly, option)))
    return {Holder::kPair};
  return {Holder::kNobody, ENOPROTOOPT};
}

OptionRule rule_to_get(const Endpoint& endpoint, int level, int option) noexcept {
  if (level != SOL_SOCKET) return protocol_rule(endpoint, level, option);
  if (!is_unix(endpoint) && contains(kOfUnixOnly, option)) return {Holder::kNobody, ENOPROTOOPT};
  return {Holder::kPair};
}

int option_value(const Endpoint& endpoint, int level, int option) noexcept {
  const int* const stored = endpoint.stored_option(level, option);
  return stored != nullptr ? *stored : rule_to_get(endpoint, level, option).initial;
}

// ---- flags

namespace {
// The pair is connected from the beginning. What were written into it early would be lost, or come late. A
// failed attempt has no wire, and its pair has the error.
bool is_unconnected_stream(const Endpoint& endpoint) noexcept {
  return endpoint.kind == Endpoint::Kind::kStream && endpoint.wire >= 0 &&
         endpoint.state == Endpoint::State::kNew;
}
}  // namespace

int refused_send(const Endpoint& endpoint, const msghdr& message, int flags) noexcept {
  // TCP: urgent data; data in the SYN. UDP: MSG_MORE would make one datagram of several.
  const int refused = MSG_OOB | MSG_FASTOPEN | (is_udp(endpoint) ? int{MSG_MORE} : 0);
  if ((flags & refused) != 0) return EOPNOTSUPP;
  if (is_unconnected_stream(endpoint)) return is_unix(endpoint) ? ENOTCONN : EPIPE;
  // Descriptors, credentials, and what UDP would do with each datagram.
  return CMSG_FIRSTHDR(&message) != nullptr ? EOPNOTSUPP : 0;
}

int refused_receive(const Endpoint& endpoint, int flags) noexcept {
  if (is_unconnected_stream(endpoint)) return is_unix(endpoint) ? EINVAL : ENOTCONN;
  // As Linux, where no urgent data has come, and where the queue of errors is empty.
  if ((flags & MSG_OOB) != 0) return endpoint.kind == Endpoint::Kind::kStream ? EINVAL : EOPNOTSUPP;
  if ((flags & MSG_ERRQUEUE) != 0 && !is_unix(endpoint)) return EAGAIN;
  // TCP throws the bytes away, and does not write them into the buffer.
  return (flags & MSG_TRUNC) != 0 && is_tcp(endpoint) ? EOPNOTSUPP : 0;
}

bool is_network_request(unsigned long request) noexcept {
  constexpr unsigned long kOfSockets = 0x89;
  constexpr unsigned long kFirst = SIOCATMARK & 0xff;  // those before it say who gets signals
  return (request >> 8 & 0xff) == kOfSockets && (request & 0xff) >= kFirst;
}

}  // namespace aiofiber::testing::detail
