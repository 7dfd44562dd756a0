// SPDX-License-Identifier: Apache-2.0
//
// What a program says to the hooks.
//
// Four things: where they are not to act (Disable), what becomes of a connection on which a call was cut
// short (CutOff), and whether they take stdio (enable_stdio) and files by their names (set_files_on_pool)
// too. All may be said in a program without hooks.
#pragma once

#include <cstdint>
#include <cstdio>

#include "aiofiber/runtime/engine/fiber.h"

// Null: stdio suspends tasks. Else why it does not. Weak: null itself in a program without hooks.
extern "C" [[gnu::weak]] const char* aiofiber_enable_stdio() noexcept;
// As above: null in a program without hooks.
extern "C" [[gnu::weak]] void aiofiber_set_files_on_pool(bool wanted) noexcept;

namespace aiofiber::hooks {

// For as long as it lives, the hooked libc calls of the current task are libc's own: for code that must not
// be suspended in the middle, because it holds a lock that another task of this thread may want, or is part
// of an allocator or a logger. Such a call then blocks the whole thread, as it would in any program. Scopes
// nest. Outside a task it does nothing. Lifetime: a local of the task; must be destroyed on the fiber that
// made it.
using Disable = runtime::HooksOff;

// What becomes of a connection (a stream or seqpacket socket) when a wait on it ends because its task was
// cancelled, ran into the limit of a wait_for, or lost its loop.
enum class AfterCutOff : std::uint8_t {
  // The default. A connection that this side has opened is given up, so that nobody takes the answer to the
  // question that was cut off for the answer to the next one: it is shut down if something was sent since the
  // last byte was received, and else at the next thing that is sent. Later calls fail with EPIPE (no signal)
  // or
  // ECONNRESET. One that accept() has returned is left as it is while it waits for bytes: a server waits for
  // the next request. Either is shut down when the wait was for room to send, as a message is out in part.
  kByRole,
  // It is left as it is: the protocol can go on, because each answer says which question it belongs to.
  kGoesOn,
  // It is shut down, whoever has opened it: the side that has accepted it is the one that asks.
  kShutDown,
};

// For as long as it lives, says so for the waits of the current task, and of the tasks that are created in
// it, for as long as those live (wait_for(fn, ...) makes one). Scopes nest, the innermost counts. Outside a
// task it does nothing.
//
// Whole protocols: AIOFIBER_CUT_OFF_GOES_ON in the environment, a list of peers' ports and paths of unix
// sockets with colons between them (5672:389:/run/broker.sock), is kGoesOn for connections to those where no
// scope says otherwise, but not for waits for room to send: who was not asked does not know how much of its
// message is out.
// Lifetime: a local of the task; must be destroyed on the fiber that made it.
// Cancellation: never a cancellation point.
class CutOff {
 public:
  explicit CutOff(AfterCutOff then) noexcept : fiber_(runtime::current_fiber()) {
    if (fiber_ == nullptr) return;
    before_ = fiber_->after_cut_off;
    fiber_->after_cut_off = static_cast<std::uint8_t>(then);
  }
  ~CutOff() {
    if (fiber_ != nullptr) fiber_->after_cut_off = before_;
  }
  CutOff(const CutOff&) = delete;
  CutOff& operator=(const CutOff&) = delete;

 private:
  runtime::Fiber* fiber_;
  std::uint8_t before_ = 0;
};

// From now on stdio suspends tasks: fgets, fread, fscanf, fprintf, fflush and the like on a FILE over a
// socket, a pipe or a terminal, but for stdin, stdout and stderr, which never do. The same as
// AIOFIBER_STDIO=1 in the environment. It replaces operations inside libc, so it looks first whether libc is
// as it must be, and tries afterwards. True: it is on, maybe since earlier. False: something is not as
// expected, stdio is libc's own as before, and a line on stderr says why. Threads: any, at any time. Does not
// suspend. See runtime/hooks/README.md.
inline bool enable_stdio() noexcept {
  const char* refusal =
      aiofiber_enable_stdio != nullptr
          ? aiofiber_enable_stdio()
          : "the program has no hooks: link the target aiofiber::hooks, or preload libaiofiber_hooks.so";
  if (refusal != nullptr)
    std::fprintf(stderr, "aiofiber hooks: stdio goes on blocking the thread: %s\n", refusal);
  return refusal == nullptr;
}

// Whether what concerns a file by its name (open, rename, unlink, mkdir, truncate, chmod, stat, opendir,
// readdir, fopen, mkstemp and their kin: runtime/hooks/README.md has them all) runs on the offload pool when
// a task calls it, so that a busy disk holds up only that task. Off at first, as each trip costs some ten
// microseconds; the same as AIOFIBER_FILES_ON_POOL=1 in the environment. Such a call is never cut short: a
// cancellation comes at the task's next wait. False: the program has no hooks, and nothing changes. Threads:
// any, at any time. Does not suspend.
inline bool set_files_on_pool(bool wanted) noexcept {
  if (aiofiber_set_files_on_pool == nullptr) return false;
  aiofiber_set_files_on_pool(wanted);
  return true;
}

}  // namespace aiofiber::hooks
