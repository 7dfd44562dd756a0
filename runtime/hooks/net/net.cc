// SPDX-License-Identifier: Apache-2.0
//
// Sockets: connect, accept, recv and send with their variants.
//
// recv and send have a flag for one call, MSG_DONTWAIT, so they never set O_NONBLOCK. connect and accept have
// no flag, so O_NONBLOCK is set around the one system call (accept: only after a connection has come).
// Behaviour of blocking calls in the kernel is repeated here: a send continues until everything is sent,
// MSG_WAITALL until everything is received, a timeout bounds the whole call, and an error never hides bytes
// already moved.
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/descriptor_notes.h"
#include "hooks/core/fortify.h"
#include "hooks/core/iov_cursor.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/real.h"
#include "hooks/core/uninterrupted.h"
#include "hooks/net/net.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::kReadable;
using runtime::kWritable;
using runtime::Nanoseconds;

// A send that connects first would return EINPROGRESS to a probe; legacy code does not use it.
constexpr int kSendsAsLibc = MSG_DONTWAIT | MSG_FASTOPEN;

// MSG_WAITALL asks for more. Datagrams ignore the flag. With MSG_PEEK a second read would return the same
// bytes, so the first result is the answer.
bool wants_all(int fd, int flags) noexcept {
  return (flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0 && is_stream_socket(fd);
}

// Notes that bytes have moved. Bytes that were only peeked at are still to be received.
ssize_t noted_received(int fd, int flags, ssize_t count) noexcept {
  if (count > 0 && (flags & (MSG_PEEK | MSG_ERRQUEUE)) == 0) note_received(fd);
  return count;
}
// Whether a read of a stream has drained it. What was peeked at, and urgent data, is still there.
void note_what_is_left(int fd, int flags, std::size_t count, std::size_t length) noexcept {
  const bool tells = (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC)) == 0;
  known_settings::note_read(fd, tells ? count : 0, length);
}
ssize_t noted_sent(int fd, ssize_t count) noexcept {
  if (count > 0) note_sent(fd);
  return count;
}

// On a simulated machine, the machine's network says whether a failed send raises SIGPIPE: the kernel knows
// only the end of a socket pair. So the kernel raises none, and signalled() does.
int flags_for_kernel(int flags) noexcept {
  return AIOFIBER_LIKELY(runtime::current_network == nullptr) ? flags : flags | MSG_NOSIGNAL;
}
ssize_t signalled(int flags, ssize_t result) noexcept {
  return AIOFIBER_LIKELY(result >= 0) ? result : raise_sigpipe_if_simulated(flags, result);
}

// The results of calls that never wait.
ssize_t received_at_once(int fd, int flags, ssize_t count) noexcept {
  return runtime::transfer_result(fd, noted_received(fd, flags, count));
}
ssize_t sent_at_once(int fd, int flags, ssize_t count) noexcept {
  return signalled(flags, runtime::transfer_result(fd, noted_sent(fd, count)));
}

// ---- the kernel's calls, which the network of a simulated machine completes (datagrams)

ssize_t receive_now(int fd, void* buffer, std::size_t length, int flags, sockaddr* address,
                    socklen_t* address_length) noexcept {
  return runtime::receive_datagram_or(fd, flags, address, address_length, [&]() noexcept {
    return real::recvfrom(fd, buffer, length, flags, address, address_length);
  });
}
ssize_t receive_now(int fd, msghdr* message, int flags) noexcept {
  return runtime::receive_datagram_or(fd, flags, message,
                                      [&]() noexcept { return real::recvmsg(fd, message, flags); });
}

ssize_t receive(int fd, char* buffer, std::size_t length, int flags, sockaddr* address,
                socklen_t* address_length) {
  BlockingCall call(fd, kReadable, SO_RCVTIMEO);
  if (!call.wait_if_drained()) return -1;
  std::size_t received = 0;
  for (;;) {
    const ssize_t n = noted_received(
        fd, flags,
        receive_now(fd, buffer + received, length - received, flags | MSG_DONTWAIT, address, address_length));
    if (n >= 0) {
      note_what_is_left(fd, flags, static_cast<std::size_t>(n), length - received);
      received += static_cast<std::size_t>(n);
      if (n == 0 || received >= length || !wants_all(fd, flags)) return static_cast<ssize_t>(received);
      address = nullptr;
      address_length = nullptr;
    } else if (!call.probe_again()) {
      return call.end_with_error(received);
    }
  }
}

