// SPDX-License-Identifier: Apache-2.0
//
// The two tables of sockets, and the shutdown of a connection that is given up.
//
// A socket that is shut down can still contain bytes, which any read would get: they are discarded. The
// kernel refuses later bytes.
#include "hooks/core/cut_off.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "hooks/core/name_list.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace detail {
constinit std::atomic<LastMove> last_moves[kDescriptors];
constinit std::atomic<bool> duplicated[kDescriptors];
constinit std::atomic<int> given_up_count{0};
}  // namespace detail

namespace {

using Cookie = std::uint64_t;

class ErrnoKept {
 public:
  ErrnoKept() noexcept : saved_(errno) {}
  ~ErrnoKept() { errno = saved_; }
  ErrnoKept(const ErrnoKept&) = delete;
  ErrnoKept& operator=(const ErrnoKept&) = delete;

 private:
  int saved_;
};

// 0: no socket, or a kernel without these numbers.
Cookie cookie_of(int fd) noexcept {
  const ErrnoKept errno_kept;
  Cookie cookie = 0;
  socklen_t length = sizeof cookie;
  return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

// ---- connections that accept() made

// The latest ones, by the low bits of their numbers: the kernel counts up.

constinit std::array<std::atomic<Cookie>, 65536> accepted;

bool was_accepted(Cookie cookie) noexcept {
  return cookie != 0 && accepted[cookie % accepted.size()].load(std::memory_order_relaxed) == cookie;
}

// ---- connections that are shut down or muted

// Mark bits in the number: the kernel's numbers never reach them. No mark: it is shut down.
constexpr Cookie kMuted = Cookie{1} << 63;
// For a muted one: the next bytes could be taken for the answer to the good-bye.
constexpr Cookie kSaidGoodbye = Cookie{1} << 62;
constexpr Cookie kMarks = kMuted | kSaidGoodbye;
constexpr std::size_t kPlaces = 1024;
constexpr std::size_t kTried = 16;  // places for one number
constinit std::array<std::atomic<Cookie>, kPlaces> given_up;
// The process that filled the table. A forked child has copies of the descriptors.
constinit std::atomic<pid_t> process_of_table{0};

std::atomic<Cookie>& place(Cookie cookie, std::size_t attempt) noexcept {
  return given_up[(cookie + attempt) % kPlaces];
}

std::atomic<Cookie>* find(Cookie cookie) noexcept {
  for (std::size_t i = 0; cookie != 0 && i < kTried; ++i) {
    if ((place(cookie, i).load(std::memory_order_acquire) & ~kMarks) == cookie) return &place(cookie, i);
  }
  return nullptr;
}

// Changes the marks of a connection in its place. False: the place is empty or has another connection.
bool mark(std::atomic<Cookie>& entry, Cookie cookie, Cookie marks) noexcept {
  Cookie old = entry.load(std::memory_order_acquire);
  while ((old & ~kMarks) == cookie) {
    if (entry.compare_exchange_weak(old, cookie | marks, std::memory_order_acq_rel)) return true;
  }
  return false;
}

// False: no room. Entries of shut-down sockets make room for muted ones: without an entry, the kernel fails
// the call, with its signal, which is acceptable.
bool remember(Cookie cookie, Cookie marks) noexcept {
  if (cookie == 0) return false;
  const pid_t self = ::getpid();
  if (const pid_t before = process_of_table.exchange(self, std::memory_order_relaxed);
      before != self && before != 0) {
    for (std::atomic<Cookie>& entry : given_up) entry.store(0, std::memory_order_relaxed);  // the parent's
    detail::given_up_count.store(0, std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < kTried; ++i) {
    Cookie empty = 0;
    if (place(cookie, i).compare_exchange_strong(empty, cookie | marks, std::memory_order_acq_rel)) {
      detail::given_up_count.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
  }
  for (std::size_t i = 0; i < kTried; ++i) {
    Cookie other = place(cookie, i).load(std::memory_order_acquire);
    if ((other & kMuted) == 0 && other != 0 &&
        place(cookie, i).compare_exchange_strong(other, cookie | marks, std::memory_order_acq_rel)) {
      return true;
    }
  }
  return false;
}

// Shuts down both directions, for all holders of the socket. Then no more bytes can arrive, and those in it
// are discarded.
void shut_down(int fd) noexcept {
  if (::shutdown(fd, SHUT_RDWR) != 0) return;
  char bytes[4096];
  while (real::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
}

void shut_down_and_remember(int fd, Cookie cookie) noexcept {
  shut_down(fd);
  // Another thread may have given the place to another connection meanwhile.
  if (std::atomic<Cookie>* known = find(cookie); known == nullptr || !mark(*known, cookie, 0))
    remember(cookie, 0);
}

void mute(int fd, Cookie cookie) noexcept {
  if (find(cookie) == nullptr && !remember(cookie, kMuted)) shut_down(fd);
}

// ---- the connections that this file handles

// Connected and with an ordered stream of bytes. A socket that is still connecting has moved none.
bool is_connection(int fd, sockaddr_storage& peer, socklen_t& peer_length) noexcept {
  int type = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
      (type != SOCK_STREAM && type != SOCK_SEQPACKET))
    return false;
  peer_length = sizeof peer;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_length) == 0;
}

// The peer as it is named in the environment: a port, or a unix socket's path.
std::string_view peer_name(const sockaddr_storage& peer, socklen_t length,
                           std::array<char, 8>& digits) noexcept {
  int port = 0;
  if (peer.ss_family == AF_INET) {
    port = ntohs(reinterpret_cast<const sockaddr_in&>(peer).sin_port);
  } else if (peer.ss_family == AF_INET6) {
    port = ntohs(reinterpret_cast<const sockaddr_in6&>(peer).sin6_port);
  } else if (peer.ss_family == AF_UNIX) {
    constexpr std::size_t kHead = offsetof(sockaddr_un, sun_path);
    const char* path = reinterpret_cast<const sockaddr_un&>(peer).sun_path;
    return length <= kHead ? std::string_view() : std::string_view(path, ::strnlen(path, length - kHead));
  }
  if (port == 0) return {};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), port).ptr;
  return {digits.data(), static_cast<std::size_t>(end - digits.data())};
}

bool environment_says_that_it_goes_on(const sockaddr_storage& peer, socklen_t length) noexcept {
  static const char* const setting = ::secure_getenv("AIOFIBER_CUT_OFF_GOES_ON");
  if (setting == nullptr) return false;
  std::array<char, 8> digits;
  const std::string_view name = peer_name(peer, length, digits);
  for (NameList list(setting); const auto item = list.next();) {
    if (!name.empty() && *item == name) return true;
  }
  return false;
}

// Whether this process has another descriptor for the connection, made through the hooks. Only descriptors
// that once had a duplicate are checked; the order of closing does not matter.
bool has_duplicate(int fd, Cookie cookie) noexcept {
  const auto self = static_cast<std::size_t>(fd);
  if (self >= detail::kDescriptors || !detail::duplicated[self].load(std::memory_order_relaxed)) return false;
  for (std::size_t other = 0; other < detail::kDescriptors; ++other) {
    if (other != self && detail::duplicated[other].load(std::memory_order_relaxed) &&
        cookie_of(static_cast<int>(other)) == cookie)
      return true;
  }
  return false;
}

// Whether the sender is the cancelled task itself.
bool says_goodbye() noexcept {
  const runtime::Fiber* fiber = runtime::current_fiber();
  return fiber != nullptr && (fiber->interrupted || fiber->unwinding);
}

}  // namespace

