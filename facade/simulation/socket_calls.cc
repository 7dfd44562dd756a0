// SPDX-License-Identifier: Apache-2.0
//
// socket, bind, listen, connect, accept, names and options, for the programs of a simulated machine.
#include "simulation/socket_calls.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "simulation/call_results.h"
#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/refusals.h"

namespace aiofiber::testing::detail {

namespace {
using Holder = OptionRule::Holder;

std::string option_text(int level, int option) {
  return "level " + std::to_string(level) + " option " + std::to_string(option);
}

// What the simulation itself has to do about an option of the socket pair.
void note_pair_option(Endpoint& endpoint, int option, const void* value, socklen_t length) noexcept {
  int number = 0;
  std::memcpy(&number, value, std::min<std::size_t>(length, sizeof number));
  if (option == SO_RCVBUF) endpoint.receive_limit = Datagrams::receive_limit(number);
  if (option == SO_SNDBUF) endpoint.send_limit = Room::send_limit(number);
  if (option == SO_KEEPALIVE) endpoint.keeps_alive = number != 0;
  if (option == SO_LINGER) {
    linger set{};
    std::memcpy(&set, value, std::min<std::size_t>(length, sizeof set));
    endpoint.close_resets = set.l_onoff != 0 && set.l_linger == 0 && !endpoint.local.is_unix;
  }
}

}  // namespace

Wires& SocketCalls::wires() noexcept { return host_.world().wires(); }
bool SocketCalls::is_dying() const noexcept { return host_.is_dying(); }
Endpoint* SocketCalls::find(int fd) noexcept { return wires().of_descriptor(fd); }

// -1 with the errno. The trace says what is refused.
int SocketCalls::refuse(const char* what, int error, const std::string& which) {
  host_.world().trace().event(what, &host_.name(), which);
  return fail(error);
}

int SocketCalls::socket(int family, int type, int protocol) noexcept {
  if (host_.is_dying()) return fail(ENETDOWN);
  const int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  const bool is_internet = family == AF_INET || family == AF_INET6;
  if (!is_internet && family != AF_UNIX) return fail(EAFNOSUPPORT);
  const bool is_stream = kind == SOCK_STREAM && (protocol == 0 || (is_internet && protocol == IPPROTO_TCP));
  const bool is_datagram = kind == SOCK_DGRAM && (protocol == 0 || (is_internet && protocol == IPPROTO_UDP));
  if (!is_stream && !is_datagram) return refuse("asks for a socket that is not simulated", EPROTONOSUPPORT);
  const Endpoint* const made =
      wires().make(host_, is_stream ? Endpoint::Kind::kStream : Endpoint::Kind::kDatagram, family,
                   type & (SOCK_NONBLOCK | SOCK_CLOEXEC));
  return made != nullptr ? made->fd : -1;
}

int SocketCalls::bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) return fail(real::cookie(fd) != 0 ? EINVAL : ENOTSOCK);
  if (!endpoint->is_socket()) return fail(ENOTSOCK);
  std::optional<Address> own = read_address(address, length);
  if (!own || own->is_unix != endpoint->local.is_unix) return fail(EAFNOSUPPORT);
  if (endpoint->bound || endpoint->state != Endpoint::State::kNew) return fail(EINVAL);
  if (!own->is_unix) {
    if (address->sa_family != endpoint->family) return fail(EAFNOSUPPORT);
    if (!own->ip.is_any() && !own->ip.is_loopback() && !(own->ip == host_.own_ip(own->ip)))
      return fail(EADDRNOTAVAIL);
    if (endpoint->only_v6 && own->ip.is_v4()) return fail(EINVAL);
    if (own->port == 0) {
      const Ip before = std::exchange(endpoint->local.ip, own->ip);
      if (!wires().bind_to_free_port(*endpoint)) {
        endpoint->local.ip = before;
        return fail(EADDRINUSE);
      }
      endpoint->has_own_ip = !own->ip.is_any();
      return 0;
    }
  }
  if (wires().is_taken(*endpoint, *own)) {
    wires().collect();  // the other may be closed already
    if (wires().is_taken(*endpoint, *own)) return fail(EADDRINUSE);
  }
  endpoint->has_own_ip = !own->is_unix && !own->ip.is_any();
  wires().bind(*endpoint, std::move(*own));
  return 0;
}