// The kernel refuses it (EFAULT, EMSGSIZE) before it looks at the socket; then its pieces must not be counted
// here.
bool is_malformed(const msghdr* message) noexcept {
  return message == nullptr || message->msg_iovlen > IOV_MAX ||
         (message->msg_iov == nullptr && message->msg_iovlen > 0);
}

}  // namespace

ssize_t raise_sigpipe_if_simulated(int flags, ssize_t result) noexcept {
  if (result >= 0 || errno != EPIPE || (flags & MSG_NOSIGNAL) != 0) return result;
  if (runtime::current_network == nullptr) return result;  // the kernel has raised it
  ::raise(SIGPIPE);                                        // of this thread, as the kernel's
  errno = EPIPE;
  return result;
}

ssize_t receive_message_at_once(int fd, msghdr* message, int flags) noexcept {
  return received_at_once(fd, flags, receive_now(fd, message, flags));
}

ssize_t transmit_message_at_once(int fd, const msghdr* message, int flags) noexcept {
  ssize_t sent;
  if (!is_malformed(message) && runtime::network_sends_at_once(fd, *message, flags, sent))
    return noted_sent(fd, sent);
  return sent_at_once(fd, flags, real::sendmsg(fd, message, flags_for_kernel(flags)));
}

bool transmit_by_network(int fd, const msghdr& message, int flags, ssize_t& result) {
  if (AIOFIBER_LIKELY(runtime::current_network == nullptr)) return false;
  BlockingCall call(fd, kWritable, SO_SNDTIMEO);
  for (;;) {
    if (!runtime::network_sends(fd, message, flags, result)) return false;
    if (result == runtime::Network::kNoRoom && call.probe_again()) continue;
    result = result >= 0 ? noted_sent(fd, result) : call.end_with_error(0);
    return true;
  }
}

ssize_t receive_message(int fd, msghdr* message, int flags) {
  if (is_malformed(message)) return real::recvmsg(fd, message, flags | MSG_DONTWAIT);
  BlockingCall call(fd, kReadable, SO_RCVTIMEO);
  const std::size_t length = total_length(message->msg_iov, message->msg_iovlen);
  IovCursor rest(message->msg_iov, message->msg_iovlen);
  const std::size_t control_length = message->msg_controllen;
  std::size_t received = 0;
  msghdr part = *message;
  if (!call.wait_if_drained()) return -1;
  for (;;) {
    if (received > 0) {
      part.msg_iov = const_cast<iovec*>(rest.pieces());
      part.msg_iovlen = rest.count();
      part.msg_name = nullptr;
      part.msg_namelen = 0;
      part.msg_controllen = control_length;
    }
    const ssize_t n = noted_received(fd, flags, receive_now(fd, &part, flags | MSG_DONTWAIT));
    if (n >= 0) {
      if (received == 0) message->msg_namelen = part.msg_namelen;
      message->msg_controllen = part.msg_controllen;
      message->msg_flags = part.msg_flags;
      const bool has_ancillary_data = part.msg_controllen > 0;  // it ends a message where no data ends
      note_what_is_left(fd, has_ancillary_data ? MSG_PEEK : flags, static_cast<std::size_t>(n),
                        length - received);
      received += static_cast<std::size_t>(n);
      rest.advance(static_cast<std::size_t>(n));
      // Ancillary data ends a WAITALL, because it belongs to the bytes received so far.
      const bool complete = n == 0 || received >= length || part.msg_controllen > 0 ||
                            (part.msg_flags & (MSG_EOR | MSG_TRUNC | MSG_CTRUNC)) != 0;
      if (complete || !wants_all(fd, flags)) return static_cast<ssize_t>(received);
    } else if (!call.probe_again()) {
      return call.end_with_error(received);
    }
  }
}