int note_accepted(int fd) noexcept {
  if (fd < 0) return fd;
  note_closed(fd);
  if (const Cookie cookie = cookie_of(fd); cookie != 0) {
    accepted[cookie % accepted.size()].store(cookie, std::memory_order_relaxed);
  }
  return fd;
}

void wait_was_cut_off(int fd, unsigned events) noexcept {
  const ErrnoKept errno_kept;
  const auto policy = static_cast<AfterCutOff>(runtime::current_fiber()->after_cut_off);
  sockaddr_storage peer;
  socklen_t length;
  if (policy == AfterCutOff::kGoesOn || !is_connection(fd, peer, length)) return;
  const Cookie cookie = cookie_of(fd);
  const bool half_sent = (events & runtime::kWritable) != 0;
  if (policy == AfterCutOff::kByRole && !half_sent &&
      (was_accepted(cookie) || environment_says_that_it_goes_on(peer, length))) {
    return;
  }
  const bool outstanding = detail::last_move(fd) == detail::LastMove::kSent;
  if (half_sent || outstanding || policy == AfterCutOff::kShutDown) {
    shut_down_and_remember(fd, cookie);
  } else {
    mute(fd, cookie);
  }
}

namespace detail {

bool refuses_to_send(int fd) noexcept {
  const Cookie cookie = cookie_of(fd);
  std::atomic<Cookie>* found = find(cookie);
  if (found == nullptr) return false;
  if ((found->load(std::memory_order_acquire) & kMuted) != 0) {
    if (says_goodbye()) {
      mark(*found, cookie, kMuted | kSaidGoodbye);
      return false;
    }
    shut_down_and_remember(fd, cookie);
  }
  errno = EPIPE;
  return true;
}

bool refuses_to_receive(int fd) noexcept {
  const std::atomic<Cookie>* found = find(cookie_of(fd));
  if (found == nullptr || (found->load(std::memory_order_acquire) & kMarks) == kMuted) return false;
  errno = ECONNRESET;
  return true;
}

std::atomic<Cookie>* find_to_close(int fd) noexcept {
  if (process_of_table.load(std::memory_order_relaxed) != ::getpid())
    return nullptr;  // the parent still uses it
  const Cookie cookie = cookie_of(fd);
  std::atomic<Cookie>* const found = find(cookie);
  if (found == nullptr) return nullptr;
  if (has_duplicate(fd, cookie)) return nullptr;
  const ErrnoKept errno_kept;
  if ((found->load(std::memory_order_acquire) & kMuted) != 0) shut_down_and_remember(fd, cookie);
  return found;
}

// For a socket that is shut down: if the entry already has another socket, the kernel's own errors apply to
// that.
void forget(std::atomic<Cookie>& entry) noexcept {
  Cookie old = entry.load(std::memory_order_acquire);
  if (old == 0 || (old & kMuted) != 0) return;
  if (entry.compare_exchange_strong(old, 0, std::memory_order_acq_rel))
    given_up_count.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace detail

}  // namespace aiofiber::hooks
