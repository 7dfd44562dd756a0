// SPDX-License-Identifier: Apache-2.0
//
// Child: what a loop knows of a child process: its pidfd, how it ended, and who waits for that.
//
// The loop holds a reference from the start until it has reaped the child. So a child is reaped also if the
// program has dropped its handles. The watch and the list's node are parts of this object: the end of a child
// allocates nothing. Invariant: while returncode is absent and the loop is open, the reactor watches the
// pidfd. Not for users. Threads: the loop's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "aiofiber/loop_core.h"
#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/wait_queue.h"
#include "subprocess/spawn.h"

namespace aiofiber::detail {

class Child final : public Counted<Child>, public OpenObject {
 public:
  // Without a process yet, so that memory is short before there is one.
  explicit Child(LoopCore& loop) : loop_(&loop), watch_(*this) {}

  // Takes over the process and watches it. If that fails, the process is killed and reaped. Throws
  // std::system_error, std::bad_alloc.
  void adopt(pid_t pid, Descriptor pidfd);

  LoopCore& loop() const noexcept { return *loop_; }
  pid_t pid() const noexcept { return pid_; }
  std::optional<int> returncode() const noexcept { return returncode_; }
  int wait();
  static Coro<int> wait_without_stack(runtime::Ref<Child> child);
  void send_signal(int signo);
  // Schedules the persistent callback once when it has ended. The caller keeps it valid until then.
  void call_at_end(runtime::Ref<HandleBase> callback) noexcept { at_end_ = std::move(callback); }
  void detach() noexcept { detached_ = true; }
  // Does nothing if it has ended. For an owner that gives up.
  void kill_quietly() noexcept;
  std::string text() const;

 private:
  friend class Counted<Child>;
  ~Child() = default;

  struct Watch final : runtime::FdWaiter {
    explicit Watch(Child& owner) noexcept;
    Child& child;
  };
  void check_loop() const;
  void pidfd_ready(unsigned events) noexcept;
  // Reaps it if it has ended; false: it runs.
  bool try_to_reap() noexcept;
  void ended() noexcept;
  void loop_closes() noexcept override;

  const runtime::Ref<LoopCore> loop_;
  pid_t pid_ = -1;
  Descriptor pidfd_;
  std::optional<int> returncode_;
  bool detached_ = false;
  const std::uint32_t fork_generation_ = runtime::fork_generation();
  runtime::Ref<HandleBase> at_end_;
  Watch watch_;
  WaitQueue waiters_{AIOFIBER_WAIT_PROCESS, nullptr};
};

}  // namespace aiofiber::detail
