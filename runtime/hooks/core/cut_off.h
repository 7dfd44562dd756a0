// SPDX-License-Identifier: Apache-2.0
//
// Connections on which a call was cut short.
//
// A client that gives up in the middle of an answer leaves the rest of it in the socket, and the next
// question on that connection would be given it for its own. So a wait on a connection that ends because its
// task was cancelled (or its loop closes) is followed by one of these, for SOCK_STREAM and SOCK_SEQPACKET:
//
//   it was for room to send             a message is out in part        shut down
//   for bytes, on one from accept()     a server waits for requests     left as it is
//   for bytes, after something was
//     sent and before any came          an answer is outstanding        shut down
//   for bytes, else                     the rest of an answer, or news  muted
//
// Muted: it may be read on, but the next thing that is sent (a new question) shuts it down.
// hooks::CutOff and AIOFIBER_CUT_OFF_GOES_ON say otherwise (aiofiber/hooks.h).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

// What is remembered, and why it cannot lead to a wrong answer: which connections accept() made, were shut
// down or are muted is kept by SO_COOKIE, a number that the kernel gives to a socket and never again, so dup,
// fork and the reuse of a descriptor do not matter. Who moved the last byte is kept by descriptor, one byte
// each, and only chooses between shutting down now and at the next question. What is forgotten for want of
// room counts as the stricter case.
// Threads: any. Nothing here suspends, allocates or changes errno, but where it is said.

namespace aiofiber::hooks {

// ---- what the hooks tell of calls that went well

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
  return known ? last_moves[fd].load(std::memory_order_relaxed)
               : LastMove::kSent;  // not known: the stricter case
}
extern constinit std::atomic<bool> duplicated[kDescriptors] __attribute__((visibility("hidden")));
inline void note_duplicated(int fd, bool is_so) noexcept {
  if (fd >= 0 && static_cast<std::size_t>(fd) < kDescriptors)
    duplicated[fd].store(is_so, std::memory_order_relaxed);
}
// How many connections are shut down or muted and not closed yet.
extern constinit std::atomic<int> given_up_count __attribute__((visibility("hidden")));
bool refuses_to_send(int fd) noexcept;
bool refuses_to_receive(int fd) noexcept;
std::atomic<std::uint64_t>* find_to_close(int fd) noexcept;
void forget(std::atomic<std::uint64_t>& entry) noexcept;
}  // namespace detail

// Call these in tasks only: outside, a hook costs one look at a thread-local.
inline void note_sent(int fd) noexcept { detail::note_move(fd, detail::LastMove::kSent); }
inline void note_received(int fd) noexcept { detail::note_move(fd, detail::LastMove::kReceived); }
// It is about to be connected: nothing has moved.
inline void note_connecting(int fd) noexcept { detail::note_move(fd, detail::LastMove::kNone); }
// The number is about to stand for nothing, or for something else.
inline void note_closed(int fd) noexcept {
  detail::note_move(fd, detail::LastMove::kNone);
  detail::note_duplicated(fd, false);
}
// `made`: a new descriptor for what `fd` is, or -1.
inline void note_duplicate(int fd, int made) noexcept {
  if (made < 0) return;
  detail::note_move(made, detail::last_move(fd));
  detail::note_duplicated(fd, true);
  detail::note_duplicated(made, true);
}

// What accept() returned, on any thread; gives it back.
int note_accepted(int fd) noexcept;

// ---- a wait that was cut short

// `events`: what was waited for, of runtime::kReadable and kWritable. errno is kept.
// Precondition: called by a task.
void wait_was_cut_off(int fd, unsigned events) noexcept;

// ---- afterwards, on any thread

// True: nothing may be sent any more; errno is EPIPE. No signal, for it is not the peer that has gone. A
// muted connection is shut down by this, unless the task that sends is cancelled: its good-byes are let
// through, and nothing is read after those.
inline bool refuses_to_send(int fd) noexcept {
  return detail::given_up_count.load(std::memory_order_relaxed) != 0 && detail::refuses_to_send(fd);
}
// True: it is shut down, or a good-bye was said; errno is ECONNRESET. The end of a stream would look like the
// regular end of an answer.
inline bool refuses_to_receive(int fd) noexcept {
  return detail::given_up_count.load(std::memory_order_relaxed) != 0 && detail::refuses_to_receive(fd);
}
// Around what closes a descriptor: what is remembered of its connection is forgotten afterwards, since
// fclose() may have to flush before. Not if there is a duplicate of it. A muted one is shut down, for there
// may be one that nobody here has seen.
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
