// SPDX-License-Identifier: Apache-2.0
//
// What the tasks are doing, seen from inside: who waits for whom (asyncio.graph of 3.14), dumps of all tasks
// on demand or on a signal, and a watchdog that tells what keeps a loop from going on.
//
// A call graph begins at one future and goes up to those who await it, through gather(), wait(), task groups
// and so on. Everything is read off the structures that the loop works with; nothing is recorded for it, and
// no task is run. Threads: the loop's.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/future.h"
#include "aiofiber/task.h"

namespace aiofiber {

// One line of a call stack in a call graph.
struct FrameCallGraphEntry {
  Frame frame;
};

// A future or task, its stack, and what awaits it.
struct FutureCallGraph {
  AnyFuture future;
  std::vector<FrameCallGraphEntry>
      call_stack;                           // the most recent call first; empty for futures that are no tasks
  std::vector<FutureCallGraph> awaited_by;  // in the order in which they began to wait
  // Differs from asyncio: where tasks wait for each other in a ring, the graph ends at the one it began with,
  // and says so.
  bool cycle = false;
};

// The call graph of `future`; of an empty handle: of the current task. `depth`: of the current task's own
// stack, leaves out depth - 1 of the newest frames. `limit` keeps so many frames of each stack: of the newest
// if positive, of the oldest if negative; 0: no stacks; nullopt: all. None in a callback, where no task runs.
// Errors: RuntimeError: an empty handle, and no loop runs. Never suspends. Source:
// asyncio.capture_call_graph.
std::optional<FutureCallGraph> capture_call_graph(const AnyFuture& future = AnyFuture(),
                                                  std::size_t depth = 1,
                                                  std::optional<int> limit = std::nullopt);

// The same as text, in the layout of CPython 3.14; empty in a callback. Source: asyncio.format_call_graph.
std::string format_call_graph(const AnyFuture& future = AnyFuture(), std::size_t depth = 1,
                              std::optional<int> limit = std::nullopt);

// The same text, and a newline, to `file`; nullptr: std::cout. Source: asyncio.print_call_graph.
void print_call_graph(const AnyFuture& future = AnyFuture(), std::ostream* file = nullptr,
                      std::size_t depth = 1, std::optional<int> limit = std::nullopt);

// Writes every task of every loop of the process: state, name, what it waits for and for how long, stack.
// Many tasks with the same stack are shown once. Other threads' loops go on meanwhile. Threads: any. Never
// suspends; takes milliseconds the first time.
void dump_tasks(std::ostream& out);

// Reports, while it lasts, that one task or callback keeps the loop for longer than `limit`: a WARNING in the
// log with the task's name, the system call that it is blocked in, and its stack. Time in which the loop's
// thread waits for a core does not count. It is repeated after twice, four times ... the time. On by default
// in debug mode, with slow_callback_duration as the limit; cheap enough for production, as the loop itself
// does nothing for it. The helper thread of it uses SIGURG to look at a loop that computes. nullptr: the
// running loop. Threads: the loop's. Errors: RuntimeError: no running loop; ValueError: a limit that is not
// positive; std::system_error: no thread can be made.
void enable_watchdog(Duration limit = std::chrono::milliseconds(100), EventLoop* loop = nullptr);
// Off again, but for debug mode's.
void disable_watchdog(EventLoop* loop = nullptr);

// From now on the signal makes the process write what dump_tasks() does, by a thread of its own, so also
// while a loop hangs: to `fd` (default: stderr), which must stay open, or to the end of a file, which is made
// for the owner alone unless `permissions` say otherwise, and must not be a symbolic link. The signal must
// not be given to add_signal_handler() too. Threads: any. Errors: RuntimeError: the signal cannot be caught,
// or the file cannot be opened. A forked child starts without.
void enable_task_dump(int signo, int fd = 2);
void enable_task_dump(int signo, const std::string& path, unsigned permissions = 0600);

// From now on every loop of the process writes a timeline: a row a task, with its runs, waits and wakes, and
// a row a loop. The file is JSON for ui.perfetto.dev, and is replaced; "%p" in its name stands for the
// process's id. It is ended by stop_trace() or exit(); without either it lacks its last line and the last
// tenth of a second. AIOFIBER_TRACE=FILE does the same from the first loop on, but not in a privileged
// program (setuid, setgid, file capabilities), which heeds no variable of ours. A new file is for the owner
// alone unless `permissions` say otherwise; a symbolic link is an error, and only a regular file is emptied.
// A forked child does not trace until it asks for it. Threads: any. Never suspends.
// Errors: RuntimeError: the file cannot be opened, or a trace is being written already.
void start_trace(const std::string& path, unsigned permissions = 0600);
// Ends the file. Returns how many events are missing in it, because they came faster than they could be
// written; 0 if nothing was traced. Threads: any. Never suspends, but writes what is left.
std::size_t stop_trace() noexcept;

}  // namespace aiofiber
