// SPDX-License-Identifier: Apache-2.0
//
// One look at a target, in a reader's terms: what each task does, what it waits for, which calls of the
// program it is in. The commands (ps, stack, ...) only arrange what this says.
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
  std::vector<std::string> tasks;  // ids or names of those whose stacks are of interest; empty: all
  std::uint64_t most_bytes = SnapshotWishes::kUsualBytes;  // of memory for what is copied
  bool show_source =
      false;  // even if the target belongs to another user, who says which files are read for it
};

// Whether somebody who asks for `wanted` means this task: by id or by name.
bool is_called(const TaskSnapshot& task, const std::string& wanted);

class Inspection {
 public:
  // Keeps target.
  Inspection(Target& target, const InspectionOptions& options);

  Target& target() const { return target_; }
  const Snapshot& snapshot() const { return snapshot_; }
  Symbolizer& symbolizer() { return symbolizer_; }
  // Copies again. What was learned of addresses is kept.
  void refresh();

  // "waiting", "ready", "new", "on CPU"
  std::string state(const TaskSnapshot& task) const;
  // "fd 7 readable", "task 3 'child'", "sleep, 1.5 s left", "lock at 0x7f..., held by task 3 'child'"; empty
  // when it does not wait.
  std::string waits_for(const TaskSnapshot& task) const;
  // Tasks whose stacks a core should hold and does not: how many, and why that may be; empty when all are
  // there.
  std::string missing_stacks() const;
  // What the bound of memory left out; empty: nothing.
  std::string left_out() const;
  // A sentence for each loop that stands.
  std::vector<std::string> standing_loops() const;
  // Of the callback in which a loop stands, as frames() of a task; empty: a task runs, or it is not to be
  // seen.
  std::vector<Frame> callback_frames(const StandingLoop& loop, bool all) const;
  // Lines of source may be read for it.
  bool shows_source() const { return shows_source_; }
  // How long it has been waiting, or waited to be started; nullopt when that means nothing.
  std::optional<std::int64_t> since_ns(const TaskSnapshot& task) const;
  // How many bytes of its stack were ever used, by it or by a task that had the stack before: what is in
  // memory, in pages. nullopt when it has no stack, or that is not known (a core).
  std::optional<std::uint64_t> stack_deepest(const TaskSnapshot& task) const;

  // Innermost first. A function that ends in a call is not on the stack while that waits, so where there is
  // nothing else of the program's own, what the task begins with comes last all the same.
  std::vector<Address> addresses(const TaskSnapshot& task) const;
  // Innermost first, without the frames of aiofiber and of std::invoke and its kin unless `all`.
  std::vector<Frame> frames(const std::vector<Address>& addresses, bool all) const;
  // The innermost frame of the program itself: not of a hook and not of a header of the system, unless there
  // is nothing else.
  std::optional<Frame> where(const TaskSnapshot& task);

 private:
  std::string held_by(const TaskSnapshot& task) const;
  // The same as waits_for(), without the limit.
  std::string what_is_waited_for(const TaskSnapshot& task) const;

  bool is_wanted(const TaskSnapshot& task) const;
  // The function of libc that the task has called, whose hook waits for it: "fsync()"; empty when that is not
  // to be seen.
  std::string hooked_call(const TaskSnapshot& task) const;
  StackWalker& walker() const;

  Target& target_;
  const InspectionOptions options_;
  bool shows_source_;
  std::uint64_t registry_address_;
  Snapshot snapshot_;
  // What they find out is kept in them.
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
// So that the names of a target cannot write on the terminal.
inline std::string printable(std::string_view text) { return runtime::printable(text); }

}  // namespace aiofiber::tool