int SocketCalls::listen(int fd, int backlog) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) return fail(real::cookie(fd) != 0 ? EINVAL : ENOTSOCK);
  if (!endpoint->is_socket()) return fail(ENOTSOCK);
  if (endpoint->kind != Endpoint::Kind::kStream) return fail(EOPNOTSUPP);
  if (endpoint->state != Endpoint::State::kNew && endpoint->state != Endpoint::State::kListening)
    return fail(EINVAL);
  if (!endpoint->bound) {
    if (endpoint->local.is_unix) return fail(EINVAL);
    if (!wires().bind_to_free_port(*endpoint)) return fail(EADDRINUSE);
  }
  // One more than asked for, as Linux has it.
  wires().begin_listening(*endpoint, static_cast<std::size_t>(std::clamp(backlog, 0, 4096)) + 1);
  host_.world().trace().event("listens on", &host_.name(), endpoint->local.text());
  return 0;
}

int SocketCalls::connect(int fd, const sockaddr* address, socklen_t length) noexcept {
  if (host_.is_dying()) return fail(ENETDOWN);
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) {
    const std::uint64_t cookie = real::cookie(fd);
    return fail(cookie == 0 ? ENOTSOCK : ENETUNREACH);  // made outside, or its connection has ended
  }
  if (!endpoint->is_socket()) return fail(ENOTSOCK);
  if (endpoint->kind == Endpoint::Kind::kDatagram)
    return host_.world().datagrams().connect(*endpoint, address, length);
  const std::optional<Address> to = read_address(address, length);
  switch (endpoint->state) {
    case Endpoint::State::kConnected:
      return fail(EISCONN);
    case Endpoint::State::kConnecting:
      return fail(EALREADY);
    case Endpoint::State::kListening:
      return fail(EISCONN);
    case Endpoint::State::kNew:
      break;
  }
  if (endpoint->wire < 0) return fail(ECONNABORTED);  // an attempt has failed
  if (!to || to->is_unix != endpoint->local.is_unix) return fail(EAFNOSUPPORT);
  endpoint->fd = fd;
  return to->is_unix ? connect_unix(*endpoint, *to) : connect_inet(*endpoint, *to);
}

int SocketCalls::connect_inet(Endpoint& endpoint, const Address& to) {
  if (!endpoint.can_reach(to.ip)) return fail(endpoint.family == AF_INET ? EAFNOSUPPORT : ENETUNREACH);
  if (wires().host_at(host_, to.ip) == nullptr) {
    host_.world().trace().event("no node has the address", &host_.name(), to.text());
    return fail(ENETUNREACH);
  }
  if (endpoint.has_own_ip && endpoint.local.ip.is_v4() != to.ip.is_v4()) return fail(ENETUNREACH);
  if (!endpoint.bound && !wires().bind_to_free_port(endpoint)) return fail(EADDRNOTAVAIL);
  endpoint.remote = to;
  if (to.ip.is_any()) endpoint.remote.ip = to.ip.loopback();
  if (!endpoint.has_own_ip)
    endpoint.local.ip = endpoint.remote.ip.is_loopback() ? to.ip.loopback() : host_.own_ip(to.ip);
  wires().begin_connect(endpoint);
  return fail(EINPROGRESS);
}

int SocketCalls::connect_unix(Endpoint& endpoint, const Address& to) {
  Endpoint* const listener = wires().listener(host_, to);
  if (listener == nullptr) {
    const Endpoint* const other = wires().at_path(host_, to.path);
    return fail(other == nullptr ? ENOENT : other->kind == endpoint.kind ? ECONNREFUSED : EPROTOTYPE);
  }
  const int error = wires().connect_at_once(endpoint, *listener);
  return error == 0 ? 0 : fail(error);
}

