// SPDX-License-Identifier: Apache-2.0
//
// recvmmsg and sendmmsg: several messages per call, each moved as by recvmsg and sendmsg.
//
// As in the kernel, an error after the first message is not reported; the number of messages is. And recvmmsg
// checks its time limit only after a message has come. (The kernel's man page calls that a bug, but programs
// were tested with it.)
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/blocking_call.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/real.h"
#include "hooks/net/net.h"

namespace aiofiber::hooks {

namespace {

using runtime::kForever;
using runtime::Nanoseconds;

constexpr unsigned kMostMessages = 1024;  // UIO_MAXIOV: the kernel takes no more in one call

int receive_many(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const Nanoseconds deadline = deadline_after(to_nanoseconds(timeout));
  const bool one_is_enough = (flags & MSG_WAITFORONE) != 0;
  unsigned received = 0;
  while (received < std::min(count, kMostMessages)) {
    mmsghdr& message = messages[received];
    const int own_flags = flags & ~MSG_WAITFORONE;
    const ssize_t n = (own_flags & kReceivesAtOnce) != 0
                          ? receive_message_at_once(fd, &message.msg_hdr, own_flags)
                      : one_is_enough && received > 0
                          ? receive_message_at_once(fd, &message.msg_hdr, own_flags | MSG_DONTWAIT)
                          : receive_message(fd, &message.msg_hdr, own_flags);
    if (n < 0) return received > 0 ? static_cast<int>(received) : -1;
    message.msg_len = static_cast<unsigned>(n);
    ++received;
    if (deadline != kForever) {
      const Nanoseconds left = runtime::time_until(deadline, loop_now());
      *timeout = {left / kSecond, left % kSecond};
      if (left == 0) break;
    }
  }
  return static_cast<int>(received);
}

int transmit_many(int fd, mmsghdr* messages, unsigned count, int flags) {
  unsigned sent = 0;
  for (; sent < std::min(count, kMostMessages); ++sent) {
    const ssize_t n = (flags & MSG_DONTWAIT) != 0
                          ? transmit_message_at_once(fd, &messages[sent].msg_hdr, flags)
                          : transmit_message(fd, &messages[sent].msg_hdr, flags);
    if (n < 0) return sent > 0 ? static_cast<int>(sent) : -1;
    messages[sent].msg_len = static_cast<unsigned>(n);
  }
  return static_cast<int>(sent);
}

// Whether one of the messages has an address that a simulation keeps from the caller. Then none is sent.
bool is_closed_to(const mmsghdr* messages, unsigned count) noexcept {
  if (AIOFIBER_LIKELY(runtime::real_network_gate.load(std::memory_order_relaxed) == nullptr)) return false;
  return messages != nullptr && std::any_of(messages, messages + count, [](const mmsghdr& message) {
           return runtime::is_unreachable("sendmmsg", &message.msg_hdr);
         });
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  if (refuses_to_receive(fd)) return -1;
  if (!acts() || count == 0 || messages == nullptr || !is_valid_timeout(timeout) ||
      ((flags & kReceivesAtOnce) != 0 && aiofiber::runtime::current_network == nullptr))
    return real::recvmmsg(fd, messages, count, flags, timeout);
  return receive_many(fd, messages, count, flags, timeout);
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (refuses_to_send(fd) || is_closed_to(messages, count)) return -1;
  if (!acts() || count == 0 || messages == nullptr) return real::sendmmsg(fd, messages, count, flags);
  if ((flags & MSG_DONTWAIT) != 0 && aiofiber::runtime::current_network == nullptr) {
    note_sent(fd);
    return real::sendmmsg(fd, messages, count, flags);
  }
  return transmit_many(fd, messages, count, flags);
}

}  // extern "C"
