// SPDX-License-Identifier: Apache-2.0
//
// Connections on which a call was cut short.
//
// If a client gives up in the middle of an answer, the rest of the answer stays in the socket, and the next
// question would get it. So when a wait on a connection (SOCK_STREAM or SOCK_SEQPACKET) ends because its task
// was cancelled or its loop closes, one of these follows:
//
//   the wait was for                    what is known                  result
//   room to send                        part of a message was sent     shut down
//   bytes, on one from accept()         a server waits for requests    left as it is
//   bytes, after something was sent     an answer is outstanding       shut down
//   bytes, else                         the rest of an answer, or news muted
//
// Muted: it may still be read, but the next send (a new question) shuts it down.
// hooks::CutOff and AIOFIBER_CUT_OFF_GOES_ON change this (aiofiber/hooks.h).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

// Why the remembered state cannot give a wrong answer: connections that accept() made, were shut down or are
// muted are kept by SO_COOKIE. The kernel never gives this number to another socket, so dup, fork and the
// reuse of a descriptor do not matter. The direction of the last byte is kept by descriptor, one byte each.
// It only decides whether the connection is shut down now or at the next question. If a table is full, the
// stricter case applies.
// Threads: any. Nothing here suspends, allocates or changes errno, unless a comment says so.

namespace aiofiber::hooks {

// ---- successful calls, noted by the hooks

namespace detail {
enum class LastMove : std::uint8_t { kNone, kSent, kReceived };
inline constexpr std::size_t kDescriptors = 65536;
extern constinit std::atomic<LastMove> last_moves[kDescriptors] __attribute__((visibility("hidden")));
inline void note_move(int fd, LastMove move) noexcept {
  if (fd >= 0 && static_cast<std::size_t>(fd) < kDescriptors)
    last_moves[fd].store(move, std::memory_order_relaxed);
}
inline LastMove last_move(int fd) noexcept {
  const bool known = fd >= 0 && static_cast<std::size_t>(fd) < kDescriptors;
  // Not known: the stricter case.
  return known ? last_moves[fd].load(std::memory_order_relaxed) : LastMove::kSent;
}
extern constinit std::atomic<bool> duplicated[kDescriptors] __attribute__((visibility("hidden")));
inline void note_duplicated(int fd, bool is_so) noexcept {
  if (fd >= 0 && static_cast<std::size_t>(fd) < kDescriptors)
    duplicated[fd].store(is_so, std::memory_order_relaxed);
}
// The number of connections that are shut down or muted and not closed yet.
extern constinit std::atomic<int> given_up_count __attribute__((visibility("hidden")));
bool refuses_to_send(int fd) noexcept;
bool refuses_to_receive(int fd) noexcept;
std::atomic<std::uint64_t>* find_to_close(int fd) noexcept;
void forget(std::atomic<std::uint64_t>& entry) noexcept;
}  // namespace detail

// Call these in tasks only: outside a task a hook costs one load of a thread-local.
inline void note_sent(int fd) noexcept { detail::note_move(fd, detail::LastMove::kSent); }
inline void note_received(int fd) noexcept { detail::note_move(fd, detail::LastMove::kReceived); }
// It will be connected: nothing has moved.
inline void note_connecting(int fd) noexcept { detail::note_move(fd, detail::LastMove::kNone); }
// Call it before the number is closed or reused.
inline void note_closed(int fd) noexcept {
  detail::note_move(fd, detail::LastMove::kNone);
  detail::note_duplicated(fd, false);
}
// `made`: a duplicate of `fd`, or -1.
inline void note_duplicate(int fd, int made) noexcept {
  if (made < 0) return;
  detail::note_move(made, detail::last_move(fd));
  detail::note_duplicated(fd, true);
  detail::note_duplicated(made, true);
}

// Notes what accept() returned, on any thread; returns it.
int note_accepted(int fd) noexcept;

// ---- a wait that was cut short

// `events`: the events of the wait, runtime::kReadable and kWritable. errno is kept.
// Precondition: called by a task.
void wait_was_cut_off(int fd, unsigned events) noexcept;

// ---- afterwards, on any thread

// True: nothing may be sent any more; errno is EPIPE. There is no signal, because the peer is still there.
// The call shuts down a muted connection, unless a cancelled task sends: its good-byes are sent, and nothing
// is read after them.
inline bool refuses_to_send(int fd) noexcept {
  return detail::given_up_count.load(std::memory_order_relaxed) != 0 && detail::refuses_to_send(fd);
}
// True: it is shut down, or a good-bye was sent; errno is ECONNRESET. An end of stream would look like the
// regular end of an answer.
inline bool refuses_to_receive(int fd) noexcept {
  return detail::given_up_count.load(std::memory_order_relaxed) != 0 && detail::refuses_to_receive(fd);
}
// Put it around a close. Afterwards the connection's state is forgotten (fclose() may flush before), unless
// it has a duplicate. A muted connection is shut down, because the hooks may have missed a duplicate.
class Closing {
 public:
  explicit Closing(int fd) noexcept {
    if (detail::given_up_count.load(std::memory_order_relaxed) != 0) entry_ = detail::find_to_close(fd);
    note_closed(fd);
  }
  ~Closing() {
    if (entry_ != nullptr) detail::forget(*entry_);
  }
  Closing(const Closing&) = delete;
  Closing& operator=(const Closing&) = delete;

 private:
  std::atomic<std::uint64_t>* entry_ = nullptr;
};

}  // namespace aiofiber::hooks