int SocketCalls::accept(int fd, sockaddr* address, socklen_t* length, int flags) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) return fail(real::cookie(fd) != 0 ? EINVAL : ENOTSOCK);
  if (!endpoint->is_socket()) return fail(ENOTSOCK);
  if (endpoint->kind != Endpoint::Kind::kStream) return fail(EOPNOTSUPP);
  if (endpoint->state != Endpoint::State::kListening) return fail(EINVAL);
  Endpoint* made = nullptr;
  while (made == nullptr) {
    char byte;
    const ssize_t got = real::receive(fd, &byte, 1);
    if (got < 0) return -1;             // EAGAIN
    if (got == 0) return fail(EINVAL);  // shut down
    made = wires().take_accepted(*endpoint);
  }
  const int accepted = made->fd;
  write_address(made->remote, made->family, address, length);
  if ((flags & SOCK_NONBLOCK) != 0) real::file_control(accepted, F_SETFL, O_RDWR | O_NONBLOCK);
  if ((flags & SOCK_CLOEXEC) == 0) real::file_control(accepted, F_SETFD, 0);
  if (made->wire < 0) wires().remove(*made);  // its client is gone; what it sent can be read
  return accepted;
}

int SocketCalls::socket_name(int fd, sockaddr* address, socklen_t* length) noexcept {
  const Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) return real::socket_name(fd, address, length);
  write_address(endpoint->local, endpoint->family, address, length);
  return 0;
}

int SocketCalls::peer_name(int fd, sockaddr* address, socklen_t* length) noexcept {
  const Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) return real::peer_name(fd, address, length);
  if (endpoint->state != Endpoint::State::kConnected) return fail(ENOTCONN);
  write_address(endpoint->remote, endpoint->family, address, length);
  return 0;
}

int SocketCalls::set_option(int fd, int level, int option, const void* value, socklen_t length) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr) return real::set_option(fd, level, option, value, length);
  const OptionRule rule = rule_to_set(*endpoint, level, option);
  if (rule.holder == Holder::kNobody)
    return refuse("sets an option that is not simulated:", rule.error, option_text(level, option));
  if (rule.holder == Holder::kPair) {
    const int result = real::set_option(fd, level, option, value, length);
    if (result != 0) return result;
    note_pair_option(*endpoint, option, value, length);
    if (option == SO_KEEPALIVE) wires().keep_alive().watch(*endpoint);
    return 0;
  }
  if (value == nullptr) return fail(EFAULT);
  int number = 0;
  if (length < sizeof number && (level != IPPROTO_IP || length == 0)) return fail(EINVAL);
  if (length >= sizeof number) {
    std::memcpy(&number, value, sizeof number);
  } else {
    number = *static_cast<const unsigned char*>(value);  // ip(7) takes a byte, too
  }
  if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY) {
    if (endpoint->bound) return fail(EINVAL);
    endpoint->only_v6 = number != 0;
  }
  if (number < rule.least || number > rule.most) return fail(EINVAL);
  endpoint->store_option(level, option, number);
  if (level == IPPROTO_TCP && endpoint->keeps_alive) wires().keep_alive().watch(*endpoint);
  return 0;
}

int SocketCalls::get_option(int fd, int level, int option, void* value, socklen_t* length) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr || value == nullptr || length == nullptr) {
    const int result = real::get_option(fd, level, option, value, length);  // takes the pair's own error
    if (result == 0 && level == SOL_SOCKET && option == SO_ERROR && wires().take_time_out(fd)) {
      const int error = ETIMEDOUT;
      std::memcpy(value, &error, std::min<std::size_t>(*length, sizeof error));
    }
    return result;
  }
  const OptionRule rule = rule_to_get(*endpoint, level, option);
  if (rule.holder == Holder::kNobody)
    return refuse("asks for an option that is not simulated:", rule.error, option_text(level, option));
  int number = 0;
  if (level == SOL_SOCKET) {
    switch (option) {
      case SO_ERROR:
        if (endpoint->kind == Endpoint::Kind::kDatagram) {
          number = host_.world().datagrams().take_error(*endpoint, fd);
          break;
        }
        if (endpoint->error == 0) return real::get_option(fd, level, option, value, length);
        real::get_option(fd, level, option, value, length);  // the pair's own error is told in its place
        number = endpoint->error;
        wires().remove(*endpoint);
        break;
      case SO_DOMAIN:
        number = endpoint->family;
        break;
      case SO_TYPE:
        number = endpoint->kind == Endpoint::Kind::kDatagram ? SOCK_DGRAM : SOCK_STREAM;
        break;
      case SO_PROTOCOL:
        number = endpoint->local.is_unix                       ? 0
                 : endpoint->kind == Endpoint::Kind::kDatagram ? IPPROTO_UDP
                                                               : IPPROTO_TCP;
        break;
      case SO_ACCEPTCONN:
        number = endpoint->state == Endpoint::State::kListening ? 1 : 0;
        break;
      default:
        return real::get_option(fd, level, option, value, length);
    }
  } else {
    number = option_value(*endpoint, level, option);
  }
  std::memcpy(value, &number, std::min<std::size_t>(*length, sizeof number));
  *length = static_cast<socklen_t>(std::min<std::size_t>(*length, sizeof number));
  return 0;
}

