// SPDX-License-Identifier: Apache-2.0
//
// One inspection of a target, in words for readers: what each task does, what it waits for, where in the
// program it is. The commands (ps, stack, ...) only format these results.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inspect/utf8.h"
#include "snapshot.h"
#include "stack_walker.h"
#include "symbolizer.h"
#include "target.h"

namespace aiofiber::tool {

struct InspectionOptions {
  bool stop = false;               // freeze the process while it is copied, no longer
  std::vector<std::string> tasks;  // ids or names of the tasks whose stacks are needed; empty: all
  std::uint64_t most_bytes = SnapshotWishes::kUsualBytes;  // the limit for copied memory
  // Even if the target belongs to another user, who then chooses the files that are read.
  bool show_source = false;
};

// Whether `wanted` names this task, by id or by name.
bool is_called(const TaskSnapshot& task, const std::string& wanted);

class Inspection {
 public:
  // Keeps a reference to target.
  Inspection(Target& target, const InspectionOptions& options);

  Target& target() const { return target_; }
  const Snapshot& snapshot() const { return snapshot_; }
  Symbolizer& symbolizer() { return symbolizer_; }
  // Copies again. Known symbols of addresses are kept.
  void refresh();

  // "waiting", "ready", "new", "on CPU"
  std::string state(const TaskSnapshot& task) const;
  // "fd 7 readable", "task 3 'child'", "sleep, 1.5 s left", "lock at 0x7f..., held by task 3 'child'"; empty
  // if it does not wait.
  std::string waits_for(const TaskSnapshot& task) const;
  // The number of tasks whose stacks should be in a core and are missing, with a likely reason; empty if all
  // are there.
  std::string missing_stacks() const;
  // What the limit of memory left out; empty: nothing.
  std::string left_out() const;
  // A sentence for each blocked loop.
  std::vector<std::string> standing_loops() const;
  // Whether the thread of the loop waits for a mutex of libc, in a call of one of its functions.
  bool waits_for_mutex(const StandingLoop& loop) const;
  // The frames of the callback that blocks a loop, as frames() of a task; empty: a task runs, or the frames
  // are unknown.
  std::vector<Frame> callback_frames(const StandingLoop& loop, bool all) const;
  // Whether lines of source may be read.
  bool shows_source() const { return shows_source_; }
  // How long it has been waiting, or waiting for its start; nullopt if this does not apply.
  std::optional<std::int64_t> since_ns(const TaskSnapshot& task) const;
  // The most bytes of its stack that were ever in use, by this task or an earlier task on the same stack: the
  // pages in memory. nullopt when it has no stack, or this is unknown (a core).
  std::optional<std::uint64_t> stack_deepest(const TaskSnapshot& task) const;

  // Innermost first. A function that ends in a tail call is not on the stack while the called function waits.
  // If no other frame is the program's own, the task's function is added as the last one.
  std::vector<Address> addresses(const TaskSnapshot& task) const;
  // Innermost first; without `all`, frames of aiofiber, std::invoke and the like are left out.
  std::vector<Frame> frames(const std::vector<Address>& addresses, bool all) const;
  // The innermost frame of the program itself, not of a hook or a system header, unless there is no other.
  std::optional<Frame> where(const TaskSnapshot& task);

 private:
  std::string held_by(const TaskSnapshot& task) const;
  std::string held_by_thread(std::uint32_t tid) const;
  // ", blocked in read(fd 3 = pipe:[7])", ", blocked in futex() for mutex at 0x..., held by thread 7 'x'".
  std::string blocked_text(const StandingLoop& loop) const;
  // " of tasks 3 'a', 4 'b' and 5 more"; empty if they are not tasks.
  std::string watched_text(const TaskSnapshot& task) const;
  // As waits_for(), without the limit.
  std::string what_is_waited_for(const TaskSnapshot& task) const;

  bool is_wanted(const TaskSnapshot& task) const;
  // The function of libc that the task has called, whose hook waits for it: "fsync()"; empty if it is
  // unknown.
  std::string hooked_call(const TaskSnapshot& task) const;
  StackWalker& walker() const;

  Target& target_;
  const InspectionOptions options_;
  bool shows_source_;
  std::uint64_t registry_address_;
  Snapshot snapshot_;
  // They cache their results.
  mutable std::unique_ptr<StackWalker> walker_;
  mutable Symbolizer symbolizer_;
};

// 0.05 s, 3 min 2 s, 5 h 12 min.
std::string duration_text(std::int64_t nanoseconds);
// 820 B, 12.4 KiB.
std::string bytes_text(std::uint64_t bytes);
// "f (file.cc:12)", "f", "??+0x12 (libx.so)"
std::string short_text(const Frame& frame);
std::string base_name(const std::string& path);
// Escapes names of a target, so that they cannot control the terminal.
inline std::string printable(std::string_view text) { return runtime::printable(text); }

}  // namespace aiofiber::tool