namespace {

// Linux raises SIGPIPE only for a call that has moved nothing, so our later pieces must not raise it.
int flags_for_piece(int flags, std::size_t sent) noexcept {
  return flags_for_kernel(flags) | MSG_DONTWAIT | (sent > 0 ? MSG_NOSIGNAL : 0);
}

ssize_t transmit(int fd, const char* data, std::size_t length, int flags, const sockaddr* address,
                 socklen_t address_length) {
  if (AIOFIBER_UNLIKELY(runtime::current_network != nullptr)) {
    ssize_t by_network;
    iovec piece;
    const msghdr message = runtime::as_message(piece, data, length, address, address_length);
    if (transmit_by_network(fd, message, flags, by_network)) return by_network;
  }
  BlockingCall call(fd, kWritable, SO_SNDTIMEO);
  std::size_t sent = 0;
  for (;;) {
    const ssize_t n = noted_sent(fd, real::sendto(fd, data + sent, length - sent,
                                                  flags_for_piece(flags, sent), address, address_length));
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
      if (sent >= length) return static_cast<ssize_t>(sent);
    } else if (!call.probe_again()) {
      return signalled(flags, call.end_with_error(sent));
    }
  }
}

ssize_t transmit_at_once(int fd, const void* data, std::size_t length, int flags, const sockaddr* address,
                         socklen_t address_length) noexcept {
  if (AIOFIBER_UNLIKELY(runtime::current_network != nullptr)) {
    ssize_t sent;
    iovec piece;
    const msghdr message = runtime::as_message(piece, data, length, address, address_length);
    if (runtime::network_sends_at_once(fd, message, flags, sent)) return noted_sent(fd, sent);
  }
  return sent_at_once(fd, flags,
                      real::sendto(fd, data, length, flags_for_kernel(flags), address, address_length));
}

}  // namespace

ssize_t transmit_message(int fd, const msghdr* message, int flags) {
  if (is_malformed(message)) return real::sendmsg(fd, message, flags | MSG_DONTWAIT);
  ssize_t by_network;
  if (transmit_by_network(fd, *message, flags, by_network)) return by_network;
  BlockingCall call(fd, kWritable, SO_SNDTIMEO);
  const std::size_t length = total_length(message->msg_iov, message->msg_iovlen);
  IovCursor rest(message->msg_iov, message->msg_iovlen);
  std::size_t sent = 0;
  msghdr part = *message;
  for (;;) {
    const ssize_t n = noted_sent(fd, real::sendmsg(fd, &part, flags_for_piece(flags, sent)));
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
      if (sent >= length) return static_cast<ssize_t>(sent);
      rest.advance(static_cast<std::size_t>(n));
      part.msg_iov = const_cast<iovec*>(rest.pieces());
      part.msg_iovlen = rest.count();
      part.msg_control = nullptr;  // the first piece sends the ancillary data (descriptors)
      part.msg_controllen = 0;
    } else if (!call.probe_again()) {
      return signalled(flags, call.end_with_error(sent));
    }
  }
}

namespace {

// ---- connect and accept ask the network of a simulated machine, if the task runs on one

int connect_now(int fd, const sockaddr* address, socklen_t length) {
  runtime::Network* const network = runtime::current_network;
  return AIOFIBER_LIKELY(network == nullptr) ? real::connect(fd, address, length)
                                             : network->connect(fd, address, length);
}
int accept_now(int fd, sockaddr* address, socklen_t* length, int flags) {
  runtime::Network* const network = runtime::current_network;
  return AIOFIBER_LIKELY(network == nullptr) ? real::accept4(fd, address, length, flags)
                                             : network->accept(fd, address, length, flags);
}
int option_now(int fd, int option, void* value, socklen_t* length) noexcept {
  runtime::Network* const network = runtime::current_network;
  return AIOFIBER_LIKELY(network == nullptr) ? ::getsockopt(fd, SOL_SOCKET, option, value, length)
                                             : network->get_option(fd, SOL_SOCKET, option, value, length);
}

// ---- connect

enum class ConnectState { kDone, kFailed, kInProgress };

// Returns the state of a connection attempt; errno is its error.
ConnectState connect_state(int fd) noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  if (option_now(fd, SO_ERROR, &error, &length) != 0) return ConnectState::kFailed;
  if (error != 0) {
    errno = error;
    return ConnectState::kFailed;
  }
  return is_ready_now(fd, POLLOUT) ? ConnectState::kDone : ConnectState::kInProgress;
}