int SocketCalls::shut_down(int fd, int how) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr || !endpoint->is_socket()) return real::shut_down(fd, how);
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return fail(EINVAL);
  if (endpoint->kind == Endpoint::Kind::kDatagram)
    return host_.world().datagrams().shut_down(*endpoint, fd, how);
  switch (endpoint->state) {
    case Endpoint::State::kNew:
      return fail(ENOTCONN);
    case Endpoint::State::kListening:
      return how == SHUT_WR ? 0 : real::shut_down(fd, SHUT_RDWR);  // it stops listening
    case Endpoint::State::kConnecting:
      return real::shut_down(fd, how);
    case Endpoint::State::kConnected:
      break;
  }
  wires().before_shutdown(*endpoint, fd, how);
  return real::shut_down(fd, how);
}

int SocketCalls::control(int fd, unsigned long request, void* argument) noexcept {
  const int errno_before = errno;
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr || !endpoint->is_socket()) {
    errno = errno_before;
    return kIsNone;
  }
  const bool is_stream = endpoint->kind == Endpoint::Kind::kStream;
  int number = 0;
  switch (request) {
    case FIONREAD:  // of datagrams: the first one. The pair would count them all.
      if (is_stream && endpoint->state == Endpoint::State::kListening) return fail(EINVAL);
      if (is_stream) return kIsNone;
      number = static_cast<int>(real::unread_message_bytes(fd));
      break;
    case TIOCOUTQ:
      number = static_cast<int>(is_stream ? wires().bytes_under_way(*endpoint) : endpoint->sent_room);
      break;
    case SIOCATMARK:
      if (!is_stream || endpoint->local.is_unix) return fail(ENOTTY);
      break;
    default:
      return is_network_request(request)
                 ? refuse("makes an ioctl that is not simulated:", EOPNOTSUPP, std::to_string(request))
                 : kIsNone;
  }
  errno = errno_before;
  if (argument == nullptr) return fail(EFAULT);
  std::memcpy(argument, &number, sizeof number);
  return 0;
}

// A pair can only say that the connection was reset, or that nobody reads any more. As in Linux, the first
// write after a reset says so, and only later ones say EPIPE.
int SocketCalls::transfer_error(int fd, int error) noexcept {
  if (error != ECONNRESET && error != EPIPE) return error;
  int of_pair = 0;
  socklen_t length = sizeof of_pair;
  if (error == EPIPE) real::get_option(fd, SOL_SOCKET, SO_ERROR, &of_pair, &length);  // not told yet
  if (wires().take_time_out(fd)) return ETIMEDOUT;
  return of_pair != 0 ? of_pair : error;
}

// ---- the disk

bool SocketCalls::has_disk() const noexcept { return host_.disk().is_simulated(); }
runtime::Nanoseconds SocketCalls::sync_length() noexcept { return host_.disk().sync_length(); }
int SocketCalls::end_sync(int fd) noexcept { return host_.disk().end_sync(fd); }
std::size_t SocketCalls::disk_room(int fd, off_t position, std::size_t bytes) noexcept {
  return host_.disk().room(fd, position, bytes);
}
void SocketCalls::disk_takes(int fd, off_t position, std::size_t bytes) noexcept {
  host_.disk().take(fd, position, bytes);
}

// ---- datagrams and timers

int SocketCalls::timer(clockid_t clock, int flags) noexcept {
  return host_.world().timers().create(host_, clock, flags);
}

int SocketCalls::open(const char* path, int flags) noexcept {
  if (path == nullptr || !host_.world().seeds_random() || !RandomFiles::is_name(path)) return kIsNone;
  return host_.world().random_files().open(host_, flags);
}

bool SocketCalls::has_messages() const noexcept {
  World& world = host_.world();
  return world.wires().has_unconnected() || world.datagrams().in_use() || world.timers().in_use() ||
         world.random_files().in_use();
}

ssize_t SocketCalls::send(int fd, const msghdr& message, int flags) noexcept {
  const int errno_before = errno;
  Endpoint* const endpoint = find(fd);
  if (endpoint != nullptr && endpoint->is_socket()) {
    if (const int error = refused_send(*endpoint, message, flags))
      return error == EOPNOTSUPP ? refuse("sends ancillary data or with flags that are not simulated", error)
                                 : fail(error);
  }
  if (endpoint == nullptr || endpoint->kind == Endpoint::Kind::kStream ||
      endpoint->kind == Endpoint::Kind::kRandom) {
    if (endpoint != nullptr && endpoint->state == Endpoint::State::kConnecting && !endpoint->local.is_unix) {
      errno = EAGAIN;  // and its end is not writable
      return kNoRoom;
    }
    errno = errno_before;
    return kIsNone;
  }
  if (endpoint->kind == Endpoint::Kind::kTimer) return fail(EINVAL);
  if (host_.is_dying()) return fail(ENETDOWN);
  if (message.msg_iov == nullptr && message.msg_iovlen > 0) return fail(EFAULT);
  if (message.msg_iovlen > IOV_MAX) return fail(EMSGSIZE);
  const ssize_t sent = host_.world().datagrams().send(*endpoint, fd, message);
  if (sent >= 0) errno = errno_before;
  return sent;
}

bool SocketCalls::before_receive(int fd, int flags) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint != nullptr && endpoint->is_socket()) {
    if (const int error = refused_receive(*endpoint, flags)) {
      if (error == EOPNOTSUPP) refuse("receives with flags that are not simulated", error);
      errno = error;
      return false;
    }
  }
  if (endpoint == nullptr || endpoint->kind == Endpoint::Kind::kStream) return true;
  if (endpoint->kind == Endpoint::Kind::kTimer) return host_.world().timers().before_read(*endpoint, fd);
  if (endpoint->kind == Endpoint::Kind::kRandom) {
    host_.world().random_files().before_read(*endpoint, fd);
    return true;
  }
  const int error = host_.world().datagrams().take_error(*endpoint, fd);
  if (error != 0) errno = error;
  return error == 0;
}

void SocketCalls::after_receive(int fd, int flags, sockaddr* address, socklen_t room,
                                socklen_t* length) noexcept {
  Endpoint* const endpoint = find(fd);
  if (endpoint == nullptr || endpoint->kind != Endpoint::Kind::kDatagram) return;
  *length = room;
  host_.world().datagrams().write_sender(*endpoint, flags, address, length);
}

// ---- names

runtime::NameAnswer SocketCalls::look_up(const char* name) noexcept {
  Host::NameService& service = host_.names();
  runtime::NameAnswer answer{host_.world().draw(service.delay), service.error, "", ""};
  const std::string_view wanted(name);
  std::string address;
  std::string address6;
  if (const auto wrong = service.wrong.find(wanted); wrong != service.wrong.end()) {
    const bool is_v6 = wrong->second.find(':') != std::string::npos;
    (is_v6 ? address6 : address) = wrong->second;
  } else if (wanted == "localhost") {
    address = "127.0.0.1";
    address6 = "::1";
  } else if (const Host* const host = host_.world().find_host(wanted)) {
    address = host->address();
    address6 = host->address6();
  } else if (answer.error == 0) {
    answer.error = EAI_NONAME;
  }
  address.copy(answer.address, sizeof answer.address - 1);
  address6.copy(answer.address6, sizeof answer.address6 - 1);
  host_.world().trace().event(answer.error == 0 ? "looks up" : "fails to look up", &host_.name(), wanted);
  return answer;
}

}  // namespace aiofiber::testing::detail