// Waits for the outcome of a pending connect(). `unfinished`: the errno on Linux when SO_SNDTIMEO ends the
// wait: EINPROGRESS for the call that began the attempt, EALREADY for a later one. An alarm leaves the
// attempt pending, too.
int finish_connect(int fd, Nanoseconds deadline, int unfinished, int errno_at_start) {
  const AfterAlarm after_alarm = deadline == kForever ? AfterAlarm::kMayGoOn : AfterAlarm::kFails;
  for (;;) {
    if (!run_alarm_handler(after_alarm)) return -1;
    const Nanoseconds left = runtime::time_until(deadline, loop_now());
    const auto wait = [&] {
      const AlarmEndsWait ends_wait;
      return runtime::fd_wait(fd, kWritable, left);
    };
    runtime::FdWaitResult result;
    if (runtime::refused_by_closing_loop()) {
      result.interrupted = true;
    } else if (left <= 0) {
      result.timed_out = true;
    } else if (!without_throwing([&] { result = wait(); })) {
      return -1;
    }
    calls_since_turn = 0;
    if (result.interrupted || result.timed_out || (result.events & runtime::kClosed) != 0) {
      errno = result.interrupted ? ECANCELED : result.timed_out ? unfinished : result.error;
      return -1;
    }
    switch (connect_state(fd)) {
      case ConnectState::kDone:
        errno = errno_at_start;
        return 0;
      case ConnectState::kFailed:
        return -1;
      case ConnectState::kInProgress:
        break;
    }
  }
}

int connect_suspending(int fd, const sockaddr* address, socklen_t length) {
  const int errno_at_start = errno;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0) return connect_now(fd, address, length);
  // A Unix-domain server with a full backlog gives EAGAIN and nothing to poll: try again with growing pauses.
  constexpr Nanoseconds kFirstPause = 500'000;
  constexpr Nanoseconds kLongestPause = 50'000'000;
  Nanoseconds pause = kFirstPause;
  Nanoseconds deadline = 0;  // 0: not known yet
  for (;;) {
    int result;
    {
      const NonblockScope nonblocking(fd, flags);
      result = connect_now(fd, address, length);
    }
    if (result == 0) {
      errno = errno_at_start;
      return 0;
    }
    // EALREADY: a time limit or a cancellation left an attempt pending; a blocking call waits for that
    // attempt.
    if (errno != EINPROGRESS && errno != EALREADY && errno != EAGAIN && errno != EINTR) return -1;
    if (deadline == 0) deadline = deadline_after(socket_timeout(fd, SO_SNDTIMEO));
    if (errno != EAGAIN)
      return finish_connect(fd, deadline, errno == EALREADY ? EALREADY : EINPROGRESS, errno_at_start);
    if (address->sa_family != AF_UNIX) return -1;
    const Nanoseconds now = loop_now();
    if (now >= deadline) return -1;
    if (!sleep_until(std::min(deadline, now + pause))) return -1;
    pause = std::min(pause * 2, kLongestPause);
    errno = EAGAIN;
  }
}

// A descriptor that does not listen, or is no socket, gets no connection: the kernel reports that at once.
bool is_listening(int fd) noexcept {
  const int saved_errno = errno;
  int listening = 0;
  socklen_t length = sizeof listening;
  const bool known = option_now(fd, SO_ACCEPTCONN, &listening, &length) == 0;
  errno = saved_errno;
  return known && listening != 0;
}

int accept_suspending(int fd, sockaddr* address, socklen_t* length, int accept_flags) {
  BlockingCall call(fd, kReadable, SO_RCVTIMEO);
  const int errno_at_start = errno;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0) return accept_now(fd, address, length, accept_flags);
  for (;;) {
    if (is_ready_now(fd, POLLIN) || !is_listening(fd)) {
      int connection;
      {
        const NonblockScope nonblocking(fd, flags);
        connection = accept_now(fd, address, length, accept_flags);
      }
      if (connection >= 0) {
        errno = errno_at_start;
        return connection;
      }
    } else {
      errno = EAGAIN;
    }
    if (!call.probe_again()) return -1;  // EAGAIN of accept: another process took the connection
  }
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

ssize_t recv(int fd, void* buffer, size_t length, int flags) {
  if (refuses_to_receive(fd)) return -1;
  if (!acts()) return real::recv(fd, buffer, length, flags);
  if ((flags & kReceivesAtOnce) != 0)
    return received_at_once(fd, flags, receive_now(fd, buffer, length, flags, nullptr, nullptr));
  return receive(fd, static_cast<char*>(buffer), length, flags, nullptr, nullptr);
}

ssize_t recvfrom(int fd, void* buffer, size_t length, int flags, sockaddr* address,
                 socklen_t* address_length) {
  if (refuses_to_receive(fd)) return -1;
  if (!acts()) return real::recvfrom(fd, buffer, length, flags, address, address_length);
  if ((flags & kReceivesAtOnce) != 0)
    return received_at_once(fd, flags, receive_now(fd, buffer, length, flags, address, address_length));
  return receive(fd, static_cast<char*>(buffer), length, flags, address, address_length);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if (refuses_to_receive(fd)) return -1;
  if (!acts()) return real::recvmsg(fd, message, flags);
  if ((flags & kReceivesAtOnce) != 0) return receive_message_at_once(fd, message, flags);
  return receive_message(fd, message, flags);
}

ssize_t send(int fd, const void* data, size_t length, int flags) {
  if (refuses_to_send(fd)) return -1;
  if (!acts()) return real::send(fd, data, length, flags);
  if ((flags & kSendsAsLibc) != 0) return transmit_at_once(fd, data, length, flags, nullptr, 0);
  return transmit(fd, static_cast<const char*>(data), length, flags, nullptr, 0);
}

ssize_t sendto(int fd, const void* data, size_t length, int flags, const sockaddr* address,
               socklen_t address_length) {
  if (refuses_to_send(fd) || aiofiber::runtime::is_unreachable("sendto", address, address_length)) return -1;
  if (!acts()) return real::sendto(fd, data, length, flags, address, address_length);
  if ((flags & kSendsAsLibc) != 0) return transmit_at_once(fd, data, length, flags, address, address_length);
  return transmit(fd, static_cast<const char*>(data), length, flags, address, address_length);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  if (refuses_to_send(fd) || aiofiber::runtime::is_unreachable("sendmsg", message)) return -1;
  if (!acts()) return real::sendmsg(fd, message, flags);
  if ((flags & kSendsAsLibc) != 0) return transmit_message_at_once(fd, message, flags);
  return transmit_message(fd, message, flags);
}

int connect(int fd, const sockaddr* address, socklen_t length) {
  if (aiofiber::runtime::is_unreachable("connect", address, length)) return -1;
  note_connecting(fd);
  if (!acts()) return real::connect(fd, address, length);
  note_use(fd);
  return connect_suspending(fd, address, length);
}

int accept(int fd, sockaddr* address, socklen_t* length) {
  if (!acts()) return noted_opened(note_accepted(real::accept(fd, address, length)));
  return noted_opened(note_accepted(accept_suspending(fd, address, length, 0)));
}

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (!acts()) return noted_opened(note_accepted(real::accept4(fd, address, length, flags)));
  return noted_opened(note_accepted(accept_suspending(fd, address, length, flags)));
}

// The names of recv and recvfrom in programs compiled with -D_FORTIFY_SOURCE.
ssize_t __recv_chk(int fd, void* buffer, size_t length, size_t buffer_size, int flags) {
  if (length > buffer_size) __chk_fail();
  return recv(fd, buffer, length, flags);
}

ssize_t __recvfrom_chk(int fd, void* buffer, size_t length, size_t buffer_size, int flags, sockaddr* address,
                       socklen_t* address_length) {
  if (length > buffer_size) __chk_fail();
  return recvfrom(fd, buffer, length, flags, address, address_length);
}

}  // extern "C"
